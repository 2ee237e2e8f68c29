//! How programs are locked in.

use super::docker::Docker;
use super::microvm::Microvm;
use narrows_sandbox::CgroupPlace;
use narrows_types::{BackendKind, Engine, Layer, Lowered, Network, ReadOnly};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// Where programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Where {
    /// The strongest that works here.
    Auto,
    /// A process behind Linux's own walls.
    Process,
    /// A process with what walls there are, and a WebAssembly machine in it. TypeScript only.
    Wasm,
    /// A container.
    Docker,
    /// A virtual machine.
    Microvm,
    /// A plain process without walls, for development.
    Basic,
}

impl Where {
    /// The back end, where one is named.
    pub(crate) fn backend(self) -> Option<BackendKind> {
        Some(match self {
            Self::Auto => return None,
            Self::Process => BackendKind::Process,
            Self::Wasm => BackendKind::Wasm,
            Self::Docker => BackendKind::Docker,
            Self::Microvm => BackendKind::Microvm,
            Self::Basic => BackendKind::Basic,
        })
    }
}

/// What evaluates TypeScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TypeScript {
    /// `QuickJS`, embedded.
    Quickjs,
    /// `QuickJS` in a WebAssembly machine: a second wall inside the first.
    Wasm,
    /// The `deno` of this machine.
    Deno,
}

/// What evaluates Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Python {
    /// Monty, embedded.
    Monty,
    /// The Python of this machine.
    Cpython,
}

/// The names of the walls, for the published schema.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its names are used, in the published schema")]
enum Wall {
    NoNewPrivs,
    Seccomp,
    Rlimits,
    Capabilities,
    Landlock,
    UserNamespace,
    PidNamespace,
    MountNamespace,
    NetNamespace,
    IpcNamespace,
    UtsNamespace,
    Cgroup,
}

/// The back ends that can be named for a key, as the schema shows them.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its names are used, in the published schema")]
pub(super) enum Named {
    Process,
    Wasm,
    Docker,
    Microvm,
    Basic,
}

/// The engines that have to be offered, as the schema shows them.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its names are used, in the published schema")]
enum Offered {
    Deno,
    Cpython,
}

/// What runs reach of the network by themselves: `none`, or hosts such as `example.com`,
/// `*.example.com` or `127.0.0.1:8080`, at the ports 443 and 80 if none is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"none\" or a list of hosts")]
pub(crate) enum Hosts {
    /// `none`.
    Word(String),
    /// These.
    List(Vec<String>),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Word(Network::NONE.to_owned())
    }
}

impl Hosts {
    /// What it says.
    pub(crate) fn network(&self) -> Result<Network, String> {
        match self {
            Self::Word(word) if word == Network::NONE => Ok(Network::default()),
            Self::Word(_) => Err(Network::SHAPE.to_owned()),
            Self::List(hosts) => Network::of(hosts),
        }
    }
}

/// Limits lower than those of `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LoweredSection {
    /// Milliseconds from start to end.
    #[schemars(range(min = 1))]
    pub(crate) wall_ms: Option<u64>,
    /// Milliseconds of processor time.
    #[schemars(range(min = 1))]
    pub(crate) cpu_ms: Option<u64>,
    /// Bytes of heap.
    #[schemars(range(min = 1))]
    pub(crate) memory_bytes: Option<u64>,
    /// Bytes of all files that a run keeps at once.
    pub(crate) disk_bytes: Option<u64>,
    /// Files and folders that a run keeps at once.
    pub(crate) files: Option<u32>,
    /// Threads and processes of one run at once.
    #[schemars(range(min = 1))]
    pub(crate) processes: Option<u32>,
    /// Whether nothing but the run's own files can be written. It cannot be `false`.
    pub(crate) read_only: Option<bool>,
    /// What runs reach of the network by themselves, of what `[limits]` has.
    pub(crate) network: Option<Hosts>,
    /// Tool calls in one run.
    pub(crate) calls: Option<u32>,
    /// Tool calls under way at once.
    #[schemars(range(min = 1))]
    pub(crate) calls_parallel: Option<u32>,
    /// Bytes of one tool result.
    pub(crate) result_bytes: Option<u64>,
    /// Bytes of the returned value.
    #[schemars(range(min = 1))]
    pub(crate) value_bytes: Option<u64>,
    /// Bytes of all log lines.
    pub(crate) log_bytes: Option<u64>,
}

impl From<LoweredSection> for Lowered {
    fn from(said: LoweredSection) -> Self {
        let LoweredSection {
            wall_ms,
            cpu_ms,
            memory_bytes,
            disk_bytes,
            files,
            processes,
            calls,
            calls_parallel,
            result_bytes,
            value_bytes,
            log_bytes,
            read_only: _,
            network,
        } = said;
        Self {
            wall_ms,
            cpu_ms,
            memory_bytes,
            disk_bytes,
            files,
            processes,
            calls,
            calls_parallel,
            result_bytes,
            value_bytes,
            log_bytes,
            read_only: said.read_only.map(|_checked| ReadOnly),
            network: network.map(|hosts| hosts.network().unwrap_or_default()),
        }
    }
}

/// How programs are locked in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// Where programs run. `auto` is the first of `process`, `docker` and `wasm` that works and has
    /// the walls of `require` and the engines below; `narrows doctor` tells which works here.
    pub(crate) backend: Where,
    /// What evaluates TypeScript and JavaScript. The back end `wasm` has its own.
    pub(crate) typescript: TypeScript,
    /// What evaluates Python.
    pub(crate) python: Python,
    /// Engines that a program may ask for beside those two and the embedded ones.
    #[schemars(with = "Vec<Offered>")]
    pub(crate) offer: Vec<Engine>,
    /// Workers kept ready for each language.
    pub(crate) warm: u64,
    /// Walls that must stand beside those that always must; else nothing runs.
    #[schemars(with = "Vec<Wall>")]
    pub(crate) require: Vec<Layer>,
    /// Workers at once; further runs wait.
    #[schemars(range(min = 1))]
    pub(crate) workers_max: u64,
    /// The control group that bounds all workers together, but for those in containers: `auto` for
    /// one in our own where that can be made, `off`, or the group to make it in, called as
    /// `/proc/PID/cgroup` calls it; if that cannot be, nothing runs.
    pub(crate) cgroup: String,
    /// Bytes of memory of all workers together, over which the kernel kills one. Without it: three
    /// quarters of what there is. Counts where there is a control group.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers_memory_bytes: Option<u64>,
    /// Workers among `workers_max` that wait with a session's variables for its next program with
    /// `state`, one for each session and engine; the one used longest ago makes room. With 0 none
    /// are kept.
    pub(crate) sessions_max: u64,
    /// Seconds that a session's variables are kept without use.
    #[schemars(range(min = 1))]
    pub(crate) sessions_idle_s: u64,
    /// Workers made from one parent before it is replaced.
    #[schemars(range(min = 1))]
    pub(crate) forks_per_zygote: u64,
    /// Milliseconds for the first worker to get ready.
    #[schemars(range(min = 1))]
    pub(crate) start_timeout_ms: u64,
    /// The static worker, of which the images of containers are made. Without it:
    /// `narrows-worker` beside this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<PathBuf>,
    /// How containers are made, for the back end `docker`.
    pub(crate) docker: Docker,
    /// How virtual machines are made, for the back end `microvm`.
    pub(crate) microvm: Microvm,
    /// The interpreter of the engine `cpython`. Without it: `bin/python3` of `venv_path`, else
    /// `/usr/bin/python3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpython_path: Option<PathBuf>,
    /// A virtual environment whose packages the engine `cpython` has, read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) venv_path: Option<PathBuf>,
    /// The program of the engine `deno`, without which there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deno_path: Option<PathBuf>,
    /// A folder with `package.json` and `node_modules`, whose packages the engine `deno` has,
    /// read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) npm_path: Option<PathBuf>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            backend: Where::Auto,
            typescript: TypeScript::Quickjs,
            python: Python::Monty,
            offer: Vec::new(),
            warm: 4,
            require: Vec::new(),
            workers_max: 64,
            cgroup: "auto".to_owned(),
            workers_memory_bytes: None,
            sessions_max: 16,
            sessions_idle_s: 1_800,
            forks_per_zygote: 5_000,
            start_timeout_ms: 10_000,
            worker: None,
            docker: Docker::default(),
            microvm: Microvm::default(),
            cpython_path: None,
            venv_path: None,
            deno_path: None,
            npm_path: None,
        }
    }
}

impl Sandbox {
    /// Where the control group is made. `None`: what is said is no place.
    pub(crate) fn cgroup(&self) -> Option<CgroupPlace> {
        match self.cgroup.as_str() {
            "auto" => Some(CgroupPlace::Auto),
            "off" => Some(CgroupPlace::Off),
            path => {
                let path = Path::new(path);
                let plain = path.components().all(|part| part != Component::ParentDir);
                let mounted = path.starts_with("/sys/fs/cgroup");
                let place = path.is_absolute() && plain && !mounted;
                place.then(|| CgroupPlace::At(path.to_owned()))
            }
        }
    }

    /// What evaluates TypeScript and Python where nobody says.
    pub(crate) fn usual(&self) -> [Engine; 2] {
        let typescript = match self.typescript {
            TypeScript::Quickjs => Engine::Quickjs,
            TypeScript::Wasm => Engine::Wasm,
            TypeScript::Deno => Engine::Deno,
        };
        let python = match self.python {
            Python::Monty => Engine::Monty,
            Python::Cpython => Engine::Cpython,
        };
        [typescript, python]
    }

    /// What evaluates each language, and what else may be asked for.
    pub(crate) fn engines(&self) -> Vec<Engine> {
        self.usual().into_iter().chain(self.offer.iter().copied()).collect()
    }
}
