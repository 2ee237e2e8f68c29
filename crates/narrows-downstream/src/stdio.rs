//! MCP over standard streams: one message a line, both eras interleaved.

use crate::caller::Caller;
use crate::config::{Config, DRAIN, LAST_WORDS};
use crate::conversation::Conversation;
use crate::letters::Post;
use crate::lines::{Line, Lines};
use crate::mcp::{Exchange, Front, Params, Plan, Rules, Said, Shown, Source, negotiate};
use crate::wire::{self, Failure, Request, clipped};
use narrows_engine::{Engine, Entry};
use narrows_protocol::{Id, Message, Revision};
use narrows_types::Mode;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Requests under way at once; further ones are refused.
const REQUESTS_MAX: usize = 256;
/// Messages that wait to be written.
const OUTBOX_MAX: usize = 256;
/// Bytes of messages that are written together; the last of them may exceed it.
const WRITE_BYTES: usize = 64 << 10;
/// How long a client may leave its end of the pipe full.
const WRITE_WAIT: Duration = Duration::from_mins(5);

/// Serves this process's standard streams until the client closes them or `shutdown` is cancelled;
/// then answers what is under way, for at most 9 s, and tells what took longer that it is cut off.
/// Nothing but protocol is written to stdout.
pub async fn serve_stdio(
    engine: Engine,
    config: Arc<Config>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_lines(engine, config, shutdown, tokio::io::stdin(), tokio::io::stdout()).await
}

/// [`serve_stdio`] over any pair of streams.
pub async fn serve_lines<R, W>(
    engine: Engine,
    config: Arc<Config>,
    shutdown: CancellationToken,
    reader: R,
    writer: W,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let front = Front::new(Source::Engine(engine), config);
    let guest = Guest { from_network: false, key: None, mode: None };
    serve_front(Arc::new(front), guest, shutdown, reader, writer).await
}

/// Who is at the other end of a pair of streams.
pub(crate) struct Guest {
    /// It is not whoever started us.
    pub(crate) from_network: bool,
    /// The key that it showed.
    pub(crate) key: Option<String>,
    /// What it wants to see, if it said so.
    pub(crate) mode: Option<Mode>,
}

/// Serves one client of a front.
pub(crate) async fn serve_front<R, W>(
    front: Arc<Front>,
    guest: Guest,
    shutdown: CancellationToken,
    reader: R,
    writer: W,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut lines = Lines::new(BufReader::new(reader), front.config.body_bytes_max);
    let (outbox, messages) = mpsc::channel(OUTBOX_MAX);
    let mut writers = JoinSet::new();
    writers.spawn(write(writer, messages));
    let mut door = Door {
        guest,
        front,
        outbox,
        session: None,
        ending: shutdown.child_token(),
        under_way: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let outcome = tokio::select! {
        read = door.read(&mut lines, &shutdown) => read,
        Some(written) = writers.join_next() => return flatten(written),
    };
    tokio::select! {
        () = door.drain() => {}
        Some(written) = writers.join_next() => return flatten(written),
    }
    // The last sender goes with the door: the writer writes what waits and ends.
    drop(door);
    let written = match tokio::time::timeout(DRAIN, writers.join_next()).await {
        Ok(Some(written)) => flatten(written),
        Ok(None) => Ok(()),
        Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    outcome.and(written)
}

fn flatten(written: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    written.unwrap_or_else(|e| Err(io::Error::other(e)))
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut messages: mpsc::Receiver<String>,
) -> io::Result<()> {
    // Each write to a real standard output is a trip to another thread: what waits goes together.
    while let Some(message) = messages.recv().await {
        let mut lines = message.into_bytes();
        lines.push(b'\n');
        while lines.len() < WRITE_BYTES
            && let Ok(message) = messages.try_recv()
        {
            lines.extend_from_slice(message.as_bytes());
            lines.push(b'\n');
        }
        let put = async {
            writer.write_all(&lines).await?;
            writer.flush().await
        };
        match tokio::time::timeout(WRITE_WAIT, put).await {
            Ok(done) => done?,
            Err(_elapsed) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    Ok(())
}

/// One client.
struct Door {
    front: Arc<Front>,
    guest: Guest,
    outbox: mpsc::Sender<String>,
    /// What `initialize` opened, if the client is of the legacy era.
    session: Option<Arc<Conversation>>,
    /// Cancelled when no more requests are read.
    ending: CancellationToken,
    /// How to cancel each request.
    under_way: HashMap<Id, CancellationToken>,
    tasks: JoinSet<Id>,
}

impl Door {
    async fn read<R: tokio::io::AsyncBufRead + Unpin>(
        &mut self,
        lines: &mut Lines<R>,
        shutdown: &CancellationToken,
    ) -> io::Result<()> {
        loop {
            let line = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next() => {
                    self.ended(ended);
                    continue;
                }
                post = letters(self.session.as_ref()) => {
                    self.tell(post).await;
                    continue;
                }
                line = lines.next() => line?,
            };
            let taken = match line {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let limit = self.front.config.body_bytes_max;
                    self.fail(None, &Failure::too_long(limit)).await
                }
                Line::Whole(line) => self.take(&line).await,
            };
            if taken.is_err() {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
        }
    }

    /// Tells a client of the legacy era what changed.
    async fn tell(&self, post: Post) {
        let info = self.session.as_ref().and_then(|session| session.client().info.clone());
        if self.enter(info.as_deref()).is_ok_and(|entry| entry.mode == Mode::Code) {
            return;
        }
        for (method, params) in post.notes() {
            if self.send(wire::note(method, params.as_deref())).await.is_err() {
                return;
            }
        }
    }

    /// Waits for what is under way; what takes too long is ended and its client told.
    async fn drain(&mut self) {
        self.ending.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                self.ended(ended);
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_ok() {
            return;
        }
        // From here on no task answers any more: those that have are no longer under way.
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            self.ended(ended);
        }
        tracing::warn!("{} requests were cut off at the end", self.under_way.len());
        let failure = Failure::ending();
        let tell = async {
            for (id, cancel) in &self.under_way {
                // A cancelled request is not answered.
                if !cancel.is_cancelled() && self.fail(Some(id), &failure).await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_WORDS, tell).await.is_err() {
            tracing::warn!("the client does not read what it is told at the end");
        }
    }

    fn ended(&mut self, ended: Result<Id, tokio::task::JoinError>) {
        match ended {
            Ok(id) => {
                self.under_way.remove(&id);
            }
            Err(e) if e.is_cancelled() => {}
            // The engine catches panics of requests, so this is one of the door's own.
            Err(e) => tracing::error!("a request ended without an answer: {e}"),
        }
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Gone> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        // The answers to a batch go back one by one, each as soon as it is known.
        if self.session.as_ref().is_some_and(|s| wire::has_batches(s.revision))
            && let Some(messages) = wire::batch(line)
        {
            let messages = match messages {
                Ok(messages) => messages,
                Err(failure) => return self.fail(None, &failure).await,
            };
            for message in messages {
                self.message(message.get().as_bytes()).await?;
            }
            return Ok(());
        }
        self.message(line).await
    }

    async fn message(&mut self, line: &[u8]) -> Result<(), Gone> {
        match wire::parse(line) {
            Ok(Message::Request { id, method, params }) => {
                self.request(&Request { id, method, params }).await
            }
            Ok(Message::Notification { method, params }) => {
                if method == "notifications/cancelled"
                    && let Some(id) = wire::cancelled(params)
                    && let Some(token) = self.under_way.get(&id)
                {
                    token.cancel();
                }
                if let Some(session) = &self.session {
                    session.notified(&method).await;
                }
                Ok(())
            }
            Ok(Message::Response { id, outcome }) => {
                if let Some(session) = &self.session
                    && !session.answered(&id, outcome)
                {
                    tracing::debug!("the client answered what nobody asks, or not any more");
                }
                Ok(())
            }
            Err(bad) => self.fail(bad.0.as_ref(), &bad.1).await,
        }
    }

    async fn request(&mut self, request: &Request<'_>) -> Result<(), Gone> {
        let id = &request.id;
        if self.under_way.contains_key(id) {
            let failure = Failure::request(format!(
                "a request with id {} is under way already",
                clipped(&id.to_string())
            ));
            return self.fail(Some(id), &failure).await;
        }
        let planned = Params::read(request.params).and_then(|params| {
            let caller = self.caller(request, &params)?;
            let plan = self.front.plan(&caller, &request.method, &params, request.params)?;
            Ok((caller, plan))
        });
        let (caller, plan) = match planned {
            Err(failure) => return self.fail(Some(id), &failure).await,
            Ok((_, Plan::Ready(body))) => return self.send(wire::response(id, &body)).await,
            Ok(planned) => planned,
        };
        if self.tasks.len() >= REQUESTS_MAX {
            let message = format!("{REQUESTS_MAX} requests are under way; wait for answers");
            return self.fail(Some(id), &Failure::busy(message)).await;
        }
        let cancel = CancellationToken::new();
        self.under_way.insert(id.clone(), cancel.clone());
        let exchange = self.front.start(&caller, id, plan);
        let (outbox, id) = (self.outbox.clone(), id.clone());
        self.tasks.spawn(async move {
            // A cancelled request is not answered.
            let _cancelled = cancel.run_until_cancelled(converse(exchange, &id, &outbox)).await;
            id
        });
        Ok(())
    }

    /// Who the request is from; opens the session on `initialize`.
    fn caller(&mut self, request: &Request<'_>, params: &Params<'_>) -> Result<Caller, Failure> {
        if request.is_modern(params, None)? {
            let ending = self.ending.clone();
            let entry = self.enter(params.meta.as_ref().and_then(|m| m.info))?;
            return Ok(Caller { ending, ..Caller::alone(entry.principal, entry.mode, params) });
        }
        if request.method == "initialize" {
            let revision = negotiate(params)?;
            let entry = self.enter(params.client_info)?;
            let session = self.front.converse(revision, entry.principal, params);
            session.stand(self.outbox.clone());
            self.session = Some(Arc::clone(&session));
            return Ok(Caller::party(&session, entry.mode));
        }
        match &self.session {
            Some(session) => {
                let entry = self.enter(session.client().info.as_deref())?;
                Ok(Caller::party(session, entry.mode))
            }
            // A ping is allowed before the handshake.
            None if request.method == "ping" => Ok(Caller {
                rules: Rules::Legacy(Revision::LATEST_LEGACY),
                ..Caller::alone(self.enter(None)?.principal, Mode::Code, params)
            }),
            None => Err(Failure::no_era()),
        }
    }

    /// As whom the client comes in, and what it sees.
    fn enter(&self, client: Option<&RawValue>) -> Result<Entry, Failure> {
        let shown = match &self.guest {
            Guest { from_network: true, key, .. } => Shown::Key(key.as_deref()),
            Guest { from_network: false, .. } => Shown::Streams,
        };
        self.front.enter(shown, client, self.guest.mode)
    }

    async fn fail(&self, id: Option<&Id>, failure: &Failure) -> Result<(), Gone> {
        self.send(wire::failed(id, failure)).await
    }

    async fn send(&self, message: String) -> Result<(), Gone> {
        match tokio::time::timeout(WRITE_WAIT, self.outbox.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }
}

/// What a conversation is to hear, once there is something.
async fn letters(session: Option<&Arc<Conversation>>) -> Post {
    match session {
        Some(session) => session.letters.fetch().await,
        None => std::future::pending().await,
    }
}

/// Sends what is said of one request, and its answer.
async fn converse(mut exchange: Exchange, id: &Id, outbox: &mpsc::Sender<String>) {
    loop {
        match exchange.next().await {
            // A client that does not read loses progress, never a question or an answer.
            Said::Note(message) => drop(outbox.try_send(message)),
            // The outbox closes only when the whole door ends.
            Said::Must(message) => drop(outbox.send(message).await),
            Said::Asks | Said::Withdrawn(_) | Said::Paused(_) => {}
            Said::Last(outcome) => {
                let message = match outcome {
                    Ok(body) => wire::response(id, &body),
                    Err(failure) => wire::failed(Some(id), &failure),
                };
                return drop(outbox.send(message).await);
            }
        }
    }
}

/// The client does not read any more.
struct Gone;

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::sync::{Mutex, PoisonError};
    use std::task::{Context, Poll};

    /// Keeps what was written, write by write.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_waits_is_written_together_within_bounds() {
        let (outbox, messages) = mpsc::channel(9);
        let long = "x".repeat(WRITE_BYTES);
        for message in ["a", "b", &long, "c", "d"] {
            outbox.send(message.to_owned()).await.unwrap();
        }
        drop(outbox);
        let writes = Writes::default();
        write(writes.clone(), messages).await.unwrap();
        let expected = [format!("a\nb\n{long}\n").into_bytes(), b"c\nd\n".to_vec()];
        assert!(*writes.0.lock().unwrap() == expected);
    }
}
