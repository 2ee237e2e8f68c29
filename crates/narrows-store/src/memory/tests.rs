//! What only a back end whose clock is in the test's hand can show to the millisecond.

use super::Memory;
use crate::backend::{Backend, Change, Expect, Key, Record, Space, Total};
use crate::queue::{Beat, Claim, Depth, JobState, NewJob, Outcome, Pulse, Settle, Taken};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Place {
    memory: Memory,
    now: Arc<AtomicU64>,
}

fn place() -> Place {
    let now = Arc::new(AtomicU64::new(1_000));
    let hand = Arc::clone(&now);
    Place { memory: Memory::new(move || hand.load(Ordering::Relaxed)), now }
}

impl Place {
    fn at(&self, now_ms: u64) {
        self.now.store(now_ms, Ordering::Relaxed);
    }

    async fn claim(&self, count: u32, tenant_running_max: u32) -> Vec<(String, u32)> {
        let claim = Claim { worker: "w".into(), count, lease_ms: 100, tenant_running_max };
        let rows = self.memory.claim(&claim).await.unwrap();
        rows.into_iter().map(|row| (row.id, row.attempt)).collect()
    }

    async fn state(&self, id: &str) -> JobState {
        self.memory.job(id).await.unwrap().unwrap().state
    }
}

fn key(id: &str) -> Key {
    Key { space: Space::Run, owner: "o".into(), id: id.into() }
}

fn put(id: &str, expect: Expect, expires_ms: Option<u64>) -> Change {
    let record = Record {
        key: key(id),
        body: id.as_bytes().to_vec(),
        weight: 3,
        version: 77,
        stamp_ms: 5,
        expires_ms,
    };
    Change::Put { record, expect }
}

fn append(id: &str, from: u64, entries: &[&str]) -> Change {
    let entries = entries.iter().map(|entry| entry.as_bytes().to_vec()).collect();
    Change::Append { key: key(id), from, entries }
}

fn job(id: &str, tenant: &str, priority: i32) -> NewJob {
    NewJob {
        id: id.into(),
        principal: "p".into(),
        tenant: tenant.into(),
        priority,
        delay_ms: 0,
        max_attempts: 2,
        body: b"do".to_vec(),
        running: None,
    }
}

#[tokio::test]
async fn an_expired_record_is_gone_with_its_log_though_nobody_swept() {
    let place = place();
    let memory = &place.memory;
    let first = vec![put("a", Expect::Absent, Some(1_010)), append("a", 0, &["x", "y"])];
    assert!(memory.write(first).await.unwrap());
    place.at(1_009);
    assert!(!memory.write(vec![put("a", Expect::Absent, None)]).await.unwrap());
    assert!(!memory.write(vec![append("a", 0, &["z"])]).await.unwrap());
    assert_eq!(memory.read(&key("a"), 1, 9).await.unwrap(), [b"y"]);

    place.at(1_010);
    assert_eq!(memory.get(&key("a"), 1_010).await.unwrap(), None);
    assert!(memory.read(&key("a"), 0, 9).await.unwrap().is_empty());
    assert!(!memory.write(vec![put("a", Expect::Version(1), None)]).await.unwrap());
    let total = memory.total(Space::Run, Some("o")).await.unwrap();
    assert_eq!(total, Total { records: 1, weight: 3 }, "it is not swept");
    assert!(memory.write(vec![put("a", Expect::Absent, None)]).await.unwrap());
    assert_eq!(memory.get(&key("a"), 1_010).await.unwrap().unwrap().version, 1);
    assert!(memory.read(&key("a"), 0, 9).await.unwrap().is_empty());
    assert_eq!(memory.sweep(9_999).await.unwrap(), 0);
}

#[tokio::test]
async fn jobs_go_by_priority_then_to_who_has_least_then_by_age() {
    let place = place();
    let memory = &place.memory;
    for (at, id, tenant, priority) in [
        (1_000, "a1", "a", 0),
        (1_001, "a2", "a", 0),
        (1_002, "a3", "a", 0),
        (1_003, "b1", "b", 0),
        (1_004, "c1", "c", -1),
        (1_005, "a4", "a", 7),
    ] {
        place.at(at);
        memory.enqueue(vec![job(id, tenant, priority)]).await.unwrap();
    }
    let ids: Vec<_> = place.claim(9, 3).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a4", "b1", "a1", "a2", "c1"], "a3 waits: its tenant has three");
    let end = Settle { id: "a4".into(), attempt: 1, outcome: Outcome::Done(b"4".to_vec()) };
    assert_eq!(memory.settle(vec![end.clone(), end]).await.unwrap(), [true, false]);
    assert_eq!(place.claim(9, 3).await, [("a3".to_owned(), 1)]);
    assert_eq!(memory.depth().await.unwrap(), Depth([0, 5, 0, 1, 0, 0, 0]));
}

#[tokio::test]
async fn a_lapsed_lease_is_taken_again_until_the_job_is_dead() {
    let place = place();
    let memory = &place.memory;
    let mut first = job("a", "t", 0);
    first.running = Some(Taken { worker: "here".into(), lease_ms: 100 });
    memory.enqueue(vec![first]).await.unwrap();
    assert!(place.claim(1, 1).await.is_empty());
    place.at(1_100);
    let beat = |attempt| Beat { id: "a".into(), attempt, progress: None };
    assert_eq!(memory.beat(vec![beat(1)], 50).await.unwrap(), [Pulse::Held]);
    place.at(1_150);
    assert_eq!(place.claim(1, 1).await, [("a".to_owned(), 2)]);
    assert_eq!(memory.beat(vec![beat(1), beat(2)], 10).await.unwrap(), [Pulse::Lost, Pulse::Held]);
    place.at(1_160);
    // A beat of the wrong attempt must not bring the lapsed job back to life.
    assert_eq!(memory.beat(vec![beat(1)], 50).await.unwrap(), [Pulse::Lost]);
    assert!(place.claim(1, 1).await.is_empty());
    assert_eq!(place.state("a").await, JobState::Dead);
    assert!(memory.revive("a", 1).await.unwrap());
    assert_eq!(place.claim(1, 1).await, [("a".to_owned(), 3)]);
}

#[tokio::test]
async fn a_pause_that_was_answered_meanwhile_is_queued_and_a_cancelled_one_is_not() {
    let place = place();
    let memory = &place.memory;
    memory.enqueue(vec![job("a", "t", 0), job("b", "t", 0), job("c", "t", 0)]).await.unwrap();
    assert_eq!(place.claim(3, 9).await.len(), 3);
    assert!(memory.revive("a", 1).await.unwrap());
    assert!(memory.cancel("b").await.unwrap());
    let pause =
        |id: &str| Settle { id: id.into(), attempt: 1, outcome: Outcome::Paused("{}".into()) };
    let settled = memory.settle(vec![pause("a"), pause("b"), pause("c")]).await.unwrap();
    assert_eq!(settled, [true; 3]);
    assert_eq!(place.state("a").await, JobState::Queued);
    assert_eq!(place.state("b").await, JobState::Cancelled);
    assert_eq!(place.state("c").await, JobState::Paused);
    assert!(memory.cancel("c").await.unwrap());
    assert_eq!(place.state("c").await, JobState::Cancelled);
    place.at(1_001);
    assert_eq!(memory.forget_jobs(1_001).await.unwrap(), 2);
    assert!(!memory.cancel("c").await.unwrap());
    memory.close().await.unwrap();
    assert!(memory.job("a").await.is_err());
}

mod suite {
    use crate::Clock;
    use crate::backend::Backend;
    use crate::backend::suite::{Site, backend_suite};
    use crate::memory::Memory;
    use std::sync::Arc;

    async fn make() -> Site {
        let clock = Clock::system();
        let memory: Arc<dyn Backend> = Arc::new(Memory::new(move || clock.now_ms()));
        Site::new(move || std::future::ready(Arc::clone(&memory)), ())
    }

    backend_suite!(make);
}
