//! How containers are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Containers for programs, made by Docker's daemon or Podman's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Docker {
    /// The daemon's Unix socket. Without it: that of `DOCKER_HOST`, else the first of the user's and
    /// the system's that is there, Docker's before Podman's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// What the daemon runs containers with, by its name there; `runsc` is gVisor. Without it: the
    /// daemon's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<String>,
    /// Bytes of memory of a container; more than a run may use by `limits.memory_bytes`.
    #[schemars(range(min = 1))]
    pub(crate) memory_bytes: u64,
    /// Processors that one container may keep busy.
    #[schemars(range(min = 1))]
    pub(crate) cpus: u16,
    /// Processes and threads in one container.
    #[schemars(range(min = 1))]
    pub(crate) processes: u16,
    /// Bytes of scratch files in one container; they are in memory.
    #[schemars(range(min = 1))]
    pub(crate) disk_bytes: u64,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            socket: None,
            runtime: None,
            memory_bytes: 1 << 30,
            cpus: 1,
            processes: 16,
            disk_bytes: 16 << 20,
        }
    }
}
