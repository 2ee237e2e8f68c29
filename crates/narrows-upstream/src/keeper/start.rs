//! Starting an upstream: its transport, then its opening.

use super::hear::take_up;
use crate::board::Cell;
use crate::cache::Cache;
use crate::config::{Era, Launch, Logins, Transport};
use crate::error::UpstreamError;
use crate::handshake::{self, Agreed};
use crate::http::{Endpoint, Places};
use crate::oauth::{self, Keys};
use crate::session::{End, Introduction, Peer, Session, Terms, Voice};
use crate::spawn::{Nursery, Order};
use crate::wire::{Failure, Wire};
use crate::{http, stdio};
use narrows_protocol::Revision;
use narrows_types::fault::clip;
use narrows_types::{Back, ClientSession};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of the reason why a start failed.
const REASON_BYTES_MAX: usize = 280;
/// How long a new connection waits for its subscriptions to be taken up.
const TAKE_UP_WAIT: Duration = Duration::from_secs(5);

/// What all upstreams share to be started with.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) introduction: Arc<Introduction>,
    pub(crate) nursery: Option<Nursery>,
    pub(crate) cache: Option<Cache>,
    pub(crate) logins: Logins,
}

/// A connection that is open. Its session must be driven for anything to happen.
pub(crate) struct Started {
    pub(crate) peer: Peer,
    pub(crate) agreed: Agreed,
    /// The resources that it was subscribed to with its opening.
    pub(crate) heard: BTreeSet<String>,
    pub(crate) session: Pin<Box<dyn Future<Output = End> + Send>>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
}

/// With what a connection is opened.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) voice: Voice,
    pub(crate) back: Option<Back>,
    /// Whose subscriptions it takes up; without one, everybody's.
    pub(crate) who: Option<ClientSession>,
    pub(crate) era: Era,
    pub(crate) idle_stop: Option<Duration>,
}

/// Starts one upstream, again and again.
#[derive(Clone)]
pub(crate) struct Starter {
    cell: Arc<Cell>,
    means: Means,
    stop: CancellationToken,
}

impl Starter {
    pub(crate) fn new(cell: Arc<Cell>, means: Means, stop: CancellationToken) -> Self {
        Self { cell, means, stop }
    }

    /// Starts what is shared within the configured time.
    pub(crate) fn start(
        &self,
    ) -> impl Future<Output = Result<Started, UpstreamError>> + Send + 'static {
        let starter = self.clone();
        async move {
            let config = &starter.cell.config;
            let opening = Opening {
                voice: Voice::ours(Arc::clone(&starter.means.introduction)),
                back: None,
                who: None,
                era: config.era,
                idle_stop: config.idle_stop,
            };
            starter.open_as(&opening).await.map_err(|failure| starter.error(&failure))
        }
    }

    /// Opens a connection within the configured time.
    pub(crate) async fn open_as(&self, opening: &Opening) -> Result<Started, Failure> {
        let deadline = Instant::now() + self.cell.config.start_timeout;
        let era = self.era(opening.era);
        let outcome = self.attempt(opening, era, deadline).await;
        let Err(failure) = &outcome else { return outcome };
        // A server may die of a question that it does not know.
        let may_be_legacy = era == Era::Auto && self.known() != Some(Era::Legacy);
        if may_be_legacy && matches!(failure, Failure::Lost { sent: true, .. }) {
            return self.attempt(opening, Era::Legacy, deadline).await;
        }
        let Some(places) = self.may_be_sse(failure) else { return outcome };
        places.set_sse(true);
        let older = self.attempt(opening, Era::Legacy, deadline).await;
        if older.is_ok() {
            return older;
        }
        // It is not that either: what it said first tells more.
        places.set_sse(false);
        outcome
    }

    /// The places of an upstream that says no to both openings as a server of 2024-11-05 would, and
    /// whose config leaves open how it is spoken to.
    fn may_be_sse(&self, failure: &Failure) -> Option<Arc<Places>> {
        let open =
            matches!(self.cell.config.launch, Launch::Http { transport: Transport::Auto, .. })
                && self.cell.config.era != Era::Modern;
        let says_no = matches!(failure, Failure::Http { status: 400 | 404 | 405, .. });
        self.cell.known_places().filter(|places| open && says_no && !places.is_sse())
    }

    /// HTTP+SSE is older than the newer era.
    fn era(&self, era: Era) -> Era {
        let is_sse =
            matches!(self.cell.config.launch, Launch::Http { transport: Transport::Sse, .. })
                || self.cell.known_places().is_some_and(|places| places.is_sse());
        if is_sse { Era::Legacy } else { era }
    }

    pub(crate) fn error(&self, failure: &Failure) -> UpstreamError {
        let reason = match failure {
            Failure::Timeout => {
                let ms = self.cell.config.start_timeout.as_millis();
                format!("it did not answer within {ms} ms")
            }
            other => clip(other.to_string(), REASON_BYTES_MAX),
        };
        UpstreamError::Start { server: self.cell.name().to_owned(), reason, retry_ms: 1_000 }
    }

    /// The era that was agreed on last time.
    fn known(&self) -> Option<Era> {
        let revision = Revision::parse(&self.cell.offer()?.revision)?;
        Some(if revision.is_modern() { Era::Modern } else { Era::Legacy })
    }

    async fn attempt(
        &self,
        opening: &Opening,
        era: Era,
        deadline: Instant,
    ) -> Result<Started, Failure> {
        let lost = |reason| Failure::Lost { reason, sent: false };
        let wire = tokio::time::timeout_at(deadline, self.open());
        let wire = wire.await.map_err(|_elapsed| Failure::Timeout)?.map_err(lost)?;
        let stop = self.stop.child_token();
        let terms = Terms {
            server: self.cell.name().to_owned(),
            voice: opening.voice.clone(),
            news: Arc::clone(&self.cell.news),
            back: opening.back.clone(),
            stop: stop.clone(),
            call_timeout: self.cell.config.call_timeout,
            idle_stop: opening.idle_stop,
        };
        let (peer, session) = Session::new(terms, wire);
        let mut session: Pin<Box<dyn Future<Output = End> + Send>> = Box::pin(session.run());
        let outcome = tokio::select! {
            biased;
            end = &mut session => {
                let reason = match end {
                    End::Lost(reason) => reason,
                    End::Stopped => "it was stopped".to_owned(),
                };
                return Err(Failure::Lost { reason, sent: true });
            }
            outcome = self.agree(&peer, era, opening.who, deadline) => outcome,
        };
        match outcome {
            Ok((agreed, heard)) => Ok(Started { peer, agreed, heard, session, stop }),
            Err(failure) => {
                stop.cancel();
                match (session.await, failure) {
                    // How it died tells more than that it did.
                    (End::Lost(reason), Failure::Lost { sent, .. }) => {
                        Err(Failure::Lost { reason, sent })
                    }
                    (_, failure) => Err(failure),
                }
            }
        }
    }

    /// Agrees on how to speak, and subscribes to what is wished before anybody uses the connection.
    async fn agree(
        &self,
        peer: &Peer,
        era: Era,
        who: Option<ClientSession>,
        deadline: Instant,
    ) -> Result<(Agreed, BTreeSet<String>), Failure> {
        let agreed = handshake::agree(peer, era, self.known(), deadline).await?;
        if agreed.revision.is_modern() {
            return Ok((agreed, BTreeSet::new()));
        }
        let wished = self.cell.news.wished().of(who);
        let taken = take_up(peer, agreed.revision, wished.clone());
        if !wished.is_empty() && tokio::time::timeout(TAKE_UP_WAIT, taken).await.is_err() {
            tracing::warn!(server = self.cell.name(), "it is slow to take up subscriptions");
        }
        Ok((agreed, wished))
    }

    /// What logs us in at one of its addresses.
    fn keys(
        &self,
        url: &str,
        headers: &BTreeMap<String, String>,
        agent: &str,
    ) -> Result<Option<Keys>, String> {
        let (server, oauth) = (self.cell.name(), self.cell.config.oauth.clone());
        if url.starts_with("unix:") || !oauth::takes_part(oauth.as_ref(), headers) {
            return Ok(None);
        }
        Keys::new(server, url, oauth.unwrap_or_default(), &self.means.logins, agent).map(Some)
    }

    async fn open(&self) -> Result<Wire, String> {
        let Means { nursery, introduction, .. } = &self.means;
        match (&self.cell.config.launch, nursery) {
            (Launch::Stdio { command, args, env, cwd }, Some(nursery)) => {
                let order = Order {
                    command: command.clone(),
                    args: args.clone(),
                    env: env.clone(),
                    cwd: cwd.clone(),
                };
                stdio::start(self.cell.name(), order, nursery).await
            }
            (Launch::Http { url, urls, transport, headers }, _) => {
                let places = self.cell.places(|| {
                    let agent = format!("{}/{}", introduction.name, introduction.version);
                    let all = std::iter::once(url).chain(urls);
                    let all = all.map(|url| {
                        Endpoint::new(url, headers, &agent, self.keys(url, headers, &agent)?)
                    });
                    Ok(Places::new(all.collect::<Result<_, _>>()?))
                })?;
                if *transport == Transport::Sse || places.is_sse() {
                    return Ok(http::start_sse(places));
                }
                Ok(http::start(places))
            }
            _ => Err("it cannot be started".to_owned()),
        }
    }
}
