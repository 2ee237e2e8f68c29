//! What a container is from the inside, without the walls that a real worker raises in it, and
//! what its process is from the outside.

use crate::daemon::Daemon;
use crate::house::{config, run, sandbox, typescript};
use crate::lifecycle::{client, containers};
use bollard::query_parameters::InspectContainerOptions;
use narrows_sandbox::{LeaseEnd, Loss, docker};
use narrows_types::Language;
use narrows_types::frame::FromWorker;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Compiles a hostile worker.
pub(crate) fn hostile(folder: &Path, source: &str) -> PathBuf {
    let hello = FromWorker::Hello(Vec::new()).encode().unwrap();
    let bytes: Vec<String> = hello.iter().map(ToString::to_string).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers").join(source);
    let worker = folder.join("hostile");
    let built = Command::new("cc")
        .args(["-static", "-O1", "-o"])
        .arg(&worker)
        .arg(format!("-DHELLO={}", bytes.join(",")))
        .arg("-DWORKER=\"/narrows-worker\"")
        .arg(source)
        .status();
    assert!(built.unwrap().success());
    worker
}

async fn nothing_is_open(docker: docker::Config) {
    let folder = tempfile::tempdir().unwrap();
    let sandbox =
        sandbox(docker::Config { worker: hostile(folder.path(), "inside.c"), ..docker }).await;
    let ran = run(&sandbox, typescript("return 1;")).await;
    assert_eq!(
        ran.unwrap_err(),
        LeaseEnd::Lost(Loss::Died, "the worker exited with code 32".to_owned())
    );
    sandbox.shutdown().await;
}

#[tokio::test]
async fn docker_gives_a_hostile_worker_nothing() {
    nothing_is_open(config(&Daemon::docker())).await;
}

#[tokio::test]
async fn podman_gives_a_hostile_worker_nothing() {
    nothing_is_open(config(&Daemon::podman())).await;
}

/// A field of `/proc/PID/status`.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.split(':').next() == Some(name));
    line.unwrap().split_once(':').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_kernel_agrees_with_what_was_asked_for() {
    let daemon = Daemon::own_docker();
    let client = client(&daemon.socket).await;
    let sandbox = sandbox(config(&daemon)).await;
    let deadline = Instant::now() + crate::house::LONG;
    let _lease = sandbox.lease(Language::TypeScript, deadline).await.unwrap();
    let id = containers(&client).await[0].id.clone().unwrap();
    let options = None::<InspectContainerOptions>;
    let container = client.inspect_container(&id, options).await.unwrap();
    let pid = container.state.unwrap().pid.unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for (name, wanted) in [
        ("Uid", "65534"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
    ] {
        assert_eq!(field(&status, name), wanted, "{name}");
    }
    for space in ["mnt", "net", "pid", "ipc", "uts"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
        assert_ne!(of(&pid.to_string()), of("self"), "{space}");
    }
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{root}");
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let up: Vec<_> =
        devices.lines().skip(2).filter_map(|l| Some(l.split_once(':')?.0.trim())).collect();
    assert_eq!(up, ["lo"]);
    sandbox.shutdown().await;
}

/// Loading it takes a kernel that has `AppArmor`; reading it does not.
#[test]
fn the_apparmor_profile_can_be_read() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docker/apparmor.profile");
    let read = Command::new("sh")
        .args(["-c", "PATH=$PATH:/usr/sbin:/sbin exec apparmor_parser -Q -K -S \"$1\"", "sh"])
        .arg(profile)
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert!(!read.stdout.is_empty(), "it compiles to nothing");
}
