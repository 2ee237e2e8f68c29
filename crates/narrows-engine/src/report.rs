//! An ended run becomes a report that fits its byte budget; what does not fit becomes an artifact.

use crate::Shared;
use crate::admit::Grant;
use crate::run::{Ended, Ending};
use narrows_catalog::shape;
use narrows_types::{Bill, RunEnd, RunId, RunReport, Shaped};
use serde_json::value::RawValue;
use std::time::Duration;

/// The media type of stored values.
pub(crate) const JSON: &str = "application/json";
/// How long an answer waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(2);
/// The part of the budget that logs may take, in hundredths.
const LOGS_SHARE: u64 = 30;
/// Bytes of the budget for the bill, the handle and the labels around what is told.
const FRAME_BYTES: u64 = 160;

impl Shared {
    /// Cuts what a run left to the grant's budget and renders it.
    pub(crate) async fn report(&self, grant: &Grant, run: RunId, ended: Ended) -> RunReport {
        let kept = FRAME_BYTES.saturating_add(ended.trail.shown_text_bytes);
        let told = grant.limits.output_bytes.saturating_sub(kept);
        let budget = usize::try_from(told).unwrap_or(usize::MAX);
        let logs_budget = usize::try_from(told / 100 * LOGS_SHARE).unwrap_or(usize::MAX);
        let Ended { end, trail, usage } = ended;
        let (logs, cut) = shape::fit_logs(trail.logs, logs_budget);
        let logs_bytes: usize = logs.iter().map(|l| l.text.len() + 1).sum();
        let left = budget.saturating_sub(logs_bytes);
        let end = self.cut(grant, end, left).await;
        let received: u64 = trail.calls.iter().map(|c| c.received_bytes).sum();
        let returned = match &end {
            RunEnd::Returned(shaped) => returned_bytes(shaped),
            _ => 0,
        };
        let bill = Bill {
            calls: u32::try_from(trail.calls.len()).unwrap_or(u32::MAX),
            ms: usage.wall_us.div_ceil(1_000),
            kept_bytes: received.saturating_sub(returned),
            cached: u32::try_from(trail.calls.iter().filter(|c| c.cached).count())
                .unwrap_or(u32::MAX),
        };
        let mut calls = trail.calls;
        calls.sort_by_key(|c| c.start_us);
        let mut report = RunReport {
            run,
            end,
            logs,
            logs_dropped: trail.logs_dropped + cut,
            shown: trail.shown,
            calls,
            usage,
            bill,
            text: String::new(),
        };
        report.text = shape::render_run(&report);
        report
    }

    async fn cut(&self, grant: &Grant, end: Ending, budget: usize) -> RunEnd {
        match end {
            Ending::Value(value) => RunEnd::Returned(self.spill(grant, &value, budget).await),
            Ending::Threw(mut error) => {
                error.message = shape::fit_text(&error.message, budget);
                RunEnd::Threw(error)
            }
            Ending::Rejected(findings) => {
                RunEnd::Rejected { findings: shape::fit_findings(findings, budget) }
            }
            Ending::Limit(limit, allowed) => RunEnd::Limit { limit, allowed },
            Ending::Deadlock => RunEnd::Deadlock,
            Ending::Paused(questions) => RunEnd::Paused { questions },
            Ending::Diverged(reason) => {
                RunEnd::Diverged { reason: shape::fit_text(&reason, budget) }
            }
            Ending::Broken(fault) => RunEnd::Lost { reason: fault.to_string() },
            Ending::Lost(_, reason) => RunEnd::Lost { reason: shape::fit_text(&reason, budget) },
        }
    }

    /// A value that does not fit is stored; the report carries its preview, shape and handle.
    async fn spill(&self, grant: &Grant, value: &RawValue, budget: usize) -> Shaped {
        let mut shaped = shape::shape(value, budget);
        if shaped.value.is_some() {
            return shaped;
        }
        let owner = &grant.principal.name;
        let put = self.store.put_artifact(owner, JSON, value.get().as_bytes());
        match tokio::time::timeout(STORE_WAIT, put).await {
            Ok(Ok(handle)) => shaped.artifact = Some(handle),
            Ok(Err(e)) => tracing::warn!("a result of {} bytes was not kept: {e}", shaped.bytes),
            Err(_late) => tracing::warn!("a result was not kept: the store is busy"),
        }
        shaped
    }
}

fn returned_bytes(shaped: &Shaped) -> u64 {
    match &shaped.value {
        Some(value) => value.get().len() as u64,
        None => (shaped.preview.len() + shaped.shape.len()) as u64,
    }
}
