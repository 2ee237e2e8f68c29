//! What an upstream says of itself outside of answers, for its keeper and for the whole house.

use narrows_types::{ListKind, Update};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// Resources whose updates wait to be told.
pub(crate) const WAITING_MAX: usize = 2_048;
/// The least time between two tellings.
const UPDATES_GAP: Duration = Duration::from_millis(50);

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

/// Where all connections of one upstream tell what is no answer.
pub(crate) struct News {
    server: Arc<str>,
    changed: AtomicU8,
    told: Notify,
    /// Updates that are not told yet, one for each resource.
    waiting: Mutex<Waiting>,
    updates: broadcast::Sender<Update>,
    held: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    updates: BTreeMap<String, Box<RawValue>>,
    told_at: Option<Instant>,
}

impl News {
    pub(crate) fn new(server: &str, updates: broadcast::Sender<Update>) -> Self {
        Self {
            server: server.into(),
            changed: AtomicU8::new(0),
            told: Notify::new(),
            waiting: Mutex::default(),
            updates,
            held: AtomicBool::new(false),
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

    /// Somebody waits for updates: it is not idle.
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    /// Whether somebody waits for updates.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
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
        let next = waiting.told_at.map(|at| at + UPDATES_GAP).filter(|next| *next > now);
        if next.is_some() {
            return next;
        }
        waiting.told_at = Some(now);
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
    use super::{Lists, News};
    use narrows_types::ListKind;
    use serde_json::value::RawValue;
    use tokio::sync::broadcast;

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
