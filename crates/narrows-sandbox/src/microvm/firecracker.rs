//! Firecracker. It wants files and sockets that have names, so each machine has a private folder,
//! which is gone as soon as the machine runs: it has by then opened all that it needs, and a guest
//! that asks for another connection to the host finds nothing there.

use super::console::{self, Console};
use super::image::command_line;
use super::walls::{Wanted, both};
use super::{Driver, Guest, MicrovmConfig, api};
use crate::cgroup::{self, Cgroup};
use crate::frames;
use crate::spawn::{Machine, machine};
use narrows_types::{Engine, LayerState};
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
/// What a hypervisor writes to files beside its guest's memory.
const FILE_BYTES: u64 = 64 << 20;
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
    cgroup: Arc<Cgroup>,
}

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Booted {
    machine: Machine,
    console: Console,
    place: Place,
}

/// A machine's place in the file system.
#[derive(Debug)]
struct Place {
    /// Ours; gone when this is dropped.
    folder: TempDir,
    /// In it, what belongs to the machine.
    root: PathBuf,
    /// Whom that is.
    user: (u32, u32),
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
    pub(crate) fn new(config: MicrovmConfig, jailer: Option<PathBuf>, cgroup: Arc<Cgroup>) -> Self {
        Self { config, jailer, cgroup }
    }

    async fn boot_now(&self, engine: Engine) -> Result<Booted, String> {
        let place = self.place()?;
        let (config, to) = (self.config.clone(), place.root.clone());
        let copied = tokio::task::spawn_blocking(move || parts(&config, &to)).await;
        copied.map_err(|error| error.to_string())??;
        let (machine, mut console, _) = self.start(&place).await?;
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
        let socket = place.root.join(API);
        for (path, body) in &orders {
            tokio::select! {
                done = api::request(&socket, "PUT", path, body) => done?,
                _ended = console.drain() => return Err(console.reason()),
            }
        }
        console.listens().await?;
        Ok(Booted { machine, console, place })
    }

    async fn save_now(&self, booted: Booted) -> Result<Saved, String> {
        let Booted { machine, console, place } = booted;
        let socket = place.root.join(API);
        api::request(&socket, "PATCH", "/vm", &json!({ "state": "Paused" })).await?;
        let snapshot = json!({
            "snapshot_type": "Full",
            "snapshot_path": STATE,
            "mem_file_path": MEMORY,
        });
        api::request(&socket, "PUT", "/snapshot/create", &snapshot).await?;
        console::end(machine, console).await;
        // Out of the reach of every machine, and never written again.
        let kept = self.private()?;
        for name in [STATE, MEMORY] {
            let to = kept.path().join(name);
            keep(&place.root.join(name), &to).map_err(|error| format!("keep {name}: {error}"))?;
        }
        drop(place);
        Ok(Saved { folder: kept })
    }

    async fn restore_now(&self, saved: &Saved) -> Result<Guest, String> {
        let place = self.place()?;
        let root = &place.root;
        for name in [STATE, MEMORY] {
            let linked = fs::hard_link(saved.folder.path().join(name), root.join(name));
            linked.map_err(|error| format!("restore {name}: {error}"))?;
        }
        let (machine, mut console, around) = self.start(&place).await?;
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
        Ok(Guest { machine, console, wire, layers: both(layers, &around) })
    }

    /// Starts the hypervisor, alone in its place. Gives the walls around it, too.
    async fn start(&self, place: &Place) -> Result<(Machine, Console, Vec<LayerState>), String> {
        let missing = |program: &Path| {
            format!(
                "{} is not there: install Firecracker, or set `sandbox.microvm.program`",
                program.display()
            )
        };
        let found = self.config.program().ok_or_else(|| missing(&self.config.program))?;
        let (program, user) = match &self.jailer {
            // It becomes that user once it has built the jail.
            Some(jailer) => (fs::canonicalize(jailer).map_err(|_gone| missing(jailer))?, None),
            None => (found.clone(), Some(place.user)),
        };
        let wanted = Wanted {
            args: self.args(place, &found),
            fds: Vec::new(),
            folder: Some(place.root.clone()),
            // The guest's memory, when it is saved.
            file_bytes: self.config.memory_bytes().saturating_add(FILE_BYTES),
            cgroup: Arc::clone(&self.cgroup),
        };
        let failed = |error: io::Error| {
            let (program, worker) = (program.display(), self.config.worker.display());
            format!("cannot start {program} by {worker}: {error}")
        };
        let what = self.config.walled(program.clone(), user, wanted);
        let mut machine = machine(what).await.map_err(failed)?;
        let mut console = console::of(&mut machine)?;
        let mut around = console.starts().await?;
        cgroup::note(&mut around, machine.bounded.clone());
        Ok((machine, console, around))
    }

    fn args(&self, place: &Place, program: &Path) -> Vec<OsString> {
        let own = ["--api-sock", API].map(OsString::from);
        if self.jailer.is_none() {
            return [&["--id", ID].map(OsString::from)[..], &own[..]].concat();
        }
        let (uid, gid) = (place.user.0.to_string(), place.user.1.to_string());
        let mut args = vec!["--id".into(), ID.into(), "--exec-file".into(), program.into()];
        args.extend(["--uid", &uid, "--gid", &gid, "--chroot-base-dir"].map(OsString::from));
        args.push(place.folder.path().into());
        args.extend(["--resource-limit", "no-file=64", "--"].map(OsString::from));
        args.extend(own);
        args
    }

    /// A folder of ours that nobody else can look into, and in it the one that is the machine's.
    fn place(&self) -> Result<Place, String> {
        let folder = self.private()?;
        let program = self.config.program();
        let root = match (&self.jailer, program.as_deref().and_then(Path::file_name)) {
            // Where the jailer will look for it.
            (Some(_), Some(name)) => folder.path().join(name).join(ID).join("root"),
            _ => folder.path().join("root"),
        };
        let user = self.config.user();
        let own = || {
            fs::create_dir_all(&root)?;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700))?;
            chown(&root, Some(user.0), Some(user.1))?;
            // The machine's user passes through it; what else is there it cannot find.
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))
        };
        own().map_err(|error| format!("{}: {error}", root.display()))?;
        Ok(Place { folder, root, user })
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
    let initrd = image.initrd(config.memory_bytes(), config.run_bytes)?;
    // Others read them, whatever our own files are for.
    let readable = |name| fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o444));
    fs::write(root.join(INITRD), initrd)
        .and_then(|()| readable(INITRD))
        .and_then(|()| readable(KERNEL))
        .map_err(|error| format!("a guest's root: {error}"))
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
    use crate::CgroupConfig;

    fn line(jailer: Option<PathBuf>) -> String {
        let config = MicrovmConfig {
            program: "sh".into(),
            user: Some((nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())),
            ..MicrovmConfig::qemu("/image".into(), "/worker".into())
        };
        let driver = Firecracker::new(config, jailer, Arc::new(Cgroup::new(CgroupConfig::off())));
        let place = driver.place().unwrap();
        let folder = place.folder.path().to_string_lossy().into_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(place.folder.path()), mode(&place.root)), (0o711, 0o700));
        let place = Place { user: (1_234, 5_678), ..place };
        let args = driver.args(&place, &driver.config.program().unwrap());
        args.join(std::ffi::OsStr::new(" ")).to_string_lossy().replace(&folder, "BASE")
    }

    #[test]
    fn the_jailer_is_told_whom_to_lock_up_and_where() {
        // The jailer takes no name that it would have to look for.
        let shell = fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(
            line(Some("/usr/bin/jailer".into())),
            format!(
                "--id narrows --exec-file {} --uid 1234 --gid 5678 --chroot-base-dir BASE \
                 --resource-limit no-file=64 -- --api-sock api.sock",
                shell.display()
            )
        );
        assert_eq!(line(None), "--id narrows --api-sock api.sock");
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
