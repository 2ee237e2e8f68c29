//! Admission: an `Ask` becomes a `Grant` or a fault. Nothing below accepts an ungranted ask.

use crate::config::Config;
use narrows_types::fault::{FAULT_BYTES_MAX, clip};
use narrows_types::{Fault, Kind, Limits, Lowered, Network, Origin, Principal, Retry, RunAsk};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A reply has room for the bill and a handle.
const OUTPUT_BYTES_MIN: u64 = 256;

/// The proof of admission of one run.
pub(crate) struct Grant {
    /// Who asked.
    pub(crate) principal: Principal,
    /// What it may use, clamped.
    pub(crate) limits: Limits,
    /// When it must have ended.
    pub(crate) deadline: Instant,
    /// Calls that it made, together with those of runs inside of it.
    calls: Arc<AtomicU32>,
    /// The same of the runs that it is inside of, each with its limit.
    outer: Vec<(Arc<AtomicU32>, u32)>,
    /// Its place among the runs under way; freed when the last that has it is dropped.
    place: Arc<OwnedSemaphorePermit>,
}

impl Grant {
    /// What a run inside of this one may use: what is left of the same and no more than `lowered`,
    /// with a reply of its own.
    pub(crate) fn inside(&self, output_bytes: u64, lowered: &Lowered) -> Self {
        let mut limits = Limits { output_bytes, ..self.limits.clone() };
        lowered.lower(&mut limits);
        let own = lowered.wall_ms.map(|_| Instant::now() + Duration::from_millis(limits.wall_ms));
        let mut outer = self.outer.clone();
        outer.push((Arc::clone(&self.calls), self.limits.calls));
        Self {
            principal: self.principal.clone(),
            limits,
            deadline: own.map_or(self.deadline, |own| own.min(self.deadline)),
            calls: Arc::default(),
            outer,
            place: Arc::clone(&self.place),
        }
    }

    /// Counts a call, here and around. The limit that it is beyond, if it is one too many.
    pub(crate) fn call(&self) -> Result<(), u32> {
        let own = std::iter::once((&self.calls, self.limits.calls));
        let outer = self.outer.iter().map(|(calls, most)| (calls, *most));
        let mut told = Ok(());
        for (calls, most) in own.chain(outer) {
            // Each counts, also where another one refuses.
            let fits = calls.fetch_add(1, Ordering::Relaxed) < most;
            told = told.and(if fits { Ok(()) } else { Err(most) });
        }
        told
    }

    /// So many calls will be made again by another execution.
    pub(crate) fn uncount(&self, calls: u32) {
        for counted in self.outer.iter().map(|(calls, _)| calls).chain([&self.calls]) {
            counted.fetch_sub(calls, Ordering::Relaxed);
        }
    }
}

/// The gate that every run passes, or every request that is passed on.
pub(crate) struct Gate {
    what: &'static str,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    parallel: usize,
}

impl Gate {
    /// A gate for so many of something at once; so many more may wait.
    pub(crate) fn new(what: &'static str, parallel: usize, waiting_max: usize) -> Self {
        let parallel = parallel.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(parallel));
        Self { what, places, waiting: AtomicUsize::new(0), waiting_max, parallel }
    }

    /// Admits a run: checks its size, clamps its limits, waits for a place.
    pub(crate) async fn admit(
        &self,
        config: &Config,
        principal: Principal,
        wait: Option<Duration>,
        ask: &RunAsk,
        tighten: impl FnOnce(&mut Limits),
    ) -> Result<Grant, Fault> {
        let mut limits = clamp(config, wait, ask)?;
        config.access.lowered(&principal).lower(&mut limits);
        tighten(&mut limits);
        let deadline = Instant::now() + Duration::from_millis(limits.wall_ms);
        let place = self.place(deadline).await?;
        let (calls, outer, place) = (Arc::default(), Vec::new(), Arc::new(place));
        Ok(Grant { principal, limits, deadline, calls, outer, place })
    }

    /// Waits for a place among what is under way.
    pub(crate) async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let ticket = Ticket::take(&self.waiting);
        if ticket.before >= self.waiting_max {
            return Err(self.busy(Kind::RateLimited, "and the queue is full"));
        }
        match tokio::time::timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => {
                Err(Fault::new(Kind::Unavailable, Origin::Narrows, "narrows is shutting down"))
            }
            Err(_elapsed) => Err(self.busy(Kind::Timeout, "and none ended before the deadline")),
        }
    }

    fn busy(&self, kind: Kind, why: &str) -> Fault {
        let message = format!("{} {} are under way {why}", self.parallel, self.what);
        Fault::new(kind, Origin::Narrows, message).retry(Retry::AfterMs(1_000)).hint("try again")
    }

    /// Runs under way cannot be joined by new ones any more.
    pub(crate) fn close(&self) {
        self.places.close();
    }
}

/// A counted wait, also when its future is dropped.
struct Ticket<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Ticket<'a> {
    fn take(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether anything can run within limits.
pub(crate) fn leaves_something(limits: &Lowered) -> Result<(), Fault> {
    limits.nothing().map_or(Ok(()), |name| {
        let fault = Fault::invalid(format!("limit {name} is 0"));
        Err(fault.hint("give at least 1, or leave it out"))
    })
}

/// Whether hosts that somebody asks for can be had at all. Of those that can some may be missing: the
/// program hears which.
fn allowed_hosts(most: &Network, asked: &Lowered) -> Result<(), Fault> {
    let none = |asked: &&Network| !asked.is_none() && most.meet(asked).is_none();
    asked.network.as_ref().filter(none).map_or(Ok(()), |asked| {
        let message = format!("no program may reach {asked}: limits.network is {most}");
        let fault = Fault::new(Kind::Forbidden, Origin::Narrows, clip(message, FAULT_BYTES_MAX));
        Err(fault.hint("call a tool, or have the host added to limits.network in the config"))
    })
}

pub(crate) fn clamp(
    config: &Config,
    wait: Option<Duration>,
    ask: &RunAsk,
) -> Result<Limits, Fault> {
    let mut limits = config.limits.clone();
    let size = ask.code.len() as u64;
    if size > limits.code_bytes {
        let message =
            format!("the program is {size} bytes; limit code_bytes is {}", limits.code_bytes);
        return Err(Fault::invalid(message).hint("pass data as `input`, not inside the code"));
    }
    if ask.code.trim().is_empty() {
        return Err(Fault::invalid("`code` is empty").hint("send a program"));
    }
    let input = ask.input.as_ref().map_or(0, |i| i.get().len() as u64);
    if input > limits.result_bytes {
        let message =
            format!("`input` is {input} bytes; limit result_bytes is {}", limits.result_bytes);
        return Err(Fault::invalid(message));
    }
    if ask.timeout_ms == Some(0) {
        return Err(Fault::invalid("`timeout_ms` is 0").hint("give at least 1, or leave it out"));
    }
    leaves_something(&ask.limits)?;
    allowed_hosts(&limits.network, &ask.limits)?;
    ask.limits.lower(&mut limits);
    if let Some(ms) = ask.timeout_ms {
        limits.wall_ms = limits.wall_ms.min(ms);
    }
    if let Some(wait) = wait {
        limits.wall_ms = limits.wall_ms.min(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }
    if let Some(bytes) = ask.output_bytes {
        limits.output_bytes = bytes.max(OUTPUT_BYTES_MIN).min(config.output_bytes_max);
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn grant(calls: u32) -> Grant {
        let gate = Gate::new("runs", 1, 0);
        let principal = Principal::local();
        let ask = RunAsk { code: "1".to_owned(), ..RunAsk::default() };
        let tighten = |limits: &mut Limits| limits.calls = calls;
        gate.admit(&Config::default(), principal, None, &ask, tighten).await.unwrap()
    }

    #[tokio::test]
    async fn a_run_inside_counts_its_own_calls_and_those_of_the_run_around_it() {
        let outer = grant(4).await;
        assert_eq!((outer.call(), outer.call()), (Ok(()), Ok(())));
        let lowered = Lowered { calls: Some(1), ..Lowered::default() };
        let inner = outer.inside(256, &lowered);
        assert_eq!((inner.call(), inner.call()), (Ok(()), Err(1)));
        // What it was refused counted all the same.
        let free = outer.inside(256, &Lowered::default());
        assert_eq!((free.call(), outer.call()), (Err(4), Err(4)));
        free.uncount(1);
        inner.uncount(2);
        outer.uncount(1);
        assert_eq!((free.call(), outer.call(), outer.call()), (Ok(()), Ok(()), Err(4)));
    }

    #[tokio::test]
    async fn a_run_inside_has_the_time_of_its_own_limit() {
        let outer = grant(1).await;
        let lowered = Lowered { wall_ms: Some(10), ..Lowered::default() };
        let inner = outer.inside(256, &lowered);
        assert_eq!(inner.limits.wall_ms, 10);
        assert!(inner.deadline < outer.deadline);
        assert_eq!(outer.inside(256, &Lowered::default()).deadline, outer.deadline);
    }
}
