//! The back end on a Redis server: each operation is one command or one script, so it is atomic
//! whoever else uses the same place; the server's clock is everybody's.
//!
//! Every name begins with one prefix in a hash tag, so that all stand in one slot of a cluster. The
//! scripts' own words say how records and jobs are laid out (`redis/lua/`).

mod address;
mod jobs;
mod link;
mod records;
mod scripts;
#[cfg(test)]
mod tests;
mod values;
mod wakes;
mod welcome;

use crate::backend::{Backend, Change, Key, Range, Record, Space, Total, Work};
use crate::error::StoreError;
use crate::queue::{Beat, Claim, Depth, JobFilter, JobRow, NewJob, Pulse, Settle};
use address::Address;
use link::Link;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wakes::Wakes;

/// How long one operation may take, waiting for a connection included.
const OPERATION_WAIT: Duration = Duration::from_secs(10);

/// Records, logs and jobs on a Redis server.
pub(crate) struct Redis {
    link: Link,
    wakes: Wakes,
}

/// The server of a url, as errors and logs call it.
pub(crate) fn place(url: &str) -> Result<String, StoreError> {
    Address::parse(url).map(|address| address.place)
}

impl Redis {
    /// Connects and looks at the server. The url is `redis://` or `rediss://`, perhaps with
    /// `?prefix=NAME`; stores with different prefixes do not see each other.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        Self::within(url, OPERATION_WAIT).await
    }

    async fn within(url: &str, wait: Duration) -> Result<Self, StoreError> {
        let address = Arc::new(Address::parse(url)?);
        let link = Link::open(Arc::clone(&address), wait).await?;
        welcome::check(&link).await?;
        let wakes = Wakes::start(address);
        Ok(Self { link, wakes })
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("place", &self.link.address.place).finish_non_exhaustive()
    }
}

impl Backend for Redis {
    fn now_ms(&self) -> Work<'_, u64> {
        Box::pin(records::now_ms(&self.link))
    }

    fn write(&self, changes: Vec<Change>) -> Work<'_, bool> {
        Box::pin(records::write(&self.link, changes))
    }

    fn get<'a>(&'a self, key: &'a Key, now_ms: u64) -> Work<'a, Option<Record>> {
        Box::pin(records::get(&self.link, key, now_ms))
    }

    fn list<'a>(&'a self, range: &'a Range, now_ms: u64) -> Work<'a, Vec<Record>> {
        Box::pin(records::list(&self.link, range, now_ms))
    }

    fn read<'a>(&'a self, key: &'a Key, from: u64, count: u64) -> Work<'a, Vec<Vec<u8>>> {
        Box::pin(records::read(&self.link, key, from, count))
    }

    fn total<'a>(&'a self, space: Space, owner: Option<&'a str>) -> Work<'a, Total> {
        Box::pin(records::total(&self.link, space, owner))
    }

    fn sweep(&self, now_ms: u64) -> Work<'_, u64> {
        Box::pin(records::sweep(&self.link, now_ms))
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Work<'_, ()> {
        Box::pin(jobs::enqueue(&self.link, jobs))
    }

    fn claim<'a>(&'a self, claim: &'a Claim) -> Work<'a, Vec<JobRow>> {
        Box::pin(jobs::claim(&self.link, claim))
    }

    fn beat(&self, beats: Vec<Beat>, lease_ms: u64) -> Work<'_, Vec<Pulse>> {
        Box::pin(jobs::beat(&self.link, beats, lease_ms))
    }

    fn settle(&self, ends: Vec<Settle>) -> Work<'_, Vec<bool>> {
        Box::pin(jobs::settle(&self.link, ends))
    }

    fn cancel<'a>(&'a self, id: &'a str) -> Work<'a, bool> {
        Box::pin(jobs::cancel(&self.link, id))
    }

    fn revive<'a>(&'a self, id: &'a str, attempts: u32) -> Work<'a, bool> {
        Box::pin(jobs::revive(&self.link, id, attempts))
    }

    fn job<'a>(&'a self, id: &'a str) -> Work<'a, Option<JobRow>> {
        Box::pin(jobs::job(&self.link, id))
    }

    fn jobs<'a>(&'a self, filter: &'a JobFilter) -> Work<'a, Vec<JobRow>> {
        Box::pin(jobs::list(&self.link, filter))
    }

    fn depth(&self) -> Work<'_, Depth> {
        Box::pin(jobs::depth(&self.link))
    }

    fn forget_jobs(&self, until_ms: u64) -> Work<'_, u64> {
        Box::pin(jobs::forget(&self.link, until_ms))
    }

    fn wakes(&self) -> watch::Receiver<u64> {
        self.wakes.subscribe()
    }

    fn close(&self) -> Work<'_, ()> {
        Box::pin(async {
            self.wakes.stop();
            self.link.close().await;
            Ok(())
        })
    }
}
