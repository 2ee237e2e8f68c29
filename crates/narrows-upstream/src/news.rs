//! What an upstream says of itself outside of answers, for its keeper and for the whole house.

use narrows_types::{ListKind, Update};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tokio::sync::{Notify, broadcast};

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
    updates: broadcast::Sender<Update>,
    held: AtomicBool,
}

impl News {
    pub(crate) fn new(server: &str, updates: broadcast::Sender<Update>) -> Self {
        Self {
            server: server.into(),
            changed: AtomicU8::new(0),
            told: Notify::new(),
            updates,
            held: AtomicBool::new(false),
        }
    }

    /// Lists changed.
    pub(crate) fn raise(&self, lists: Lists) {
        self.changed.fetch_or(lists.0, Ordering::AcqRel);
        self.told.notify_one();
    }

    /// Waits for lists that changed.
    pub(crate) async fn changed(&self) -> Lists {
        loop {
            let lists = Lists(self.changed.swap(0, Ordering::AcqRel));
            if !lists.is_empty() {
                return lists;
            }
            self.told.notified().await;
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
        let server = Arc::clone(&self.server);
        // Nobody may listen.
        let _unheard = self.updates.send(Update { server, uri, params: params.to_owned() });
    }
}
