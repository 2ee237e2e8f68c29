//! News over real brokers.

use super::broker::{Broker, Kind};
use super::job;
use crate::backend::Backend;
use crate::memory::Memory;
use crate::queue::{Claim, Outcome, Settle};
use crate::wakes::Wakes;
use crate::wakes::held::{Fate, HELD_MAX, Held, fate};
use crate::{JobRow, JobState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long news may take to come: far longer than they ever do.
const PATIENCE: Duration = Duration::from_mins(1);
/// In which nothing is heard that is not said.
const SILENCE: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_over_rabbitmq_survive_its_restart() {
    news_survive(Kind::Rabbit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_over_nats_survive_its_restart() {
    news_survive(Kind::Nats).await;
}

/// What it hears comes over the broker only: its jobs and their time are nobody else's.
struct Replica {
    wakes: Wakes,
    backend: Arc<dyn Backend>,
    time: Arc<AtomicU64>,
}

impl Replica {
    fn new(url: &str, secret: &[u8]) -> Self {
        let time = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&time);
        let backend: Arc<dyn Backend> = Arc::new(Memory::new(move || clock.load(Ordering::SeqCst)));
        let wakes = Wakes::start(url, secret, Arc::clone(&backend)).unwrap();
        Self { wakes, backend, time }
    }

    /// A job that is in somebody's hands.
    async fn begin(&self, id: &str) {
        self.backend.enqueue(vec![job(id)]).await.unwrap();
        self.take().await;
    }

    async fn take(&self) -> JobRow {
        let worker = "w".to_owned();
        let claim = Claim { worker, count: 1, lease_ms: 30_000, tenant_running_max: 10 };
        self.backend.claim(&claim).await.unwrap().remove(0)
    }

    /// A job whose lease was lost is done again, and is over.
    async fn end(&self, id: &str) {
        let attempt = self.take().await.attempt;
        let end = Settle { id: id.to_owned(), attempt, outcome: Outcome::Done(Vec::new()) };
        assert_eq!(self.backend.settle(vec![end]).await.unwrap(), [true]);
    }
}

/// Lets what was said before be heard.
async fn calm(news: &mut watch::Receiver<u64>) {
    let until = Instant::now() + PATIENCE;
    while timeout(SILENCE, news.changed()).await.is_ok() {
        assert!(Instant::now() < until, "it is never silent");
    }
}

/// Says something until it is heard.
async fn told(wakes: &Wakes, news: &mut watch::Receiver<u64>, id: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        wakes.tell([id.to_owned()]);
        if timeout(Duration::from_millis(500), news.changed()).await.is_ok() {
            return;
        }
        assert!(Instant::now() < until, "{id} was not heard");
    }
}

async fn hears(news: &mut watch::Receiver<u64>, what: &str) {
    assert!(timeout(PATIENCE, news.changed()).await.is_ok(), "{what}");
}

async fn news_survive(kind: Kind) {
    let mut broker = tokio::task::spawn_blocking(move || Broker::start(kind)).await.unwrap();
    let url = broker.url();
    let [front, one, two] = [(); 3].map(|()| Replica::new(&url, b"one"));
    let (mut first, mut second) = (one.wakes.listen(), two.wakes.listen());
    told(&front.wakes, &mut first, "hello").await;
    hears(&mut second, "everybody hears").await;
    all_hear(&url, &front, [&mut first, &mut second]).await;
    let (left, mut news) = one_holds(&front, (one, first), (two, second)).await;

    // Away and back again: nothing that is said meanwhile is an error, and news come again.
    broker.kill();
    front.wakes.tell(["into the void".to_owned()]);
    let restart = tokio::task::spawn_blocking(move || {
        broker.restart();
        broker
    });
    let broker = restart.await.unwrap();
    calm(&mut news).await;
    told(&front.wakes, &mut news, "back again").await;
    front.wakes.close().await;
    left.wakes.close().await;
    drop(broker);
}

/// One message: everybody who listens is woken, and who only shares the broker is not.
async fn all_hear(url: &str, front: &Replica, listeners: [&mut watch::Receiver<u64>; 2]) {
    let other = Replica::new(url, b"two");
    let mut foreign = other.wakes.listen();
    told(&other.wakes, &mut foreign, "hello").await;
    calm(&mut foreign).await;
    let [first, second] = listeners;
    calm(first).await;
    calm(second).await;
    front.wakes.tell(["once".to_owned()]);
    hears(first, "the first listener").await;
    hears(second, "the second listener").await;
    assert!(timeout(SILENCE, foreign.changed()).await.is_err(), "another store's news");
    other.wakes.close().await;
    calm(first).await;
    calm(second).await;
}

type Listener = (Replica, watch::Receiver<u64>);

/// A message is held by one of two until its job is over, and goes to the other if it dies. Gives the
/// other.
async fn one_holds(
    front: &Replica,
    (one, mut first): Listener,
    (two, mut second): Listener,
) -> Listener {
    for replica in [&one, &two] {
        replica.begin("held").await;
    }
    front.wakes.tell(["held".to_owned()]);
    hears(&mut first, "a new job").await;
    hears(&mut second, "a new job").await;
    calm(&mut first).await;
    calm(&mut second).await;
    // Now its lease is over.
    for replica in [&one, &two] {
        replica.time.fetch_add(60_000, Ordering::SeqCst);
    }
    let again = async {
        tokio::select! {
            _heard = first.changed() => true,
            _heard = second.changed() => false,
        }
    };
    let by_first = timeout(PATIENCE, again).await.expect("a lease is lost, and nobody is woken");
    let (dead, left, mut news) = if by_first { (one, two, second) } else { (two, one, first) };
    dead.wakes.close().await;
    hears(&mut news, "the message of a dead holder").await;
    // Once the job is over it is not spoken of any more.
    left.end("held").await;
    calm(&mut news).await;
    (left, news)
}

#[test]
fn a_message_is_kept_until_its_job_is_over() {
    let row = |state, visible_ms| JobRow { state, visible_ms, ..row() };
    assert_eq!(fate(None, 5), Fate::Done);
    for state in JobState::ALL {
        let (ripe, early) = (fate(Some(&row(state, 5)), 5), fate(Some(&row(state, 6)), 5));
        match state {
            JobState::Queued | JobState::Running => {
                assert_eq!((ripe, early), (Fate::Ripe, Fate::Keep));
            }
            _ => assert_eq!((ripe, early), (Fate::Done, Fate::Done)),
        }
    }
}

#[tokio::test]
async fn what_is_held_is_bounded_and_given_back() {
    let replica: Arc<dyn Backend> = Arc::new(Memory::new(|| 1_000));
    replica.enqueue(vec![job("1")]).await.unwrap();
    let mut held = Held::new();
    let full = u32::from(HELD_MAX);
    for n in 0..full {
        assert_eq!(held.take(n.to_string(), n), None);
    }
    assert_eq!(held.take("0".to_owned(), full), Some(0), "the oldest goes");
    assert_eq!(held.over("0"), [full]);
    assert!(held.over("0").is_empty());
    let mut done = 0;
    let mut woken = false;
    for _ in 0..20 {
        let look = held.look(&*replica).await;
        done += look.done.len();
        woken |= look.wake;
    }
    assert_eq!(done, usize::from(HELD_MAX) - 2, "there are no such jobs");
    assert!(woken, "job 1 is ready");
    assert_eq!(held.receipts().collect::<Vec<_>>(), [&1]);
}

fn row() -> JobRow {
    JobRow {
        id: "j".to_owned(),
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        state: JobState::Queued,
        attempt: 0,
        max_attempts: 3,
        priority: 0,
        visible_ms: 0,
        worker: String::new(),
        cancel: false,
        progress: String::new(),
        result: Vec::new(),
        error: String::new(),
        created_ms: 0,
        finished_ms: 0,
        body: Vec::new(),
    }
}
