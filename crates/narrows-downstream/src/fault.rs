//! The one table from a fault to each wire.

use crate::config::DRAIN;
use narrows_types::{Fault, Kind, Origin, Retry};
use serde::Serialize;

/// How a kind of fault looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// The kind's name in JSON.
    pub name: &'static str,
    /// JSON-RPC error code. Own codes lie outside the range that JSON-RPC and MCP reserve.
    pub rpc: i64,
    /// HTTP status.
    pub status: u16,
    /// Exit code of the command line.
    pub exit: u8,
}

/// The table.
pub fn wire(kind: Kind) -> Wire {
    let (name, rpc, status, exit) = match kind {
        Kind::Invalid => ("invalid", -32_602, 400, 2),
        Kind::Unauthenticated => ("unauthenticated", -31_401, 401, 2),
        Kind::Forbidden => ("forbidden", -31_403, 403, 2),
        Kind::NotFound => ("not_found", -32_602, 404, 2),
        Kind::Conflict => ("conflict", -31_409, 409, 2),
        Kind::Limit => ("limit", -31_413, 400, 4),
        Kind::RateLimited => ("rate_limited", -31_429, 429, 4),
        Kind::Upstream => ("upstream", -31_502, 502, 5),
        Kind::Timeout => ("timeout", -31_408, 408, 4),
        Kind::Lost => ("lost", -31_504, 502, 6),
        Kind::Unavailable => ("unavailable", -31_503, 503, 6),
        Kind::Cancelled => ("cancelled", -31_499, 408, 6),
        Kind::Bug => ("bug", -32_603, 500, 6),
    };
    Wire { name, rpc, status, exit }
}

/// What those hear whose requests the shutdown cuts off.
pub(crate) fn ending() -> Fault {
    let message =
        format!("narrows is shutting down; the request did not end within {} s", DRAIN.as_secs());
    Fault::new(Kind::Cancelled, Origin::Narrows, message)
        .hint("calls that it made may have taken effect: look before you send it again")
}

/// A fault as JSON: `{"kind", "message", "hint"?, "retry"}`.
#[derive(Debug, Serialize)]
pub(crate) struct FaultBody<'a> {
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hint: &'a str,
    retry: Retry,
}

impl<'a> From<&'a Fault> for FaultBody<'a> {
    fn from(fault: &'a Fault) -> Self {
        Self {
            kind: wire(fault.kind).name,
            message: &fault.message,
            hint: &fault.hint,
            retry: fault.retry,
        }
    }
}

/// Whole seconds for `Retry-After`, where the fault says when.
pub(crate) fn retry_after_s(fault: &Fault) -> Option<u64> {
    match fault.retry {
        Retry::Never => None,
        Retry::Now => Some(0),
        Retry::AfterMs(ms) => Some(ms.div_ceil(1_000)),
    }
}
