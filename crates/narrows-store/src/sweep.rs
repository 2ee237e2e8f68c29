//! Forgetting: what has expired, and what is too much.

use crate::Store;
use crate::backend::{Change, Range, Space};
use crate::error::StoreError;

/// Records that are looked at and removed at once.
const BATCH: usize = 1_000;
/// Batches of one sweep at most; the next goes on.
const BATCHES: usize = 200;
/// This part of the room is made free beyond what is needed, so that not every put has to evict.
const SLACK: u64 = 10;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records of any kind that had expired.
    pub expired: u64,
    /// Artifacts that went for the total limit, oldest first.
    pub evicted: u64,
    /// Records of runs beyond the number that is kept.
    pub runs: u64,
}

impl Store {
    /// Removes what has expired at `now` (Unix seconds) and the oldest of what is too much. The
    /// owner of the process calls it now and then.
    pub async fn sweep(&self, now: u64) -> Result<Swept, StoreError> {
        let now_ms = now.saturating_mul(1_000);
        let mut expired = 0;
        for _ in 0..BATCHES {
            match self.backend().sweep(now_ms).await? {
                0 => break,
                gone => expired += gone,
            }
        }
        let max = self.inner.config.artifacts_total_bytes_max;
        let evicted = self.evict_to(max, max).await?;
        let runs = self.keep_newest(Space::Run, self.inner.config.runs_max).await?;
        Ok(Swept { expired, evicted, runs })
    }

    /// Makes sure that all artifacts together are at most `room` bytes: if they are more, the
    /// oldest go, and some more than have to.
    pub(crate) async fn evict(&self, room: u64) -> Result<u64, StoreError> {
        self.evict_to(room, room - room / SLACK).await
    }

    /// Removes the oldest artifacts, batch by batch, if all together are more than `room` bytes,
    /// until they are not; the last batch goes on down to `wanted`.
    async fn evict_to(&self, room: u64, wanted: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..BATCHES {
            let total = self.backend().total(Space::Artifact, None).await?.weight;
            if total <= room {
                break;
            }
            let excess = total.saturating_sub(wanted);
            match self.remove_oldest(Space::Artifact, BATCH, excess).await? {
                0 => break,
                gone => removed += gone,
            }
        }
        Ok(removed)
    }

    /// Removes the oldest records of a space until there are at most `max`.
    pub(crate) async fn keep_newest(&self, space: Space, max: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        for _ in 0..BATCHES {
            let records = self.backend().total(space, None).await?.records;
            let excess = usize::try_from(records.saturating_sub(max)).unwrap_or(BATCH);
            if excess == 0 {
                break;
            }
            match self.remove_oldest(space, excess.min(BATCH), u64::MAX).await? {
                0 => break,
                gone => removed += gone,
            }
        }
        Ok(removed)
    }

    /// Removes at most `count` of the oldest records, and no more than have to go for `weight` to
    /// be free.
    async fn remove_oldest(
        &self,
        space: Space,
        count: usize,
        weight: u64,
    ) -> Result<u64, StoreError> {
        let range = Range {
            space,
            owner: None,
            oldest_first: true,
            after: None,
            limit: count,
            bodies: false,
        };
        // Also what has expired takes room until it is swept, and is the oldest.
        let mut free = 0_u64;
        let mut gone = Vec::new();
        for record in self.backend().list(&range, 0).await? {
            if free >= weight {
                break;
            }
            free = free.saturating_add(record.weight);
            gone.push(Change::Delete { key: record.key });
        }
        let removed = gone.len() as u64;
        self.backend().write(gone).await?;
        Ok(removed)
    }
}
