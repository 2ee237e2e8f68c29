//! Words: taken apart, stemmed, and those that mean nearly the same.

use rust_stemmers::{Algorithm, Stemmer};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// Words that say nothing of what a tool does.
const STOP: &str = "a an the of to in on at by for from with without into onto is are was were be been \
    being am do does did done doing have has had having i me my mine we us our you your yours he she \
    it its they them their this that these those there here and or but if then else when while as so \
    than too very can could would should will shall may might must not no yes please want need like \
    just also about which what who whom whose where how why let s t re ve ll d m given using use used \
    via per such any some all each every other another both own same only more most less few";
/// Bytes of a word; longer ones are data, not words.
const WORD_BYTES_MAX: usize = 40;
/// Words at which a sentence goes on to ask for something else.
const BREAKS: [&str; 7] = ["and", "then", "also", "after", "before", "plus", "finally"];
/// Parts of one query that are looked at on their own.
const CLAUSES_MAX: usize = 12;

static STOPS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| STOP.split_whitespace().collect());
static NEIGHBOURS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    include_str!("neighbours.txt").lines().filter(|l| !l.starts_with('#')).collect()
});
static THESAURUS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(thesaurus);

/// Content words, lower case and stemmed; compound names are taken apart.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    words(text).iter().filter_map(|w| stem(w)).collect()
}

/// The stem of a word in lower case; none for words that say nothing.
pub(crate) fn stem(word: &str) -> Option<String> {
    if STOPS.contains(word) || word.len() > WORD_BYTES_MAX {
        return None;
    }
    Some(Stemmer::create(Algorithm::English).stem(word).into_owned())
}

/// Words of a text in lower case: split at what is no letter or digit, and where a name in camel
/// case begins a new word.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_alphanumeric() {
            flush(&mut word, &mut words);
            before = None;
            continue;
        }
        let begins = before.is_some_and(|b| {
            (b.is_lowercase() && c.is_uppercase())
                || (b.is_uppercase()
                    && c.is_uppercase()
                    && rest.peek().is_some_and(|n| n.is_lowercase()))
                || (b.is_alphabetic() && c.is_numeric())
                || (b.is_numeric() && c.is_alphabetic())
        });
        if begins {
            flush(&mut word, &mut words);
        }
        word.extend(c.to_lowercase());
        before = Some(c);
    }
    flush(&mut word, &mut words);
    words
}

fn flush(word: &mut String, words: &mut Vec<String>) {
    if !word.is_empty() {
        words.push(std::mem::take(word));
    }
}

/// A sentence taken apart into what it asks for, each part as tokens; one part if it cannot be.
pub(crate) fn clauses(query: &str) -> Vec<Vec<String>> {
    let mut parts: Vec<String> = Vec::new();
    let mut part = String::new();
    for word in query.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        if BREAKS.contains(&bare.as_str()) {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push_str(word);
            part.push(' ');
        }
        if word.ends_with(['.', '?', '!', ';', ':', ',']) {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts.push(part);
    let mut clauses: Vec<Vec<String>> = Vec::new();
    for tokens in parts.iter().map(|p| tokens(p)) {
        match clauses.last_mut() {
            // A word or two is no request of its own; it belongs to what came before.
            Some(last) if tokens.len() < 2 => last.extend(tokens),
            _ if tokens.is_empty() => {}
            _ => clauses.push(tokens),
        }
    }
    clauses.truncate(CLAUSES_MAX);
    clauses
}

/// Stems that mean nearly the same.
pub(crate) fn synonyms(stem: &str) -> &'static [String] {
    THESAURUS.get(stem).map_or(&[], Vec::as_slice)
}

/// Stems that mean about the same, for stems that no tool has.
pub(crate) fn neighbours(stem: &str) -> impl Iterator<Item = &'static str> {
    let found = NEIGHBOURS.binary_search_by(|line| first_word(line).cmp(stem));
    let line = found.ok().and_then(|at| NEIGHBOURS.get(at)).copied().unwrap_or_default();
    line.split(' ').skip(1)
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// The second word is the first one with at most one letter added, left out or mistaken, or goes
/// on where the first one ends.
pub(crate) fn alike(word: &str, other: &str) -> bool {
    const LETTERS_MIN: usize = 4;
    if word.len() < LETTERS_MIN || other.len() < LETTERS_MIN || word.len().abs_diff(other.len()) > 3
    {
        return false;
    }
    if other.starts_with(word) {
        return true;
    }
    let shared = word.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    if shared == 0 || word.len().abs_diff(other.len()) > 1 {
        return false;
    }
    let (word, other) = (word.as_bytes(), other.as_bytes());
    word.get(shared + 1..) == other.get(shared + 1..)
        || word.get(shared..) == other.get(shared + 1..)
        || word.get(shared + 1..) == other.get(shared..)
}

/// Reads the thesaurus: a line is a set of words that mean nearly the same; with `>` those on the
/// left also mean those on the right, but not the other way.
fn thesaurus() -> HashMap<String, Vec<String>> {
    let mut all: HashMap<String, Vec<String>> = HashMap::new();
    for line in include_str!("thesaurus.txt").lines().filter(|l| !l.starts_with('#')) {
        let (from, to) = line.split_once('>').unwrap_or((line, line));
        let to = tokens(to);
        for stem in tokens(from) {
            let others: Vec<String> = to.iter().filter(|s| **s != stem).cloned().collect();
            all.entry(stem).or_default().extend(others);
        }
    }
    for stems in all.values_mut() {
        stems.sort();
        stems.dedup();
    }
    all
}
