//! A program's time and the timers that it has set.

use std::collections::{BTreeSet, HashMap};

use crate::time::Clock;

/// Timers that are set at once.
pub(super) const TIMERS_MAX: usize = 10_000;

/// The shortest delay, as everywhere. With none, a timer that sets the next one would be due for
/// ever, and no reply would be read.
const DELAY_MS_MIN: f64 = 1.0;

/// A delay beyond this never ends within a run.
const DELAY_MS_MAX: f64 = 1e12;

/// The clock of a run and its timers, by the time when they are due.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) clock: Clock,
    order: BTreeSet<(u64, u32)>,
    due_us: HashMap<u32, u64>,
    last: u32,
}

impl Timers {
    pub(super) fn new(now_ms: u64) -> Self {
        let clock = Clock::new(now_ms);
        Self { clock, order: BTreeSet::new(), due_us: HashMap::new(), last: 0 }
    }

    /// Sets a timer; none if there are too many.
    pub(super) fn set(&mut self, delay_ms: f64) -> Option<u32> {
        if self.order.len() >= TIMERS_MAX {
            return None;
        }
        self.last = self.last.saturating_add(1);
        self.again(self.last, delay_ms);
        Some(self.last)
    }

    /// Sets a timer that has fired once more.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the delay is between one and 10^15 microseconds"
    )]
    pub(super) fn again(&mut self, id: u32, delay_ms: f64) {
        let delay_us = (delay_ms.clamp(DELAY_MS_MIN, DELAY_MS_MAX) * 1_000.0) as u64;
        let due_us = self.clock.now_us().saturating_add(delay_us);
        self.order.insert((due_us, id));
        self.due_us.insert(id, due_us);
    }

    pub(super) fn clear(&mut self, id: u32) {
        if let Some(due_us) = self.due_us.remove(&id) {
            self.order.remove(&(due_us, id));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.order.first().map(|(due_us, _)| *due_us)
    }

    /// Takes the next one that is due.
    pub(super) fn due(&mut self) -> Option<u32> {
        if self.next()? > self.clock.now_us() {
            return None;
        }
        let (_, id) = self.order.pop_first()?;
        self.due_us.remove(&id);
        Some(id)
    }
}
