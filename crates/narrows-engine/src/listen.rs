//! The loop of one execution: the worker's frames, the outcomes of its calls, and what the program
//! hears when.

use crate::effect::{Finished, Heard, How, failed};
use crate::entry::Outcome;
use crate::ledger::{Ledger, Turn};
use crate::redact::redacted;
use crate::run::{Ending, GRACE, Run};
use crate::snapshot::Snapshot;
use crate::trail::Trail;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use narrows_sandbox::{LeaseEnd, LeaseReceiver, Loss};
use narrows_types::frame::{Call, CallError, Done, FromWorker, Reply};
use narrows_types::{Limit, LogLine};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

/// Bytes of arguments of one run's calls that wait or are under way.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Timers that one run may wait for beside calls.
const WAITS_MAX: u32 = 100_000;

/// What is on its way to the worker.
pub(crate) enum Outbound {
    /// An outcome; its place among the parallel calls is free once it is sent.
    Reply(Reply, Option<OwnedSemaphorePermit>),
    /// Whether it has anything left to do.
    Ping,
}

/// What the loop keeps of an execution.
struct Flow<'f> {
    under_way: FuturesUnordered<BoxFuture<'f, (Finished, usize)>>,
    /// Calls of the program, and those that are only its timers.
    calls: u32,
    waits: u32,
    waiting_bytes: usize,
    /// What came of calls while the journal still has something to be heard first.
    held: VecDeque<Finished>,
    outbox: VecDeque<Outbound>,
    /// Something was said to the worker since the last `Ping`: its `Idle` may come from before that.
    stale: bool,
    /// A `Ping` is on its way.
    pinged: bool,
    /// The worker cannot be written to: it is given up then, for this reason.
    dying: Option<(Instant, LeaseEnd)>,
}

impl Flow<'_> {
    fn reply(&mut self, reply: Reply, place: Option<OwnedSemaphorePermit>) {
        self.stale = true;
        self.outbox.push_back(Outbound::Reply(reply, place));
    }
}

impl Run<'_> {
    /// The loop over the worker's frames and the calls' outcomes.
    pub(crate) async fn listen(
        &self,
        receiver: &mut LeaseReceiver,
        (trail, ledger): (&mut Trail, &mut Ledger),
        snapshot: &Snapshot,
        (replies, mut dying): (mpsc::Sender<Outbound>, oneshot::Receiver<LeaseEnd>),
    ) -> Result<Done, Ending> {
        let mut flow = Flow {
            under_way: FuturesUnordered::new(),
            calls: 0,
            waits: 0,
            waiting_bytes: 0,
            held: VecDeque::new(),
            outbox: VecDeque::new(),
            stale: false,
            pinged: false,
            dying: None,
        };
        loop {
            self.hear(&mut flow, trail, ledger).await?;
            let give_up =
                flow.dying.as_ref().map_or(self.grant.deadline + GRACE * 2, |(at, _)| *at);
            tokio::select! {
                Some((finished, bytes)) = flow.under_way.next() => {
                    flow.waiting_bytes -= bytes;
                    flow.held.push_back(finished);
                }
                room = replies.reserve(), if !flow.outbox.is_empty() => {
                    let Ok(room) = room else {
                        return Err(Ending::died("the worker does not take its replies"));
                    };
                    if let Some(outbound) = flow.outbox.pop_front() {
                        room.send(outbound);
                    }
                }
                frame = receiver.receive() => match frame {
                    Ok(FromWorker::Done(done)) => return Ok(*done),
                    Ok(frame) => self.frame(frame, &mut flow, (trail, ledger), snapshot).await?,
                    Err(end) => return Err(self.bury(end, &mut flow, trail, ledger).await),
                },
                end = &mut dying, if flow.dying.is_none() => {
                    let end = end.unwrap_or_else(|_| lost("its writer ended"));
                    flow.dying = Some((Instant::now() + GRACE, end));
                }
                () = tokio::time::sleep_until(give_up), if flow.dying.is_some() => {
                    let end = flow.dying.take().map_or_else(
                        || lost("the worker does not listen"),
                        |(_, end)| end,
                    );
                    return Err(self.bury(end, &mut flow, trail, ledger).await);
                }
            }
        }
    }

    /// The worker is gone. What is under way is waited for and written down, so that whoever executes
    /// the program again finds it.
    async fn bury(
        &self,
        end: LeaseEnd,
        flow: &mut Flow<'_>,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Ending {
        if matches!(end, LeaseEnd::Lost(..)) && ledger.journal().kept() {
            while let Some((finished, _)) = flow.under_way.next().await {
                flow.held.push_back(finished);
            }
            if let Err(end) = self.tell_rest(flow, trail, ledger).await {
                return end;
            }
        }
        ending(end)
    }

    async fn frame<'f>(
        &'f self,
        frame: FromWorker,
        flow: &mut Flow<'f>,
        (trail, ledger): (&mut Trail, &mut Ledger),
        snapshot: &'f Snapshot,
    ) -> Result<(), Ending> {
        match frame {
            FromWorker::Call(call) => self.called(call, flow, ledger, snapshot).await,
            FromWorker::Log(log) => {
                let line = LogLine { level: log.level, text: log.text };
                if trail.log(&line, &self.grant.limits) {
                    ledger.log(&line).await?;
                }
                Ok(())
            }
            FromWorker::Progress(progress) => {
                ledger.progress(progress.fraction, &progress.message).await?;
                self.progress(progress);
                Ok(())
            }
            FromWorker::Show(value) => {
                trail.show(&value, &self.grant.limits);
                Ok(())
            }
            FromWorker::Idle if flow.pinged => {
                flow.pinged = false;
                if flow.stale || !flow.under_way.is_empty() {
                    return Ok(());
                }
                self.idle(flow, trail, ledger).await
            }
            other => Err(out_of_turn(&other)),
        }
    }

    /// The worker has heard everything and has nothing left to do, nor is anything under way.
    async fn idle(
        &self,
        flow: &mut Flow<'_>,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Result<(), Ending> {
        if ledger.replaying() && ledger.next_anew().is_none() {
            if ledger.skip() {
                return Ok(());
            }
            return Err(Ending::Diverged(ledger.missing()));
        }
        self.tell_rest(flow, trail, ledger).await?;
        if ledger.parked.is_empty() {
            return Ok(());
        }
        Err(Ending::Paused(ledger.pause().await?))
    }

    async fn called<'f>(
        &'f self,
        call: Call,
        flow: &mut Flow<'f>,
        ledger: &mut Ledger,
        snapshot: &'f Snapshot,
    ) -> Result<(), Ending> {
        let wait = call.server == crate::own::NAMESPACE && call.tool == crate::own::WAIT;
        let count = if wait { &mut flow.waits } else { &mut flow.calls };
        *count += 1;
        if call.id != flow.calls.saturating_add(flow.waits) {
            return Err(Ending::Lost(Loss::Protocol, "call ids are out of order".to_owned()));
        }
        if !wait {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        if !wait && let Err(most) = self.grant.call() {
            return Err(Ending::Limit(Limit::Calls, most.into()));
        }
        if flow.waits > WAITS_MAX {
            return Err(self.limit(Limit::Calls));
        }
        let id = call.id;
        let refused = self.admissible(&call, flow.waiting_bytes).err();
        let mut asked = ledger.known(&self.shared.seal, &call, self.elapsed_us());
        if refused.is_some() {
            // What may not wait here is not written down either.
            asked.args = RawValue::NULL.to_owned();
        } else if ledger.journal().kept() {
            let found = snapshot.catalog.resolve(&call.server, &call.tool).ok();
            let schema = found.as_ref().map(|found| &found.tool.spec.input_schema);
            let names = &snapshot.settings.redact;
            if let Some(args) = redacted(&asked.args, schema, names) {
                asked.args = args;
            }
        }
        // Should the entry of another be lost, it is made once more: no more than what comes of one
        // whose outcome is lost.
        let sure = !Self::repeatable(&call, snapshot);
        let turn = match ledger.call(id, asked, sure).await? {
            Turn::Recorded => return Ok(()),
            Turn::Diverged(why) => return Err(Ending::Diverged(why)),
            turn => turn,
        };
        if let Some(refused) = refused {
            let how = How::Outcome(Heard::own(Err(refused)));
            flow.held.push_back(Finished { id, how, place: None });
            return Ok(());
        }
        let bytes = call.args.get().len();
        let round = ledger.round(id);
        if let Turn::Before(answers, _) = &turn
            && !answers.is_empty()
            && answers.iter().all(|(_, response)| response.is_some())
        {
            // From here on nobody knows again what came of it.
            ledger.retry(id).await?.wait().await?;
        }
        flow.waiting_bytes += bytes;
        let call = Call { id: ledger.number(id), ..call };
        flow.under_way.push(Box::pin(async move {
            (self.perform(id, call, (turn, round), snapshot).await, bytes)
        }));
        Ok(())
    }

    /// Lets the program hear what it can hear now: first what the journal has, in its order.
    async fn hear(
        &self,
        flow: &mut Flow<'_>,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Result<(), Ending> {
        loop {
            while let Some((id, outcome)) = ledger.next_recorded() {
                let reply = trail.record(id, outcome);
                flow.reply(reply, None);
            }
            let next = if ledger.replaying() {
                let anew = ledger.next_anew();
                anew.and_then(|id| flow.held.iter().position(|finished| finished.id == id))
            } else {
                Some(0)
            };
            let Some(finished) = next.and_then(|next| flow.held.remove(next)) else { break };
            self.tell(finished, flow, trail, ledger).await?;
        }
        let waits = !ledger.parked.is_empty() || ledger.replaying();
        if waits && !flow.pinged && flow.under_way.is_empty() && flow.outbox.is_empty() {
            (flow.pinged, flow.stale) = (true, false);
            flow.outbox.push_back(Outbound::Ping);
        }
        Ok(())
    }

    /// Writes down what came of a call, and tells the program.
    async fn tell(
        &self,
        Finished { id, how, place }: Finished,
        flow: &mut Flow<'_>,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Result<(), Ending> {
        let Heard { ok, body, handles, record, kept } = match how {
            How::Outcome(heard) => heard,
            How::Park(asked, state) => {
                if let Some(state) = state {
                    ledger.asks(id, state).await?;
                }
                ledger.parked.extend(asked);
                return Ok(());
            }
            How::Broken(fault) => return Err(Ending::Broken(fault)),
        };
        let number = ledger.number(id);
        // The program's clock shows what it showed when it heard of this before.
        let at_us = ledger.take_anew(number).unwrap_or_else(|| self.elapsed_us());
        let gone = false;
        let outcome = Outcome { number, ok, at_us, body, handles, record, gone };
        let outcome = trail.fitting(outcome);
        match kept {
            Some(body) => {
                let kept = Outcome { body, gone: true, ..outcome.clone() };
                ledger.heard(&kept).await?;
            }
            None => ledger.heard(&outcome).await?,
        }
        let reply = trail.record(id, outcome);
        flow.reply(reply, place);
        Ok(())
    }

    /// Whoever executes the program next hears what is left of this after all that the journal has.
    async fn tell_rest(
        &self,
        flow: &mut Flow<'_>,
        trail: &mut Trail,
        ledger: &mut Ledger,
    ) -> Result<(), Ending> {
        while let Some(finished) = flow.held.pop_front() {
            self.tell(finished, flow, trail, ledger).await?;
        }
        Ok(())
    }

    /// Whether a call may wait for its place: a program can make many before the first is answered,
    /// and none of their arguments may pile up here.
    fn admissible(&self, call: &Call, waiting_bytes: usize) -> Result<(), CallError> {
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
        Err(CallError { arguments: String::new(), ..failed(call, message) })
    }
}

pub(crate) fn ending(end: LeaseEnd) -> Ending {
    match end {
        LeaseEnd::Limit(limit, allowed) => Ending::Limit(limit, allowed),
        LeaseEnd::Lost(loss, reason) => Ending::Lost(loss, reason),
    }
}

fn lost(why: &str) -> LeaseEnd {
    LeaseEnd::Lost(Loss::Died, why.to_owned())
}

pub(crate) fn out_of_turn(frame: &FromWorker) -> Ending {
    let why = format!("the worker broke the protocol: `{}` out of turn", frame.name());
    Ending::Lost(Loss::Protocol, why)
}
