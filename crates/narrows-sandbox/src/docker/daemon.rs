//! The daemon: where it listens, whether it answers, what it can.

use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// How long the daemon may take for one answer; starting a container is the longest.
const ANSWER_SECONDS: u64 = 20;
/// How long it may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// Where the daemons listen that are started by the system.
const SYSTEM: [&str; 3] = ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"];

/// Who speaks the Docker API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Make {
    #[default]
    Docker,
    /// With an accent of its own.
    Podman,
}

/// What a daemon can, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// It filters system calls.
    pub(super) seccomp: bool,
    /// It confines by `AppArmor`.
    pub(super) apparmor: bool,
    /// Which one it is.
    pub(super) make: Make,
    /// Root in a container is nobody outside.
    pub(super) user_namespace: bool,
    /// What it cannot limit, though it is asked to.
    pub(super) unlimited: Vec<&'static str>,
    /// Its names for what it can run containers with.
    pub(super) runtimes: Vec<String>,
}

/// The sockets on which a daemon of the Docker API may listen, most wanted first: that of
/// `DOCKER_HOST`, the user's, the system's; Docker's before Podman's.
pub fn sockets(docker_host: Option<&str>, runtime_dir: Option<&Path>) -> Vec<PathBuf> {
    // Whoever names a host means that one and no other.
    if let Some(host) = docker_host.filter(|host| !host.is_empty()) {
        return host.strip_prefix("unix://").map(PathBuf::from).into_iter().collect();
    }
    let own = runtime_dir
        .iter()
        .flat_map(|dir| ["docker.sock", "podman/podman.sock"].map(|s| dir.join(s)));
    own.chain(SYSTEM.map(PathBuf::from)).collect()
}

/// Connects to the first socket that is there, and asks the daemon what it can.
pub(super) async fn connect(sockets: &[PathBuf]) -> Result<(Docker, Traits), String> {
    let Some(socket) = sockets.iter().find(|socket| socket.exists()) else {
        let places: Vec<_> = sockets.iter().map(|s| s.display().to_string()).collect();
        return Err(match places.as_slice() {
            [] => "no socket of a container daemon is known: only unix:// is spoken; set \
                   sandbox.docker.socket"
                .to_owned(),
            places => format!(
                "no container daemon listens at {}; start docker or podman, or set \
                 sandbox.docker.socket",
                places.join(", ")
            ),
        });
    };
    let silent = |why: &dyn std::fmt::Display| {
        format!("the container daemon at {} does not answer: {why}", socket.display())
    };
    let daemon =
        Docker::connect_with_unix(&socket.to_string_lossy(), ANSWER_SECONDS, API_DEFAULT_VERSION)
            .map_err(|error| silent(&error))?;
    let greeting = async {
        let daemon = daemon.negotiate_version().await?;
        let (info, version) = (daemon.info().await?, daemon.version().await?);
        Ok::<_, bollard::errors::Error>((daemon, info, version))
    };
    let (daemon, info, version) = timeout(GREETING, greeting)
        .await
        .map_err(|_late| silent(&"no answer in 5 s"))?
        .map_err(|error| silent(&error))?;
    let parts = version.components.unwrap_or_default();
    let podman = parts.iter().any(|part| part.name.starts_with("Podman"));
    let make = if podman { Make::Podman } else { Make::Docker };
    Ok((daemon, Traits { make, ..traits(&info) }))
}

fn traits(info: &SystemInfo) -> Traits {
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |name: &str| {
        options.iter().any(|option| option.split(',').any(|part| part == format!("name={name}")))
    };
    let limits = [
        (info.memory_limit, "memory"),
        (info.pids_limit, "processes"),
        (info.cpu_cfs_quota, "processor time"),
    ];
    Traits {
        make: Make::Docker,
        seccomp: has("seccomp"),
        apparmor: has("apparmor"),
        user_namespace: has("userns") || has("rootless"),
        unlimited: limits
            .iter()
            .filter(|(can, _)| *can == Some(false))
            .map(|(_, what)| *what)
            .collect(),
        runtimes: info.runtimes.iter().flat_map(|known| known.keys().cloned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_host_is_the_only_one() {
        let run = Path::new("/run/user/7");
        assert_eq!(sockets(Some("unix:///a.sock"), Some(run)), [PathBuf::from("/a.sock")]);
        // No network: it would carry everything in the open.
        assert_eq!(sockets(Some("tcp://10.0.0.1:2375"), None), Vec::<PathBuf>::new());
        let found = sockets(None, Some(run));
        assert_eq!(found[0], Path::new("/run/user/7/docker.sock"));
        assert_eq!(found[1], Path::new("/run/user/7/podman/podman.sock"));
        assert_eq!(found[2], Path::new("/var/run/docker.sock"));
        assert_eq!(sockets(Some(""), None).len(), SYSTEM.len());
    }

    #[tokio::test]
    async fn an_absent_daemon_is_named_with_what_to_do() {
        let error = connect(&[PathBuf::from("/nowhere/a.sock")]).await.unwrap_err();
        assert!(error.contains("/nowhere/a.sock") && error.contains("sandbox.docker.socket"));
        let error = connect(&[]).await.unwrap_err();
        assert!(error.contains("only unix://"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_without_a_daemon_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = connect(std::slice::from_ref(&path)).await.unwrap_err();
        assert!(error.contains("does not answer"), "{error}");
    }

    #[test]
    fn what_a_daemon_can_is_read_from_what_it_says() {
        let said = |words: &[&str]| SystemInfo {
            security_options: Some(words.iter().map(|word| (*word).to_owned()).collect()),
            pids_limit: Some(false),
            ..SystemInfo::default()
        };
        let traits = traits(&said(&["name=apparmor", "name=seccomp,profile=default"]));
        assert!(traits.apparmor && traits.seccomp && !traits.user_namespace);
        assert_eq!(traits.unlimited, ["processes"]);
        assert!(super::traits(&said(&["name=rootless"])).user_namespace);
    }
}
