//! The opening: which era and revision an upstream speaks, and who it is.
//!
//! A modern server answers `server/discover`; any other answer to it than a modern one, or none,
//! means `initialize`. Nothing here is keyed to one error code, since servers differ.

use crate::config::Era;
use crate::session::{Body, Peer};
use crate::wire::{Failure, Told};
use narrows_protocol::views::{Discovered, Implementation, Initialized};
use narrows_protocol::{Revision, RpcError, code};
use narrows_types::fault::clip;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
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
    /// It has tools.
    pub(crate) has_tools: bool,
    /// It tells when its tools change.
    pub(crate) announces: bool,
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
        | Failure::Refused { .. }
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
        has_tools: told.capabilities.get("tools").is_some(),
        announces: announces(&told.capabilities),
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
        has_tools: told.capabilities.get("tools").is_some(),
        announces: announces(&told.capabilities),
    })
}

fn announces(capabilities: &Value) -> bool {
    capabilities.pointer("/tools/listChanged").and_then(Value::as_bool) == Some(true)
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
