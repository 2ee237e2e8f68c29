//! Secrets that a journal must not hold: members that a tool's schema marks, or whose name the
//! config knows.

use narrows_types::wildcard::fits;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";
/// How deep it is looked: as deep as a text is read.
const DEPTH_MAX: usize = 128;
/// Schemas that one value is looked at by: those that refer to themselves have no end.
const SCHEMAS_MAX: usize = 64;
/// Members of a schema whose schemas are for the same value.
const SAME: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const BRANCHES: [&str; 2] = ["then", "else"];

/// The text without its secrets; none if it has none. `schema` says what is one, and `names` are
/// patterns of members' names, in lower case.
pub(crate) fn redacted(
    json: &RawValue,
    schema: Option<&Value>,
    names: &[String],
) -> Option<Box<RawValue>> {
    let schema = schema.filter(|schema| marks(schema, 0));
    if names.is_empty() && schema.is_none() {
        return None;
    }
    let mut value: Value = serde_json::from_str(json.get()).ok()?;
    let walk = Walk { root: schema.unwrap_or(&Value::Null), names };
    let schemas = walk.whole(schema.into_iter().collect());
    walk.clear(&mut value, &schemas, 0).then(|| to_raw_value(&value).ok()).flatten()
}

struct Walk<'a> {
    root: &'a Value,
    names: &'a [String],
}

impl<'a> Walk<'a> {
    /// Takes the secrets out of a value that all of these schemas may be for.
    fn clear(&self, value: &mut Value, schemas: &[&'a Value], depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        if schemas.iter().any(|schema| is_secret(schema)) {
            *value = Value::String(REDACTED.to_owned());
            return true;
        }
        let mut found = false;
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let lower = name.to_lowercase();
                    let named = |pattern: &String| fits(pattern, &lower);
                    if value.is_string() && self.names.iter().any(named) {
                        *value = Value::String(REDACTED.to_owned());
                        found = true;
                        continue;
                    }
                    let inner = schemas.iter().filter_map(|schema| member(schema, name));
                    found |= self.clear(value, &self.whole(inner.collect()), depth + 1);
                }
            }
            Value::Array(items) => {
                for (at, value) in items.iter_mut().enumerate() {
                    let inner = schemas.iter().filter_map(|schema| item(schema, at));
                    found |= self.clear(value, &self.whole(inner.collect()), depth + 1);
                }
            }
            _ => {}
        }
        found
    }

    /// These schemas with all that they refer to or consist of. Of branches any may hold: what one of
    /// them calls secret is taken for it.
    fn whole(&self, mut schemas: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut at = 0;
        while let Some(schema) = schemas.get(at).copied() {
            at += 1;
            let branches = SAME.iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
            let more = branches
                .chain(BRANCHES.iter().filter_map(|name| schema.get(name)))
                .chain(self.referred(schema));
            for schema in more {
                if schemas.len() < SCHEMAS_MAX && !schemas.iter().any(|s| std::ptr::eq(*s, schema))
                {
                    schemas.push(schema);
                }
            }
        }
        schemas
    }

    /// What a schema refers to within its own text.
    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }
}

/// What a schema says of a member.
fn member<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|members| members.get(name));
    named.or_else(|| schema.get("additionalProperties"))
}

/// What a schema says of an item.
fn item(schema: &Value, at: usize) -> Option<&Value> {
    let first = schema.get("prefixItems").or_else(|| schema.get("items"));
    first.and_then(|items| items.get(at)).or_else(|| schema.get("items"))
}

/// Whether a schema marks anything, wherever: most do not, and then nothing needs to be read.
fn marks(schema: &Value, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return true;
    }
    match schema {
        Value::Object(members) => {
            is_secret(schema) || members.values().any(|inner| marks(inner, depth + 1))
        }
        Value::Array(items) => items.iter().any(|inner| marks(inner, depth + 1)),
        _ => false,
    }
}

/// Whether a schema says that its value is not to be shown.
fn is_secret(schema: &Value) -> bool {
    let said = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
    schema.get("format").and_then(Value::as_str) == Some("password")
        || said("writeOnly")
        || said("x-secret")
}

#[cfg(test)]
mod tests {
    use super::redacted;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    #[test]
    fn secrets_go_and_all_else_stays() {
        let schema = json!({"properties": {
            "pin": {"format": "password"},
            "list": {"items": {"properties": {"key": {"writeOnly": true}}}},
        }});
        let names = ["*password*".to_owned()];
        let given = json!({"pin": 1234, "list": [{"key": "k", "id": 1}], "a": {"dbPassword": "p"},
            "password_length": 8});
        let text = redacted(&to_raw_value(&given).unwrap(), Some(&schema), &names).unwrap();
        assert_eq!(
            text.get(),
            r#"{"pin":"[redacted]","list":[{"key":"[redacted]","id":1}],"a":{"dbPassword":"[redacted]"},"password_length":8}"#
        );
        let plain = to_raw_value(&json!({"q": "my password is x"})).unwrap();
        assert!(redacted(&plain, Some(&schema), &names).is_none());
    }

    #[test]
    fn a_secret_is_found_wherever_the_schema_says_it() {
        let schema = json!({
            "properties": {
                "user": {"$ref": "#/$defs/user"},
                "either": {"anyOf": [{"type": "null"}, {"format": "password"}]},
                "all": {"allOf": [{"properties": {"key": {"x-secret": true}}}]},
                "pair": {"prefixItems": [{"type": "string"}, {"writeOnly": true}]},
            },
            "additionalProperties": {"oneOf": [{"properties": {"pin": {"writeOnly": true}}}]},
            "$defs": {"user": {"properties": {
                "token": {"x-secret": true},
                "friend": {"$ref": "#/$defs/user"},
            }}},
        });
        let given = json!({
            "user": {"token": "t", "friend": {"token": "u", "id": 2}, "id": 1},
            "either": "e", "all": {"key": "k", "id": 3}, "pair": ["a", "b"],
            "other": {"pin": 1, "id": 4},
        });
        let text = redacted(&to_raw_value(&given).unwrap(), Some(&schema), &[]).unwrap();
        let gone = "[redacted]";
        let expected = json!({
            "user": {"token": gone, "friend": {"token": gone, "id": 2}, "id": 1},
            "either": gone, "all": {"key": gone, "id": 3}, "pair": ["a", gone],
            "other": {"pin": gone, "id": 4},
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(text.get()).unwrap(), expected);
        let endless = json!({"$ref": "#", "properties": {"a": {"$ref": "#/properties/a"}},
            "$defs": {"x": {"writeOnly": true}}});
        assert!(redacted(&to_raw_value(&given).unwrap(), Some(&endless), &[]).is_none());
    }
}
