//! Results of upstreams on their way to a client: as they came, but for what an era adds.

use super::{Keep, Rules};
use narrows_types::ListKind;
use narrows_types::Listed;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// The members of a result that an era has or has not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline<'a> {
    #[serde(borrow, default)]
    result_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ttl_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_scope: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow, default)]
    meta: Option<&'a RawValue>,
}

/// A result that is of no shape that we know goes as it came.
pub(super) fn passed(
    result: Box<RawValue>,
    rules: Rules,
    keep: Option<Keep>,
    introduction: &RawValue,
) -> Box<RawValue> {
    let Ok(outline) = serde_json::from_str::<Outline<'_>>(result.get()) else { return result };
    let changed = match rules {
        Rules::Modern => modern(result.get(), &outline, keep, introduction),
        Rules::Legacy(_) if outline.result_type.is_some() => legacy(result.get()),
        Rules::Legacy(_) => None,
    };
    changed.and_then(|text| RawValue::from_string(text).ok()).unwrap_or(result)
}

/// Adds what a result of the modern era must have and this one lacks.
fn modern(
    text: &str,
    outline: &Outline<'_>,
    keep: Option<Keep>,
    introduction: &RawValue,
) -> Option<String> {
    let rest = text.strip_prefix('{')?.trim_start();
    let mut added = String::new();
    let kind = outline.result_type.map_or("\"complete\"", RawValue::get);
    if outline.result_type.is_none() {
        added.push_str(r#""resultType":"complete","#);
    }
    if let Some(keep) = keep.filter(|_| kind == "\"complete\"") {
        if outline.ttl_ms.is_none() {
            let _infallible = write!(added, r#""ttlMs":{},"#, keep.ttl_ms);
        }
        if outline.cache_scope.is_none() {
            let _infallible = write!(added, r#""cacheScope":"{}","#, keep.cache_scope);
        }
    }
    if outline.meta.is_none() {
        let key = narrows_protocol::meta::SERVER_INFO;
        let _infallible = write!(added, r#""_meta":{{"{key}":{introduction}}},"#);
    }
    if added.is_empty() {
        return None;
    }
    if rest == "}" {
        added.pop();
    }
    Some(format!("{{{added}{rest}"))
}

/// Takes away what only the modern era has. Such a result is small work beside what made it.
fn legacy(text: &str) -> Option<String> {
    let mut members: Vec<(String, &RawValue)> = members(text)?;
    members.retain(|(key, _)| !matches!(key.as_str(), "resultType" | "ttlMs" | "cacheScope"));
    let mut out = String::with_capacity(text.len());
    out.push('{');
    for (key, value) in members {
        let value = if key == "_meta" { legacy_meta(value)? } else { value.get().to_owned() };
        if key == "_meta" && value == "{}" {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(&key).ok()?);
        out.push(':');
        out.push_str(&value);
    }
    out.push('}');
    Some(out)
}

fn legacy_meta(meta: &RawValue) -> Option<String> {
    let mut members = members(meta.get())?;
    members.retain(|(key, _)| key != narrows_protocol::meta::SERVER_INFO);
    let parts: Option<Vec<String>> = members
        .iter()
        .map(|(key, value)| Some(format!("{}:{value}", serde_json::to_string(key).ok()?)))
        .collect();
    Some(format!("{{{}}}", parts?.join(",")))
}

/// The members of an object in their order.
fn members(text: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde::Deserializer::deserialize_map(&mut reader, Members).ok()
}

/// A page of a list as a result.
pub(super) fn listed(
    listed: &Listed,
    kind: ListKind,
    rules: Rules,
    introduction: &RawValue,
) -> Option<Box<RawValue>> {
    let mut text = format!(r#"{{"{}":{}"#, kind.member(), listed.items);
    if let Some(cursor) = &listed.next_cursor {
        let cursor = serde_json::to_string(cursor).ok()?;
        let _infallible = write!(text, r#","nextCursor":{cursor}"#);
    }
    if rules == Rules::Modern {
        let scope = if listed.private { "private" } else { "public" };
        let key = narrows_protocol::meta::SERVER_INFO;
        let _infallible = write!(
            text,
            r#","ttlMs":{},"cacheScope":"{scope}","resultType":"complete","_meta":{{"{key}":{introduction}}}"#,
            listed.ttl_ms
        );
    }
    text.push('}');
    RawValue::from_string(text).ok()
}

/// Parameters with a member more at their front.
pub(crate) fn with_member(
    params: Option<&RawValue>,
    key: &str,
    value: &str,
) -> Option<Box<RawValue>> {
    let rest = match params {
        Some(params) => params.get().strip_prefix('{')?.trim_start(),
        None => "}",
    };
    let comma = if rest == "}" { "" } else { "," };
    RawValue::from_string(format!(r#"{{"{key}":{value}{comma}{rest}"#)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_protocol::Revision;

    fn pass(text: &str, rules: Rules, keep: Option<Keep>) -> String {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        passed(raw(text), rules, keep, &raw(r#"{"name":"n"}"#)).get().to_owned()
    }

    const KEEP: Keep = Keep { ttl_ms: 0, cache_scope: "private" };
    const LEGACY: Rules = Rules::Legacy(Revision::LATEST_LEGACY);

    #[test]
    fn a_modern_result_goes_as_it_came() {
        let whole = r#"{ "contents" : [ ],"resultType":"complete","ttlMs":5,"cacheScope":"public","_meta":{}}"#;
        assert_eq!(pass(whole, Rules::Modern, Some(KEEP)), whole);
        let asks = r#"{"resultType":"input_required","inputRequests":{},"_meta":{}}"#;
        assert_eq!(pass(asks, Rules::Modern, Some(KEEP)), asks, "a question is never kept");
    }

    #[test]
    fn what_a_modern_result_must_have_is_added() {
        let info = r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n"}}"#;
        assert_eq!(
            pass("{}", Rules::Modern, None),
            format!(r#"{{"resultType":"complete",{info}}}"#)
        );
        assert_eq!(
            pass(r#"{ "a" : 1.0 }"#, Rules::Modern, Some(KEEP)),
            format!(
                r#"{{"resultType":"complete","ttlMs":0,"cacheScope":"private",{info},"a" : 1.0 }}"#
            )
        );
    }

    #[test]
    fn a_legacy_client_sees_nothing_of_the_modern_era() {
        let text = r#"{"resultType":"complete","content":[ {"a":1.50} ],"ttlMs":1,"_meta":{"io.modelcontextprotocol/serverInfo":{},"k":[ ]}}"#;
        assert_eq!(pass(text, LEGACY, None), r#"{"content":[ {"a":1.50} ],"_meta":{"k":[ ]}}"#);
        let own = r#"{"content":[],"ttlMs":1}"#;
        assert_eq!(pass(own, LEGACY, None), own, "an upstream's own member stays");
    }

    #[test]
    fn a_member_is_put_in_front() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let put = |text: &str| with_member(Some(&raw(text)), "t", "7").unwrap().get().to_owned();
        assert_eq!(put("{}"), r#"{"t":7}"#);
        assert_eq!(put(r#"{ "a":1}"#), r#"{"t":7,"a":1}"#);
        assert_eq!(with_member(None, "t", "\"x\"").unwrap().get(), r#"{"t":"x"}"#);
    }
}
