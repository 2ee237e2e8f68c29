//! No broker was built in: nothing of this can exist.

use super::Kind;
use crate::backend::Backend;
use crate::error::StoreError;
use std::sync::Arc;
use tokio::sync::watch;

pub(super) enum Hub {}

pub(super) fn check(kind: Kind, _url: &str) -> Result<(), StoreError> {
    let feature = match kind {
        Kind::Amqp => "amqp",
        Kind::Nats => "nats",
    };
    Err(StoreError::NotBuilt { feature })
}

impl Hub {
    pub(super) fn start(
        kind: Kind,
        url: &str,
        _name: &str,
        _backend: Arc<dyn Backend>,
    ) -> Result<Self, StoreError> {
        check(kind, url)?;
        Err(StoreError::WakesUrl { url: crate::place::redacted(url) })
    }

    pub(super) fn tell(&self, _id: String) {
        match *self {}
    }

    pub(super) fn over(&self, _id: String) {
        match *self {}
    }

    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "the other one waits")]
    pub(super) async fn close(&self) {
        match *self {}
    }
}
