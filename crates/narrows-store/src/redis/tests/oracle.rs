//! The same random operations on Redis and in memory give the same answers.

use super::*;
use crate::backend::Range;
use crate::memory::Memory;
use crate::queue::{Beat, JobFilter, JobRow, JobState, Outcome, Settle, Taken};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const STEPS: usize = 700;
const FAR_MS: u64 = 10_000_000;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = usize::try_from(self.below(all.len() as u64)).unwrap();
        all[at].clone()
    }
}

struct Pair {
    redis: Redis,
    memory: Memory,
    /// What the memory's clock shows: the server's time at the beginning of each step.
    now: Arc<AtomicU64>,
    _server: Server,
}

async fn pair() -> Pair {
    let server = Server::start().await;
    let now = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let memory = Memory::new(move || clock.load(Ordering::Relaxed));
    Pair { redis: Redis::open(&server.url()).await.unwrap(), memory, now, _server: server }
}

impl Pair {
    /// A new millisecond for both, behind all that was said before.
    async fn tick(&self) -> u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = self.redis.now_ms().await.unwrap();
        self.now.store(now, Ordering::Relaxed);
        now
    }
}

fn change(dice: &mut Dice, now: u64) -> Change {
    let key = Key {
        space: dice.of(&[Space::Run, Space::Value]),
        owner: dice.of(&["", "a", "a:b"]).to_owned(),
        id: dice.of(&["", "1", "10", "2"]).to_owned(),
    };
    let expires_ms = dice.of(&[None, None, Some(now - 1_000), Some(now + FAR_MS)]);
    let stamp_ms = dice.below(4);
    match dice.below(12) {
        0..=4 => {
            let expect = match dice.below(6) {
                0 => Expect::Absent,
                1 => Expect::Version(1 + dice.below(3)),
                _ => Expect::Any,
            };
            let body = vec![0; usize::try_from(dice.below(4)).unwrap()];
            let weight = dice.below(100);
            let record = Record { key, body, weight, version: 0, stamp_ms, expires_ms };
            Change::Put { record, expect }
        }
        5 => Change::Add { key, weight: dice.below(100), stamp_ms },
        6 => Change::Touch { key, stamp_ms, expires_ms },
        7 => Change::Delete { key },
        _ => {
            let count = usize::try_from(dice.below(3)).unwrap();
            let entries = vec![stamp_ms.to_string().into_bytes(); count];
            Change::Append { key, from: dice.below(4), entries }
        }
    }
}

#[tokio::test]
async fn records_are_as_in_memory() {
    let pair = pair().await;
    let (redis, memory) = (&pair.redis, &pair.memory);
    let mut dice = Dice(0x5eed);
    let (mut made, mut refused) = (0, 0);
    for step in 0..STEPS {
        let now = if step % 50 == 0 { pair.tick().await } else { pair.now.load(Ordering::Relaxed) };
        let count = 1 + dice.below(4);
        let changes: Vec<Change> = (0..count).map(|_| change(&mut dice, now)).collect();
        let answer = redis.write(changes.clone()).await.unwrap();
        assert_eq!(memory.write(changes.clone()).await.unwrap(), answer, "{step}: {changes:?}");
        if answer {
            made += 1;
        } else {
            refused += 1;
        }
        if step % 100 == 99 {
            assert_eq!(redis.sweep(now).await.unwrap(), memory.sweep(now).await.unwrap());
        }
        let owner = dice.of(&[None, Some(""), Some("a"), Some("a:b")]);
        let stamp_ms = dice.below(4);
        let id = dice.of(&["", "1", "10", "3"]).to_owned();
        let range = Range {
            space: dice.of(&[Space::Run, Space::Value]),
            owner: owner.map(str::to_owned),
            oldest_first: dice.below(2) == 0,
            after: dice.of(&[None, Some((stamp_ms, id))]),
            limit: usize::try_from(dice.below(9)).unwrap(),
            bodies: dice.below(2) == 0,
        };
        let listed = redis.list(&range, now).await.unwrap();
        let wanted = memory.list(&range, now).await.unwrap();
        assert_eq!(listed, wanted, "{step}: {range:?}");
        let total = redis.total(range.space, owner).await.unwrap();
        assert_eq!(total, memory.total(range.space, owner).await.unwrap(), "{step}");
        for change in changes {
            if let Change::Append { key, .. } = change {
                let log = redis.read(&key, 0, 99).await.unwrap();
                assert_eq!(log, memory.read(&key, 0, 99).await.unwrap(), "{step}: {key:?}");
            }
        }
    }
    assert!(made > STEPS / 5 && refused > STEPS / 5, "{made} {refused}");
}

/// Without times: the clocks differ by a little.
fn timeless(rows: Vec<JobRow>) -> Vec<JobRow> {
    let over = |ms| u64::from(ms > 0);
    rows.into_iter()
        .map(|row| JobRow {
            visible_ms: 0,
            created_ms: 0,
            finished_ms: over(row.finished_ms),
            ..row
        })
        .collect()
}

fn new_job(dice: &mut Dice) -> NewJob {
    let worker = "maker".to_owned();
    let lease_ms = dice.of(&[0, FAR_MS]);
    NewJob {
        id: dice.below(60).to_string(),
        principal: dice.of(&["ann", "bob"]).to_owned(),
        tenant: dice.of(&["s", "t", "u"]).to_owned(),
        priority: dice.of(&[0, 0, 0, 1, i32::MIN, i32::MAX]),
        delay_ms: dice.of(&[0, 0, 0, FAR_MS]),
        max_attempts: 1 + u32::try_from(dice.below(3)).unwrap(),
        running: dice.of(&[None, None, Some(Taken { worker, lease_ms })]),
        ..job("")
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    let error = "e".to_owned();
    match dice.below(7) {
        0 => Outcome::Done(vec![1]),
        1 => Outcome::Failed { error, retry_ms: None },
        2 => Outcome::Failed { error, retry_ms: Some(dice.of(&[0, FAR_MS])) },
        3 | 4 => Outcome::Paused("{}".to_owned()),
        5 => Outcome::Cancelled,
        _ => Outcome::Released,
    }
}

#[tokio::test]
async fn jobs_are_as_in_memory() {
    let pair = pair().await;
    let (redis, memory) = (&pair.redis, &pair.memory);
    let mut dice = Dice(0x0b5);
    let mut claimed = 0;
    for step in 0..STEPS {
        pair.tick().await;
        let id = dice.below(60).to_string();
        let attempt = 1 + u32::try_from(dice.below(3)).unwrap();
        match dice.below(10) {
            0 | 1 => {
                let job = new_job(&mut dice);
                redis.enqueue(vec![job.clone()]).await.unwrap();
                memory.enqueue(vec![job]).await.unwrap();
            }
            2 | 3 => {
                let count = 1 + u32::try_from(dice.below(3)).unwrap();
                let claim = Claim {
                    lease_ms: dice.of(&[0, FAR_MS]),
                    tenant_running_max: dice.of(&[2, 4, 99]),
                    ..want(count)
                };
                let rows = timeless(redis.claim(&claim).await.unwrap());
                claimed += rows.len();
                let wanted = timeless(memory.claim(&claim).await.unwrap());
                assert_eq!(rows, wanted, "{step}: {claim:?}");
            }
            4 => {
                let progress = dice.of(&[None, Some("{}".to_owned())]);
                let beats = vec![Beat { id, attempt, progress }];
                let lease_ms = dice.of(&[0, FAR_MS]);
                let pulses = redis.beat(beats.clone(), lease_ms).await.unwrap();
                assert_eq!(pulses, memory.beat(beats, lease_ms).await.unwrap(), "{step}");
            }
            5 | 6 => {
                let ends = vec![Settle { id, attempt, outcome: outcome(&mut dice) }];
                let settled = redis.settle(ends.clone()).await.unwrap();
                assert_eq!(settled, memory.settle(ends).await.unwrap(), "{step}");
            }
            7 => {
                let found = redis.cancel(&id).await.unwrap();
                assert_eq!(found, memory.cancel(&id).await.unwrap(), "{step}");
            }
            8 => {
                let found = redis.revive(&id, 1).await.unwrap();
                assert_eq!(found, memory.revive(&id, 1).await.unwrap(), "{step}");
            }
            _ => {
                let all = pair.tick().await + 1;
                if dice.below(10) == 0 {
                    let gone = redis.forget_jobs(all).await.unwrap();
                    assert_eq!(gone, memory.forget_jobs(all).await.unwrap(), "{step}");
                }
            }
        }
        let filter = JobFilter {
            principal: dice.of(&[None, Some("ann".to_owned())]),
            state: dice.of(&[None, None, None, Some(JobState::Queued), Some(JobState::Running)]),
            after: None,
            limit: 99,
        };
        let rows = timeless(redis.jobs(&filter).await.unwrap());
        let wanted = timeless(memory.jobs(&filter).await.unwrap());
        assert_eq!(rows, wanted, "{step}: {filter:?}");
        assert_eq!(redis.depth().await.unwrap(), memory.depth().await.unwrap(), "{step}");
    }
    assert!(claimed > STEPS / 20, "{claimed}");
}
