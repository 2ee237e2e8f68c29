//! Jobs and what happens to them.

use super::line::Line;
use crate::queue::{
    Beat, Claim, Depth, JobFilter, JobRow, JobState, NewJob, Outcome, Pulse, Settle,
};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

struct Entry {
    row: JobRow,
    /// Whether it was revived while it ran.
    revived: bool,
}

/// Created, id.
type Birth = (u64, String);

/// Every job.
#[derive(Default)]
pub(super) struct Jobs {
    entries: HashMap<String, Entry>,
    births: BTreeSet<Birth>,
    births_of: HashMap<String, BTreeSet<Birth>>,
    /// Jobs that are over: when, id.
    ends: BTreeSet<(u64, String)>,
    depth: Depth,
    line: Line,
}

impl Jobs {
    pub(super) fn add(&mut self, job: NewJob, now_ms: u64) {
        if self.entries.contains_key(&job.id) {
            return;
        }
        let row = first_row(job, now_ms);
        let birth = (row.created_ms, row.id.clone());
        self.births_of.entry(row.principal.clone()).or_default().insert(birth.clone());
        self.births.insert(birth);
        self.enter(&row, now_ms);
        self.entries.insert(row.id.clone(), Entry { row, revived: false });
    }

    fn enter(&mut self, row: &JobRow, now_ms: u64) {
        self.line.enter(row, now_ms);
        if row.state.over() {
            self.ends.insert((row.finished_ms, row.id.clone()));
        }
        if let Some(count) = self.depth.0.get_mut(row.state as usize) {
            *count += 1;
        }
    }

    fn leave(&mut self, row: &JobRow) {
        self.line.leave(row);
        if row.state.over() {
            self.ends.remove(&(row.finished_ms, row.id.clone()));
        }
        if let Some(count) = self.depth.0.get_mut(row.state as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// Changes a job if it is as the condition wants it, and keeps every order true to it.
    fn change<T>(
        &mut self,
        id: &str,
        now_ms: u64,
        change: impl FnOnce(&mut Entry) -> Option<T>,
    ) -> Option<T> {
        let (id, mut entry) = self.entries.remove_entry(id)?;
        self.leave(&entry.row);
        let value = change(&mut entry);
        self.enter(&entry.row, now_ms);
        self.entries.insert(id, entry);
        value
    }

    pub(super) fn claim(&mut self, claim: &Claim, max: u32, now_ms: u64) -> Vec<JobRow> {
        self.ripen(now_ms);
        let count = claim.count.min(max) as usize;
        let mut taken = Vec::new();
        while taken.len() < count {
            let Some(id) = self.line.next(u64::from(claim.tenant_running_max)) else { break };
            let row = self.change(&id, now_ms, |entry| {
                let row = &mut entry.row;
                if row.state == JobState::Running && row.cancel {
                    end(row, JobState::Cancelled, now_ms);
                    return None;
                }
                row.state = JobState::Running;
                row.attempt += 1;
                row.worker.clone_from(&claim.worker);
                row.visible_ms = now_ms.saturating_add(claim.lease_ms);
                entry.revived = false;
                Some(entry.row.clone())
            });
            taken.extend(row);
        }
        taken
    }

    /// Puts every job whose time has come among the ready ones, or ends it.
    fn ripen(&mut self, now_ms: u64) {
        while let Some(id) = self.line.ripe(now_ms) {
            let Some(Entry { row, .. }) = self.entries.get(&id) else { break };
            let over = row.cancel || row.attempt >= row.max_attempts;
            if row.state == JobState::Queued || !over {
                self.line.leave(row);
                self.line.ready(row);
                continue;
            }
            self.change(&id, now_ms, |entry| {
                let row = &mut entry.row;
                if row.cancel {
                    end(row, JobState::Cancelled, now_ms);
                    return Some(());
                }
                row.error = format!("the lease ran out at the last attempt ({})", row.attempt);
                end(row, JobState::Dead, now_ms);
                Some(())
            });
        }
    }

    pub(super) fn beat(&mut self, beat: Beat, lease_ms: u64, now_ms: u64) -> Pulse {
        let pulse = self.change(&beat.id, now_ms, |entry| {
            let row = held(entry, beat.attempt)?;
            row.visible_ms = now_ms.saturating_add(lease_ms);
            if let Some(progress) = beat.progress {
                row.progress = progress;
            }
            Some(if row.cancel { Pulse::Cancel } else { Pulse::Held })
        });
        pulse.unwrap_or(Pulse::Lost)
    }

    pub(super) fn settle(&mut self, settle: Settle, now_ms: u64) -> bool {
        let settled = self.change(&settle.id, now_ms, |entry| {
            held(entry, settle.attempt)?;
            apply(entry, settle.outcome, now_ms);
            entry.revived = false;
            Some(())
        });
        settled.is_some()
    }

    pub(super) fn cancel(&mut self, id: &str, now_ms: u64) -> bool {
        let found = self.change(id, now_ms, |entry| {
            let row = &mut entry.row;
            match row.state {
                JobState::Queued | JobState::Paused => {
                    row.cancel = true;
                    end(row, JobState::Cancelled, now_ms);
                }
                JobState::Running => row.cancel = true,
                JobState::Done | JobState::Failed | JobState::Dead | JobState::Cancelled => {}
            }
            Some(())
        });
        found.is_some()
    }

    pub(super) fn revive(&mut self, id: &str, attempts: u32, now_ms: u64) -> bool {
        let revived = self.change(id, now_ms, |entry| {
            let row = &mut entry.row;
            match row.state {
                JobState::Done => return None,
                JobState::Running => entry.revived = true,
                _ => {
                    row.cancel = false;
                    row.finished_ms = 0;
                    queue(row, now_ms);
                }
            }
            row.max_attempts = row.max_attempts.saturating_add(attempts);
            Some(())
        });
        revived.is_some()
    }

    pub(super) fn get(&self, id: &str) -> Option<JobRow> {
        self.entries.get(id).map(|entry| entry.row.clone())
    }

    pub(super) fn list(&self, filter: &JobFilter) -> Vec<JobRow> {
        let births = match &filter.principal {
            Some(principal) => self.births_of.get(principal),
            None => Some(&self.births),
        };
        let to = filter.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        births
            .into_iter()
            .flat_map(|births| births.range((Bound::Unbounded, to)).rev())
            .filter_map(|(_, id)| self.entries.get(id))
            .filter(|entry| filter.state.is_none_or(|state| entry.row.state == state))
            .take(filter.limit)
            .map(|entry| entry.row.clone())
            .collect()
    }

    pub(super) fn depth(&self) -> Depth {
        self.depth
    }

    pub(super) fn forget(&mut self, until_ms: u64, max: usize) -> u64 {
        let ended = self.ends.iter().take_while(|(at, _)| *at < until_ms).take(max);
        let ids: Vec<String> = ended.map(|(_, id)| id.clone()).collect();
        let mut forgotten = 0;
        for id in ids {
            let Some(entry) = self.entries.remove(&id) else { continue };
            self.leave(&entry.row);
            let birth = (entry.row.created_ms, id);
            self.births.remove(&birth);
            if let Some(births) = self.births_of.get_mut(&entry.row.principal) {
                births.remove(&birth);
                if births.is_empty() {
                    self.births_of.remove(&entry.row.principal);
                }
            }
            forgotten += 1;
        }
        forgotten
    }
}

fn first_row(job: NewJob, now_ms: u64) -> JobRow {
    let (state, attempt, worker, wait_ms) = match job.running {
        Some(taken) => (JobState::Running, 1, taken.worker, taken.lease_ms),
        None => (JobState::Queued, 0, String::new(), job.delay_ms),
    };
    JobRow {
        id: job.id,
        principal: job.principal,
        tenant: job.tenant,
        state,
        attempt,
        max_attempts: job.max_attempts,
        priority: job.priority,
        visible_ms: now_ms.saturating_add(wait_ms),
        worker,
        cancel: false,
        progress: String::new(),
        result: Vec::new(),
        error: String::new(),
        created_ms: now_ms,
        finished_ms: 0,
        body: job.body,
    }
}

/// The job, if this attempt still has it.
fn held(entry: &mut Entry, attempt: u32) -> Option<&mut JobRow> {
    let row = &mut entry.row;
    (row.state == JobState::Running && row.attempt == attempt).then_some(row)
}

fn end(row: &mut JobRow, state: JobState, now_ms: u64) {
    row.state = state;
    row.finished_ms = now_ms;
}

fn queue(row: &mut JobRow, visible_ms: u64) {
    row.state = JobState::Queued;
    row.visible_ms = visible_ms;
}

/// Ends an attempt. What was cancelled does not begin again.
fn apply(entry: &mut Entry, outcome: Outcome, now_ms: u64) {
    let row = &mut entry.row;
    match outcome {
        Outcome::Done(result) => {
            row.result = result;
            end(row, JobState::Done, now_ms);
        }
        Outcome::Failed { error, retry_ms } => {
            row.error = error;
            match retry_ms {
                None => end(row, JobState::Failed, now_ms),
                Some(_) if row.cancel => end(row, JobState::Cancelled, now_ms),
                Some(_) if row.attempt >= row.max_attempts => end(row, JobState::Dead, now_ms),
                Some(after_ms) => queue(row, now_ms.saturating_add(after_ms)),
            }
        }
        Outcome::Paused(question) => {
            row.progress = question;
            if row.cancel {
                end(row, JobState::Cancelled, now_ms);
            } else if entry.revived {
                queue(row, now_ms);
            } else {
                row.state = JobState::Paused;
            }
        }
        Outcome::Cancelled => end(row, JobState::Cancelled, now_ms),
        Outcome::Released if row.cancel => end(row, JobState::Cancelled, now_ms),
        Outcome::Released => {
            // The attempt's number is the fence and never used twice: the limit gives way.
            row.max_attempts = row.max_attempts.saturating_add(1);
            queue(row, now_ms);
        }
    }
}
