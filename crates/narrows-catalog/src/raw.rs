//! What we read in, and put into, JSON that is passed on as text.

use narrows_types::raw::{Edit, edit, get, get_text, quoted};
use serde_json::value::RawValue;

/// The object with this text as the value of a member. `None` if it is no object.
pub fn replaced(object: &RawValue, name: &str, value: &str) -> Option<Box<RawValue>> {
    let edited = edit(object.get(), &[Edit::Set(name, &quoted(value))]).ok()?;
    RawValue::from_string(edited.into_owned()).ok()
}

/// The result with one more entry in its `_meta`. `None` if it is no object.
pub fn with_meta(result: &RawValue, key: &str, value: &str) -> Option<Box<RawValue>> {
    let old = get(result.get(), "_meta").unwrap_or("{}");
    let entry = [Edit::Set(key, value)];
    let meta = edit(old, &entry).or_else(|_broken| edit("{}", &entry)).ok()?;
    let edited = edit(result.get(), &[Edit::Set("_meta", &meta)]).ok()?;
    RawValue::from_string(edited.into_owned()).ok()
}

/// The `ui://` resource that a tool's definition names (MCP Apps).
pub(crate) fn ui(definition: &RawValue) -> Option<String> {
    // Nearly all tools have none; that is seen without parsing.
    if !definition.get().contains("esourceUri") {
        return None;
    }
    let meta = get(definition.get(), "_meta")?;
    let nested = get(meta, "ui").and_then(|ui| get_text(ui, "resourceUri"));
    nested.or_else(|| get_text(meta, "ui/resourceUri")).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::{replaced, ui, with_meta};
    use serde_json::value::RawValue;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn only_the_member_changes() {
        let tool = raw(r#"{ "x": 1e2, "name" : "a", "inner": {"name":"b"} }"#);
        let renamed = replaced(&tool, "name", "s.\"a").unwrap();
        assert_eq!(renamed.get(), r#"{"x": 1e2,"name":"s.\"a","inner": {"name":"b"}}"#);
        assert!(replaced(&raw("[1]"), "name", "a").is_none());
    }

    #[test]
    fn meta_keeps_what_it_has() {
        let meta = |text: &str| {
            let told = with_meta(&raw(text), "k", "1").unwrap();
            serde_json::from_str::<serde_json::Value>(told.get()).unwrap()["_meta"].to_string()
        };
        assert_eq!(meta(r#"{"content":[]}"#), r#"{"k":1}"#);
        assert_eq!(meta(r#"{"content":[],"_meta":{"a":2}}"#), r#"{"a":2,"k":1}"#);
        assert_eq!(meta(r#"{"_meta":null}"#), r#"{"k":1}"#);
    }

    #[test]
    fn apps_are_known_by_both_spellings() {
        let nested = raw(r#"{"name":"a","_meta":{"ui":{"resourceUri":"ui://a"}}}"#);
        assert_eq!(ui(&nested).as_deref(), Some("ui://a"));
        let flat = raw(r#"{"name":"a","_meta":{"ui/resourceUri":"ui://b"}}"#);
        assert_eq!(ui(&flat).as_deref(), Some("ui://b"));
        assert_eq!(ui(&raw(r#"{"name":"resourceUri"}"#)), None);
    }
}
