//! Which connection a request of a client takes.

use super::{Call, Passing};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::fleet::{connect, failed};
use crate::keeper::Want;
use crate::lanes::{self, NoLane, Turn};
use crate::wire::Failure;
use std::sync::Arc;

/// The connection of a request.
pub(super) enum Way {
    Shared(Arc<Connected>),
    Own(Turn),
}

impl Way {
    pub(super) fn connected(&self) -> &Connected {
        match self {
            Self::Shared(connected) => connected,
            Self::Own(turn) => &turn.lane.connected,
        }
    }
}

impl Call<'_> {
    /// The shared connection, or one of the client's own where the upstream could ask it something
    /// and does not do so with its answer. The client's own era comes first.
    pub(super) async fn way(&self, passing: &Passing<'_>) -> Result<Way, UpstreamError> {
        let shared = || connect(self.cell, self.about, self.start, self.deadline);
        let client = &passing.client;
        // One that remembers what it was asked serves each conversation alone.
        let alone = self.cell.config.pool.stateful && client.session.is_some();
        let own = alone || lanes::can_be_asked(client);
        let Some(lanes) = self.cell.lanes.get().filter(|_| own) else {
            return Ok(Way::Shared(shared().await?));
        };
        let modern = match self.cell.is_modern() {
            Some(modern) => modern,
            None => shared().await?.agreed.revision.is_modern(),
        };
        if modern && (client.modern || self.cell.modern_only()) {
            return Ok(Way::Shared(shared().await?));
        }
        let taken = lanes::take(self.cell, lanes, passing.principal, client);
        match tokio::time::timeout_at(self.deadline, taken).await {
            Ok(Ok(turn)) => Ok(Way::Own(turn)),
            Ok(Err(NoLane::Era)) => {
                lanes.set_modern_only(true);
                if let Some(wants) = &self.cell.wants {
                    // Else it is found out again after the next start.
                    let _full = wants.try_send(Want::ModernOnly);
                }
                Ok(Way::Shared(shared().await?))
            }
            Ok(Err(NoLane::Full)) => Err(UpstreamError::Busy {
                server: self.cell.name().to_owned(),
                reason: "every connection for this client is in use".to_owned(),
                retry_ms: 1_000,
            }),
            Ok(Err(NoLane::Failed(error))) => Err(error),
            Err(_elapsed) => {
                let waited = self.deadline.duration_since(self.start);
                Err(failed(self.cell, self.about, Failure::Timeout, waited))
            }
        }
    }
}
