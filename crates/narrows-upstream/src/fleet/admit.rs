//! The way into a call: the turn of its caller, at its upstream and in the whole house, and whether
//! the upstream is asked at all.

use super::Fleet;
use crate::board::Cell;
use crate::error::UpstreamError;
use crate::gate::{Caller, Gate, NoTurn, Turn};
use crate::session::Reply;
use crate::wire::Failure;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// When to come back if too many wait.
const BUSY_RETRY_MS: u64 = 500;
/// How often a call looks again for an upstream that was taken out of the config meanwhile.
const RELOADS_MAX: usize = 5;

/// Leave to make one call, while it is held.
#[derive(Debug)]
pub(crate) struct Leave {
    own: Turn,
    all: Turn,
}

/// Leave that others get early: while a client thinks about a question, its request is nobody's work.
#[derive(Debug, Default)]
pub(crate) struct Place(Mutex<Option<Leave>>);

impl Place {
    pub(crate) fn new(leave: Option<Leave>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(leave)))
    }

    /// The client is asked something.
    pub(crate) fn step_aside(&self) {
        if let Some(leave) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            leave.own.step_aside();
            leave.all.step_aside();
        }
    }
}

impl Fleet {
    /// The upstream, once it is this caller's turn to call it. Tools inside Narrows need none.
    pub(crate) async fn enter(
        &self,
        server: &str,
        caller: Caller,
        deadline: Instant,
    ) -> Result<(Arc<Cell>, Option<Leave>), UpstreamError> {
        for _ in 0..RELOADS_MAX {
            let cell = self.cell(server)?;
            if cell.inside.is_some() {
                return Ok((cell, None));
            }
            let deadline = deadline.min(Instant::now() + cell.config.call_timeout);
            let own = match cell.gate.enter(caller, deadline).await {
                Ok(turn) => turn,
                // The config has another one by that name now, or none.
                Err(NoTurn::Closed) => continue,
                Err(why) => return Err(busy(&cell, &cell.gate, why, "it")),
            };
            // Here upstreams take turns: one that hangs takes none from the others.
            let upstream = Caller::of(server, None);
            let all = self.inner.gate.enter(upstream, deadline).await;
            let all = all.map_err(|why| busy(&cell, &self.inner.gate, why, "narrows"))?;
            cell.health.admit(Instant::now()).map_err(|left| broken(&cell, left))?;
            return Ok((cell, Some(Leave { own, all })));
        }
        let server = server.to_owned();
        let reason = "its config changes again and again".to_owned();
        Err(UpstreamError::Busy { server, reason, retry_ms: BUSY_RETRY_MS })
    }
}

fn busy(cell: &Cell, gate: &Gate, why: NoTurn, whose: &str) -> UpstreamError {
    let Gate { limit, queue_max, .. } = gate;
    let reason = match why {
        NoTurn::Full => format!("{whose} has {limit} under way and {queue_max} that wait"),
        NoTurn::Late => format!("{whose} has {limit} under way, and no turn came in time"),
        NoTurn::Closed => format!("{whose} is stopping"),
    };
    UpstreamError::Busy { server: cell.name().to_owned(), reason, retry_ms: BUSY_RETRY_MS }
}

fn broken(cell: &Cell, left: Duration) -> UpstreamError {
    let reason = cell.status().last_error.unwrap_or_default();
    let retry_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    UpstreamError::Broken { server: cell.name().to_owned(), reason, retry_ms }
}

impl Cell {
    /// Takes what came of a request that began at `began` as a sign of how the upstream is.
    pub(crate) fn judge(&self, reply: &Reply, began: Instant) {
        match reply {
            Ok(_) | Err(Failure::Rpc(_) | Failure::TooLarge { .. }) => self.health.good(),
            Err(
                Failure::Lost { .. } | Failure::Protocol(_) | Failure::Http { status: 500.., .. },
            ) => self.fell_ill(began),
            // The caller's own limit tells nothing of the upstream.
            Err(Failure::Timeout) if began.elapsed() >= self.config.call_timeout => {
                self.fell_ill(began);
            }
            Err(_) => {}
        }
    }

    fn fell_ill(&self, began: Instant) {
        if self.health.bad(began, Instant::now()) {
            tracing::warn!(server = self.name(), "fails again and again: left alone for a while");
        }
    }

    /// Whether a call of a tool may be made again though the first one may have been carried out.
    pub(crate) fn may_repeat(&self, tool: &str) -> bool {
        let Some(listing) = self.listing() else { return false };
        let found = listing.tools.iter().find(|spec| spec.name == tool);
        found.is_some_and(|spec| {
            let says = |hint: Option<bool>| hint == Some(true);
            says(spec.annotations.read_only_hint) || says(spec.annotations.idempotent_hint)
        })
    }
}
