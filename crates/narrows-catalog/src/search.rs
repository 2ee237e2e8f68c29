//! Finding tools by what they do: BM25F over names, descriptions and parameters, with stems, a
//! small thesaurus, and sentences taken apart into what they ask for.

mod words;

use serde_json::Value;
use std::collections::HashMap;
use words::{clauses, tokens};

/// One tool as search sees it.
#[derive(Debug, Clone, Copy)]
pub struct Doc<'a> {
    /// The upstream's name.
    pub server: &'a str,
    /// The tool's name.
    pub name: &'a str,
    /// Its title.
    pub title: Option<&'a str>,
    /// Its description.
    pub description: Option<&'a str>,
    /// JSON Schema of its arguments.
    pub input_schema: &'a Value,
}

/// One tool that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its number in the order of building.
    pub doc: u32,
    /// How well it fits; comparable within one search only.
    pub score: f32,
}

/// Fields with their weight and how much their length counts.
const FIELDS: [(f32, f32); 4] = [
    // Name and title.
    (2.6, 0.3),
    // The upstream's name.
    (0.9, 0.0),
    // Description.
    (1.0, 0.7),
    // Parameters: names, descriptions, choices.
    (0.45, 0.75),
];
/// Saturation of a term's frequency.
const K1: f32 = 1.2;
/// What a synonym counts beside the word itself.
const SYNONYM: f32 = 0.2;
/// What the best clause of a sentence counts beside the whole.
const CLAUSE: f32 = 0.6;
/// Rank offset when several queries are merged.
const RRF: f32 = 20.0;
/// Bytes of one query that are read.
const QUERY_BYTES_MAX: usize = 4_096;
/// Bytes of one field that are read.
const FIELD_BYTES_MAX: usize = 8_192;
/// Parameters of one tool that are read, and how deep.
const DEPTH_MAX: usize = 3;

/// The index. Immutable.
#[derive(Default)]
pub struct Index {
    terms: HashMap<Box<str>, u32>,
    postings: Vec<Vec<(u32, f32)>>,
    idf: Vec<f32>,
    docs: usize,
}

impl Index {
    /// Builds the index; documents are numbered in the order given.
    pub fn build<'a>(docs: impl Iterator<Item = Doc<'a>>) -> Self {
        let fields: Vec<[Vec<String>; 4]> = docs.map(field_tokens).collect();
        let mut average = [1.0_f32; 4];
        for (at, slot) in average.iter_mut().enumerate() {
            let total: usize = fields.iter().filter_map(|f| f.get(at)).map(Vec::len).sum();
            *slot = (ratio(total, fields.len())).max(1.0);
        }
        let mut index = Self { docs: fields.len(), ..Self::default() };
        for (doc, fields) in fields.iter().enumerate() {
            index.add(u32::try_from(doc).unwrap_or(u32::MAX), fields, average);
        }
        let docs = index.docs;
        index.idf = index
            .postings
            .iter()
            .map(|p| {
                (1.0 + (ratio(docs, 1) - ratio(p.len(), 1) + 0.5) / (ratio(p.len(), 1) + 0.5)).ln()
            })
            .collect();
        for list in &mut index.postings {
            list.shrink_to_fit();
        }
        index
    }

    fn add(&mut self, doc: u32, fields: &[Vec<String>; 4], average: [f32; 4]) {
        let mut weights: HashMap<&str, f32> = HashMap::new();
        for ((tokens, (weight, length)), average) in fields.iter().zip(FIELDS).zip(average) {
            let norm = 1.0 - length + length * ratio(tokens.len(), 1) / average;
            for token in tokens {
                *weights.entry(token).or_default() += weight / norm;
            }
        }
        for (token, weight) in weights {
            let next = u32::try_from(self.postings.len()).unwrap_or(u32::MAX);
            let term = if let Some(term) = self.terms.get(token) {
                *term
            } else {
                self.terms.insert(token.into(), next);
                self.postings.push(Vec::new());
                next
            };
            if let Some(list) = self.postings.get_mut(term as usize) {
                list.push((doc, weight));
            }
        }
    }

    /// The tools that fit best, best first. Several queries are merged by rank.
    pub fn search(
        &self,
        queries: &[String],
        wanted: impl Fn(u32) -> bool,
        limit: usize,
    ) -> Vec<Hit> {
        let mut merged: HashMap<u32, f32> = HashMap::new();
        let single = queries.len() == 1;
        for query in queries {
            let end = query.floor_char_boundary(QUERY_BYTES_MAX);
            let ranked = self.ranked(query.get(..end).unwrap_or_default(), &wanted);
            for (rank, hit) in ranked.iter().take(limit.max(50)).enumerate() {
                let score = if single { hit.score } else { 1.0 / (RRF + ratio(rank, 1)) };
                *merged.entry(hit.doc).or_default() += score;
            }
        }
        let mut hits = sorted(merged);
        hits.truncate(limit);
        hits
    }

    /// One query: the whole sentence, and what its best clause adds.
    fn ranked(&self, query: &str, wanted: &impl Fn(u32) -> bool) -> Vec<Hit> {
        let mut total = normal(self.score(&tokens(query), wanted));
        let clauses = clauses(query);
        if clauses.len() > 1 {
            let mut best: HashMap<u32, f32> = HashMap::new();
            for clause in &clauses {
                for (doc, score) in normal(self.score(clause, wanted)) {
                    let slot = best.entry(doc).or_default();
                    *slot = slot.max(score);
                }
            }
            for (doc, score) in best {
                *total.entry(doc).or_default() += CLAUSE * score;
            }
        }
        sorted(total)
    }

    fn score(&self, query: &[String], wanted: &impl Fn(u32) -> bool) -> HashMap<u32, f32> {
        let mut weights: HashMap<&str, f32> = HashMap::new();
        for token in query {
            let slot = weights.entry(token).or_default();
            *slot = slot.max(1.0);
        }
        for token in query {
            for synonym in words::synonyms(token) {
                let slot = weights.entry(synonym).or_default();
                *slot = slot.max(SYNONYM);
            }
        }
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for (token, weight) in weights {
            let Some(term) = self.terms.get(token) else { continue };
            let idf = self.idf.get(*term as usize).copied().unwrap_or(0.0);
            for (doc, tf) in self.postings.get(*term as usize).into_iter().flatten() {
                if wanted(*doc) {
                    *scores.entry(*doc).or_default() += weight * idf * tf / (K1 + tf);
                }
            }
        }
        scores
    }
}

/// Scores as parts of the best one.
fn normal(mut scores: HashMap<u32, f32>) -> HashMap<u32, f32> {
    let best = scores.values().copied().fold(f32::MIN_POSITIVE, f32::max);
    for score in scores.values_mut() {
        *score /= best;
    }
    scores
}

fn sorted(scores: HashMap<u32, f32>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = scores.into_iter().map(|(doc, score)| Hit { doc, score }).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.doc.cmp(&b.doc)));
    hits
}

#[expect(clippy::cast_precision_loss, reason = "counts of tools and words are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

fn field_tokens(doc: Doc<'_>) -> [Vec<String>; 4] {
    let mut name = tokens(doc.name);
    name.extend(tokens(doc.title.unwrap_or_default()));
    let description = doc.description.unwrap_or_default();
    let end = description.floor_char_boundary(FIELD_BYTES_MAX);
    let mut parameters = Vec::new();
    collect(doc.input_schema, 0, &mut parameters);
    [name, tokens(doc.server), tokens(description.get(..end).unwrap_or_default()), parameters]
}

/// Names, descriptions and choices of parameters.
fn collect(schema: &Value, depth: usize, into: &mut Vec<String>) {
    if depth > DEPTH_MAX || into.len() > 400 {
        return;
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            into.extend(tokens(name));
            if let Some(text) = property.get("description").and_then(Value::as_str) {
                let end = text.floor_char_boundary(400);
                into.extend(tokens(text.get(..end).unwrap_or_default()));
            }
            for choice in
                property.get("enum").and_then(Value::as_array).into_iter().flatten().take(20)
            {
                into.extend(choice.as_str().map(tokens).unwrap_or_default());
            }
            collect(property, depth + 1, into);
        }
    }
    if let Some(items) = schema.get("items") {
        collect(items, depth + 1, into);
    }
}

#[cfg(test)]
mod tests;
