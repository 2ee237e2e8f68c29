//! The one shape of an error. Written for a language model: short, exact, with the next step.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest fault text in bytes, message and hint together.
pub const FAULT_BYTES_MAX: usize = 400;

/// What went wrong, as a closed set. Downstream maps each kind to its wire codes in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request is malformed or its values are wrong.
    Invalid,
    /// No or wrong credentials.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// Something named in the request does not exist.
    NotFound,
    /// The state does not permit it now.
    Conflict,
    /// A limit was reached.
    Limit,
    /// Too many requests.
    RateLimited,
    /// An upstream answered with an error or broke the protocol.
    Upstream,
    /// A deadline passed.
    Timeout,
    /// A worker or upstream died with the request.
    Lost,
    /// Narrows cannot serve this now.
    Unavailable,
    /// The caller cancelled.
    Cancelled,
    /// A defect in Narrows.
    Bug,
}

/// Whose side the cause is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The agent's request.
    Agent,
    /// The submitted program.
    Program,
    /// The named upstream.
    Upstream(String),
    /// Narrows itself or its host.
    Narrows,
}

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without a change.
    Never,
    /// Yes, as it is.
    Now,
    /// Yes, after so many milliseconds.
    AfterMs(u64),
}

/// An error with its kind, its origin, whether to retry, and the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What went wrong.
    pub kind: Kind,
    /// Whose side the cause is on.
    pub origin: Origin,
    /// Whether to try again.
    pub retry: Retry,
    /// What happened, lower case, naming the thing and the number.
    pub message: String,
    /// What to do next; empty if there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Fault {
    /// A fault that a retry cannot mend, with no hint.
    pub fn new(kind: Kind, origin: Origin, message: impl Into<String>) -> Self {
        let message = clip(message.into(), FAULT_BYTES_MAX);
        Self { kind, origin, retry: Retry::Never, message, hint: String::new() }
    }

    /// The agent's request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, Origin::Agent, message)
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, Origin::Agent, message)
    }

    /// A defect in Narrows.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, Origin::Narrows, message)
    }

    /// An upstream failed.
    pub fn upstream(server: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::Upstream, Origin::Upstream(server.into()), message)
    }

    /// Adds the next step. Message and hint together stay within [`FAULT_BYTES_MAX`].
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let room = FAULT_BYTES_MAX.saturating_sub(self.message.len());
        self.hint = clip(hint.into(), room);
        self
    }

    /// Says whether to retry.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// Cuts `text` to at most `bytes` bytes on a character boundary, marking the cut.
pub fn clip(mut text: String, bytes: usize) -> String {
    const MARK: &str = "...";
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if bytes >= MARK.len() {
        text.push_str(MARK);
    }
    text
}
