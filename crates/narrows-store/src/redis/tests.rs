//! The back end against a real server.

mod faults;
mod oracle;
mod pages;
mod server;

use super::Redis;
use crate::backend::suite::{Site, backend_suite};
use crate::backend::{Backend, Change, Expect, Key, Record, Space};
use crate::queue::{Claim, NewJob};
use server::Server;
use std::sync::Arc;

async fn make() -> Site {
    let server = Server::start().await;
    let url = server.url();
    let open = move || {
        let url = url.clone();
        async move { Arc::new(Redis::open(&url).await.unwrap()) as Arc<dyn Backend> }
    };
    Site::new(open, server)
}

backend_suite!(make);

fn key(owner: &str, id: &str) -> Key {
    Key { space: Space::Session, owner: owner.to_owned(), id: id.to_owned() }
}

fn record(key: Key, body: Vec<u8>) -> Record {
    Record { key, body, weight: 1, version: 0, stamp_ms: 1, expires_ms: None }
}

fn put(key: Key, body: Vec<u8>) -> Change {
    Change::Put { record: record(key, body), expect: Expect::Any }
}

fn job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        priority: 0,
        delay_ms: 0,
        max_attempts: 3,
        body: b"do".to_vec(),
        running: None,
    }
}

fn want(count: u32) -> Claim {
    let worker = "w".to_owned();
    Claim { worker, count, lease_ms: 600_000, tenant_running_max: 1_000_000 }
}
