//! QEMU. Nothing of a machine is on any disk: its kernel and its memory are files that exist in
//! memory only, its wires are socket pairs. Machines that are restored share the memory of the one
//! that was saved, each with copies of what it writes, so that restoring takes no time that depends
//! on how much memory there is.

use super::image::{self, command_line};
use super::qmp::Qmp;
use super::walls::{Wanted, both};
use super::{Driver, Guest, MicrovmConfig, console};
use crate::cgroup::{self, Cgroup};
use crate::frames;
use crate::spawn::{FIRST_FD, Machine, machine};
use narrows_types::{Engine, LayerState};
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The worker's wire in the guest.
const LINK: &str = "/dev/vport0p1";
/// The state of a machine without its memory is some hundred KiB.
const STATE_BYTES_MAX: u64 = 16 << 20;
/// What everything but booting may take.
const STEP: Duration = Duration::from_secs(5);
/// With the processor's help a guest boots in a fraction of this.
const KVM_BOOT: Duration = Duration::from_secs(5);
/// The device, which says nothing about whether a guest boots with it.
const KVM: &str = "/dev/kvm";

/// Who executes a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accelerator {
    Kvm,
    Emulation,
}

impl Accelerator {
    fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulation => "tcg",
        }
    }
}

/// Starts machines.
#[derive(Debug)]
pub(crate) struct Qemu {
    config: MicrovmConfig,
    cgroup: Arc<Cgroup>,
    /// Found out by the first boot.
    accelerator: OnceLock<Accelerator>,
}

/// A machine that runs, with all that leads to it.
#[derive(Debug)]
pub(crate) struct Booted {
    guest: Guest,
    qmp: Qmp,
    memory: OwnedFd,
    accelerator: Accelerator,
}

/// A machine that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    memory: OwnedFd,
    state: Vec<u8>,
    layers: Vec<LayerState>,
    accelerator: Accelerator,
}

impl Driver for Qemu {
    type Booted = Booted;
    type Saved = Saved;

    async fn boot(&self, engine: Engine) -> Result<Booted, String> {
        if let Some(accelerator) = self.accelerator.get() {
            return self.boot_by(engine, *accelerator, self.patience()).await;
        }
        let mut accelerator = Accelerator::Kvm;
        let quick = if Path::new(KVM).exists() {
            self.boot_by(engine, accelerator, KVM_BOOT.min(self.patience())).await
        } else {
            Err("there is none".to_owned())
        };
        let booted = match quick {
            Ok(booted) => booted,
            Err(why) => {
                accelerator = Accelerator::Emulation;
                let booted = self.boot_by(engine, accelerator, self.patience()).await?;
                tracing::warn!("virtual machines are emulated: no guest boots with {KVM}: {why}");
                booted
            }
        };
        Ok(Booted { accelerator: *self.accelerator.get_or_init(|| accelerator), ..booted })
    }

    async fn save(&self, booted: Booted) -> Result<Saved, String> {
        let saving = timeout(STEP, save(booted)).await;
        saving.map_err(|_late| "the guest is not saved in time".to_owned())?
    }

    async fn restore(&self, saved: &Saved) -> Result<Guest, String> {
        let restoring = timeout(STEP, self.restore_now(saved)).await;
        restoring.map_err(|_late| "the guest is not restored in time".to_owned())?
    }
}

/// A machine with the ends of its sockets.
struct Started {
    machine: Machine,
    console: console::Console,
    /// The walls around it.
    around: Vec<LayerState>,
    wire: UnixStream,
    qmp: UnixStream,
}

impl Qemu {
    pub(crate) fn new(config: MicrovmConfig, cgroup: Arc<Cgroup>) -> Self {
        Self { config, cgroup, accelerator: OnceLock::new() }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.boot_ms)
    }

    async fn boot_by(
        &self,
        engine: Engine,
        accelerator: Accelerator,
        patience: Duration,
    ) -> Result<Booted, String> {
        let booting = timeout(patience, self.boot_now(engine, accelerator)).await;
        let name = accelerator.name();
        booting.map_err(|_late| {
            format!("no guest boots with {name} within {} ms", patience.as_millis())
        })?
    }

    async fn boot_now(&self, engine: Engine, accelerator: Accelerator) -> Result<Booted, String> {
        let config = self.config.clone();
        let parts = tokio::task::spawn_blocking(move || parts(&config)).await;
        let (kernel, initrd, memory) = parts.map_err(|error| error.to_string())??;
        let ram = memory.try_clone().map_err(|error| format!("memory: {error}"))?;
        let args = ["-kernel", &fd_path(3), "-initrd", &fd_path(4), "-append"].map(OsString::from);
        let mut args = args.to_vec();
        args.push(command_line(engine, LINK).into());
        let started = self.start((accelerator, "on"), ram, vec![kernel, initrd], args).await?;
        let Started { machine, mut console, around: _, mut wire, qmp } = started;
        let layers = tokio::select! {
            layers = frames::hello(&mut wire) => match layers {
                Ok(layers) => layers,
                // The reason is on the console.
                Err(_closed) => return Err(gone(&mut console).await),
            },
            _ended = console.drain() => return Err(console.reason()),
        };
        let qmp = Qmp::open(qmp).await?;
        let guest = Guest { machine, console, wire, layers };
        Ok(Booted { guest, qmp, memory, accelerator })
    }

    async fn restore_now(&self, saved: &Saved) -> Result<Guest, String> {
        let failed = |error: io::Error| format!("restore: {error}");
        let memory = saved.memory.try_clone().map_err(failed)?;
        let (ours, theirs) = Socket::pair().map_err(failed)?;
        let args = ["-incoming", "defer"].map(OsString::from).to_vec();
        let with = (saved.accelerator, "off");
        let started = self.start(with, memory, vec![theirs.into()], args).await?;
        let Started { machine, mut console, around, wire, qmp } = started;
        let mut state = nonblocking(ours).map_err(failed)?;
        let restored = async {
            let mut qmp = Qmp::open(qmp).await?;
            share_memory(&mut qmp).await?;
            let uri = format!("fd:{}", FIRST_FD + 3);
            qmp.call("migrate-incoming", json!({ "uri": uri })).await?;
            let sent = tokio::io::AsyncWriteExt::write_all(&mut state, &saved.state).await;
            sent.map_err(|error| format!("its saved state: {error}"))?;
            drop(state);
            qmp.until("query-status", "paused").await?;
            qmp.call("cont", json!({})).await
        };
        let done: Result<_, String> = tokio::select! {
            done = restored => done,
            _ended = console.drain() => Err(console.reason()),
        };
        done?;
        let layers = both(saved.layers.clone(), &around);
        Ok(Guest { machine, console, wire, layers })
    }

    /// Starts QEMU with the memory, the wire, the control socket and `more` as its descriptors.
    async fn start(
        &self,
        (accelerator, shared): (Accelerator, &str),
        memory: OwnedFd,
        more: Vec<OwnedFd>,
        args: Vec<OsString>,
    ) -> Result<Started, String> {
        let program = self.config.program().ok_or_else(|| {
            format!(
                "{} is not there: install qemu-system-x86, or set `sandbox.microvm.program`",
                self.config.program.display()
            )
        })?;
        let failed = |error: io::Error| {
            let (program, worker) = (program.display(), self.config.worker.display());
            format!("cannot start {program} by {worker}: {error}")
        };
        let (wire, wire_there) = Socket::pair().map_err(failed)?;
        let (qmp, qmp_there) = Socket::pair().map_err(failed)?;
        let mut fds = vec![memory, wire_there.into(), qmp_there.into()];
        fds.extend(more);
        let mut all = self.args(accelerator, shared);
        all.extend(args);
        // It has no business with any file.
        let wanted = Wanted {
            args: all,
            fds,
            folder: None,
            file_bytes: 0,
            cgroup: Arc::clone(&self.cgroup),
        };
        let what = self.config.walled(program.clone(), Some(self.config.user()), wanted);
        let mut machine = machine(what).await.map_err(failed)?;
        let mut console = console::of(&mut machine)?;
        let mut around = console.starts().await?;
        cgroup::note(&mut around, machine.bounded.clone());
        let (wire, qmp) = (nonblocking(wire).map_err(failed)?, nonblocking(qmp).map_err(failed)?);
        Ok(Started { machine, console, around, wire, qmp })
    }

    /// The same for a machine that boots and for one that is restored, or its state would not fit.
    fn args(&self, accelerator: Accelerator, shared: &str) -> Vec<OsString> {
        let memory = format!("{}M", self.config.memory_mib);
        let ram = format!(
            "memory-backend-file,id=ram,size={memory},mem-path={},share={shared}",
            fd_path(0)
        );
        let wire = format!("socket,id=wire,fd={}", FIRST_FD + 1);
        let qmp = format!("socket,id=qmp,fd={}", FIRST_FD + 2);
        let args = [
            // No disk, no network, no screen, and no file of settings.
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-accel",
            accelerator.name(),
            "-cpu",
            "max",
            "-m",
            &memory,
            "-object",
            &ram,
            "-M",
            "q35,memory-backend=ram,usb=off,vmport=off,smm=off",
            "-device",
            "virtio-serial-pci,max_ports=2",
            "-chardev",
            &wire,
            "-device",
            "virtserialport,chardev=wire,nr=1",
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
            "-chardev",
            &qmp,
            "-mon",
            "chardev=qmp,mode=control",
        ];
        args.map(OsString::from).to_vec()
    }
}

/// Saves a machine whose worker waits. Its memory stays where it is, for others to read.
async fn save(booted: Booted) -> Result<Saved, String> {
    let Booted { guest, mut qmp, memory, accelerator } = booted;
    let failed = |error: io::Error| format!("save: {error}");
    let (ours, theirs) = Socket::pair().map_err(failed)?;
    let mut ours = nonblocking(ours).map_err(failed)?;
    qmp.call("stop", json!({})).await?;
    share_memory(&mut qmp).await?;
    let theirs = OwnedFd::from(theirs);
    qmp.call_with("getfd", json!({ "fdname": "state" }), Some(&theirs)).await?;
    drop(theirs);
    qmp.call("migrate", json!({ "uri": "fd:state" })).await?;
    let mut state = Vec::new();
    let read = (&mut ours).take(STATE_BYTES_MAX).read_to_end(&mut state).await;
    read.map_err(failed)?;
    qmp.until("query-migrate", "completed").await?;
    // Nobody may write to the memory that others start from: first the last writer has to be gone.
    let Guest { machine, console, layers, .. } = guest;
    console::end(machine, console).await;
    image::seal(&memory).map_err(|error| format!("seal the memory: {error}"))?;
    Ok(Saved { memory, state, layers, accelerator })
}

/// Memory is not part of the state: both machines have the same file.
async fn share_memory(qmp: &mut Qmp) -> Result<(), String> {
    let shared = json!([{ "capability": "x-ignore-shared", "state": true }]);
    qmp.call("migrate-set-capabilities", json!({ "capabilities": shared })).await.map(drop)
}

/// Why a machine is gone that was to say hello.
async fn gone(console: &mut console::Console) -> String {
    let _late = timeout(Duration::from_secs(1), console.drain()).await;
    console.reason()
}

/// Kernel, archive and empty memory, each a file in memory: whoever QEMU runs as can read them.
fn parts(config: &MicrovmConfig) -> Result<(OwnedFd, OwnedFd, OwnedFd), String> {
    let image = config.image();
    let path = image.kernel();
    let kernel = fs::read(&path).map_err(|error| image.missing(&path, &error))?;
    let initrd = image.initrd(config.memory_bytes(), config.run_bytes)?;
    let failed = |error: io::Error| format!("a guest's memory: {error}");
    Ok((
        image::in_memory(c"kernel", &kernel).map_err(failed)?,
        image::in_memory(c"initrd", &initrd).map_err(failed)?,
        image::empty(c"guest", config.memory_bytes()).map_err(failed)?,
    ))
}

/// How QEMU opens a descriptor that was handed to it.
fn fd_path(index: i32) -> String {
    format!("/proc/self/fd/{}", FIRST_FD + index)
}

fn nonblocking(socket: Socket) -> io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}
