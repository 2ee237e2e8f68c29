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

static STOPS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| STOP.split_whitespace().collect());
static THESAURUS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(thesaurus);

/// Content words, lower case and stemmed; compound names are taken apart.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut tokens = Vec::new();
    for word in split(text) {
        if STOPS.contains(word.as_str()) || word.len() > 40 {
            continue;
        }
        tokens.push(stemmer.stem(&word).into_owned());
    }
    tokens
}

/// Words of a text in lower case: split at what is no letter or digit, and where a name in camel
/// case begins a new word.
fn split(text: &str) -> Vec<String> {
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
    const BREAKS: [&str; 7] = ["and", "then", "also", "after", "before", "plus", "finally"];
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
    clauses.truncate(12);
    clauses
}

/// Stems that mean nearly the same.
pub(crate) fn synonyms(stem: &str) -> &'static [String] {
    THESAURUS.get(stem).map_or(&[], Vec::as_slice)
}

fn thesaurus() -> HashMap<String, Vec<String>> {
    let stemmer = Stemmer::create(Algorithm::English);
    let mut all: HashMap<String, Vec<String>> = HashMap::new();
    for line in include_str!("thesaurus.txt").lines().filter(|l| !l.starts_with('#')) {
        let stems: Vec<String> =
            line.split_whitespace().map(|w| stemmer.stem(w).into_owned()).collect();
        for stem in &stems {
            let others = stems.iter().filter(|s| *s != stem).cloned();
            all.entry(stem.clone()).or_default().extend(others);
        }
    }
    all
}
