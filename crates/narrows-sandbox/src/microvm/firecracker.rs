//! Firecracker. It wants files and sockets that have names, so each machine has a private folder,
//! which is gone as soon as the machine runs: it has by then opened all that it needs, and a guest
//! that asks for another connection to the host finds nothing there.

use super::image::command_line;
use super::{Driver, Guest, MicrovmConfig, api, console};
use crate::frames;
use crate::spawn::{Hypervisor, Machine, machine};
use narrows_types::Engine;
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The port that the worker listens on, and the number of the guest, which nobody else sees.
const PORT: u32 = 52;
const GUEST: u32 = 3;
/// What everything but booting may take.
const STEP: Duration = Duration::from_secs(10);
/// The longest answer to a request for a connection: `OK` and a number.
const ANSWER_BYTES_MAX: usize = 32;
/// Names in a machine's folder.
const API: &str = "api.sock";
const WIRE: &str = "wire.sock";
const KERNEL: &str = "vmlinux";
const INITRD: &str = "initrd";
const STATE: &str = "state";
const MEMORY: &str = "memory";
/// As its jailer knows the machine: the only one in its folder.
const ID: &str = "narrows";

/// Starts machines.
#[derive(Debug)]
pub(crate) struct Firecracker {
    config: MicrovmConfig,
    /// The program that locks the hypervisor up; it has to be started as root.
    jailer: Option<PathBuf>,
}

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Booted {
    machine: Machine,
    folder: TempDir,
    root: PathBuf,
}

/// A machine that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    folder: TempDir,
}

impl Driver for Firecracker {
    type Booted = Booted;
    type Saved = Saved;

    async fn boot(&self, engine: Engine) -> Result<Booted, String> {
        let patience = Duration::from_millis(self.config.boot_ms);
        let late = |_late| format!("no guest boots within {} ms", patience.as_millis());
        timeout(patience, self.boot_now(engine)).await.map_err(late)?
    }

    async fn save(&self, booted: Booted) -> Result<Saved, String> {
        let saving = timeout(STEP, self.save_now(booted)).await;
        saving.map_err(|_late| "the guest is not saved in time".to_owned())?
    }

    async fn restore(&self, saved: &Saved) -> Result<Guest, String> {
        let restoring = timeout(STEP, self.restore_now(saved)).await;
        restoring.map_err(|_late| "the guest is not restored in time".to_owned())?
    }
}

impl Firecracker {
    pub(crate) fn new(config: MicrovmConfig, jailer: Option<PathBuf>) -> Self {
        Self { config, jailer }
    }

    async fn boot_now(&self, engine: Engine) -> Result<Booted, String> {
        let (folder, root) = self.folder()?;
        let (config, to) = (self.config.clone(), root.clone());
        let copied = tokio::task::spawn_blocking(move || parts(&config, &to)).await;
        copied.map_err(|error| error.to_string())??;
        let mut machine = self.start(&folder, &root).await?;
        let mut console = console::of(&mut machine)?;
        let line = command_line(engine, &format!("vsock:{PORT}"));
        let memory = self.config.memory_mib;
        let orders = [
            ("/machine-config", json!({ "vcpu_count": 1, "mem_size_mib": memory })),
            (
                "/boot-source",
                // It has no PCI bus, and looking for one takes time.
                json!({
                    "kernel_image_path": KERNEL,
                    "initrd_path": INITRD,
                    "boot_args": format!("pci=off {line}"),
                }),
            ),
            ("/vsock", json!({ "guest_cid": GUEST, "uds_path": WIRE })),
            ("/actions", json!({ "action_type": "InstanceStart" })),
        ];
        let socket = root.join(API);
        for (path, body) in &orders {
            tokio::select! {
                done = api::request(&socket, "PUT", path, body) => done?,
                _ended = console.drain() => return Err(console.reason()),
            }
        }
        console.listens().await?;
        machine.output = Some(console.into_inner());
        Ok(Booted { machine, folder, root })
    }

    async fn save_now(&self, booted: Booted) -> Result<Saved, String> {
        let Booted { mut machine, folder, root } = booted;
        let socket = root.join(API);
        api::request(&socket, "PATCH", "/vm", &json!({ "state": "Paused" })).await?;
        let snapshot = json!({
            "snapshot_type": "Full",
            "snapshot_path": STATE,
            "mem_file_path": MEMORY,
        });
        api::request(&socket, "PUT", "/snapshot/create", &snapshot).await?;
        let ended = machine.ended.take();
        drop(machine);
        if let Some(ended) = ended {
            drop(ended.await);
        }
        // Out of the reach of every machine, and never written again.
        let kept = self.private()?;
        for name in [STATE, MEMORY] {
            let to = kept.path().join(name);
            keep(&root.join(name), &to).map_err(|error| format!("keep {name}: {error}"))?;
        }
        drop(folder);
        Ok(Saved { folder: kept })
    }

    async fn restore_now(&self, saved: &Saved) -> Result<Guest, String> {
        let (folder, root) = self.folder()?;
        for name in [STATE, MEMORY] {
            let linked = fs::hard_link(saved.folder.path().join(name), root.join(name));
            linked.map_err(|error| format!("restore {name}: {error}"))?;
        }
        let mut machine = self.start(&folder, &root).await?;
        let mut console = console::of(&mut machine)?;
        let load = json!({
            "snapshot_path": STATE,
            "mem_backend": { "backend_type": "File", "backend_path": MEMORY },
            "resume_vm": true,
        });
        let (socket, path) = (root.join(API), root.join(WIRE));
        let connected = async {
            api::request(&socket, "PUT", "/snapshot/load", &load).await?;
            let mut wire = connect(&path).await?;
            let layers = frames::hello(&mut wire).await?;
            Ok((wire, layers))
        };
        let done: Result<_, String> = tokio::select! {
            done = connected => done,
            _ended = console.drain() => Err(console.reason()),
        };
        let (wire, layers) = done?;
        Ok(Guest { machine, console, wire, layers })
    }

    /// Starts the hypervisor, alone in its folder.
    async fn start(&self, folder: &TempDir, root: &Path) -> Result<Machine, String> {
        let program = self.jailer.as_ref().unwrap_or(&self.config.program);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "{} is not there: install Firecracker, or set `sandbox.microvm.program`",
                program.display()
            ),
            _ => format!("cannot start {}: {error}", program.display()),
        };
        let user = self.config.user();
        let what = Hypervisor {
            program: program.clone(),
            args: self.args(folder.path()),
            folder: root.to_owned(),
            // The jailer becomes that user once it has built the jail.
            user: user.filter(|_| self.jailer.is_none()),
            fds: Vec::new(),
        };
        machine(what).await.map_err(failed)
    }

    fn args(&self, base: &Path) -> Vec<OsString> {
        let own = ["--api-sock", API].map(OsString::from);
        if self.jailer.is_none() {
            return [&["--id", ID].map(OsString::from)[..], &own[..]].concat();
        }
        let (uid, gid) = self.config.user().unwrap_or((super::NOBODY, super::NOBODY));
        let (uid, gid) = (uid.to_string(), gid.to_string());
        let program = self.config.program.as_os_str().to_owned();
        let mut args = vec!["--id".into(), ID.into(), "--exec-file".into(), program];
        args.extend(["--uid", &uid, "--gid", &gid, "--chroot-base-dir"].map(OsString::from));
        args.push(base.as_os_str().to_owned());
        args.extend(["--resource-limit", "no-file=64", "--"].map(OsString::from));
        args.extend(own);
        args
    }

    /// A folder that only we can enter, and in it the one that the machine has as its root.
    fn folder(&self) -> Result<(TempDir, PathBuf), String> {
        let folder = self.private()?;
        let root = match (&self.jailer, self.config.program.file_name()) {
            // Where the jailer will look for it.
            (Some(_), Some(name)) => folder.path().join(name).join(ID).join("root"),
            _ => folder.path().to_owned(),
        };
        let made = fs::create_dir_all(&root).and_then(|()| match self.config.user() {
            Some((uid, gid)) => chown(&root, Some(uid), Some(gid)),
            None => Ok(()),
        });
        made.map_err(|error| format!("{}: {error}", root.display()))?;
        Ok((folder, root))
    }

    fn private(&self) -> Result<TempDir, String> {
        let own = fs::Permissions::from_mode(0o700);
        let made = tempfile::Builder::new()
            .prefix("narrows-machine-")
            .permissions(own)
            .tempdir_in(&self.config.folder);
        made.map_err(|error| format!("{}: {error}", self.config.folder.display()))
    }
}

/// Puts what a guest boots from into its folder.
fn parts(config: &MicrovmConfig, root: &Path) -> Result<(), String> {
    let image = config.image();
    let kernel = image.kernel();
    fs::copy(&kernel, root.join(KERNEL)).map_err(|error| image.missing(&kernel, &error))?;
    let initrd = image.initrd(config.memory_bytes())?;
    fs::write(root.join(INITRD), initrd).map_err(|error| format!("a guest's root: {error}"))
}

/// Moves a file to where machines get it from. It becomes ours, for everybody to read.
fn keep(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    chown(to, Some(uid.as_raw()), Some(gid.as_raw()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o444))
}

/// Asks the hypervisor for a connection to the worker's port.
async fn connect(path: &Path) -> Result<UnixStream, String> {
    let failed = |why: String| format!("the guest's socket: {why}");
    let io_failed = |error: io::Error| failed(error.to_string());
    let mut wire = api::connect(path).await.map_err(io_failed)?;
    wire.write_all(format!("CONNECT {PORT}\n").as_bytes()).await.map_err(io_failed)?;
    // Not a byte more than the answer: what follows are the worker's frames.
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        if answer.len() >= ANSWER_BYTES_MAX {
            return Err(failed("a long answer".to_owned()));
        }
        let byte = wire.read_u8().await;
        answer.push(byte.map_err(|_closed| failed("nobody listens in the guest".to_owned()))?);
    }
    if !answer.starts_with(b"OK ") {
        return Err(failed(format!("{:?}", String::from_utf8_lossy(&answer))));
    }
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(jailer: Option<&str>) -> Firecracker {
        let mut config = MicrovmConfig::qemu("/image".into(), "/worker".into());
        config.program = "/usr/bin/firecracker".into();
        config.user = Some((1_234, 5_678));
        Firecracker::new(config, jailer.map(PathBuf::from))
    }

    #[test]
    fn the_jailer_is_told_whom_to_lock_up_and_where() {
        let args = driver(Some("/usr/bin/jailer")).args(Path::new("/run/x"));
        let line = args.join(std::ffi::OsStr::new(" "));
        assert_eq!(
            line.to_string_lossy(),
            "--id narrows --exec-file /usr/bin/firecracker --uid 1234 --gid 5678 \
             --chroot-base-dir /run/x --resource-limit no-file=64 -- --api-sock api.sock"
        );
        let args = driver(None).args(Path::new("/run/x"));
        let line = args.join(std::ffi::OsStr::new(" "));
        assert_eq!(line.to_string_lossy(), "--id narrows --api-sock api.sock");
    }

    #[tokio::test]
    async fn a_connection_is_asked_for_in_the_hypervisors_words() {
        let folder = tempfile::tempdir().unwrap();
        for (answer, outcome) in [
            ("OK 1073741824\nframe", Ok(b"frame".to_vec())),
            ("NO\n", Err("\"NO\\n\"")),
            ("", Err("nobody listens")),
            (&"x".repeat(100), Err("a long answer")),
        ] {
            let path = folder.path().join(WIRE);
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            let there = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 11];
                stream.read_exact(&mut asked).await.unwrap();
                assert_eq!(&asked, b"CONNECT 52\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (connected, ()) = tokio::join!(connect(&path), there);
            fs::remove_file(&path).unwrap();
            match (connected, outcome) {
                (Ok(mut wire), Ok(frame)) => {
                    let mut rest = Vec::new();
                    wire.read_to_end(&mut rest).await.unwrap();
                    assert_eq!(rest, frame);
                }
                (Err(why), Err(text)) => assert!(why.contains(text), "{why}"),
                (other, _) => panic!("{other:?} after {answer:?}"),
            }
        }
    }
}
