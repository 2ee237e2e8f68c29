//! JSON-RPC and MCP error codes.

/// The bytes are not JSON.
pub const PARSE_ERROR: i64 = -32_700;
/// The JSON is not a JSON-RPC message.
pub const INVALID_REQUEST: i64 = -32_600;
/// The method does not exist.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters are wrong.
pub const INVALID_PARAMS: i64 = -32_602;
/// The receiver failed.
pub const INTERNAL_ERROR: i64 = -32_603;
/// Legacy revisions only: a resource does not exist (from 2026-07-28 it is `INVALID_PARAMS`).
pub const RESOURCE_NOT_FOUND: i64 = -32_002;
/// A header says something else than the body, or is missing.
pub const HEADER_MISMATCH: i64 = -32_020;
/// The request did not declare a capability that the answer needs.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32_021;
/// The revision is not supported; `data.supported` lists those that are.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32_022;

/// Whether a code can only come from a server of the modern era.
pub fn is_modern(code: i64) -> bool {
    (MISSING_CLIENT_CAPABILITY..=HEADER_MISMATCH).contains(&code)
        || code == UNSUPPORTED_PROTOCOL_VERSION
}
