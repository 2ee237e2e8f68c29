//! `narrows worker`: the queue's side alone.

use super::Desk;
use super::args::WorkerArgs;
use super::exit::Fail;
use crate::assembly::House;
use tokio_util::sync::CancellationToken;

impl Desk {
    /// Does jobs until a signal comes, then lets those under way end; a second signal ends it at
    /// once, and the leases of its jobs run out for another worker.
    pub(super) async fn worker(&self, _args: WorkerArgs) -> Result<u8, Fail> {
        let loaded = self.loaded()?;
        if loaded.settings.jobs.workers == 0 {
            self.out
                .warn("`jobs.workers` is 0: no job is done until the config says another number");
        }
        let doors = async |_: &House, stop: CancellationToken| {
            self.out.note("narrows does the jobs of its store");
            stop.cancelled().await;
            Ok(())
        };
        Box::pin(self.on_duty(&loaded, &self.flags, doors)).await
    }
}
