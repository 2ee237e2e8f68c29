//! Whether something that fails again and again is asked at all: a place of an upstream, or all of
//! it. After some failures in a row it is left alone for a while; then one request tries it, and
//! each such try that fails makes the next pause longer.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the one request that tries it may leave us without a verdict; then another one tries.
const TRIAL_WAIT: Duration = Duration::from_secs(10);

/// When something is left alone, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Failures in a row.
    pub(crate) strikes_max: u32,
    /// The first pause; each further one is twice as long.
    pub(crate) pause_first: Duration,
    /// The longest pause.
    pub(crate) pause_max: Duration,
}

/// How it went lately.
#[derive(Debug)]
pub(crate) struct Health {
    rule: Rule,
    /// Whether there is anything but good news: the common way looks no further.
    is_ill: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    strikes: u32,
    /// When the last strike was counted.
    struck_at: Option<Instant>,
    out: Option<Out>,
}

#[derive(Debug, Clone, Copy)]
struct Out {
    until: Instant,
    rounds: u32,
    /// A request is trying it.
    on_trial: bool,
}

impl Health {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, is_ill: AtomicBool::new(false), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it is still left alone, without asking to try it.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        if !self.is_ill.load(Ordering::Acquire) {
            return None;
        }
        left(self.state().out?.until, now)
    }

    /// May a request be made? If not, when to come back. Whoever is let in after a pause is the one
    /// that tries it; others wait for what comes of that.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        if !self.is_ill.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.state();
        let Some(out) = state.out.as_mut() else { return Ok(()) };
        if let Some(left) = left(out.until, now) {
            return Err(left);
        }
        out.on_trial = true;
        out.until = now + TRIAL_WAIT;
        Ok(())
    }

    /// A request went well.
    pub(crate) fn good(&self) {
        if self.is_ill.load(Ordering::Acquire) {
            *self.state() = State::default();
            self.is_ill.store(false, Ordering::Release);
        }
    }

    /// A request that began at `began` failed in a way that tells of the thing itself. True if that
    /// is left alone from now. Many that fail together are one failure.
    pub(crate) fn bad(&self, began: Instant, now: Instant) -> bool {
        let mut state = self.state();
        if state.struck_at.is_some_and(|at| began <= at) {
            return false;
        }
        state.struck_at = Some(now);
        state.strikes = state.strikes.saturating_add(1);
        self.is_ill.store(true, Ordering::Release);
        let rounds = match state.out {
            // What was under way before it was left alone tells nothing new.
            Some(out) if !out.on_trial => return false,
            Some(out) => out.rounds + 1,
            None if state.strikes >= self.rule.strikes_max => 0,
            None => return false,
        };
        let pause = self.rule.pause_first.saturating_mul(1 << rounds.min(16));
        let until = now + jitter(pause.min(self.rule.pause_max));
        state.out = Some(Out { until, rounds, on_trial: false });
        true
    }
}

fn left(until: Instant, now: Instant) -> Option<Duration> {
    until.checked_duration_since(now).filter(|left| !left.is_zero())
}

/// A pause that is up to a fifth shorter, so that not all come back at once.
pub(crate) fn jitter(pause: Duration) -> Duration {
    // Each hasher has keys of its own; nothing secret depends on them.
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 200).unwrap_or(0);
    pause.saturating_sub(pause * part / 1_000)
}

#[cfg(test)]
mod tests {
    use super::{Health, Rule, TRIAL_WAIT, jitter};
    use std::time::Duration;
    use tokio::time::Instant;

    const RULE: Rule = Rule {
        strikes_max: 3,
        pause_first: Duration::from_secs(1),
        pause_max: Duration::from_secs(4),
    };

    #[test]
    fn what_fails_again_and_again_is_left_alone_and_tried_once() {
        let health = Health::new(RULE);
        let mut now = Instant::now();
        let fails = |now: &mut Instant| {
            *now += Duration::from_millis(1);
            health.bad(*now, *now)
        };
        assert!(!fails(&mut now) && !fails(&mut now));
        health.good();
        assert!(!fails(&mut now) && !fails(&mut now), "only failures in a row count");
        assert!(!health.bad(now, now + RULE.pause_first), "one that began before the last one");
        assert!(health.admit(now).is_ok());
        assert!(fails(&mut now));
        assert!(!fails(&mut now), "one that was under way");
        for pause in [1, 2, 4, 4] {
            let left = health.admit(now).unwrap_err();
            let longest = Duration::from_secs(pause);
            assert!(left <= longest && left >= longest / 2, "{left:?}");
            assert_eq!(health.pause(now), Some(left));
            now += left;
            assert_eq!(health.pause(now), None);
            assert!(health.admit(now).is_ok(), "one tries it");
            assert!(health.admit(now).is_err(), "the others wait");
            assert!(fails(&mut now));
        }
        now += RULE.pause_max;
        assert!(health.admit(now).is_ok());
        now += TRIAL_WAIT;
        assert!(health.admit(now).is_ok(), "the one that tried it went away");
        health.good();
        assert!(health.admit(now).is_ok() && health.admit(now).is_ok());
        assert!(!fails(&mut now), "it starts anew");
    }

    #[test]
    fn pauses_differ() {
        let pause = Duration::from_secs(10);
        let all: Vec<_> = (0..50).map(|_| jitter(pause)).collect();
        assert!(all.iter().all(|one| *one <= pause && *one > pause * 4 / 5));
        assert!(all.iter().any(|one| *one != all[0]));
    }
}
