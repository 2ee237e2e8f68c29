//! How many calls may be under way at once, and whose turn it is when there are more: callers take
//! turns, however much each of them asks for.

use narrows_types::ClientSession;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Who asks, for turns to be fair. Whoever does not say is one of many nobodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Caller(u64);

impl Caller {
    /// A conversation of a principal, or all that it asks without one.
    pub fn of(principal: &str, session: Option<ClientSession>) -> Self {
        let mut hasher = DefaultHasher::new();
        (principal, session).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// So many wait already that this one does not.
    Full,
    /// The deadline passed first.
    Late,
    /// Nobody is let in any more.
    Closed,
}

/// Lets so many in at once. The rest wait, so many of them.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) limit: usize,
    pub(crate) queue_max: usize,
    state: Mutex<State>,
    idle: Notify,
}

type Waiter = oneshot::Sender<Result<Turn, NoTurn>>;

#[derive(Debug, Default)]
struct State {
    inside: usize,
    aside: usize,
    waiting: usize,
    closed: bool,
    /// Whose turn is next.
    order: VecDeque<Caller>,
    by_caller: HashMap<Caller, VecDeque<Waiter>>,
}

/// One that is let in, while it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    /// None once it was passed on.
    gate: Option<Arc<Gate>>,
    /// It waits for a person, and others have its place meanwhile.
    aside: bool,
}

impl Turn {
    fn new(gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), aside: false }
    }

    /// Lets the next one in, though this one is not done. It does not come back to its place: what is
    /// left to do then is done without.
    pub(crate) fn step_aside(&mut self) {
        let Some(gate) = self.gate.as_ref().filter(|_| !self.aside) else { return };
        self.aside = true;
        gate.state().aside += 1;
        gate.leave();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        if !self.aside {
            return gate.leave();
        }
        let mut state = gate.state();
        state.aside -= 1;
        gate.tell_if_empty(&state);
    }
}

impl Gate {
    pub(crate) fn new(limit: usize, queue_max: usize) -> Self {
        let limit = limit.max(1);
        Self { limit, queue_max, state: Mutex::default(), idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; nobody waits where there is room.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        caller: Caller,
        deadline: Instant,
    ) -> Result<Turn, NoTurn> {
        let turn = {
            let mut state = self.state();
            if state.closed {
                return Err(NoTurn::Closed);
            }
            if state.inside < self.limit && state.waiting == 0 {
                state.inside += 1;
                return Ok(Turn::new(Arc::clone(self)));
            }
            state.queue(caller, self.queue_max)?
        };
        match tokio::time::timeout_at(deadline, turn).await {
            Ok(turn) => turn.unwrap_or(Err(NoTurn::Closed)),
            Err(_elapsed) => Err(NoTurn::Late),
        }
    }

    /// One is done: the next one takes its place.
    fn leave(self: &Arc<Self>) {
        let mut state = self.state();
        while let Some(waiter) = state.next() {
            let turn = Turn::new(Arc::clone(self));
            match waiter.send(Ok(turn)) {
                Ok(()) => return,
                // It went away; its turn is not given back but passed on.
                Err(Ok(mut turn)) => turn.gate = None,
                Err(Err(_)) => {}
            }
        }
        state.inside -= 1;
        self.tell_if_empty(&state);
    }

    fn tell_if_empty(&self, state: &State) {
        if state.is_empty() {
            self.idle.notify_waiters();
        }
    }

    /// Lets nobody in any more, but for those who wait already.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    /// Waits until nobody is inside, and nobody stands aside.
    pub(crate) async fn emptied(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.state().is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// How many are inside.
    #[cfg(test)]
    fn inside(&self) -> usize {
        self.state().inside
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.inside == 0 && self.aside == 0
    }

    /// A place in the queue. If that is full, whoever takes most of it gives one up.
    fn queue(
        &mut self,
        caller: Caller,
        queue_max: usize,
    ) -> Result<oneshot::Receiver<Result<Turn, NoTurn>>, NoTurn> {
        if self.waiting >= queue_max {
            self.forget_gone();
        }
        if self.waiting >= queue_max {
            let mine = self.by_caller.get(&caller).map_or(0, VecDeque::len);
            let longest = self.by_caller.values_mut().max_by_key(|waiters| waiters.len());
            let longest = longest.filter(|waiters| waiters.len() > mine + 1);
            let last = longest.and_then(VecDeque::pop_back).ok_or(NoTurn::Full)?;
            self.waiting -= 1;
            // Whoever went away needs no answer.
            let _gone = last.send(Err(NoTurn::Full));
        }
        let (waiter, turn) = oneshot::channel();
        let waiters = self.by_caller.entry(caller).or_default();
        if waiters.is_empty() {
            self.order.push_back(caller);
        }
        waiters.push_back(waiter);
        self.waiting += 1;
        Ok(turn)
    }

    /// The next one, one of each caller in turn.
    fn next(&mut self) -> Option<Waiter> {
        let caller = self.order.pop_front()?;
        let waiters = self.by_caller.get_mut(&caller)?;
        let next = waiters.pop_front();
        self.waiting -= usize::from(next.is_some());
        if waiters.is_empty() {
            self.by_caller.remove(&caller);
        } else {
            self.order.push_back(caller);
        }
        next
    }

    /// Those who went away take no room.
    fn forget_gone(&mut self) {
        for waiters in self.by_caller.values_mut() {
            waiters.retain(|waiter| !waiter.is_closed());
        }
        self.by_caller.retain(|_, waiters| !waiters.is_empty());
        self.order.retain(|caller| self.by_caller.contains_key(caller));
        self.waiting = self.by_caller.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Gate, NoTurn};
    use futures_util::FutureExt as _;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::Instant;

    fn is_in<F: Future>(wait: &mut Option<Pin<Box<F>>>) -> bool {
        wait.as_mut().is_some_and(|wait| wait.as_mut().now_or_never().is_some())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn callers_take_turns_however_much_each_asks() {
        let gate = Arc::new(Gate::new(1, 100));
        let (greedy, modest) = (Caller::of("greedy", None), Caller::of("modest", None));
        let first = gate.enter(greedy, later()).await.unwrap();
        let mut waits: Vec<_> = (0..5)
            .map(|_| greedy)
            .chain([modest, modest])
            .map(|caller| Some(Box::pin(gate.enter(caller, later()))))
            .collect();
        let mut served = Vec::new();
        // Dropping the turn lets the next one in.
        let mut poll = || {
            let at = waits.iter_mut().position(is_in)?;
            waits[at] = None;
            Some(at)
        };
        assert_eq!(poll(), None);
        drop(first);
        while let Some(at) = poll() {
            served.push(at);
        }
        assert_eq!(served.len(), 7);
        assert_eq!(&served[..4], [0, 5, 1, 6], "one of each in turn");
        assert_eq!(gate.inside(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once_and_to_whom_takes_most_of_it() {
        let gate = Arc::new(Gate::new(1, 3));
        let (greedy, modest) = (Caller::of("greedy", None), Caller::of("modest", None));
        let inside = gate.enter(greedy, later()).await.unwrap();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(gate.enter(greedy, later()))).collect();
        assert!(waits.iter_mut().all(|wait| wait.as_mut().now_or_never().is_none()));
        let more = gate.enter(greedy, later()).now_or_never().unwrap();
        assert_eq!(more.unwrap_err(), NoTurn::Full);
        let mut other = Box::pin(gate.enter(modest, later()));
        assert!(other.as_mut().now_or_never().is_none(), "it waits");
        let pushed = waits[2].as_mut().now_or_never().unwrap();
        assert_eq!(pushed.unwrap_err(), NoTurn::Full);
        // Those who went away make room.
        waits.pop();
        drop(waits.pop());
        let mut again = Box::pin(gate.enter(greedy, later()));
        assert!(again.as_mut().now_or_never().is_none());
        let late = gate.enter(modest, Instant::now()).await;
        assert!(matches!(late.unwrap_err(), NoTurn::Late | NoTurn::Full));
        gate.close();
        assert_eq!(gate.enter(modest, later()).await.unwrap_err(), NoTurn::Closed);
        drop(inside);
        let turn = waits[0].as_mut().now_or_never().unwrap();
        assert!(turn.is_ok(), "those who wait are let in");
        assert!(gate.emptied().now_or_never().is_none());
        drop((turn, other, again));
        gate.emptied().now_or_never().unwrap();
    }

    #[tokio::test]
    async fn one_that_stands_aside_lets_the_next_one_in_and_is_waited_for() {
        let gate = Arc::new(Gate::new(1, 10));
        let mut first = gate.enter(Caller::default(), later()).await.unwrap();
        let mut wait = Some(Box::pin(gate.enter(Caller::default(), later())));
        assert!(!is_in(&mut wait));
        first.step_aside();
        first.step_aside();
        let second = wait.take().unwrap().now_or_never().unwrap().unwrap();
        assert_eq!(gate.inside(), 1);
        drop(second);
        assert!(gate.emptied().now_or_never().is_none(), "the first one is not done");
        drop(first);
        gate.emptied().now_or_never().unwrap();
        assert_eq!(gate.inside(), 0);
    }

    #[tokio::test]
    async fn the_way_through_an_open_gate_costs_little() {
        let gate = Arc::new(Gate::new(64, 64));
        let (caller, deadline) = (Caller::default(), later());
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            drop(gate.enter(caller, deadline).await.unwrap());
        }
        let each = start.elapsed() / 100_000;
        // Two hundred nanoseconds in a release build; this one is none and shares its cores.
        assert!(each < Duration::from_micros(50), "{each:?}");
    }
}
