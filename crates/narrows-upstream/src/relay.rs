//! Parameters on their way to an upstream: text in, text out. Only names and what of `_meta` belongs
//! to one hop are replaced; every other value stays as it was written.

use crate::wire::{Letter, Room};
use narrows_protocol::{Revision, meta};
use narrows_types::Method;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Members of parameters or of `_meta` that are taken.
const MEMBERS_MAX: usize = 1_024;
/// Room for what is added to a request.
const ADDED_BYTES: usize = 512;
/// What a client says to us and not to upstreams. Whoever reads `baggage` is somebody else's choice.
const ONE_HOP: [&str; 6] = [
    meta::PROTOCOL_VERSION,
    meta::CLIENT_CAPABILITIES,
    meta::CLIENT_INFO,
    meta::LOG_LEVEL,
    meta::PROGRESS_TOKEN,
    "baggage",
];

/// The members of an object, each value still text.
#[derive(Debug)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(4);
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                    few(members.len())?;
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

fn few<E: serde::de::Error>(members: usize) -> Result<(), E> {
    if members <= MEMBERS_MAX { Ok(()) } else { Err(E::custom("too many members")) }
}

impl<'a> Members<'a> {
    /// The members of an object; the error says what it is instead.
    pub(crate) fn of(text: &'a RawValue) -> Result<Self, String> {
        serde_json::from_str(text.get()).map_err(|e| e.to_string())
    }

    /// A member. Of two with one name the last counts, as for most readers.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    /// All members, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// A member that is a text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    /// The object without some of its members.
    pub(crate) fn without(&self, keys: &[&str]) -> Box<RawValue> {
        let mut text = String::from("{");
        for (key, value) in self.0.iter().filter(|(key, _)| !keys.contains(&key.as_ref())) {
            member(&mut text, key, value.get());
        }
        text.push('}');
        RawValue::from_string(text).unwrap_or_else(|_broken| RawValue::NULL.to_owned())
    }
}

/// Where the thing that a request is about is named.
fn named(method: Method) -> (&'static str, Option<&'static str>) {
    match method {
        Method::CallTool | Method::GetPrompt => ("name", None),
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe => ("uri", None),
        Method::CompletePrompt => ("ref", Some("name")),
        Method::CompleteResource => ("ref", Some("uri")),
        Method::GetTask | Method::UpdateTask | Method::CancelTask | Method::TaskResult => {
            ("taskId", None)
        }
    }
}

/// A request to be written for one upstream.
pub(crate) struct Relay<'a> {
    pub(crate) method: Method,
    /// The upstream's name for what it is about, if it is another than that in the parameters.
    pub(crate) name: Option<&'a str>,
    pub(crate) members: &'a Members<'a>,
    pub(crate) revision: Revision,
    /// What the caller can do and who it is, told with each modern request.
    pub(crate) capabilities: &'a str,
    pub(crate) info: &'a str,
    pub(crate) log_level: Option<&'a str>,
    /// Members in place of those of the same name.
    pub(crate) added: &'a [(&'static str, &'a str)],
}

impl Relay<'_> {
    /// The whole message.
    pub(crate) fn letter(&self, id: i64) -> Letter {
        let size: usize = self.members.0.iter().map(|(k, v)| k.len() + v.get().len() + 8).sum();
        let added: usize = self.added.iter().map(|(_, value)| value.len()).sum();
        let told = self.capabilities.len() + self.info.len();
        let mut text = String::with_capacity(size + added + told + ADDED_BYTES);
        let method = self.method.as_str();
        // A text never refuses to be written to.
        let _written =
            write!(text, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"#);
        self.members(&mut text);
        self.meta(&mut text, id);
        text.push_str("}}");
        let modern = self.revision.is_modern();
        let name = if modern { self.subject() } else { None };
        Letter {
            body: on_one_line(text),
            id: Some(id),
            method,
            name,
            revision: Some(self.revision),
            mirrored: Vec::new(),
            room: Room::default(),
        }
    }

    /// What modern servers want repeated in a header.
    fn subject(&self) -> Option<String> {
        match (named(self.method), self.name) {
            ((_, Some(_)), _) => None,
            (_, Some(name)) => Some(name.to_owned()),
            ((key, None), None) => self.members.text(key),
        }
    }

    fn members(&self, text: &mut String) {
        let (key, inner) = named(self.method);
        for (name, value) in &self.members.0 {
            if name == "_meta" || self.added.iter().any(|(added, _)| added == name) {
                continue;
            }
            match (self.name, inner) {
                (Some(ours), None) if name == key => member(text, name, &quoted(ours)),
                (Some(ours), Some(inner)) if name == key => {
                    member(text, name, &renamed(value, inner, ours));
                }
                _ => member(text, name, value.get()),
            }
        }
        for (name, value) in self.added {
            member(text, name, value);
        }
    }

    /// Writes `_meta`, if anything is in it. Progress has a token only if the caller gave one.
    fn meta(&self, text: &mut String, id: i64) {
        let kept = self.members.get("_meta").and_then(|meta| Members::of(meta).ok());
        let mut inside = String::new();
        let mut wants_progress = false;
        for (key, value) in kept.iter().flat_map(|kept| &kept.0) {
            wants_progress |= key == meta::PROGRESS_TOKEN;
            if !ONE_HOP.contains(&key.as_ref()) {
                member(&mut inside, key, value.get());
            }
        }
        if wants_progress {
            member(&mut inside, meta::PROGRESS_TOKEN, &id.to_string());
        }
        if self.revision.is_modern() {
            member(&mut inside, meta::PROTOCOL_VERSION, &quoted(self.revision.as_str()));
            member(&mut inside, meta::CLIENT_CAPABILITIES, self.capabilities);
            member(&mut inside, meta::CLIENT_INFO, self.info);
            if let Some(level) = self.log_level {
                member(&mut inside, meta::LOG_LEVEL, &quoted(level));
            }
        }
        if !inside.is_empty() {
            inside.insert(0, '{');
            inside.push('}');
            member(text, "_meta", &inside);
        }
    }
}

/// A message with no breaks: a line is a message, and in JSON they mean no more than blanks.
pub(crate) fn on_one_line(text: String) -> String {
    let bytes = text.as_bytes();
    if bytes.contains(&b'\n') || bytes.contains(&b'\r') {
        text.replace(['\n', '\r'], " ")
    } else {
        text
    }
}

/// Writes a member after those that are there.
fn member(text: &mut String, key: &str, value: &str) {
    if !text.is_empty() && !text.ends_with('{') {
        text.push(',');
    }
    if key.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\') {
        text.push('"');
        text.push_str(key);
        text.push('"');
    } else {
        text.push_str(&quoted(key));
    }
    text.push(':');
    text.push_str(value);
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    // A text is always JSON.
    serde_json::to_string(text).unwrap_or_default()
}

/// An object with one member replaced.
fn renamed(value: &RawValue, key: &str, name: &str) -> String {
    let Ok(members) = Members::of(value) else { return value.get().to_owned() };
    let mut text = String::from("{");
    for (member_key, value) in &members.0 {
        let value = if member_key == key { Cow::Owned(quoted(name)) } else { value.get().into() };
        member(&mut text, member_key, &value);
    }
    text.push('}');
    text
}

/// A value as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_broken| "null".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Members, Relay};
    use narrows_protocol::Revision;
    use narrows_types::Method;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    fn relayed(
        method: Method,
        name: Option<&str>,
        params: &str,
        revision: Revision,
    ) -> (String, Option<String>) {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        let members = Members::of(&params).unwrap();
        let added = [("requestState", "\"s\"")];
        let relay = Relay {
            method,
            name,
            members: &members,
            revision,
            capabilities: r#"{"roots":{}}"#,
            info: r#"{"name":"c"}"#,
            log_level: Some("debug"),
            added: if method == Method::GetPrompt { &added } else { &[] },
        };
        let letter = relay.letter(7);
        (letter.body, letter.name)
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let params =
            r#"{ "name":"a.b" , "arguments": { "n" : 1.50, "s":"\u00e9\n" } , "x\"y":[ ] }"#;
        let (text, name) = relayed(Method::CallTool, Some("b"), params, Revision::V2025_11_25);
        let expected = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"b","arguments":{ "n" : 1.50, "s":"\u00e9\n" },"x\"y":[ ]}}"#;
        assert_eq!((text.as_str(), name), (expected, None));
    }

    #[test]
    fn what_belongs_to_one_hop_is_replaced() {
        let params = r#"{"_meta":{"progressToken":"t","traceparent":"00-1","baggage":"b",
            "io.modelcontextprotocol/protocolVersion":"x","vendor/k":{"a":1}},"name":"p"}"#;
        let (text, name) = relayed(Method::GetPrompt, None, params, Revision::LATEST);
        assert_eq!(name.as_deref(), Some("p"));
        assert!(!text.contains('\n'));
        let whole: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"name": "p", "requestState": "s", "_meta": {
            "traceparent": "00-1", "vendor/k": {"a": 1}, "progressToken": 7,
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
            "io.modelcontextprotocol/clientInfo": {"name": "c"},
            "io.modelcontextprotocol/logLevel": "debug"}});
        assert_eq!(whole["params"], expected);
    }

    #[test]
    fn names_are_replaced_where_they_stand() {
        for (method, params, name, expected) in [
            (
                Method::CompletePrompt,
                r#"{"ref":{"type":"ref/prompt","name":"s.p"},"argument":{"name":"a","value":""}}"#,
                "p",
                r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}"#,
            ),
            (
                Method::CompleteResource,
                r#"{"ref":{"type":"ref/resource","uri":"x+t://{id}"}}"#,
                "t://{id}",
                r#"{"ref":{"type":"ref/resource","uri":"t://{id}"}}"#,
            ),
            (Method::ReadResource, r#"{"uri":"x+a://b"}"#, "a://\"b", r#"{"uri":"a://\"b"}"#),
            (Method::GetTask, r#"{"taskId":"1.t"}"#, "t", r#"{"taskId":"t"}"#),
        ] {
            let (text, _) = relayed(method, Some(name), params, Revision::V2025_06_18);
            let whole: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(whole["params"], serde_json::from_str::<Value>(expected).unwrap());
        }
    }

    #[test]
    fn parameters_are_an_object() {
        for text in ["[]", "1", "null"] {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            assert!(Members::of(&raw).is_err(), "{text}");
        }
    }
}
