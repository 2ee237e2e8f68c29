//! The queue.

use super::link::{Again, Arguments, Link};
use super::records::{page, whose};
use super::scripts::{self, Source};
use super::values::{self, Parts};
use crate::error::StoreError;
use crate::queue::{
    Beat, Claim, Depth, JobFilter, JobRow, JobState, NewJob, Outcome, Pulse, Settle,
};
use redis::Value;

/// Jobs that one call forgets at most.
const FORGET_MAX: u64 = 1_000;
/// Jobs that one claim hands out at most.
const CLAIM_MAX: u32 = 1_000;
/// What an answer is that makes no sense.
const STRANGE: &str = "the answer is not understood; is the prefix used by somebody else?";
/// A job's fields in the order of [`row`].
const FIELDS: [&str; 16] =
    ["id", "p", "t", "st", "a", "m", "pr", "vi", "wk", "c", "pg", "rs", "er", "cr", "fi", "b"];

pub(super) async fn enqueue(link: &Link, jobs: Vec<NewJob>) -> Result<(), StoreError> {
    let mut arguments = Arguments::default();
    for job in jobs {
        arguments.name(&job.id).name(&job.principal).name(&job.tenant);
        arguments.word(&job.priority.to_string()).number(job.delay_ms);
        arguments.number(u64::from(job.max_attempts)).bytes(job.body);
        match job.running {
            Some(taken) => arguments.word(&taken.worker).number(taken.lease_ms),
            None => arguments.word("").word(""),
        };
    }
    if arguments.is_empty() {
        return Ok(());
    }
    link.run("enqueue jobs", Again::Safe, &scripts::ENQUEUE, arguments).await?;
    Ok(())
}

pub(super) async fn claim(link: &Link, claim: &Claim) -> Result<Vec<JobRow>, StoreError> {
    let what = "claim jobs";
    let mut arguments = Arguments::default();
    arguments.word(&claim.worker).number(u64::from(claim.count.min(CLAIM_MAX)));
    arguments.number(claim.lease_ms).number(u64::from(claim.tenant_running_max));
    let answer = link.run(what, Again::Unheard, &scripts::CLAIM, arguments).await?;
    let rows = Parts::of(answer).and_then(|parts| parts.each(row));
    rows.ok_or_else(|| link.failed(what, STRANGE))
}

fn row(value: Value) -> Option<JobRow> {
    let mut parts = Parts::of(value)?;
    Some(JobRow {
        id: parts.text()?,
        principal: parts.text()?,
        tenant: parts.text()?,
        state: JobState::parse(&parts.text()?)?,
        attempt: parts.number()?.try_into().ok()?,
        max_attempts: parts.number()?.try_into().ok()?,
        priority: parts.text()?.parse().ok()?,
        visible_ms: parts.number()?,
        worker: parts.text()?,
        cancel: parts.number()? == 1,
        progress: parts.text()?,
        result: parts.bytes()?,
        error: parts.text()?,
        created_ms: parts.number()?,
        finished_ms: parts.number()?,
        body: parts.bytes()?,
    })
}

pub(super) async fn beat(
    link: &Link,
    beats: Vec<Beat>,
    lease_ms: u64,
) -> Result<Vec<Pulse>, StoreError> {
    let what = "prolong leases";
    let mut arguments = Arguments::default();
    arguments.number(lease_ms);
    for beat in beats {
        arguments.name(&beat.id).number(u64::from(beat.attempt));
        match beat.progress {
            Some(progress) => arguments.word("1").bytes(progress.into_bytes()),
            None => arguments.word("0").word(""),
        };
    }
    let answer = link.run(what, Again::Safe, &scripts::BEAT, arguments).await?;
    let pulses = Parts::of(answer).and_then(|parts| parts.each(pulse));
    pulses.ok_or_else(|| link.failed(what, STRANGE))
}

fn pulse(value: Value) -> Option<Pulse> {
    match values::bytes(value)?.as_slice() {
        b"held" => Some(Pulse::Held),
        b"cancel" => Some(Pulse::Cancel),
        b"lost" => Some(Pulse::Lost),
        _ => None,
    }
}

pub(super) async fn settle(link: &Link, ends: Vec<Settle>) -> Result<Vec<bool>, StoreError> {
    let what = "settle jobs";
    let mut arguments = Arguments::default();
    for end in ends {
        arguments.name(&end.id).number(u64::from(end.attempt));
        match end.outcome {
            Outcome::Done(result) => arguments.word("done").bytes(result).word(""),
            Outcome::Failed { error, retry_ms } => {
                arguments.word("failed").bytes(error.into_bytes());
                match retry_ms {
                    Some(after_ms) => arguments.number(after_ms),
                    None => arguments.word(""),
                }
            }
            Outcome::Paused(question) => {
                arguments.word("paused").bytes(question.into_bytes()).word("")
            }
            Outcome::Cancelled => arguments.word("cancelled").word("").word(""),
            Outcome::Released => arguments.word("released").word("").word(""),
        };
    }
    let answer = link.run(what, Again::Unheard, &scripts::SETTLE, arguments).await?;
    let settled = Parts::of(answer)
        .and_then(|parts| parts.each(|value| values::number(value).map(|made| made == 1)));
    settled.ok_or_else(|| link.failed(what, STRANGE))
}

pub(super) async fn cancel(link: &Link, id: &str) -> Result<bool, StoreError> {
    let mut arguments = Arguments::default();
    arguments.name(id);
    number(link, "cancel a job", Again::Safe, &scripts::CANCEL, arguments).await.map(|n| n == 1)
}

pub(super) async fn revive(link: &Link, id: &str, attempts: u32) -> Result<bool, StoreError> {
    let mut arguments = Arguments::default();
    arguments.name(id).number(u64::from(attempts));
    number(link, "revive a job", Again::Unheard, &scripts::REVIVE, arguments).await.map(|n| n == 1)
}

pub(super) async fn forget(link: &Link, until_ms: u64) -> Result<u64, StoreError> {
    let mut arguments = Arguments::default();
    arguments.number(until_ms).number(FORGET_MAX);
    number(link, "forget jobs", Again::Safe, &scripts::FORGET, arguments).await
}

async fn number(
    link: &Link,
    what: &'static str,
    again: Again,
    source: &Source,
    arguments: Arguments,
) -> Result<u64, StoreError> {
    let answer = link.run(what, again, source, arguments).await?;
    values::number(answer).ok_or_else(|| link.failed(what, STRANGE))
}

pub(super) async fn job(link: &Link, id: &str) -> Result<Option<JobRow>, StoreError> {
    let what = "read a job";
    let mut command = redis::cmd("HMGET");
    command.arg(format!("{}j:{id}", link.address.prefix)).arg(&FIELDS);
    let answer = link.command(what, &command).await?;
    if Parts::of(answer.clone()).and_then(|mut parts| parts.next()) == Some(Value::Nil) {
        return Ok(None);
    }
    row(answer).map(Some).ok_or_else(|| link.failed(what, STRANGE))
}

pub(super) async fn list(link: &Link, filter: &JobFilter) -> Result<Vec<JobRow>, StoreError> {
    let what = "list jobs";
    let mut found: Vec<JobRow> = Vec::new();
    let mut from = filter.after.clone().map(|(created_ms, id)| (created_ms, id.into_bytes()));
    // A script looks at so many jobs only: a page may take several.
    while found.len() < filter.limit {
        let mut arguments = Arguments::default();
        whose(&mut arguments, filter.principal.as_deref())
            .word(filter.state.map_or("", JobState::name))
            .number((filter.limit - found.len()) as u64);
        if let Some((created_ms, id)) = from {
            arguments.number(created_ms).bytes(id);
        }
        let answer = link.run(what, Again::Safe, &scripts::JOBS, arguments).await?;
        let part = page(answer, row).ok_or_else(|| link.failed(what, STRANGE))?;
        found.extend(part.rows);
        let Some(next) = part.next else { break };
        from = Some(next);
    }
    Ok(found)
}

pub(super) async fn depth(link: &Link) -> Result<Depth, StoreError> {
    let what = "count jobs";
    let mut arguments = Arguments::default();
    for state in JobState::ALL {
        arguments.word(state.name());
    }
    let answer = link.run(what, Again::Safe, &scripts::DEPTH, arguments).await?;
    let counts = Parts::of(answer).and_then(|parts| parts.each(values::number));
    let counts = counts.and_then(|counts| counts.try_into().ok());
    counts.map(Depth).ok_or_else(|| link.failed(what, STRANGE))
}
