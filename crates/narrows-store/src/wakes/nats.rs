//! NATS `JetStream`: one subject, which listeners hear as it is and which a work queue keeps.

use super::held::HELD_MAX;
use super::hub::{Heard, Line};
use crate::error::StoreError;
use crate::place::redacted;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::{AckKind, Acker};
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use percent_encoding::percent_decode_str;
use std::fmt::Display;
use std::future::IntoFuture;
use std::time::Duration;
use tokio::sync::watch;

/// How long connecting may take, and any answer.
const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// Between two signs of life.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Messages that wait in the work queue; beyond it the oldest go.
const WORK_MAX: i64 = 10_000;
/// Messages that wait for one listener.
const NEWS_MAX: usize = 1_000;
/// How long a message is worth anything.
const AGE: Duration = Duration::from_mins(10);
/// How long a message may be without a sign of its holder; each look gives one.
const ACK_WAIT: Duration = Duration::from_secs(15);
/// How often a message is given to somebody.
const DELIVERIES_MAX: i64 = 6;
/// Bytes of a message; an id and what belongs to it.
const MESSAGE_BYTES_MAX: i32 = 4_096;

/// A broker.
pub(super) struct Address {
    /// Who we are: a name and a password, or a token alone.
    user: Option<(String, Option<String>)>,
    /// Without them.
    place: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        // What the parser says of a wrong one may repeat its password.
        let unknown = |_hidden| StoreError::WakesUrl { url: redacted(url) };
        let server: ServerAddr = url.parse().map_err(unknown)?;
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = server.username().map(|name| (plain(name), server.password().map(plain)));
        let host = match server.host() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let place = format!("{}://{host}:{}", server.scheme(), server.port());
        Ok(Self { user, place })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Connects and declares what is ours; both are the same however often they are done.
    pub(super) async fn connect(&self, name: &str, listen: bool) -> Result<Nats, String> {
        let lost = watch::Sender::new(false);
        let broken = lost.subscribe();
        let options = ConnectOptions::new()
            .name("narrows")
            .connection_timeout(ANSWER_WAIT)
            .request_timeout(Some(ANSWER_WAIT))
            .ping_interval(PING_EVERY)
            .subscription_capacity(NEWS_MAX)
            // Whoever was away has missed something: the connection is made anew by us.
            .max_reconnects(1)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    lost.send_replace(true);
                }
                std::future::ready(())
            });
        let options = match self.user.clone() {
            Some((name, Some(password))) => options.user_and_password(name, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        let client = options.connect(self.place.as_str()).await.map_err(said)?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_WAIT);
        Nats::open(client, context, broken, name, listen).await
    }
}

/// An open connection.
pub(super) struct Nats {
    client: Client,
    context: Context,
    subject: String,
    broken: watch::Receiver<bool>,
    listener: Option<Listener>,
}

struct Listener {
    news: Subscriber,
    work: pull::Stream,
}

/// What the library says; it repeats no password.
fn said(error: impl Display) -> String {
    error.to_string()
}

impl Nats {
    async fn open(
        client: Client,
        context: Context,
        broken: watch::Receiver<bool>,
        name: &str,
        listen: bool,
    ) -> Result<Self, String> {
        let subject = format!("narrows.jobs.{name}");
        let config = Config {
            name: format!("narrows-{name}"),
            subjects: vec![subject.clone()],
            retention: RetentionPolicy::WorkQueue,
            max_messages: WORK_MAX,
            max_age: AGE,
            max_message_size: MESSAGE_BYTES_MAX,
            num_replicas: 1,
            ..Config::default()
        };
        let stream = context.get_or_create_stream(config).await.map_err(said)?;
        let mut listener = None;
        if listen {
            let news = client.subscribe(subject.clone()).await.map_err(said)?;
            let config = pull::Config {
                durable_name: Some("workers".to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: ACK_WAIT,
                max_deliver: DELIVERIES_MAX,
                max_ack_pending: WORK_MAX,
                ..pull::Config::default()
            };
            let consumer = stream.get_or_create_consumer("workers", config).await.map_err(said)?;
            let batch = usize::from(HELD_MAX) / 8;
            let work = consumer.stream().max_messages_per_batch(batch).messages().await;
            listener = Some(Listener { news, work: work.map_err(said)? });
        }
        Ok(Self { client, context, subject, broken, listener })
    }
}

impl Line for Nats {
    type Receipt = Acker;

    async fn publish(&self, ids: &[String]) -> Result<(), String> {
        let mut confirms = Vec::with_capacity(ids.len());
        for id in ids {
            let confirm = self.context.publish(self.subject.clone(), id.clone().into());
            confirms.push(confirm.await.map_err(said)?.into_future());
        }
        try_join_all(confirms).await.map(drop).map_err(said)
    }

    async fn hear(&mut self) -> Result<Heard<Acker>, String> {
        const ENDED: &str = "it ended the connection";
        let Some(listener) = &mut self.listener else {
            // Whoever could say so may be gone, which says the same.
            let _told = self.broken.wait_for(|broken| *broken).await;
            return Err(ENDED.to_owned());
        };
        tokio::select! {
            _told = self.broken.wait_for(|broken| *broken) => Err(ENDED.to_owned()),
            message = listener.news.next() => {
                let message = message.ok_or(ENDED)?;
                Ok(Heard { id: message.payload.to_vec(), receipt: None })
            }
            message = listener.work.next() => {
                let (message, acker) = message.ok_or(ENDED)?.map_err(said)?.split();
                Ok(Heard { id: message.payload.to_vec(), receipt: Some(acker) })
            }
        }
    }

    async fn acknowledge(&self, receipt: &Acker) -> Result<(), String> {
        receipt.ack().await.map_err(said)
    }

    async fn prolong(&self, receipt: &Acker) -> Result<(), String> {
        receipt.ack_with(AckKind::Progress).await.map_err(said)
    }

    async fn close(self) {
        if let Err(error) = self.client.flush().await {
            tracing::debug!("{error}");
        }
    }
}
