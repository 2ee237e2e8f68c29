//! What every pool keeps: workers that wait ready, whoever waits for one, and how starting went.

use crate::SandboxError;
use crate::backend::Fresh;
use crate::cgroup::Cgroup;
use crate::guard::Ended;
use crate::owner::{Ask, Health};
use narrows_types::{Layer, LayerState};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// The wait after the first failure; each further one doubles it, up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long after a worker was handed out the next one is started while others wait: a start beside
/// a short run makes that take twice as long.
const REST: Duration = Duration::from_millis(2);

/// Workers, those who wait, and failures.
pub(crate) struct Shelf {
    /// Workers that are kept ready.
    warm: usize,
    /// So many failures in a row before those who wait are told.
    patience: u32,
    /// What bounds all workers together, where anything does.
    cgroup: Option<Arc<Cgroup>>,
    idle: VecDeque<Fresh>,
    /// When one of them was handed out last.
    handed_out: Option<Instant>,
    waiting: VecDeque<oneshot::Sender<Result<Fresh, SandboxError>>>,
    unready: Vec<oneshot::Sender<Result<(), SandboxError>>>,
    /// Somebody has asked: from then on it is kept full.
    wanted: bool,
    failures: u32,
    /// Why nothing could be started the last time.
    failed: Option<SandboxError>,
    /// Until when nothing is started.
    pause: Option<Instant>,
}

impl Shelf {
    pub(crate) fn new(warm: usize, patience: u32, cgroup: Option<Arc<Cgroup>>) -> Self {
        Self {
            warm,
            patience,
            cgroup,
            idle: VecDeque::new(),
            handed_out: None,
            waiting: VecDeque::new(),
            unready: Vec::new(),
            wanted: false,
            failures: 0,
            failed: None,
            pause: None,
        }
    }

    /// Takes in what somebody asks, or refuses it while starting fails.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.wanted = true;
        let hopeless = self.pause.is_some() && self.is_hopeless();
        if let Some(error) = self.failed.clone().filter(|_| hopeless) {
            // Whoever went away needs no answer, here and below.
            return match ask {
                Ask::Worker(answer) => drop(answer.send(Err(error))),
                Ask::Ready(answer) => drop(answer.send(Err(error))),
            };
        }
        match ask {
            Ask::Worker(answer) => self.waiting.push_back(answer),
            Ask::Ready(answer) => self.unready.push(answer),
        }
    }

    /// A worker is ready.
    pub(crate) fn put(&mut self, fresh: Fresh) {
        self.idle.push_back(fresh);
        self.works();
        self.failures = 0;
    }

    /// What stood in the way is gone. How often it failed is not forgotten before a worker is there.
    pub(crate) fn works(&mut self) {
        (self.failed, self.pause) = (None, None);
    }

    /// What failed had worked for long: the next failure is the first one again.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
    }

    /// The next failure is final for those who wait: trying again would end the same way.
    pub(crate) fn lose_patience(&mut self) {
        self.failures = self.failures.max(self.patience.saturating_sub(1));
    }

    /// Waits a little before the next start, and tells those who wait once it has failed often.
    pub(crate) fn fail(&mut self, error: SandboxError) {
        self.failures = self.failures.saturating_add(1);
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = BACKOFF.saturating_mul(doubled).min(BACKOFF_MAX);
        if self.is_hopeless() {
            for answer in self.waiting.drain(..) {
                drop(answer.send(Err(error.clone())));
            }
            for answer in self.unready.drain(..) {
                drop(answer.send(Err(error.clone())));
            }
        }
        (self.failed, self.pause) = (Some(error), Some(Instant::now() + pause));
    }

    /// Gives workers to those who wait.
    pub(crate) fn hand_out(&mut self) {
        self.sort_out();
        self.waiting.retain(|answer| !answer.is_closed());
        self.unready.retain(|answer| !answer.is_closed());
        while let Some(fresh) = self.idle.pop_front() {
            let Some(answer) = self.waiting.pop_front() else {
                self.idle.push_front(fresh);
                return;
            };
            match answer.send(Ok(fresh)) {
                Err(Ok(fresh)) => self.idle.push_front(fresh),
                _ => self.handed_out = Some(Instant::now()),
            }
        }
    }

    /// Forgets workers that died while they waited.
    pub(crate) fn sort_out(&mut self) {
        let cgroup = self.cgroup.as_deref();
        self.idle.retain_mut(|fresh| match fresh.ended.try_recv() {
            Err(TryRecvError::Empty) => true,
            ended => {
                died(cgroup, ended.ok());
                false
            }
        });
    }

    /// Waits until a worker that waits ready is gone, which it is not meant to be.
    pub(crate) async fn loss(&mut self) {
        std::future::poll_fn(|context| {
            let before = self.idle.len();
            let cgroup = self.cgroup.as_deref();
            self.idle.retain_mut(|fresh| match Pin::new(&mut fresh.ended).poll(context) {
                Poll::Pending => true,
                Poll::Ready(ended) => {
                    died(cgroup, ended.ok());
                    false
                }
            });
            if self.idle.len() < before { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Tells those who wait for it that it is full, if it is.
    pub(crate) fn tell_ready(&mut self) {
        if self.idle.len() < self.warm {
            return;
        }
        for answer in self.unready.drain(..) {
            drop(answer.send(Ok(())));
        }
    }

    /// Until when it may stay as it is: half of it is enough for whoever comes next.
    fn rests(&self) -> Option<Instant> {
        let enough = !self.idle.is_empty() && self.idle.len() >= self.warm / 2;
        let until = self.handed_out.map(|at| at + REST);
        until.filter(|until| enough && *until > Instant::now())
    }

    /// Workers that are to be started now, beyond those that wait and those on their way.
    pub(crate) fn missing(&self, on_their_way: usize) -> usize {
        if self.rests().is_some() {
            return 0;
        }
        let goal = self.waiting.len().saturating_add(self.warm);
        goal.saturating_sub(self.idle.len().saturating_add(on_their_way))
    }

    /// Whether somebody wants workers, and nothing speaks against starting some now. Where
    /// starting fails, only somebody who asks is a reason to try again.
    pub(crate) fn wants(&mut self) -> bool {
        let asked = !self.waiting.is_empty() || !self.unready.is_empty();
        !self.is_paused() && self.wanted && (asked || !self.is_hopeless())
    }

    /// Whether it is too early after a failure. A pause ends here and nowhere else, so that whoever
    /// sleeps until its end is woken after it.
    pub(crate) fn is_paused(&mut self) -> bool {
        self.pause = self.pause.filter(|until| Instant::now() < *until);
        self.pause.is_some()
    }

    /// Whether it failed so often that those who ask are told.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures >= self.patience
    }

    /// When to look again: at the end of a pause, which matters to those who wait for it and to a
    /// shelf that is not full, or of a rest.
    pub(crate) fn due(&self) -> Option<Instant> {
        let pause = self.pause.filter(|_| self.wanted);
        [pause, self.rests()].into_iter().flatten().min()
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(crate) fn error(&self) -> Option<String> {
        self.failed.as_ref().map(ToString::to_string)
    }

    /// Whoever waits hears that there will be no worker; gives what waits ready, to be ended.
    pub(crate) fn close(&mut self) -> VecDeque<Fresh> {
        self.waiting.clear();
        self.unready.clear();
        std::mem::take(&mut self.idle)
    }
}

/// A worker died that had no program. If the kernel killed it for want of memory, nobody needs to be
/// told, and no run whose worker is killed later is to hear of it.
fn died(cgroup: Option<&Cgroup>, ended: Option<Ended>) {
    let killed = ended.is_some_and(|ended| ended.was_killed());
    let _untold = cgroup.filter(|_| killed).and_then(Cgroup::starved);
}

/// The layers that the config demands and that do not hold. One that nobody tells of does not.
pub(crate) fn missing(layers: &[LayerState], required: &[Layer]) -> Option<SandboxError> {
    let mut missing = Vec::new();
    for layer in required {
        match layers.iter().find(|state| state.layer == *layer) {
            Some(state) if state.reached => {}
            Some(state) => missing.push(format!("{layer} ({})", state.why)),
            None => missing.push(format!("{layer} (the worker does not tell of it)")),
        }
    }
    (!missing.is_empty()).then(|| SandboxError::Layers(missing.join(", ")))
}

/// Tells everybody how a pool is, if that is news.
pub(crate) fn publish(tell: &watch::Sender<Health>, health: Health) {
    tell.send_if_modified(|old| {
        let changed = *old != health;
        if changed {
            *old = health;
        }
        changed
    });
}

/// Waits until then, or for ever.
pub(crate) async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Ender;
    use narrows_types::BackendKind;
    use narrows_types::control::Death;
    use tokio_util::sync::CancellationToken;

    fn fresh() -> (Fresh, oneshot::Sender<Ended>, CancellationToken) {
        let (tell, ended) = oneshot::channel();
        let told = CancellationToken::new();
        let (read, write) = (Box::new(tokio::io::empty()), Box::new(tokio::io::sink()));
        (Fresh { read, write, worker: Ender::Told(told.clone()), ended, door: None }, tell, told)
    }

    fn error() -> SandboxError {
        SandboxError::Slow { backend: BackendKind::Docker, ms: 1 }
    }

    type Answer<T> = oneshot::Receiver<Result<T, SandboxError>>;

    fn worker(shelf: &mut Shelf) -> Answer<Fresh> {
        let (answer, answered) = oneshot::channel();
        shelf.ask(Ask::Worker(answer));
        answered
    }

    #[test]
    fn a_layer_that_nobody_tells_of_does_not_hold() {
        let state = |layer, reached| LayerState { layer, reached, why: "x".to_owned() };
        let told = [state(Layer::Seccomp, true), state(Layer::Landlock, false)];
        assert_eq!(missing(&told, &[Layer::Seccomp]), None);
        for (layer, text) in [(Layer::Landlock, "landlock (x)"), (Layer::Rlimits, "not tell")] {
            let error = missing(&told, &[Layer::Seccomp, layer]).unwrap().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    /// Whoever sleeps until the end of a pause finds it ended: else nothing would wake the pool.
    #[tokio::test(start_paused = true)]
    async fn pauses_end_when_they_are_due() {
        let mut shelf = Shelf::new(0, 9, None);
        let _waits = worker(&mut shelf);
        for _ in 0..8 {
            shelf.fail(error());
            assert!(!shelf.wants());
            sleep_until(shelf.due().unwrap()).await;
            assert!(shelf.wants());
            assert_eq!(shelf.due(), None);
        }
    }

    /// Half of a shelf is enough for a moment after a worker was handed out; less is not.
    #[tokio::test(start_paused = true)]
    async fn it_rests_after_a_worker_was_handed_out() {
        let mut shelf = Shelf::new(4, 2, None);
        assert_eq!(shelf.missing(0), 4);
        let mut alive = Vec::new();
        for _ in 0..4 {
            let (one, tell, told) = fresh();
            alive.push((tell, told));
            shelf.put(one);
        }
        let mut taken = Vec::new();
        for missing in [0, 0, 3] {
            let mut waits = worker(&mut shelf);
            shelf.hand_out();
            taken.push(waits.try_recv().unwrap().unwrap());
            assert_eq!(shelf.missing(0), missing);
            assert_eq!(shelf.due().is_some(), missing == 0);
        }
        let (one, _tell, _told) = fresh();
        shelf.put(one);
        assert_eq!(shelf.missing(0), 0);
        sleep_until(shelf.due().unwrap()).await;
        assert_eq!(shelf.missing(0), 2);
        assert_eq!(shelf.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_told_when_it_fails_too_often() {
        let mut shelf = Shelf::new(1, 2, None);
        let mut waits = worker(&mut shelf);
        shelf.fail(error());
        assert!(waits.try_recv().is_err());
        shelf.fail(error());
        assert_eq!(waits.try_recv().unwrap().unwrap_err(), error());
        // At once, as long as there is a pause; then it is tried again because somebody asks.
        assert_eq!(worker(&mut shelf).try_recv().unwrap().unwrap_err(), error());
        sleep_until(shelf.due().unwrap()).await;
        assert!(!shelf.wants());
        let mut waits = worker(&mut shelf);
        assert!(shelf.wants());
        let (one, _tell, _told) = fresh();
        shelf.put(one);
        shelf.hand_out();
        assert!(waits.try_recv().unwrap().is_ok());
        assert_eq!(shelf.error(), None);
    }

    #[tokio::test]
    async fn a_worker_that_dies_while_it_waits_is_missed_and_one_that_is_dropped_ends() {
        let mut shelf = Shelf::new(2, 2, None);
        let (one, tell, told) = fresh();
        let (other, _alive, other_told) = fresh();
        shelf.put(one);
        shelf.put(other);
        assert!(tell.send(Ended { how: Death::Exit(1), cpu_us: 0, memory_bytes: 0 }).is_ok());
        shelf.loss().await;
        assert_eq!((shelf.idle(), told.is_cancelled()), (1, true));
        let (answer, answered) = oneshot::channel();
        shelf.ask(Ask::Ready(answer));
        drop(answered);
        shelf.hand_out();
        assert!(shelf.unready.is_empty());
        drop(shelf.close());
        assert!(other_told.is_cancelled());
    }
}
