//! The life of a run: begun, executed, executed again against its journal, paused, ended.

use crate::admit::Grant;
use crate::entry::{Begin, Entry};
use crate::journal::{Journal, taken};
use crate::ledger::Ledger;
use crate::past::Past;
use crate::run::{Ended, Ending, Execution};
use crate::state::executes_again;
use crate::{Events, Shared};
use narrows_store::{Note, RunRow};
use narrows_types::{
    Asked, Budget, Durability, Fault, JobId, Kind, Lowered, Network, Origin, Principal, RunAsk,
    RunId, RunReport, RunState, SessionId,
};
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// How often a program is executed in one go while its worker is lost under it.
const EXECUTIONS_MAX: u32 = 3;
/// Bytes of a returned value that the journal keeps.
const VALUE_BYTES_MAX: usize = 256 << 10;
/// Entries that are read from a journal at once.
const PAGE: u64 = 1_000;
/// States that nobody goes on from.
pub(crate) const ENDED: [RunState; 4] =
    [RunState::Returned, RunState::Threw, RunState::Rejected, RunState::Cancelled];
/// How often a change of a row that somebody else's overtook is tried again.
pub(crate) const TRIES: usize = 16;
/// Bytes for each token of a reply, about.
const TOKEN_BYTES: u64 = 4;

/// A run that is to be carried out, from its beginning or from its journal.
pub(crate) struct Life {
    pub(crate) row: RunRow,
    /// The version that the row has in the store; none if it is new.
    pub(crate) version: Option<u64>,
    pub(crate) begin: Begin,
    pub(crate) past: Past,
    pub(crate) grant: Grant,
    pub(crate) events: Option<Events>,
    /// The job that it becomes while it is under way.
    pub(crate) given: Arc<OnceLock<JobId>>,
}

/// How a run belongs to something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Belongs {
    pub(crate) job: Option<JobId>,
    pub(crate) session: Option<SessionId>,
}

impl Shared {
    /// A run that begins.
    pub(crate) fn begin(
        run: RunId,
        grant: Grant,
        ask: RunAsk,
        durability: Durability,
        belongs: Belongs,
    ) -> Result<Life, Fault> {
        let now_ms = crate::effects::now_ms();
        let RunAsk { code, language, engine, input, limits: lowered, state, .. } = ask;
        let (limits, lowered) = (grant.limits.clone(), *lowered);
        let seed = crate::effects::seed()?;
        let begin = Begin {
            code,
            language,
            engine,
            input,
            limits,
            lowered,
            now_ms,
            seed,
            durability,
            state,
        };
        let row = RunRow {
            run,
            principal: grant.principal.name.clone(),
            state: RunState::Running,
            language,
            started_at_ms: now_ms,
            wall_us: 0,
            cpu_us: 0,
            calls: 0,
            executions: 0,
            durability,
            session: belongs.session,
            job: belongs.job,
            questions: Vec::new(),
            used: Budget::default(),
        };
        let (past, given) = (Past::default(), Arc::default());
        Ok(Life { row, version: None, begin, past, grant, events: None, given })
    }

    /// The journal of a run, read whole.
    pub(crate) async fn past(&self, principal: &Principal, run: &RunId) -> Result<Past, Fault> {
        let mut entries = Vec::new();
        loop {
            let from = entries.len() as u64;
            let page = self.store.journal(&principal.name, run, from, PAGE).await?;
            let last = (page.len() as u64) < PAGE;
            entries.extend(page);
            if last {
                return Past::read(&entries);
            }
        }
    }

    /// Carries a run out, up to its end or its pause.
    pub(crate) async fn carry_out(self: &Arc<Self>, life: Life) -> Result<RunReport, Fault> {
        let Life { mut row, version, mut begin, mut past, grant, events, given } = life;
        self.reach(&row.run, &mut begin, &grant).await?;
        let _alive = self.live.enter(&row.run);
        let principal = grant.principal.clone();
        let bytes_max = self.settings.borrow().journal_bytes_max;
        let place = (principal.name.as_str(), &row.run);
        let mut journal =
            Journal::open(&self.scribe, begin.durability, place, &past, (bytes_max, given));
        self.open_life(&mut journal, &mut row, version, &begin).await?;
        let mut executions = 1;
        let ended = loop {
            let at_us = past.at_us;
            let mut ledger = Ledger::new(journal, past);
            let (run, session) = (row.run.clone(), row.session.clone());
            let execution = Execution {
                grant: &grant,
                run: &run,
                session: session.as_ref(),
                begin: &begin,
                offline: false,
                events: events.clone(),
                at_us,
            };
            let ended = Box::pin(self.execute(execution, &mut ledger)).await;
            journal = ledger.close();
            let ended = match ended {
                Ok(ended) => ended,
                Err(fault) => {
                    // No worker was to be had: it can be gone on with, unless there can be none.
                    let never = matches!(fault.kind, Kind::Invalid | Kind::Forbidden);
                    let first = row.executions <= 1;
                    row.state = if never && first { RunState::Rejected } else { RunState::Lost };
                    journal.row(None, row, None, false).await?.wait().await?;
                    return Err(fault);
                }
            };
            row.wall_us = row.wall_us.saturating_add(ended.usage.wall_us);
            row.cpu_us = row.cpu_us.saturating_add(ended.usage.cpu_us);
            if journal.is_taken() {
                return Err(taken(&row.run));
            }
            let again = matches!(ended.end, Ending::Lost(..))
                && journal.kept()
                && begin.is_whole()
                && !begin.state
                && executions < EXECUTIONS_MAX;
            if !again {
                break ended;
            }
            executions += 1;
            row.executions = row.executions.saturating_add(1);
            tracing::info!(run = %row.run, "the worker was lost: executed again");
            let entry = Entry::Again { at_ms: crate::effects::now_ms() };
            journal.row(Some(&entry), row.clone(), None, true).await?.wait().await?;
            past = self.past(&principal, &row.run).await?;
        };
        self.close_life(grant, row, journal, ended).await
    }

    /// A network is for programs of engines with sockets, and others have none.
    async fn reach(&self, run: &RunId, begin: &mut Begin, grant: &Grant) -> Result<(), Fault> {
        if begin.limits.network.is_none() {
            return Ok(());
        }
        let want = self.want(grant, begin);
        let settled = self.sandbox.settle(want, grant.deadline.into_std()).await;
        // Without an answer nothing begins: a moment later there may be a worker, and the program
        // would run in it without the hosts that it was promised.
        let (_, engine) = settled
            .map_err(Fault::from)
            .inspect_err(|fault| self.audit.no_worker(run, &grant.principal, want, fault))?;
        if engine.has_sockets() {
            return Ok(());
        }
        if begin.lowered.network.as_ref().is_some_and(|asked| !asked.is_none()) {
            let hint = "leave limits.network out and call tools, or say engine cpython or deno if \
                        they are offered";
            return Err(Fault::invalid(format!("{engine} has no network")).hint(hint));
        }
        begin.limits.network = Network::default();
        Ok(())
    }

    /// The row says that the run is under way, and the journal what is executed.
    async fn open_life(
        &self,
        journal: &mut Journal,
        row: &mut RunRow,
        version: Option<u64>,
        begin: &Begin,
    ) -> Result<(), Fault> {
        row.executions = row.executions.saturating_add(1);
        row.state = RunState::Running;
        row.questions.clear();
        if !journal.kept() {
            return Ok(());
        }
        let sync = journal.durability == Durability::Sync;
        let (entry, wait) = if journal.next() == 0 {
            (Entry::Begin(Box::new(begin.clone())), sync)
        } else {
            // Of two who go on with a run, one must hear that it came too late.
            (Entry::Again { at_ms: crate::effects::now_ms() }, true)
        };
        journal.row(Some(&entry), row.clone(), version, wait).await?.wait().await?;
        journal.opened(row.clone());
        Ok(())
    }

    /// The end of a run, or its pause: written down and told.
    async fn close_life(
        self: &Arc<Self>,
        grant: Grant,
        mut row: RunRow,
        mut journal: Journal,
        ended: Ended,
    ) -> Result<RunReport, Fault> {
        let (state, value, why) = end_of(&ended.end);
        let questions = match &ended.end {
            Ending::Paused(questions) => questions.clone(),
            _ => Vec::new(),
        };
        let broken = match &ended.end {
            Ending::Broken(fault) => Some(fault.clone()),
            _ => None,
        };
        row.state = state;
        row.calls = u32::try_from(ended.trail.calls.len()).unwrap_or(u32::MAX);
        row.questions = questions;
        let report = self.report(&grant, row.run.clone(), ended).await;
        self.count(&grant.principal, &mut row, &report).await;
        // A paused run must be found by whoever answers it.
        let paused = state == RunState::Paused;
        let wait = paused || journal.durability == Durability::Sync;
        let entry = Entry::End { state, value, why };
        let entry = (!paused).then_some(&entry);
        let safe = journal.row(entry, row, None, wait).await?;
        if let Some(fault) = broken {
            return Err(fault);
        }
        safe.wait().await?;
        Ok(report)
    }

    /// Counts what a run used towards its session.
    async fn count(&self, principal: &Principal, row: &mut RunRow, report: &RunReport) {
        let received: u64 = report.calls.iter().map(|call| call.received_bytes).sum();
        let total = Budget {
            calls: u64::from(report.bill.calls),
            ms: row.wall_us.div_ceil(1_000),
            bytes: received,
            tokens: report.text.len() as u64 / TOKEN_BYTES,
        };
        let before = std::mem::replace(&mut row.used, total);
        let Some(session) = &row.session else { return };
        // The time of a run within is its outer run's, and no agent reads what it returns.
        let within = row.run.as_str().contains('.');
        let new = Budget {
            calls: total.calls.saturating_sub(before.calls),
            ms: if within { 0 } else { total.ms.saturating_sub(before.ms) },
            bytes: total.bytes.saturating_sub(before.bytes),
            tokens: if within { 0 } else { total.tokens },
        };
        if let Err(e) = self.store.use_session(&principal.name, session, new).await {
            tracing::warn!(run = %row.run, "its session was not charged: {e}");
        }
    }

    /// Changes a run's row as it stands in the store, if `change` wants to.
    pub(crate) async fn change_row(
        &self,
        principal: &str,
        run: &RunId,
        change: impl Fn(&mut RunRow) -> bool,
    ) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let mut found = self.store.run(principal, run).await?;
            if !change(&mut found.row) {
                return Ok(());
            }
            let (principal, run) = (principal.to_owned(), run.clone());
            let row = Some((found.row, Some(found.version)));
            let note = Note { principal, run, from: 0, entries: Vec::new(), row };
            if self.store.note(&[note]).await? == [true] {
                return Ok(());
            }
        }
        Err(taken(run))
    }

    /// A run that was cut off, and that nobody can go on with, is lost.
    pub(crate) async fn lose(&self, principal: &Principal, run: &RunId) -> Result<(), Fault> {
        let lost = |row: &mut RunRow| {
            let cut_off = row.state == RunState::Running;
            if cut_off {
                row.state = RunState::Lost;
            }
            cut_off
        };
        self.change_row(&principal.name, run, lost).await
    }

    /// A run that was interrupted or paused, ready to go on; with the questions that are still open
    /// if it cannot.
    pub(crate) async fn found(
        &self,
        principal: &Principal,
        run: &RunId,
    ) -> Result<Result<Found, Vec<Asked>>, Fault> {
        let found = self.found_again(principal, run).await?;
        if let Ok(found) = &found {
            if ENDED.contains(&found.row.state) {
                return Err(has_ended(run, found.row.state));
            }
            if let Err(fault) = executes_again(run, &found.begin) {
                self.lose(principal, run).await?;
                return Err(fault);
            }
        }
        Ok(found)
    }

    /// The same of a run that may have ended: its journal leads to the same end.
    pub(crate) async fn found_again(
        &self,
        principal: &Principal,
        run: &RunId,
    ) -> Result<Result<Found, Vec<Asked>>, Fault> {
        let found = self.store.run(&principal.name, run).await?;
        let past = self.past(principal, run).await?;
        let begin = past.begun()?.clone();
        if !begin.is_whole() {
            self.lose(principal, run).await?;
            return Err(reached_out(run));
        }
        let open = past.open_questions();
        if !open.is_empty() {
            return Ok(Err(open));
        }
        Ok(Ok(Found { row: found.row, version: found.version, begin, past }))
    }
}

/// A run that can go on.
pub(crate) struct Found {
    pub(crate) row: RunRow,
    version: u64,
    begin: Begin,
    past: Past,
}

impl Found {
    /// What is to be admitted for it.
    pub(crate) fn ask(&self) -> RunAsk {
        RunAsk {
            code: self.begin.code.clone(),
            language: self.begin.language,
            engine: self.begin.engine,
            limits: Box::new(self.begin.lowered.clone()),
            output_bytes: Some(self.begin.limits.output_bytes),
            session: self.row.session.clone(),
            ..RunAsk::default()
        }
    }

    /// Limits that whoever asked lowered.
    pub(crate) fn lowered(&self) -> &Lowered {
        &self.begin.lowered
    }

    /// It goes on, within a grant and no more than it could use at first.
    pub(crate) fn go_on(self, mut grant: Grant, events: Option<Events>) -> Life {
        grant.limits.calls = grant.limits.calls.min(self.begin.limits.calls);
        let Self { row, version, begin, past } = self;
        let (version, given) = (Some(version), Arc::default());
        Life { row, version, begin, past, grant, events, given }
    }
}

/// Nobody goes on with it, nor looks at it again: what its program got over the network is nowhere.
pub(crate) fn reached_out(run: &RunId) -> Fault {
    let message = format!("{run} had a network, and what came over it is not in its journal");
    // Not a conflict: nobody who tries again later gets further.
    Fault::new(Kind::Invalid, Origin::Agent, message)
        .hint("start it anew; `narrows runs show` tells what it did")
}

/// Nobody goes on with it.
pub(crate) fn has_ended(run: &RunId, state: RunState) -> Fault {
    let message = format!("{run} has ended: {}", state.name());
    Fault::new(Kind::Conflict, Origin::Agent, message)
        .hint("`narrows runs show` has its journal; start it anew for another result")
}

/// The state that a run ends in, its value if it is small, and why.
pub(crate) fn end_of(end: &Ending) -> (RunState, Option<Box<RawValue>>, String) {
    let plain = |state| (state, None, String::new());
    match end {
        Ending::Value(value) => {
            let small = (value.get().len() <= VALUE_BYTES_MAX).then(|| value.clone());
            (RunState::Returned, small, String::new())
        }
        Ending::Threw(error) => {
            (RunState::Threw, None, format!("{}: {}", error.name, error.message))
        }
        Ending::Rejected(findings) => {
            let first = findings.first().map(|finding| finding.message.clone());
            (RunState::Rejected, None, first.unwrap_or_default())
        }
        Ending::Limit(limit, allowed) => (RunState::Limit, None, format!("{limit} = {allowed}")),
        Ending::Deadlock => plain(RunState::Deadlock),
        Ending::Paused(_) => plain(RunState::Paused),
        Ending::Diverged(why) => (RunState::Diverged, None, why.clone()),
        Ending::Lost(_, why) => (RunState::Lost, None, why.clone()),
        Ending::Broken(fault) => (RunState::Lost, None, fault.to_string()),
    }
}
