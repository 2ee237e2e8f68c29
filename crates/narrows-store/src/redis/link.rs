//! The connection: each question has a deadline, and what surely did not arrive is sent again.

use super::address::Address;
use super::scripts::Source;
use crate::error::StoreError;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long one attempt to connect may take.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Before something is sent again.
const PAUSE: Duration = Duration::from_millis(100);
/// Operations under way at once.
const OPERATIONS_MAX: u32 = 4_096;
/// Values of one operation.
const VALUES_MAX: usize = 200_000;
/// Bytes of one operation.
const BYTES_MAX: usize = 64 << 20;

/// Whether a question may be asked again if nobody knows whether it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Hearing it twice is as good as once.
    Safe,
    /// It is sent again only if it surely was not heard.
    Unheard,
}

/// The connection to one server.
pub(super) struct Link {
    pub(super) address: Arc<Address>,
    manager: ConnectionManager,
    /// Closed with the store.
    gate: Semaphore,
    /// How long one operation may take.
    wait: Duration,
}

impl Link {
    pub(super) async fn open(address: Arc<Address>, wait: Duration) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            // The deadline below covers the answer too, and it does so for several tries together.
            .set_response_timeout(None)
            .set_number_of_retries(2)
            .set_min_delay(PAUSE)
            .set_max_delay(PAUSE);
        let failed = |why: String| StoreError::Open { place: address.place.clone(), why };
        let connect = ConnectionManager::new_with_config(address.commands.clone(), config);
        let manager = match timeout(wait, connect).await {
            Ok(Ok(manager)) => manager,
            Ok(Err(why)) => return Err(failed(why.to_string())),
            Err(_elapsed) => return Err(failed("no answer".to_owned())),
        };
        Ok(Self { address, manager, gate: Semaphore::new(OPERATIONS_MAX as usize), wait })
    }

    /// Runs a script; the server is told its text if it does not know it.
    pub(super) async fn run(
        &self,
        what: &'static str,
        again: Again,
        source: &Source,
        arguments: Arguments,
    ) -> Result<Value, StoreError> {
        let arguments = arguments.checked(&self.address.place, what)?;
        let command = |verb: &str, script: &str| {
            let mut cmd = redis::cmd(verb);
            cmd.arg(script).arg(1).arg(&self.address.prefix);
            for argument in &arguments {
                cmd.arg(argument.as_slice());
            }
            cmd
        };
        let known = self.ask(what, again, &command("EVALSHA", &source.hash)).await;
        match known {
            Err(Said::Unknown) => self.ask(what, again, &command("EVAL", source.text)).await,
            known => known,
        }
        .map_err(|said| said.error(self, what))
    }

    /// Sends one command.
    pub(super) async fn command(
        &self,
        what: &'static str,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        self.ask(what, Again::Safe, command).await.map_err(|said| said.error(self, what))
    }

    async fn ask(&self, what: &'static str, again: Again, command: &Cmd) -> Result<Value, Said> {
        let mut last = None;
        let asked = timeout(self.wait, async {
            let _turn = self.gate.acquire().await.map_err(|_closed| Said::Closed)?;
            let mut manager = self.manager.clone();
            loop {
                let error = match command.query_async::<Value>(&mut manager).await {
                    Ok(value) => return Ok(value),
                    Err(error) => error,
                };
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
                    return Err(Said::Unknown);
                }
                let unknown = again == Again::Safe && error.is_io_error();
                if !unheard(&error) && !unknown {
                    return Err(Said::No(error));
                }
                tracing::debug!("redis: {what}: {error}; trying again");
                last = Some(error);
                tokio::time::sleep(PAUSE).await;
            }
        });
        match asked.await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(last.map_or(Said::Nothing, Said::No)),
        }
    }

    /// Waits for what is under way and lets nothing more begin.
    pub(super) async fn close(&self) {
        let all = timeout(self.wait, self.gate.acquire_many(OPERATIONS_MAX)).await;
        self.gate.close();
        drop(all);
    }

    pub(super) fn failed(&self, what: &'static str, why: impl Into<String>) -> StoreError {
        StoreError::Failed { place: self.address.place.clone(), what, why: why.into() }
    }
}

/// Why there is no answer.
enum Said {
    No(RedisError),
    /// The server does not know the script.
    Unknown,
    Nothing,
    Closed,
}

impl Said {
    fn error(self, link: &Link, what: &'static str) -> StoreError {
        match self {
            Self::No(error) => link.failed(what, error.to_string()),
            Self::Unknown => link.failed(what, "the server forgot a script at once"),
            Self::Nothing => StoreError::Busy { what, waited_s: link.wait.as_secs() },
            Self::Closed => link.failed(what, "it is closed"),
        }
    }
}

/// It surely was not heard: nobody was there, or the server said that it does nothing now. A time
/// that ran out is not among it: the system says that of connections that stood, too.
fn unheard(error: &RedisError) -> bool {
    let refused = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
        )
    );
    refused || error.is_connection_refusal() || error.code() == Some("BUSY")
}

/// What a script is told.
#[derive(Default)]
pub(super) struct Arguments {
    values: Vec<Vec<u8>>,
    bytes: usize,
    /// A name with a zero byte would be taken for two.
    torn: bool,
}

impl Arguments {
    /// A name: of a record, an owner, a job, a tenant.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.torn |= name.contains('\0');
        self.bytes(name.as_bytes().to_vec())
    }

    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.bytes(word.as_bytes().to_vec())
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(super::values::whole(number).to_string().into_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: Vec<u8>) -> &mut Self {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.values.push(bytes);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn checked(self, place: &str, what: &'static str) -> Result<Vec<Vec<u8>>, StoreError> {
        let failed = |why: String| StoreError::Failed { place: place.to_owned(), what, why };
        if self.torn {
            return Err(failed("a name contains a zero byte".to_owned()));
        }
        if self.values.len() > VALUES_MAX {
            let why = format!("{} values at once; at most {VALUES_MAX}", self.values.len());
            return Err(failed(why));
        }
        if self.bytes > BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "what is written at once",
                bytes: self.bytes as u64,
                limit: "batch_bytes_max",
                allowed: BYTES_MAX as u64,
            });
        }
        Ok(self.values)
    }
}
