//! What `serve` and `worker` share: a house in service, from its start until a signal has ended it.

use super::Desk;
use super::exit::{Fail, LOST, OK};
use super::follow::Watch;
use crate::assembly::House;
use crate::config::{Flags, Loaded};
use narrows_types::Fault;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The signals that end a house.
struct Ends {
    stop: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> Result<Self, Fault> {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(stop), Ok(interrupt)) => Ok(Self { stop, interrupt }),
            (Err(e), _) | (_, Err(e)) => Err(Fault::bug(format!("no signals: {e}"))),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.stop.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Desk {
    /// Opens the house, serves at its `doors`, does the jobs of its store and follows its config,
    /// until the doors end or a signal comes. Then no more jobs are begun, and what is under way may
    /// end: requests as the doors allow, jobs within `jobs.drain_ms`, after which they are given back
    /// to the store. A second signal ends it at once; its jobs are lost until their leases run out.
    pub(super) async fn on_duty(
        &self,
        loaded: &Loaded,
        flags: &Flags,
        doors: impl AsyncFnOnce(&House, CancellationToken) -> Result<(), Fault>,
    ) -> Result<u8, Fail> {
        let mut ends = Ends::new().map_err(Fail::Fault)?;
        let watch = Watch::new(loaded.file.clone()).await;
        let house = tokio::select! {
            house = self.house(loaded) => house?,
            // A store that is not there may be waited for longer than whoever started us wants.
            () = ends.next() => return Ok(OK),
        };
        let stop = CancellationToken::new();
        let done = {
            let work = house.work(doors(&house, stop.clone()), &stop);
            let mut work = std::pin::pin!(work);
            let first = tokio::select! {
                done = &mut work => Some(done),
                () = ends.next() => None,
                never = self.follow(&house, flags, watch) => match never {},
            };
            match first {
                Some(done) => Some(done),
                // The doors had ended before, and jobs were waited for.
                None if stop.is_cancelled() => None,
                None => {
                    tracing::info!("stops; what is under way may end, a second signal ends it now");
                    stop.cancel();
                    tokio::select! {
                        done = &mut work => Some(done),
                        () = ends.next() => None,
                    }
                }
            }
        };
        let Some(done) = done else { return Ok(LOST) };
        house.close().await;
        done.map(|()| OK).map_err(Fail::Fault)
    }
}
