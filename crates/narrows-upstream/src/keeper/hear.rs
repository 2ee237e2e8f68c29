//! What an upstream tells by itself: subscribing to it, and telling the house in good time.

use super::{Keeper, Outcome, Phase, SOUND_AFTER, pace::Pace};
use crate::board::{Cell, Connected};
use crate::error::UpstreamError;
use crate::fleet::failed;
use crate::news::Lists;
use crate::session::{Body, Peer, Wanted};
use crate::wire::Failure;
use futures_util::stream::{self, StreamExt};
use narrows_protocol::Revision;
use narrows_types::{ClientSession, ListKind, Passed, WireError};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
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
/// How long a new subscription waits for its acknowledgement.
const BEGIN_WAIT: Duration = Duration::from_secs(5);
/// Subscriptions that are taken up at once.
const ASKS_AT_ONCE: usize = 16;

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
}

fn done() -> Passed {
    // This is JSON.
    Passed::Result(
        RawValue::from_string("{}".to_owned()).unwrap_or_else(|_e| RawValue::NULL.to_owned()),
    )
}

/// Subscribes a connection to resources. What it refuses, it does not tell of.
pub(super) async fn take_up(peer: &Peer, revision: Revision, uris: BTreeSet<String>) {
    let deadline = Instant::now() + ASK_WAIT;
    let asks = uris.into_iter().map(|uri| async move {
        let body = Body::Subscribe { uri: uri.clone() };
        if let Err(failure) = peer.ask(body, Some(revision), Some(deadline)).await {
            tracing::debug!("a subscription to {uri} was not taken up: {failure}");
        }
    });
    stream::iter(asks).buffer_unordered(ASKS_AT_ONCE).collect::<()>().await;
}

/// Subscribes to what was wished after a connection was opened, which `heard` so much, and before
/// everybody could see it. `None` if nothing was.
pub(crate) fn take_up_late(
    cell: &Cell,
    connected: Arc<Connected>,
    who: Option<ClientSession>,
    heard: &BTreeSet<String>,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let revision = connected.agreed.revision;
    let mut late = cell.news.wished().of(who);
    late.retain(|uri| !heard.contains(uri));
    let wanted = !late.is_empty() && !revision.is_modern();
    wanted.then_some(async move { take_up(&connected.peer, revision, late).await })
}

/// Passes a wish on; without a failure of the connection, what comes back is the upstream's word.
async fn wish_of(
    cell: &Cell,
    connected: &Connected,
    uri: &str,
    wanted: bool,
) -> Result<Passed, UpstreamError> {
    let start = Instant::now();
    let (uri, revision) = (uri.to_owned(), Some(connected.agreed.revision));
    let (body, method) = if wanted {
        (Body::Subscribe { uri }, "resources/subscribe")
    } else {
        (Body::Unsubscribe { uri }, "resources/unsubscribe")
    };
    match connected.peer.ask(body, revision, Some(start + ASK_WAIT)).await {
        Ok(told) => told.into_raw().map(Passed::Result).or_else(|_broken| Ok(done())),
        Err(Failure::Rpc(error)) => {
            let narrows_protocol::RpcError { code, message, data } = error;
            Ok(Passed::Error(WireError { code, message, data }))
        }
        Err(failure) => Err(failed(cell, method, failure, start.elapsed())),
    }
}

impl Keeper {
    /// A connection is new: what changed meanwhile is told.
    pub(super) fn hear(&mut self, heard: &BTreeSet<String>) {
        self.hearing.tries = 0;
        self.hearing.listen = None;
        let _unhurried = self.listen();
        if let Phase::Up { connected, .. } = &self.phase
            && let Some(late) = take_up_late(&self.cell, Arc::clone(connected), None, heard)
        {
            self.tasks.spawn(async move {
                late.await;
                Outcome::Done
            });
        }
        if self.generation > 1 || !self.cell.news.wished().is_empty() {
            self.missed();
        }
    }

    /// What changed while nobody listened was not told.
    fn missed(&mut self) {
        self.changed(Lists::ALL);
        for uri in self.cell.news.wished().of(None) {
            if let Ok(params) = serde_json::value::to_raw_value(&serde_json::json!({"uri": uri})) {
                self.cell.news.updated(&params);
            }
        }
    }

    /// Takes a wish, and tells the upstream if it is news to it.
    pub(super) fn wish(&mut self, wish: Wish) {
        let Wish { uri, who, wanted, told } = wish;
        let news = {
            let mut wished = self.cell.news.wished();
            if wanted && wished.len() >= SUBSCRIPTIONS_MAX && !wished.has(&uri) {
                let reason = format!("{SUBSCRIPTIONS_MAX} resources are subscribed to");
                let server = self.cell.name().to_owned();
                let _gone =
                    told.send(Err(UpstreamError::Busy { server, reason, retry_ms: 10_000 }));
                return;
            }
            if wanted { wished.add(&uri, who) } else { wished.remove(&uri, who) }
        };
        let first = match &self.phase {
            Phase::Up { connected, .. } if news => Some(Arc::clone(connected)),
            // It is told when there is a connection.
            _ => None,
        };
        let modern = first.as_ref().is_some_and(|first| first.agreed.revision.is_modern());
        let begun = if modern { self.listen() } else { None };
        let first = first.filter(|_| !modern);
        let others = self.others(who, news);
        if first.is_none() && begun.is_none() && others.is_empty() {
            let _gone = told.send(Ok(done()));
            return;
        }
        let cell = Arc::clone(&self.cell);
        self.tasks.spawn(async move {
            let passed = match first {
                Some(first) => wish_of(&cell, &first, &uri, wanted).await,
                None => Ok(done()),
            };
            if let Some(begun) = begun {
                // What is done next may change the resource.
                let _unsure = tokio::time::timeout(BEGIN_WAIT, begun).await;
            }
            let refused = wanted && !matches!(passed, Ok(Passed::Result(_)));
            if !refused {
                for other in others {
                    // The first one's answer counts.
                    let _same = wish_of(&cell, &other, &uri, wanted).await;
                }
            }
            let _gone = told.send(passed);
            if refused { Outcome::Refused { uri, who } } else { Outcome::Done }
        });
    }

    /// The further connections that what this client subscribes to may be heard on: its own one, and
    /// those that serve anybody if the wish is `news` to them.
    fn others(&self, who: Option<ClientSession>, news: bool) -> Vec<Arc<Connected>> {
        let mut others = Vec::new();
        if let Some(lanes) = self.cell.lanes.get() {
            others.extend(who.and_then(|who| lanes.of_session(who)));
            if news {
                others.extend(lanes.of_pools());
            }
        }
        if let Some(crew) = self.cell.crew.get().filter(|_| news) {
            others.extend(crew.all().filter(|other| !other.agreed.revision.is_modern()));
        }
        others
    }

    /// The upstream did not take a subscription.
    pub(super) fn refused_to_tell(&mut self, uri: &str, who: Option<ClientSession>) {
        self.cell.news.wished().remove(uri, who);
    }

    /// A client went away.
    pub(super) fn farewell(&mut self, session: ClientSession) {
        let uris = self.cell.news.wished().of(Some(session));
        for uri in uris {
            let (told, _nobody) = oneshot::channel();
            self.wish(Wish { uri, who: Some(session), wanted: false, told });
        }
    }

    /// Listens where that needs a request: all that is wanted now, in place of what was before.
    /// Gives what tells that the upstream acknowledged it.
    fn listen(&mut self) -> Option<oneshot::Receiver<()>> {
        let Phase::Up { connected, .. } = &self.phase else { return None };
        let offers = connected.agreed.offers;
        let wanted = Wanted {
            tools_list_changed: offers.announces(ListKind::Tools),
            prompts_list_changed: offers.announces(ListKind::Prompts),
            resources_list_changed: offers.announces(ListKind::Resources),
            resource_subscriptions: self.cell.news.wished().of(None).into_iter().collect(),
        };
        let modern = connected.agreed.revision.is_modern();
        let old = self.hearing.listen.take();
        if !modern || wanted == Wanted::default() || self.hearing.tries >= TRIES_MAX {
            if let Some(old) = old {
                old.cancel();
            }
            return None;
        }
        let pause = PAUSE * self.hearing.tries;
        self.hearing.number += 1;
        let stop = CancellationToken::new();
        self.hearing.listen = Some(stop.clone());
        let (connected, generation) = (Arc::clone(connected), self.generation);
        let number = self.hearing.number;
        let (begun, acknowledged) = oneshot::channel();
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            let start = Instant::now();
            let revision = Some(connected.agreed.revision);
            let mut listen = std::pin::pin!(connected.peer.listen(wanted, revision, begun));
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
        Some(acknowledged)
    }

    /// A listen ended; what changed meanwhile was not told.
    pub(super) fn listen_again(&mut self, number: u64, lived: Duration) {
        if number != self.hearing.number {
            return;
        }
        self.hearing.listen = None;
        self.hearing.tries = if lived >= SOUND_AFTER { 1 } else { self.hearing.tries + 1 };
        if self.hearing.tries < TRIES_MAX {
            let _unhurried = self.listen();
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
