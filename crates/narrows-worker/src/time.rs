//! What time and memory a run has used.

use crate::jail::memory::peak_bytes;
use narrows_types::{Limit, Limits};
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// Where a run began: on both clocks, and the most memory that its process had had by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    wall: Instant,
    cpu: Duration,
    memory_bytes: u64,
}

impl Began {
    pub(crate) fn now() -> Self {
        Self { wall: Instant::now(), cpu: processor(), memory_bytes: peak_bytes() }
    }

    /// Time since, waiting included.
    pub(crate) fn wall(self) -> Duration {
        self.wall.elapsed()
    }

    /// Time on the processor since.
    pub(crate) fn cpu(self) -> Duration {
        processor().saturating_sub(self.cpu)
    }

    /// The most memory since. QuickJS's own count would visit each object that there is,
    /// and not know of those that are gone.
    pub(crate) fn memory(self) -> u64 {
        peak_bytes().saturating_sub(self.memory_bytes)
    }

    /// The limit that time has reached.
    pub(crate) fn reached(self, limits: &Limits) -> Option<Limit> {
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
