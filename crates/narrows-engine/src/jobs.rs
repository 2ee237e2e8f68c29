//! Jobs: what is done in the background, and what is asked of the queue.

use crate::life::{Belongs, ENDED};
use crate::{Events, Shared};
use narrows_store::{JobFilter, JobRow, JobState, NewJob, Outcome, RunRow, Taken};
use narrows_types::{
    Answer, Asked, Durability, Fault, JobId, JobInfo, JobOptions, JobWork, JobsAsk, Kind, Language,
    LogLine, Origin, Principal, Retry, RunAsk, RunEnd, RunId, RunReport, RunState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a job may be begun at most.
const ATTEMPTS_MAX: u32 = 100;
/// The longest delay of a job.
const DELAY_MS_MAX: u64 = 31_536_000_000;
/// Jobs in one list.
const LIST_MAX: usize = 1_000;
/// How long one request waits for a job at most.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// How often a job that is waited for is looked at, should its end not be heard.
const LOOK: Duration = Duration::from_millis(500);
/// The first pause before a job is begun again, and the longest.
const BACKOFF_MS: (u64, u64) = (1_000, 300_000);

/// What a job's row says that is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) work: JobWork,
    /// The run that does it, the same at every attempt.
    pub(crate) run: RunId,
}

/// The progress of a job, as its row has it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fraction: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// What it waits for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) questions: Vec<Asked>,
}

impl Shared {
    pub(crate) async fn jobs(
        self: &Arc<Self>,
        principal: &Principal,
        ask: JobsAsk,
        deadline: Option<Duration>,
    ) -> Result<Answer, Fault> {
        match ask {
            JobsAsk::Submit { work, options } => self.submit(principal, *work, options).await,
            JobsAsk::List { limit, state } => {
                let state = state.as_deref().map(state_named).transpose()?;
                let principal = Some(principal.name.clone());
                let limit = limit.min(LIST_MAX);
                let filter = JobFilter { principal, state, after: None, limit };
                let rows = self.store.jobs(&filter).await?;
                Ok(Answer::Jobs(rows.iter().map(info).collect()))
            }
            JobsAsk::Show { job, wait_ms } => {
                // Whoever is given less time is answered before that is over.
                let longest = deadline.map_or(WAIT_MAX, |deadline| deadline * 9 / 10);
                let wait = Duration::from_millis(wait_ms).min(WAIT_MAX).min(longest);
                let info = self.awaited(principal, &job, wait).await?;
                Ok(Answer::Job(Box::new(info)))
            }
            JobsAsk::Logs { job } => Ok(Answer::Logs(self.job_logs(principal, &job).await?)),
            JobsAsk::Cancel { job } => {
                self.own_job(principal, &job).await?;
                self.store.cancel_job(job.as_str()).await?;
                let row = self.own_job(principal, &job).await?;
                // One that is carried out hears of it by its lease.
                if row.state == JobState::Cancelled {
                    self.run_cancelled(job.as_str()).await;
                }
                Ok(Answer::Job(Box::new(info(&row))))
            }
            JobsAsk::Retry { job } => {
                let row = self.own_job(principal, &job).await?;
                if matches!(row.state, JobState::Done | JobState::Running) {
                    let message = format!("{job} is {}", row.state.name());
                    return Err(Fault::new(Kind::Conflict, Origin::Agent, message)
                        .hint("only a job that is over without a result is begun again"));
                }
                if let Ok(order) = order(&row) {
                    self.begin_anew(principal, &order.run).await?;
                }
                self.store.revive_job(job.as_str(), row.max_attempts).await?;
                self.job(principal, &job).await.map(|info| Answer::Job(Box::new(info)))
            }
            JobsAsk::Schedules => Ok(Answer::Jobs(self.schedules(principal).await?)),
            JobsAsk::Unschedule { schedule } => {
                self.store.delete_schedule(&principal.name, schedule.as_str()).await?;
                Ok(Answer::Done)
            }
        }
    }

    /// A run whose journal leads to the same end again is forgotten before its job is retried; one
    /// that was cancelled can be gone on with.
    async fn begin_anew(&self, principal: &Principal, run: &RunId) -> Result<(), Fault> {
        use narrows_types::RunState::{Cancelled, Deadlock, Diverged, Rejected, Threw};
        let Ok(found) = self.store.run(&principal.name, run).await else { return Ok(()) };
        match found.row.state {
            Threw | Rejected | Diverged | Deadlock => {
                self.store.forget_run(&principal.name, run).await?;
                Ok(())
            }
            Cancelled => {
                let open = self.past(principal, run).await?.open_questions();
                let again = |row: &mut RunRow| {
                    row.state = if open.is_empty() { RunState::Lost } else { RunState::Paused };
                    row.questions.clone_from(&open);
                    true
                };
                self.change_row(&principal.name, run, again).await
            }
            _ => Ok(()),
        }
    }

    /// A new job, checked as far as it can be before it runs.
    pub(crate) async fn submit(
        self: &Arc<Self>,
        principal: &Principal,
        work: JobWork,
        options: JobOptions,
    ) -> Result<Answer, Fault> {
        let (row, _) = self.new_job(principal, work, &options, None).await?;
        if let Some(cron) = &options.cron {
            return self.schedule(principal, row, cron, &options).await;
        }
        let job = JobId(row.id.clone());
        self.store.enqueue(vec![row]).await?;
        self.job(principal, &job).await.map(|info| Answer::Job(Box::new(info)))
    }

    pub(crate) async fn new_job(
        &self,
        principal: &Principal,
        work: JobWork,
        options: &JobOptions,
        running: Option<Taken>,
    ) -> Result<(NewJob, RunId), Fault> {
        let config = Arc::clone(&self.settings.borrow());
        let run = match &work {
            JobWork::Run(ask) if ask.state => return Err(crate::state::no_job()),
            JobWork::Resume { run } => {
                let row = self.store.run(&principal.name, run).await?.row;
                if running.is_none() && row.state == RunState::Running {
                    self.live.rests(run)?;
                }
                run.clone()
            }
            JobWork::Run(ask) => {
                crate::admit::clamp(&config, None, ask)?;
                crate::effects::run_id()?
            }
            JobWork::Intent { name, .. } => {
                self.store.intent(&principal.name, name).await?;
                crate::effects::run_id()?
            }
            JobWork::Call(call) => {
                let snapshot = self.current(principal).await;
                snapshot.catalog.resolve(&call.server, &call.tool)?;
                crate::effects::run_id()?
            }
        };
        let max_attempts = options.max_attempts.unwrap_or(config.jobs.attempts);
        if max_attempts == 0 || max_attempts > ATTEMPTS_MAX {
            let message = format!("`maxAttempts` is {max_attempts}; give 1 to {ATTEMPTS_MAX}");
            return Err(Fault::invalid(message));
        }
        if options.delay_ms > DELAY_MS_MAX {
            let message = format!("`delayMs` is {}; the most is {DELAY_MS_MAX}", options.delay_ms);
            return Err(Fault::invalid(message));
        }
        let order = Order { work, run: run.clone() };
        let body = serde_json::to_vec(&order).map_err(|e| Fault::bug(e.to_string()))?;
        let id = crate::effects::random_id("job")?;
        let row = NewJob {
            id,
            principal: principal.name.clone(),
            tenant: principal.name.clone(),
            priority: options.priority,
            delay_ms: options.delay_ms,
            max_attempts,
            body,
            running,
        };
        Ok((row, run))
    }

    /// A job of this principal's. Somebody else's does not exist.
    async fn own_job(&self, principal: &Principal, job: &JobId) -> Result<JobRow, Fault> {
        let row = self.store.job(job.as_str()).await?;
        row.filter(|row| row.principal == principal.name).ok_or_else(|| {
            let id = narrows_types::fault::clip(job.as_str().to_owned(), 64);
            Fault::not_found(format!("job {id} does not exist or was forgotten"))
                .hint("`narrows job list` shows those that exist")
        })
    }

    pub(crate) async fn job(&self, principal: &Principal, job: &JobId) -> Result<JobInfo, Fault> {
        Ok(info(&self.own_job(principal, job).await?))
    }

    /// A job once it is over or paused, or as it stands when the time is over.
    async fn awaited(
        &self,
        principal: &Principal,
        job: &JobId,
        wait: Duration,
    ) -> Result<JobInfo, Fault> {
        let until = Instant::now() + wait;
        let mut wakes = self.store.job_wakes();
        loop {
            let row = self.own_job(principal, job).await?;
            let rests = row.state.over() || row.state == JobState::Paused;
            if rests || Instant::now() >= until {
                return Ok(info(&row));
            }
            let look = until.min(Instant::now() + LOOK);
            // Whether it was heard or only time that passed: it is looked at again.
            let _heard = tokio::time::timeout_at(look, wakes.changed()).await;
        }
    }

    async fn job_logs(&self, principal: &Principal, job: &JobId) -> Result<Vec<LogLine>, Fault> {
        let row = self.own_job(principal, job).await?;
        let order = order(&row)?;
        Ok(self.past(principal, &order.run).await?.logs)
    }

    /// Notes that a job's run is not gone on with.
    pub(crate) async fn run_cancelled(&self, job: &str) {
        let cancelled = async {
            let Some(row) = self.store.job(job).await? else { return Ok(()) };
            let cancel = |row: &mut RunRow| {
                let open = !ENDED.contains(&row.state);
                if open {
                    row.state = RunState::Cancelled;
                    row.questions.clear();
                }
                open
            };
            self.change_row(&row.principal, &order(&row)?.run, cancel).await
        };
        if let Err(fault) = cancelled.await {
            tracing::debug!(job, "its run is not marked as cancelled: {fault}");
        }
    }

    /// Does what a job says, from where the last attempt ended.
    pub(crate) async fn attempt(self: &Arc<Self>, row: &JobRow, events: Option<Events>) -> Outcome {
        let principal = Principal { name: row.principal.clone() };
        let done = async {
            let order = order(row)?;
            let job = JobId(row.id.clone());
            self.carry_order(&principal, order, job, events).await
        };
        match done.await {
            Ok(report) => outcome(report, row.attempt),
            Err(fault) => {
                let again = !matches!(
                    fault.kind,
                    Kind::Invalid | Kind::NotFound | Kind::Forbidden | Kind::Limit
                ) || fault.retry != Retry::Never;
                let retry_ms = again.then(|| backoff_ms(row.attempt));
                Outcome::Failed { error: fault.to_string(), retry_ms }
            }
        }
    }

    async fn carry_order(
        self: &Arc<Self>,
        principal: &Principal,
        order: Order,
        job: JobId,
        events: Option<Events>,
    ) -> Result<RunReport, Fault> {
        let Order { work, run } = order;
        let wall = self.settings.borrow().jobs.wall;
        let known = self.store.run(&principal.name, &run).await;
        if known.is_ok() {
            // It may have ended when its worker died, before its job was told.
            return match self.found_again(principal, &run).await? {
                Ok(mut found) => {
                    found.row.job = Some(job);
                    let grant = self.admit_long(principal, wall, &found.ask()).await?;
                    self.carry_out(found.go_on(grant, events)).await
                }
                Err(open) => Ok(crate::resume::still_paused(run, open)),
            };
        }
        let ask = self.program_of(principal, work).await?;
        let session = ask.session.clone();
        let grant = self.admit_long(principal, wall, &ask).await?;
        let durability = ask.durability.unwrap_or(Durability::Sync);
        let durability = if durability == Durability::Off { Durability::Async } else { durability };
        let belongs = Belongs { job: Some(job), session };
        let mut life = Self::begin(run, grant, ask, durability, belongs)?;
        life.events = events;
        self.carry_out(life).await
    }

    /// The program that does a job's work.
    async fn program_of(&self, principal: &Principal, work: JobWork) -> Result<RunAsk, Fault> {
        match work {
            JobWork::Run(ask) => Ok(ask),
            JobWork::Intent { name, input } => self.intent_program(principal, &name, input).await,
            JobWork::Call(call) => {
                let snapshot = self.current(principal).await;
                let found = snapshot.catalog.resolve(&call.server, &call.tool)?;
                let (server, tool) = (&found.server.ident, &found.tool.ident);
                let code = format!("return await {server}.{tool}(input)");
                let language = Language::TypeScript;
                Ok(RunAsk { code, language, input: Some(call.arguments), ..RunAsk::default() })
            }
            JobWork::Resume { run } => {
                Err(Fault::not_found(format!("{run} does not exist or was forgotten")))
            }
        }
    }
}

fn state_named(name: &str) -> Result<JobState, Fault> {
    JobState::parse(name).ok_or_else(|| {
        let all: Vec<&str> = JobState::ALL.iter().map(|state| state.name()).collect();
        Fault::invalid(format!("no state {name}")).hint(format!("there are: {}", all.join(", ")))
    })
}

pub(crate) fn order(row: &JobRow) -> Result<Order, Fault> {
    serde_json::from_slice(&row.body)
        .map_err(|e| Fault::invalid(format!("what {} is to do is unreadable: {e}", row.id)))
}

/// How an attempt ended whose run ended.
pub(crate) fn outcome(report: RunReport, attempt: u32) -> Outcome {
    match &report.end {
        RunEnd::Paused { questions } => {
            let told = Told { questions: questions.clone(), ..Told::default() };
            Outcome::Paused(serde_json::to_string(&told).unwrap_or_default())
        }
        RunEnd::Returned(_) => match serde_json::to_vec(&report) {
            Ok(result) => Outcome::Done(result),
            Err(e) => Outcome::Failed { error: e.to_string(), retry_ms: None },
        },
        RunEnd::Lost { .. } => {
            Outcome::Failed { error: report.text, retry_ms: Some(backoff_ms(attempt)) }
        }
        _ => Outcome::Failed { error: report.text, retry_ms: None },
    }
}

/// Twice as long each time, and somewhere between half of it and all of it.
fn backoff_ms(attempt: u32) -> u64 {
    let (first, longest) = BACKOFF_MS;
    let whole = first.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(longest);
    let chance = crate::effects::seed().unwrap_or(0);
    whole / 2 + chance % (whole / 2 + 1)
}

pub(crate) fn described(work: &JobWork) -> String {
    match work {
        JobWork::Run(ask) => format!("run ({})", ask.language),
        JobWork::Intent { name, .. } => format!("intent {name}"),
        JobWork::Call(call) => format!("call {}.{}", call.server, call.tool),
        JobWork::Resume { run } => format!("resume {run}"),
    }
}

pub(crate) fn info(row: &JobRow) -> JobInfo {
    let told: Told = serde_json::from_str(&row.progress).unwrap_or_default();
    let order = order(row).ok();
    let work = order.as_ref().map_or_else(String::new, |order| described(&order.work));
    let result = String::from_utf8(row.result.clone()).ok();
    JobInfo {
        job: JobId(row.id.clone()),
        state: row.state.name().to_owned(),
        work,
        attempt: row.attempt,
        max_attempts: row.max_attempts,
        priority: row.priority,
        created_at_ms: row.created_ms,
        visible_at_ms: row.visible_ms,
        finished_at_ms: (row.finished_ms > 0).then_some(row.finished_ms),
        fraction: told.fraction,
        message: told.message,
        run: order.map(|order| order.run),
        questions: if row.state == JobState::Paused { told.questions } else { Vec::new() },
        result: result.and_then(|text| RawValue::from_string(text).ok()),
        error: row.error.clone(),
        cron: None,
    }
}
