//! What an upstream tells by itself: subscribing to it, and telling the house in good time.

use super::{Keeper, Outcome, Phase, SOUND_AFTER, pace::Pace};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::fleet::failed;
use crate::news::Lists;
use crate::session::{Body, Wanted};
use crate::wire::Failure;
use narrows_types::{ClientSession, ListKind, Passed, WireError};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Resources of one upstream that somebody subscribed to.
const SUBSCRIPTIONS_MAX: usize = 4_096;
/// Listens that end young in a row before there are no more.
const TRIES_MAX: u32 = 5;
/// The pause before the second one; it grows with each.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an old listen goes on beside the new one.
const OVERLAP: Duration = Duration::from_millis(500);
/// How long a request about a subscription may take.
const ASK_WAIT: Duration = Duration::from_secs(30);

/// Where the answer to a subscription goes.
pub(crate) type Told = oneshot::Sender<Result<Passed, UpstreamError>>;

/// Somebody's wish to hear of a resource, or not any more.
pub(crate) struct Wish {
    pub(crate) uri: String,
    /// The conversation that wishes; one without is counted.
    pub(crate) who: Option<ClientSession>,
    pub(crate) wanted: bool,
    pub(crate) told: Told,
}

/// What is listened to.
#[derive(Default)]
pub(super) struct Hearing {
    subscribed: BTreeMap<String, Vec<Option<ClientSession>>>,
    tries: u32,
    number: u64,
    /// Ends the listen that is under way.
    listen: Option<CancellationToken>,
    prompts: Due,
    resources: Due,
    /// The upstream says that its tools changed; a reading is to find out.
    pub(super) told: bool,
}

/// When a change is told.
struct Due {
    pace: Pace,
    waits: bool,
}

impl Default for Due {
    fn default() -> Self {
        Self { pace: Pace::new(), waits: false }
    }
}

impl Hearing {
    fn due(&mut self, kind: ListKind) -> &mut Due {
        if kind == ListKind::Prompts { &mut self.prompts } else { &mut self.resources }
    }

    /// Whether the upstream is to be told of it.
    fn add(&mut self, uri: &str, who: Option<ClientSession>) -> bool {
        let subscribers = self.subscribed.entry(uri.to_owned()).or_default();
        if who.is_none() || !subscribers.contains(&who) {
            subscribers.push(who);
        }
        subscribers.len() == 1
    }

    /// Whether the upstream is to be told of it.
    fn remove(&mut self, uri: &str, who: Option<ClientSession>) -> bool {
        let Some(subscribers) = self.subscribed.get_mut(uri) else { return false };
        if let Some(at) = subscribers.iter().position(|subscriber| *subscriber == who) {
            subscribers.swap_remove(at);
        }
        let last = subscribers.is_empty();
        if last {
            self.subscribed.remove(uri);
        }
        last
    }
}

fn done() -> Passed {
    // This is JSON.
    Passed::Result(
        RawValue::from_string("{}".to_owned()).unwrap_or_else(|_e| RawValue::NULL.to_owned()),
    )
}

async fn subscribe_again(connected: Arc<Connected>, uri: String) -> Outcome {
    let (revision, deadline) = (connected.agreed.revision, Instant::now() + ASK_WAIT);
    let body = Body::Subscribe { uri: uri.clone() };
    if let Err(failure) = connected.peer.ask(body, Some(revision), Some(deadline)).await {
        tracing::debug!("a subscription to {uri} was not taken up: {failure}");
    }
    Outcome::Done
}

impl Keeper {
    /// A connection is new: what was subscribed to is subscribed to again, and what changed
    /// meanwhile is told.
    pub(super) fn hear(&mut self) {
        self.hearing.tries = 0;
        self.hearing.listen = None;
        self.listen();
        let Phase::Up { connected, .. } = &self.phase else { return };
        if !connected.agreed.revision.is_modern() {
            let again = self.hearing.subscribed.keys().cloned();
            for uri in again {
                self.tasks.spawn(subscribe_again(Arc::clone(connected), uri));
            }
        }
        if self.generation > 1 {
            self.missed();
        }
    }

    /// What changed while nobody listened was not told.
    fn missed(&mut self) {
        self.changed(Lists::ALL);
        for uri in self.hearing.subscribed.keys() {
            if let Ok(params) = serde_json::value::to_raw_value(&serde_json::json!({"uri": uri})) {
                self.cell.news.updated(&params);
            }
        }
    }

    /// Takes a wish, and tells the upstream if it is news to it.
    pub(super) fn wish(&mut self, wish: Wish) {
        let Wish { uri, who, wanted, told } = wish;
        let too_many = wanted
            && self.hearing.subscribed.len() >= SUBSCRIPTIONS_MAX
            && !self.hearing.subscribed.contains_key(&uri);
        if too_many {
            let reason = format!("{SUBSCRIPTIONS_MAX} resources are subscribed to");
            let server = self.cell.name().to_owned();
            let _gone = told.send(Err(UpstreamError::Busy { server, reason, retry_ms: 10_000 }));
            return;
        }
        let news =
            if wanted { self.hearing.add(&uri, who) } else { self.hearing.remove(&uri, who) };
        self.cell.news.hold(!self.hearing.subscribed.is_empty());
        let Phase::Up { connected, .. } = &self.phase else {
            // It is told when there is a connection.
            let _gone = told.send(Ok(done()));
            return;
        };
        if !news || connected.agreed.revision.is_modern() {
            if news {
                self.listen();
            }
            let _gone = told.send(Ok(done()));
            return;
        }
        let (connected, cell) = (Arc::clone(connected), Arc::clone(&self.cell));
        self.tasks.spawn(async move {
            let revision = Some(connected.agreed.revision);
            let start = Instant::now();
            let body = if wanted {
                Body::Subscribe { uri: uri.clone() }
            } else {
                Body::Unsubscribe { uri: uri.clone() }
            };
            let reply = connected.peer.ask(body, revision, Some(start + ASK_WAIT)).await;
            let refused = wanted && reply.is_err();
            let passed = match reply {
                Ok(told) => told.into_raw().map(Passed::Result).or_else(|_broken| Ok(done())),
                Err(Failure::Rpc(error)) => {
                    let narrows_protocol::RpcError { code, message, data } = error;
                    Ok(Passed::Error(WireError { code, message, data }))
                }
                Err(failure) => Err(failed(&cell, "resources/subscribe", failure, start.elapsed())),
            };
            let _gone = told.send(passed);
            if refused { Outcome::Refused { uri, who } } else { Outcome::Done }
        });
    }

    /// The upstream did not take a subscription.
    pub(super) fn refused_to_tell(&mut self, uri: &str, who: Option<ClientSession>) {
        self.hearing.remove(uri, who);
        self.cell.news.hold(!self.hearing.subscribed.is_empty());
    }

    /// A client went away.
    pub(super) fn farewell(&mut self, session: ClientSession) {
        let uris: Vec<String> = self
            .hearing
            .subscribed
            .iter()
            .filter(|(_, subscribers)| subscribers.contains(&Some(session)))
            .map(|(uri, _)| uri.clone())
            .collect();
        for uri in uris {
            let (told, _nobody) = oneshot::channel();
            self.wish(Wish { uri, who: Some(session), wanted: false, told });
        }
    }

    /// Listens where that needs a request: all that is wanted now, in place of what was before.
    fn listen(&mut self) {
        let Phase::Up { connected, .. } = &self.phase else { return };
        let offers = connected.agreed.offers;
        let wanted = Wanted {
            tools_list_changed: offers.announces(ListKind::Tools),
            prompts_list_changed: offers.announces(ListKind::Prompts),
            resources_list_changed: offers.announces(ListKind::Resources),
            resource_subscriptions: self.hearing.subscribed.keys().cloned().collect(),
        };
        let modern = connected.agreed.revision.is_modern();
        let old = self.hearing.listen.take();
        if !modern || wanted == Wanted::default() || self.hearing.tries >= TRIES_MAX {
            if let Some(old) = old {
                old.cancel();
            }
            return;
        }
        let pause = PAUSE * self.hearing.tries;
        self.hearing.number += 1;
        let stop = CancellationToken::new();
        self.hearing.listen = Some(stop.clone());
        let (connected, generation) = (Arc::clone(connected), self.generation);
        let number = self.hearing.number;
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let start = Instant::now();
            let revision = Some(connected.agreed.revision);
            let mut listen =
                std::pin::pin!(connected.peer.ask(Body::Listen(wanted), revision, None));
            let early = tokio::time::timeout(OVERLAP, &mut listen).await;
            // By now the new one is heard.
            if let Some(old) = old {
                old.cancel();
            }
            let ended = match early {
                Ok(ended) => ended,
                Err(_elapsed) => tokio::select! {
                    ended = listen => ended,
                    () = stop.cancelled() => return Outcome::Done,
                },
            };
            if let Err(failure) = ended {
                tracing::debug!("a subscription ended: {failure}");
            }
            Outcome::ListenEnded { generation, number, lived: start.elapsed() }
        });
    }

    /// A listen ended; what changed meanwhile was not told.
    pub(super) fn listen_again(&mut self, number: u64, lived: Duration) {
        if number != self.hearing.number {
            return;
        }
        self.hearing.listen = None;
        self.hearing.tries = if lived >= SOUND_AFTER { 1 } else { self.hearing.tries + 1 };
        if self.hearing.tries < TRIES_MAX {
            self.listen();
            self.missed();
        }
    }

    /// The upstream says that lists changed.
    pub(super) fn changed(&mut self, lists: Lists) {
        for kind in [ListKind::Prompts, ListKind::Resources] {
            if lists.has(kind) {
                self.cell.shelf.forget(kind);
                self.tell(kind);
            }
        }
        if lists.has(ListKind::Tools) {
            self.tools_changed();
        }
    }

    /// Tells the house that a list changed, less and less often if it changes without end.
    fn tell(&mut self, kind: ListKind) {
        let due = self.hearing.due(kind);
        if due.waits {
            return;
        }
        let now = Instant::now();
        let next = due.pace.next(now);
        if next <= now {
            return self.tell_now(kind);
        }
        due.waits = true;
        self.tasks.spawn(async move {
            tokio::time::sleep_until(next).await;
            Outcome::Tell(kind)
        });
    }

    pub(super) fn tell_now(&mut self, kind: ListKind) {
        let due = self.hearing.due(kind);
        due.waits = false;
        due.pace.read(Instant::now());
        self.board.changed(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::Hearing;
    use narrows_types::ClientSession;

    #[test]
    fn the_first_subscriber_and_the_last_are_told_upstream() {
        let mut hearing = Hearing::default();
        let (one, two) = (Some(ClientSession(1)), Some(ClientSession(2)));
        assert!(hearing.add("a", one));
        assert!(hearing.add("a", one), "said twice, it is still the only one");
        assert!(!hearing.add("a", two));
        assert!(!hearing.add("a", None));
        assert!(!hearing.remove("a", one));
        assert!(!hearing.remove("a", None));
        assert!(hearing.remove("a", two));
        assert!(!hearing.remove("a", two));
        assert!(hearing.subscribed.is_empty());
    }
}
