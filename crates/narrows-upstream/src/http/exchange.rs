//! One request and its answer, whatever form the answer takes.

use super::places::{Places, Visit};
use super::stream::{Stream, room};
use crate::wire::{Budget, Failure, Incoming, Letter, MESSAGE_BYTES_MAX, Packet, Room};
use narrows_protocol::{Id, Message, Revision, RpcError, header, views};
use narrows_types::fault::clip;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of the body of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Bytes of it that an error repeats.
const EXCERPT_BYTES: usize = 120;
/// How often a stream that broke off is taken up again.
const RESUMES_MAX: u32 = 5;
/// The pause before that, if the server does not say.
const RESUME_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that a server may ask for.
const RESUME_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A stream of the server's own messages that lived so long did not fail.
const SOUND_AFTER: Duration = Duration::from_secs(10);
/// How long the end of a session may take.
const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// What all exchanges with one upstream share.
pub(super) struct Exchange {
    places: Arc<Places>,
    /// Where the legacy session is: all of it stays there.
    home: OnceLock<Visit>,
    received: mpsc::Sender<Incoming>,
    session: OnceLock<HeaderValue>,
    revision: OnceLock<Revision>,
    /// What all answers together may take.
    budget: Budget,
}

/// Where a stream stands.
#[derive(Default)]
struct Progress {
    answered: bool,
    last_id: Option<String>,
    pause: Option<Duration>,
}

/// Too much is under way.
pub(super) fn too_many() -> Failure {
    Failure::Busy { reason: "too many exchanges are under way".to_owned(), retry_ms: 500 }
}

pub(super) fn lost(reason: String, sent: bool) -> Failure {
    Failure::Lost { reason, sent }
}

impl Exchange {
    pub(super) fn new(places: Arc<Places>, received: mpsc::Sender<Incoming>) -> Self {
        Self {
            places,
            home: OnceLock::new(),
            received,
            session: OnceLock::new(),
            revision: OnceLock::new(),
            budget: Budget::incoming(),
        }
    }

    /// Sends a message and passes on what comes back.
    pub(super) async fn run(&self, letter: Letter) {
        let id = letter.id;
        let outcome = self.post(letter).await;
        match (outcome, id) {
            (Err(failure), Some(id)) => self.fail(id, failure).await,
            (Err(failure), None) => tracing::debug!("a notification was not taken: {failure}"),
            (Ok(()), _) => {}
        }
    }

    /// Tells the session that a request got no answer.
    pub(super) async fn fail(&self, id: i64, failure: Failure) {
        self.pass(Incoming::Failed { id, failure }).await;
    }

    async fn pass(&self, incoming: Incoming) {
        // A session that is gone hears nothing more; its exchanges end with it.
        let _gone = self.received.send(incoming).await;
    }

    /// Sends a request to the place with the least to do, or to that of its session. What surely
    /// did not arrive at one place goes to the next.
    async fn deliver(
        &self,
        mut letter: Letter,
        session: Option<&HeaderValue>,
    ) -> Result<(Visit, Response), Failure> {
        let room = std::mem::take(&mut letter.room);
        let home = self.home.get().filter(|_| !is_modern(&letter));
        let mut tried = Vec::new();
        let mut failure = lost("it has no place".to_owned(), false);
        while let Some(visit) = home.map(Visit::again).or_else(|| self.places.visit(&tried)) {
            let is_last = home.is_some() || tried.len() + 1 >= self.places.len();
            let body = if is_last { std::mem::take(&mut letter.body) } else { letter.body.clone() };
            let request = visit.endpoint.post(&letter, body, session);
            failure = match visit.endpoint.send(request).await {
                Ok(response) if response.status().is_success() => {
                    drop(room);
                    return Ok((visit, response));
                }
                Ok(response) if is_last || !turned_away(response.status()) => {
                    if failed(response.status()) {
                        visit.bad();
                    }
                    return Ok((visit, response));
                }
                Ok(response) => self.refusal(response).await,
                Err(failure) => failure,
            };
            visit.bad();
            if is_last
                || !matches!(failure, Failure::Lost { sent: false, .. } | Failure::Busy { .. })
            {
                return Err(failure);
            }
            tried.push(visit);
        }
        Err(failure)
    }

    async fn post(&self, letter: Letter) -> Result<(), Failure> {
        let (id, opens) = (letter.id, letter.method == "initialize");
        let legacy = !is_modern(&letter);
        if let Some(revision) = letter.revision.filter(|_| legacy) {
            // Kept for the stream and for the end; it is agreed on once.
            let _known = self.revision.set(revision);
        }
        let session = self.session.get().filter(|_| legacy && !opens);
        let may_move = self.home.get().is_some() && legacy && self.places.len() > 1;
        let (visit, response) = match self.deliver(letter, session).await {
            Ok(delivered) => delivered,
            // Its place is gone: the next session finds another one.
            Err(failure @ Failure::Lost { sent: false, .. }) if may_move => {
                if let Some(id) = id {
                    self.fail(id, failure).await;
                }
                self.pass(Incoming::Expired).await;
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if response.status() == StatusCode::NOT_FOUND && session.is_some() {
            self.expire(id).await;
            return Ok(());
        }
        if !response.status().is_success() {
            let status = response.status();
            let refused = self.refusal(response).await;
            // Many servers that were restarted say it this way.
            if status == StatusCode::BAD_REQUEST && session.is_some() && forgot(&refused) {
                self.expire(id).await;
                return Ok(());
            }
            return Err(refused);
        }
        if opens {
            if let Some(session) = response.headers().get(header::SESSION) {
                let _first = self.session.set(session.clone());
            }
            let _first = self.home.set(visit.again());
        }
        let Some(id) = id else { return Ok(()) };
        let outcome = match media(&response).as_str() {
            "text/event-stream" => self.stream(&visit, response, id, legacy).await,
            "application/json" => match self.body(response, MESSAGE_BYTES_MAX).await {
                Ok(packet) => {
                    let (only_answer_to, via) = (Some(id), Some(id));
                    self.pass(Incoming::Message { packet, only_answer_to, via }).await;
                    Ok(())
                }
                Err(failure) => Err(failure),
            },
            other => {
                let other = clip(other.to_owned(), 60);
                Err(Failure::Protocol(format!("it answered with content of type `{other}`")))
            }
        };
        match outcome {
            Ok(()) => visit.good(),
            Err(_) => visit.bad(),
        }
        outcome
    }

    /// The upstream forgot the session, so that it did nothing with the request.
    pub(super) async fn expire(&self, id: Option<i64>) {
        if let Some(id) = id {
            self.fail(id, lost("it forgot the session".to_owned(), false)).await;
        }
        self.pass(Incoming::Expired).await;
    }

    /// Reads events until the answer; takes the stream up again where the server allows it.
    async fn stream(
        &self,
        visit: &Visit,
        response: Response,
        id: i64,
        legacy: bool,
    ) -> Result<(), Failure> {
        let mut progress = Progress::default();
        let mut outcome = self.events(response, Some(id), &mut progress).await;
        let mut fruitless = 0;
        while fruitless < RESUMES_MAX {
            if progress.answered {
                return Ok(());
            }
            let Some(last) = progress.last_id.clone().filter(|_| legacy) else { break };
            let pause = progress.pause.unwrap_or(RESUME_PAUSE);
            let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.pass(Incoming::Paused { id, retry_ms }).await;
            tokio::time::sleep(pause).await;
            let revision = self.revision.get().copied();
            let request = visit.endpoint.get(revision, self.session.get(), Some(&last));
            match visit.endpoint.send(request).await {
                Ok(response) if is_stream(&response) => {
                    outcome = self.events(response, Some(id), &mut progress).await;
                }
                // A server that is started anew may come back.
                Ok(response) if failed(response.status()) => {}
                Err(Failure::Lost { .. }) => {}
                Ok(_) => break,
                Err(failure) => return Err(failure),
            }
            // A server that polls may close as often as it has something new to say.
            let new = progress.last_id.as_ref() != Some(&last);
            fruitless = if new { 0 } else { fruitless + 1 };
        }
        if progress.answered {
            return Ok(());
        }
        outcome?;
        Err(lost("its stream ended without an answer".to_owned(), true))
    }

    /// Passes the messages of a stream on until it ends or the answer came.
    async fn events(
        &self,
        response: Response,
        id: Option<i64>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let mut stream = Stream::new(response, &self.budget);
        while let Some((event, room)) = stream.next().await? {
            progress.last_id = event.id.or(progress.last_id.take());
            progress.pause = event
                .retry_ms
                .map(|ms| Duration::from_millis(ms).min(RESUME_PAUSE_MAX))
                .or(progress.pause);
            if event.data.is_empty() {
                continue;
            }
            let answered = id.is_some_and(|id| answers(event.data.as_bytes(), id));
            let packet = Packet { bytes: event.data.into_bytes(), room };
            self.pass(Incoming::Message { packet, only_answer_to: None, via: id }).await;
            if answered {
                progress.answered = true;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hears a legacy server's own messages, if it offers a stream for them.
    /// `heard` is let go of once the server said yes or no to that.
    pub(super) async fn listen(&self, heard: oneshot::Sender<()>) {
        let revision = self.revision.get().copied();
        let Some(home) = self.home.get() else { return };
        let mut progress = Progress::default();
        let mut waiting = Some(heard);
        let (mut failures, mut heard) = (0, false);
        while failures < RESUMES_MAX {
            let last = progress.last_id.clone();
            let request = home.endpoint.get(revision, self.session.get(), last.as_deref());
            let answer = home.endpoint.send(request).await;
            drop(waiting.take());
            match answer {
                Ok(response) if is_stream(&response) => {
                    if std::mem::replace(&mut heard, true) {
                        self.pass(Incoming::Resumed).await;
                    }
                    let start = tokio::time::Instant::now();
                    if let Err(failure) = self.events(response, None, &mut progress).await {
                        tracing::debug!("the server's own stream: {failure}");
                    }
                    let new = progress.last_id != last || start.elapsed() >= SOUND_AFTER;
                    failures = if new { 0 } else { failures + 1 };
                }
                // It offers none.
                Ok(_) => return,
                Err(failure) => {
                    tracing::debug!("the server's own stream: {failure}");
                    failures += 1;
                }
            }
            tokio::time::sleep(progress.pause.unwrap_or(RESUME_PAUSE)).await;
        }
    }

    /// The whole body, bounded.
    async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Packet, Failure> {
        let mut packet = Packet { bytes: Vec::new(), room: Room::default() };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if packet.bytes.len() + chunk.len() <= bytes_max => {
                    packet.room.join(room(&self.budget, chunk.len())?);
                    packet.bytes.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => {
                    let reason = format!("it answered with more than {bytes_max} bytes");
                    return Err(Failure::Protocol(reason));
                }
                Ok(None) => return Ok(packet),
                Err(e) => return Err(lost(format!("its answer broke off: {}", root(&e)), true)),
            }
        }
    }

    /// What a status other than success means.
    pub(super) async fn refusal(&self, response: Response) -> Failure {
        #[derive(Deserialize)]
        struct Refused {
            error: RpcError,
        }
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_ms = after.and_then(|after| after.trim().parse::<u64>().ok()).map(|s| s * 1_000);
        let target =
            response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        match status.as_u16() {
            code @ (401 | 403) => return Failure::Refused { status: code },
            code @ (429 | 503) if code == 429 || retry_ms.is_some() => {
                let reason = format!("HTTP {code}");
                return Failure::Busy {
                    reason,
                    retry_ms: retry_ms.unwrap_or(1_000).min(3_600_000),
                };
            }
            code @ 300..=399 => {
                let target = clip(plain(&target.unwrap_or_default()), EXCERPT_BYTES);
                let reason = format!("it redirects to {target}; set that as its `url`");
                return Failure::Http { status: code, reason };
            }
            _ => {}
        }
        let bytes =
            self.body(response, REFUSAL_BYTES_MAX).await.map(|p| p.bytes).unwrap_or_default();
        if let Ok(Refused { error }) = serde_json::from_slice(&bytes) {
            return Failure::Rpc(error);
        }
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let known = status.canonical_reason().unwrap_or("no reason given");
        let reason = if line.is_empty() || line.starts_with('<') { known } else { line };
        Failure::Http { status: status.as_u16(), reason: clip(reason.to_owned(), EXCERPT_BYTES) }
    }

    /// Ends a legacy session, so that the server need not keep it.
    pub(super) async fn say_goodbye(&self) {
        let Some(session) = self.session.get() else { return };
        let Some(home) = self.home.get() else { return };
        let request = home.endpoint.delete(self.revision.get().copied(), session);
        // A server may refuse; it forgets the session in its own time then.
        let _refused = tokio::time::timeout(GOODBYE_WAIT, home.endpoint.send(request)).await;
    }
}

/// Whether the bytes are, or hold, the answer to a request.
fn answers(bytes: &[u8], id: i64) -> bool {
    if bytes.trim_ascii_start().starts_with(b"[") {
        let batch = serde_json::from_slice::<views::Batch<'_>>(bytes);
        return batch.is_ok_and(|batch| batch.0.iter().any(|m| answers(m.get().as_bytes(), id)));
    }
    match Message::parse(bytes) {
        Ok(Message::Response { id: Id::Number(answered), .. }) => answered == id,
        Ok(Message::Response { id: Id::Text(answered), .. }) => answered.parse() == Ok(id),
        _ => false,
    }
}

fn is_modern(letter: &Letter) -> bool {
    letter.revision.is_some_and(Revision::is_modern)
}

/// Statuses of a server that surely did nothing with the request.
fn turned_away(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
}

/// Statuses that tell of the server, not of the request.
fn failed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// Whether a response is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    response.status().is_success() && media(response) == "text/event-stream"
}

/// The media type without its parameters, lower case.
fn media(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media = value.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

/// Whether a refusal is about the session and nothing else.
fn forgot(refused: &Failure) -> bool {
    let text = match refused {
        Failure::Rpc(error) => &error.message,
        Failure::Http { reason, .. } => reason,
        _ => return false,
    };
    let text = text.to_lowercase();
    text.contains("session") || text.contains("not initialized")
}

/// A target without what may be secret in it: user, password, query.
fn plain(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => target.to_owned(),
    }
}

/// A request that got no response.
pub(super) fn unsent(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        return lost(format!("no connection: {}", root(error)), false);
    }
    lost(format!("the request failed: {}", root(error)), true)
}

/// The innermost cause; the outer ones repeat the address, which may hold a secret.
pub(super) fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) {
        return "the connection failed".to_owned();
    }
    clip(cause.to_string(), EXCERPT_BYTES)
}
