//! Time and randomness, each taken in one place: they are effects that a run records.

use narrows_types::{Fault, RunId};

/// Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the one place where the engine reads the clock")]
pub(crate) fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// A seed for a run's random numbers.
pub(crate) fn seed() -> Result<u64, Fault> {
    getrandom::u64().map_err(|e| Fault::bug(format!("no randomness from the system: {e}")))
}

/// A new, unguessable run id.
pub(crate) fn run_id() -> Result<RunId, Fault> {
    random_id("run").map(RunId)
}

/// A new, unguessable id of a kind.
pub(crate) fn random_id(kind: &str) -> Result<String, Fault> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes)
        .map_err(|e| Fault::bug(format!("no randomness from the system: {e}")))?;
    let text: String = bytes
        .iter()
        .filter_map(|b| ALPHABET.get(usize::from(b & 31)).map(|c| char::from(*c)))
        .collect();
    Ok(format!("{kind}_{text}"))
}
