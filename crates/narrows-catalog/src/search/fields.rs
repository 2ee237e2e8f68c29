//! What of a tool is searched: its words by field.

use super::{Doc, words};
use serde_json::Value;
use std::collections::HashMap;

/// Name and title, upstream, description, parameters.
pub(crate) const FIELDS: usize = 4;
/// Bytes of a description that are read.
const DESCRIPTION_BYTES_MAX: usize = 8_192;
/// Bytes of the description of a parameter that are read.
const PARAMETER_BYTES_MAX: usize = 400;
/// Words of all parameters of one tool.
const PARAMETER_WORDS_MAX: usize = 400;
/// Choices of one parameter.
const CHOICES_MAX: usize = 20;
/// Nesting of parameters.
const DEPTH_MAX: usize = 3;

/// The terms of an index while it is built: each word is stemmed once.
#[derive(Default)]
pub(crate) struct Vocabulary {
    pub(crate) terms: HashMap<Box<str>, u32>,
    seen: HashMap<String, Option<u32>>,
}

impl Vocabulary {
    fn read(&mut self, text: &str, into: &mut Vec<u32>) {
        for word in words::words(text) {
            let term = match self.seen.get(&word) {
                Some(term) => *term,
                None => self.learn(word),
            };
            into.extend(term);
        }
    }

    fn learn(&mut self, word: String) -> Option<u32> {
        let term = words::stem(&word).map(|stem| {
            let next = u32::try_from(self.terms.len()).unwrap_or(u32::MAX);
            *self.terms.entry(stem.into_boxed_str()).or_insert(next)
        });
        self.seen.insert(word, term);
        term
    }

    /// The terms of a tool, field by field.
    pub(crate) fn fields(&mut self, doc: Doc<'_>) -> [Vec<u32>; FIELDS] {
        let mut fields: [Vec<u32>; FIELDS] = Default::default();
        let [name, server, description, parameters] = &mut fields;
        self.read(doc.name, name);
        self.read(doc.title.unwrap_or_default(), name);
        self.read(doc.server, server);
        self.read(head(doc.description.unwrap_or_default(), DESCRIPTION_BYTES_MAX), description);
        self.parameters(doc.input_schema, 0, parameters);
        fields
    }

    /// Names, descriptions and choices of parameters.
    fn parameters(&mut self, schema: &Value, depth: usize, into: &mut Vec<u32>) {
        if depth > DEPTH_MAX || into.len() > PARAMETER_WORDS_MAX {
            return;
        }
        for (name, property) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            self.read(head(name, PARAMETER_BYTES_MAX), into);
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
            self.read(head(text, PARAMETER_BYTES_MAX), into);
            let choices = property.get("enum").and_then(Value::as_array).into_iter().flatten();
            for choice in choices.take(CHOICES_MAX).filter_map(Value::as_str) {
                self.read(head(choice, PARAMETER_BYTES_MAX), into);
            }
            self.parameters(property, depth + 1, into);
        }
        if let Some(items) = schema.get("items") {
            self.parameters(items, depth + 1, into);
        }
    }
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
