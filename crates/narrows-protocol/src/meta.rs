//! Keys of `_meta`.

/// The revision of a modern request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client of a modern request can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Who the client of a modern request is.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Who the server of a modern result is.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Log messages that a modern request wants.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// The token under which progress is reported.
pub const PROGRESS_TOKEN: &str = "progressToken";
/// The subscription that a message belongs to: the id of its `subscriptions/listen`.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// The trace and the span that a request is part of (W3C).
pub const TRACE_PARENT: &str = "traceparent";
/// What vendors add to a trace (W3C).
pub const TRACE_STATE: &str = "tracestate";
/// What applications add to a trace (W3C); it may be nobody else's business.
pub const BAGGAGE: &str = "baggage";
