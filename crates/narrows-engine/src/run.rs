//! One run: a worker, its program, its calls, its end.
//!
//! The worker's frames and the outcomes of its calls are handled by one loop; replies leave through
//! a writer beside it, so that a worker that floods its socket while a large reply is on its way
//! can never lock up with its host.

use crate::admit::Grant;
use crate::call::{CallContext, Called};
use crate::snapshot::Snapshot;
use crate::trail::Trail;
use crate::{Events, Shared};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use narrows_catalog::shape;
use narrows_sandbox::{LeaseEnd, LeaseReceiver, LeaseSender};
use narrows_types::frame::{
    Call, CallError, Done, End, FromWorker, Go, Program, Progress, Reply, ToWorker,
};
use narrows_types::{
    CallRecord, Content, Event, Fault, Finding, Language, Limit, Limits, RunAsk, Usage, Uses,
};
use narrows_upstream::Caller;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

/// The host's own end of a run that outlives its wall limit, after the worker's and the watchdog's.
const GRACE: Duration = Duration::from_millis(100);
/// Bytes of arguments of one run's calls that wait or are under way.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Searches that one run may make.
const SEARCHES_MAX: u32 = 20;

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
    Lost(String),
}

/// A call's outcome on its way back to the worker; its place among the parallel calls is free once
/// it is sent.
pub(crate) type Outbound = (Reply, OwnedSemaphorePermit);

/// One finished call.
pub(crate) struct Outcome {
    pub(crate) reply: Reply,
    pub(crate) record: Option<CallRecord>,
    pub(crate) handles: Vec<(String, Content)>,
    pub(crate) place: OwnedSemaphorePermit,
}

struct Run<'a> {
    shared: &'a Arc<Shared>,
    grant: &'a Grant,
    language: Language,
    events: Option<Events>,
    started: Instant,
    places: Arc<Semaphore>,
    searches: AtomicU32,
}

impl Shared {
    /// Executes an admitted program to its end. Faults only if no worker can be had.
    pub(crate) async fn execute(
        self: &Arc<Self>,
        grant: &Grant,
        ask: RunAsk,
        events: Option<Events>,
    ) -> Result<Ended, Fault> {
        let started = Instant::now();
        let places = Arc::new(Semaphore::new(grant.limits.calls_parallel.max(1) as usize));
        let searches = AtomicU32::new(0);
        let RunAsk { code, language, input, .. } = ask;
        let run = Run { shared: self, grant, language, events, started, places, searches };
        let mut trail = Trail::default();
        let mut lease = self.sandbox.lease(language, grant.deadline.into_std()).await?;
        lease.arm(&grant.limits);
        let (mut sender, mut receiver) = lease.split();
        let past = grant.deadline + GRACE;
        let program = run.program(code, input)?;
        let outcome = tokio::select! {
            done = run.drive(&mut sender, &mut receiver, &mut trail, program) => done,
            () = tokio::time::sleep_until(past) => Err(run.wall()),
        };
        let mut usage = Usage::default();
        let end = match outcome {
            Ok(Done { end, usage: used }) => {
                usage = used;
                run.ending(end)
            }
            Err(end) => end,
        };
        usage.wall_us = micros(started.elapsed());
        trail.close();
        Ok(Ended { end, trail, usage })
    }
}

impl Run<'_> {
    /// Program in, check, go, and the loop. `Err` is an ending that the host decided.
    async fn drive(
        &self,
        sender: &mut LeaseSender,
        receiver: &mut LeaseReceiver,
        trail: &mut Trail,
        program: Program,
    ) -> Result<Done, Ending> {
        sender.send(&ToWorker::Run(Box::new(program))).await.map_err(ending)?;
        let uses = match receiver.receive().await.map_err(ending)? {
            FromWorker::Uses(uses) => uses,
            FromWorker::Done(done) => return Ok(*done),
            other => return Err(Ending::Lost(out_of_turn(&other))),
        };
        let (snapshot, go) = self.check(&uses).await?;
        sender.send(&ToWorker::Go(go)).await.map_err(ending)?;
        let (replies, mut outbox) = mpsc::channel::<Outbound>(self.places.available_permits());
        let writer = async {
            while let Some((reply, place)) = outbox.recv().await {
                sender.send(&ToWorker::Reply(reply)).await?;
                drop(place);
            }
            Ok(())
        };
        tokio::select! {
            done = self.listen(receiver, trail, &snapshot, replies) => done,
            broken = writer => match broken {
                Ok(()) => Err(Ending::Lost("the run's reply channel closed".to_owned())),
                Err(end) => Err(self.explain(end, receiver).await),
            },
        }
    }

    /// A worker that cannot be written to is dead; its last words say why.
    async fn explain(&self, end: LeaseEnd, receiver: &mut LeaseReceiver) -> Ending {
        let last = async {
            loop {
                match receiver.receive().await {
                    Ok(FromWorker::Done(done)) => return self.ending(done.end),
                    Ok(_) => {}
                    Err(end) => return ending(end),
                }
            }
        };
        tokio::time::timeout(GRACE, last).await.unwrap_or_else(|_| ending(end))
    }

    fn program(&self, code: String, input: Option<Box<RawValue>>) -> Result<Program, Fault> {
        let left = self.grant.deadline.saturating_duration_since(Instant::now());
        let wall_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        Ok(Program {
            code,
            language: self.language,
            input,
            limits: Limits { wall_ms, ..self.grant.limits },
            now_ms: crate::effects::now_ms(),
            seed: crate::effects::seed()?,
        })
    }

    /// Checks what the program refers to. The snapshot that was checked is the one that is used.
    async fn check(&self, uses: &Uses) -> Result<(Arc<Snapshot>, Go), Ending> {
        let roots = uses.references.iter().map(|r| r.root.as_str());
        let snapshot = self.shared.knowing(&self.grant.principal, roots, self.grant.deadline).await;
        let mut checked = snapshot.catalog.check(uses, self.language);
        let mut findings = uses.findings.clone();
        findings.append(&mut checked.findings);
        if findings.is_empty() {
            return Ok((snapshot, Go { namespaces: checked.namespaces }));
        }
        findings.sort_by_key(|f| f.at);
        Err(Ending::Rejected(findings))
    }

    /// The loop over the worker's frames and the calls' outcomes.
    async fn listen(
        &self,
        receiver: &mut LeaseReceiver,
        trail: &mut Trail,
        snapshot: &Snapshot,
        replies: mpsc::Sender<Outbound>,
    ) -> Result<Done, Ending> {
        let limits = &self.grant.limits;
        let mut under_way = FuturesUnordered::new();
        let mut calls: u32 = 0;
        let mut waiting_bytes = 0_usize;
        loop {
            tokio::select! {
                Some((outcome, bytes)) = under_way.next() => {
                    waiting_bytes -= bytes;
                    let outbound = trail.record(outcome);
                    // There is a slot for each place, so this fails only if the writer is gone.
                    if replies.try_send(outbound).is_err() {
                        return Err(Ending::Lost("the worker does not take its replies".to_owned()));
                    }
                }
                frame = receiver.receive() => match frame.map_err(ending)? {
                    FromWorker::Call(call) => {
                        calls += 1;
                        if call.id != calls {
                            return Err(Ending::Lost("call ids are out of order".to_owned()));
                        }
                        if calls > self.grant.limits.calls {
                            return Err(self.limit(Limit::Calls));
                        }
                        let bytes = call.args.get().len();
                        let admitted = self.admissible(&call, waiting_bytes);
                        let bytes = if admitted.is_ok() { bytes } else { 0 };
                        waiting_bytes += bytes;
                        under_way.push(async move {
                            let outcome = match admitted {
                                Ok(()) => self.call(call, snapshot).await,
                                // The arguments are gone already: only the answer waits.
                                Err(refused) => self.refuse(refused).await,
                            };
                            (outcome, bytes)
                        });
                    }
                    FromWorker::Log(log) => trail.log(log, limits),
                    FromWorker::Progress(progress) => self.progress(progress),
                    FromWorker::Show(value) => trail.show(&value, limits),
                    FromWorker::Done(done) => return Ok(*done),
                    other @ FromWorker::Uses(_) => return Err(Ending::Lost(out_of_turn(&other))),
                },
            }
        }
    }

    /// Whether a call may wait for its place: a program can make many before the first is answered,
    /// and none of their arguments may pile up here.
    fn admissible(&self, call: &Call, waiting_bytes: usize) -> Result<(), Reply> {
        let bytes = call.args.get().len();
        let limit = self.shared.settings.borrow().arguments_bytes;
        let message = if bytes > limit {
            format!("the arguments are {bytes} bytes; the limit is {limit}; send less at once")
        } else if waiting_bytes.saturating_add(bytes) > WAITING_BYTES_MAX {
            format!(
                "the arguments of the calls under way are {waiting_bytes} bytes; the limit is \
                 {WAITING_BYTES_MAX}; await some calls first"
            )
        } else {
            return Ok(());
        };
        let tool = format!("{}.{}", call.server, call.tool);
        let error = CallError { tool, message, arguments: String::new() };
        let body = serde_json::to_string(&error).unwrap_or_default();
        Err(Reply { id: call.id, ok: false, body })
    }

    async fn refuse(&self, reply: Reply) -> Outcome {
        Outcome { reply, record: None, handles: Vec::new(), place: self.place().await }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // The semaphore is never closed; waiting for ever here ends with the run.
            Err(_closed) => std::future::pending().await,
        }
    }

    async fn call(&self, call: Call, snapshot: &Snapshot) -> Outcome {
        let place = self.place().await;
        let start = Instant::now();
        let sent_bytes = call.args.get().len() as u64;
        let own = call.server == crate::own::NAMESPACE;
        let answer = if own && call.tool == "search" && self.searched_enough() {
            Err(CallError {
                tool: call.tool.clone(),
                message: format!(
                    "a run may search {SEARCHES_MAX} times; give several queries at once: \
                     search([\"...\", \"...\"])"
                ),
                arguments: String::new(),
            })
        } else if own {
            self.shared.own_call(self.grant, self.language, snapshot, &call).await.map(|json| {
                Answered {
                    server: call.server.clone(),
                    tool: call.tool.clone(),
                    json,
                    handles: Vec::new(),
                    cached: false,
                }
            })
        } else {
            self.tool_call(&call, snapshot).await
        };
        let cached = answer.as_ref().is_ok_and(|answered| answered.cached);
        let (answer, server, tool, handles, ok) = match answer {
            Ok(a) => (Ok(a.json), a.server, a.tool, a.handles, true),
            Err(e) => (Err(e), call.server.clone(), call.tool.clone(), Vec::new(), false),
        };
        let (body, received_bytes) = match answer {
            Ok(json) => {
                let bytes = json.len() as u64;
                (json, bytes)
            }
            Err(error) => (serde_json::to_string(&error).unwrap_or_default(), 0),
        };
        let record = (!own).then(|| CallRecord {
            server,
            tool,
            start_us: micros(start.saturating_duration_since(self.started)),
            took_us: micros(start.elapsed()),
            sent_bytes,
            received_bytes,
            ok,
            cached,
        });
        Outcome { reply: Reply { id: call.id, ok, body }, record, handles, place }
    }

    fn searched_enough(&self) -> bool {
        self.searches.fetch_add(1, Ordering::Relaxed) >= SEARCHES_MAX
    }

    async fn tool_call(&self, call: &Call, snapshot: &Snapshot) -> Result<Answered, CallError> {
        let failed = |message: String| CallError {
            tool: format!("{}.{}", call.server, call.tool),
            message,
            arguments: shape::describe(&call.args),
        };
        let (principal, deadline) = (&self.grant.principal, self.grant.deadline);
        let caller = Caller::of(&principal.name, None);
        let context = CallContext { snapshot, principal, deadline, progress: None, caller };
        let called = self
            .shared
            .invoke(context, &call.server, &call.tool, &call.args)
            .await
            .map_err(|fault| failed(fault.to_string()))?;
        if called.result.is_error {
            let text = called.result.joined_text();
            return Err(failed(shape::error_text(&text)));
        }
        let (json, handles) = shape::program_value(&called.result, call.id);
        let limit = self.grant.limits.result_bytes;
        if json.len() as u64 > limit {
            let bytes = json.len();
            return Err(failed(format!(
                "the result is {bytes} bytes; limit result_bytes is {limit}; ask the tool for less"
            )));
        }
        let Called { server, tool, cached, .. } = called;
        Ok(Answered { server, tool, json, handles, cached })
    }

    fn progress(&self, progress: Progress) {
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

    fn limit(&self, limit: Limit) -> Ending {
        let limits = &self.grant.limits;
        let allowed = match limit {
            Limit::WallMs => limits.wall_ms,
            Limit::CpuMs => limits.cpu_ms,
            Limit::MemoryBytes => limits.memory_bytes,
            Limit::Calls => u64::from(limits.calls),
            Limit::ResultBytes => limits.result_bytes,
            Limit::ValueBytes => limits.value_bytes,
            Limit::Stack => 0,
        };
        Ending::Limit(limit, allowed)
    }
}

/// A tool's answer as the program sees it.
struct Answered {
    server: String,
    tool: String,
    json: String,
    handles: Vec<(String, Content)>,
    /// The upstream was not asked for it.
    cached: bool,
}

fn ending(end: LeaseEnd) -> Ending {
    match end {
        LeaseEnd::Limit(limit, allowed) => Ending::Limit(limit, allowed),
        LeaseEnd::Lost(reason) => Ending::Lost(reason),
    }
}

fn out_of_turn(frame: &FromWorker) -> String {
    let name = match frame {
        FromWorker::Uses(_) => "uses",
        FromWorker::Call(_) => "call",
        FromWorker::Log(_) => "log",
        FromWorker::Progress(_) => "progress",
        FromWorker::Show(_) => "show",
        FromWorker::Done(_) => "done",
    };
    format!("the worker broke the protocol: `{name}` out of turn")
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
