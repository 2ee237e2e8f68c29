//! Our own tasks (extension `io.modelcontextprotocol/tasks`): runs that outlive the patience of
//! their request.
//!
//! A task has an unguessable name, belongs to the principal that asked, and lives in memory until
//! its time is over. The task that owns the run keeps it going, whoever listens.

use crate::caller::Caller;
use crate::mcp::{Body, Exchange, Said};
use crate::wire::{self, Failure};
use narrows_types::Fault;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The extension's name.
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// By this a task is known to be ours and not an upstream's.
const PREFIX: &str = "narrows_run_";
/// Tasks at once.
const TASKS_MAX: usize = 256;
/// Those of one principal.
const TASKS_EACH_MAX: usize = 64;
/// How long a task is kept from its beginning.
const TTL: Duration = Duration::from_mins(30);
/// How often a client may look.
const POLL_MS: u64 = 1_000;

/// All of them.
pub(crate) struct Tasks {
    all: Mutex<HashMap<String, Task>>,
    owners: Mutex<JoinSet<()>>,
    changed: watch::Sender<u64>,
}

struct Task {
    principal: String,
    created_at: String,
    updated_at: String,
    /// Counts what happened to any task: a listener sees what it has not told yet.
    change: u64,
    state: State,
    cancel: CancellationToken,
}

#[derive(Clone)]
enum State {
    Working,
    Completed(Body),
    Failed(Body),
    Cancelled,
}

/// A task as it stands on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'a str>,
    task_id: &'a str,
    status: &'a str,
    created_at: &'a str,
    last_updated_at: &'a str,
    ttl_ms: u64,
    poll_interval_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
}

impl Task {
    fn show(&self, id: &str, result_type: Option<&str>) -> Result<Body, Failure> {
        let (status, result, error) = match &self.state {
            State::Working => ("working", None, None),
            State::Completed(result) => ("completed", Some(&**result), None),
            State::Failed(error) => ("failed", None, Some(&**error)),
            State::Cancelled => ("cancelled", None, None),
        };
        let shown = Shown {
            result_type,
            task_id: id,
            status,
            created_at: &self.created_at,
            last_updated_at: &self.updated_at,
            ttl_ms: u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX),
            poll_interval_ms: POLL_MS,
            result,
            error,
        };
        to_raw_value(&shown).map_err(|e| Failure::internal(&Fault::bug(e.to_string())))
    }
}

impl Tasks {
    pub(crate) fn new() -> Arc<Self> {
        let changed = watch::Sender::new(0);
        Arc::new(Self { all: Mutex::default(), owners: Mutex::default(), changed })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        // No code that can panic runs under the lock.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a task of this name could only be ours.
    pub(crate) fn knows(id: &str) -> bool {
        id.starts_with(PREFIX)
    }

    /// Whether a principal may have one more.
    pub(crate) fn has_room(&self, principal: &str) -> bool {
        let all = self.all();
        let own = all.values().filter(|task| task.principal == principal).count();
        all.len() < TASKS_MAX && own < TASKS_EACH_MAX
    }

    /// Makes a task of a run and gives the result that says so.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        exchange: Exchange,
        principal: &str,
    ) -> Result<Body, Failure> {
        let id = format!("{PREFIX}{}", wire::unguessable()?);
        let cancel = CancellationToken::new();
        let now = now();
        let task = Task {
            principal: principal.to_owned(),
            created_at: now.clone(),
            updated_at: now,
            change: 0,
            state: State::Working,
            cancel: cancel.clone(),
        };
        let created = task.show(&id, Some("task"))?;
        self.all().insert(id.clone(), task);
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        while owners.try_join_next().is_some() {}
        owners.spawn(own(exchange, Arc::downgrade(self), id, cancel));
        Ok(created)
    }

    /// Answers a request about one of our tasks.
    pub(crate) fn answer(&self, caller: &Caller, method: &str, id: &str) -> Result<Body, Failure> {
        if !caller.extends(EXTENSION) {
            return Err(Failure::lacks_extension(EXTENSION));
        }
        let all = self.all();
        let Some(task) = all.get(id).filter(|task| task.principal == caller.principal.name) else {
            return Err(Failure::params(format!("there is no task {}", wire::clipped(id))));
        };
        if method == "tasks/get" {
            return task.show(id, Some("complete"));
        }
        if method == "tasks/cancel" {
            task.cancel.cancel();
        }
        // A run of ours asks nothing, so what `tasks/update` brings answers nothing.
        RawValue::from_string(r#"{"resultType":"complete"}"#.to_owned())
            .map_err(|e| Failure::internal(&Fault::bug(e.to_string())))
    }

    /// Which of these a principal can listen to.
    pub(crate) fn of(&self, principal: &str, ids: &[String]) -> Vec<String> {
        let all = self.all();
        let owns = |id: &&String| all.get(*id).is_some_and(|task| task.principal == principal);
        ids.iter().filter(owns).cloned().collect()
    }

    /// Tells when anything happens to any task.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Those of these to which something happened after a change.
    pub(crate) fn news(&self, ids: &[String], after: u64) -> Vec<Body> {
        let all = self.all();
        let tasks = ids.iter().filter_map(|id| Some((id, all.get(id)?)));
        let tasks = tasks.filter(|(_, task)| task.change > after);
        tasks.filter_map(|(id, task)| task.show(id, None).ok()).collect()
    }

    fn ended(&self, id: &str, state: State) {
        let mut all = self.all();
        let Some(task) = all.get_mut(id) else { return };
        task.state = state;
        task.updated_at = now();
        self.changed.send_modify(|change| {
            *change += 1;
            task.change = *change;
        });
    }
}

/// Owns a run from the moment when it became a task until the task is forgotten.
async fn own(mut exchange: Exchange, tasks: Weak<Tasks>, id: String, cancel: CancellationToken) {
    let forgotten = tokio::time::Instant::now() + TTL;
    let run = async {
        loop {
            if let Said::Last(outcome) = exchange.next_unparked().await {
                return outcome;
            }
        }
    };
    let state = tokio::select! {
        () = cancel.cancelled() => State::Cancelled,
        () = tokio::time::sleep_until(forgotten) => State::Cancelled,
        outcome = run => match outcome {
            Ok(body) => State::Completed(body),
            Err(failure) => State::Failed(wire::error(&failure)),
        },
    };
    drop(exchange);
    if let Some(tasks) = tasks.upgrade() {
        tasks.ended(&id, state);
    }
    tokio::time::sleep_until(forgotten).await;
    if let Some(tasks) = tasks.upgrade() {
        tasks.all().remove(&id);
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
