//! A request's time, which stands still while its client thinks about a question.

use crate::fleet::Place;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a client may take over all questions of one request.
pub(crate) const THINKING_MAX: Duration = Duration::from_mins(10);
/// How far a deadline moves at once while a question is open.
const STEP: Duration = Duration::from_millis(500);

/// What a client took to answer questions.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    thinking: Mutex<Thinking>,
    place: Arc<Place>,
}

#[derive(Debug, Default)]
struct Thinking {
    spent: Duration,
    open: usize,
    since: Option<Instant>,
}

impl Clock {
    /// That of a request which has this place.
    pub(crate) fn new(place: Arc<Place>) -> Self {
        Self { thinking: Mutex::default(), place }
    }

    /// A question was asked.
    pub(crate) fn asked(&self) {
        self.place.step_aside();
        let mut thinking = self.thinking();
        thinking.open += 1;
        thinking.since.get_or_insert_with(Instant::now);
    }

    /// A question was answered, or nobody waits for its answer any more.
    pub(crate) fn answered(&self) {
        let mut thinking = self.thinking();
        thinking.open = thinking.open.saturating_sub(1);
        if thinking.open == 0
            && let Some(since) = thinking.since.take()
        {
            thinking.spent += since.elapsed();
        }
    }

    /// The deadline, moved by what the client took and takes.
    pub(crate) fn later(&self, deadline: Instant) -> Instant {
        let thinking = self.thinking();
        let now = thinking.since.map(|since| since.elapsed() + STEP).unwrap_or_default();
        deadline + (thinking.spent + now).min(THINKING_MAX)
    }

    fn thinking(&self) -> std::sync::MutexGuard<'_, Thinking> {
        self.thinking.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, STEP, THINKING_MAX};
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    #[tokio::test(start_paused = true)]
    async fn thinking_moves_the_deadline_within_a_bound() {
        let clock = Clock::default();
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(clock.later(deadline), deadline);
        clock.asked();
        clock.asked();
        advance(Duration::from_secs(5)).await;
        assert_eq!(clock.later(deadline), deadline + Duration::from_secs(5) + STEP);
        clock.answered();
        advance(Duration::from_secs(2)).await;
        clock.answered();
        advance(Duration::from_secs(9)).await;
        assert_eq!(clock.later(deadline), deadline + Duration::from_secs(7));
        clock.asked();
        advance(THINKING_MAX).await;
        assert_eq!(clock.later(deadline), deadline + THINKING_MAX);
    }
}
