//! Answers to the questions of paused runs, and runs that go on.

use crate::entry::Entry;
use crate::journal::taken;
use crate::life::{TRIES, has_ended};
use crate::{Events, Shared};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use narrows_catalog::shape;
use narrows_store::{JobState, Note, RunRow};
use narrows_types::{
    Action, Answer, Asked, AskedKind, Bill, Fault, JobOptions, JobWork, Kind, Origin, Principal,
    Response, RunEnd, RunId, RunReport, RunState, Usage, nearest,
};
use std::sync::Arc;
use std::time::Duration;

/// Answers at once.
const ANSWERS_MAX: usize = 1_000;
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 256 << 10;

impl Shared {
    /// Takes answers, and goes on with the run once every question has one.
    pub(crate) async fn resume(
        self: &Arc<Self>,
        principal: Principal,
        (run, answers, background): (RunId, Vec<Response>, bool),
        wait: Option<Duration>,
        events: Option<Events>,
    ) -> Result<Answer, Fault> {
        if answers.len() > ANSWERS_MAX {
            return Err(Fault::invalid(format!("more than {ANSWERS_MAX} answers at once")));
        }
        let row = self.store.run(&principal.name, &run).await?.row;
        self.goes_on(&row).await?;
        let open = if answers.is_empty() {
            row.questions
        } else {
            self.answer(&principal, &run, answers).await?
        };
        let row = self.store.run(&principal.name, &run).await?.row;
        if !open.is_empty() {
            return Ok(Answer::Run(Box::new(still_paused(run, open))));
        }
        if let Some(job) = &row.job {
            // Its run's journal is what it goes on from; one that pauses just now hears of it too.
            self.store.revive_job(job.as_str(), 1).await?;
            return self.job(&principal, job).await.map(|info| Answer::Job(Box::new(info)));
        }
        if background {
            let options = JobOptions::default();
            return self.submit(&principal, JobWork::Resume { run }, options).await;
        }
        match self.found(&principal, &run).await? {
            Ok(found) => {
                let grant = self.admit_run(&principal, wait, &found.ask()).await?;
                let life = found.go_on(grant, events);
                Box::pin(self.carry_out(life)).await.map(|report| Answer::Run(Box::new(report)))
            }
            Err(open) => Ok(Answer::Run(Box::new(still_paused(run, open)))),
        }
    }

    /// Faults if nobody can go on with a run: it is carried out already, or it was cancelled.
    async fn goes_on(&self, row: &RunRow) -> Result<(), Fault> {
        let Some(job) = &row.job else {
            // A run that pauses or ends says so before it lets go.
            return if row.state == RunState::Running { self.live.rests(&row.run) } else { Ok(()) };
        };
        let job = self.store.job(job.as_str()).await?;
        if row.state == RunState::Cancelled || job.is_some_and(|j| j.state == JobState::Cancelled) {
            let fault = has_ended(&row.run, RunState::Cancelled);
            return Err(fault.hint("its job was cancelled; `narrows job retry` begins it again"));
        }
        Ok(())
    }

    /// Answers to questions of runs within are theirs, too.
    fn pass_down<'a>(
        &'a self,
        principal: &'a Principal,
        run: &'a RunId,
        answers: &'a [Response],
    ) -> BoxFuture<'a, Result<(), Fault>> {
        self.pass_each_down(principal, run, answers).boxed()
    }

    async fn pass_each_down(
        &self,
        principal: &Principal,
        run: &RunId,
        answers: &[Response],
    ) -> Result<(), Fault> {
        for answer in answers {
            let Some((call, id)) = answer.id.split_once('.') else { continue };
            let within = RunId(format!("{run}.{}", call.trim_start_matches('q')));
            let answer = Response { id: id.to_owned(), ..answer.clone() };
            match self.answer(principal, &within, vec![answer]).await {
                // It was told before.
                Err(fault) if matches!(fault.kind, Kind::Conflict | Kind::NotFound) => {}
                told => drop(told?),
            }
        }
        Ok(())
    }

    /// Writes answers down. Gives the questions that are still open.
    async fn answer(
        &self,
        principal: &Principal,
        run: &RunId,
        mut answers: Vec<Response>,
    ) -> Result<Vec<Asked>, Fault> {
        for _ in 0..TRIES {
            let found = self.store.run(&principal.name, run).await?;
            if found.row.state == RunState::Cancelled {
                return Err(has_ended(run, RunState::Cancelled));
            }
            let past = self.past(principal, run).await?;
            let open = past.open_questions();
            if open.is_empty() {
                let message =
                    format!("{run} waits for no answer: it is {}", found.row.state.name());
                return Err(Fault::new(Kind::Conflict, Origin::Agent, message)
                    .hint("`narrows runs show` tells more of it"));
            }
            for answer in &mut answers {
                fits(answer, &open)?;
            }
            let mut row = found.row;
            row.questions = open;
            row.questions.retain(|asked| !answers.iter().any(|a| a.id == asked.id));
            let left = row.questions.clone();
            let entries = answers.iter().map(|a| serde_json::to_vec(&Entry::Response(a.clone())));
            let entries = entries.collect::<Result<_, _>>();
            let note = Note {
                principal: principal.name.clone(),
                run: run.clone(),
                from: past.entries,
                entries: entries.map_err(|e| Fault::bug(e.to_string()))?,
                row: Some((row, Some(found.version))),
            };
            // First the runs within: until they know, this one still asks.
            self.pass_down(principal, run, &answers).await?;
            if self.store.note(&[note]).await? == [true] {
                return Ok(left);
            }
        }
        Err(taken(run))
    }
}

/// Checks an answer against the open questions, and gives it the id of the only one if it has none.
fn fits(answer: &mut Response, open: &[Asked]) -> Result<(), Fault> {
    if answer.id.is_empty() {
        let [only] = open else {
            let ids: Vec<&str> = open.iter().map(|asked| asked.id.as_str()).collect();
            let message = format!("{} questions are open: {}", open.len(), ids.join(", "));
            return Err(Fault::invalid(message).hint("say with `id` which one is answered"));
        };
        answer.id.clone_from(&only.id);
    }
    let Some(asked) = open.iter().find(|asked| asked.id == answer.id) else {
        let ids: Vec<&str> = open.iter().map(|asked| asked.id.as_str()).collect();
        let fault = Fault::not_found(format!("no open question {}", answer.id));
        return Err(match nearest(&answer.id, ids.iter().copied(), 1).first() {
            Some(near) => fault.hint(format!("did you mean {near}?")),
            None => fault.hint(format!("open are: {}", ids.join(", "))),
        });
    };
    answer.settle(asked);
    if answer.action != Action::Accept {
        return Ok(());
    }
    if answer.by_agent && asked.kind == AskedKind::Approve {
        let message = format!("{} asks for a person's consent, not for an agent's", asked.id);
        return Err(Fault::new(Kind::Forbidden, Origin::Agent, message)
            .hint("a person answers in the client, or with `narrows answer`"));
    }
    let content = answer.content.as_deref().map_or("{}", |content| content.get());
    if content.len() > ANSWER_BYTES_MAX {
        return Err(Fault::invalid(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
    }
    let Some(schema) = &asked.schema else { return Ok(()) };
    narrows_catalog::fits_schema(schema, content)
        .map_err(|why| Fault::invalid(format!("the answer to {} does not fit: {why}", asked.id)))
}

/// The report of a run that still waits.
pub(crate) fn still_paused(run: RunId, questions: Vec<Asked>) -> RunReport {
    let mut report = RunReport {
        run,
        end: RunEnd::Paused { questions },
        logs: Vec::new(),
        logs_dropped: 0,
        shown: Vec::new(),
        calls: Vec::new(),
        usage: Usage::default(),
        bill: Bill::default(),
        text: String::new(),
    };
    report.text = shape::render_run(&report);
    report
}
