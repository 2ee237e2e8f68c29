//! What the types of `[sandbox]` and of the keys cannot say: ranges, pairs of back end and engine
//! that do not exist, and programs without walls beside an open door.

use super::Check;
use crate::config::Settings;
use crate::config::problem::dotted;
use crate::config::settings::{Docker, Sandbox, Where};
use narrows_types::{BackendKind, Engine, Lowered};

/// MiB of one virtual machine, least and most.
const MACHINE_MIB: (u64, u64) = (64, 65_536);

impl Check<'_> {
    /// How programs are locked in.
    pub(super) fn sandbox(&mut self, settings: &Settings) {
        self.sandbox_ranges(&settings.sandbox);
        self.lowered(settings);
        self.container_memory(settings);
        self.together(settings);
        self.pairs(settings);
        self.deno(&settings.sandbox);
        self.network(settings);
        self.without_walls(settings);
    }

    fn sandbox_ranges(&mut self, sandbox: &Sandbox) {
        let Sandbox { docker, microvm, .. } = sandbox;
        let some = |key, value| (key, value, 1, u64::MAX);
        self.ranges(
            "sandbox",
            &[
                some("workers_max", sandbox.workers_max),
                some("sessions_idle_s", sandbox.sessions_idle_s),
                some("forks_per_zygote", sandbox.forks_per_zygote),
                some("start_timeout_ms", sandbox.start_timeout_ms),
            ],
        );
        // To a daemon nothing means without a limit.
        self.ranges(
            "sandbox.docker",
            &[
                some("memory_bytes", docker.memory_bytes),
                some("cpus", docker.cpus.into()),
                some("processes", docker.processes.into()),
                some("disk_bytes", docker.disk_bytes),
            ],
        );
        let (least, most) = MACHINE_MIB;
        self.ranges(
            "sandbox.microvm",
            &[
                ("memory_mib", microvm.memory_mib.into(), least, most),
                some("boot_timeout_ms", microvm.boot_timeout_ms),
            ],
        );
    }

    /// Limits of a key with which none of its holder's programs would run.
    fn lowered(&mut self, settings: &Settings) {
        for (name, key) in &settings.keys {
            if let Some(limit) = Lowered::from(key.limits.clone()).nothing() {
                let path = ["keys", name, "limits", limit];
                let what = format!("`{}` must be 1 or more, not 0", dotted(&path));
                self.told(&path, what, "");
            }
        }
    }

    /// A container that is smaller than a run may be dies instead of the run.
    fn container_memory(&mut self, settings: &Settings) {
        let Settings { sandbox, limits, .. } = settings;
        let (whole, run) = (sandbox.docker.memory_bytes, limits.memory_bytes);
        let containers = matches!(sandbox.backend, Where::Auto | Where::Docker)
            || places(settings).any(|(_, backend)| backend == BackendKind::Docker);
        if containers && whole <= run {
            let what = format!(
                "`sandbox.docker.memory_bytes` is {whole}, no more than `limits.memory_bytes`, \
                 which is {run}"
            );
            let hint = "a container holds the interpreter beside what a run may use; raise it";
            // Whichever of the two somebody changed.
            let usual = whole == Docker::default().memory_bytes;
            let own = ["sandbox", "docker", "memory_bytes"];
            let path = if usual { &["limits", "memory_bytes"][..] } else { &own };
            self.told(path, what, hint);
        }
    }

    /// What bounds all workers together.
    fn together(&mut self, settings: &Settings) {
        let Settings { sandbox, limits, .. } = settings;
        if sandbox.cgroup().is_none() {
            let what = format!("`sandbox.cgroup` is \"{}\", which is no group", sandbox.cgroup);
            let hint = "say `auto`, `off`, or a path such as `/system.slice/narrows.service`, as in \
                        /proc/PID/cgroup: without /sys/fs/cgroup";
            self.told(&["sandbox", "cgroup"], what, hint);
        }
        let (all, one) = (sandbox.workers_memory_bytes, limits.memory_bytes);
        if let Some(all) = all.filter(|all| *all <= one) {
            let what = format!(
                "`sandbox.workers_memory_bytes` is {all}, no more than `limits.memory_bytes`, which \
                 is {one}"
            );
            let hint = "all workers together need more than one run may use; raise it";
            self.told(&["sandbox", "workers_memory_bytes"], what, hint);
        }
    }

    /// Engines that are not there where programs run.
    fn pairs(&mut self, settings: &Settings) {
        let sandbox = &settings.sandbox;
        let hint = "deno and cpython run where the system's programs are: on process and basic";
        let [typescript, python] = sandbox.usual();
        for (key, engine) in [("typescript", typescript), ("python", python)] {
            let lacking = |(path, backend): &(Vec<&str>, BackendKind)| {
                // What the holder of a key has in WebAssembly is an engine of its own.
                let own = *backend == BackendKind::Wasm && path.first() == Some(&"keys");
                !engine.is_embedded() && !backend.carries(engine) && !own
            };
            for (path, backend) in places(settings).filter(lacking).collect::<Vec<_>>() {
                let what = format!(
                    "`{}` is {backend}, where {engine} does not run, and `sandbox.{key}` wants it",
                    dotted(&path)
                );
                self.told(&path, what, hint);
            }
        }
        let nowhere = |engine: &Engine| {
            sandbox.backend != Where::Auto
                && !places(settings).any(|(_, backend)| backend.carries(*engine))
        };
        if let Some(engine) = sandbox.offer.iter().copied().find(nowhere) {
            let what =
                format!("`sandbox.offer` has {engine}, which runs on no back end named here");
            self.told(&["sandbox", "offer"], what, hint);
        }
    }

    fn deno(&mut self, sandbox: &Sandbox) {
        if sandbox.deno_path.is_some() || !sandbox.engines().contains(&Engine::Deno) {
            return;
        }
        let key = if sandbox.offer.contains(&Engine::Deno) { "offer" } else { "typescript" };
        let what =
            format!("`sandbox.{key}` names deno, and `sandbox.deno_path` does not say where it is");
        self.told(&["sandbox", key], what, "say deno_path = \"/usr/local/bin/deno\", for example");
    }

    /// Hosts that no program would reach.
    fn network(&mut self, settings: &Settings) {
        let Settings { sandbox, limits, .. } = settings;
        if limits.network.network().map_or(true, |network| network.is_none()) {
            return;
        }
        let mut named = places(settings);
        let process = sandbox.backend == Where::Auto
            || named.any(|(_, backend)| backend == BackendKind::Process);
        let engines = sandbox.engines();
        let (what, hint) = if !process {
            (
                "`limits.network` has hosts, and programs have a network on the back end `process` \
                 only, which is not named",
                "say backend = \"process\", or network = \"none\"",
            )
        } else if !engines.into_iter().any(Engine::has_sockets) {
            (
                "`limits.network` has hosts, and only cpython and deno have a network, of which \
                 `sandbox` names none",
                "say offer = [\"cpython\"] under [sandbox], or network = \"none\"",
            )
        } else {
            return;
        };
        self.told(&["limits", "network"], what, hint);
    }

    /// Whoever reaches the address may start programs.
    fn without_walls(&mut self, settings: &Settings) {
        if settings.serve.http.as_deref().is_none_or(is_local) {
            return;
        }
        for (path, backend) in places(settings).collect::<Vec<_>>() {
            if backend == BackendKind::Basic {
                let what = format!(
                    "`{}` is `basic`, which locks nothing in, and `serve.http` is open to other \
                     machines",
                    dotted(&path)
                );
                self.told(&path, what, "name another back end, or serve on 127.0.0.1");
            }
        }
    }
}

/// Every back end that is named, with where.
fn places(settings: &Settings) -> impl Iterator<Item = (Vec<&str>, BackendKind)> {
    let own = settings.sandbox.backend.backend();
    let keys = settings.keys.iter().filter_map(|(name, key)| {
        key.backend.map(|backend| (vec!["keys", name.as_str(), "backend"], backend))
    });
    own.map(|backend| (vec!["sandbox", "backend"], backend)).into_iter().chain(keys)
}

/// Whether an address is reached from this machine only. What cannot be read is told of elsewhere.
fn is_local(http: &str) -> bool {
    let bound = http.parse::<std::net::SocketAddr>();
    bound.map_or(true, |address| address.ip().is_loopback())
}
