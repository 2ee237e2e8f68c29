//! The one way from a program to the network: a forward proxy over HTTP/1.1, for each run its own.
//!
//! It listens on a socket that was made inside the program's network, in which nothing else is. So
//! whoever connects is that run, and nobody has to say who he is. Names are looked up here, only hosts
//! of the run's list are dialled, and never an address of this machine or a network that it is in,
//! unless the list has that very address. What goes through a tunnel is not looked into.

mod counted;
mod dial;
mod exchange;
mod way;

use counted::Counted;
use dial::Lookups;
use exchange::{Tunnel, busy, exchange};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use narrows_types::Network;
use nix::sys::socket::{setsockopt, sockopt};
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// Connections of one run at once; further ones wait.
const CONNECTIONS_MAX: usize = 16;
/// Of all runs together: each is two descriptors of the gateway's.
const CONNECTIONS_ALL: usize = 192;
/// How long a connection waits for a place among those of all runs, before it is told that there is
/// none, and how long it may take to ask and to hear that.
const PLACE_WAIT: Duration = Duration::from_secs(5);
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// Bytes that one run may move over the network, in both directions together.
const BYTES_MAX: u64 = 256 << 20;
/// How long a request's head may take to arrive.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The largest head, and the most fields in it.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 100;
/// What the kernel keeps for each connection, in each direction.
const BUFFER_BYTES: usize = 128 << 10;
/// The pause after a connection that could not be taken.
const AGAIN: Duration = Duration::from_millis(50);

/// What a program wanted to reach and may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The host with its port, as the program named it.
    pub host: String,
    /// Why not.
    pub why: String,
}

/// What the proxies of all runs have in common.
#[derive(Debug)]
pub(crate) struct Common {
    connections: Arc<Semaphore>,
    lookups: Lookups,
}

impl Default for Common {
    fn default() -> Self {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_ALL));
        Self { connections, lookups: Lookups::default() }
    }
}

/// What all connections of one run have in common.
#[derive(Debug)]
struct Run {
    network: Network,
    /// Bytes that it may still move.
    left: Arc<AtomicU64>,
    /// Who is told of what was denied. One that does not listen misses some.
    tell: mpsc::Sender<Denied>,
    tasks: TaskTracker,
    lookups: Lookups,
}

/// Takes over what listens in a program's network.
///
/// # Errors
/// It is no such socket.
pub(crate) fn adopt(door: OwnedFd) -> io::Result<TcpListener> {
    // Connections have it from the listener.
    setsockopt(&door, sockopt::SndBuf, &BUFFER_BYTES)?;
    setsockopt(&door, sockopt::RcvBuf, &BUFFER_BYTES)?;
    let listener = std::net::TcpListener::from(door);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Serves one run, until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    network: Network,
    tell: mpsc::Sender<Denied>,
    (tasks, common): (TaskTracker, Arc<Common>),
) {
    let (left, lookups) = (Arc::new(AtomicU64::new(BYTES_MAX)), common.lookups.of_a_run());
    let run = Arc::new(Run { network, left, tell, tasks, lookups });
    let mut open = JoinSet::new();
    let mut waited = None::<Instant>;
    loop {
        tokio::select! {
            Some(_ended) = open.join_next() => {}
            taken = listener.accept(), if open.len() < CONNECTIONS_MAX => match taken {
                Ok((stream, _)) => {
                    // Those behind one that has waited in vain have waited as long.
                    let now = waited.is_some_and(|waited| waited.elapsed() < PLACE_WAIT);
                    // One at a time: what waits has a descriptor of the gateway's, too.
                    let Some(place) = place(&common, if now { Duration::ZERO } else { PLACE_WAIT }).await
                    else {
                        waited = waited.filter(|_| now).or_else(|| Some(Instant::now()));
                        turn_away(stream).await;
                        continue;
                    };
                    waited = None;
                    let served = connection(stream, Arc::clone(&run));
                    open.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!("a connection of a program's was not taken: {error}");
                    tokio::time::sleep(AGAIN).await;
                }
            },
        }
    }
}

async fn place(common: &Common, wait: Duration) -> Option<OwnedSemaphorePermit> {
    let place = Arc::clone(&common.connections).acquire_owned();
    timeout(wait, place).await.ok()?.ok()
}

async fn turn_away(stream: TcpStream) {
    let service = service_fn(|_request| async { Ok::<_, Infallible>(busy()) });
    let served = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever does not ask in time hears nothing.
    let _told = timeout(BUSY_WAIT, served).await;
}

/// Everything that is asked on one connection.
async fn connection(stream: TcpStream, run: Arc<Run>) {
    let tunnel = Arc::new(Mutex::new(None::<Tunnel>));
    let service = service_fn(|request| {
        let (run, tunnel) = (Arc::clone(&run), Arc::clone(&tunnel));
        async move {
            let (answer, opened) = exchange(request, &run).await;
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    let opened = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Ok(()), Some(Tunnel { near, mut far })) = (served, opened)
        && let Ok(near) = near.await
    {
        // Whichever side breaks it off, there is nobody to tell.
        let _over = copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What is answered to one request. The list is empty: a place is worth a 403.
    async fn asked(proxy: SocketAddr) -> String {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        let request = b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn where_others_have_all_places_it_is_told() {
        let common = Common { connections: Arc::new(Semaphore::new(1)), ..Common::default() };
        let (common, mut runs, mut proxies) = (Arc::new(common), JoinSet::new(), Vec::new());
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            proxies.push(listener.local_addr().unwrap());
            let shared = (TaskTracker::new(), Arc::clone(&common));
            runs.spawn(serve(listener, Network::default(), mpsc::channel(1).0, shared));
        }
        let greedy = TcpStream::connect(proxies[0]).await.unwrap();
        while common.connections.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        let (one, two) = tokio::join!(asked(proxies[1]), asked(proxies[1]));
        for answer in [one, two] {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("192 in all: close those"), "{answer}");
        }
        let waited = begun.elapsed();
        assert!(waited >= PLACE_WAIT && waited < PLACE_WAIT * 2, "both wait at once: {waited:?}");
        drop(greedy);
        while common.connections.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(asked(proxies[1]).await.starts_with("HTTP/1.1 403 "));
    }
}
