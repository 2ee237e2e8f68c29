//! The one way from a program to the network: a forward proxy over HTTP/1.1, for each run its own.
//!
//! It listens on a socket that was made inside the program's network, in which nothing else is. So
//! whoever connects is that run, and nobody has to say who he is. Names are looked up here, only hosts
//! of the run's list are dialled, and never an address of this machine or its own networks, unless
//! the list has that very address. What goes through a tunnel is not looked into.

mod counted;
mod dial;
mod exchange;

use counted::Counted;
use exchange::{Tunnel, exchange};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use narrows_types::Network;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// Connections of one run at once; further ones wait.
const CONNECTIONS_MAX: usize = 32;
/// Of all runs together: each is two descriptors of the gateway's.
const CONNECTIONS_ALL: usize = 192;
/// Names that are looked up at once, for all runs together.
const LOOKUPS_ALL: usize = 32;
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
    lookups: Arc<Semaphore>,
}

impl Default for Common {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { connections: places(CONNECTIONS_ALL), lookups: places(LOOKUPS_ALL) }
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
    common: Arc<Common>,
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
    let left = Arc::new(AtomicU64::new(BYTES_MAX));
    let run = Arc::new(Run { network, left, tell, tasks, common });
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = open.join_next() => {}
            taken = listener.accept(), if open.len() < CONNECTIONS_MAX => match taken {
                Ok((stream, _)) => {
                    let places = Arc::clone(&run.common.connections);
                    let Ok(place) = places.acquire_owned().await else { return };
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

/// Everything that is asked on one connection.
async fn connection(stream: TcpStream, run: Arc<Run>) {
    let tunnel = Arc::new(Mutex::new(None::<Tunnel>));
    let service = service_fn(|request| {
        let (run, tunnel) = (Arc::clone(&run), Arc::clone(&tunnel));
        async move {
            let (answer, opened) = exchange(request, &run).await;
            *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            Ok::<_, std::convert::Infallible>(answer)
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
