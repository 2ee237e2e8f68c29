//! A lease: one worker for one run.

use crate::backend::{Read, Write};
use crate::frames::{Broken, Frames};
use crate::guard::{Gone, LeaseEnd, Loss, Order};
use narrows_types::frame::{FromWorker, ToWorker};
use narrows_types::{BackendKind, Engine, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long the reason for a closed wire may take to arrive. A worker that closed it and lives on
/// is killed after the first of these; a container daemon may need the second to say how it ended.
const REASON: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// A worker checked out for one run. Dropping it, with both its halves where it was split, kills
/// the worker.
pub struct Lease {
    sender: LeaseSender,
    receiver: LeaseReceiver,
    grace: Duration,
    at: (BackendKind, Engine),
}

/// The half of a lease that sends.
pub struct LeaseSender {
    stream: Write,
    end: End,
}

/// The half of a lease that receives.
pub struct LeaseReceiver {
    frames: Frames<Read>,
    end: End,
    over: Option<LeaseEnd>,
}

/// What both halves know of the worker's end.
#[derive(Debug, Clone)]
struct End {
    /// With the last of these goes the worker.
    orders: Arc<watch::Sender<Order>>,
    told: watch::Receiver<Option<Gone>>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("end", &self.sender.end).finish_non_exhaustive()
    }
}

impl Lease {
    pub(crate) fn new(
        (read, write): (Read, Write),
        orders: watch::Sender<Order>,
        told: watch::Receiver<Option<Gone>>,
        grace: Duration,
        at: (BackendKind, Engine),
    ) -> Self {
        let end = End { orders: Arc::new(orders), told };
        let receiver = LeaseReceiver { frames: Frames::new(read), end: end.clone(), over: None };
        Self { sender: LeaseSender { stream: write, end }, receiver, grace, at }
    }

    /// Sets the watchdog: the worker is killed a little after `limits.wall_ms` from now. Its
    /// limits on processor time and memory it gets with its program. To be called before `Run` is
    /// sent.
    pub fn arm(&mut self, limits: &Limits) {
        let wall = Duration::from_millis(limits.wall_ms).saturating_add(self.grace);
        let now = Instant::now();
        let limits = *limits;
        self.sender.end.orders.send_modify(|order| {
            order.deadline = now.checked_add(wall).unwrap_or(order.deadline);
            order.limits = Some(limits);
        });
    }

    /// The back end that launched the worker, and the engine in it.
    pub fn at(&self) -> (BackendKind, Engine) {
        self.at
    }

    /// Sends one frame. While the worker does not read, this waits; the watchdog ends the wait.
    ///
    /// # Errors
    /// The worker is gone. Its last frames may still be there to receive.
    pub async fn send(&mut self, frame: &ToWorker) -> Result<(), LeaseEnd> {
        self.sender.send(frame).await
    }

    /// Waits for one frame. Can be dropped at any await and called again.
    ///
    /// # Errors
    /// The worker is gone, or it broke the protocol and is being killed; each further call says
    /// the same.
    pub async fn receive(&mut self) -> Result<FromWorker, LeaseEnd> {
        self.receiver.receive().await
    }

    /// Two halves, to send and receive at the same time. Dropping both kills the worker.
    pub fn split(self) -> (LeaseSender, LeaseReceiver) {
        (self.sender, self.receiver)
    }
}

impl LeaseSender {
    /// As [`Lease::send`]. Not to be called again after it was dropped at an await.
    ///
    /// # Errors
    /// As [`Lease::send`].
    pub async fn send(&mut self, frame: &ToWorker) -> Result<(), LeaseEnd> {
        let bytes = frame.encode().map_err(|error| LeaseEnd::died(error.to_string()))?;
        match self.stream.write_all(&bytes).await {
            Ok(()) => Ok(()),
            Err(_closed) => Err(self.end.reason().await),
        }
    }
}

impl LeaseReceiver {
    /// As [`Lease::receive`].
    ///
    /// # Errors
    /// As [`Lease::receive`].
    pub async fn receive(&mut self) -> Result<FromWorker, LeaseEnd> {
        if let Some(end) = &self.over {
            return Err(end.clone());
        }
        let value_bytes = self.end.value_bytes();
        let end = match self.frames.next(value_bytes).await {
            Ok(frame) => return Ok(frame),
            Err(Broken::Closed) => self.end.reason().await,
            Err(Broken::Protocol(how)) => {
                self.end.kill();
                LeaseEnd::Lost(Loss::Protocol, format!("the worker broke the protocol: {how}"))
            }
        };
        self.over = Some(end.clone());
        Err(end)
    }

    /// Processor time in microseconds that the worker used, where it is gone and that is known.
    pub fn cpu_us(&self) -> u64 {
        self.end.told.borrow().as_ref().map_or(0, |gone| gone.cpu_us)
    }
}

impl End {
    fn value_bytes(&self) -> usize {
        let limits = self.orders.borrow().limits.unwrap_or_default();
        usize::try_from(limits.value_bytes).unwrap_or(usize::MAX)
    }

    fn kill(&self) {
        self.orders.send_modify(|order| order.kill = true);
    }

    /// Why the worker is gone, once its socket has closed.
    async fn reason(&mut self) -> LeaseEnd {
        for wait in REASON {
            let told = timeout(wait, self.told.wait_for(Option::is_some)).await;
            match told.map(|told| told.map(|gone| gone.clone())) {
                Ok(Ok(Some(gone))) => return gone.end,
                Ok(Err(_)) => return LeaseEnd::died("the sandbox is shutting down"),
                Ok(Ok(None)) | Err(_) => self.kill(),
            }
        }
        LeaseEnd::died("the worker closed its socket")
    }
}
