//! How a container is made: everything that it may not.

use super::Config;
use super::daemon::{Make, Traits};
use super::image::WORKER;
use super::leftovers;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use narrows_types::Engine;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

/// The system calls that a container may make: a little more than a worker makes, so that the
/// container's own runtime can start it. The worker's filter takes the rest away.
const SECCOMP: &str = include_str!("seccomp.json");
/// The profile that stands beside this file; it works once somebody has loaded it.
pub(super) const APPARMOR: &str = "narrows-worker";
/// Nobody, in every system.
const NOBODY: &str = "65534:65534";
/// Processes of all containers together: the limit counts by user, so it only is a far wall.
const PROCESSES_OF_NOBODY: i64 = 4_096;
/// File descriptors: the three that carry the frames, and what the C library opens at its start.
const FILES: i64 = 32;

/// The profiles of a container, as the daemon takes them.
#[derive(Debug)]
pub(super) struct Profiles {
    /// What follows `seccomp=`. Empty: the daemon filters no system calls.
    seccomp: String,
    /// Where that names a file: the file.
    _file: Option<File>,
    /// Our own for `AppArmor` is loaded.
    pub(super) apparmor: bool,
}

impl Profiles {
    /// Docker takes the filter itself; Podman wants a file, which is one without a name: it goes
    /// with us, and nobody else can put another one in its place.
    pub(super) fn new(traits: &Traits) -> io::Result<Self> {
        let (mut seccomp, mut file) = (String::new(), None);
        if traits.seccomp && traits.make == Make::Podman {
            let mut unnamed = File::from(memfd_create("narrows-seccomp", MFdFlags::MFD_CLOEXEC)?);
            unnamed.write_all(SECCOMP.as_bytes())?;
            seccomp = format!("/proc/{}/fd/{}", std::process::id(), unnamed.as_raw_fd());
            file = Some(unnamed);
        } else if traits.seccomp {
            SECCOMP.clone_into(&mut seccomp);
        }
        Ok(Self { seccomp, _file: file, apparmor: traits.apparmor })
    }
}

/// The request for one container.
pub(super) fn request(
    config: &Config,
    image: &str,
    engine: Engine,
    traits: &Traits,
    profiles: &Profiles,
) -> ContainerCreateBody {
    let words = [WORKER, "--engine", engine.name(), "--link", "stdio", "--walls", "best"];
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(words.map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        env: Some(vec!["TZ=UTC0".to_owned()]),
        user: Some(NOBODY.to_owned()),
        hostname: Some("worker".to_owned()),
        working_dir: Some("/".to_owned()),
        labels: Some(leftovers::labels()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // Where we end, so does its input, and the worker with it.
        stdin_once: Some(true),
        tty: Some(false),
        // It has nothing to put in order.
        stop_signal: Some("SIGKILL".to_owned()),
        stop_timeout: Some(0),
        network_disabled: Some(true),
        host_config: Some(walls(config, traits, profiles)),
        ..ContainerCreateBody::default()
    }
}

fn walls(config: &Config, traits: &Traits, profiles: &Profiles) -> HostConfig {
    let memory = i64::try_from(config.memory_bytes).unwrap_or(i64::MAX);
    let mut security = vec!["no-new-privileges".to_owned()];
    if !profiles.seccomp.is_empty() {
        security.push(format!("seccomp={}", profiles.seccomp));
    }
    if profiles.apparmor {
        security.push(format!("apparmor={APPARMOR}"));
    }
    let scratch = format!("rw,noexec,nosuid,nodev,size={},mode=1777", config.disk_bytes);
    let can = |what| !traits.unlimited.contains(&what);
    HostConfig {
        runtime: config.runtime.clone(),
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("none".to_owned()),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(security),
        privileged: Some(false),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), scratch)])),
        // With swap equal to memory there is no swap.
        memory: can("memory").then_some(memory),
        memory_swap: can("memory").then_some(memory),
        nano_cpus: can("processor time")
            .then(|| i64::from(config.cpus).saturating_mul(1_000_000_000)),
        pids_limit: can("processes").then(|| i64::from(config.processes)),
        ulimits: Some(ulimits(memory)),
        init: Some(false),
        // What a worker writes for people goes to our log, bounded.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    }
}

/// Without a word about processes Podman wants more than it may have itself. The memory stands here too: gVisor may be set up without control groups, and then nothing else
/// around the worker would limit it.
fn ulimits(memory: i64) -> Vec<ResourcesUlimits> {
    [
        ("core", 0),
        ("nofile", FILES),
        ("nproc", PROCESSES_OF_NOBODY),
        ("memlock", 0),
        ("msgqueue", 0),
        ("data", memory),
    ]
    .map(|(name, to)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(to),
        hard: Some(to),
    })
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn host(traits: &Traits) -> HostConfig {
        let config = Config::new(PathBuf::from("/w"), Vec::new());
        let profiles = Profiles::new(traits).unwrap();
        request(&config, "i", Engine::Quickjs, traits, &profiles).host_config.unwrap()
    }

    #[test]
    fn the_profile_is_json_with_an_allow_list() {
        let profile: serde_json::Value = serde_json::from_str(SECCOMP).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let allowed: Vec<&str> = profile["syscalls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["action"] == "SCMP_ACT_ALLOW")
            .flat_map(|entry| entry["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap())
            .collect();
        for never in [
            "socket",
            "connect",
            "ptrace",
            "mount",
            "unshare",
            "setns",
            "bpf",
            "kill",
            "io_uring_setup",
            "process_vm_readv",
            "keyctl",
            "memfd_create",
            "userfaultfd",
        ] {
            assert!(!allowed.contains(&never), "{never}");
        }
    }

    #[test]
    fn nobody_waits_for_a_container_to_end_by_itself() {
        let config = Config::new(PathBuf::from("/w"), Vec::new());
        let profiles = Profiles::new(&Traits::default()).unwrap();
        let asked = request(&config, "i", Engine::Quickjs, &Traits::default(), &profiles);
        assert_eq!((asked.stop_signal.as_deref(), asked.stop_timeout), (Some("SIGKILL"), Some(0)));
    }

    #[test]
    fn what_a_daemon_cannot_limit_it_is_not_asked_to() {
        let all = host(&Traits { seccomp: true, ..Traits::default() });
        assert_eq!(all.memory, all.memory_swap);
        assert!(all.memory.is_some() && all.pids_limit.is_some() && all.nano_cpus.is_some());
        let few = host(&Traits { unlimited: vec!["memory", "processes"], ..Traits::default() });
        assert_eq!((few.memory, few.memory_swap, few.pids_limit), (None, None, None));
        assert!(few.nano_cpus.is_some());
    }

    #[test]
    fn profiles_are_used_where_the_daemon_has_them() {
        let options = |traits: &Traits| host(traits).security_opt.unwrap().join(" ");
        let both = options(&Traits { seccomp: true, apparmor: true, ..Traits::default() });
        assert!(both.contains("seccomp={") && both.contains("apparmor=narrows-worker"));
        assert_eq!(options(&Traits::default()), "no-new-privileges");
    }

    #[test]
    fn podman_reads_the_profile_from_a_file_without_a_name() {
        let traits = Traits { seccomp: true, make: Make::Podman, ..Traits::default() };
        let profiles = Profiles::new(&traits).unwrap();
        assert_eq!(std::fs::read_to_string(&profiles.seccomp).unwrap(), SECCOMP);
        let path = profiles.seccomp.clone();
        drop(profiles);
        assert!(std::fs::read_to_string(path).is_err());
    }
}
