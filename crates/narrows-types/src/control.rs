//! Words between the sandbox and a zygote, the warm parent that workers are forked from.
//!
//! Each message is one packet of JSON on a `SOCK_SEQPACKET` socket, at most
//! [`MESSAGE_BYTES_MAX`]; descriptors travel beside it. A zygote runs no program, but its children
//! do: the host bounds and checks what comes from it all the same.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The largest message in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// The descriptor under which a zygote finds its control socket.
pub const CONTROL_FD: i32 = 3;

/// Exit code of a worker that an allocation failed in (the one that Monty's allocator uses).
pub const EXIT_MEMORY: i32 = 65;

/// Exit code of a worker that has used up its processor time and is the first process of its
/// container, which no signal of its own ends.
pub const EXIT_CPU: i32 = 64;

/// Exit code of a worker that could not seal itself; it has seen no program.
pub const EXIT_UNSEALED: i32 = 66;

/// Exit code of a worker whose link broke or whose host did not keep to the protocol.
pub const EXIT_LINK: i32 = 67;

/// Exit code of a worker that panicked: a defect in Narrows or in an engine.
pub const EXIT_PANIC: i32 = 68;

/// Exit code of a worker whose evaluator, a process beside it, ended without an answer: how that one
/// ended is what counts.
pub const EXIT_EVALUATOR: i32 = 69;

/// What is added to the number of a signal where an exit code has to tell of one.
pub const SIGNALLED: i32 = 128;

/// One wall between a program and the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// No new privileges by executing a file. Part of the floor.
    NoNewPrivs,
    /// System calls by an allow-list; anything else kills the worker. Part of the floor.
    Seccomp,
    /// Resource limits. Part of the floor.
    Rlimits,
    /// Neither root's user id nor any capability.
    Capabilities,
    /// No files, no TCP, no signals or sockets beyond the worker, by Landlock.
    Landlock,
    /// An own user namespace.
    UserNamespace,
    /// An own process namespace.
    PidNamespace,
    /// An own mount namespace whose root is empty and read-only.
    MountNamespace,
    /// An own network namespace without an interface that is up.
    NetNamespace,
    /// An own namespace of System V and POSIX message queues.
    IpcNamespace,
    /// An own host name.
    UtsNamespace,
    /// A control group that bounds memory and processes of all workers together, or of one container.
    Cgroup,
}

impl Layer {
    /// Every layer, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::NoNewPrivs,
        Self::Seccomp,
        Self::Rlimits,
        Self::Capabilities,
        Self::Landlock,
        Self::UserNamespace,
        Self::PidNamespace,
        Self::MountNamespace,
        Self::NetNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::Cgroup,
    ];

    /// The layers without which nothing starts.
    pub const FLOOR: [Self; 3] = [Self::NoNewPrivs, Self::Seccomp, Self::Rlimits];

    /// The layer of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.name() == name)
    }

    /// The layer's name as it stands in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivs => "no_new_privs",
            Self::Seccomp => "seccomp",
            Self::Rlimits => "rlimits",
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::UserNamespace => "user_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::NetNamespace => "net_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::UtsNamespace => "uts_namespace",
            Self::Cgroup => "cgroup",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a layer holds on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerState {
    /// Which.
    pub layer: Layer,
    /// It holds.
    pub reached: bool,
    /// If it does not: why, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// From the sandbox to a zygote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToZygote {
    /// Fork a worker on the stream socket that comes with the message.
    Fork {
        /// The worker's number, chosen by the sandbox, never used twice.
        id: u64,
    },
}

/// From a zygote to the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromZygote {
    /// First message: warm, sealed, and a trial worker sealed itself too.
    Ready {
        /// Every layer with its state.
        layers: Vec<LayerState>,
    },
    /// First and last message: it cannot run here.
    Failed {
        /// Why, one line.
        reason: String,
    },
    /// The worker exists; its pidfd comes with the message.
    Forked {
        /// Which.
        id: u64,
    },
    /// The worker could not be forked.
    ForkFailed {
        /// Which.
        id: u64,
        /// Why, one line.
        reason: String,
    },
    /// The worker is gone.
    Ended {
        /// Which.
        id: u64,
        /// How.
        how: Death,
        /// Processor time that it used, in microseconds.
        cpu_us: u64,
        /// The most memory that whoever evaluated had at once.
        memory_bytes: u64,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Death {
    /// It exited with this code.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Death {
    /// Whether it looks like the end of an engine that has no memory left: it ends itself by one of
    /// the signals that it also crashes by, and so the most that it had at once decides.
    pub fn for_want_of_memory(self, had_bytes: u64, memory_bytes: u64) -> bool {
        // SIGILL, SIGTRAP, SIGABRT.
        const CRASHES: [i32; 3] = [4, 5, 6];
        matches!(self, Self::Signal(signal) if CRASHES.contains(&signal))
            && had_bytes.saturating_mul(10) >= memory_bytes.saturating_mul(9)
    }
}
