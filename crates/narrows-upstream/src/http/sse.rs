//! The transport of 2024-11-05: one stream of events from the server, and a second place, which it
//! names first, where it wants our messages.

use super::exchange::{Exchange, is_stream, lost, too_many};
use super::places::{Places, Visit};
use super::stream::Stream;
use super::{EXCHANGES_MAX, NOTICE_WAIT};
use crate::wire::{Budget, Failure, Incoming, Letter, Outgoing, Packet, Wire};
use reqwest::{StatusCode, Url};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// How long the server may take to name the place for our messages.
const PLACE_WAIT: Duration = Duration::from_secs(20);
/// How it ends when we want it to.
const STOPPED: &str = "it was stopped";

/// The upstream is spoken to from now on; nothing is sent yet.
pub(crate) fn start(places: Arc<Places>) -> Wire {
    Wire::new(false, |mut to_send, received| async move {
        let exchange = Exchange::new(Arc::clone(&places), received.clone());
        let budget = Budget::incoming();
        match tokio::time::timeout(PLACE_WAIT, open(&places, &exchange, &budget)).await {
            Ok(Ok((visit, stream, target))) => {
                let sender = Arc::new(Sender { visit, target, exchange });
                let pump = Pump { sender, under_way: JoinSet::new(), requests: HashMap::new() };
                pump.run(stream, to_send, received).await
            }
            Ok(Err(failure)) => refuse(failure, &mut to_send, &exchange).await,
            Err(_elapsed) => {
                let why = "it named no place for messages on its stream".to_owned();
                refuse(Failure::Protocol(why), &mut to_send, &exchange).await
            }
        }
    })
}

/// Opens the stream and reads where messages are wanted.
async fn open<'a>(
    places: &Places,
    exchange: &Exchange,
    budget: &'a Budget,
) -> Result<(Visit, Stream<'a>, Url), Failure> {
    let mut tried = Vec::new();
    let mut failure = lost("it has no place".to_owned(), false);
    while let Some(visit) = places.visit(&tried) {
        let response = match visit.endpoint.send(visit.endpoint.get(None, None, None)).await {
            Ok(response) => response,
            Err(Failure::Lost { reason, sent: false }) => {
                visit.bad();
                tried.push(visit);
                failure = lost(reason, false);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if !response.status().is_success() {
            return Err(exchange.refusal(response).await);
        }
        if !is_stream(&response) {
            return Err(Failure::Protocol("it offers no stream of events".to_owned()));
        }
        let mut stream = Stream::new(response, budget);
        while let Some((event, _room)) = stream.next().await? {
            if event.kind == "endpoint" {
                let target = visit.endpoint.beside(&event.data).map_err(Failure::Protocol)?;
                visit.good();
                return Ok((visit, stream, target));
            }
        }
        return Err(lost(
            "its stream ended before it named a place for messages".to_owned(),
            false,
        ));
    }
    Err(failure)
}

/// Answers what was to be sent with why it was not.
async fn refuse(
    failure: Failure,
    to_send: &mut mpsc::Receiver<Outgoing>,
    exchange: &Exchange,
) -> String {
    while let Some(message) = to_send.recv().await {
        if let Outgoing::Message(Letter { id: Some(id), .. }) = message {
            exchange.fail(id, failure.clone()).await;
        }
    }
    failure.to_string()
}

/// What all messages to one server share.
struct Sender {
    visit: Visit,
    target: Url,
    exchange: Exchange,
}

impl Sender {
    /// Sends a message; its answer comes on the stream.
    async fn send(&self, mut letter: Letter) {
        let (id, room) = (letter.id, std::mem::take(&mut letter.room));
        let endpoint = &self.visit.endpoint;
        let outcome = endpoint.send(endpoint.post_to(self.target.clone(), letter)).await;
        drop(room);
        let failure = match outcome {
            Ok(response) if response.status().is_success() => return,
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                self.exchange.expire(id).await;
                return;
            }
            Ok(response) => self.exchange.refusal(response).await,
            Err(failure) => failure,
        };
        if let Some(id) = id {
            self.exchange.fail(id, failure).await;
        } else {
            tracing::debug!("a notification was not taken: {failure}");
        }
    }
}

/// The owner of one connection.
struct Pump {
    sender: Arc<Sender>,
    under_way: JoinSet<Option<i64>>,
    requests: HashMap<i64, AbortHandle>,
}

impl Pump {
    async fn run(
        mut self,
        mut stream: Stream<'_>,
        mut to_send: mpsc::Receiver<Outgoing>,
        received: mpsc::Sender<Incoming>,
    ) -> String {
        loop {
            tokio::select! {
                message = to_send.recv() => match message {
                    Some(Outgoing::Message(letter)) => self.send(letter).await,
                    Some(Outgoing::Abandon(id)) => {
                        if let Some(request) = self.requests.remove(&id) {
                            request.abort();
                        }
                    }
                    None => return STOPPED.to_owned(),
                },
                Some(done) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    if let Ok(Some(id)) = done {
                        self.requests.remove(&id);
                    }
                }
                event = stream.next() => match event {
                    Ok(Some((event, room))) => {
                        if event.data.is_empty() || !matches!(event.kind.as_str(), "" | "message") {
                            continue;
                        }
                        let packet = Packet { bytes: event.data.into_bytes(), room };
                        let message = Incoming::Message { packet, only_answer_to: None, via: None };
                        if received.send(message).await.is_err() {
                            return STOPPED.to_owned();
                        }
                    }
                    Ok(None) => return "its stream of events ended".to_owned(),
                    Err(failure) => return failure.to_string(),
                },
            }
        }
    }

    async fn send(&mut self, letter: Letter) {
        let sender = Arc::clone(&self.sender);
        let id = letter.id;
        if letter.method == "notifications/initialized" {
            // What is asked next depends on it.
            if tokio::time::timeout(NOTICE_WAIT, sender.send(letter)).await.is_err() {
                tracing::debug!("the end of the opening was not acknowledged");
            }
            return;
        }
        if self.under_way.len() >= EXCHANGES_MAX {
            if let Some(id) = id {
                self.sender.exchange.fail(id, too_many()).await;
            }
            return;
        }
        let request = self.under_way.spawn(async move {
            let sent = sender.send(letter);
            if id.is_some() {
                sent.await;
            } else if tokio::time::timeout(NOTICE_WAIT, sent).await.is_err() {
                tracing::debug!("a notification was not acknowledged");
            }
            id
        });
        if let Some(id) = id {
            self.requests.insert(id, request);
        }
    }
}
