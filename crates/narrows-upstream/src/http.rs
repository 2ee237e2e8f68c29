//! The Streamable HTTP transport, both eras: every message is a POST, answered by JSON or by a
//! stream of events. Legacy servers may give a session and a stream of their own messages.

mod endpoint;
mod exchange;
mod places;
mod sse;
mod stream;

pub(crate) use endpoint::Endpoint;
pub(crate) use places::Places;
pub(crate) use sse::start as start_sse;

use crate::wire::{Letter, Outgoing, Wire};
use exchange::Exchange;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

/// Exchanges under way over one connection, notifications included.
const EXCHANGES_MAX: usize = 2_048;
/// How long the first request waits for the stream of the server's own messages.
const LISTEN_WAIT: Duration = Duration::from_millis(500);
/// How long a message that wants no answer may take.
const NOTICE_WAIT: Duration = Duration::from_secs(10);

/// The upstream is spoken to from now on; nothing is sent yet.
pub(crate) fn start(places: Arc<Places>) -> Wire {
    Wire::new(true, |to_send, received| {
        let exchange = Arc::new(Exchange::new(places, received));
        Pump { exchange, under_way: JoinSet::new(), requests: HashMap::new() }.run(to_send)
    })
}

/// The owner of all exchanges over one connection.
struct Pump {
    exchange: Arc<Exchange>,
    under_way: JoinSet<Option<i64>>,
    requests: HashMap<i64, AbortHandle>,
}

impl Pump {
    async fn run(mut self, mut to_send: mpsc::Receiver<Outgoing>) -> String {
        loop {
            tokio::select! {
                message = to_send.recv() => match message {
                    Some(Outgoing::Message(letter)) => self.send(letter).await,
                    Some(Outgoing::Abandon(id)) => {
                        // Closing the exchange is how modern servers are told.
                        if let Some(request) = self.requests.remove(&id) {
                            request.abort();
                        }
                    }
                    None => break,
                },
                Some(done) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    if let Ok(Some(id)) = done {
                        self.requests.remove(&id);
                    }
                }
            }
        }
        self.under_way.shutdown().await;
        self.exchange.say_goodbye().await;
        "it was stopped".to_owned()
    }

    async fn send(&mut self, letter: Letter) {
        let exchange = Arc::clone(&self.exchange);
        if letter.method == "notifications/initialized" {
            // What is asked next depends on it.
            let told = exchange.run(letter);
            if tokio::time::timeout(NOTICE_WAIT, told).await.is_err() {
                tracing::debug!("the end of the opening was not acknowledged");
            }
            let exchange = Arc::clone(&self.exchange);
            let (heard, hears) = oneshot::channel();
            self.under_way.spawn(async move {
                exchange.listen(heard).await;
                None
            });
            // What a server asks before its stream is open, many a one drops.
            let _in_time = tokio::time::timeout(LISTEN_WAIT, hears).await;
            return;
        }
        let id = letter.id;
        if self.under_way.len() >= EXCHANGES_MAX {
            if let Some(id) = id {
                self.exchange.fail(id, exchange::too_many()).await;
            }
            return;
        }
        let request = self.under_way.spawn(async move {
            let told = exchange.run(letter);
            if id.is_some() {
                told.await;
            } else if tokio::time::timeout(NOTICE_WAIT, told).await.is_err() {
                tracing::debug!("a notification was not acknowledged");
            }
            id
        });
        if let Some(id) = id {
            self.requests.insert(id, request);
        }
    }
}
