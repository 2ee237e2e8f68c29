//! The connection to a broker, whichever it is: made again whenever it breaks.

use super::Kind;
use super::held::Held;
use crate::backend::Backend;
use crate::error::StoreError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// What waits to be told; beyond it nothing is: those who listen ask now and then.
const WAITING: usize = 4_096;
/// Ids that are published together.
const BATCH: usize = 256;
/// How long one step may take.
const STEP_WAIT: Duration = Duration::from_secs(5);
/// How often what the broker gave us is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the last words may take.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// News that come closer together wake once: a worker asks the store for all jobs at a time.
const TOGETHER: Duration = Duration::from_millis(20);
/// Bytes of an id that is heard; a longer one is none of ours.
const ID_BYTES_MAX: usize = 512;

/// What another may have said.
pub(super) struct Heard<R> {
    /// The job's id.
    pub(super) id: Vec<u8>,
    /// Of the work queue: what the broker wants back. None of the fan-out.
    pub(super) receipt: Option<R>,
}

/// An open connection to a broker. Steps have their deadline from outside, and `hear` may be dropped
/// at any time without losing anything.
pub(super) trait Line: Send + Sized {
    /// What acknowledges a message of the work queue.
    type Receipt: Send + Sync;

    /// Tells of jobs, and waits until the broker has them.
    fn publish(&self, ids: &[String]) -> impl Future<Output = Result<(), String>> + Send;

    /// The next message; if nobody listens here, nothing ever.
    fn hear(&mut self) -> impl Future<Output = Result<Heard<Self::Receipt>, String>> + Send;

    /// The message is done with.
    fn acknowledge(
        &self,
        receipt: &Self::Receipt,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// The message is still in good hands.
    fn prolong(&self, receipt: &Self::Receipt) -> impl Future<Output = Result<(), String>> + Send;

    /// Says goodbye.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Where a broker is.
enum Broker {
    #[cfg(feature = "amqp")]
    Amqp(super::amqp::Address),
    #[cfg(feature = "nats")]
    Nats(super::nats::Address),
}

impl Broker {
    fn parse(kind: Kind, url: &str) -> Result<Self, StoreError> {
        match kind {
            #[cfg(feature = "amqp")]
            Kind::Amqp => super::amqp::Address::parse(url).map(Self::Amqp),
            #[cfg(feature = "nats")]
            Kind::Nats => super::nats::Address::parse(url).map(Self::Nats),
            #[cfg(not(feature = "amqp"))]
            Kind::Amqp => Err(StoreError::NotBuilt { feature: "amqp" }),
            #[cfg(not(feature = "nats"))]
            Kind::Nats => Err(StoreError::NotBuilt { feature: "nats" }),
        }
    }

    fn place(&self) -> &str {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(address) => address.place(),
            #[cfg(feature = "nats")]
            Self::Nats(address) => address.place(),
        }
    }

    async fn serve(&self, desk: &mut Desk) -> Result<(), String> {
        let (name, listen) = (desk.name.clone(), *desk.listening.borrow_and_update());
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(address) => desk.serve(step(address.connect(&name, listen)).await?).await,
            #[cfg(feature = "nats")]
            Self::Nats(address) => desk.serve(step(address.connect(&name, listen)).await?).await,
        }
    }
}

/// Refuses a url that no attempt could use.
pub(super) fn check(kind: Kind, url: &str) -> Result<(), StoreError> {
    Broker::parse(kind, url).map(drop)
}

/// What the store says.
enum Say {
    /// A job may be ready, or was cancelled.
    Tell(String),
    /// A job ended here.
    Over(String),
}

/// The store's side.
pub(super) struct Hub {
    /// None once it is closed.
    says: Mutex<Option<mpsc::Sender<Say>>>,
    count: Arc<watch::Sender<u64>>,
    listening: watch::Sender<bool>,
    needed: Arc<Notify>,
    backend: Arc<dyn Backend>,
    tasks: Mutex<JoinSet<()>>,
}

impl Hub {
    pub(super) fn start(
        kind: Kind,
        url: &str,
        name: &str,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, StoreError> {
        let broker = Broker::parse(kind, url)?;
        let (says, heard) = mpsc::channel(WAITING);
        let count = Arc::new(watch::Sender::new(0));
        let listening = watch::Sender::new(false);
        let needed = Arc::new(Notify::new());
        let desk = Desk {
            name: name.to_owned(),
            says: heard,
            count: Arc::clone(&count),
            listening: listening.subscribe(),
            needed: Arc::clone(&needed),
            backend: Arc::clone(&backend),
            connected: false,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(broker, desk));
        let says = Mutex::new(Some(says));
        Ok(Self { says, count, listening, needed, backend, tasks: Mutex::new(tasks) })
    }

    pub(super) fn tell(&self, id: String) {
        self.say(Say::Tell(id));
    }

    pub(super) fn over(&self, id: String) {
        if *self.listening.borrow() {
            self.say(Say::Over(id));
        }
    }

    fn say(&self, say: Say) {
        self.needed.notify_one();
        let says = self.says.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(_full)) = says.as_ref().map(|says| says.try_send(say)) {
            tracing::debug!("the broker is too slow: a job is found by asking");
        }
    }

    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        let first =
            self.listening.send_if_modified(|listening| !std::mem::replace(listening, true));
        if first {
            self.needed.notify_one();
            let (mut own, count) = (self.backend.wakes(), Arc::clone(&self.count));
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            // The store has news of its own.
            tasks.spawn(async move {
                while own.changed().await.is_ok() {
                    wake(&count);
                }
            });
        }
        self.count.subscribe()
    }

    pub(super) async fn close(&self) {
        drop(self.says.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.needed.notify_one();
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        // The first to end is the connection: the other one listens for as long as it may.
        let _late = timeout(CLOSE_WAIT, tasks.join_next()).await;
        tasks.shutdown().await;
    }
}

/// Wakes at once, then not for a moment.
struct Bell<'a> {
    count: &'a watch::Sender<u64>,
    /// When it may ring again.
    next: Instant,
    /// It has to then.
    due: bool,
}

impl<'a> Bell<'a> {
    fn new(count: &'a watch::Sender<u64>) -> Self {
        Self { count, next: Instant::now(), due: false }
    }

    fn ring(&mut self) {
        self.due = Instant::now() < self.next;
        if !self.due {
            wake(self.count);
            self.next = Instant::now() + TOGETHER;
        }
    }
}

fn wake(count: &watch::Sender<u64>) {
    count.send_modify(|count| *count = count.wrapping_add(1));
}

/// The connection's side.
struct Desk {
    name: String,
    says: mpsc::Receiver<Say>,
    count: Arc<watch::Sender<u64>>,
    listening: watch::Receiver<bool>,
    needed: Arc<Notify>,
    backend: Arc<dyn Backend>,
    connected: bool,
}

/// Connects once there is something to say or to hear, and again whenever it has to, until the store
/// is closed.
async fn keep(broker: Broker, mut desk: Desk) {
    let mut pause = PAUSE_MIN;
    let mut trouble = false;
    desk.needed.notified().await;
    loop {
        if desk.says.is_closed() && desk.says.is_empty() {
            return;
        }
        let begun = Instant::now();
        let ended = broker.serve(&mut desk).await;
        if std::mem::take(&mut desk.connected) {
            trouble = false;
        }
        match ended {
            // The store is closed, or somebody listens from now on.
            Ok(()) => continue,
            Err(why) if trouble => tracing::debug!("the broker {}: {why}", broker.place()),
            Err(why) => tracing::warn!(
                "no news of jobs from the broker {}: {why}; workers ask the store now and then, \
                 and it is tried again",
                broker.place()
            ),
        }
        trouble = true;
        pause = if begun.elapsed() > GOOD { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        let closed = async {
            while !desk.says.is_closed() {
                tokio::time::sleep(PAUSE_MIN).await;
            }
        };
        if timeout(pause, closed).await.is_ok() {
            return;
        }
    }
}

impl Desk {
    /// Talks over one connection until it breaks; ends well if the store is closed or somebody
    /// begins to listen.
    async fn serve<L: Line>(&mut self, mut line: L) -> Result<(), String> {
        self.connected = true;
        let count = Arc::clone(&self.count);
        let mut bell = Bell::new(&count);
        // What was said before was missed.
        bell.ring();
        let mut held: Held<L::Receipt> = Held::new();
        let mut says = Vec::with_capacity(BATCH);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = self.says.recv_many(&mut says, BATCH) => {
                    if said == 0 {
                        break;
                    }
                    told(&line, &mut held, std::mem::take(&mut says)).await?;
                }
                changed = self.listening.changed() => {
                    if changed.is_ok() {
                        break;
                    }
                    // Closed: what waits is still told.
                    told_all(&mut self.says, &line, &mut held).await?;
                    break;
                }
                heard = line.hear() => {
                    let Heard { id, receipt } = heard?;
                    bell.ring();
                    let Some(receipt) = receipt else { continue };
                    let known = String::from_utf8(id).ok().filter(|id| id.len() <= ID_BYTES_MAX);
                    let done = match known {
                        Some(id) => held.take(id, receipt),
                        None => Some(receipt),
                    };
                    if let Some(receipt) = done {
                        step(line.acknowledge(&receipt)).await?;
                    }
                }
                () = tokio::time::sleep_until(bell.next), if bell.due => bell.ring(),
                _ = look.tick() => self.look(&line, &mut held).await?,
            }
        }
        let _late = timeout(CLOSE_WAIT, line.close()).await;
        Ok(())
    }

    async fn look<L: Line>(&self, line: &L, held: &mut Held<L::Receipt>) -> Result<(), String> {
        let found = held.look(&*self.backend).await;
        if found.wake {
            wake(&self.count);
        }
        for receipt in &found.done {
            step(line.acknowledge(receipt)).await?;
        }
        for receipt in held.receipts() {
            step(line.prolong(receipt)).await?;
        }
        Ok(())
    }
}

async fn told<L: Line>(
    line: &L,
    held: &mut Held<L::Receipt>,
    says: Vec<Say>,
) -> Result<(), String> {
    let mut ids = Vec::with_capacity(says.len());
    for say in says {
        match say {
            Say::Tell(id) => ids.push(id),
            Say::Over(id) => {
                for receipt in held.over(&id) {
                    step(line.acknowledge(&receipt)).await?;
                }
            }
        }
    }
    if ids.is_empty() { Ok(()) } else { step(line.publish(&ids)).await }
}

async fn told_all<L: Line>(
    says: &mut mpsc::Receiver<Say>,
    line: &L,
    held: &mut Held<L::Receipt>,
) -> Result<(), String> {
    let mut rest = Vec::with_capacity(BATCH);
    while says.recv_many(&mut rest, BATCH).await > 0 {
        told(line, held, std::mem::take(&mut rest)).await?;
    }
    Ok(())
}

/// One step within its deadline.
async fn step<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_elapsed| format!("no answer within {} s", STEP_WAIT.as_secs());
    timeout(STEP_WAIT, work).await.map_err(late)?
}
