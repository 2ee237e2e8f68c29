//! The OAuth client towards HTTP upstreams: finding the authorization server of a resource,
//! registering with it, logging a person or ourselves in, keeping and renewing what it gives.
//!
//! Nothing of it happens until an upstream says no (401, or 403 for want of a scope). Then, in this
//! order: what another process logged in meanwhile, a renewal, a login of our own (client
//! credentials), and else the user is asked to run `narrows auth login`. A token is sent to the
//! resource that it was given for and nowhere else, and stands in no message and no log.

mod assertion;
mod challenge;
mod code;
mod discovery;
mod keys;
mod login;
mod redirect;
mod registration;
mod settings;
mod token;
mod vault;
mod web;

pub(crate) use keys::{Keys, Verdict};
pub(crate) use login::takes_part;
pub use login::{LoggedIn, Login, login, logout, status};
pub use settings::{Grant, OAuth};

use std::time::{Duration, UNIX_EPOCH};

/// How long finding, registering and redeeming may take together, a person's time not counted.
const FLOW_WAIT: Duration = Duration::from_mins(1);

/// Why there is no token. The text is for whoever reads the error: it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

impl Refusal {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Seconds since 1970: servers tell how long a token lives, and it outlives this process.
#[expect(clippy::disallowed_methods, reason = "the life of a token is wall-clock time")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Random bytes as text that any address can hold.
fn random_text() -> Result<String, Refusal> {
    use base64::Engine as _;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| Refusal::new(format!("no random numbers: {e}")))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// Scopes of a space-separated list.
fn scopes_of(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().take(SCOPES_MAX).map(str::to_owned).collect()
}

/// Adds what is missing, in order.
fn unite(scopes: &mut Vec<String>, more: &[String]) {
    for scope in more {
        if scopes.len() < SCOPES_MAX && !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
}

/// Scopes that are asked for at once.
const SCOPES_MAX: usize = 256;
