//! A lease: one worker for one run, and for the next one of its session where it is kept.

use crate::backend::{Read, Write};
use crate::frames::{Broken, Frames};
use crate::guard::{Gone, LeaseEnd, Loss, Order};
use crate::kept::{Earlier, Turn};
use crate::proxy::{self, Denied};
use narrows_types::frame::{FromWorker, ToWorker};
use narrows_types::{BackendKind, Engine, Limits, Network};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How long the reason for a closed wire may take to arrive. A worker that closed it and lives on
/// is killed after the first of these; a container daemon may need the second to say how it ended.
const REASON: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// What was denied to a program and nobody has taken yet.
const DENIED_MAX: usize = 64;

/// A worker checked out for one run. Dropping it, with both its halves where it was split, kills
/// the worker.
pub struct Lease {
    sender: LeaseSender,
    receiver: LeaseReceiver,
    grace: Duration,
    at: (BackendKind, Engine),
    door: Option<Door>,
    /// Memory that the first program's limits gave it: it has no more in its whole life.
    memory_bytes: Option<u64>,
    /// The session whose worker it is.
    turn: Option<Turn>,
}

/// A program's way to the network, before anybody serves it.
pub(crate) struct Door {
    pub(crate) listener: OwnedFd,
    /// Whoever waits for all that the sandbox does.
    pub(crate) tasks: TaskTracker,
    /// What it has in common with those of other runs.
    pub(crate) common: Arc<proxy::Common>,
}

/// The half of a lease that sends.
pub struct LeaseSender {
    stream: Write,
    end: End,
    /// The frame that is being sent, and how much of it is.
    frame: Vec<u8>,
    sent: usize,
}

/// The half of a lease that receives.
pub struct LeaseReceiver {
    frames: Frames<Read>,
    end: End,
    over: Option<LeaseEnd>,
    /// What the program reaches of the network goes with it.
    proxy: Option<AbortOnDropHandle<()>>,
    /// Processor time of programs that ended, as the worker told it.
    spent_us: u64,
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
        (at, door): ((BackendKind, Engine), Option<Door>),
    ) -> Self {
        let end = End { orders: Arc::new(orders), told };
        let (frames, over) = (Frames::new(read), None);
        let receiver = LeaseReceiver { frames, end: end.clone(), over, proxy: None, spent_us: 0 };
        let sender = LeaseSender { stream: write, end, frame: Vec::new(), sent: 0 };
        Self { sender, receiver, grace, at, door, memory_bytes: None, turn: None }
    }

    /// It is a session's worker, whose turn this is.
    pub(crate) fn kept(mut self, mut turn: Turn) -> Self {
        turn.begun();
        self.turn = Some(turn);
        self
    }

    /// What there is of the session's earlier programs. Why it is gone is told once.
    pub fn earlier(&mut self) -> Earlier {
        let turn = self.turn.as_mut();
        turn.map_or(Earlier::Never, |turn| std::mem::replace(&mut turn.earlier, Earlier::There))
    }

    /// The run has ended, and its session's next one is to find what this one defined: the worker
    /// waits for it, silently, as long as the config says and at most until the session's end. One
    /// that is not a session's ends.
    pub fn rest(mut self, until: Option<Instant>) {
        if let Some(turn) = self.turn.take() {
            turn.rest(self, until);
        }
    }

    /// The worker ends, and why is told to the session's next program.
    pub fn end(mut self, why: &str) {
        if let Some(turn) = self.turn.take() {
            turn.lose(why);
        }
    }

    /// From now on there is no program: it is killed then.
    pub(crate) fn disarm(&mut self, until: Instant) {
        self.sender.end.orders.send_modify(|order| {
            (order.deadline, order.limits) = (until, None);
        });
    }

    /// Waits for the end of a worker that has no program, which one that says a word has come to.
    /// Can be dropped at any await and called again.
    pub(crate) async fn silence(&mut self) -> Broken {
        self.receiver.frames.silence().await
    }

    /// Why a worker that is not silent any more is gone.
    pub(crate) async fn end_of(&mut self, broken: Broken) -> LeaseEnd {
        self.receiver.end_of(broken).await
    }

    /// Sets the watchdog: the worker is killed a little after `limits.wall_ms` from now. Its
    /// limits on processor time and memory it gets with its program. To be called before `Run` is
    /// sent. Gives the memory that it may have: a worker that is kept has no more than at first.
    pub fn arm(&mut self, limits: &Limits) -> u64 {
        let wall = Duration::from_millis(limits.wall_ms).saturating_add(self.grace);
        let now = Instant::now();
        let mut limits = limits.clone();
        let first = *self.memory_bytes.get_or_insert(limits.memory_bytes);
        let memory_bytes = limits.memory_bytes.min(first);
        limits.memory_bytes = memory_bytes;
        let spent_us = self.receiver.spent_us;
        self.sender.end.orders.send_modify(|order| {
            order.deadline = now.checked_add(wall).unwrap_or(order.deadline);
            (order.limits, order.spent_us) = (Some(limits), spent_us);
        });
        memory_bytes
    }

    /// Serves the program's way to the network, which leads to these hosts. Gives what is denied to
    /// it; one that nobody takes is forgotten. `None`: it has no way there. To be called before `Run`
    /// is sent.
    pub fn connect(&mut self, network: &Network) -> Option<mpsc::Receiver<Denied>> {
        let Door { listener, tasks, common } = self.door.take()?;
        let (tell, told) = mpsc::channel(DENIED_MAX);
        match proxy::adopt(listener) {
            Ok(listener) => {
                let shared = (tasks.clone(), common);
                let serve = proxy::serve(listener, network.clone(), tell, shared);
                self.receiver.proxy = Some(AbortOnDropHandle::new(tasks.spawn(serve)));
            }
            Err(error) => tracing::warn!("a program has no network: {error}"),
        }
        Some(told)
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

    /// Two halves, to send and receive at the same time.
    pub fn split(&mut self) -> (&mut LeaseSender, &mut LeaseReceiver) {
        (&mut self.sender, &mut self.receiver)
    }
}

impl LeaseSender {
    /// As [`Lease::send`]. Where it was dropped at an await, the next call first sends what is left
    /// of that frame.
    ///
    /// # Errors
    /// As [`Lease::send`].
    pub async fn send(&mut self, frame: &ToWorker) -> Result<(), LeaseEnd> {
        let bytes = frame.encode().map_err(|error| LeaseEnd::died(error.to_string()))?;
        self.flush().await?;
        (self.frame, self.sent) = (bytes, 0);
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), LeaseEnd> {
        while let Some(rest) = self.frame.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest).await {
                Ok(count) if count > 0 => self.sent += count,
                _ => return Err(self.end.reason().await),
            }
        }
        Ok(())
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
        match self.frames.next(value_bytes).await {
            Ok(frame) => {
                if let FromWorker::Done(done) = &frame {
                    self.spent_us = self.spent_us.saturating_add(done.usage.cpu_us);
                }
                Ok(frame)
            }
            Err(broken) => Err(self.end_of(broken).await),
        }
    }

    /// The worker is to get another program.
    pub(crate) async fn begin(&mut self) -> Result<(), LeaseEnd> {
        match self.frames.begin() {
            Ok(()) => Ok(()),
            Err(broken) => Err(self.end_of(broken).await),
        }
    }

    async fn end_of(&mut self, broken: Broken) -> LeaseEnd {
        let end = match broken {
            Broken::Closed => self.end.reason().await,
            Broken::Protocol(how) => {
                self.end.kill();
                LeaseEnd::Lost(Loss::Protocol, format!("the worker broke the protocol: {how}"))
            }
        };
        self.over = Some(end.clone());
        end
    }

    /// Processor time in microseconds that the worker used for its last program, where it is gone
    /// and that is known.
    pub fn cpu_us(&self) -> u64 {
        let all_us = self.end.told.borrow().as_ref().map_or(0, |gone| gone.cpu_us);
        all_us.saturating_sub(self.spent_us)
    }
}

impl End {
    fn value_bytes(&self) -> usize {
        let bytes = self.orders.borrow().limits.as_ref().map(|limits| limits.value_bytes);
        let bytes = bytes.unwrap_or_else(|| Limits::default().value_bytes);
        usize::try_from(bytes).unwrap_or(usize::MAX)
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
