//! What an upstream says of itself outside of answers, for its keeper and for the whole house.

use narrows_types::{ClientSession, ListKind, Update};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// Resources whose updates wait to be told.
pub(crate) const WAITING_MAX: usize = 2_048;
/// The least time between two tellings.
const UPDATES_GAP: Duration = Duration::from_millis(50);
/// How long the first update waits for others, which may be the same one on another connection.
const UPDATES_GATHER: Duration = Duration::from_millis(20);

/// The lists that changed: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lists(u8);

impl Lists {
    pub(crate) const ALL: Self = Self(7);

    fn bit(kind: ListKind) -> u8 {
        match kind {
            ListKind::Tools => 1,
            ListKind::Prompts => 2,
            ListKind::Resources | ListKind::Templates => 4,
        }
    }

    pub(crate) fn of(kind: ListKind) -> Self {
        Self(Self::bit(kind))
    }

    pub(crate) fn has(self, kind: ListKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

/// Resources with those who subscribed to them; who has no conversation is counted.
#[derive(Clone, Default)]
pub(crate) struct Wished(BTreeMap<String, Vec<Option<ClientSession>>>);

impl Wished {
    /// Whether nobody heard of it so far.
    pub(crate) fn add(&mut self, uri: &str, who: Option<ClientSession>) -> bool {
        let subscribers = self.0.entry(uri.to_owned()).or_default();
        if who.is_none() || !subscribers.contains(&who) {
            subscribers.push(who);
        }
        subscribers.len() == 1
    }

    /// Whether nobody wants to hear of it any more.
    pub(crate) fn remove(&mut self, uri: &str, who: Option<ClientSession>) -> bool {
        let Some(subscribers) = self.0.get_mut(uri) else { return false };
        if let Some(at) = subscribers.iter().position(|subscriber| *subscriber == who) {
            subscribers.swap_remove(at);
        }
        let last = subscribers.is_empty();
        if last {
            self.0.remove(uri);
        }
        last
    }

    /// What this conversation subscribed to; without one, what anybody did.
    pub(crate) fn of(&self, who: Option<ClientSession>) -> BTreeSet<String> {
        let wished = self.0.iter();
        let wished = wished.filter(|(_, subscribers)| who.is_none() || subscribers.contains(&who));
        wished.map(|(uri, _)| uri.clone()).collect()
    }

    pub(crate) fn has(&self, uri: &str) -> bool {
        self.0.contains_key(uri)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where all connections of one upstream tell what is no answer.
pub(crate) struct News {
    server: Arc<str>,
    changed: AtomicU8,
    told: Notify,
    /// Updates that are not told yet, one for each resource.
    waiting: Mutex<Waiting>,
    updates: broadcast::Sender<Update>,
    wished: Mutex<Wished>,
}

#[derive(Default)]
struct Waiting {
    updates: BTreeMap<String, Box<RawValue>>,
    told_at: Option<Instant>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl News {
    pub(crate) fn new(server: &str, updates: broadcast::Sender<Update>) -> Self {
        Self {
            server: server.into(),
            changed: AtomicU8::new(0),
            told: Notify::new(),
            waiting: Mutex::default(),
            updates,
            wished: Mutex::default(),
        }
    }

    /// Lists changed.
    pub(crate) fn raise(&self, lists: Lists) {
        self.changed.fetch_or(lists.0, Ordering::AcqRel);
        self.told.notify_one();
    }

    /// Waits for lists that changed; in between tells updates, those of one resource that come
    /// soon after each other as one.
    pub(crate) async fn changed(&self) -> Lists {
        loop {
            let lists = Lists(self.changed.swap(0, Ordering::AcqRel));
            if !lists.is_empty() {
                return lists;
            }
            match self.tell() {
                None => self.told.notified().await,
                Some(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    /// The resources that somebody subscribed to.
    pub(crate) fn wished(&self) -> MutexGuard<'_, Wished> {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A resource was updated.
    pub(crate) fn updated(&self, params: &RawValue) {
        #[derive(Deserialize)]
        struct Updated {
            uri: String,
        }
        let Ok(Updated { uri }) = serde_json::from_str(params.get()) else { return };
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.since.get_or_insert_with(Instant::now);
            let updates = &mut waiting.updates;
            if updates.len() < WAITING_MAX || updates.contains_key(&uri) {
                updates.insert(uri, params.to_owned());
            } else {
                tracing::warn!(server = %self.server, "more than {WAITING_MAX} updates at once");
            }
        }
        self.told.notify_one();
    }

    /// Tells the updates that wait; gives when to, if it is too soon after the last ones.
    fn tell(&self) -> Option<Instant> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.updates.is_empty() {
            return None;
        }
        let now = Instant::now();
        let gathered = waiting.since.map(|since| since + UPDATES_GATHER);
        let next = gathered.max(waiting.told_at.map(|at| at + UPDATES_GAP));
        if next.is_some_and(|next| next > now) {
            return next;
        }
        (waiting.told_at, waiting.since) = (Some(now), None);
        for (uri, params) in std::mem::take(&mut waiting.updates) {
            let server = Arc::clone(&self.server);
            // Nobody may listen.
            let _unheard = self.updates.send(Update { server, uri, params });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Lists, News, Wished};
    use narrows_types::{ClientSession, ListKind};
    use serde_json::value::RawValue;
    use tokio::sync::broadcast;

    #[test]
    fn the_first_subscriber_and_the_last_are_told_upstream() {
        let mut wished = Wished::default();
        let (one, two) = (Some(ClientSession(1)), Some(ClientSession(2)));
        assert!(wished.add("a", one));
        assert!(wished.add("a", one), "said twice, it is still the only one");
        assert!(!wished.add("a", two));
        assert!(!wished.add("a", None));
        assert!(wished.add("b", two));
        assert_eq!(Vec::from_iter(wished.of(one)), ["a"]);
        assert_eq!(Vec::from_iter(wished.of(None)), ["a", "b"]);
        assert!(!wished.remove("a", one));
        assert!(!wished.remove("a", None));
        assert!(wished.remove("a", two));
        assert!(!wished.remove("a", two));
        assert!(wished.remove("b", two));
        assert!(wished.is_empty());
    }

    fn params(uri: &str) -> Box<RawValue> {
        RawValue::from_string(format!("{{\"uri\":\"{uri}\"}}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_updates_is_told_as_few_and_none_is_lost() {
        let (updates, mut heard) = broadcast::channel(1_024);
        let news = News::new("one", updates);
        let storm = async {
            for _ in 0..1_000 {
                news.updated(&params("a"));
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            news.updated(&params("b"));
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            news.raise(Lists::of(ListKind::Prompts));
        };
        let (lists, ()) = tokio::join!(news.changed(), storm);
        assert!(lists.has(ListKind::Prompts) && !lists.has(ListKind::Tools));
        let mut uris = Vec::new();
        while let Ok(update) = heard.try_recv() {
            uris.push(update.uri);
        }
        assert!((2..40).contains(&uris.len()), "{}", uris.len());
        assert_eq!(uris.last().unwrap(), "b");
    }
}
