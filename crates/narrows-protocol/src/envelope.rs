//! JSON-RPC envelopes, borrowed: what is inside stays the text that came.

use crate::{Id, code};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One message.
#[derive(Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// Its id.
        id: Id,
        /// What is asked.
        method: Cow<'a, str>,
        /// With what.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// What happened.
        method: Cow<'a, str>,
        /// With what.
        params: Option<&'a RawValue>,
    },
    /// Answers a request.
    Response {
        /// Which.
        id: Id,
        /// How it went.
        outcome: Result<&'a RawValue, RpcError>,
    },
}

/// The error of a response.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The message, from the other side (untrusted text).
    #[serde(default)]
    pub message: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// Bytes that are no message, with the code that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// [`code::PARSE_ERROR`] or [`code::INVALID_REQUEST`].
    pub code: i64,
    /// Why.
    pub message: String,
    /// The id that it had, if that much could be read.
    pub id: Option<Id>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

/// A member that is there counts, also as `null`.
fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// Reads one message. Nesting is bounded by the parser (128 levels).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        // A derived reader would take an array for the members in their order.
        if bytes.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|first| *first == b'[') {
            return Err(invalid("not a JSON-RPC message: an array, not an object"));
        }
        Self::read(bytes).map_err(|malformed| Malformed { id: lone_id(bytes), ..malformed })
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let envelope: Envelope<'a> = serde_json::from_slice(bytes).map_err(|e| Malformed {
            code: if e.is_data() { code::INVALID_REQUEST } else { code::PARSE_ERROR },
            message: format!("not a JSON-RPC message: {e}"),
            id: None,
        })?;
        if envelope.jsonrpc.as_deref() != Some("2.0") {
            return Err(invalid("`jsonrpc` must be \"2.0\""));
        }
        let id = match envelope.id {
            None => None,
            Some(raw) => match serde_json::from_str::<Id>(raw.get()) {
                Ok(id) => Some(id),
                Err(_no_id) => return Err(invalid("`id` must be a string or an integer")),
            },
        };
        match (id, envelope.method) {
            (Some(id), Some(method)) => Ok(Self::Request { id, method, params: envelope.params }),
            (None, Some(method)) => Ok(Self::Notification { method, params: envelope.params }),
            (Some(id), None) => match (envelope.result, envelope.error) {
                (Some(result), None) => Ok(Self::Response { id, outcome: Ok(result) }),
                (None, Some(error)) => Ok(Self::Response { id, outcome: Err(error) }),
                _ => Err(invalid("a response has either `result` or `error`")),
            },
            (None, None) => Err(invalid("neither `method` nor `id`")),
        }
    }
}

fn invalid(message: &str) -> Malformed {
    Malformed { code: code::INVALID_REQUEST, message: message.to_owned(), id: None }
}

/// The id of what is otherwise no message: whoever sent it waits for an answer with that id.
fn lone_id(bytes: &[u8]) -> Option<Id> {
    #[derive(Deserialize)]
    struct Lone {
        id: Id,
    }
    serde_json::from_slice::<Lone>(bytes).ok().map(|lone| lone.id)
}

#[derive(Serialize)]
struct Outgoing<'a, T: Serialize> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

impl<T: Serialize> Outgoing<'_, T> {
    const EMPTY: Self =
        Self { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None };
}

impl<T: Serialize> Outgoing<'_, T> {
    /// On one line, for a line is a message. What is passed on byte for byte can have line breaks:
    /// JSON allows them between its parts, and nowhere else, so there they mean no more than blanks.
    fn line(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string(self)?;
        Ok(if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text })
    }
}

/// A request's text, on one line.
pub fn request<T: Serialize>(id: &Id, method: &str, params: &T) -> serde_json::Result<String> {
    let (id, method, params) = (Some(id), Some(method), Some(params));
    Outgoing { id, method, params, ..Outgoing::EMPTY }.line()
}

/// A notification's text, on one line.
pub fn notification<T: Serialize>(method: &str, params: &T) -> serde_json::Result<String> {
    let (method, params) = (Some(method), Some(params));
    Outgoing { method, params, ..Outgoing::EMPTY }.line()
}

/// A response's text, on one line.
pub fn response<T: Serialize>(id: &Id, result: &T) -> serde_json::Result<String> {
    let (id, result) = (Some(id), Some(result));
    Outgoing { id, result, ..Outgoing::EMPTY }.line()
}

/// The text of a response that failed, on one line.
pub fn failure(id: &Id, error: &RpcError) -> serde_json::Result<String> {
    let (id, error) = (Some(id), Some(error));
    Outgoing::<()> { id, error, ..Outgoing::EMPTY }.line()
}

#[cfg(test)]
mod tests {
    use super::{Message, request, response};
    use crate::{Id, code};
    use serde_json::json;

    #[test]
    fn messages_are_told_apart() {
        let parse = |text: &'static str| Message::parse(text.as_bytes());
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Ok(Message::Request { id: Id::Number(1), .. })
        ));
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","method":"x","params":[ 1 ]}"#),
            Ok(Message::Notification { params: Some(p), .. }) if p.get() == "[ 1 ]"
        ));
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":"a","result":{ "k" : 1.50}}"#),
            Ok(Message::Response { outcome: Ok(r), .. }) if r.get() == r#"{ "k" : 1.50}"#
        ));
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no"}}"#),
            Ok(Message::Response { outcome: Err(e), .. }) if e.code == -32_601
        ));
    }

    #[test]
    fn what_is_no_message_says_why() {
        for (text, expected) in [
            ("{", code::PARSE_ERROR),
            ("[]", code::INVALID_REQUEST),
            ("{}", code::INVALID_REQUEST),
            (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, code::INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, code::INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, code::INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1}}"#, code::INVALID_REQUEST),
        ] {
            assert_eq!(Message::parse(text.as_bytes()).unwrap_err().code, expected, "{text}");
        }
        let deep =
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{}", "[".repeat(100_000));
        assert!(Message::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn the_id_is_read_even_if_nothing_else_is() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":5,"method":5}"#, Some(Id::from(5))),
            (r#"{"jsonrpc":"1.0","id":"a","method":"x"}"#, Some(Id::from("a"))),
            (r#"{"id":5}"#, Some(Id::from(5))),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, None),
            (r#"{"jsonrpc":"2.0","id":5,"method":"#, None),
            ("[5]", None),
        ] {
            assert_eq!(Message::parse(text.as_bytes()).unwrap_err().id, expected, "{text}");
        }
    }

    #[test]
    fn an_array_is_no_message() {
        for text in [r#"["2.0",7,"ping",{}]"#, " \n[\"2.0\",7,\"ping\",{},null,null]"] {
            let malformed = Message::parse(text.as_bytes()).unwrap_err();
            assert_eq!((malformed.code, malformed.id), (code::INVALID_REQUEST, None), "{text}");
        }
    }

    #[test]
    fn writers_write_what_the_parser_reads() {
        let text = request(&Id::from(7), "tools/call", &json!({"name": "a"})).unwrap();
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#);
        let text = response(&Id::from("x"), &json!({})).unwrap();
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":"x","result":{}}"#);
    }

    #[test]
    fn what_is_passed_on_cannot_break_out_of_its_line() {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        let inner = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\"}";
        let hostile = raw(&format!("{{\r\n\"a\":\n{inner}\n, \"b\": \"c\\n\"}}"));
        let id = Id::Number(1);
        let error =
            crate::RpcError { code: 1, message: "a\nb".to_owned(), data: Some(hostile.clone()) };
        for line in [
            request(&id, "m", &hostile).unwrap(),
            response(&id, &hostile).unwrap(),
            super::notification("m", &hostile).unwrap(),
            super::failure(&id, &error).unwrap(),
        ] {
            assert!(!line.contains(['\n', '\r']), "{line}");
            let whole: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert!(whole.to_string().contains("\"b\":\"c\\n\""), "{whole}");
        }
    }
}
