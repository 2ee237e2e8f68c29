//! A listener with bounds: so many connections, and none that keeps its place for nothing.

use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use futures_util::StreamExt as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// How long the head of a request may take, from the connection's begin or from its own first byte.
const HEAD_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1_000 } else { 10_000 });
/// How long a connection may wait between two requests, or leave an answer unread.
const IDLE_MAX: Duration = Duration::from_millis(if cfg!(test) { 2_000 } else { 60_000 });
/// How long a connection may carry nothing in either direction while a request is under way. Longer
/// than any request may take: a stream shows signs of life, an answer as JSON does not.
const SILENCE_MAX: Duration = Duration::from_mins(15);

pub(crate) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

/// A kind of connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Made ready to be served.
    fn opened(&self) {}
}

impl Stream for TcpStream {
    fn opened(&self) {
        if let Err(e) = self.set_nodelay(true) {
            tracing::debug!("no TCP_NODELAY: {e}");
        }
    }
}

impl Stream for UnixStream {}

impl<L> Listener for Bounded<L>
where
    L: Listener<Io: Stream>,
{
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let (stream, address) = self.listener.accept().await;
        stream.opened();
        (Connection::new(stream, place), address)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// How many requests of a connection are under way: from the end of the head to the answer.
#[derive(Clone, Default)]
pub(crate) struct UnderWay(Arc<AtomicUsize>);

impl<L> Connected<IncomingStream<'_, Bounded<L>>> for UnderWay
where
    L: Listener<Io: Stream>,
{
    fn connect_info(stream: IncomingStream<'_, Bounded<L>>) -> Self {
        stream.io().under_way.clone()
    }
}

impl UnderWay {
    fn enter(self) -> Entered {
        self.0.fetch_add(1, Ordering::AcqRel);
        Entered(self)
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// A request that is under way.
struct Entered(UnderWay);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The middleware that tells a connection when a request of its is under way. An answer that is
/// whole has only to be written; a stream keeps the request under way until it ends.
pub(crate) async fn track(
    ConnectInfo(under_way): ConnectInfo<UnderWay>,
    request: Request,
    next: Next,
) -> Response {
    let entered = under_way.enter();
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let _held = &entered;
            chunk
        }))
    })
}

/// A connection that ends when it is overdue and gives its place back.
pub(crate) struct Connection<S> {
    stream: S,
    under_way: UnderWay,
    /// When bytes last came or went.
    heard: Instant,
    /// When the head that is not whole yet began.
    head: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    fn new(stream: S, place: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Self {
            stream,
            under_way: UnderWay::default(),
            heard: now,
            head: Some(now),
            alarm: Box::pin(tokio::time::sleep_until(now + HEAD_WAIT)),
            _place: place,
        }
    }

    fn read(&mut self) {
        self.heard = Instant::now();
        // More bytes do not give a head more time.
        self.head = if self.under_way.any() { None } else { self.head.or(Some(self.heard)) };
    }

    fn written(&mut self) {
        self.heard = Instant::now();
        self.head = None;
    }

    fn due(&self) -> Instant {
        match self.head {
            _ if self.under_way.any() => self.heard + SILENCE_MAX,
            Some(began) => began + HEAD_WAIT,
            None => self.heard + IDLE_MAX,
        }
    }

    /// Ready once the connection has had its time.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let due = self.due();
        if self.alarm.deadline() != due {
            self.alarm.as_mut().reset(due);
        }
        ready!(self.alarm.as_mut().poll(cx));
        Poll::Ready(io::Error::from(io::ErrorKind::TimedOut))
    }
}

impl<S: Stream> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.read();
            return Poll::Ready(read);
        }
        self.overdue(cx).map(Err)
    }
}

impl<S: Stream> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            self.written();
            return Poll::Ready(written);
        }
        self.overdue(cx).map(Err)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write_vectored(cx, parts) {
            self.written();
            return Poll::Ready(written);
        }
        self.overdue(cx).map(Err)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
