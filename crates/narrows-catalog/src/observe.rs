//! Shapes of results, learned where no schema declares them. Never values.

use crate::typing::{Field, Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const DEPTH_MAX: usize = 5;
const KEYS_MAX: usize = 40;
const ITEMS_MAX: usize = 50;

/// The shape of values that were seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Scalar kinds that were seen: `string`, `number`, `boolean`, `null`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scalars: Vec<String>,
    /// The items of arrays that were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    array: Option<Box<Shape>>,
    /// The members of objects that were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<Members>,
    /// Beyond the bounds: anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    any: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Members {
    /// Each key, and whether every object had it.
    keys: BTreeMap<String, (bool, Shape)>,
    /// Too many keys to be members: a map of values of this shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<Box<Shape>>,
}

impl Shape {
    /// The shape of one value, bounded in depth and width.
    pub fn of(value: &Value) -> Self {
        Self::at(value, 0)
    }

    fn at(value: &Value, depth: usize) -> Self {
        let scalar = |kind: &str| Self { scalars: vec![kind.to_owned()], ..Self::default() };
        match value {
            Value::Null => scalar("null"),
            Value::Bool(_) => scalar("boolean"),
            Value::Number(_) => scalar("number"),
            Value::String(_) => scalar("string"),
            _ if depth >= DEPTH_MAX => Self { any: true, ..Self::default() },
            Value::Array(items) => {
                let item = items
                    .iter()
                    .take(ITEMS_MAX)
                    .map(|item| Self::at(item, depth + 1))
                    .reduce(Self::merge)
                    .unwrap_or_default();
                Self { array: Some(Box::new(item)), ..Self::default() }
            }
            Value::Object(members) => {
                let keys = members
                    .iter()
                    .map(|(key, value)| (key.clone(), (true, Self::at(value, depth + 1))))
                    .collect();
                Self { object: Some(Members { keys, map: None }.bounded()), ..Self::default() }
            }
        }
    }

    /// The shape of values of either shape.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.any |= other.any;
        for kind in other.scalars {
            if !self.scalars.contains(&kind) {
                self.scalars.push(kind);
            }
        }
        self.scalars.sort();
        self.array = match (self.array, other.array) {
            (Some(a), Some(b)) => Some(Box::new(a.merge(*b))),
            (a, b) => a.or(b),
        };
        self.object = match (self.object, other.object) {
            (Some(a), Some(b)) => Some(a.merge(b)),
            (a, b) => a.or(b),
        };
        self
    }

    /// The shape as a type.
    pub(crate) fn to_type(&self) -> Type {
        let mut types: Vec<Type> = Vec::new();
        for kind in &self.scalars {
            types.push(match kind.as_str() {
                "string" => Type::String,
                "number" => Type::Number,
                "boolean" => Type::Boolean,
                _ => Type::Null,
            });
        }
        if let Some(item) = &self.array {
            types.push(Type::Array(Box::new(item.to_type())));
        }
        if let Some(object) = &self.object {
            types.push(object.to_type());
        }
        match types.len() {
            _ if self.any => Type::Any,
            0 => Type::Any,
            1 => types.remove(0),
            _ => Type::Union(types),
        }
    }
}

impl Members {
    /// Objects with very many keys are maps.
    fn bounded(mut self) -> Self {
        if self.keys.len() > KEYS_MAX {
            let values = std::mem::take(&mut self.keys).into_values().map(|(_, shape)| shape);
            let map = self.map.take().map(|m| *m);
            self.map = map.into_iter().chain(values).reduce(Shape::merge).map(Box::new);
        }
        self
    }

    fn merge(mut self, other: Self) -> Self {
        for (key, (always, _)) in &mut self.keys {
            *always &= other.keys.contains_key(key);
        }
        for (key, (always, shape)) in other.keys {
            match self.keys.remove(&key) {
                Some((ours, known)) => {
                    self.keys.insert(key, (ours && always, known.merge(shape)));
                }
                None => {
                    self.keys.insert(key, (false, shape));
                }
            }
        }
        self.map = match (self.map, other.map) {
            (Some(a), Some(b)) => Some(Box::new(a.merge(*b))),
            (a, b) => a.or(b),
        };
        self.bounded()
    }

    fn to_type(&self) -> Type {
        let fields: Vec<Field> = self
            .keys
            .iter()
            .map(|(name, (always, shape))| Field {
                name: name.clone(),
                ty: shape.to_type(),
                required: *always,
            })
            .collect();
        let rest = self.map.as_ref().map(|shape| Box::new(shape.to_type()));
        if fields.is_empty() {
            return Type::Record(rest.unwrap_or_else(|| Box::new(Type::Any)));
        }
        Type::Object { fields, rest }
    }
}

/// What was seen of each tool's results.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    shapes: HashMap<(String, String), Shape>,
}

impl Observations {
    /// Sets what is known of a tool.
    pub fn insert(&mut self, server: String, tool: String, shape: Shape) {
        self.shapes.insert((server, tool), shape);
    }

    /// What is known of a tool.
    pub fn get(&self, server: &str, tool: &str) -> Option<&Shape> {
        self.shapes.get(&(server.to_owned(), tool.to_owned()))
    }

    /// Learns one more shape; gives what is known then, if that is news.
    pub fn merge(&mut self, server: &str, tool: &str, shape: Shape) -> Option<&Shape> {
        let key = (server.to_owned(), tool.to_owned());
        let merged = match self.shapes.get(&key) {
            Some(known) => known.clone().merge(shape),
            None => shape,
        };
        if self.shapes.get(&key) == Some(&merged) {
            return None;
        }
        self.shapes.insert(key.clone(), merged);
        self.shapes.get(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::{Observations, Shape};
    use crate::typing::typescript;
    use serde_json::json;

    fn seen(values: &[serde_json::Value]) -> String {
        let shape = values.iter().map(Shape::of).reduce(Shape::merge).unwrap();
        typescript::render(&shape.to_type(), typescript::FULL)
    }

    #[test]
    fn shapes_become_types() {
        assert_eq!(seen(&[json!({"a": 1, "b": [true]})]), "{a: number; b: boolean[]}");
        assert_eq!(
            seen(&[json!({"a": 1}), json!({"a": "x", "c": null})]),
            "{a: number | string; c?: null}"
        );
        assert_eq!(seen(&[json!([])]), "unknown[]");
        let many: serde_json::Map<_, _> = (0..100).map(|i| (format!("k{i}"), json!(i))).collect();
        assert_eq!(seen(&[json!(many)]), "Record<string, number>");
    }

    #[test]
    fn only_news_is_news() {
        let mut all = Observations::default();
        assert!(all.merge("s", "t", Shape::of(&json!({"a": 1}))).is_some());
        assert!(all.merge("s", "t", Shape::of(&json!({"a": 2}))).is_none());
        assert!(all.merge("s", "t", Shape::of(&json!({}))).is_some());
        let text = serde_json::to_string(all.get("s", "t").unwrap()).unwrap();
        let back: Shape = serde_json::from_str(&text).unwrap();
        assert_eq!(Some(&back), all.get("s", "t"));
    }
}
