//! JSON-RPC as the doors see it: messages in, answers out, and which era a request is of.

use crate::fault::{FaultBody, ending, wire};
use crate::mcp::{Params, string};
use axum::http::HeaderMap;
use narrows_protocol::header::{
    METHOD as METHOD_HEADER, NAME as NAME_HEADER, PROTOCOL_VERSION as PROTOCOL_VERSION_HEADER,
};
use narrows_protocol::{Id, Message, Revision, RpcError, code, envelope, meta};
use narrows_types::Fault;
use narrows_types::fault::clip;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;

/// A JSON-RPC error, with the HTTP status that goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) status: u16,
}

/// A request of a client.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) id: Id,
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Option<&'a RawValue>,
}

impl Failure {
    fn new(code: i64, message: String, status: u16) -> Self {
        Self { code, message, data: None, status }
    }

    /// Not a JSON-RPC message that we take.
    pub(crate) fn request(message: String) -> Self {
        Self::new(code::INVALID_REQUEST, message, 400)
    }

    /// The parameters of a method are wrong.
    pub(crate) fn params(message: String) -> Self {
        Self::new(code::INVALID_PARAMS, message, 200)
    }

    /// A defect of ours.
    pub(crate) fn internal(fault: &Fault) -> Self {
        tracing::error!("{fault}");
        let data = to_raw_value(&FaultBody::from(fault)).ok();
        Self { code: wire(fault.kind).rpc, message: fault.to_string(), data, status: 500 }
    }

    /// Whoever knocks does not come in.
    pub(crate) fn refused(fault: &Fault) -> Self {
        let (wire, data) = (wire(fault.kind), to_raw_value(&FaultBody::from(fault)).ok());
        Self { code: wire.rpc, message: fault.to_string(), data, status: wire.status }
    }

    /// What the engine refused.
    pub(crate) fn told(fault: &Fault) -> Self {
        let data = to_raw_value(&FaultBody::from(fault)).ok();
        Self { code: wire(fault.kind).rpc, message: fault.to_string(), data, status: 200 }
    }

    /// Too much at once.
    pub(crate) fn busy(message: String) -> Self {
        Self::new(wire(narrows_types::Kind::RateLimited).rpc, message, 429)
    }

    /// The server ends before the request does.
    pub(crate) fn ending() -> Self {
        let fault = ending();
        let (wire, data) = (wire(fault.kind), to_raw_value(&FaultBody::from(&fault)).ok());
        Self { code: wire.rpc, message: fault.to_string(), data, status: wire.status }
    }

    /// A message beyond the bound.
    pub(crate) fn too_long(limit: usize) -> Self {
        Self::new(code::INVALID_REQUEST, format!("the message is longer than {limit} bytes"), 413)
    }

    /// A request that is of neither era.
    pub(crate) fn no_era() -> Self {
        let message = format!(
            "the request belongs to no session and carries no {} in _meta; send initialize first, \
             or `_meta` with each request",
            meta::PROTOCOL_VERSION
        );
        Self::new(code::INVALID_PARAMS, message, 400)
    }

    /// A revision that we do not speak.
    pub(crate) fn unsupported(requested: &str) -> Self {
        let requested = clip(requested.to_owned(), 64);
        let supported: Vec<&str> = Revision::modern().map(Revision::as_str).collect();
        let message = format!("unsupported protocol version {requested}");
        let data = to_raw_value(&json!({"supported": supported, "requested": requested})).ok();
        Self { code: code::UNSUPPORTED_PROTOCOL_VERSION, message, data, status: 400 }
    }

    /// The request did not declare an extension that it needs.
    pub(crate) fn lacks_extension(extension: &str) -> Self {
        let message = format!("the request does not declare the extension {extension}");
        let required = json!({"requiredCapabilities": {"extensions": {extension: {}}}});
        let data = to_raw_value(&required).ok();
        Self { code: code::MISSING_CLIENT_CAPABILITY, message, data, status: 400 }
    }

    /// A header says something else than the body.
    pub(crate) fn mismatch(message: String) -> Self {
        Self::new(code::HEADER_MISMATCH, message, 400)
    }

    /// What belongs to every request is wrong.
    pub(crate) fn meta(message: String) -> Self {
        Self::new(code::INVALID_PARAMS, message, 400)
    }
}

/// What a client wrote, cut to a length that can be repeated.
pub(crate) fn clipped(text: &str) -> String {
    clip(text.to_owned(), 80)
}

/// Why bytes are no message, and the id that the answer is to have, if it could be read.
pub(crate) type Unreadable = Box<(Option<Id>, Failure)>;

/// Reads one message.
pub(crate) fn parse(bytes: &[u8]) -> Result<Message<'_>, Unreadable> {
    Message::parse(bytes)
        .map_err(|bad| Box::new((bad.id, Failure::new(bad.code, bad.message, 400))))
}

/// Messages in one batch.
const BATCH_MAX: usize = 100;

/// The messages of a batch; `None` if these bytes are no batch.
pub(crate) fn batch(bytes: &[u8]) -> Option<Result<Vec<&RawValue>, Failure>> {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    if first != Some(&b'[') {
        return None;
    }
    Some(match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Err(e) => Err(Failure::new(code::PARSE_ERROR, format!("not a batch: {e}"), 400)),
        Ok(messages) if messages.is_empty() => {
            Err(Failure::request("the batch is empty".to_owned()))
        }
        Ok(messages) if messages.len() > BATCH_MAX => {
            let count = messages.len();
            Err(Failure::request(format!(
                "the batch has {count} messages; the limit is {BATCH_MAX}"
            )))
        }
        Ok(messages) => Ok(messages),
    })
}

/// Whether a revision has batches.
pub(crate) fn has_batches(revision: Revision) -> bool {
    revision <= Revision::V2025_03_26
}

/// The request that `notifications/cancelled` names.
pub(crate) fn cancelled(params: Option<&RawValue>) -> Option<Id> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: Id,
    }
    serde_json::from_str::<Cancelled>(params?.get()).ok().map(|c| c.request_id)
}

/// A successful answer.
pub(crate) fn response(id: &Id, result: &RawValue) -> String {
    written(envelope::response(id, &result))
}

/// An answer that tells of a failure; without an id if it is not known what failed.
pub(crate) fn failed(id: Option<&Id>, failure: &Failure) -> String {
    let error = RpcError {
        code: failure.code,
        message: failure.message.clone(),
        data: failure.data.clone(),
    };
    written(match id {
        Some(id) => envelope::failure(id, &error),
        None => serde_json::to_string(&json!({"jsonrpc": "2.0", "id": null, "error": error})),
    })
}

/// A notification.
pub(crate) fn notification<T: Serialize>(method: &str, params: &T) -> String {
    written(envelope::notification(method, params))
}

/// A failure as it stands in a message, alone.
pub(crate) fn error(failure: &Failure) -> Box<RawValue> {
    let Failure { code, message, data, .. } = failure.clone();
    let error = to_raw_value(&RpcError { code, message, data });
    error.unwrap_or_else(|_never| RawValue::NULL.to_owned())
}

/// 32 letters and digits that nobody guesses.
pub(crate) fn unguessable() -> Result<String, Failure> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|e| {
        let fault = Fault::bug(format!("no randomness from the system: {e}"));
        Failure::internal(&fault)
    })?;
    Ok(random
        .iter()
        .filter_map(|b| ALPHABET.get(usize::from(b & 31)).map(|c| char::from(*c)))
        .collect())
}

/// A notification as it came.
pub(crate) fn note(method: &str, params: Option<&RawValue>) -> String {
    match params {
        Some(params) => notification(method, &params),
        None => notification(method, &json!({})),
    }
}

/// A request of ours.
pub(crate) fn request(id: &Id, method: &str, params: Option<&RawValue>) -> String {
    written(match params {
        Some(params) => envelope::request(id, method, &params),
        None => envelope::request(id, method, &json!({})),
    })
}

/// Everything that is written here is text, numbers and finished JSON, which cannot fail to be
/// encoded; should it ever, the client hears of it.
fn written(message: serde_json::Result<String>) -> String {
    message.unwrap_or_else(|e| {
        tracing::error!("a message could not be encoded: {e}");
        let code = code::INTERNAL_ERROR;
        format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{code},"message":"lost"}}}}"#)
    })
}

impl Request<'_> {
    /// Whether the request is of the modern era, and if so, whether it is whole: the revision and
    /// the capabilities in `_meta`, and over HTTP headers that say the same as the body.
    pub(crate) fn is_modern(
        &self,
        params: &Params<'_>,
        headers: Option<&HeaderMap>,
    ) -> Result<bool, Failure> {
        let meta = params.meta.as_ref();
        let version = meta.and_then(|m| m.version);
        let capabilities = meta.and_then(|m| m.capabilities);
        let named = match headers {
            Some(headers) => header(headers, PROTOCOL_VERSION_HEADER)?,
            None => None,
        };
        let is_modern = version.is_some()
            || capabilities.is_some()
            || self.method == "server/discover"
            || named.and_then(Revision::parse).is_some_and(Revision::is_modern);
        if !is_modern {
            return Ok(false);
        }
        let Some(version) = version.and_then(string) else {
            let key = meta::PROTOCOL_VERSION;
            return Err(Failure::meta(format!("`_meta` lacks \"{key}\", a string")));
        };
        if !capabilities.is_some_and(|raw| raw.get().starts_with('{')) {
            let key = meta::CLIENT_CAPABILITIES;
            return Err(Failure::meta(format!("`_meta` lacks \"{key}\", an object")));
        }
        if let Some(headers) = headers {
            same(PROTOCOL_VERSION_HEADER, named, &version)?;
            same(METHOD_HEADER, header(headers, METHOD_HEADER)?, &self.method)?;
            self.same_name(params, headers)?;
        }
        if !Revision::parse(&version).is_some_and(Revision::is_modern) {
            return Err(Failure::unsupported(&version));
        }
        Ok(true)
    }

    /// `Mcp-Name` repeats what the request is about, where it is about one thing.
    fn same_name(&self, params: &Params<'_>, headers: &HeaderMap) -> Result<(), Failure> {
        let about = match self.method.as_ref() {
            "resources/read" => params.uri,
            "tools/call" | "prompts/get" => params.name,
            "tasks/get" | "tasks/update" | "tasks/cancel" => params.task_id,
            _ => return Ok(()),
        };
        // Without a name the request fails later, for that reason.
        let Some(about) = about.and_then(string) else { return Ok(()) };
        let value = header(headers, NAME_HEADER)?;
        let decoded = value.map(decoded).transpose()?;
        same(NAME_HEADER, decoded.as_deref(), &about)
    }
}

fn same(name: &str, value: Option<&str>, body: &str) -> Result<(), Failure> {
    match value {
        Some(value) if value == body => Ok(()),
        Some(value) => {
            let (value, body) = (clipped(value), clipped(body));
            Err(Failure::mismatch(format!("header {name} says {value}, the body says {body}")))
        }
        None => Err(Failure::mismatch(format!("header {name} is missing"))),
    }
}

/// The one value of a header, if it is there.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() => Ok(Some(text.trim())),
        _ => Err(Failure::mismatch(format!("header {name} is not one plain value"))),
    }
}

/// A header's value, which may be wrapped as base64.
fn decoded(value: &str) -> Result<String, Failure> {
    narrows_protocol::header::decode(value).ok_or_else(|| {
        Failure::mismatch(format!(
            "header {NAME_HEADER} is not rightly encoded: {}",
            clipped(value)
        ))
    })
}
