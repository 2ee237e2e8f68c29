//! Finding tools by what they do: BM25F over names, descriptions and parameters, with stems, a
//! small thesaurus, and sentences taken apart into what they ask for.

mod fields;
mod lexical;
mod words;

use fields::head;
use lexical::{Compared, Lexicon};
use serde_json::Value;
use std::sync::Arc;
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

/// What the best clause of a sentence counts beside the whole.
const CLAUSE: f32 = 0.6;
/// Rank offset when several queries are merged.
const RANK_OFFSET: f32 = 20.0;
/// Ranks of each query that count when several are merged.
const RANKS: usize = 50;
/// Bytes of one query that are read.
const QUERY_BYTES_MAX: usize = 4_096;
/// Queries of one search that are read.
const QUERIES_MAX: usize = 16;

/// The index. Immutable, cheap to clone.
#[derive(Clone, Default)]
pub struct Index {
    lexicon: Arc<Lexicon>,
}

impl Index {
    /// Builds the index; documents are numbered in the order given.
    pub fn build<'a>(docs: impl Iterator<Item = Doc<'a>>) -> Self {
        Self { lexicon: Arc::new(Lexicon::build(docs)) }
    }

    /// The tools that fit best, best first. Several queries are merged by rank; at most 16 are
    /// read, and 4,096 bytes of each.
    pub fn search(
        &self,
        queries: &[String],
        wanted: impl Fn(u32) -> bool,
        limit: usize,
    ) -> Vec<Hit> {
        let mut compared = Compared::default();
        if let [query] = queries {
            let mut hits = ranked(&self.score(query, &mut compared), &wanted);
            hits.truncate(limit);
            return hits;
        }
        let mut merged = vec![0.0_f32; self.lexicon.len()];
        for query in queries.iter().take(QUERIES_MAX) {
            let hits = ranked(&self.score(query, &mut compared), &wanted);
            for (rank, hit) in hits.iter().take(limit.max(RANKS)).enumerate() {
                if let Some(slot) = merged.get_mut(hit.doc as usize) {
                    *slot += 1.0 / (RANK_OFFSET + ratio(rank, 1));
                }
            }
        }
        let mut hits = ranked(&merged, &wanted);
        hits.truncate(limit);
        hits
    }

    /// One query: the whole sentence, and what its best clause adds.
    fn score(&self, query: &str, compared: &mut Compared) -> Vec<f32> {
        let query = head(query, QUERY_BYTES_MAX);
        let mut total = normal(self.lexicon.score(&tokens(query), compared));
        let clauses = clauses(query);
        if clauses.len() > 1 {
            let mut best = vec![0.0_f32; total.len()];
            for clause in &clauses {
                let scores = normal(self.lexicon.score(clause, compared));
                for (best, score) in best.iter_mut().zip(scores) {
                    *best = best.max(score);
                }
            }
            for (total, best) in total.iter_mut().zip(best) {
                *total += CLAUSE * best;
            }
        }
        total
    }
}

/// Scores as parts of the best one.
fn normal(mut scores: Vec<f32>) -> Vec<f32> {
    let best = scores.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    for score in &mut scores {
        *score /= best;
    }
    scores
}

/// Those with a score, best first; equal ones in the order of building.
fn ranked(scores: &[f32], wanted: &impl Fn(u32) -> bool) -> Vec<Hit> {
    let mut hits: Vec<Hit> = (0_u32..)
        .zip(scores)
        .filter(|(doc, score)| **score > 0.0 && wanted(*doc))
        .map(|(doc, score)| Hit { doc, score: *score })
        .collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.doc.cmp(&b.doc)));
    hits
}

#[expect(clippy::cast_precision_loss, reason = "counts of tools and words are small")]
fn ratio(part: usize, whole: usize) -> f32 {
    part as f32 / whole.max(1) as f32
}

#[cfg(test)]
mod tests;
