//! The parameters that we look at, of any method, read once and borrowed from the message.

use crate::wire::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Bytes of a progress token, which is repeated in each notification.
const TOKEN_BYTES_MAX: usize = 256;

/// Members that no request has are absent; members of the wrong type are refused by whoever needs
/// them, so that the failure names the member.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(rename = "_meta", borrow, default)]
    pub(crate) meta: Option<Meta<'a>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) task_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) level: Option<&'a RawValue>,
    #[serde(rename = "ref", borrow, default)]
    pub(crate) reference: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) protocol_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) client_info: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) notifications: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) request_state: Option<&'a RawValue>,
}

/// The members of `_meta` that we look at.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow, default)]
    pub(crate) version: Option<&'a RawValue>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", borrow, default)]
    pub(crate) capabilities: Option<&'a RawValue>,
    #[serde(rename = "io.modelcontextprotocol/clientInfo", borrow, default)]
    pub(crate) info: Option<&'a RawValue>,
    #[serde(rename = "io.modelcontextprotocol/logLevel", borrow, default)]
    pub(crate) log_level: Option<&'a RawValue>,
    #[serde(rename = "progressToken", borrow, default)]
    pub(crate) progress_token: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// Reads them. Members that stand twice are refused: two readers could see two requests.
    pub(crate) fn read(params: Option<&'a RawValue>) -> Result<Self, Failure> {
        let Some(params) = params else { return Ok(Self::default()) };
        if !params.get().starts_with('{') {
            return Err(Failure::meta("`params` is not an object".to_owned()));
        }
        serde_json::from_str(params.get())
            .map_err(|e| Failure::meta(format!("`params` is not understood: {e}")))
    }

    /// The token under which the client wants progress, as it wrote it.
    pub(crate) fn token(&self) -> Result<Option<Box<RawValue>>, Failure> {
        let Some(token) = self.meta.as_ref().and_then(|m| m.progress_token) else {
            return Ok(None);
        };
        let text = token.get();
        let first = text.as_bytes().first().copied().unwrap_or_default();
        if (first == b'"' || first == b'-' || first.is_ascii_digit())
            && text.len() <= TOKEN_BYTES_MAX
        {
            return Ok(Some(token.to_owned()));
        }
        Err(Failure::params(format!(
            "`_meta.progressToken` must be a number or a string of at most {TOKEN_BYTES_MAX} bytes"
        )))
    }
}

/// The text of a member that must be a string.
pub(crate) fn text<'a>(value: Option<&'a RawValue>, key: &str) -> Result<Cow<'a, str>, Failure> {
    value
        .and_then(string)
        .ok_or_else(|| Failure::params(format!("`params.{key}` is missing or not a string")))
}

/// A JSON string's text; `None` if it is none.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}

/// Whether a member is an object.
pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}
