//! Schedules: jobs that come again and again.

use crate::Shared;
use crate::jobs::Order;
use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};
use narrows_store::{NewJob, Schedule};
use narrows_types::fault::clip;
use narrows_types::{Answer, Fault, JobId, JobInfo, JobOptions, Principal};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often due schedules are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Schedules of one principal.
const SCHEDULES_MAX: usize = 100;
/// Characters of a cron line.
const CRON_MAX: usize = 100;

/// What a schedule's record says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    cron: String,
    order: Order,
    options: JobOptions,
    max_attempts: u32,
    made_at_ms: u64,
}

impl Shared {
    /// A schedule of jobs like this one.
    pub(crate) async fn schedule(
        &self,
        principal: &Principal,
        job: NewJob,
        cron: &str,
        options: &JobOptions,
    ) -> Result<Answer, Fault> {
        let now = crate::effects::now_ms();
        let due_ms = next(cron, now)?;
        if self.store.schedules(Some(&principal.name)).await?.len() >= SCHEDULES_MAX {
            let message = format!("there are {SCHEDULES_MAX} schedules, the most there may be");
            return Err(Fault::invalid(message).hint("`narrows job unschedule` removes one"));
        }
        let order = serde_json::from_slice(&job.body).map_err(|e| Fault::bug(e.to_string()))?;
        let plan = Plan {
            cron: cron.to_owned(),
            order,
            options: options.clone(),
            max_attempts: job.max_attempts,
            made_at_ms: now,
        };
        let schedule = Schedule {
            id: crate::effects::random_id("cron")?,
            principal: principal.name.clone(),
            body: serde_json::to_string(&plan).map_err(|e| Fault::bug(e.to_string()))?,
            due_ms,
            version: 0,
        };
        self.store.put_schedule(&schedule).await?;
        Ok(Answer::Job(Box::new(info(&schedule, &plan))))
    }

    pub(crate) async fn schedules(&self, principal: &Principal) -> Result<Vec<JobInfo>, Fault> {
        let all = self.store.schedules(Some(&principal.name)).await?;
        let told = |schedule: &Schedule| {
            serde_json::from_str(&schedule.body).ok().map(|plan: Plan| info(schedule, &plan))
        };
        Ok(all.iter().filter_map(told).collect())
    }

    /// Enqueues the jobs of schedules that are due, until it is told to stop. Any number of replicas
    /// may do so: of each due time there is one job.
    pub(crate) async fn fill(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(fault) = self.fill_once().await {
                tracing::warn!("schedules were not looked at: {fault}");
            }
        }
    }

    async fn fill_once(&self) -> Result<(), Fault> {
        let now = crate::effects::now_ms();
        for mut schedule in self.store.schedules(None).await? {
            if schedule.due_ms > now {
                return Ok(());
            }
            let Ok(plan) = serde_json::from_str::<Plan>(&schedule.body) else { continue };
            // Times that were missed while nobody looked are one job, not many.
            let due = schedule.due_ms;
            schedule.due_ms = next(&plan.cron, now)?;
            // Its name says which time it is for, so it is one job whoever enqueues it; and it is
            // there before the schedule goes on.
            let id = format!("job_{}_{due}", schedule.id.trim_start_matches("cron_"));
            let run = narrows_types::RunId(format!("run_{}_{due}", schedule.id));
            let order = Order { run, ..plan.order };
            let job = NewJob {
                id,
                principal: schedule.principal.clone(),
                tenant: schedule.principal.clone(),
                priority: plan.options.priority,
                delay_ms: plan.options.delay_ms,
                max_attempts: plan.max_attempts,
                body: serde_json::to_vec(&order).map_err(|e| Fault::bug(e.to_string()))?,
                running: None,
            };
            self.store.enqueue(vec![job]).await?;
            self.store.put_schedule(&schedule).await?;
        }
        Ok(())
    }
}

/// Unix milliseconds of the first time after `after_ms`, in UTC.
fn next(cron: &str, after_ms: u64) -> Result<u64, Fault> {
    let shown = clip(cron.to_owned(), CRON_MAX);
    let wrong = |why: String| {
        Fault::invalid(format!("cron line `{shown}`: {why}"))
            .hint("five fields: minute hour day month weekday, as in `*/5 * * * *`; UTC")
    };
    if cron.len() > CRON_MAX {
        return Err(wrong(format!("longer than {CRON_MAX} characters")));
    }
    let line = Cron::from_str(cron).map_err(|e| wrong(e.to_string()))?;
    let after = i64::try_from(after_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let after = after.ok_or_else(|| Fault::bug("the clock is wrong"))?.to_zoned(TimeZone::UTC);
    let next = line.find_next_occurrence(&after, false).map_err(|e| wrong(e.to_string()))?;
    u64::try_from(next.timestamp().as_millisecond()).map_err(|e| wrong(e.to_string()))
}

fn info(schedule: &Schedule, plan: &Plan) -> JobInfo {
    JobInfo {
        job: JobId(schedule.id.clone()),
        state: "scheduled".to_owned(),
        work: crate::jobs::described(&plan.order.work),
        attempt: 0,
        max_attempts: plan.max_attempts,
        priority: plan.options.priority,
        created_at_ms: plan.made_at_ms,
        visible_at_ms: schedule.due_ms,
        finished_at_ms: None,
        fraction: None,
        message: String::new(),
        run: None,
        questions: Vec::new(),
        result: None,
        error: String::new(),
        cron: Some(plan.cron.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn cron_lines_say_when() {
        // 2026-01-01T00:00:30Z
        let now = 1_767_225_630_000;
        assert_eq!(next("*/5 * * * *", now).unwrap(), 1_767_225_900_000);
        assert_eq!(next("0 12 * * *", now).unwrap(), 1_767_268_800_000);
        for wrong in ["", "* * *", "61 * * * *", "every day", &"* ".repeat(100)] {
            let fault = next(wrong, now).unwrap_err();
            assert!(fault.to_string().contains("five fields"), "{wrong}: {fault}");
        }
    }
}
