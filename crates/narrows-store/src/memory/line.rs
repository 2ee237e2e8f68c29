//! Who is next: jobs that wait for their time, and jobs that are ready, by tenant.

use crate::queue::{JobRow, JobState};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// A ready job: highest priority first, then the longest waiting.
type Ready = (Reverse<i32>, u64, String);
/// A tenant by its first ready job: priority, jobs running, waiting since, id, tenant.
type Head = (Reverse<i32>, u64, u64, String, String);

/// Jobs that are queued or running, in the order in which they are handed out.
#[derive(Default)]
pub(super) struct Line {
    /// When a queued job may begin and when a running one's lease ends, and its id.
    timers: BTreeSet<(u64, String)>,
    tenants: HashMap<String, Tenant>,
    heads: BTreeSet<Head>,
}

#[derive(Default)]
struct Tenant {
    ready: BTreeSet<Ready>,
    /// Jobs with a lease that is not over.
    running: u64,
}

impl Line {
    /// Takes a job in as it now is. One that runs counts as running until somebody looks whether
    /// its lease is over.
    pub(super) fn enter(&mut self, row: &JobRow, now_ms: u64) {
        match row.state {
            JobState::Queued if row.visible_ms <= now_ms => self.ready(row),
            JobState::Queued => {
                self.timers.insert((row.visible_ms, row.id.clone()));
            }
            JobState::Running => {
                self.timers.insert((row.visible_ms, row.id.clone()));
                self.change(&row.tenant, |tenant| tenant.running += 1);
            }
            _ => {}
        }
    }

    /// Puts a job among those that anybody may take.
    pub(super) fn ready(&mut self, row: &JobRow) {
        self.change(&row.tenant, |tenant| {
            tenant.ready.insert(ready(row));
        });
    }

    /// Takes a job out, as it was when it entered.
    pub(super) fn leave(&mut self, row: &JobRow) {
        let timed = self.timers.remove(&(row.visible_ms, row.id.clone()));
        self.change(&row.tenant, |tenant| {
            if !timed {
                tenant.ready.remove(&ready(row));
            } else if row.state == JobState::Running {
                tenant.running = tenant.running.saturating_sub(1);
            }
        });
    }

    /// A job whose time has come but that does not stand with the ready ones yet.
    pub(super) fn ripe(&self, now_ms: u64) -> Option<String> {
        self.timers.first().filter(|(at, _)| *at <= now_ms).map(|(_, id)| id.clone())
    }

    /// The next ready job whose tenant has fewer than so many running.
    pub(super) fn next(&self, tenant_running_max: u64) -> Option<String> {
        let mut from: Option<Head> = None;
        loop {
            let head = match &from {
                None => self.heads.first()?,
                Some(from) => self.heads.range(from..).next()?,
            };
            if head.1 < tenant_running_max {
                return Some(head.3.clone());
            }
            // Behind it in this priority all have as many running or more.
            let Reverse(priority) = head.0;
            let lower = priority.checked_sub(1)?;
            from = Some((Reverse(lower), 0, 0, String::new(), String::new()));
        }
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Tenant)) {
        let tenant = self.tenants.entry(name.to_owned()).or_default();
        if let Some(head) = tenant.head(name) {
            self.heads.remove(&head);
        }
        change(tenant);
        if let Some(head) = tenant.head(name) {
            self.heads.insert(head);
        } else if tenant.running == 0 {
            self.tenants.remove(name);
        }
    }
}

impl Tenant {
    fn head(&self, name: &str) -> Option<Head> {
        let (priority, since, id) = self.ready.first()?;
        Some((*priority, self.running, *since, id.clone(), name.to_owned()))
    }
}

fn ready(row: &JobRow) -> Ready {
    (Reverse(row.priority), row.visible_ms, row.id.clone())
}
