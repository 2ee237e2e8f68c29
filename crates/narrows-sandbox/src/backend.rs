//! What a back end is that launches each worker by itself, and what every worker is.

use crate::frames;
use crate::guard::Ended;
use crate::spawn::Pidfd;
use futures_util::future::BoxFuture;
use narrows_types::{Engine, LayerState};
use std::os::fd::OwnedFd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A way to launch workers, each for one run.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Finds out whether it works here, by doing it, and what is done once for all workers. Gives
    /// the walls that hold around a worker.
    ///
    /// # Errors
    /// It does not work here: one line why, with what to do about it.
    fn prepare(&self, engine: Engine) -> BoxFuture<'_, Result<Vec<LayerState>, String>>;

    /// Starts one worker that has said hello and waits for its program, with the walls that hold
    /// around this one. Dropping the future leaves
    /// nothing behind.
    ///
    /// # Errors
    /// It cannot be started: one line why.
    fn launch(&self, engine: Engine) -> BoxFuture<'_, Result<Launched, String>>;

    /// Takes down whatever it keeps beside its workers.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A worker, and the walls that hold around it.
pub(crate) type Launched = (Fresh, Vec<LayerState>);

/// The half of a wire that frames come out of.
pub(crate) type Read = Box<dyn AsyncRead + Send + Unpin>;
/// The half of a wire that frames go into.
pub(crate) type Write = Box<dyn AsyncWrite + Send + Unpin>;

/// A worker that nobody has used yet.
pub(crate) struct Fresh {
    pub(crate) read: Read,
    pub(crate) write: Write,
    pub(crate) worker: Ender,
    pub(crate) ended: oneshot::Receiver<Ended>,
    /// What listens in its network, where it has one.
    pub(crate) door: Option<OwnedFd>,
}

impl Fresh {
    /// Takes the hello off the wire. To be called under a deadline.
    pub(crate) async fn hello(&mut self) -> Result<Vec<LayerState>, String> {
        frames::hello(&mut self.read).await
    }
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fresh").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// How a worker is ended. Dropping this ends it, too.
#[derive(Debug)]
pub(crate) enum Ender {
    /// A process of this machine.
    Process(Pidfd),
    /// Something whose own task ends it when it is told to.
    Told(CancellationToken),
}

impl Drop for Ender {
    fn drop(&mut self) {
        self.end();
    }
}

impl Ender {
    /// Without what it cannot live, for people.
    pub(crate) fn carrier(&self) -> &'static str {
        match self {
            Self::Process(_) => "zygote",
            Self::Told(_) => "container daemon or virtual machine",
        }
    }

    /// Whether it is known to have ended already, of itself or by somebody else.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Process(process) => process.has_ended(),
            Self::Told(_) => false,
        }
    }

    /// Ends it. One that is gone already is no error.
    pub(crate) fn end(&self) {
        match self {
            Self::Process(process) => process.kill(),
            Self::Told(token) => token.cancel(),
        }
    }
}
