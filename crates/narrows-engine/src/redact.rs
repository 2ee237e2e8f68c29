//! Secrets that a journal must not hold: members that a tool's schema marks, or whose name the
//! config knows.

use narrows_types::wildcard::fits;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// What stands in a secret's place.
const REDACTED: &str = "[redacted]";
/// How deep it is looked.
const DEPTH_MAX: usize = 32;

/// The text without its secrets; none if it has none. `schema` says what is one, and `names` are
/// patterns of members' names, in lower case.
pub(crate) fn redacted(
    json: &RawValue,
    schema: Option<&Value>,
    names: &[String],
) -> Option<Box<RawValue>> {
    if names.is_empty() && !schema.is_some_and(|schema| marks(schema, 0)) {
        return None;
    }
    let mut value: Value = serde_json::from_str(json.get()).ok()?;
    walk(&mut value, schema, names, 0).then(|| to_raw_value(&value).ok()).flatten()
}

fn walk(value: &mut Value, schema: Option<&Value>, names: &[String], depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    let mut found = false;
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let schema = schema.and_then(|s| s.get("properties")?.get(name));
                let lower = name.to_lowercase();
                let named = value.is_string() && names.iter().any(|pattern| fits(pattern, &lower));
                if named || schema.is_some_and(is_secret) {
                    *value = Value::String(REDACTED.to_owned());
                    found = true;
                } else {
                    found |= walk(value, schema, names, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.and_then(|s| s.get("items"));
            for item in items {
                found |= walk(item, schema, names, depth + 1);
            }
        }
        _ => {}
    }
    found
}

/// Whether a schema marks anything: most do not, and then nothing needs to be read.
fn marks(schema: &Value, depth: usize) -> bool {
    let members = schema.get("properties").and_then(Value::as_object);
    let mut inner = members.into_iter().flat_map(|m| m.values()).chain(schema.get("items"));
    is_secret(schema) || depth < DEPTH_MAX && inner.any(|schema| marks(schema, depth + 1))
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
}
