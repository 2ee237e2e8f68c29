//! BM25F: how well the words of a tool fit the words of a query.

use super::fields::{FIELDS, Vocabulary};
use super::words::{alike, neighbours, synonyms};
use super::{Doc, ratio};
use std::collections::HashMap;

/// Fields with their weight and how much their length counts.
const WEIGHTS: [(f32, f32); FIELDS] = [
    // Name and title.
    (2.0, 0.5),
    // The upstream's name.
    (1.2, 0.0),
    // Description.
    (1.0, 0.7),
    // Parameters: names, descriptions, choices.
    (0.6, 0.75),
];
/// Saturation of a term's frequency.
const K1: f32 = 2.0;
/// What a synonym counts beside the word itself.
const SYNONYM: f32 = 0.45;
/// What a synonym counts where no tool has the word itself.
const SYNONYM_ALONE: f32 = 0.8;
/// What a word of about the same meaning counts where no tool has the word itself.
const NEIGHBOUR: f32 = 0.35;
/// What a word that is spelt nearly the same counts where nothing else is known of a word.
const ALIKE: f32 = 0.5;
/// Words of one search for which words that are spelt nearly the same are looked for.
const ALIKE_MAX: usize = 16;
/// Of several synonyms that one tool has, the best counts wholly, each other one this part.
const FURTHER: f32 = 0.5;
/// What a name that the query covers wholly adds to the score.
const COVERAGE: f32 = 0.4;
/// Different words of one query that are read.
const WORDS_MAX: usize = 256;

/// Words that were compared with every term in one search, and what came of it: clauses repeat
/// the words of the whole sentence, and queries each other's.
#[derive(Default)]
pub(crate) struct Compared {
    words: HashMap<String, Vec<u32>>,
}

/// Terms, where they stand, and how rare they are.
#[derive(Default)]
pub(crate) struct Lexicon {
    terms: HashMap<Box<str>, u32>,
    /// Where the postings of a term begin; one more than terms.
    starts: Vec<u32>,
    /// Tool and weighted frequency, term by term.
    postings: Vec<(u32, f32)>,
    /// Rarity of each term.
    idf: Vec<f32>,
    /// The different terms of each tool's name.
    names: Vec<Box<[u32]>>,
}

impl Lexicon {
    pub(crate) fn build<'a>(docs: impl Iterator<Item = Doc<'a>>) -> Self {
        let mut vocabulary = Vocabulary::default();
        let fields: Vec<[Vec<u32>; FIELDS]> = docs.map(|d| vocabulary.fields(d)).collect();
        let mut average = [1.0_f32; FIELDS];
        for (at, slot) in average.iter_mut().enumerate() {
            let total: usize = fields.iter().filter_map(|f| f.get(at)).map(Vec::len).sum();
            *slot = ratio(total, fields.len()).max(1.0);
        }
        let mut lists: Vec<Vec<(u32, f32)>> = vec![Vec::new(); vocabulary.terms.len()];
        let mut names = Vec::with_capacity(fields.len());
        for (doc, fields) in (0_u32..).zip(&fields) {
            for (term, weight) in weigh(fields, average) {
                if let Some(list) = lists.get_mut(term as usize) {
                    list.push((doc, weight));
                }
            }
            let [name, ..] = fields;
            let mut name = name.clone();
            name.sort_unstable();
            name.dedup();
            names.push(name.into_boxed_slice());
        }
        let all = ratio(fields.len(), 1);
        let rarity = |list: &Vec<(u32, f32)>| {
            let having = ratio(list.len(), 1);
            (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
        };
        let mut lexicon = Self {
            idf: lists.iter().map(rarity).collect(),
            terms: vocabulary.terms,
            names,
            ..Self::default()
        };
        lexicon.starts.push(0);
        for list in lists {
            lexicon.postings.extend(list);
            lexicon.starts.push(u32::try_from(lexicon.postings.len()).unwrap_or(u32::MAX));
        }
        lexicon.terms.shrink_to_fit();
        lexicon.postings.shrink_to_fit();
        lexicon
    }

    /// How many tools it knows.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    fn postings(&self, term: u32) -> &[(u32, f32)] {
        let at = term as usize;
        match self.starts.get(at..at + 2) {
            Some([from, to]) => self.postings.get(*from as usize..*to as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    fn rarity(&self, term: u32) -> f32 {
        self.idf.get(term as usize).copied().unwrap_or_default()
    }

    /// The terms that a query stands for, word by word: each with its weight, and no term twice.
    fn groups(&self, query: &[String], compared: &mut Compared) -> Vec<Vec<(u32, f32)>> {
        let mut best: HashMap<u32, (usize, f32)> = HashMap::new();
        let mut words: Vec<&str> = Vec::new();
        for token in query {
            if words.len() >= WORDS_MAX || words.contains(&token.as_str()) {
                continue;
            }
            for (term, weight) in self.meanings(token, compared) {
                let slot = best.entry(term).or_insert((words.len(), weight));
                if weight > slot.1 {
                    *slot = (words.len(), weight);
                }
            }
            words.push(token);
        }
        let mut groups: Vec<Vec<(u32, f32)>> = vec![Vec::new(); words.len()];
        for (term, (group, weight)) in best {
            if let Some(group) = groups.get_mut(group) {
                group.push((term, weight));
            }
        }
        for group in &mut groups {
            group.sort_unstable_by_key(|(term, _)| *term);
        }
        groups
    }

    /// The terms that one word stands for.
    fn meanings(&self, token: &str, compared: &mut Compared) -> Vec<(u32, f32)> {
        let term = |stem: &str| self.terms.get(stem).copied();
        let known = term(token);
        let weight = if known.is_some() { SYNONYM } else { SYNONYM_ALONE };
        let others = synonyms(token).iter().filter_map(|s| term(s));
        let mut meanings: Vec<(u32, f32)> =
            known.map(|t| (t, 1.0)).into_iter().chain(others.map(|t| (t, weight))).collect();
        if known.is_none() {
            meanings.extend(neighbours(token).filter_map(term).map(|t| (t, NEIGHBOUR)));
        }
        if meanings.is_empty() && token.chars().all(char::is_alphabetic) {
            let near = self.spelt_alike(token, compared);
            meanings.extend(near.iter().map(|term| (*term, ALIKE)));
        }
        meanings
    }

    /// Terms that are spelt nearly like a word; none once the search has compared enough.
    fn spelt_alike<'c>(&self, token: &str, compared: &'c mut Compared) -> &'c [u32] {
        if !compared.words.contains_key(token) {
            if compared.words.len() >= ALIKE_MAX {
                return &[];
            }
            let near = self.terms.iter().filter(|(other, _)| alike(token, other));
            let near = near.map(|(_, term)| *term).collect();
            compared.words.insert(token.to_owned(), near);
        }
        compared.words.get(token).map(Vec::as_slice).unwrap_or_default()
    }

    /// A score for every tool, 0 where nothing fits.
    pub(crate) fn score(&self, query: &[String], compared: &mut Compared) -> Vec<f32> {
        let groups = self.groups(query, compared);
        let mut scores = vec![0.0_f32; self.len()];
        let mut parts = vec![(0.0_f32, 0.0_f32); self.len()];
        for group in &groups {
            self.gather(group, &mut parts);
            for (score, part) in scores.iter_mut().zip(&mut parts) {
                let (best, others) = std::mem::take(part);
                *score += best + FURTHER * others;
            }
        }
        self.favour_covered_names(&groups, &mut scores);
        scores
    }

    /// What one word of a query gives to each tool: its best term, and the other terms together.
    fn gather(&self, group: &[(u32, f32)], parts: &mut [(f32, f32)]) {
        for (term, weight) in group {
            let weight = weight * self.rarity(*term);
            for (doc, frequency) in self.postings(*term) {
                let part = weight * frequency / (K1 + frequency);
                if let Some((best, others)) = parts.get_mut(*doc as usize) {
                    *others += part.min(*best);
                    *best = part.max(*best);
                }
            }
        }
    }

    /// A tool whose whole name the query says is likelier meant than one whose name says more.
    fn favour_covered_names(&self, groups: &[Vec<(u32, f32)>], scores: &mut [f32]) {
        let said: HashMap<u32, f32> =
            groups.iter().flatten().map(|(t, w)| (*t, w.sqrt())).collect();
        for (score, name) in scores.iter_mut().zip(&self.names).filter(|(score, _)| **score > 0.0) {
            let whole: f32 = name.iter().map(|t| self.rarity(*t)).sum();
            let part: f32 =
                name.iter().filter_map(|t| said.get(t).map(|w| w * self.rarity(*t))).sum();
            *score *= 1.0 + COVERAGE * part / whole.max(0.1);
        }
    }
}

/// The weight of each term of one tool.
fn weigh(fields: &[Vec<u32>; FIELDS], average: [f32; FIELDS]) -> HashMap<u32, f32> {
    let mut weights: HashMap<u32, f32> = HashMap::new();
    for ((terms, (weight, length)), average) in fields.iter().zip(WEIGHTS).zip(average) {
        let norm = 1.0 - length + length * ratio(terms.len(), 1) / average;
        for term in terms {
            *weights.entry(*term).or_default() += weight / norm;
        }
    }
    weights
}
