//! What clients hear of changes: lists that changed, resources that were updated.
//!
//! Each listener has a box of letters. A letter that lies there already is not put in twice, so
//! that a storm becomes one letter, and one that nobody fetches yet stays: none is lost.

use narrows_types::{Changes, Update};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};

/// Resources that one listener may subscribe to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 1_000;
/// How long changes are gathered, so that many in a row are one letter.
const GATHER: Duration = Duration::from_millis(20);

/// The lists that can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lists {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

impl Lists {
    pub(crate) const ALL: Self = Self { tools: true, prompts: true, resources: true };

    fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
        }
    }

    fn between(before: Changes, after: Changes) -> Self {
        Self {
            tools: before.tools != after.tools,
            prompts: before.prompts != after.prompts,
            resources: before.resources != after.resources,
        }
    }
}

/// What lay in the box.
#[derive(Debug, Default)]
pub(crate) struct Post {
    pub(crate) lists: Lists,
    /// The parameters of each update, by resource; none where it is only known that some may have
    /// happened.
    pub(crate) updates: BTreeMap<String, Option<Box<RawValue>>>,
}

impl Post {
    fn is_empty(&self) -> bool {
        self.lists == Lists::default() && self.updates.is_empty()
    }

    /// The notifications: methods and parameters.
    pub(crate) fn notes(self) -> Vec<(&'static str, Option<Box<RawValue>>)> {
        let lists = [
            (self.lists.tools, "notifications/tools/list_changed"),
            (self.lists.prompts, "notifications/prompts/list_changed"),
            (self.lists.resources, "notifications/resources/list_changed"),
        ];
        let lists = lists.into_iter().filter(|(is, _)| *is).map(|(_, method)| (method, None));
        let updates = self.updates.into_iter().map(|(uri, params)| {
            let params = params.or_else(|| {
                serde_json::value::to_raw_value(&serde_json::json!({ "uri": uri })).ok()
            });
            ("notifications/resources/updated", params)
        });
        lists.chain(updates).collect()
    }
}

#[derive(Debug, Default)]
struct Desk {
    wants: Lists,
    subscribed: BTreeSet<String>,
    post: Post,
}

/// One listener's box. The lock is held for a look-up only.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    desk: Mutex<Desk>,
    wake: Notify,
}

impl Letters {
    pub(crate) fn new(wants: Lists) -> Arc<Self> {
        let desk = Desk { wants, ..Desk::default() };
        Arc::new(Self { desk: Mutex::new(desk), wake: Notify::new() })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // No code that can panic runs under the lock.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants to hear of a resource. Gives whether that is new; `None` if it is one too many.
    pub(crate) fn subscribe(&self, uri: &str) -> Option<bool> {
        let mut desk = self.desk();
        if desk.subscribed.contains(uri) {
            return Some(false);
        }
        let room = desk.subscribed.len() < SUBSCRIPTIONS_MAX;
        room.then(|| desk.subscribed.insert(uri.to_owned()))
    }

    pub(crate) fn unsubscribe(&self, uri: &str) {
        let mut desk = self.desk();
        desk.subscribed.remove(uri);
        desk.post.updates.remove(uri);
    }

    /// Waits for letters and takes them all. May be dropped at any time: nothing is lost.
    pub(crate) async fn fetch(&self) -> Post {
        loop {
            let woken = self.wake.notified();
            let mut woken = std::pin::pin!(woken);
            woken.as_mut().enable();
            let post = std::mem::take(&mut self.desk().post);
            if !post.is_empty() {
                return post;
            }
            woken.await;
        }
    }

    fn changed(&self, lists: Lists) {
        let mut desk = self.desk();
        let news = lists.and(desk.wants);
        if news != Lists::default() {
            desk.post.lists = desk.post.lists.or(news);
            drop(desk);
            self.wake.notify_waiters();
        }
    }

    fn updated(&self, update: &Update) {
        let mut desk = self.desk();
        if desk.subscribed.contains(&update.uri) {
            desk.post.updates.insert(update.uri.clone(), Some(update.params.clone()));
            drop(desk);
            self.wake.notify_waiters();
        }
    }

    /// Updates were missed: any resource may have been updated.
    fn missed(&self) {
        let mut desk = self.desk();
        let subscribed: Vec<String> = desk.subscribed.iter().cloned().collect();
        for uri in subscribed {
            desk.post.updates.entry(uri).or_insert(None);
        }
        drop(desk);
        self.wake.notify_waiters();
    }
}

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Round {
    boxes: Mutex<Vec<Weak<Letters>>>,
}

impl Round {
    pub(crate) fn enter(&self, letters: &Arc<Letters>) {
        let mut boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
        boxes.retain(|letters| letters.strong_count() > 0);
        boxes.push(Arc::downgrade(letters));
    }

    fn each(&self, put: impl Fn(&Letters)) {
        let boxes = self.boxes.lock().unwrap_or_else(PoisonError::into_inner);
        boxes.iter().filter_map(Weak::upgrade).for_each(|letters| put(&letters));
    }

    /// Carries letters until there is nobody left who writes any.
    pub(crate) async fn carry(
        self: Arc<Self>,
        mut changes: watch::Receiver<Changes>,
        mut updates: broadcast::Receiver<Update>,
    ) {
        let mut seen = *changes.borrow_and_update();
        loop {
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                    let now = *changes.borrow_and_update();
                    let lists = Lists::between(seen, now);
                    seen = now;
                    self.each(|letters| letters.changed(lists));
                }
                update = updates.recv() => match update {
                    Ok(update) => self.each(|letters| letters.updated(&update)),
                    Err(RecvError::Lagged(_)) => self.each(Letters::missed),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(uri: &str) -> Update {
        let params = RawValue::from_string(format!(r#"{{"uri":"{uri}","n":1}}"#)).unwrap();
        Update { server: "s".into(), uri: uri.to_owned(), params }
    }

    #[tokio::test]
    async fn a_storm_is_one_letter_and_none_is_lost() {
        let (tell, changes) = watch::channel(Changes::default());
        let (send, updates) = broadcast::channel(4);
        let round = Arc::new(Round::default());
        let all = Letters::new(Lists::ALL);
        let tools = Letters::new(Lists { tools: true, ..Lists::default() });
        round.enter(&all);
        round.enter(&tools);
        assert_eq!(all.subscribe("a:1"), Some(true));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(Arc::clone(&round).carry(changes, updates));
        tokio::task::yield_now().await;
        for n in 1..50 {
            tell.send_replace(Changes { tools: n, prompts: n, resources: 0 });
        }
        let post = all.fetch().await;
        assert_eq!(post.lists, Lists { resources: false, ..Lists::ALL });
        assert_eq!(post.notes().len(), 2);
        assert_eq!(tools.fetch().await.notes().len(), 1);
        send.send(update("a:2")).unwrap();
        send.send(update("a:1")).unwrap();
        let notes = all.fetch().await.notes();
        assert_eq!(notes.len(), 1);
        assert_eq!(notes[0].1.as_ref().unwrap().get(), r#"{"uri":"a:1","n":1}"#);
        // More than the channel holds: what was missed may have been ours.
        for _ in 0..9 {
            send.send(update("a:2")).unwrap();
        }
        let notes = all.fetch().await.notes();
        assert_eq!(notes[0].1.as_ref().unwrap().get(), r#"{"uri":"a:1"}"#);
        all.unsubscribe("a:1");
        send.send(update("a:1")).unwrap();
        tell.send_replace(Changes { tools: 99, prompts: 49, resources: 0 });
        assert_eq!(all.fetch().await.notes().len(), 1, "only the tools");
    }

    #[test]
    fn subscriptions_are_bounded() {
        let letters = Letters::new(Lists::ALL);
        for n in 0..SUBSCRIPTIONS_MAX {
            assert_eq!(letters.subscribe(&n.to_string()), Some(true));
        }
        assert_eq!(letters.subscribe("one more"), None);
        assert_eq!(letters.subscribe("0"), Some(false), "again");
        letters.unsubscribe("0");
        assert_eq!(letters.subscribe("one more"), Some(true));
    }
}
