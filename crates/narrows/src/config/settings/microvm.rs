//! How virtual machines are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A hypervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hypervisor {
    /// QEMU; without KVM it emulates the processor.
    Qemu,
    /// Firecracker; it needs KVM.
    Firecracker,
}

/// Virtual machines for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Microvm {
    /// The hypervisor.
    pub(crate) driver: Hypervisor,
    /// Its program. Without it: `qemu-system-x86_64` or `firecracker` in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<PathBuf>,
    /// Firecracker's jailer, where it is to be locked up by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jailer: Option<PathBuf>,
    /// The folder with the guest's kernel and drivers, as `cargo xtask microvm` makes it. Without it
    /// the back end `microvm` does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<PathBuf>,
    /// Memory of one machine in MiB; what it does not touch costs nothing.
    #[schemars(range(min = 64, max = 65_536))]
    pub(crate) memory_mib: u32,
    /// Milliseconds that the first machine of an engine may take to boot.
    #[schemars(range(min = 1))]
    pub(crate) boot_timeout_ms: u64,
}

impl Default for Microvm {
    fn default() -> Self {
        Self {
            driver: Hypervisor::Qemu,
            program: None,
            jailer: None,
            image: None,
            memory_mib: 256,
            boot_timeout_ms: 30_000,
        }
    }
}
