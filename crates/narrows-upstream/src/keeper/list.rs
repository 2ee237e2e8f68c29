//! The tools of an upstream: read when it starts and when it says that they changed, kept for the
//! next start of Narrows.

use super::{Keeper, Keeping, Outcome, Phase};
use crate::board::Connected;
use crate::listing::{self, Offer};
use crate::wire::Failure;
use narrows_protocol::mirror::mirrors;
use narrows_types::ListKind;
use narrows_types::fault::clip;
use std::sync::Arc;
use tokio::time::Instant;

impl Keeper {
    /// The upstream says that its list of tools changed.
    pub(super) fn tools_changed(&mut self) {
        let Phase::Up { .. } = self.phase else { return };
        if self.reading || self.due {
            self.list_again |= self.reading;
            return;
        }
        let now = Instant::now();
        let next = self.pace.next(now);
        if next <= now {
            self.read_list();
            return;
        }
        self.due = true;
        let generation = self.generation;
        self.tasks.spawn(async move {
            tokio::time::sleep_until(next).await;
            Outcome::ListAgain(generation)
        });
    }

    /// Reads the list anew, unless it is being read.
    pub(super) fn read_list(&mut self) {
        let Phase::Up { connected, .. } = &self.phase else { return };
        self.due = false;
        if self.reading {
            return;
        }
        self.reading = true;
        self.list_again = false;
        self.curious.append(&mut self.later);
        let (connected, generation) = (Arc::clone(connected), self.generation);
        let deadline = Instant::now() + self.cell.config.start_timeout;
        let over_http = self.cell.over_http();
        self.tasks.spawn(async move {
            Outcome::Listed(generation, offer(&connected, over_http, deadline).await.map(Box::new))
        });
    }

    /// What was being read is of a connection that is gone; those who wait hear of the next one.
    pub(super) fn forget_reading(&mut self) {
        self.curious.append(&mut self.later);
        (self.reading, self.due, self.list_again) = (false, false, false);
    }

    pub(super) fn listed(&mut self, list: Result<Box<Offer>, Failure>) {
        self.reading = false;
        self.pace.read(Instant::now());
        match list {
            Ok(mut offer) => {
                offer.modern_only = self.cell.modern_only();
                if !offer.skipped.is_empty() {
                    let server = self.cell.name();
                    tracing::warn!(server, "skipped tools: {}", offer.skipped.join("; "));
                }
                self.cell.set_offer(*offer);
                self.keep();
                let told = std::mem::take(&mut self.hearing.told);
                if !self.board.publish() && told {
                    // Something changed that we do not compare, and its clients may.
                    self.board.changed(ListKind::Tools);
                }
            }
            Err(failure) => {
                let reason = clip(
                    format!("its tools could not be listed: {failure}"),
                    listing::REASON_BYTES_MAX,
                );
                if self.is_useless() {
                    return self.give_up(reason);
                }
                tracing::warn!(server = self.cell.name(), "{reason}");
                self.cell.complain(reason);
            }
        }
        for curious in self.curious.drain(..) {
            let _gone = curious.send(());
        }
        if !self.later.is_empty() {
            self.read_list();
        } else if std::mem::take(&mut self.list_again) {
            self.tools_changed();
        }
    }

    /// A server that answers, but not with its tools, not even on another day, is as good as one
    /// that does not start: nobody is to wait for it again and again. A connection that is ending
    /// tells by itself how it went.
    fn is_useless(&self) -> bool {
        let Phase::Up { connected, .. } = &self.phase else { return false };
        self.cell.offer().is_none() && !connected.peer.is_closed()
    }

    /// Keeps the list for the next start of Narrows. One at a time, so that the last one stays.
    pub(super) fn keep(&mut self) {
        let (Some(cache), Some(offer)) = (self.cache.clone(), self.cell.offer()) else { return };
        if self.keeping != Keeping::Idle {
            self.keeping = Keeping::Again;
            return;
        }
        self.keeping = Keeping::Once;
        let cell = Arc::clone(&self.cell);
        self.tasks.spawn_blocking(move || {
            if let Err(e) = cache.store(&cell.config.launch, &offer) {
                tracing::warn!(server = cell.name(), "its tools are not kept: {e}");
            }
            Outcome::Kept
        });
    }
}

/// What an upstream offers now.
async fn offer(
    connected: &Connected,
    over_http: bool,
    deadline: Instant,
) -> Result<Offer, Failure> {
    let agreed = &connected.agreed;
    let has_tools = agreed.offers.has(ListKind::Tools);
    let read = listing::tools(&connected.peer, agreed.revision, has_tools, deadline).await?;
    let listing::Reading { mut tools, mut skipped, ttl_ms, private, .. } = read;
    if over_http && agreed.revision.is_modern() {
        tools.retain(|tool| match mirrors(&tool.input_schema) {
            Ok(_) => true,
            Err(why) => {
                skipped.push(clip(format!("{}: {why}", tool.name), listing::REASON_BYTES_MAX));
                false
            }
        });
    }
    Ok(Offer {
        revision: agreed.revision.as_str().to_owned(),
        version: agreed.server.version.clone(),
        instructions: agreed.instructions.clone(),
        capabilities: Some(Arc::clone(&agreed.capabilities)),
        modern_only: false,
        tools,
        skipped,
        ttl_ms,
        private,
    })
}
