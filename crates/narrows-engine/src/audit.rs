//! What somebody who watches over Narrows wants to know: one structured record each, under the
//! target `narrows::audit`, whatever else is logged. No argument, no result and no program stands in
//! them.

use crate::run::Ending;
use narrows_types::{BackendKind, Engine, Principal, RunId, Usage};

/// The log target of all records.
const TARGET: &str = "narrows::audit";

/// A run ended in a way that it should not.
pub(crate) fn ended(
    end: &Ending,
    (run, principal): (&RunId, &Principal),
    (backend, engine): (BackendKind, Engine),
    used: &Usage,
) {
    let who = &principal.name;
    let (cpu_us, wall_us) = (used.cpu_us, used.wall_us);
    match end {
        Ending::Limit(limit, allowed) => tracing::info!(
            target: TARGET,
            event = "limit",
            %run, principal = %who, %backend, %engine, %limit, allowed, cpu_us, wall_us,
            "a run reached a limit"
        ),
        Ending::Lost(reason) => tracing::warn!(
            target: TARGET,
            event = "worker_lost",
            %run, principal = %who, %backend, %engine, reason, cpu_us, wall_us,
            "a worker was lost"
        ),
        _ => {}
    }
}
