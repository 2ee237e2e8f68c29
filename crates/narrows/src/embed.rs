//! The house inside another application.

use crate::assembly::House;
use crate::config::{Environment, Flags, Loaded, load, load_text};
use narrows_types::{Answer, Ask, Event, Fault};
use narrows_upstream::{Builtin, Launch, NativeTool, ServerConfig};
use std::fmt;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// What the house is made of.
#[derive(Debug, Clone)]
pub struct Builder {
    source: Source,
    native: Vec<ServerConfig>,
}

#[derive(Debug, Clone)]
enum Source {
    Text(String),
    File(PathBuf),
}

impl Builder {
    /// A house that follows a config, written as in `narrows.toml`; empty is a config too. Relative
    /// paths in it start at the current folder.
    pub fn new(config: impl Into<String>) -> Self {
        Self { source: Source::Text(config.into()), native: Vec::new() }
    }

    /// A house that follows a config file.
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self { source: Source::File(path.into()), native: Vec::new() }
    }

    /// Adds tools of the application, as the upstream `server`. Calling it again with the same name
    /// is a mistake that [`Builder::open`] tells.
    #[must_use]
    pub fn tools(
        mut self,
        server: impl Into<String>,
        tools: impl IntoIterator<Item = NativeTool>,
    ) -> Self {
        let tools = Builtin::Native(tools.into_iter().collect());
        self.native.push(ServerConfig::new(server, Launch::Builtin(tools)));
        self
    }

    /// Opens the house: store, servers (none is started yet), sandbox, engine. Needs a tokio runtime
    /// around it.
    pub async fn open(self) -> Result<Narrows, OpenError> {
        let env = Environment::of_process();
        let loaded = match self.source {
            Source::Text(text) => load_text(&text, &env),
            Source::File(file) => load(&env, &Flags { file: Some(file), ..Flags::default() }),
        };
        let Loaded { settings, warnings, .. } = loaded.map_err(|problems| {
            OpenError::Config(problems.iter().map(ToString::to_string).collect())
        })?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let house = House::open_with(&settings, &env, self.native).await;
        house.map(|house| Narrows { house }).map_err(OpenError::Fault)
    }
}

/// Why a house cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The config is wrong: every problem that can be told at once.
    Config(Vec<String>),
    /// A part does not start.
    Fault(Fault),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Config(problems) => f.write_str(&problems.join("\n")),
        }
    }
}

impl std::error::Error for OpenError {}

/// The whole house, ready to be asked.
pub struct Narrows {
    house: House,
}

impl fmt::Debug for Narrows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrows").finish_non_exhaustive()
    }
}

impl Narrows {
    /// The routes `/mcp`, `/v1/...`, `/health`, `/livez`, `/readyz` and `/openapi.json`, to be served
    /// or nested. They check `Host` and `Origin` themselves: names other than loopback's stand in
    /// the config (`serve.allowed_hosts`, `serve.allowed_origins`).
    pub fn router(&self) -> axum::Router {
        self.house.router()
    }

    /// Asks the engine, as any door does. Each event is progress, or a question of an upstream.
    pub async fn ask(
        &self,
        ask: Ask,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        self.house.engine().ask(ask, events).await
    }

    /// Keeps the house in order beside its requests (warm workers, tool lists, expired results)
    /// until it is dropped; it never ends by itself.
    pub async fn upkeep(&self) {
        self.house.engine().upkeep().await;
    }

    /// Stops servers and workers and writes what is still to be written.
    pub async fn close(self) {
        self.house.close().await;
    }
}
