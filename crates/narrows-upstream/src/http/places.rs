//! The places where an HTTP upstream can be reached. Each request, or each legacy session, goes to
//! the one that has the least to do; a place that fails is left alone for a while.

use super::Endpoint;
use crate::health::{Health, Rule};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// When a place is left alone.
const RULE: Rule = Rule {
    strikes_max: 3,
    pause_first: Duration::from_secs(1),
    pause_max: Duration::from_secs(30),
};

/// All places of one upstream, with their connections, shared by everybody who speaks to it.
pub(crate) struct Places {
    all: Vec<Arc<Place>>,
    /// Where the search begins, so that places with the same load take turns.
    next: AtomicUsize,
    /// It speaks HTTP+SSE, as was found out.
    is_sse: AtomicBool,
}

/// One of them.
pub(crate) struct Place {
    pub(super) endpoint: Endpoint,
    under_way: AtomicUsize,
    health: Health,
}

/// A request, or a session, at a place; counted while this is held.
pub(super) struct Visit {
    place: Arc<Place>,
    since: Instant,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.place.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Visit {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Visit {
    /// One more at the same place.
    pub(super) fn again(&self) -> Self {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        Self { place: Arc::clone(&self.place), since: Instant::now() }
    }

    pub(super) fn is_at(&self, place: &Arc<Place>) -> bool {
        Arc::ptr_eq(&self.place, place)
    }

    /// It failed; what it said about a request does not count.
    pub(super) fn bad(&self) {
        if self.health.bad(self.since, Instant::now()) {
            tracing::warn!("{} is left alone for a while", self.endpoint.shown());
        }
    }
}

impl Place {
    /// It answered.
    pub(super) fn good(&self) {
        self.health.good();
    }
}

impl Places {
    /// The places at these endpoints.
    pub(crate) fn new(endpoints: Vec<Endpoint>) -> Self {
        let place = |endpoint| {
            Arc::new(Place { endpoint, under_way: AtomicUsize::new(0), health: Health::new(RULE) })
        };
        let all = endpoints.into_iter().map(place).collect();
        Self { all, next: AtomicUsize::new(0), is_sse: AtomicBool::new(false) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether it was found to speak HTTP+SSE.
    pub(crate) fn is_sse(&self) -> bool {
        self.is_sse.load(Ordering::Relaxed)
    }

    /// It was found to speak HTTP+SSE, or no longer to do so.
    pub(crate) fn set_sse(&self, is_sse: bool) {
        self.is_sse.store(is_sse, Ordering::Relaxed);
    }

    /// The place with the least to do that was not tried yet. If all are left alone, the one whose
    /// time is up first: to ask it is better than not to ask. `None` if all were tried.
    pub(super) fn visit(&self, tried: &[Visit]) -> Option<Visit> {
        let now = Instant::now();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.all.len();
        let in_turn = (0..count).filter_map(|n| self.all.get(start.wrapping_add(n) % count));
        let least = in_turn
            .filter(|place| !tried.iter().any(|visit| visit.is_at(place)))
            .min_by_key(|place| {
                let pause = place.health.pause(now).unwrap_or_default();
                (pause, place.under_way.load(Ordering::Relaxed))
            })?;
        // A place of which another request has begun to find out is asked all the same if there is
        // no better one.
        let _on_trial = least.health.admit(now);
        least.under_way.fetch_add(1, Ordering::Relaxed);
        Some(Visit { place: Arc::clone(least), since: now })
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Places, RULE};
    use std::collections::BTreeMap;

    fn places(count: u16) -> Places {
        // A second test in the same process finds it installed.
        let _again = rustls::crypto::ring::default_provider().install_default();
        let at = |n: u16| {
            Endpoint::new(
                &format!("http://127.0.0.1:{}/mcp", 1 + n),
                &BTreeMap::new(),
                "test",
                None,
            )
        };
        Places::new((0..count).map(|n| at(n).unwrap()).collect())
    }

    #[test]
    fn the_one_with_the_least_to_do_is_asked() {
        let places = places(3);
        let held: Vec<_> = (0..9).map(|_| places.visit(&[]).unwrap()).collect();
        for place in &places.all {
            assert_eq!(held.iter().filter(|visit| visit.is_at(place)).count(), 3);
        }
        let freed = std::sync::Arc::clone(&held[4].place);
        let kept: Vec<_> = held.into_iter().filter(|visit| !visit.is_at(&freed)).collect();
        for _ in 0..3 {
            // Given back at once, it stays the least.
            assert!(places.visit(&[]).unwrap().is_at(&freed));
        }
        assert_eq!(kept.len(), 6);
        drop(kept);
        assert!((0..3).all(|_| places.visit(&[]).is_some()));
    }

    #[test]
    fn one_that_fails_is_left_alone_unless_there_is_no_other() {
        let places = places(2);
        let first = places.visit(&[]).unwrap();
        for n in 1..=RULE.strikes_max {
            std::thread::yield_now();
            let broken = first.again();
            broken.bad();
            assert_eq!(first.health.pause(broken.since).is_some(), n == RULE.strikes_max);
        }
        let broken = first;
        let other = places.visit(&[]).unwrap();
        let other_again = places.visit(&[]).unwrap();
        assert!(!other.is_at(&broken.place) && !other_again.is_at(&broken.place));
        let last = places.visit(&[other]).unwrap();
        assert!(last.is_at(&broken.place));
        assert!(places.visit(&[other_again, last]).is_none());
        broken.good();
        let seen: Vec<_> = (0..4).map(|_| places.visit(&[]).unwrap()).collect();
        assert!(seen.iter().any(|visit| visit.is_at(&broken.place)), "it is asked again");
    }
}
