//! The jail's outside: zygotes, pools of sealed workers, leases and the watchdog.
//!
//! A [`Lease`] is one worker for one run. Dropping it kills the worker. What comes out of a worker
//! is hostile: frames are capped before they are read, read only when asked for, and a worker that
//! breaks the protocol is dead.

mod backend;
mod basic;
mod cgroup;
mod choice;
pub mod docker;
mod error;
mod frames;
mod gateway;
mod guard;
mod kept;
mod lease;
mod microvm;
mod owner;
mod proxy;
mod sandbox;
mod shelf;
mod solo;
mod spawn;
mod zygote;

pub use cgroup::{CgroupConfig, CgroupPlace};
pub use choice::{Choice, Want};
pub use error::SandboxError;
pub use guard::{LeaseEnd, Loss};
pub use kept::{Earlier, Holder};
pub use lease::{Lease, LeaseReceiver, LeaseSender};
pub use microvm::{MicrovmConfig, MicrovmDriver};
pub use owner::Health;
pub use proxy::Denied;
pub use sandbox::Sandbox;

use narrows_types::{BackendKind, Engine, Layer, Network};
use std::path::PathBuf;

/// Settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The binary that is started as zygote, usually the current one.
    pub program: PathBuf,
    /// Its arguments before `--engine NAME`, such as `["jailed-worker"]`.
    pub args: Vec<String>,
    /// Where programs run that do not say. `None`: the strongest that works and demands nothing
    /// but what is there.
    pub backend: Option<BackendKind>,
    /// What may evaluate programs beside the embedded engines. The first of each language does so
    /// where nobody says, and the back end has no choice of its own.
    pub engines: Vec<Engine>,
    /// Virtual machines, where there are to be any.
    pub microvm: Option<MicrovmConfig>,
    /// Sealed workers that wait ready, for each engine that is in use.
    pub warm: usize,
    /// Workers forked from one zygote before it is replaced: they share its address layout.
    pub forks_per_zygote: u32,
    /// Layers without which nothing runs, on any back end. On `process` the floor is required anyway.
    pub require: Vec<Layer>,
    /// Milliseconds that a zygote may take to start, and a worker to be forked.
    pub start_ms: u64,
    /// Milliseconds between a run's wall limit, which the worker keeps itself, and the kill.
    pub kill_grace_ms: u64,
    /// How containers are made. `None`: the back end `docker` is not set up.
    pub docker: Option<docker::Config>,
    /// What bounds all workers together, but for those in containers.
    pub cgroup: CgroupConfig,
    /// What programs of engines with sockets may reach of the network, at most.
    pub network: Network,
    /// Programs that run at once.
    pub concurrent_max: usize,
    /// Programs that wait for a place; more are refused.
    pub waiting_max: usize,
    /// Workers that are kept for sessions beside those whose programs run; each has a place of its
    /// own among [`Self::concurrent_max`], which it gives up where none is free.
    pub sessions_max: usize,
    /// Milliseconds that one of them waits for a next program.
    pub sessions_idle_ms: u64,
}

impl Config {
    /// Usual settings for this binary.
    pub fn new(program: PathBuf, args: Vec<String>) -> Self {
        Self {
            program,
            args,
            backend: None,
            engines: Vec::new(),
            microvm: None,
            warm: 4,
            forks_per_zygote: 5_000,
            require: Vec::new(),
            start_ms: 5_000,
            kill_grace_ms: 50,
            docker: None,
            cgroup: CgroupConfig::off(),
            network: Network::default(),
            concurrent_max: 64,
            waiting_max: 1_024,
            sessions_max: 16,
            sessions_idle_ms: 30 * 60 * 1_000,
        }
    }
}
