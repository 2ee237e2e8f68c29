//! The watchdog of one lease, and why a worker is gone.

use crate::backend::Ender;
use crate::cgroup::Cgroup;
use narrows_types::control::{
    Death, EXIT_CPU, EXIT_EVALUATOR, EXIT_LINK, EXIT_MEMORY, EXIT_PANIC, EXIT_UNSEALED,
};
use narrows_types::{Limit, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a killed worker may take to be buried before it counts as lost.
const BURIAL: Duration = Duration::from_secs(5);

/// How long one that was killed at its deadline may take before its end is told without what it used.
const SOON: Duration = Duration::from_millis(20);

/// Why the worker of a lease is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseEnd {
    /// It was ended at this limit, whose value was this, in the unit of its name.
    Limit(Limit, u64),
    /// It was lost: one line why.
    Lost(Loss, String),
}

/// How a worker was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It broke, or something ended it.
    Died,
    /// It broke the protocol.
    Protocol,
    /// It made a system call that it is killed for.
    Syscall,
}

impl LeaseEnd {
    /// A worker that broke.
    pub(crate) fn died(why: impl Into<String>) -> Self {
        Self::Lost(Loss::Died, why.into())
    }
}

/// A worker that is gone.
#[derive(Debug, Clone)]
pub(crate) struct Gone {
    /// Why.
    pub(crate) end: LeaseEnd,
    /// Processor time that it used, in microseconds, where that is known.
    pub(crate) cpu_us: u64,
}

/// How a worker ended, as its zygote tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) how: Death,
    pub(crate) cpu_us: u64,
    /// The most memory that it had at once; 0 where nobody tells.
    pub(crate) memory_bytes: u64,
}

impl Ended {
    /// Somebody ended it, and it may have been the kernel for want of memory.
    pub(crate) fn was_killed(&self) -> bool {
        self.how == Death::Signal(libc::SIGKILL)
    }

    /// What it used since it had used this much.
    fn since(self, spent_us: u64) -> Self {
        Self { cpu_us: self.cpu_us.saturating_sub(spent_us), ..self }
    }
}

/// What the lease wants of its watchdog. Dropping the sender wants the worker dead.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// When to kill it.
    pub(crate) deadline: Instant,
    /// The limits of its run, once they are known.
    pub(crate) limits: Option<Limits>,
    /// Processor time in microseconds that it had used for earlier runs.
    pub(crate) spent_us: u64,
    /// Kill it now.
    pub(crate) kill: bool,
}

/// Everything that the watchdog of one lease needs.
pub(crate) struct Guard {
    pub(crate) worker: Ender,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) ended: oneshot::Receiver<Ended>,
    pub(crate) tell: watch::Sender<Option<Gone>>,
    /// The place among the programs that run; free again once the worker is buried.
    pub(crate) place: OwnedSemaphorePermit,
    /// The sandbox shuts down.
    pub(crate) stop: CancellationToken,
    /// What bounds the worker together with others, where anything does.
    pub(crate) cgroup: Option<Arc<Cgroup>>,
}

/// Why the watchdog bites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bite {
    Deadline,
    Wanted,
    Stopped,
}

impl Guard {
    /// Watches until the worker is gone, and tells why it is.
    pub(crate) async fn watch(mut self) {
        let bite = tokio::select! {
            // A worker that ended by itself is not said to have been killed.
            biased;
            ended = &mut self.ended => return self.over(None, ended.ok(), true),
            bite = bite(&mut self.orders) => bite,
            () = self.stop.cancelled() => Bite::Stopped,
        };
        let by_itself = self.worker.has_ended();
        self.worker.end();
        let ended = match timeout(SOON, &mut self.ended).await {
            Ok(ended) => ended.ok(),
            Err(_elapsed) => {
                // Why it is gone is known, and to take a large process apart takes its time.
                if bite == Bite::Deadline {
                    self.say(Some(bite), None, None);
                }
                timeout(BURIAL, &mut self.ended).await.ok().and_then(Result::ok)
            }
        };
        self.over(Some(bite), ended, by_itself);
    }

    /// Tells why it is gone; with `all_bytes` the kernel killed it for want of that much memory.
    fn say(&self, bite: Option<Bite>, ended: Option<Ended>, all_bytes: Option<u64>) {
        let Order { limits, spent_us, .. } = self.orders.borrow().clone();
        let own = ended.map(|ended| ended.since(spent_us));
        let mut end = explain(bite, own, limits.as_ref(), self.worker.carrier());
        if bite.is_none() && matches!(end, LeaseEnd::Lost(..)) {
            end = all_bytes.map_or(end, starved);
        }
        let cpu_us = used(&end, own).saturating_add(spent_us);
        let gone = Gone { end, cpu_us };
        tracing::trace!(?gone, "worker gone");
        self.tell.send_replace(Some(gone));
    }

    fn over(self, bite: Option<Bite>, ended: Option<Ended>, by_itself: bool) {
        // Where the zygote is gone this is what makes sure of the worker.
        if ended.is_none() {
            self.worker.end();
        }
        // Asked after also where it is not told: else it would be told of the next one that is killed.
        let killed = by_itself && ended.as_ref().is_none_or(Ended::was_killed);
        let all_bytes = self.cgroup.as_deref().filter(|_| killed).and_then(Cgroup::starved);
        self.say(bite, ended, all_bytes);
        drop(self.place);
    }
}

/// Processor time that is known of. No daemon tells that of a container that has ended, and no machine
/// that was ended; but whoever reached a limit has had that much.
fn used(end: &LeaseEnd, ended: Option<Ended>) -> u64 {
    let told = ended.map_or(0, |ended| ended.cpu_us);
    match end {
        LeaseEnd::Limit(Limit::CpuMs, ms) => told.max(ms.saturating_mul(1_000)),
        LeaseEnd::Limit(..) | LeaseEnd::Lost(..) => told,
    }
}

/// Of a worker that the kernel killed because all of them together had too much.
fn starved(all_bytes: u64) -> LeaseEnd {
    LeaseEnd::died(format!(
        "the kernel killed the worker: all workers together reached \
         sandbox.workers_memory_bytes = {all_bytes}; try again, or use less memory"
    ))
}

async fn bite(orders: &mut watch::Receiver<Order>) -> Bite {
    loop {
        let (deadline, kill) = {
            let order = orders.borrow_and_update();
            (order.deadline, order.kill)
        };
        if kill {
            return Bite::Wanted;
        }
        tokio::select! {
            changed = orders.changed() => if changed.is_err() {
                return Bite::Wanted;
            },
            () = tokio::time::sleep_until(deadline) => return Bite::Deadline,
        }
    }
}

fn explain(
    bite: Option<Bite>,
    ended: Option<Ended>,
    limits: Option<&Limits>,
    carrier: &str,
) -> LeaseEnd {
    let lost = |why: &str| LeaseEnd::died(why);
    if bite == Some(Bite::Deadline) {
        return limits.map_or_else(
            || lost("no program came before the deadline"),
            |limits| LeaseEnd::Limit(Limit::WallMs, limits.wall_ms),
        );
    }
    if bite == Some(Bite::Stopped) {
        return lost("the sandbox is shutting down");
    }
    let Some(Ended { how, cpu_us, memory_bytes }) = ended else {
        return LeaseEnd::died(format!("the worker's {carrier} died"));
    };
    let limited = |limit, of: fn(&Limits) -> u64| {
        limits.map_or_else(
            || lost("the worker reached a limit before it had a program"),
            |limits| LeaseEnd::Limit(limit, of(limits)),
        )
    };
    let cpu = limits.is_some_and(|limits| cpu_us / 1_000 >= limits.cpu_ms);
    if limits.is_some_and(|limits| how.for_want_of_memory(memory_bytes, limits.memory_bytes)) {
        return limited(Limit::MemoryBytes, |limits| limits.memory_bytes);
    }
    match how {
        Death::Exit(0) => lost("the worker ended without an answer"),
        Death::Exit(EXIT_CPU) => limited(Limit::CpuMs, |limits| limits.cpu_ms),
        Death::Exit(EXIT_MEMORY) => limited(Limit::MemoryBytes, |limits| limits.memory_bytes),
        Death::Exit(EXIT_UNSEALED) => lost("the worker could not seal itself"),
        Death::Exit(EXIT_LINK) => lost("the worker's link broke"),
        Death::Exit(EXIT_PANIC) => lost("the interpreter panicked; this is a bug"),
        Death::Exit(EXIT_EVALUATOR) => lost("the interpreter ended without an answer"),
        Death::Exit(code) => LeaseEnd::died(format!("the worker exited with code {code}")),
        Death::Signal(libc::SIGPROF | libc::SIGXCPU) => {
            limited(Limit::CpuMs, |limits| limits.cpu_ms)
        }
        Death::Signal(libc::SIGKILL) if cpu => limited(Limit::CpuMs, |limits| limits.cpu_ms),
        Death::Signal(libc::SIGKILL) if bite == Some(Bite::Wanted) => {
            lost("the worker was killed: it had closed its socket or broken the protocol")
        }
        Death::Signal(libc::SIGKILL) => lost("the worker was killed"),
        Death::Signal(libc::SIGSYS) => {
            LeaseEnd::Lost(Loss::Syscall, "the worker made a forbidden system call".to_owned())
        }
        Death::Signal(signal) => LeaseEnd::died(format!("the worker crashed (signal {signal})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// V8 with all its memory takes a while to be taken apart, when many want the processor.
    #[tokio::test]
    async fn a_deadline_is_told_before_the_worker_is_buried() {
        let limits = Some(Limits { wall_ms: 7, ..Limits::default() });
        let order = Order { deadline: Instant::now(), limits, spent_us: 0, kill: false };
        let (orders, watched) = watch::channel(order);
        let (buried, ended) = oneshot::channel();
        let (tell, mut told) = watch::channel(None);
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().unwrap();
        let stop = CancellationToken::new();
        let worker = Ender::Told(CancellationToken::new());
        let guard = Guard { worker, orders: watched, ended, tell, place, stop, cgroup: None };
        let watching = guard.watch();
        let hearing = async {
            let gone = told.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            assert_eq!(gone.end, LeaseEnd::Limit(Limit::WallMs, 7));
            assert_eq!(places.available_permits(), 0);
            let how = Death::Signal(libc::SIGKILL);
            buried.send(Ended { how, cpu_us: 9, memory_bytes: 0 }).unwrap();
            let used = |gone: &Option<Gone>| gone.as_ref().is_some_and(|gone| gone.cpu_us == 9);
            told.wait_for(used).await.unwrap();
        };
        tokio::join!(watching, hearing);
        assert_eq!(places.available_permits(), 1);
        drop(orders);
    }

    /// A worker that is kept has used more in its life than one run may.
    #[tokio::test]
    async fn a_run_answers_for_what_it_used_itself() {
        let limits = Some(Limits { cpu_ms: 5, ..Limits::default() });
        for (spent_us, lost) in [(0, false), (1_000, false), (4_000, true)] {
            let deadline = Instant::now() + BURIAL;
            let order = Order { deadline, limits: limits.clone(), spent_us, kill: false };
            let (_orders, watched) = watch::channel(order);
            let (buried, ended) = oneshot::channel();
            let (tell, told) = watch::channel(None);
            let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
            let stop = CancellationToken::new();
            let worker = Ender::Told(CancellationToken::new());
            let how = Death::Signal(libc::SIGKILL);
            buried.send(Ended { how, cpu_us: 6_000, memory_bytes: 0 }).unwrap();
            let guard = Guard { worker, orders: watched, ended, tell, place, stop, cgroup: None };
            guard.watch().await;
            let gone = told.borrow().clone().unwrap();
            assert_eq!(matches!(gone.end, LeaseEnd::Lost(..)), lost, "{gone:?}");
            assert_eq!(gone.cpu_us, 6_000, "in its whole life");
        }
    }

    #[test]
    fn every_death_has_its_reason() {
        let limits = Limits { wall_ms: 7, cpu_ms: 5, memory_bytes: 3, ..Limits::default() };
        let told = |how, cpu_us, memory_bytes| {
            explain(None, Some(Ended { how, cpu_us, memory_bytes }), Some(&limits), "zygote")
        };
        let death = |how, cpu_us| told(how, cpu_us, 0);
        let full = told(Death::Signal(libc::SIGTRAP), 0, 3);
        assert_eq!(full, LeaseEnd::Limit(Limit::MemoryBytes, 3));
        let crash = told(Death::Signal(libc::SIGSEGV), 0, 3);
        assert_eq!(crash, LeaseEnd::died("the worker crashed (signal 11)"));
        assert_eq!(death(Death::Signal(libc::SIGPROF), 0), LeaseEnd::Limit(Limit::CpuMs, 5));
        assert_eq!(death(Death::Signal(libc::SIGKILL), 5_000), LeaseEnd::Limit(Limit::CpuMs, 5));
        assert_eq!(death(Death::Exit(EXIT_CPU), 0), LeaseEnd::Limit(Limit::CpuMs, 5));
        assert_eq!(death(Death::Exit(EXIT_MEMORY), 0), LeaseEnd::Limit(Limit::MemoryBytes, 3));
        for (how, text) in [
            (Death::Signal(libc::SIGKILL), "was killed"),
            (Death::Signal(libc::SIGSYS), "forbidden system call"),
            (Death::Signal(libc::SIGSEGV), "crashed (signal 11)"),
            (Death::Signal(libc::SIGTRAP), "crashed (signal 5)"),
            (Death::Exit(0), "without an answer"),
            (Death::Exit(EXIT_LINK), "link broke"),
            (Death::Exit(EXIT_UNSEALED), "could not seal"),
            (Death::Exit(EXIT_PANIC), "panicked"),
            (Death::Exit(9), "code 9"),
        ] {
            let LeaseEnd::Lost(loss, why) = death(how, 0) else { panic!("{how:?} is no limit") };
            assert!(why.contains(text), "{why}");
            let forbidden = matches!(how, Death::Signal(libc::SIGSYS));
            assert_eq!(loss == Loss::Syscall, forbidden, "{why}");
        }
        for (cpu_us, known) in [(0, 5_000), (6_000, 6_000)] {
            let ended = Some(Ended { how: Death::Exit(EXIT_CPU), cpu_us, memory_bytes: 0 });
            assert_eq!(used(&explain(None, ended, Some(&limits), "zygote"), ended), known);
        }
        let wall = explain(Some(Bite::Deadline), None, Some(&limits), "zygote");
        assert_eq!(wall, LeaseEnd::Limit(Limit::WallMs, 7));
        for end in [
            explain(None, None, Some(&limits), "zygote"),
            explain(Some(Bite::Deadline), None, None, "zygote"),
        ] {
            assert!(matches!(end, LeaseEnd::Lost(Loss::Died, _)));
        }
    }
}
