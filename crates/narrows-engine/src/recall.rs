//! What is remembered for a while, within bounds: who owns a URI, whose a task is.

use crate::Shared;
use narrows_types::Principal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a key; a longer one is not remembered.
const KEY_BYTES_MAX: usize = 2_048;

/// Two generations: when the young one is full, the old one goes.
struct Generations<V> {
    young: HashMap<String, V>,
    old: HashMap<String, V>,
    max: usize,
}

impl<V: Clone> Generations<V> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), max }
    }

    fn get(&self, key: &str) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn put(&mut self, key: &str, value: V) {
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        if self.young.len() >= self.max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.to_owned(), value);
    }
}

/// Which upstream answered for a URI.
pub(crate) struct Owners(Mutex<Generations<Arc<str>>>);

/// URIs of each generation.
const URIS_MAX: usize = 4_096;

impl Default for Owners {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(URIS_MAX)))
    }
}

impl Owners {
    pub(crate) fn get(&self, uri: &str) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uri).cloned()
    }

    /// The first one that names a URI has it.
    pub(crate) fn claim(&self, uri: &str, server: &Arc<str>) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.get(uri).is_none() {
            owners.put(uri, Arc::clone(server));
        }
    }
}

/// Tasks of upstreams: where each is, and who may ask for it.
pub(crate) struct Tasks(Mutex<Generations<Held>>);

#[derive(Clone)]
struct Held {
    server: Arc<str>,
    principal: String,
    until: Instant,
}

/// Tasks of each generation.
const TASKS_MAX: usize = 8_192;
/// How long a task is known of which its upstream does not say how long it lives.
const TASK_KEPT: Duration = Duration::from_hours(24);

impl Default for Tasks {
    fn default() -> Self {
        Self(Mutex::new(Generations::new(TASKS_MAX)))
    }
}

impl Tasks {
    /// Where a task is, if it is this principal's.
    pub(crate) fn find(&self, task: &str, principal: &Principal) -> Option<Arc<str>> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = tasks.get(task)?;
        let theirs = held.principal == principal.name && held.until > Instant::now();
        theirs.then(|| Arc::clone(&held.server))
    }

    /// Notes a task. An id that is somebody's already stays theirs: no upstream can take a task of
    /// another's over.
    pub(crate) fn hold(
        &self,
        task: &str,
        server: &str,
        principal: &Principal,
        ttl: Option<Duration>,
    ) {
        let now = Instant::now();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.get(task).is_some_and(|held| held.until > now && &*held.server != server) {
            tracing::warn!(server, "it made a task with the id of another upstream's");
            return;
        }
        let until = now + ttl.unwrap_or(TASK_KEPT).min(TASK_KEPT);
        let held = Held { server: server.into(), principal: principal.name.clone(), until };
        tasks.put(task, held);
    }
}

/// How long an answer waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(2);

impl Shared {
    /// Notes a task, for every replica and for after a restart.
    pub(crate) async fn hold_task(
        &self,
        task: &str,
        server: &str,
        principal: &Principal,
        ttl: Option<Duration>,
    ) {
        self.tasks_of.hold(task, server, principal, ttl);
        let ttl = ttl.unwrap_or(TASK_KEPT).min(TASK_KEPT);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let put = self.store.hold_task(&principal.name, task, server, ttl_ms);
        match tokio::time::timeout(STORE_WAIT, put).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("a task is known to this replica only: {e}"),
            Err(_late) => tracing::warn!("a task is known to this replica only: the store is busy"),
        }
    }

    /// Where a task is, if it is this principal's.
    pub(crate) async fn find_task(&self, task: &str, principal: &Principal) -> Option<Arc<str>> {
        if let Some(server) = self.tasks_of.find(task, principal) {
            return Some(server);
        }
        match self.store.task_server(&principal.name, task).await {
            Ok(server) => server.map(Into::into),
            Err(e) => {
                tracing::warn!("tasks of other replicas are not known: {e}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, Owners, Tasks};
    use narrows_types::Principal;
    use std::time::Duration;

    #[test]
    fn what_is_remembered_stays_bounded() {
        let mut seen = Generations::new(10);
        for n in 0..1_000 {
            seen.put(&n.to_string(), n);
        }
        assert!(seen.young.len() + seen.old.len() <= 20);
        assert_eq!(seen.get("999"), Some(&999));
        assert_eq!(seen.get("0"), None);
    }

    #[test]
    fn a_uri_stays_with_the_first_server_that_names_it() {
        let owners = Owners::default();
        owners.claim("x:1", &"git".into());
        owners.claim("x:1", &"evil".into());
        assert_eq!(owners.get("x:1").as_deref(), Some("git"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_its_makers_until_it_ends() {
        let tasks = Tasks::default();
        let (ann, bob) = (Principal { name: "ann".into() }, Principal { name: "bob".into() });
        tasks.hold("t1", "git", &ann, Some(Duration::from_secs(10)));
        tasks.hold("t1", "evil", &bob, None);
        assert_eq!(tasks.find("t1", &ann).as_deref(), Some("git"));
        assert_eq!(tasks.find("t1", &bob), None);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(tasks.find("t1", &ann), None);
    }
}
