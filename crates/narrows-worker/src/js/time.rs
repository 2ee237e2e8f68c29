//! What time a run has used.

use narrows_types::{Limit, Limits};
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// When a run began, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    wall: Instant,
    cpu: Duration,
}

impl Began {
    pub(super) fn now() -> Self {
        Self { wall: Instant::now(), cpu: processor() }
    }

    /// Time since, waiting included.
    pub(super) fn wall(self) -> Duration {
        self.wall.elapsed()
    }

    /// Time on the processor since.
    pub(super) fn cpu(self) -> Duration {
        processor().saturating_sub(self.cpu)
    }

    /// The limit that time has reached.
    pub(super) fn reached(self, limits: &Limits) -> Option<Limit> {
        if self.wall() >= Duration::from_millis(limits.wall_ms) {
            Some(Limit::WallMs)
        } else if self.cpu() >= Duration::from_millis(limits.cpu_ms) {
            Some(Limit::CpuMs)
        } else {
            None
        }
    }
}

/// Time on this thread's processor. Where it cannot be told, it is limited from outside only.
fn processor() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}
