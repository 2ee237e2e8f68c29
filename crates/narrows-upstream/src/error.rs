//! What can go wrong with an upstream.

use narrows_types::fault::clip;
use narrows_types::{Fault, Kind, Origin, Retry};

/// An upstream failed, or cannot be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// No upstream of that name.
    #[error("no server {server} is configured")]
    Unknown {
        /// The name.
        server: String,
    },
    /// It is switched off in the config.
    #[error("server {server} is switched off in the config")]
    Disabled {
        /// The name.
        server: String,
    },
    /// It did not start.
    #[error("server {server} did not start: {reason}")]
    Start {
        /// The name.
        server: String,
        /// Why.
        reason: String,
    },
    /// It died or closed the connection with the call under way.
    #[error("server {server} was lost during the call: {reason}")]
    Lost {
        /// The name.
        server: String,
        /// How.
        reason: String,
    },
    /// It answered with an error.
    #[error("{server}.{tool}: {message}")]
    Answered {
        /// The name.
        server: String,
        /// The tool.
        tool: String,
        /// Its words.
        message: String,
    },
    /// It broke the protocol.
    #[error("server {server} broke the protocol: {reason}")]
    Protocol {
        /// The name.
        server: String,
        /// How.
        reason: String,
    },
    /// It did not answer in time.
    #[error("{server}.{tool} did not answer within {ms} ms")]
    Timeout {
        /// The name.
        server: String,
        /// The tool.
        tool: String,
        /// The deadline.
        ms: u64,
    },
    /// Too many calls wait for it.
    #[error("server {server} has {waiting} calls waiting")]
    Busy {
        /// The name.
        server: String,
        /// How many.
        waiting: usize,
    },
}

impl From<UpstreamError> for Fault {
    fn from(error: UpstreamError) -> Self {
        let text = clip(error.to_string(), 320);
        let fault = |kind, server: String| Self::new(kind, Origin::Upstream(server), text.clone());
        match error {
            UpstreamError::Unknown { .. } => Self::not_found(text),
            UpstreamError::Disabled { server } => fault(Kind::Unavailable, server),
            UpstreamError::Start { server, .. } => {
                fault(Kind::Unavailable, server).hint("see `narrows servers`")
            }
            UpstreamError::Lost { server, .. } => {
                fault(Kind::Lost, server).hint("the next call starts it again")
            }
            UpstreamError::Answered { server, .. } | UpstreamError::Protocol { server, .. } => {
                fault(Kind::Upstream, server)
            }
            UpstreamError::Timeout { server, .. } => fault(Kind::Timeout, server),
            UpstreamError::Busy { server, .. } => {
                fault(Kind::RateLimited, server).retry(Retry::AfterMs(500))
            }
        }
    }
}
