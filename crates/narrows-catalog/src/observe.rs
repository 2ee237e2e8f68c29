//! Shapes of results, learned where no schema declares them. Never values.

use crate::typing::{Field, Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const DEPTH_MAX: usize = 5;
const KEYS_MAX: usize = 40;
const ITEMS_MAX: usize = 50;
/// Bytes of a key; an object with longer ones is a map.
const KEY_BYTES_MAX: usize = 128;
/// Scalars, arrays, objects and members of one shape.
const NODES_MAX: usize = 400;

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
        Self::at(value, 0).bounded()
    }

    fn anything() -> Self {
        Self { any: true, ..Self::default() }
    }

    fn at(value: &Value, depth: usize) -> Self {
        let scalar = |kind: &str| Self { scalars: vec![kind.to_owned()], ..Self::default() };
        match value {
            Value::Null => scalar("null"),
            Value::Bool(_) => scalar("boolean"),
            Value::Number(_) => scalar("number"),
            Value::String(_) => scalar("string"),
            _ if depth >= DEPTH_MAX => Self::anything(),
            Value::Array(items) => {
                let item = items
                    .iter()
                    .take(ITEMS_MAX)
                    .map(|item| Self::at(item, depth + 1))
                    .reduce(Self::join)
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
    pub fn merge(self, other: Self) -> Self {
        self.join(other).bounded()
    }

    /// Whether a value of the other shape is no news: merging it would change nothing.
    pub fn covers(&self, other: &Self) -> bool {
        fn inner(ours: Option<&Shape>, theirs: Option<&Shape>) -> bool {
            theirs.is_none_or(|theirs| ours.is_some_and(|ours| ours.covers(theirs)))
        }
        if self.any || other.any {
            return self.any;
        }
        other.scalars.iter().all(|kind| self.scalars.contains(kind))
            && inner(self.array.as_deref(), other.array.as_deref())
            && match (&self.object, &other.object) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(ours), Some(theirs)) => ours.covers(theirs),
            }
    }

    /// What lies too deep may be anything, until the rest is small enough.
    fn bounded(mut self) -> Self {
        let mut depth = DEPTH_MAX;
        while depth > 0 && self.nodes() > NODES_MAX {
            depth -= 1;
            self.cut(depth);
        }
        self
    }

    fn nodes(&self) -> usize {
        let array = self.array.as_ref().map_or(0, |item| item.nodes());
        let object = self.object.as_ref().map_or(0, |members| {
            let map = members.map.as_ref().map_or(0, |value| value.nodes());
            members.keys.values().map(|(_, shape)| shape.nodes()).sum::<usize>() + map
        });
        1 + self.scalars.len() + array + object
    }

    fn cut(&mut self, depth: usize) {
        if depth == 0 {
            if self.array.is_some() || self.object.is_some() {
                *self = Self::anything();
            }
            return;
        }
        let members = self.object.iter_mut().flat_map(|members| {
            let keys = members.keys.values_mut().map(|(_, shape)| shape);
            keys.chain(members.map.as_deref_mut())
        });
        for inner in members.chain(self.array.as_deref_mut()) {
            inner.cut(depth - 1);
        }
    }

    fn join(mut self, other: Self) -> Self {
        if self.any || other.any {
            return Self::anything();
        }
        for kind in other.scalars {
            if !self.scalars.contains(&kind) {
                self.scalars.push(kind);
            }
        }
        self.scalars.sort();
        self.array = match (self.array, other.array) {
            (Some(a), Some(b)) => Some(Box::new(a.join(*b))),
            (a, b) => a.or(b),
        };
        self.object = match (self.object, other.object) {
            (Some(a), Some(b)) => Some(a.join(b)),
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
    /// Objects with very many keys, or with keys that are data, are maps; and a map stays one, or
    /// each new key of it would be news.
    fn bounded(mut self) -> Self {
        let map = !self.keys.is_empty()
            && (self.map.is_some()
                || self.keys.len() > KEYS_MAX
                || self.keys.keys().any(|key| key.len() > KEY_BYTES_MAX));
        if map {
            let values = std::mem::take(&mut self.keys).into_values().map(|(_, shape)| shape);
            let map = self.map.take().map(|m| *m);
            self.map = map.into_iter().chain(values).reduce(Shape::join).map(Box::new);
        }
        self
    }

    fn covers(&self, other: &Self) -> bool {
        if let Some(map) = &self.map {
            // A shape that was stored by an earlier version may have both.
            let values = other.keys.values().map(|(_, shape)| shape);
            return self.keys.is_empty()
                && values.chain(other.map.as_deref()).all(|v| map.covers(v));
        }
        let known = |(key, (always, shape)): (&String, &(bool, Shape))| {
            self.keys
                .get(key)
                .is_some_and(|(ours, known)| (*always || !*ours) && known.covers(shape))
        };
        let present = |(key, (always, _)): (&String, &(bool, Shape))| {
            !*always || other.keys.contains_key(key)
        };
        other.map.is_none() && other.keys.iter().all(known) && self.keys.iter().all(present)
    }

    fn join(mut self, other: Self) -> Self {
        for (key, (always, _)) in &mut self.keys {
            *always &= other.keys.contains_key(key);
        }
        for (key, (always, shape)) in other.keys {
            match self.keys.remove(&key) {
                Some((ours, known)) => {
                    self.keys.insert(key, (ours && always, known.join(shape)));
                }
                None => {
                    self.keys.insert(key, (false, shape));
                }
            }
        }
        self.map = match (self.map, other.map) {
            (Some(a), Some(b)) => Some(Box::new(a.join(*b))),
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
    shapes: HashMap<(String, String), Arc<Shape>>,
}

impl Observations {
    /// Sets what is known of a tool.
    pub fn insert(&mut self, server: String, tool: String, shape: Shape) {
        self.shapes.insert((server, tool), Arc::new(shape));
    }

    /// What is known of a tool.
    pub fn get(&self, server: &str, tool: &str) -> Option<&Arc<Shape>> {
        self.shapes.get(&(server.to_owned(), tool.to_owned()))
    }

    /// Learns one more shape; gives what is known then, if that is news.
    pub fn merge(&mut self, server: &str, tool: &str, shape: Shape) -> Option<&Shape> {
        let merged = match self.get(server, tool) {
            Some(known) if known.covers(&shape) => return None,
            Some(known) => Shape::clone(known).merge(shape),
            None => shape,
        };
        let slot = self.shapes.entry((server.to_owned(), tool.to_owned())).or_default();
        *slot = Arc::new(merged);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::{Observations, Shape};
    use crate::typing::typescript;
    use proptest::prelude::*;
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
        assert_eq!(Some(&back), all.get("s", "t").map(|known| &**known));
    }

    #[test]
    fn the_keys_of_a_map_are_no_news() {
        let mut all = Observations::default();
        let row = |i: usize| Shape::of(&json!({"rows": {format!("id-{i}"): {"size": i}}}));
        for i in 0..60 {
            let news = all.merge("s", "t", row(i)).is_some();
            assert_eq!(news, i <= 40, "{i}");
        }
        let known = all.get("s", "t").unwrap();
        let text = typescript::render(&known.to_type(), typescript::FULL);
        assert_eq!(text, "{rows: Record<string, {size: number}>}");
        assert!(all.merge("s", "t", Shape::of(&json!({"rows": {"x": {"size": "1"}}}))).is_some());
        let long = json!({"k".repeat(200): 1, "short": 2});
        assert_eq!(seen(&[long]), "Record<string, number>");
        // Stored by a version that told members beside a map.
        let stored: Shape = serde_json::from_value(json!({"object": {
            "keys": {"a": [false, {"scalars": ["number"]}]}, "map": {"scalars": ["number"]},
        }}))
        .unwrap();
        let merged = stored.clone().merge(Shape::of(&json!({"b": 1})));
        assert!(!stored.covers(&Shape::of(&json!({"b": 1}))));
        assert!(merged.covers(&Shape::of(&json!({"c": 2}))));
    }

    /// A value that branches at every level.
    fn wide(depth: usize) -> serde_json::Value {
        if depth == 0 {
            return json!(1);
        }
        let members = (0..12).map(|i| (format!("m{i}"), wide(depth - 1)));
        serde_json::Value::Object(members.collect())
    }

    #[test]
    fn a_shape_stays_small_and_learning_it_again_is_no_news() {
        let value = wide(4);
        let shape = Shape::of(&value);
        assert!(shape.nodes() <= super::NODES_MAX, "{}", shape.nodes());
        assert!(serde_json::to_string(&shape).unwrap().len() < 20_000);
        let mut all = Observations::default();
        assert!(all.merge("s", "t", shape).is_some());
        for _ in 0..3 {
            assert!(all.merge("s", "t", Shape::of(&value)).is_none());
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf =
            prop_oneof![Just(json!(null)), Just(json!(true)), Just(json!(1)), Just(json!("x"))];
        leaf.prop_recursive(6, 300, 50, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("[a-f]{1,2}", inner, 0..50)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What was learned is known, and only what changes nothing is no news.
        #[test]
        fn covering_is_what_merging_does(
            values in proptest::collection::vec(any_json(), 1..5), next in any_json()
        ) {
            let known = values.iter().map(Shape::of).reduce(Shape::merge).unwrap();
            let next = Shape::of(&next);
            let merged = known.clone().merge(next.clone());
            prop_assert_eq!(known.covers(&next), merged == known);
            for shape in values.iter().map(Shape::of).chain([next]) {
                prop_assert!(merged.covers(&shape));
            }
        }
    }
}
