//! The opening: which era and revision an upstream speaks, and who it is.
//!
//! A modern server answers `server/discover`; any other answer to it than a modern one, or none,
//! means `initialize`. Nothing here is keyed to one error code, since servers differ.

use crate::config::Era;
use crate::news::Lists;
use crate::session::{Body, Peer};
use crate::wire::{Failure, Told};
use narrows_protocol::views::{Discovered, Implementation, Initialized};
use narrows_protocol::{Revision, RpcError, code};
use narrows_types::ListKind;
use narrows_types::fault::clip;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a server may leave `server/discover` without an answer. It may be starting.
const PROBE_WAIT: Duration = Duration::from_secs(10);
/// Bytes of what it says of itself; parsed, that takes many times as much.
const OPENING_BYTES_MAX: usize = 1 << 20;
/// Bytes of instructions that are kept.
const INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;
/// Bytes of a name and of a version that a server says of itself.
const INTRODUCTION_BYTES_MAX: usize = 200;

/// What the opening told.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    pub(crate) revision: Revision,
    pub(crate) server: Implementation,
    pub(crate) instructions: Option<String>,
    /// What it declared, a JSON object.
    pub(crate) capabilities: Arc<RawValue>,
    /// What of that we look at.
    pub(crate) offers: Offers,
}

/// What an upstream declared, as far as we act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offers {
    has: Lists,
    announces: Lists,
    /// It can be subscribed to updates of resources.
    pub(crate) updates: bool,
    /// It sends log messages.
    pub(crate) logging: bool,
}

impl Offers {
    pub(crate) fn of(capabilities: &Value) -> Self {
        let is = |path: &str| capabilities.pointer(path).and_then(Value::as_bool) == Some(true);
        let mut offers = Self {
            updates: is("/resources/subscribe"),
            logging: capabilities.get("logging").is_some(),
            ..Self::default()
        };
        for (kind, name) in [
            (ListKind::Tools, "tools"),
            (ListKind::Prompts, "prompts"),
            (ListKind::Resources, "resources"),
        ] {
            if capabilities.get(name).is_some() {
                offers.has = offers.has.and(Lists::of(kind));
            }
            if is(&format!("/{name}/listChanged")) {
                offers.announces = offers.announces.and(Lists::of(kind));
            }
        }
        offers
    }

    /// It declared such a list.
    pub(crate) fn has(self, kind: ListKind) -> bool {
        self.has.has(kind)
    }

    /// It tells when such a list changes.
    pub(crate) fn announces(self, kind: ListKind) -> bool {
        self.announces.has(kind)
    }
}

/// Opens. `known` is the era that was agreed on last time.
pub(crate) async fn agree(
    peer: &Peer,
    era: Era,
    known: Option<Era>,
    deadline: Instant,
) -> Result<Agreed, Failure> {
    match (era, known) {
        (Era::Modern, _) => discover(peer, deadline).await,
        (Era::Legacy, _) => initialize(peer, deadline).await,
        (Era::Auto, Some(Era::Legacy)) => match initialize(peer, deadline).await {
            Err(failure) if is_another_era(&failure) => discover(peer, deadline).await,
            outcome => outcome,
        },
        (Era::Auto, _) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let probe = Instant::now() + PROBE_WAIT.min(left / 2);
            match discover(peer, probe).await {
                // It was slow, and its answer to the other question shows that it was no more than
                // that: behind a login, or started a moment ago.
                Err(Failure::Timeout) => match initialize(peer, deadline).await {
                    Err(Failure::Rpc(_) | Failure::Http { .. }) => discover(peer, deadline).await,
                    outcome => outcome,
                },
                Err(failure) if is_another_era(&failure) => initialize(peer, deadline).await,
                outcome => outcome,
            }
        }
    }
}

/// Whether a failed opening may mean that the server is of the other era.
fn is_another_era(failure: &Failure) -> bool {
    match failure {
        Failure::Rpc(error) => !code::is_modern(error.code),
        Failure::Timeout | Failure::Http { .. } | Failure::Protocol(_) => true,
        Failure::Lost { .. }
        | Failure::Stopped
        | Failure::Refused { .. }
        | Failure::Login { .. }
        | Failure::Busy { .. }
        | Failure::TooLarge { .. } => false,
    }
}

async fn discover(peer: &Peer, deadline: Instant) -> Result<Agreed, Failure> {
    let mut revision = Revision::LATEST;
    let reply = match peer
        .ask_for(OPENING_BYTES_MAX, Body::Discover, Some(revision), Some(deadline), None)
        .await
    {
        Err(Failure::Rpc(error)) if error.code == code::UNSUPPORTED_PROTOCOL_VERSION => {
            revision = offered(&error)?;
            peer.ask_for(OPENING_BYTES_MAX, Body::Discover, Some(revision), Some(deadline), None)
                .await?
        }
        reply => reply?,
    };
    let told: Discovered = read(&reply)?;
    let common =
        Revision::modern().filter(|r| told.supported_versions.iter().any(|v| v == r.as_str()));
    let Some(common) = common.last() else {
        let speaks = clip(told.supported_versions.join(", "), 100);
        return Err(Failure::Protocol(format!(
            "it speaks no modern revision that we do: {speaks}"
        )));
    };
    Ok(Agreed {
        revision: common,
        server: short(told.meta.server_info),
        instructions: told.instructions.map(|text| clip(text, INSTRUCTIONS_BYTES_MAX)),
        offers: Offers::of(&told.capabilities),
        capabilities: text(&told.capabilities),
    })
}

/// The newest modern revision that a refusal offers.
fn offered(error: &RpcError) -> Result<Revision, Failure> {
    #[derive(Deserialize)]
    struct Offer {
        supported: Vec<String>,
    }
    let offer = error.data.as_ref().and_then(|d| serde_json::from_str::<Offer>(d.get()).ok());
    let supported = offer.map(|offer| offer.supported).unwrap_or_default();
    let common = Revision::modern().filter(|r| supported.iter().any(|s| s == r.as_str())).last();
    common.ok_or_else(|| {
        let speaks = clip(supported.join(", "), 100);
        Failure::Protocol(format!("it speaks no modern revision that we do: {speaks}"))
    })
}

async fn initialize(peer: &Peer, deadline: Instant) -> Result<Agreed, Failure> {
    let reply =
        peer.ask_for(OPENING_BYTES_MAX, Body::Initialize, None, Some(deadline), None).await?;
    let told: Initialized = read(&reply)?;
    let revision = Revision::parse(&told.protocol_version).filter(|r| !r.is_modern());
    let Some(revision) = revision else {
        let speaks = clip(told.protocol_version, 64);
        return Err(Failure::Protocol(format!("it speaks revision {speaks}, which we do not")));
    };
    peer.ask_for(OPENING_BYTES_MAX, Body::Initialized, Some(revision), Some(deadline), None)
        .await?;
    Ok(Agreed {
        revision,
        server: short(told.server_info),
        instructions: told.instructions.map(|text| clip(text, INSTRUCTIONS_BYTES_MAX)),
        offers: Offers::of(&told.capabilities),
        capabilities: text(&told.capabilities),
    })
}

/// Capabilities as text; what is no object declares nothing.
fn text(capabilities: &Value) -> Arc<RawValue> {
    let text = if capabilities.is_object() { capabilities.to_string() } else { "{}".to_owned() };
    RawValue::from_string(text).unwrap_or_else(|_broken| RawValue::NULL.to_owned()).into()
}

fn read<T: DeserializeOwned>(reply: &Told) -> Result<T, Failure> {
    serde_json::from_str(reply.get()).map_err(|e| {
        Failure::Protocol(clip(format!("its opening answer is not understood: {e}"), 200))
    })
}

fn short(told: Implementation) -> Implementation {
    Implementation {
        name: clip(told.name, INTRODUCTION_BYTES_MAX),
        version: clip(told.version, INTRODUCTION_BYTES_MAX),
    }
}
