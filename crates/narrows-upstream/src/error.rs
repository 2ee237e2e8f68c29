//! What can go wrong with an upstream.

use narrows_types::fault::clip;
use narrows_types::{Fault, Kind, Origin, Retry};

/// An upstream failed, or cannot be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// The config cannot be served.
    #[error("{reason}")]
    Config {
        /// Why.
        reason: String,
    },
    /// No upstream of that name.
    #[error("no server {server} is configured")]
    Unknown {
        /// The name.
        server: String,
        /// A configured name that is much like it.
        nearest: Option<String>,
    },
    /// It is switched off in the config, or the tool is.
    #[error("{what} is switched off in the config")]
    Disabled {
        /// The upstream.
        server: String,
        /// What is switched off.
        what: String,
    },
    /// It did not start.
    #[error("server {server} did not start: {reason}")]
    Start {
        /// The name.
        server: String,
        /// Why.
        reason: String,
        /// When it may be tried again, in milliseconds from now.
        retry_ms: u64,
    },
    /// It died or closed the connection.
    #[error("server {server} was lost during the call: {reason}")]
    Lost {
        /// The name.
        server: String,
        /// How.
        reason: String,
        /// Whether the request was sent: then it may have been carried out.
        sent: bool,
    },
    /// We ended it, or this client's connection to it; the request was sent.
    #[error("server {server} was stopped during the call")]
    Stopped {
        /// The name.
        server: String,
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
    /// It wants credentials that it did not get, or other ones.
    #[error("server {server} refused our credentials (HTTP {status})")]
    Refused {
        /// The name.
        server: String,
        /// 401 or 403.
        status: u16,
    },
    /// Only a login by a person helps.
    #[error("server {server}: {reason}")]
    Login {
        /// The name.
        server: String,
        /// Why.
        reason: String,
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
        /// How long it was waited for, in milliseconds.
        ms: u64,
    },
    /// Its answer is larger than what is taken.
    #[error("{server}.{tool} answered {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// The name.
        server: String,
        /// The tool.
        tool: String,
        /// How large the result is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// It failed so often in a row that it is left alone for a while.
    #[error("server {server} fails again and again and is left alone for {retry_ms} ms: {reason}")]
    Broken {
        /// The name.
        server: String,
        /// How it failed last.
        reason: String,
        /// When it is tried again, in milliseconds from now.
        retry_ms: u64,
    },
    /// Too many calls wait for it.
    #[error("server {server} has too many calls under way: {reason}")]
    Busy {
        /// The name.
        server: String,
        /// Whose limit it is.
        reason: String,
        /// When to try again, in milliseconds from now.
        retry_ms: u64,
    },
}

impl UpstreamError {
    /// Whether it tells of the upstream itself and not only of one call.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::Refused { .. }
                | Self::Login { .. }
                | Self::Timeout { .. }
                | Self::Protocol { .. }
        )
    }
}

impl From<UpstreamError> for Fault {
    fn from(error: UpstreamError) -> Self {
        let text = clip(error.to_string(), 320);
        let fault = |kind, server: String| Self::new(kind, Origin::Upstream(server), text.clone());
        match error {
            UpstreamError::Config { .. } => Self::new(Kind::Invalid, Origin::Narrows, text),
            UpstreamError::Unknown { nearest, .. } => match nearest {
                Some(nearest) => Self::not_found(text).hint(format!("did you mean {nearest}?")),
                None => Self::not_found(text),
            },
            UpstreamError::Disabled { server, .. } => fault(Kind::Forbidden, server),
            UpstreamError::Start { server, retry_ms, .. } => fault(Kind::Unavailable, server)
                .hint("see `narrows servers`")
                .retry(Retry::AfterMs(retry_ms)),
            UpstreamError::Broken { server, retry_ms, .. } => {
                fault(Kind::Unavailable, server).retry(Retry::AfterMs(retry_ms))
            }
            UpstreamError::Lost { server, sent: false, .. } => fault(Kind::Lost, server)
                .hint("it was not carried out; the next call starts the server again")
                .retry(Retry::Now),
            UpstreamError::Lost { server, .. } | UpstreamError::Stopped { server } => {
                fault(Kind::Lost, server).hint(
                    "whether it was carried out is unknown: look before you send it again; the \
                     next call starts the server again",
                )
            }
            UpstreamError::Refused { server, .. } => {
                fault(Kind::Upstream, server).hint("set its credentials in the config's `headers`")
            }
            UpstreamError::Login { server, .. }
            | UpstreamError::Answered { server, .. }
            | UpstreamError::Protocol { server, .. } => fault(Kind::Upstream, server),
            UpstreamError::TooLarge { server, .. } => {
                fault(Kind::Limit, server).hint("ask for less: filter, or take a page at a time")
            }
            UpstreamError::Timeout { server, .. } => fault(Kind::Timeout, server),
            UpstreamError::Busy { server, retry_ms, .. } => {
                fault(Kind::RateLimited, server).retry(Retry::AfterMs(retry_ms))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UpstreamError;
    use narrows_types::Fault;

    #[test]
    fn a_lost_call_says_whether_it_may_have_been_carried_out() {
        let hint = |sent| {
            let (server, reason) = ("one".to_owned(), "it exited with code 7".to_owned());
            Fault::from(UpstreamError::Lost { server, reason, sent }).hint
        };
        assert!(hint(true).starts_with("whether it was carried out is unknown"), "{}", hint(true));
        assert!(hint(false).starts_with("it was not carried out"), "{}", hint(false));
    }
}
