//! Limits of a run. The same names and meanings on every back end.

use crate::network::Network;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What one run may use. A call can only tighten what the config allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Milliseconds from start to end, waiting for tools included.
    pub wall_ms: u64,
    /// Milliseconds of processor time inside the worker.
    pub cpu_ms: u64,
    /// Bytes of heap of the interpreter.
    pub memory_bytes: u64,
    /// Bytes of all files that the run keeps at once. They are its alone and gone with it; with 0
    /// it has none.
    pub disk_bytes: u64,
    /// Files and folders that the run keeps at once.
    pub files: u32,
    /// Threads and processes that the run has at once, its first thread among them.
    pub processes: u32,
    /// Nothing but the run's own files can be written.
    pub read_only: ReadOnly,
    /// What the run reaches of the network by itself. Engines without sockets reach nothing.
    pub network: Network,
    /// Tool calls in the run.
    pub calls: u32,
    /// Tool calls under way at once; further ones wait.
    pub calls_parallel: u32,
    /// Bytes of one tool result that enters the worker.
    pub result_bytes: u64,
    /// Bytes of the returned value that leave the worker (beyond the reply's budget it becomes an
    /// artifact).
    pub value_bytes: u64,
    /// Bytes of all log lines of the run; later lines are dropped and counted.
    pub log_bytes: u64,
    /// Bytes of everything that goes back to the agent: value, logs, errors.
    pub output_bytes: u64,
    /// Bytes of the program's text.
    pub code_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_ms: 60_000,
            cpu_ms: 10_000,
            memory_bytes: 128 << 20,
            disk_bytes: 16 << 20,
            files: 100,
            processes: 16,
            read_only: ReadOnly,
            network: Network::default(),
            calls: 1_000,
            calls_parallel: 64,
            result_bytes: 16 << 20,
            value_bytes: 16 << 20,
            log_bytes: 256 << 10,
            output_bytes: 2_048,
            code_bytes: 256 << 10,
        }
    }
}

impl Limits {
    /// The value of one of them; of the stack, which has no number, 0.
    pub fn allowed(&self, limit: Limit) -> u64 {
        match limit {
            Limit::WallMs => self.wall_ms,
            Limit::CpuMs => self.cpu_ms,
            Limit::MemoryBytes => self.memory_bytes,
            Limit::DiskBytes => self.disk_bytes,
            Limit::Files => u64::from(self.files),
            Limit::Processes => u64::from(self.processes),
            Limit::Calls => u64::from(self.calls),
            Limit::ResultBytes => self.result_bytes,
            Limit::ValueBytes => self.value_bytes,
            Limit::Stack => 0,
        }
    }
}

/// Limits that somebody lowers for a run: the agent, an intent or a key. Nothing is ever raised.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lowered {
    /// [`Limits::wall_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// [`Limits::cpu_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// [`Limits::memory_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// [`Limits::disk_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// [`Limits::files`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u32>,
    /// [`Limits::processes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// [`Limits::read_only`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<ReadOnly>,
    /// [`Limits::network`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// [`Limits::calls`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// [`Limits::calls_parallel`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_parallel: Option<u32>,
    /// [`Limits::result_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_bytes: Option<u64>,
    /// [`Limits::value_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_bytes: Option<u64>,
    /// [`Limits::log_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

impl Lowered {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The name of the first limit that would let nothing run at all, if there is one. No calls and
    /// no files are something that can be wanted.
    pub fn nothing(&self) -> Option<&'static str> {
        [
            ("wall_ms", self.wall_ms),
            ("cpu_ms", self.cpu_ms),
            ("memory_bytes", self.memory_bytes),
            ("processes", self.processes.map(u64::from)),
            ("calls_parallel", self.calls_parallel.map(u64::from)),
            ("value_bytes", self.value_bytes),
        ]
        .into_iter()
        .find_map(|(name, value)| (value == Some(0)).then_some(name))
    }

    /// Lowers limits to these, where they are lower.
    pub fn lower(&self, limits: &mut Limits) {
        fn at_most<T: Ord + Copy>(limit: &mut T, most: Option<T>) {
            *limit = most.map_or(*limit, |most| most.min(*limit));
        }
        at_most(&mut limits.wall_ms, self.wall_ms);
        at_most(&mut limits.cpu_ms, self.cpu_ms);
        at_most(&mut limits.memory_bytes, self.memory_bytes);
        at_most(&mut limits.disk_bytes, self.disk_bytes);
        at_most(&mut limits.files, self.files);
        if let Some(network) = &self.network {
            limits.network = limits.network.meet(network);
        }
        at_most(&mut limits.processes, self.processes);
        at_most(&mut limits.calls, self.calls);
        at_most(&mut limits.calls_parallel, self.calls_parallel);
        at_most(&mut limits.result_bytes, self.result_bytes);
        at_most(&mut limits.value_bytes, self.value_bytes);
        at_most(&mut limits.log_bytes, self.log_bytes);
    }
}

/// `true`, which is all that it can be: no run ever writes a file of the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOnly;

impl ReadOnly {
    /// Why it cannot be `false`.
    pub const WHY: &str = "read_only can only be true: a run writes its own files and no others";
}

impl Serialize for ReadOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for ReadOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = bool::deserialize(deserializer)?;
        said.then_some(Self).ok_or_else(|| D::Error::custom(Self::WHY))
    }
}

/// Which limit ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// [`Limits::wall_ms`].
    WallMs,
    /// [`Limits::cpu_ms`].
    CpuMs,
    /// [`Limits::memory_bytes`].
    MemoryBytes,
    /// [`Limits::disk_bytes`].
    DiskBytes,
    /// [`Limits::files`].
    Files,
    /// [`Limits::processes`].
    Processes,
    /// [`Limits::calls`].
    Calls,
    /// [`Limits::result_bytes`].
    ResultBytes,
    /// [`Limits::value_bytes`].
    ValueBytes,
    /// The depth of the call stack.
    Stack,
}

impl Limit {
    /// The limit's name as it stands in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::WallMs => "wall_ms",
            Self::CpuMs => "cpu_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::DiskBytes => "disk_bytes",
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Calls => "calls",
            Self::ResultBytes => "result_bytes",
            Self::ValueBytes => "value_bytes",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_only_ever_go_down() {
        let mut limits = Limits::default();
        let most = Lowered {
            cpu_ms: Some(5),
            memory_bytes: Some(u64::MAX),
            calls: Some(0),
            ..Lowered::default()
        };
        most.lower(&mut limits);
        assert_eq!(limits, Limits { cpu_ms: 5, calls: 0, ..Limits::default() });
        assert_eq!((most.is_empty(), most.nothing()), (false, None));
        let hosts = |hosts: &[&str]| Network::of(hosts).unwrap();
        let mut limits = Limits { network: hosts(&["a.com", "b.com"]), ..Limits::default() };
        Lowered::default().lower(&mut limits);
        assert_eq!(limits.network, hosts(&["a.com", "b.com"]));
        Lowered { network: Some(hosts(&["b.com", "c.com"])), ..Lowered::default() }
            .lower(&mut limits);
        assert_eq!(limits.network, hosts(&["b.com"]));
        assert_eq!(Lowered { wall_ms: Some(0), ..most }.nothing(), Some("wall_ms"));
        assert!(serde_json::from_str::<Lowered>(r#"{"cpu_msec": 5}"#).is_err());
        assert!(serde_json::from_str::<Lowered>(r#"{"read_only": true}"#).is_ok());
        assert!(serde_json::from_str::<Lowered>(r#"{"network": "none"}"#).is_ok());
        let reaches = serde_json::from_str::<Lowered>(r#"{"network": "a.b"}"#).unwrap_err();
        assert!(reaches.to_string().starts_with(Network::SHAPE), "{reaches}");
        let writes = serde_json::from_str::<Lowered>(r#"{"read_only": false}"#).unwrap_err();
        assert!(writes.to_string().starts_with(ReadOnly::WHY), "{writes}");
    }
}
