//! Workers that are kept: each holds the variables of one session, and waits for its next program.
//!
//! A worker belongs to one session of one principal, on one back end with one engine, and has one
//! program at a time. It waits silently: a word from it while it has no program ends it. Why one
//! ended is kept for the next program of its session.

use crate::SandboxError;
use crate::guard::{LeaseEnd, Loss};
use crate::lease::Lease;
use narrows_types::{BackendKind, Engine};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::TaskTracker;

/// Sessions that are remembered, most of them for why their variables are gone.
const SLOTS_MAX: usize = 1_024;
/// How much later than its owner's task the watchdog ends a worker that waits.
const GRACE: Duration = Duration::from_secs(5);

/// No session lasts longer.
const IDLE_MAX: Duration = Duration::from_hours(24 * 366);
/// Why a worker that waited ended when there were too few places.
const PLACE_NEEDED: &str = "their place was needed for another program";

/// Whose a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The principal's name.
    pub principal: String,
    /// The session's id.
    pub session: String,
}

/// What there is of a session's earlier programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// Their worker, with what they defined.
    There,
    /// Nothing, for there was none; or none that this process knows of.
    Never,
    /// Nothing any more: why, in a few words.
    Gone(String),
}

type Key = (Holder, (BackendKind, Engine));

/// All workers that are kept, and whose turn it is with each.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Workers that wait, at most.
    max: usize,
    /// How long one waits.
    idle: Duration,
    slots: Mutex<HashMap<Key, Slot>>,
    /// Programs that wait for a place to run.
    wanting: AtomicUsize,
    tasks: TaskTracker,
}

/// One session on one engine.
#[derive(Debug)]
struct Slot {
    turn: Arc<Semaphore>,
    is: Is,
    used: Instant,
    /// Its session was forgotten while a program had its worker, which ends with that.
    forgotten: bool,
}

#[derive(Debug)]
enum Is {
    /// It never had a worker, or a program has it now.
    Empty,
    /// One waits; whoever wants it says where to. Dropping the sender ends it.
    Idle(u64, mpsc::Sender<oneshot::Sender<Lease>>),
    /// It goes to the program whose turn it is, and nobody else can have its place.
    Handing(u64),
    /// It had one, which ended: why.
    Gone(String),
}

impl Slot {
    fn is_idle(&self) -> bool {
        matches!(self.is, Is::Idle(..))
    }

    /// No program has it or waits for it.
    fn is_free(&self) -> bool {
        Arc::strong_count(&self.turn) == 1
    }
}

impl Keeper {
    pub(crate) fn new(max: usize, idle: Duration, tasks: TaskTracker) -> Arc<Self> {
        let idle = idle.min(IDLE_MAX);
        Arc::new(Self { max, idle, slots: Mutex::default(), wanting: AtomicUsize::new(0), tasks })
    }

    /// Waits for the turn of a program of this session, and takes the worker that it has left.
    ///
    /// # Errors
    /// None is kept here, or an earlier program does not end before the deadline.
    pub(crate) async fn take(
        self: &Arc<Self>,
        key: Key,
        deadline: Instant,
    ) -> Result<(Turn, Option<Lease>), SandboxError> {
        if self.max == 0 {
            return Err(SandboxError::KeepsNone);
        }
        let place = self.place(&key);
        let place = timeout_at(deadline, place.acquire_owned()).await;
        let place =
            place.map_err(|_late| SandboxError::Turn)?.map_err(|_closed| SandboxError::Stopped)?;
        let keeper = Arc::clone(self);
        let mut turn = Turn { keeper, key, earlier: Earlier::There, open: false, _place: place };
        let idle = self.handing(&turn.key);
        let lease = match idle {
            Some(want) => handed(want).await,
            None => None,
        };
        let left = self.put(&turn.key, Is::Empty);
        if lease.is_none() {
            turn.earlier = match left {
                Some(Is::Gone(why)) => Earlier::Gone(why),
                Some(Is::Idle(..) | Is::Handing(_)) => {
                    Earlier::Gone("their worker ended".to_owned())
                }
                _ => Earlier::Never,
            };
        }
        Ok((turn, lease))
    }

    /// Where to ask for the worker that waits, if one does.
    fn handing(&self, key: &Key) -> Option<mpsc::Sender<oneshot::Sender<Lease>>> {
        let mut slots = self.slots();
        let slot = slots.get_mut(key)?;
        let Is::Idle(number, _) = slot.is else { return None };
        match std::mem::replace(&mut slot.is, Is::Handing(number)) {
            Is::Idle(_, want) => Some(want),
            Is::Empty | Is::Handing(_) | Is::Gone(_) => None,
        }
    }

    /// What makes programs of a session wait for each other.
    fn place(&self, key: &Key) -> Arc<Semaphore> {
        let mut slots = self.slots();
        if slots.len() >= SLOTS_MAX
            && !slots.contains_key(key)
            && let Some(oldest) = oldest(&slots, |slot| !slot.is_idle() && slot.is_free())
        {
            slots.remove(&oldest);
        }
        let slot = slots.entry(key.clone()).or_insert_with(|| Slot {
            turn: Arc::new(Semaphore::new(1)),
            is: Is::Empty,
            used: Instant::now(),
            forgotten: false,
        });
        slot.used = Instant::now();
        Arc::clone(&slot.turn)
    }

    /// A program waits for a place until this is dropped. A worker that only waits for a next
    /// program gives up its own, be it now or as soon as there is one. Tells whether one does now.
    pub(crate) fn wants_place(&self) -> (Wanting<'_>, bool) {
        self.wanting.fetch_add(1, Ordering::Relaxed);
        let freed = end_oldest(&mut self.slots(), PLACE_NEEDED);
        (Wanting(&self.wanting), freed)
    }

    /// Ends all workers of a session; one that a program has, with that program.
    pub(crate) fn forget(&self, holder: &Holder) {
        self.slots().retain(|(of, _), slot| {
            if of == holder {
                (slot.is, slot.forgotten) = (Is::Empty, true);
            }
            of != holder || !slot.is_free()
        });
    }

    /// Workers that wait.
    pub(crate) fn count(&self) -> usize {
        self.slots().values().filter(|slot| slot.is_idle()).count()
    }

    /// One more waits; for one too many the one that has waited longest ends. One of a session that
    /// was forgotten meanwhile does not wait: it ends here.
    fn settle(&self, key: &Key, is: Is) {
        let mut slots = self.slots();
        if slots.get(key).is_none_or(|slot| slot.forgotten) {
            return;
        }
        if slots.values().filter(|slot| slot.is_idle()).count() >= self.max {
            let max = self.max;
            let why = format!("{max} others were used since: sandbox.sessions_max");
            end_oldest(&mut slots, &why);
        }
        if let Some(slot) = slots.get_mut(key) {
            (slot.is, slot.used) = (is, Instant::now());
        }
        if self.wanting.load(Ordering::Relaxed) > 0 {
            end_oldest(&mut slots, PLACE_NEEDED);
        }
    }

    fn put(&self, key: &Key, is: Is) -> Option<Is> {
        let mut slots = self.slots();
        let slot = slots.get_mut(key)?;
        slot.used = Instant::now();
        Some(std::mem::replace(&mut slot.is, is))
    }

    /// The worker of that number has ended by itself.
    fn lost(&self, key: &Key, number: u64, why: String) {
        if let Some(slot) = self.slots().get_mut(key)
            && matches!(&slot.is, Is::Idle(other, _) | Is::Handing(other) if *other == number)
        {
            slot.is = Is::Gone(why);
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn oldest(slots: &HashMap<Key, Slot>, fits: impl Fn(&Slot) -> bool) -> Option<Key> {
    let fitting = slots.iter().filter(|(_, slot)| fits(slot));
    fitting.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone())
}

/// Ends the worker that has waited longest. `false`: none waits.
fn end_oldest(slots: &mut HashMap<Key, Slot>, why: &str) -> bool {
    let slot = oldest(slots, Slot::is_idle).and_then(|key| slots.get_mut(&key));
    let slot = slot.map(|slot| slot.is = Is::Gone(why.to_owned()));
    slot.is_some()
}

/// A program that waits for a place to run.
pub(crate) struct Wanting<'k>(&'k AtomicUsize);

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The worker that waits, handed over by its task.
async fn handed(want: mpsc::Sender<oneshot::Sender<Lease>>) -> Option<Lease> {
    let (answer, answered) = oneshot::channel();
    want.send(answer).await.ok()?;
    let mut lease = answered.await.ok()?;
    let (_, receiver) = lease.split();
    receiver.begin().await.ok()?;
    Some(lease)
}

/// The turn of one program of a session.
#[derive(Debug)]
pub(crate) struct Turn {
    keeper: Arc<Keeper>,
    key: Key,
    pub(crate) earlier: Earlier,
    /// It has a worker of which nobody has said what becomes.
    open: bool,
    _place: OwnedSemaphorePermit,
}

impl Turn {
    /// There is a worker.
    pub(crate) fn begun(&mut self) {
        self.open = true;
    }

    /// What becomes of the worker is said.
    fn settled(&mut self) {
        (self.open, self.earlier) = (false, Earlier::There);
    }

    /// The worker waits for the next program.
    pub(crate) fn rest(mut self, mut lease: Lease, until: Option<Instant>) {
        let idle = self.keeper.idle;
        let over = Instant::now() + idle;
        let ends = until.map_or(over, |until| until.min(over));
        let why = if ends < over {
            "its session ended".to_owned()
        } else {
            format!("idle for {} s", idle.as_secs())
        };
        lease.disarm(ends + GRACE);
        let (want, mut wanted) = mpsc::channel(1);
        let (keeper, key) = (Arc::clone(&self.keeper), self.key.clone());
        self.settled();
        let number = fresh_number();
        keeper.settle(&key, Is::Idle(number, want));
        let task = async move {
            // Whoever wants it meanwhile hears after the reason is told.
            if let Some(why) = wait(lease, &mut wanted, (ends, why)).await {
                keeper.lost(&key, number, why);
            }
        };
        self.keeper.tasks.spawn(task);
    }

    /// The worker ends.
    pub(crate) fn lose(mut self, why: &str) {
        self.settled();
        self.keeper.put(&self.key, Is::Gone(why.to_owned()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.open {
            self.keeper.put(&self.key, Is::Gone("the last program was cancelled".to_owned()));
        } else if let Earlier::Gone(why) = &self.earlier {
            // There was no worker to be had: the next one is told.
            self.keeper.put(&self.key, Is::Gone(why.clone()));
        }
    }
}

/// Waits with a worker until somebody wants it. Why it ended, if nobody else knows.
async fn wait(
    mut lease: Lease,
    wanted: &mut mpsc::Receiver<oneshot::Sender<Lease>>,
    (ends, late): (Instant, String),
) -> Option<String> {
    let broken = loop {
        let answer = tokio::select! {
            biased;
            broken = lease.silence() => break broken,
            answer = wanted.recv() => answer?,
            () = sleep_until(ends) => return Some(late),
        };
        match answer.send(lease) {
            Ok(()) => return None,
            // Whoever wanted it has gone away.
            Err(back) => lease = back,
        }
    };
    // Nobody gets it any more, however long the reason takes.
    Some(told(lease.end_of(broken).await))
}

/// Why a worker that waited is gone, of itself. That it was broken into is told in the log too.
fn told(end: LeaseEnd) -> String {
    match end {
        LeaseEnd::Limit(limit, allowed) => format!("limit reached: {limit} = {allowed}"),
        LeaseEnd::Lost(Loss::Died, why) => why,
        LeaseEnd::Lost(Loss::Protocol | Loss::Syscall, why) => {
            tracing::warn!(target: "narrows::worker", "a worker that waited is gone: {why}");
            why
        }
    }
}

/// Tells one worker from the next.
fn fresh_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Gone, Order};
    use tokio::sync::watch;

    type Ends = (watch::Receiver<Order>, watch::Sender<Option<Gone>>, tokio::io::DuplexStream);

    /// A worker whose end is seen by its orders' sender: that goes with it.
    fn worker() -> (Lease, Ends) {
        let deadline = Instant::now() + IDLE_MAX;
        let order = Order { deadline, limits: None, spent_us: 0, kill: false };
        let ((orders, ordered), (tell, told)) = (watch::channel(order), watch::channel(None));
        let (ours, theirs) = tokio::io::duplex(64);
        let (read, write) = tokio::io::split(ours);
        let at = ((BackendKind::Process, Engine::Quickjs), None);
        let wire: (crate::backend::Read, crate::backend::Write) = (Box::new(read), Box::new(write));
        (Lease::new(wire, orders, told, Duration::ZERO, at), (ordered, tell, theirs))
    }

    #[tokio::test]
    async fn a_session_that_is_forgotten_while_its_program_runs_keeps_no_worker() {
        let tasks = TaskTracker::new();
        let keeper = Keeper::new(2, IDLE_MAX, tasks.clone());
        let holder = Holder { principal: "local".to_owned(), session: "ses_1".to_owned() };
        let key = (holder.clone(), (BackendKind::Process, Engine::Quickjs));
        for forgotten in [false, true] {
            let deadline = Instant::now() + Duration::from_mins(1);
            let (turn, earlier) = keeper.take(key.clone(), deadline).await.unwrap();
            drop(earlier);
            let (lease, (mut ordered, _tell, _theirs)) = worker();
            let lease = lease.kept(turn);
            if forgotten {
                keeper.forget(&holder);
            }
            lease.rest(None);
            assert_eq!(keeper.count(), usize::from(!forgotten));
            // The sender is there as long as the worker.
            let ended = ordered.wait_for(|_| false);
            let patience = Duration::from_millis(if forgotten { 60_000 } else { 50 });
            let ended = timeout_at(Instant::now() + patience, ended).await;
            assert_eq!(ended.is_ok(), forgotten);
        }
        tasks.close();
        tasks.wait().await;
    }
}
