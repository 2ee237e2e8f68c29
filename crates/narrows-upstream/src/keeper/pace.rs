//! How often a list is read because the upstream says that it changed.

use std::time::Duration;
use tokio::time::Instant;

/// The least time between two readings.
const GAP_MIN: Duration = Duration::from_millis(500);
/// What it grows to while an upstream cries without end.
const GAP_MAX: Duration = Duration::from_mins(1);

/// The time between two readings: doubled by every change that follows soon, back to the least
/// after a while of rest.
pub(super) struct Pace {
    gap: Duration,
    read_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { gap: GAP_MIN, read_at: None }
    }

    /// A reading ended.
    pub(super) fn read(&mut self, now: Instant) {
        self.read_at = Some(now);
    }

    /// When a change that is told now may be read.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let Some(read_at) = self.read_at else { return now };
        if now >= read_at + self.gap * 2 {
            self.gap = GAP_MIN;
        }
        let next = (read_at + self.gap).max(now);
        self.gap = (self.gap * 2).min(GAP_MAX);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP_MAX, GAP_MIN, Pace};
    use tokio::time::Instant;

    #[test]
    fn a_storm_of_changes_is_read_less_and_less_often() {
        let mut now = Instant::now();
        let mut pace = Pace::new();
        assert_eq!(pace.next(now), now, "nothing was read yet");
        pace.read(now);
        let mut gaps = Vec::new();
        for _ in 0..12 {
            // The next change is told right after each reading.
            let next = pace.next(now);
            gaps.push(next - now);
            now = next;
            pace.read(now);
        }
        assert!(gaps.windows(2).all(|two| two[1] == (two[0] * 2).min(GAP_MAX)), "{gaps:?}");
        assert_eq!(gaps.last(), Some(&GAP_MAX));
        now += GAP_MAX * 2;
        assert_eq!(pace.next(now), now, "after a rest a change is read at once");
        pace.read(now);
        assert_eq!(pace.next(now), now + GAP_MIN * 2);
    }
}
