//! Puts the hands into the engine and the engine behind the doors.

use crate::cli::doctor::Check;
use crate::config::{Environment, Settings};
use narrows_types::{Answer, Event, Fault, What};
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The whole house, ready to be asked.
pub(crate) struct House;

impl House {
    /// Opens the store, the fleet (nothing is started yet), the sandbox and the engine.
    pub(crate) async fn open(_settings: &Settings, _env: &Environment) -> Result<Self, Fault> {
        Err(Fault::bug("the engine is not wired yet"))
    }

    /// Asks as the local user.
    pub(crate) async fn ask(
        &self,
        _what: What,
        _events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        Err(Fault::bug("the engine is not wired yet"))
    }

    /// Serves MCP on standard input and output until it ends or `shutdown` is cancelled.
    pub(crate) async fn serve_stdio(&self, _shutdown: CancellationToken) -> Result<(), Fault> {
        Err(Fault::bug("the engine is not wired yet"))
    }

    /// Serves HTTP until `shutdown` is cancelled; `bound` hears the address, once it is bound.
    pub(crate) async fn serve_http(
        &self,
        _address: SocketAddr,
        _bound: impl FnOnce(SocketAddr),
        _shutdown: CancellationToken,
    ) -> Result<(), Fault> {
        Err(Fault::bug("the engine is not wired yet"))
    }

    /// Stops servers and workers, writes what is still to be written.
    pub(crate) async fn close(self) {}
}

/// Which walls of the sandbox stand here.
pub(crate) async fn sandbox_checks(_settings: &Settings) -> Vec<Check> {
    Vec::new()
}
