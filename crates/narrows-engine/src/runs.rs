//! The record of runs: listed, shown, replayed.

use crate::Shared;
use crate::entry::Begin;
use crate::journal::Journal;
use crate::ledger::Ledger;
use crate::past::Past;
use crate::run::{Ending, Execution};
use narrows_store::RunRow;
use narrows_types::fault::clip;
use narrows_types::{
    Answer, CallView, Fault, Principal, Replayed, RunAsk, RunId, RunInfo, RunState, RunView,
    RunsAsk,
};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// Runs in one list.
const LIST_MAX: usize = 1_000;
/// Bytes of an outcome that is shown.
const OUTCOME_BYTES: usize = 4 << 10;

/// How a replay ended.
pub(crate) struct Replay {
    pub(crate) state: RunState,
    pub(crate) value: Option<Box<RawValue>>,
    pub(crate) text: String,
    pub(crate) differences: Vec<String>,
}

impl Shared {
    pub(crate) async fn runs(
        self: &Arc<Self>,
        principal: &Principal,
        ask: RunsAsk,
    ) -> Result<Answer, Fault> {
        match ask {
            RunsAsk::List { limit, state } => {
                // The state is looked for among the last ones.
                let wanted = if state.is_some() { LIST_MAX } else { limit.min(LIST_MAX) };
                let rows = self.store.run_rows(Some(&principal.name), wanted).await?;
                let rows = rows.into_iter().filter(|row| state.is_none_or(|s| row.state == s));
                Ok(Answer::Runs(rows.take(limit.min(LIST_MAX)).map(info).collect()))
            }
            RunsAsk::Show { run } => {
                let found = self.store.run(&principal.name, &run).await?;
                let past = self.past(principal, &run).await?;
                Ok(Answer::RunShown(Box::new(view(info(found.row), past))))
            }
            RunsAsk::Replay { run, code } => {
                let past = self.past(principal, &run).await?;
                let mut begin = past.begun()?.clone();
                crate::state::executes_again(&run, &begin)?;
                let own = code.is_none();
                if let Some(code) = code {
                    begin.code = code;
                }
                let end = past.end.clone();
                let replay = self.replay(principal, &run, begin, past).await?;
                let mut differences = replay.differences;
                let same = match &end {
                    Some((state, value, _)) => {
                        *state == replay.state
                            && value.as_ref().map(|v| v.get())
                                == replay.value.as_ref().map(|v| v.get())
                    }
                    // A run without an end yet is replayed as far as it came.
                    None => own && differences.is_empty(),
                };
                if let Some((state, value, _)) = end.filter(|_| !same) {
                    let value = value.map_or_else(String::new, |v| clip(v.get().to_owned(), 200));
                    differences.push(format!("- {} {value}", state.name()));
                    let value =
                        replay.value.map_or_else(String::new, |v| clip(v.get().to_owned(), 200));
                    differences.push(format!("+ {} {value}", replay.state.name()));
                }
                Ok(Answer::Replayed(Box::new(Replayed { text: replay.text, same, differences })))
            }
        }
    }

    /// Executes a program against a journal; nothing is asked of anybody and nothing written.
    pub(crate) async fn replay(
        self: &Arc<Self>,
        principal: &Principal,
        run: &RunId,
        begin: Begin,
        past: Past,
    ) -> Result<Replay, Fault> {
        if !begin.is_whole() {
            return Err(crate::life::reached_out(run));
        }
        let ask = RunAsk {
            code: begin.code.clone(),
            language: begin.language,
            engine: begin.engine,
            input: begin.input.clone(),
            limits: Box::new(begin.lowered.clone()),
            output_bytes: Some(begin.limits.output_bytes),
            ..RunAsk::default()
        };
        let grant = self.admit_run(principal, None, &ask).await?;
        let at_us = past.at_us;
        let mut ledger = Ledger::new(Journal::dry(run), past);
        let execution = Execution {
            grant: &grant,
            run,
            session: None,
            begin: &begin,
            offline: true,
            events: None,
            at_us,
        };
        let ended = Box::pin(self.execute(execution, &mut ledger)).await?;
        ledger.unmade();
        let (state, _, _) = crate::life::end_of(&ended.end);
        let value = match &ended.end {
            Ending::Value(value) => Some(value.clone()),
            _ => None,
        };
        let text = self.report(&grant, run.clone(), ended).await.text;
        Ok(Replay { state, value, text, differences: std::mem::take(&mut ledger.differences) })
    }
}

pub(crate) fn info(row: RunRow) -> RunInfo {
    RunInfo {
        run: row.run,
        state: row.state,
        language: row.language,
        started_at_ms: row.started_at_ms,
        wall_us: row.wall_us,
        calls: row.calls,
        executions: row.executions,
        session: row.session,
        job: row.job,
        questions: row.questions,
    }
}

fn view(info: RunInfo, past: Past) -> RunView {
    let outcomes: HashMap<u32, _> = past.outcomes.iter().map(|o| (o.number, o)).collect();
    let calls = past.asked.iter().map(|call| {
        let outcome = outcomes.get(&call.number);
        CallView {
            number: call.number,
            server: call.server.clone(),
            tool: call.tool.clone(),
            arguments: call.args.clone(),
            start_us: call.start_us,
            took_us: outcome.map(|o| o.at_us.saturating_sub(call.start_us)),
            bytes: outcome.map_or(0, |o| o.body.get().len() as u64),
            ok: outcome.map(|o| o.ok),
            outcome: outcome
                .map_or_else(String::new, |o| clip(o.body.get().to_owned(), OUTCOME_BYTES)),
        }
    });
    let calls_made = calls.collect();
    let begin = past.begin;
    RunView {
        info,
        durability: begin.as_ref().map(|b| b.durability).unwrap_or_default(),
        code: begin.as_ref().map(|b| b.code.clone()).unwrap_or_default(),
        input: begin.and_then(|b| b.input),
        calls_made,
        logs: past.logs,
    }
}

/// Whether two JSON texts say the same.
pub(crate) fn alike(left: &RawValue, right: &RawValue) -> bool {
    let read = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
    read(left) == read(right)
}
