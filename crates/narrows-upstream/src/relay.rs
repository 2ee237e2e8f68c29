//! A client's request, written for one upstream: its parameters stay text.

use crate::wire::{Letter, Room};
use narrows_protocol::Revision;
use narrows_protocol::relay::{Onward, Subject, params_onward};
use narrows_types::Method;
use narrows_types::raw::{self, Broken};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Bytes of a request besides its parameters.
const ENVELOPE_BYTES: usize = 96;

/// Where the thing is named that a request is about.
fn subject(method: Method) -> Subject {
    match method {
        Method::CallTool | Method::GetPrompt => Subject::Member("name"),
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe => Subject::Member("uri"),
        Method::CompletePrompt => Subject::Reference("name"),
        Method::CompleteResource => Subject::Reference("uri"),
        Method::GetTask | Method::UpdateTask | Method::CancelTask | Method::TaskResult => {
            Subject::Member("taskId")
        }
    }
}

/// What a request is about, in its client's words.
pub(crate) fn named(method: Method, params: &str) -> Option<String> {
    let name = match subject(method) {
        Subject::Member(key) => raw::get_text(params, key),
        Subject::Reference(key) => raw::get_text(raw::get(params, "ref")?, key),
    };
    name.map(std::borrow::Cow::into_owned)
}

/// A request to be written.
pub(crate) struct Relay<'a> {
    pub(crate) method: Method,
    /// The upstream's name for what it is about, if it is another than that in the parameters.
    pub(crate) name: Option<&'a str>,
    pub(crate) params: &'a RawValue,
    pub(crate) revision: Revision,
    /// What the caller can do and who it is, told with each modern request.
    pub(crate) capabilities: &'a str,
    pub(crate) info: &'a str,
    pub(crate) log_level: Option<&'a str>,
    /// Members in place of those of the same name.
    pub(crate) added: &'a [(&'a str, &'a str)],
}

impl Relay<'_> {
    /// The whole message.
    pub(crate) fn letter(&self, id: i64) -> Result<Letter, Broken> {
        let modern = self.revision.is_modern();
        // Any number that is not used twice would do.
        let token = id.to_string();
        let onward = Onward {
            subject: self.name.map(|name| (subject(self.method), name)),
            revision: self.revision,
            capabilities: self.capabilities,
            info: Some(self.info),
            log_level: self.log_level,
            progress_token: &token,
            span: None,
            baggage: false,
            added: self.added,
        };
        let params = params_onward(self.params.get(), &onward)?;
        let method = self.method.as_str();
        let mut body = String::with_capacity(params.len() + ENVELOPE_BYTES);
        // A text never refuses to be written to.
        let _written =
            write!(body, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let name = if !modern || matches!(subject(self.method), Subject::Reference(_)) {
            None
        } else {
            let own = || named(self.method, &params);
            self.name.map_or_else(own, |name| Some(name.to_owned()))
        };
        let (body, revision) = (on_one_line(body), Some(self.revision));
        let (mirrored, room) = (Vec::new(), Room::default());
        Ok(Letter { body, id: Some(id), method, name, revision, mirrored, room })
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

#[cfg(test)]
mod tests {
    use super::Relay;
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
        let added = [("requestState", "\"s\"")];
        let relay = Relay {
            method,
            name,
            params: &params,
            revision,
            capabilities: r#"{"roots":{}}"#,
            info: r#"{"name":"c"}"#,
            log_level: Some("debug"),
            added: if method == Method::GetPrompt { &added } else { &[] },
        };
        let letter = relay.letter(7).unwrap();
        (letter.body, letter.name)
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let params =
            r#"{ "name":"a.b" , "arguments": { "n" : 1.50, "s":"\u00e9\n" } , "x\"y":[ ] }"#;
        let (text, name) = relayed(Method::CallTool, Some("b"), params, Revision::V2025_11_25);
        assert_eq!(name, None);
        assert!(text.starts_with(r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"#));
        assert!(text.contains(r#""name":"b""#) && text.contains(r#""x\"y":[ ]"#), "{text}");
        assert!(text.contains(r#""arguments": { "n" : 1.50, "s":"\u00e9\n" }"#), "{text}");
    }

    #[test]
    fn what_belongs_to_one_hop_is_replaced() {
        let params = r#"{"_meta":{"progressToken":"t","baggage":"b",
            "io.modelcontextprotocol/protocolVersion":"x","vendor/k":{"a":1}},"name":"p"}"#;
        let (text, name) = relayed(Method::GetPrompt, None, params, Revision::LATEST);
        assert_eq!(name.as_deref(), Some("p"));
        assert!(!text.contains('\n'));
        let whole: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"name": "p", "requestState": "s", "_meta": {
            "vendor/k": {"a": 1}, "progressToken": 7,
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
}
