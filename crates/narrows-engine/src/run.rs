//! One execution of a program: a worker, its calls, its end.
//!
//! The worker's frames and the outcomes of its calls are handled by one loop; replies leave through
//! a writer beside it, so that a worker that floods its socket while a large reply is on its way
//! can never lock up with its host.

use crate::admit::Grant;
use crate::audit::Running;
use crate::entry::Begin;
use crate::ledger::Ledger;
use crate::listen::{Outbound, ending, out_of_turn};
use crate::snapshot::Snapshot;
use crate::trail::Trail;
use crate::{Events, Shared};
use narrows_sandbox::{Lease, LeaseReceiver, LeaseSender, Loss, Want};
use narrows_types::frame::{Done, End, FromWorker, Go, Program, Progress, ToWorker};
use narrows_types::{
    Asked, BackendKind, Durability, Engine, Event, Fault, Finding, Limit, Limits, RunId, SessionId,
    Usage, Uses,
};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// The host's own end of a run that outlives its wall limit, after the worker's and the watchdog's.
pub(crate) const GRACE: Duration = Duration::from_millis(100);
/// Searches that one run may make.
const SEARCHES_MAX: u32 = 20;
/// Tools that a program names and that are looked at, where it is not started; hosts that one is
/// refused and that are recorded.
const DENIED_MAX: usize = 100;
/// Replies that wait for the writer.
const REPLIES_MAX: usize = 64;

/// How a run ended and everything it left behind, before it is cut to the budget.
pub(crate) struct Ended {
    pub(crate) end: Ending,
    pub(crate) trail: Trail,
    pub(crate) usage: Usage,
}

/// The raw ending.
pub(crate) enum Ending {
    Value(Box<RawValue>),
    Threw(narrows_types::ProgramError),
    Rejected(Vec<Finding>),
    Limit(Limit, u64),
    Deadlock,
    Paused(Vec<Asked>),
    Diverged(String),
    Lost(Loss, String),
    /// The run cannot be served: no fault of its own.
    Broken(Fault),
}

impl Ending {
    /// Its worker broke.
    pub(crate) fn died(why: impl Into<String>) -> Self {
        Self::Lost(Loss::Died, why.into())
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

/// One execution.
pub(crate) struct Run<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) grant: &'a Grant,
    pub(crate) id: &'a RunId,
    pub(crate) session: Option<&'a SessionId>,
    pub(crate) durability: Durability,
    /// No upstream is asked.
    pub(crate) offline: bool,
    pub(crate) begin: &'a Begin,
    events: Option<Events>,
    started: Instant,
    /// What the program's clock shows as the execution begins.
    base_us: u64,
    places: Arc<Semaphore>,
    searches: AtomicU32,
    /// Calls that the program made, its timers not among them.
    pub(crate) calls: AtomicU32,
    /// What launched its worker, and what evaluates it there.
    at: (BackendKind, Engine),
    /// Memory that its worker may have.
    memory_bytes: u64,
}

/// What one execution is made of.
pub(crate) struct Execution<'a> {
    pub(crate) grant: &'a Grant,
    pub(crate) run: &'a RunId,
    pub(crate) session: Option<&'a SessionId>,
    pub(crate) begin: &'a Begin,
    pub(crate) offline: bool,
    pub(crate) events: Option<Events>,
    /// What the program's clock showed last.
    pub(crate) at_us: u64,
}

impl Shared {
    /// Executes a program, against its journal, to its end. Faults only if no worker can be had.
    pub(crate) async fn execute(
        self: &Arc<Self>,
        execution: Execution<'_>,
        ledger: &mut Ledger,
    ) -> Result<Ended, Fault> {
        let started = Instant::now();
        let (mut lease, gone) = self.worker(&execution).await?;
        let memory_bytes = lease.arm(&execution.grant.limits);
        let mut denials = lease.connect(&execution.begin.limits.network);
        let at = lease.at();
        let Execution { grant, run, session, begin, offline, events, at_us } = execution;
        let since_us = crate::effects::now_ms().saturating_sub(begin.now_ms).saturating_mul(1_000);
        let run = Run {
            shared: self,
            grant,
            id: run,
            session,
            durability: ledger.journal().durability,
            offline,
            begin,
            events,
            started,
            base_us: at_us.max(since_us),
            places: Arc::new(Semaphore::new(grant.limits.calls_parallel.max(1) as usize)),
            searches: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            at,
            memory_bytes,
        };
        let mut trail = Trail::default();
        if let Some(why) = gone {
            ledger.log(&run.tell_gone(&why, &mut trail)).await?;
        }
        let (sender, receiver) = lease.split();
        let past = grant.deadline + GRACE;
        let recorded = async {
            for _ in 0..DENIED_MAX {
                let Some(denials) = &mut denials else { break };
                let Some(denied) = denials.recv().await else { break };
                run.shared.audit.denied_host((run.running(), &grant.principal), &denied);
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            // Before the end that it may have led to.
            biased;
            () = recorded => Err(run.wall()),
            done = run.drive(sender, receiver, &mut trail, ledger) => done,
            () = tokio::time::sleep_until(past) => Err(run.wall()),
        };
        let (end, used) = match outcome {
            Ok(Done { end, usage: used }) => (run.ending(end), Some(used)),
            Err(end) => {
                let cpu_us = receiver.cpu_us();
                (end, (cpu_us > 0).then(|| Usage { cpu_us, ..Usage::default() }))
            }
        };
        if matches!(end, Ending::Lost(..)) {
            grant.uncount(run.calls.load(Ordering::Relaxed));
        }
        let wall_us = micros(started.elapsed());
        if !offline {
            let who = (run.running(), &grant.principal);
            self.audit.ended(&end, who, (wall_us, used.as_ref()));
        }
        if begin.state {
            run.keep(lease, &end, &mut trail).await;
        }
        trail.close();
        let usage = Usage { wall_us, ..used.unwrap_or_default() };
        Ok(Ended { end, trail, usage })
    }

    /// What kind of worker a run wants, but for a network.
    pub(crate) fn want(&self, grant: &Grant, begin: &Begin) -> Want {
        let backend = self.settings.borrow().access.backend(&grant.principal);
        Want { backend, engine: begin.engine, ..Want::from(begin.language) }
    }

    /// A worker for an execution.
    async fn worker(&self, execution: &Execution<'_>) -> Result<(Lease, Option<String>), Fault> {
        let Execution { grant, run, begin, offline, session, .. } = execution;
        let network = !begin.limits.network.is_none();
        let want = Want { network, ..self.want(grant, begin) };
        let session = session.filter(|_| begin.state);
        let deadline = grant.deadline.into_std();
        let lease = match session {
            Some(session) => {
                let holder = crate::state::holder(&grant.principal, session);
                self.sandbox.lease_kept(want, holder, deadline).await
            }
            None => self.sandbox.lease(want, deadline).await,
        };
        let mut lease = lease.map_err(Fault::from).inspect_err(|fault| {
            if !offline {
                self.audit.no_worker(run, &grant.principal, want, fault);
            }
        })?;
        let gone = match session {
            Some(session) => self.gone(&mut lease, &grant.principal, session).await?,
            None => None,
        };
        Ok((lease, gone))
    }
}

impl Run<'_> {
    /// Program in, check, go, and the loop. `Err` is an ending that the host decided.
    async fn drive(
        &self,
        sender: &mut LeaseSender,
        receiver: &mut LeaseReceiver,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Result<Done, Ending> {
        sender.send(&ToWorker::Run(Box::new(self.program()))).await.map_err(ending)?;
        let uses = match receiver.receive().await.map_err(ending)? {
            FromWorker::Uses(uses) => uses,
            FromWorker::Done(done) => return Ok(*done),
            other => return Err(out_of_turn(&other)),
        };
        let (snapshot, go) = self.check(&uses).await?;
        sender.send(&ToWorker::Go(go)).await.map_err(ending)?;
        let (replies, mut outbox) = mpsc::channel::<Outbound>(REPLIES_MAX);
        let (broken, dying) = oneshot::channel();
        let writer = async {
            while let Some(outbound) = outbox.recv().await {
                let (frame, place) = match outbound {
                    Outbound::Reply(reply, place) => (ToWorker::Reply(reply), place),
                    Outbound::Ping => (ToWorker::Ping, None),
                };
                if let Err(end) = sender.send(&frame).await {
                    // The loop hears the worker's last words, and then this.
                    let _over = broken.send(end);
                    break;
                }
                drop(place);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = self.listen(receiver, (trail, ledger), &snapshot, (replies, dying)) => done,
            () = writer => Err(Ending::died("the run's writer ended")),
        }
    }

    fn program(&self) -> Program {
        let left = self.grant.deadline.saturating_duration_since(Instant::now());
        let wall_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        Program {
            code: self.begin.code.clone(),
            language: self.begin.language,
            input: self.begin.input.clone(),
            limits: Limits {
                wall_ms,
                memory_bytes: self.memory_bytes,
                network: self.begin.limits.network.clone(),
                ..self.grant.limits.clone()
            },
            now_ms: self.begin.now_ms,
            seed: self.begin.seed,
            state: self.begin.state,
        }
    }

    /// Checks what the program refers to. The snapshot that was checked is the one that is used.
    async fn check(&self, uses: &Uses) -> Result<(Arc<Snapshot>, Go), Ending> {
        let roots = uses.references.iter().map(|r| r.root.as_str());
        let principal = &self.grant.principal;
        let snapshot = self.shared.knowing(principal, roots, self.grant.deadline).await;
        let mut checked = snapshot.catalog.check(uses, self.begin.language);
        let mut findings = uses.findings.clone();
        findings.append(&mut checked.findings);
        if findings.is_empty() {
            return Ok((snapshot, Go { namespaces: checked.namespaces }));
        }
        if !self.offline {
            self.record_denied(uses);
        }
        findings.sort_by_key(|f| f.at);
        Err(Ending::Rejected(findings))
    }

    /// A program is not started for what it names; some of that may have been kept from it.
    fn record_denied(&self, uses: &Uses) {
        let principal = &self.grant.principal;
        let mut named: Vec<(&str, &str)> = uses
            .references
            .iter()
            .filter_map(|r| Some((r.root.as_str(), r.path.first()?.as_str())))
            .collect();
        named.sort_unstable();
        named.dedup();
        for (server, tool) in named.into_iter().take(DENIED_MAX) {
            if let Some(why) = self.shared.withheld(principal, server, tool) {
                let tool = format!("{server}.{tool}");
                self.shared.audit.denied((Some(self.running()), principal), &tool, why);
            }
        }
    }

    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // The semaphore is never closed; waiting for ever here ends with the run.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Microseconds since the run began, as its program's clock shows them.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.base_us.saturating_add(micros(self.started.elapsed()))
    }

    pub(crate) fn searched_enough(&self) -> Option<String> {
        (self.searches.fetch_add(1, Ordering::Relaxed) >= SEARCHES_MAX).then(|| {
            format!(
                "a run may search {SEARCHES_MAX} times; give several queries at once: \
                 search([\"...\", \"...\"])"
            )
        })
    }

    /// It and its worker, for the record.
    pub(crate) fn running(&self) -> Running<'_> {
        Running { run: self.id, at: self.at }
    }

    pub(crate) fn language(&self) -> narrows_types::Language {
        self.begin.language
    }

    pub(crate) fn progress(&self, progress: Progress) {
        if let Some(events) = &self.events {
            let fraction = progress.fraction.filter(|f| f.is_finite()).map(|f| f.clamp(0.0, 1.0));
            let event = Event::Progress { fraction, message: progress.message };
            // A door that does not keep up loses progress, never the run.
            let _full = events.try_send(event);
        }
    }

    fn ending(&self, end: End) -> Ending {
        match end {
            End::Value(value) if value.get().len() as u64 > self.grant.limits.value_bytes => {
                self.limit(Limit::ValueBytes)
            }
            End::Value(value) => Ending::Value(value),
            End::Threw(error) => Ending::Threw(error),
            End::Limit(limit) => self.limit(limit),
            End::Deadlock => Ending::Deadlock,
        }
    }

    fn wall(&self) -> Ending {
        self.limit(Limit::WallMs)
    }

    pub(crate) fn limit(&self, limit: Limit) -> Ending {
        let limits = Limits { memory_bytes: self.memory_bytes, ..self.grant.limits.clone() };
        Ending::Limit(limit, limits.allowed(limit))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
