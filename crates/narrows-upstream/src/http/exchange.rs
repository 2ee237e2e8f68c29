//! One request and its answer, whatever form the answer takes.

use super::endpoint::Endpoint;
use crate::wire::{Budget, Failure, Incoming, Letter, MESSAGE_BYTES_MAX, Packet, Room};
use narrows_protocol::sse::{Event, Reader};
use narrows_protocol::{Id, Message, Revision, RpcError, header, views};
use narrows_types::fault::clip;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

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

/// What all exchanges with one endpoint share.
pub(super) struct Exchange {
    endpoint: Arc<Endpoint>,
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

fn lost(reason: String, sent: bool) -> Failure {
    Failure::Lost { reason, sent }
}

impl Exchange {
    pub(super) fn new(endpoint: Arc<Endpoint>, received: mpsc::Sender<Incoming>) -> Self {
        Self {
            endpoint,
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

    async fn post(&self, mut letter: Letter) -> Result<(), Failure> {
        let room = std::mem::take(&mut letter.room);
        let (id, opens) = (letter.id, letter.method == "initialize");
        let legacy = !letter.revision.is_some_and(Revision::is_modern);
        if let Some(revision) = letter.revision.filter(|_| legacy) {
            // Kept for the stream and for the end; it is agreed on once.
            let _known = self.revision.set(revision);
        }
        let session = self.session.get().filter(|_| legacy && !opens);
        let request = self.endpoint.post(letter, session);
        let response = request.send().await.map_err(|e| unsent(&e))?;
        drop(room);
        if response.status() == StatusCode::NOT_FOUND && session.is_some() {
            if let Some(id) = id {
                self.fail(id, lost("it forgot the session".to_owned(), false)).await;
            }
            self.pass(Incoming::Expired).await;
            return Ok(());
        }
        if !response.status().is_success() {
            let status = response.status();
            let refused = self.refusal(response).await;
            // Many servers that were restarted say it this way.
            if status == StatusCode::BAD_REQUEST && session.is_some() && forgot(&refused) {
                if let Some(id) = id {
                    self.fail(id, lost("it forgot the session".to_owned(), false)).await;
                }
                self.pass(Incoming::Expired).await;
                return Ok(());
            }
            return Err(refused);
        }
        if opens && let Some(session) = response.headers().get(header::SESSION) {
            let _first = self.session.set(session.clone());
        }
        let Some(id) = id else { return Ok(()) };
        match media(&response).as_str() {
            "text/event-stream" => self.stream(response, id, legacy).await,
            "application/json" => {
                let packet = self.body(response, MESSAGE_BYTES_MAX).await?;
                let (only_answer_to, via) = (Some(id), Some(id));
                self.pass(Incoming::Message { packet, only_answer_to, via }).await;
                Ok(())
            }
            other => {
                let other = clip(other.to_owned(), 60);
                Err(Failure::Protocol(format!("it answered with content of type `{other}`")))
            }
        }
    }

    /// Reads events until the answer; takes the stream up again where the server allows it.
    async fn stream(&self, response: Response, id: i64, legacy: bool) -> Result<(), Failure> {
        let mut progress = Progress::default();
        let mut outcome = self.events(response, Some(id), &mut progress).await;
        for _ in 0..RESUMES_MAX {
            if progress.answered {
                return Ok(());
            }
            let Some(last) = progress.last_id.clone().filter(|_| legacy) else { break };
            let pause = progress.pause.unwrap_or(RESUME_PAUSE);
            let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.pass(Incoming::Paused { id, retry_ms }).await;
            tokio::time::sleep(pause).await;
            let revision = self.revision.get().copied();
            let request = self.endpoint.get(revision, self.session.get(), Some(&last));
            let response = request.send().await.map_err(|e| unsent(&e))?;
            if media(&response) != "text/event-stream" || !response.status().is_success() {
                break;
            }
            outcome = self.events(response, Some(id), &mut progress).await;
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
        mut response: Response,
        id: Option<i64>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let mut reader = Reader::new(MESSAGE_BYTES_MAX);
        let mut room = Room::default();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(()),
                Err(e) => return Err(lost(format!("its stream broke off: {}", root(&e)), true)),
            };
            room.join(self.room(chunk.len())?);
            let events = reader.feed(&chunk).map_err(|long| {
                Failure::Protocol(format!("it sent an event of more than {} bytes", long.bytes_max))
            })?;
            for Event { data, id: event_id, retry_ms, .. } in events {
                progress.last_id = event_id.or(progress.last_id.take());
                progress.pause = retry_ms
                    .map(|ms| Duration::from_millis(ms).min(RESUME_PAUSE_MAX))
                    .or(progress.pause);
                if data.is_empty() {
                    continue;
                }
                let answered = id.is_some_and(|id| answers(data.as_bytes(), id));
                let packet = Packet { bytes: data.into_bytes(), room: std::mem::take(&mut room) };
                self.pass(Incoming::Message { packet, only_answer_to: None, via: id }).await;
                progress.answered |= answered;
            }
            if progress.answered {
                return Ok(());
            }
            if chunk.ends_with(b"\n\n") || chunk.ends_with(b"\r\n\r\n") {
                // Nothing of an event is left over, also if it was a sign of life only.
                room = Room::default();
            }
        }
    }

    /// Hears a legacy server's own messages, if it offers a stream for them.
    pub(super) async fn listen(&self) {
        let revision = self.revision.get().copied();
        let mut progress = Progress::default();
        let (mut failures, mut heard) = (0, false);
        while failures < RESUMES_MAX {
            let last = progress.last_id.clone();
            let request = self.endpoint.get(revision, self.session.get(), last.as_deref());
            match request.send().await {
                Ok(response)
                    if response.status().is_success()
                        && media(&response) == "text/event-stream" =>
                {
                    if std::mem::replace(&mut heard, true) {
                        self.pass(Incoming::Resumed).await;
                    }
                    let start = tokio::time::Instant::now();
                    if let Err(failure) = self.events(response, None, &mut progress).await {
                        tracing::debug!("the server's own stream: {failure}");
                    }
                    failures = if start.elapsed() >= SOUND_AFTER { 0 } else { failures + 1 };
                }
                // It offers none.
                Ok(_) => return,
                Err(e) => {
                    tracing::debug!("the server's own stream: {}", root(&e));
                    failures += 1;
                }
            }
            tokio::time::sleep(progress.pause.unwrap_or(RESUME_PAUSE)).await;
        }
    }

    /// Room for bytes that came.
    fn room(&self, bytes: usize) -> Result<Room, Failure> {
        let full = || lost("narrows holds too many bytes of its answers already".to_owned(), true);
        self.budget.room_now(bytes).ok_or_else(full)
    }

    /// The whole body, bounded.
    async fn body(&self, mut response: Response, bytes_max: usize) -> Result<Packet, Failure> {
        let mut packet = Packet { bytes: Vec::new(), room: Room::default() };
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if packet.bytes.len() + chunk.len() <= bytes_max => {
                    packet.room.join(self.room(chunk.len())?);
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
    async fn refusal(&self, response: Response) -> Failure {
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
        let request = self.endpoint.delete(self.revision.get().copied(), session);
        // A server may refuse; it forgets the session in its own time then.
        let _refused = tokio::time::timeout(GOODBYE_WAIT, request.send()).await;
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
fn unsent(error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        return lost(format!("no connection: {}", root(error)), false);
    }
    lost(format!("the request failed: {}", root(error)), true)
}

/// The innermost cause; the outer ones repeat the address, which may hold a secret.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) {
        return "the connection failed".to_owned();
    }
    clip(cause.to_string(), EXCERPT_BYTES)
}
