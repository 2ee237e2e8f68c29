//! What a transport carries between an upstream and its session.
//!
//! A transport is a pair of bounded channels and a task behind them: a child process or an HTTP
//! endpoint. The session above knows nothing of either.

use narrows_protocol::{Revision, RpcError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that wait on either side of a transport.
pub(crate) const WAITING_MAX: usize = 256;
/// Bytes of one message from an upstream.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// To an upstream.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message on one line.
    Message(Letter),
    /// Nobody waits for this request any more.
    Abandon(i64),
}

/// A message with what HTTP repeats in headers.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) body: String,
    /// If it is a request.
    pub(crate) id: Option<i64>,
    /// Empty for a response.
    pub(crate) method: &'static str,
    /// The tool that it is about.
    pub(crate) name: Option<String>,
    /// Once it is agreed on, or as it is proposed.
    pub(crate) revision: Option<Revision>,
    /// Arguments that the tool wants repeated: header and value.
    pub(crate) mirrored: Vec<(String, String)>,
}

/// From an upstream.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The bytes of one message.
    Message(Vec<u8>),
    /// The transport could not deliver this request, or got no answer to it.
    Failed { id: i64, failure: Failure },
    /// The upstream forgot the session: what is under way may still be answered, no more is sent.
    Expired,
}

/// A transport in operation: it ends when the outgoing side is dropped.
pub(crate) struct Wire {
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    /// Resolves, with the reason, when the transport has ended and everything of it is gone.
    pub(crate) ended: JoinHandle<String>,
}

/// Why a request got no result.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The upstream answered with an error.
    Rpc(RpcError),
    /// The deadline passed.
    Timeout,
    /// The connection is gone; `sent` tells whether the upstream may have seen the request.
    Lost { reason: String, sent: bool },
    /// Credentials are missing or wrong.
    Refused { status: u16 },
    /// An HTTP status that says no.
    Http { status: u16, reason: String },
    /// The upstream, or we, have too much to do.
    Busy { reason: String, retry_ms: u64 },
    /// The answer is none.
    Protocol(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rpc(error) => {
                write!(f, "it answered with error {}: {}", error.code, error.message)
            }
            Self::Timeout => f.write_str("it did not answer in time"),
            Self::Lost { reason, .. } | Self::Busy { reason, .. } | Self::Protocol(reason) => {
                f.write_str(reason)
            }
            Self::Refused { status } => {
                write!(f, "it refused our credentials (HTTP {status}); set `headers` in the config")
            }
            Self::Http { status, reason } => write!(f, "HTTP {status}: {reason}"),
        }
    }
}
