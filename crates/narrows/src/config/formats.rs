//! TOML, YAML and JSON into one [`Tree`].

use super::jsonc;
use super::problem::Problem;
use super::tree::{Entry, Kind, Place, Tree};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::Spanned;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use toml_edit::{Document, Item, Value};

/// Bytes of a config file that are read.
pub(crate) const FILE_BYTES_MAX: u64 = 32 << 20;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Toml,
    Yaml,
    Json,
}

impl Format {
    /// By the file's extension; `None` if that says nothing.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "jsonc" | "json5" => Some(Self::Json),
            _ => None,
        }
    }

    /// Reads `text`, which came from `source`.
    pub(crate) fn parse(self, text: &str, source: &Arc<str>) -> Result<Tree, Problem> {
        match self {
            Self::Json => jsonc::parse(text, source),
            Self::Toml => toml(text, source),
            Self::Yaml => yaml(text, source),
        }
    }
}

/// The text of a file, bounded.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    let failed = |e: std::io::Error| Problem::new(format!("cannot read {}: {e}", path.display()));
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Problem::new(format!(
            "{} has {size} bytes, at most {FILE_BYTES_MAX} are read",
            path.display()
        )));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> u32 {
    let before = text.as_bytes().iter().take(byte).filter(|&&b| b == b'\n').count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

fn toml(text: &str, source: &Arc<str>) -> Result<Tree, Problem> {
    let document = Document::parse(text).map_err(|e| {
        let line = line_of(text, e.span().map_or(0, |s| s.start));
        let message = e.message().lines().collect::<Vec<_>>().join(", ");
        Problem::new(format!("not valid TOML: {message}")).at(&Place::file(source, line))
    })?;
    let place = Place::file(source, 1);
    Ok(Toml { text, source }.item(document.as_item(), &place))
}

struct Toml<'t> {
    text: &'t str,
    source: &'t Arc<str>,
}

impl Toml<'_> {
    fn place(&self, span: Option<std::ops::Range<usize>>, outer: &Place) -> Place {
        span.map_or_else(
            || outer.clone(),
            |s| Place::file(self.source, line_of(self.text, s.start)),
        )
    }

    fn item(&self, item: &Item, outer: &Place) -> Tree {
        let place = self.place(item.span(), outer);
        let kind = match item {
            Item::None => Kind::Null,
            Item::Value(value) => return self.value(value, outer),
            Item::Table(table) => {
                let keys = table.iter().filter_map(|(key, _)| table.get_key_value(key));
                Kind::Table(
                    keys.map(|(key, item)| self.entry(key, self.item(item, &place))).collect(),
                )
            }
            Item::ArrayOfTables(tables) => {
                let items = tables.iter().map(|t| self.item(&Item::Table(t.clone()), &place));
                Kind::List(items.collect())
            }
        };
        Tree::new(kind, place)
    }

    fn entry(&self, key: &toml_edit::Key, value: Tree) -> Entry {
        let place = self.place(key.span(), &value.place);
        Entry { key: key.get().to_owned(), place, key_span: (0, 0), value }
    }

    fn value(&self, value: &Value, outer: &Place) -> Tree {
        let place = self.place(value.span(), outer);
        let kind = match value {
            Value::String(s) => Kind::Text(s.value().clone()),
            Value::Integer(n) => Kind::Number(Number::from(*n.value())),
            Value::Float(n) => Number::from_f64(*n.value()).map_or(Kind::Null, Kind::Number),
            Value::Boolean(b) => Kind::Bool(*b.value()),
            Value::Datetime(d) => Kind::Text(d.value().to_string()),
            Value::Array(items) => {
                Kind::List(items.iter().map(|v| self.value(v, &place)).collect())
            }
            Value::InlineTable(table) => {
                let keys = table.iter().filter_map(|(key, _)| table.get_key_value(key));
                Kind::Table(
                    keys.map(|(key, item)| self.entry(key, self.item(item, &place))).collect(),
                )
            }
        };
        Tree::new(kind, place)
    }
}

fn yaml(text: &str, source: &Arc<str>) -> Result<Tree, Problem> {
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(Tree::new(Kind::Table(Vec::new()), Place::file(source, 1)));
    }
    let read: Yaml = serde_saphyr::from_str(text).map_err(|e| {
        let line = e.location().map_or(1, |l| u32::try_from(l.line()).unwrap_or(1));
        // The first line is the reason; the rest quotes the file, which may hold secrets.
        let message = e.to_string();
        let reason = message.lines().next().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        // `line 2 column 8: ` is told by the place; advice to programmers is left out.
        let reason = match reason.split_once(": ") {
            Some((place, rest)) if place.starts_with("line ") => rest,
            _ => reason,
        };
        let reason = reason.split(", set ").next().unwrap_or_default();
        Problem::new(format!("not valid YAML: {reason}")).at(&Place::file(source, line))
    })?;
    Ok(read.tree(source))
}

/// A YAML node with its place.
struct Yaml(Spanned<Node>);

enum Node {
    Leaf(Kind),
    List(Vec<Yaml>),
    Table(Vec<(Spanned<String>, Yaml)>),
}

impl Yaml {
    fn tree(self, source: &Arc<str>) -> Tree {
        let place = yaml_place(source, &self.0.defined);
        let kind = match self.0.value {
            Node::Leaf(kind) => kind,
            Node::List(items) => Kind::List(items.into_iter().map(|i| i.tree(source)).collect()),
            Node::Table(pairs) => {
                let entry = |(key, value): (Spanned<String>, Self)| {
                    let place = yaml_place(source, &key.defined);
                    Entry { key: key.value, place, key_span: (0, 0), value: value.tree(source) }
                };
                Kind::Table(pairs.into_iter().map(entry).collect())
            }
        };
        Tree::new(kind, place)
    }
}

fn yaml_place(source: &Arc<str>, location: &serde_saphyr::Location) -> Place {
    Place::file(source, u32::try_from(location.line()).unwrap_or(1).max(1))
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Node>::deserialize(deserializer).map(Yaml)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Bool(b)))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Number(n.into())))
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Number(n.into())))
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Node, E> {
        Ok(Node::Leaf(Number::from_f64(n).map_or(Kind::Null, Kind::Number)))
    }

    fn visit_str<E: de::Error>(self, s: &str) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Text(s.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Kind::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Node::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            all.push(pair);
        }
        Ok(Node::Table(all))
    }
}
