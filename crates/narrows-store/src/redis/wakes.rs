//! News of jobs from whoever shares the place.

use super::address::Address;
use futures_util::StreamExt;
use redis::{RedisError, RedisResult};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long one step may take.
const STEP_WAIT: Duration = Duration::from_secs(5);
/// A connection that hears nothing is asked so often whether it still stands.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Between two attempts to listen.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Who listens, and to whom it is told.
pub(super) struct Wakes {
    count: Arc<watch::Sender<u64>>,
    /// One task; it ends with this.
    listener: Mutex<JoinSet<()>>,
}

impl Wakes {
    pub(super) fn start(address: Arc<Address>) -> Self {
        let count = Arc::new(watch::Sender::new(0));
        let mut listener = JoinSet::new();
        listener.spawn(listen(address, Arc::clone(&count)));
        Self { count, listener: Mutex::new(listener) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(super) fn stop(&self) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn listen(address: Arc<Address>, count: Arc<watch::Sender<u64>>) {
    let mut pause = PAUSE_MIN;
    loop {
        let mut heard = false;
        let wake = || {
            heard = true;
            count.send_modify(|count| *count += 1);
        };
        if let Err(why) = hear(&address, wake).await {
            tracing::debug!("the store {}: no news of jobs: {why}", address.place);
        }
        pause = if heard { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tokio::time::sleep(pause).await;
    }
}

/// Listens until the connection breaks. Wakes once at the beginning: what was said before was missed.
async fn hear(address: &Address, mut wake: impl FnMut()) -> RedisResult<()> {
    let connected = step(address.news.get_async_pubsub()).await?;
    let (mut sink, mut stream) = connected.split();
    step(sink.subscribe(address.channel())).await?;
    wake();
    let mut tick = interval(PING_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(_) => wake(),
                None => return Ok(()),
            },
            _ = tick.tick() => {
                // The answer comes through the stream's task, which goes on by itself.
                step(sink.ping::<redis::Value>()).await?;
            }
        }
    }
}

async fn step<T>(work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_elapsed| RedisError::from(io::Error::from(io::ErrorKind::TimedOut));
    timeout(STEP_WAIT, work).await.map_err(late)?
}
