//! The config, as the sandbox wants it.

use super::size;
use crate::config::settings::Hypervisor;
use crate::config::{Environment, Settings};
use narrows_sandbox::{CgroupConfig, CgroupPlace, Config, MicrovmConfig, MicrovmDriver, docker};
use std::path::{Path, PathBuf};

/// The sandbox's; zygotes are made of `program`.
pub(crate) fn sandbox(settings: &Settings, env: &Environment, program: PathBuf) -> Config {
    let said = &settings.sandbox;
    let beside = || program.with_file_name("narrows-worker");
    let worker = said.worker.as_ref().map_or_else(beside, |path| env.tilde(path));
    Config {
        backend: said.backend.backend(),
        engines: said.engines(),
        warm: size(said.warm),
        forks_per_zygote: u32::try_from(said.forks_per_zygote).unwrap_or(u32::MAX),
        require: said.require.clone(),
        start_ms: said.start_timeout_ms,
        concurrent_max: size(said.workers_max),
        waiting_max: size(settings.limits.runs_waiting),
        cgroup: together(settings),
        network: settings.limits.run().network,
        sessions_max: size(said.sessions_max),
        sessions_idle_ms: said.sessions_idle_s.saturating_mul(1_000),
        docker: Some(containers(settings, env, worker.clone())),
        microvm: machines(settings, env, worker),
        ..Config::new(program, args(settings, env))
    }
}

/// Threads and processes of one worker, where no program may have more: as many as a hypervisor may
/// have.
const TASKS: u64 = 64;
/// What stands around a program that has as many as it may.
const AROUND: u64 = 8;
/// And of all zygotes, and of workers and machines that wait ready.
const READY_TASKS: u64 = 1_024;
/// The kernel counts no further.
const TASKS_MAX: u64 = 1 << 22;

/// What bounds all workers together.
fn together(settings: &Settings) -> CgroupConfig {
    let said = &settings.sandbox;
    let each = TASKS.max(u64::from(settings.limits.processes).saturating_add(AROUND));
    CgroupConfig {
        place: said.cgroup().unwrap_or(CgroupPlace::Off),
        memory_bytes: said.workers_memory_bytes,
        tasks: said.workers_max.saturating_mul(each).saturating_add(READY_TASKS).min(TASKS_MAX),
    }
}

/// How this binary is asked to be a worker, and where the interpreters are that are not built in.
fn args(settings: &Settings, env: &Environment) -> Vec<String> {
    let said = &settings.sandbox;
    let interpreters = [
        ("--python", &said.cpython_path),
        ("--venv", &said.venv_path),
        ("--deno", &said.deno_path),
        ("--npm", &said.npm_path),
    ];
    let mut args = vec![crate::WORKER.to_owned()];
    for (flag, path) in interpreters {
        if let Some(path) = path {
            args.extend([flag.to_owned(), env.tilde(path).to_string_lossy().into_owned()]);
        }
    }
    let limits = &settings.limits;
    for (flag, most) in [
        ("--memory-bytes", limits.memory_bytes),
        ("--disk-bytes", limits.disk_bytes),
        ("--files", limits.files.into()),
        ("--processes", limits.processes.into()),
    ] {
        args.extend([flag.to_owned(), most.to_string()]);
    }
    args
}

/// How containers are made, if any are.
fn containers(settings: &Settings, env: &Environment, worker: PathBuf) -> docker::Config {
    let said = &settings.sandbox.docker;
    let found = || {
        let runtime_dir = env.var("XDG_RUNTIME_DIR").map(Path::new);
        docker::sockets(env.var("DOCKER_HOST"), runtime_dir)
    };
    docker::Config {
        sockets: said.socket.as_ref().map_or_else(found, |socket| vec![env.tilde(socket)]),
        runtime: said.runtime.clone(),
        worker,
        memory_bytes: said.memory_bytes,
        cpus: said.cpus,
        processes: said.processes,
        disk_bytes: said.disk_bytes,
    }
}

/// How virtual machines are made, where there is an image for them.
fn machines(settings: &Settings, env: &Environment, worker: PathBuf) -> Option<MicrovmConfig> {
    let said = &settings.sandbox.microvm;
    let usual = MicrovmConfig::qemu(env.tilde(said.image.as_ref()?), worker);
    let firecracker = said.driver == Hypervisor::Firecracker;
    let jailer = said.jailer.as_ref().map(|path| env.tilde(path));
    let program = if firecracker { PathBuf::from("firecracker") } else { usual.program.clone() };
    // What starts it has no path to look along.
    let found = || env.find_command(&program.to_string_lossy()).unwrap_or(program.clone());
    Some(MicrovmConfig {
        driver: match said.driver {
            Hypervisor::Qemu => MicrovmDriver::Qemu,
            Hypervisor::Firecracker => MicrovmDriver::Firecracker { jailer },
        },
        program: said.program.as_ref().map_or_else(found, |path| env.tilde(path)),
        memory_mib: said.memory_mib,
        run_bytes: settings.limits.memory_bytes,
        boot_ms: said.boot_timeout_ms,
        ..usual
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_together_have_room_for_what_each_may_have() {
        for (workers, processes, tasks) in [
            (10, 1, 10 * 64 + 1_024),
            (10, 56, 10 * 64 + 1_024),
            (10, 256, 10 * 264 + 1_024),
            (u64::MAX, u32::MAX, 1 << 22),
        ] {
            let mut settings = Settings::default();
            (settings.sandbox.workers_max, settings.limits.processes) = (workers, processes);
            assert_eq!(together(&settings).tasks, tasks, "{workers} of {processes}");
        }
    }
}
