//! The store on real files: what is kept, what is forgotten, who sees what, and what a broken file
//! says.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod artifacts;
mod files;
mod first;
mod records;

use narrows_store::{Clock, Config, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that a test turns by hand.
#[derive(Clone)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seconds)))
    }

    fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl From<HandClock> for Clock {
    fn from(hand: HandClock) -> Self {
        Self::new(move || hand.0.load(Ordering::SeqCst))
    }
}

fn at(path: &Path) -> Config {
    Config { url: format!("sqlite:{}", path.display()), ..Config::default() }
}

async fn open(config: &Config, clock: &HandClock) -> Store {
    Store::open(config, clock.clone()).await.unwrap()
}
