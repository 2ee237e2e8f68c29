//! One value from any source, each part with the place where it was written.

use serde_json::{Map, Number, Value};
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// A file, `NARROWS__LOG__LEVEL`, `--http`, or `default`.
    pub(crate) source: Arc<str>,
    /// The line in the file, from 1.
    pub(crate) line: Option<u32>,
    /// Environment and flags carry text only: numbers, truth values and lists are read from it.
    pub(crate) text_only: bool,
}

impl Place {
    /// Somewhere in a file.
    pub(crate) fn file(source: &Arc<str>, line: u32) -> Self {
        Self { source: Arc::clone(source), line: Some(line), text_only: false }
    }

    /// A source without lines.
    pub(crate) fn whole(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), line: None, text_only: false }
    }

    /// A source that carries text only.
    pub(crate) fn text(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), line: None, text_only: true }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// First byte and the byte after the last in the file, where the parser tells.
    pub(crate) span: (usize, usize),
}

/// The kinds of value that every source shares.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    /// Where the key itself stands in the file.
    pub(crate) key_span: (usize, usize),
    pub(crate) value: Tree,
}

impl Entry {
    /// A key that stands where its value stands.
    pub(crate) fn new(key: impl Into<String>, value: Tree) -> Self {
        Self { key: key.into(), place: value.place.clone(), key_span: (0, 0), value }
    }
}

impl Tree {
    pub(crate) fn new(kind: Kind, place: Place) -> Self {
        Self { kind, place, span: (0, 0) }
    }

    pub(crate) fn text(text: impl Into<String>, place: &Place) -> Self {
        Self::new(Kind::Text(text.into()), place.clone())
    }

    /// A plain value whose every part stands at `place`.
    pub(crate) fn of(value: Value, place: &Place) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(b) => Kind::Bool(b),
            Value::Number(n) => Kind::Number(n),
            Value::String(s) => Kind::Text(s),
            Value::Array(items) => {
                Kind::List(items.into_iter().map(|v| Self::of(v, place)).collect())
            }
            Value::Object(map) => Kind::Table(
                map.into_iter().map(|(k, v)| Entry::new(k, Self::of(v, place))).collect(),
            ),
        };
        Self::new(kind, place.clone())
    }

    /// The value without its places.
    pub(crate) fn plain(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::Number(n.clone()),
            Kind::Text(s) => Value::String(s.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::plain).collect()),
            Kind::Table(entries) => {
                let pairs = entries.iter().map(|e| (e.key.clone(), e.value.plain()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        if let Kind::Table(entries) = &self.kind { entries } else { &[] }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|e| &e.value)
    }

    /// The value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, key| tree.get(key))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Kind::Text(text) = &self.kind { Some(text) } else { None }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Kind::Bool(b) = self.kind { Some(b) } else { None }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Kind::Number(n) = &self.kind { n.as_f64() } else { None }
    }

    pub(crate) fn items(&self) -> &[Self] {
        if let Kind::List(items) = &self.kind { items } else { &[] }
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table(_))
    }

    /// Puts `value` at a path, making tables on the way. A part of the path that is no table is
    /// replaced: a later layer says something else.
    pub(crate) fn set(&mut self, path: &[String], value: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !self.is_table() {
            *self = Self::new(Kind::Table(Vec::new()), value.place.clone());
        }
        let Kind::Table(entries) = &mut self.kind else { return };
        if let Some(entry) = entries.iter_mut().find(|e| e.key == *first) {
            entry.place = value.place.clone();
            entry.value.set(rest, value);
            return;
        }
        let mut child = Self::new(Kind::Table(Vec::new()), value.place.clone());
        child.set(rest, value);
        entries.push(Entry::new(first.clone(), child));
    }

    /// The table without these keys.
    pub(crate) fn without(self, keys: &[&str]) -> Self {
        let Self { kind, place, span } = self;
        let kind = match kind {
            Kind::Table(entries) => {
                let rest = entries.into_iter().filter(|entry| !keys.contains(&entry.key.as_str()));
                Kind::Table(rest.collect())
            }
            other => other,
        };
        Self { kind, place, span }
    }

    /// Lays `over` over this: tables are merged key by key, everything else is replaced.
    pub(crate) fn overlay(&mut self, over: Self) {
        match (&mut self.kind, over.kind) {
            (Kind::Table(mine), Kind::Table(theirs)) => {
                for entry in theirs {
                    match mine.iter_mut().find(|e| e.key == entry.key) {
                        Some(old) => {
                            old.place = entry.place;
                            old.value.overlay(entry.value);
                        }
                        None => mine.push(entry),
                    }
                }
                self.place = over.place;
            }
            (_, kind) => *self = Self { kind, place: over.place, span: over.span },
        }
    }
}

/// What a person calls this kind of value.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "the number {n}"),
            Self::Text(_) => f.write_str("text"),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}
