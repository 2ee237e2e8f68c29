//! Real machines of QEMU, with the kernel of `cargo xtask microvm` and the static worker.

use super::*;
use narrows_types::control::Death;
use nix::unistd::{getegid, geteuid};
use std::path::Path;
use std::time::Instant;
use tokio::io::AsyncReadExt;

#[expect(clippy::disallowed_methods, reason = "xtask tells where the parts are")]
fn config() -> MicrovmConfig {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = std::env::var("NARROWS_PARTS").map_or(repository.join(".cache"), PathBuf::from);
    let worker = std::env::var("NARROWS_STATIC_WORKER");
    let worker = worker.expect("run the tests by `cargo xtask test`, which builds the worker");
    MicrovmConfig { boot_ms: 120_000, ..MicrovmConfig::qemu(parts.join("microvm"), worker.into()) }
}

/// Memory of guests that this process holds.
fn held() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("memfd:guest")).count()
}

/// As whoever runs this, so that a device of the machine's that can be opened is tried: it may
/// boot no guest all the same.
#[tokio::test]
async fn machines_are_restored_apart_from_each_other_and_leave_nothing() {
    let own = Some((geteuid().as_raw(), getegid().as_raw()));
    let machines = Microvm::new(Qemu::new(MicrovmConfig { user: own, ..config() }));
    let begun = Instant::now();
    let layers = machines.prepare(Engine::Quickjs).await.unwrap();
    println!("boot, save and restore: {:?}", begun.elapsed());
    assert!(layers.iter().any(|state| state.reached), "{layers:?}");
    assert_eq!(held(), 1);
    let begun = Instant::now();
    let (one, other) =
        tokio::join!(machines.launch(Engine::Quickjs), machines.launch(Engine::Quickjs));
    println!("two restored: {:?}", begun.elapsed());
    let ((mut one, _), (mut other, _)) = (one.unwrap(), other.unwrap());
    one.worker.end();
    assert_eq!(one.ended.await.unwrap().how, Death::Signal(libc::SIGKILL));
    assert_eq!(one.read.read(&mut [0]).await.unwrap(), 0);
    assert!(other.alive());
    // A worker whose host is gone ends, and its machine with it.
    drop((other.read, other.write));
    let ended = timeout(Duration::from_secs(30), other.ended).await;
    assert!(matches!(ended.unwrap().unwrap().how, Death::Exit(_)));
    machines.close().await;
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn engines_that_are_programs_are_no_guests() {
    let machines = Microvm::new(Qemu::new(config()));
    let why = machines.prepare(Engine::Cpython).await.unwrap_err();
    assert!(why.contains("use an embedded engine"), "{why}");
}
