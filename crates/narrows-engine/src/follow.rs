//! Runs in the foreground: admitted, and turned into jobs where they outlive it.

use crate::admit::Grant;
use crate::call::CallContext;
use crate::jobs::outcome;
use crate::life::Belongs;
use crate::{Events, Shared};
use narrows_store::{Beat, Outcome, Pulse, RunRow, Settle, Taken};
use narrows_types::{
    Answer, CallAsk, Client, Durability, Fault, JobId, JobOptions, JobWork, Principal, RunAsk,
    RunEnd, RunReport, ToolResult,
};
use narrows_upstream::Caller;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How often the lease of a run that became a job is prolonged.
const BEAT: Duration = Duration::from_millis(400);

impl Shared {
    /// Admits a run, within what its session allows.
    pub(crate) async fn admit_run(
        &self,
        principal: &Principal,
        wait: Option<Duration>,
        ask: &RunAsk,
    ) -> Result<Grant, Fault> {
        let config = Arc::clone(&self.settings.borrow());
        let mut allowed = config.limits.clone();
        if let Some(session) = &ask.session {
            self.enter_session(principal, session, &mut allowed).await?;
        }
        let tighten = |limits: &mut narrows_types::Limits| {
            limits.calls = limits.calls.min(allowed.calls);
            if allowed.wall_ms < config.limits.wall_ms {
                limits.wall_ms = limits.wall_ms.min(allowed.wall_ms);
            }
        };
        self.gate.admit(&config, principal.clone(), wait, ask, tighten).await
    }

    /// One call without a program.
    pub(crate) async fn call_directly(
        self: &Arc<Self>,
        principal: &Principal,
        (wait, client): (Option<Duration>, &Client),
        call: CallAsk,
        events: Option<Events>,
    ) -> Result<ToolResult, Fault> {
        let longest = self.settings.borrow().call_wait;
        let deadline = Instant::now() + wait.unwrap_or(longest).min(longest);
        let _place = self.gate.place(deadline).await?;
        let snapshot = self.knowing(principal, [call.server.as_str()], deadline).await;
        let context = CallContext {
            snapshot: &snapshot,
            principal,
            running: None,
            deadline,
            progress: events,
            caller: Caller::of(&principal.name, client.session),
            rounds: None,
            consented: false,
        };
        let called = self.invoke(context, &call.server, &call.tool, &call.arguments).await?;
        Ok(called.result)
    }

    /// Carries a run out for a caller who can follow a job: if it outlives its time in the foreground,
    /// the caller gets the job's handle, and the run goes on.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        principal: Principal,
        wait: Option<Duration>,
        ask: RunAsk,
        events: Option<Events>,
    ) -> Result<Answer, Fault> {
        let config = Arc::clone(&self.settings.borrow());
        let foreground = Duration::from_millis(
            ask.timeout_ms.unwrap_or(config.limits.wall_ms).min(config.limits.wall_ms),
        );
        let foreground = foreground.min(wait.unwrap_or(foreground));
        let durability = ask.durability.unwrap_or(config.durability);
        if durability == Durability::Off || config.jobs.wall <= foreground {
            let report = self.run(principal, wait, ask, events).await?;
            return Ok(Answer::Run(Box::new(report)));
        }
        let until = Instant::now() + foreground;
        let whole = RunAsk { timeout_ms: None, ..ask.clone() };
        let grant = self.admit_long(&principal, config.jobs.wall, &whole).await?;
        let belongs = Belongs { job: None, session: ask.session.clone() };
        let run = crate::effects::run_id()?;
        let mut life = Self::begin(run, grant, whole, durability, belongs)?;
        life.events = events;
        let (run, given) = (life.row.run.clone(), Arc::clone(&life.given));
        let (done, mut report) = oneshot::channel();
        let own = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            // Who waited may have gone on to the job.
            let _gone = done.send(Box::pin(own.carry_out(life)).await);
        });
        let task = AbortOnDropHandle::new(task);
        tokio::select! {
            report = &mut report => {
                let gone = |_| Fault::bug("the run's task ended without a word");
                return report.map_err(gone)?.map(|report| Answer::Run(Box::new(report)));
            }
            () = tokio::time::sleep_until(until) => {}
        }
        let lease = config.jobs.lease;
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let taken = Taken { worker: "foreground".to_owned(), lease_ms };
        let (work, options) = (JobWork::Resume { run: run.clone() }, JobOptions::default());
        let (row, _) = self.new_job(&principal, work, &options, Some(taken)).await?;
        let job = JobId(row.id.clone());
        self.store.enqueue(vec![row]).await?;
        // What the run writes from now on says so too.
        let _first = given.set(job.clone());
        let belongs = |row: &mut RunRow| row.job.replace(job.clone()).as_ref() != Some(&job);
        if let Err(fault) = self.change_row(&principal.name, &run, belongs).await {
            tracing::warn!(%run, "its row does not name its job: {fault}");
        }
        let own = Arc::clone(self);
        let kept = job.clone();
        self.tasks.spawn(async move { own.keep(kept, task, report, lease_ms).await });
        self.job(&principal, &job).await.map(|info| Answer::Job(Box::new(info)))
    }

    /// A run that may take as long as a job.
    pub(crate) async fn admit_long(
        &self,
        principal: &Principal,
        wall: Duration,
        ask: &RunAsk,
    ) -> Result<Grant, Fault> {
        let mut config = (**self.settings.borrow()).clone();
        config.limits.wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let mut allowed = config.limits.clone();
        if let Some(session) = &ask.session {
            self.enter_session(principal, session, &mut allowed).await?;
        }
        let tighten = |limits: &mut narrows_types::Limits| {
            limits.calls = limits.calls.min(allowed.calls);
            limits.wall_ms = limits.wall_ms.min(allowed.wall_ms);
        };
        self.gate.admit(&config, principal.clone(), None, ask, tighten).await
    }

    /// Keeps the lease of a run that became a job, until it has ended.
    async fn keep(
        self: Arc<Self>,
        job: JobId,
        task: AbortOnDropHandle<()>,
        mut report: oneshot::Receiver<Result<RunReport, Fault>>,
        lease_ms: u64,
    ) {
        let id = job.as_str().to_owned();
        let outcome = loop {
            tokio::select! {
                told = &mut report => break self.released(told.ok()),
                () = tokio::time::sleep(BEAT) => {
                    let beat = Beat { id: id.clone(), attempt: 1, progress: None };
                    match self.store.beat(vec![beat], lease_ms).await.as_deref() {
                        Ok([Pulse::Cancel]) => {
                            self.run_cancelled(&id).await;
                            break Outcome::Cancelled;
                        }
                        Ok([Pulse::Lost]) => return,
                        // Without a beat the lease runs out, and somebody goes on with it.
                        Ok(_) | Err(_) => {}
                    }
                }
                () = self.stop.cancelled() => break Outcome::Released,
            }
        };
        drop(task);
        if let Err(e) = self.store.settle(vec![Settle { id, attempt: 1, outcome }]).await {
            tracing::warn!("how a job ended was not written down: {e}");
        }
    }

    /// How a run that became a job ended; without a report somebody else goes on with it.
    fn released(&self, report: Option<Result<RunReport, Fault>>) -> Outcome {
        match report {
            None => Outcome::Released,
            Some(Ok(report)) => {
                let lost = matches!(report.end, RunEnd::Lost { .. });
                if lost && self.stop.is_cancelled() {
                    Outcome::Released
                } else {
                    outcome(report, 1)
                }
            }
            Some(Err(fault)) => Outcome::Failed { error: fault.to_string(), retry_ms: Some(1_000) },
        }
    }

    /// Forgets jobs that have been over for long.
    pub(crate) async fn forget_jobs(&self) {
        if let Err(e) = self.store.forget_old_jobs().await {
            tracing::warn!("jobs that are over were not forgotten: {e}");
        }
    }
}
