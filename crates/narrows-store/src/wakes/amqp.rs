//! `RabbitMQ`: a fan-out exchange, a short-lived queue for each listener, one quorum queue for all.

use super::held::HELD_MAX;
use super::hub::{Heard, Line};
use crate::error::StoreError;
use crate::place::redacted;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{
    Acker, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    ExchangeKind,
};
use std::fmt::Display;

/// Seconds between signs of life.
const HEARTBEAT_S: u16 = 15;
/// Milliseconds that a connection may take to come about.
const CONNECT_MS: u64 = 4_000;
/// Messages that wait in the work queue; beyond it the oldest go.
const WORK_MAX: i64 = 10_000;
/// Messages that wait for one listener.
const NEWS_MAX: i64 = 1_000;
/// Milliseconds that a message is worth anything.
const AGE_MS: i64 = 600_000;
/// How often a message is given to somebody else after its holder was lost.
const DELIVERIES_MAX: i64 = 5;
/// Milliseconds after which a queue that nobody uses is gone.
const UNUSED_MS: i64 = 7 * 86_400_000;
/// Kept on disk.
const PERSISTENT: u8 = 2;

/// A broker.
pub(super) struct Address {
    uri: AMQPUri,
    place: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        // What the parser says of a wrong one may repeat its password.
        let unknown = |_hidden| StoreError::WakesUrl { url: redacted(url) };
        let mut uri: AMQPUri = url.parse().map_err(unknown)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        uri.query.connection_timeout.get_or_insert(CONNECT_MS);
        let (host, port) = (&uri.authority.host, uri.authority.port);
        let place = format!("{}://{host}:{port}", uri.scheme);
        Ok(Self { uri, place })
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Connects and declares what is ours; both are the same however often they are done.
    pub(super) async fn connect(&self, name: &str, listen: bool) -> Result<Rabbit, String> {
        Rabbit::connect(self.uri.clone(), name, listen).await.map_err(said)
    }
}

/// An open connection.
pub(super) struct Rabbit {
    connection: Connection,
    channel: Channel,
    exchange: ShortString,
    listener: Option<Listener>,
}

struct Listener {
    news: Consumer,
    work: Consumer,
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// What the library says; it repeats no password.
fn said(error: impl Display) -> String {
    error.to_string()
}

impl Rabbit {
    async fn connect(uri: AMQPUri, name: &str, listen: bool) -> lapin::Result<Self> {
        let options = ConnectionProperties::default().with_connection_name("narrows".into());
        let connection = Connection::connect_uri(uri, options).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let exchange: ShortString = format!("narrows.{name}").into();
        let work: ShortString = format!("narrows.{name}.work").into();
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, durable, none()).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let quorum = table(&[
            ("x-queue-type", AMQPValue::LongString("quorum".into())),
            ("x-delivery-limit", DELIVERIES_MAX.into()),
            ("x-max-length", WORK_MAX.into()),
            ("x-overflow", AMQPValue::LongString("drop-head".into())),
            ("x-message-ttl", AGE_MS.into()),
            ("x-expires", UNUSED_MS.into()),
        ]);
        channel.queue_declare(work.clone(), durable, quorum).await?;
        bind(&channel, &work, &exchange).await?;
        let listener =
            if listen { Some(Listener::begin(&connection, &exchange, work).await?) } else { None };
        Ok(Self { connection, channel, exchange, listener })
    }
}

async fn bind(channel: &Channel, queue: &ShortString, exchange: &ShortString) -> lapin::Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.clone(), exchange.clone(), "".into(), options, none).await
}

impl Listener {
    async fn begin(
        connection: &Connection,
        exchange: &ShortString,
        work: ShortString,
    ) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(HELD_MAX, BasicQosOptions::default()).await?;
        // It ends with the connection.
        let own = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let bounded = table(&[
            ("x-max-length", NEWS_MAX.into()),
            ("x-overflow", AMQPValue::LongString("drop-head".into())),
        ]);
        let news = channel.queue_declare("".into(), own, bounded).await?.name().clone();
        bind(&channel, &news, exchange).await?;
        let unheld = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let none = FieldTable::default;
        let news = channel.basic_consume(news, "".into(), unheld, none()).await?;
        let held = BasicConsumeOptions::default();
        let work = channel.basic_consume(work, "".into(), held, none()).await?;
        Ok(Self { news, work })
    }
}

impl Line for Rabbit {
    type Receipt = Acker;

    async fn publish(&self, ids: &[String]) -> Result<(), String> {
        let mut confirms = Vec::with_capacity(ids.len());
        for id in ids {
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let options = BasicPublishOptions::default();
            let exchange = self.exchange.clone();
            let confirm =
                self.channel.basic_publish(exchange, "".into(), options, id.as_bytes(), properties);
            confirms.push(confirm.await.map_err(said)?);
        }
        let confirmed = try_join_all(confirms).await.map_err(said)?;
        // A full queue of one listener says no, too: it has enough to hear.
        let refused = confirmed.iter().filter(|c| matches!(c, Confirmation::Nack(_))).count();
        if refused > 0 {
            tracing::debug!("the broker refused {refused} messages");
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<Heard<Acker>, String> {
        let Some(listener) = &mut self.listener else { return quiet(&self.connection).await };
        let (delivery, held) = tokio::select! {
            delivery = listener.news.next() => (delivery, false),
            delivery = listener.work.next() => (delivery, true),
        };
        let delivery: Delivery = delivery.ok_or("it ended the connection")?.map_err(said)?;
        Ok(Heard { id: delivery.data, receipt: held.then_some(delivery.acker) })
    }

    async fn acknowledge(&self, receipt: &Acker) -> Result<(), String> {
        receipt.ack(BasicAckOptions::default()).await.map(drop).map_err(said)
    }

    async fn prolong(&self, _receipt: &Acker) -> Result<(), String> {
        // It is ours for as long as the connection stands.
        Ok(())
    }

    async fn close(self) {
        if let Err(error) = self.connection.close(200, "bye".into()).await {
            tracing::debug!("{error}");
        }
    }
}

/// Until the connection breaks.
async fn quiet<T>(connection: &Connection) -> Result<T, String> {
    let mut events = connection.events_listener();
    while connection.status().connected() {
        if events.next().await.is_none() {
            break;
        }
    }
    Err("it ended the connection".to_owned())
}
