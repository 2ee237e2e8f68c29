//! What time and memory a run has used, and the time that its program sees.

use crate::jail::memory::peak_bytes;
use narrows_types::{Limit, Limits};
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// Where a run began: on both clocks, and the most memory that its process had had before its first
/// program, and by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    wall: Instant,
    cpu: Duration,
    memory_bytes: u64,
    peak_bytes: u64,
}

impl Began {
    pub(crate) fn now() -> Self {
        let peak_bytes = peak_bytes();
        let (wall, cpu) = (Instant::now(), processor());
        Self { wall, cpu, memory_bytes: peak_bytes, peak_bytes }
    }

    /// As [`Began::now`], of a process that is kept: its memory counts from its first program on.
    pub(crate) fn with_memory(first: &mut Option<u64>) -> Self {
        let now = Self::now();
        Self { memory_bytes: *first.get_or_insert(now.memory_bytes), ..now }
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

    /// How much more that is than there had been before this run.
    pub(crate) fn memory_of_its_own(self) -> u64 {
        peak_bytes().saturating_sub(self.peak_bytes)
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

/// The time that a program sees, in microseconds since its run began.
///
/// It never follows a real clock: it passes with what the host tells, with timers, and by one
/// microsecond for each look at it. So a program that is run again, and told the same in the same
/// order, sees the same times, and one that is busy waiting comes to its end.
#[derive(Debug)]
pub(crate) struct Clock {
    unix_ms: u64,
    now_us: u64,
    /// How far jumps have brought it ahead of the host, which knows nothing of them.
    ahead_us: u64,
}

impl Clock {
    /// A clock of a run that begins at `unix_ms`.
    pub(crate) fn new(unix_ms: u64) -> Self {
        Self { unix_ms, now_us: 0, ahead_us: 0 }
    }

    /// What it shows, to whoever is not the program.
    pub(crate) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The program looks at it.
    pub(crate) fn look(&mut self) -> u64 {
        let seen = self.now_us;
        self.now_us = seen.saturating_add(1);
        seen
    }

    /// The program looks at it, for the time since 1970.
    pub(crate) fn look_unix_us(&mut self) -> u64 {
        self.unix_ms.saturating_mul(1_000).saturating_add(self.look())
    }

    /// The host tells its time.
    pub(crate) fn told(&mut self, at_us: u64) {
        self.now_us = self.now_us.max(at_us.saturating_add(self.ahead_us));
    }

    /// Jumps to a time, for nothing can happen before.
    pub(crate) fn jump(&mut self, to_us: u64) {
        let by = to_us.saturating_sub(self.now_us);
        self.now_us = self.now_us.saturating_add(by);
        self.ahead_us = self.ahead_us.saturating_add(by);
    }

    /// A time of this clock as the host counts.
    pub(crate) fn for_host(&self, at_us: u64) -> u64 {
        at_us.saturating_sub(self.ahead_us)
    }
}

/// Time on this thread's processor. Where it cannot be told, it is limited from outside only.
fn processor() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_jump_is_not_taken_back_by_what_the_host_tells() {
        let mut clock = Clock::new(5);
        assert_eq!((clock.look(), clock.look_unix_us()), (0, 5_001));
        clock.told(100);
        clock.jump(1_100);
        assert_eq!((clock.now_us(), clock.for_host(1_300)), (1_100, 300));
        // The host has come from 100 to 150, and so has the program.
        clock.told(150);
        assert_eq!(clock.now_us(), 1_150);
        clock.told(20);
        clock.jump(7);
        assert_eq!((clock.look(), clock.look()), (1_150, 1_151));
        clock.told(u64::MAX);
        assert_eq!((clock.look(), clock.look()), (u64::MAX, u64::MAX));
    }
}
