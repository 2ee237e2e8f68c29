//! What upstreams there are and how they are reached.

use crate::oauth::OAuth;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The fleet's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The upstreams, by configured name.
    pub servers: Vec<ServerConfig>,
    /// Where listings are kept between starts; `None` keeps none.
    pub cache_dir: Option<PathBuf>,
    /// Upstreams that start at once; further ones wait.
    pub start_concurrency: usize,
    /// Bytes of the result of one call; a larger one is refused before it is read.
    pub result_bytes_max: usize,
    /// How logins at HTTP upstreams are kept and made.
    pub logins: Logins,
    /// Calls under way at once, of all upstreams together.
    pub concurrency: usize,
    /// Calls that may wait for that; a further one is refused at once.
    pub queue: usize,
    /// How we introduce ourselves.
    pub client_name: String,
    /// Our version.
    pub client_version: String,
}

impl Default for Config {
    /// No upstreams, no cache, four starts at once, results of 16 MiB.
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            cache_dir: None,
            start_concurrency: 4,
            result_bytes_max: 16 << 20,
            logins: Logins::default(),
            concurrency: 1_024,
            queue: 4_096,
            client_name: "narrows".to_owned(),
            client_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// How logins at HTTP upstreams are kept and made.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    /// Where they are kept between starts; `None` keeps them as long as the process.
    pub folder: Option<PathBuf>,
    /// Follow the authorization server's redirect without a person. Only for tests: a real one
    /// asks a person.
    pub follow: bool,
}

/// One upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Its name, unique.
    pub name: String,
    /// Whether it takes part.
    pub enabled: bool,
    /// How it is reached.
    pub launch: Launch,
    /// How we log in, if it is an HTTP upstream that wants it.
    pub oauth: Option<OAuth>,
    /// From launch to listed.
    pub start_timeout: Duration,
    /// The longest call.
    pub call_timeout: Duration,
    /// Which era it speaks, if that is known.
    pub era: Era,
    /// Only these tools, if any are named; `*` stands for any characters.
    pub tools_allow: Vec<String>,
    /// Never these tools.
    pub tools_hide: Vec<String>,
    /// Ends it when nobody used it for so long; the next call starts it again.
    pub idle_stop: Option<Duration>,
    /// What kind of work it does.
    pub tier: Tier,
    /// Calls of it under way at once; those of its tier if none are named.
    pub concurrency: Option<usize>,
    /// Calls that may wait for that; those of its tier if none are named.
    pub queue: Option<usize>,
    /// How many processes serve it together.
    pub pool: Pool,
}

/// What kind of work an upstream does: its defaults follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Answers at once.
    Fast,
    /// Takes a moment.
    #[default]
    Medium,
    /// Works hard, for long.
    Heavy,
}

impl Tier {
    /// The longest call.
    pub fn call_timeout(self) -> Duration {
        match self {
            Self::Fast => Duration::from_secs(15),
            Self::Medium => Duration::from_mins(1),
            Self::Heavy => Duration::from_mins(10),
        }
    }

    /// Calls under way at once.
    pub fn concurrency(self) -> usize {
        match self {
            Self::Fast => 256,
            Self::Medium => 128,
            Self::Heavy => 8,
        }
    }

    /// Calls that may wait.
    pub fn queue(self) -> usize {
        match self {
            Self::Fast => 1_024,
            Self::Medium => 512,
            Self::Heavy => 64,
        }
    }
}

/// Processes that serve one stdio upstream together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pool {
    /// Kept once the upstream is used; further ones end when nobody uses them.
    pub min: usize,
    /// At most so many.
    pub max: usize,
    /// The upstream remembers what it was asked: each session has a process of its own.
    pub stateful: bool,
}

impl Default for Pool {
    /// One process for all.
    fn default() -> Self {
        Self { min: 1, max: 1, stateful: false }
    }
}

impl ServerConfig {
    /// An upstream with the default deadlines.
    pub fn new(name: impl Into<String>, launch: Launch) -> Self {
        Self {
            name: name.into(),
            enabled: true,
            launch,
            oauth: None,
            start_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_mins(1),
            era: Era::Auto,
            tools_allow: Vec::new(),
            tools_hide: Vec::new(),
            idle_stop: None,
            tier: Tier::default(),
            concurrency: None,
            queue: None,
            pool: Pool::default(),
        }
    }
}

/// Which era an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// Found out by asking.
    #[default]
    Auto,
    /// Opens with `initialize`.
    Legacy,
    /// Stateless, from 2026-07-28.
    Modern,
}

/// How an upstream is reached. `Debug` hides values that may be secret.
#[derive(Clone, PartialEq)]
pub enum Launch {
    /// A child process that speaks on its standard input and output.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Variables added to its environment.
        env: BTreeMap<String, String>,
        /// Where it runs.
        cwd: Option<PathBuf>,
    },
    /// HTTP, at one place or at several that are the same.
    Http {
        /// The endpoint: `http:`, `https:`, or `unix:/path/of.sock:/mcp`.
        url: String,
        /// Further endpoints of the same upstream: each request, or each legacy session, goes to
        /// the one that has the least to do.
        urls: Vec<String>,
        /// How it is spoken to.
        transport: Transport,
        /// Headers of every request.
        headers: BTreeMap<String, String>,
    },
    /// Tools inside Narrows.
    Builtin(Builtin),
}

/// How an HTTP upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Found out by asking.
    #[default]
    Auto,
    /// Streamable HTTP.
    Streamable,
    /// HTTP+SSE, the transport of 2024-11-05.
    Sse,
}

/// Tools inside Narrows.
#[derive(Debug, Clone, PartialEq)]
pub enum Builtin {
    /// Files under folders.
    Files {
        /// The folders; nothing outside is reached.
        folders: Vec<PathBuf>,
        /// Whether files can be written.
        write: bool,
    },
    /// The clock and time zones.
    Time,
    /// Tools of the application that Narrows is part of.
    Native(Vec<crate::NativeTool>),
}

impl Launch {
    /// One HTTP endpoint without headers.
    pub fn http(url: impl Into<String>) -> Self {
        let (urls, headers) = (Vec::new(), BTreeMap::new());
        Self::Http { url: url.into(), urls, transport: Transport::Auto, headers }
    }

    /// `stdio`, `http` or `builtin`.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Stdio { .. } => "stdio",
            Self::Http { .. } => "http",
            Self::Builtin(_) => "builtin",
        }
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio { command, args, env, cwd } => f
                .debug_struct("Stdio")
                .field("command", command)
                .field("args", &args.len())
                .field("env", &env.keys().collect::<Vec<_>>())
                .field("cwd", cwd)
                .finish(),
            Self::Http { url, urls, transport, headers } => f
                .debug_struct("Http")
                .field("url", &url.split('?').next().unwrap_or_default())
                .field("further", &urls.len())
                .field("transport", transport)
                .field("headers", &headers.keys().collect::<Vec<_>>())
                .finish(),
            Self::Builtin(builtin) => builtin.fmt(f),
        }
    }
}
