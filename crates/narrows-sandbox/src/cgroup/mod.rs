//! A control group around all workers: what bounds them together, whatever becomes of the limits that
//! each has for itself. It is made with the first zygote or hypervisor, which takes its place in it
//! between fork and exec; all that is forked later is born there, so that no run pays for it.

mod base;
mod bounds;
mod delegated;
#[cfg(test)]
mod guest;
mod names;
#[cfg(test)]
mod tests;

use base::Base;
use bounds::Bounds;
use delegated::Opened;
use narrows_types::{BackendKind, Layer, LayerState};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The processes of a group, one number a line; writing one moves it.
const PROCS: &str = "cgroup.procs";
/// The same for threads, in version 1. A process that moves its only thread by this need not wait for
/// all processors, which takes some 10 ms.
const TASKS: &str = "tasks";
/// How long what was killed may take to leave its group.
const REMOVAL: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(5);

/// Where the group of all workers is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupPlace {
    /// Nowhere.
    Off,
    /// In our own group, where we may.
    Auto,
    /// In this one, called as `/proc/PID/cgroup` calls it.
    At(PathBuf),
}

/// What bounds all workers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupConfig {
    /// Where.
    pub place: CgroupPlace,
    /// Bytes of memory, over which the kernel kills one of them. `None`: three quarters of what there
    /// is.
    pub memory_bytes: Option<u64>,
    /// Threads and processes.
    pub tasks: u64,
}

impl CgroupConfig {
    /// What is there by itself: nothing.
    pub fn off() -> Self {
        Self { place: CgroupPlace::Off, memory_bytes: None, tasks: 8_192 }
    }
}

/// The group, or why there is none.
#[derive(Debug)]
pub(crate) struct Cgroup {
    config: CgroupConfig,
    group: OnceLock<Result<Group, String>>,
    /// Of those that the kernel killed for want of memory, so many have been told of.
    told: AtomicU64,
}

/// A group that was made.
#[derive(Debug)]
struct Group {
    /// One directory for each hierarchy.
    base: Base,
    memory_bytes: u64,
    /// What was done to the group around it.
    opened: Opened,
}

/// A place in the group, for a child to take between fork and exec.
#[derive(Debug, Default)]
pub(crate) struct Door(Vec<File>);

impl Door {
    /// Makes system calls and nothing else. What came of them, [`Cgroup::holds`] tells.
    pub(crate) fn enter(&self) {
        for procs in &self.0 {
            let _told_later = nix::unistd::write(procs, b"0");
        }
    }
}

impl Cgroup {
    pub(crate) fn new(config: CgroupConfig) -> Self {
        Self { config, group: OnceLock::new(), told: AtomicU64::new(0) }
    }

    /// What bounds the workers of this back end together, where anything does.
    pub(crate) fn around(self: &Arc<Self>, backend: BackendKind) -> Option<Arc<Self>> {
        let bounded = !matches!(backend, BackendKind::Docker | BackendKind::Basic);
        bounded.then(|| Arc::clone(self))
    }

    /// Makes the group, the first time. Blocks for some milliseconds.
    fn group(&self) -> Result<&Group, String> {
        let group = self.group.get_or_init(|| Group::make(&self.config));
        group.as_ref().map_err(Clone::clone)
    }

    /// Where there is no group the door leads nowhere.
    pub(crate) fn door(&self) -> Door {
        let opened = self.group().map(|group| {
            let dirs = group.base.dirs().into_iter();
            let door = if group.base.unified { PROCS } else { TASKS };
            dirs.filter_map(move |dir| OpenOptions::new().write(true).open(dir.join(door)).ok())
        });
        opened.map(|files| Door(files.collect())).unwrap_or_default()
    }

    /// Whether this child is in the group, by looking there.
    ///
    /// # Errors
    /// It is not: one line why.
    pub(crate) fn holds(&self, pid: u32) -> Result<(), String> {
        self.group()?.base.dirs().into_iter().try_for_each(|dir| {
            let found = processes(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            if found.contains(&pid) {
                return Ok(());
            }
            // It could not, and nor can we: this tells why.
            let moved = fs::write(dir.join(PROCS), pid.to_string());
            let why = moved.err().map_or("it left".to_owned(), |error| error.to_string());
            Err(format!("no worker gets into {}: {why}", dir.display()))
        })
    }

    /// Whether the kernel has killed somebody in the group for want of memory of whom nobody has been
    /// told yet. Gives how much there is for all together.
    pub(crate) fn starved(&self) -> Option<u64> {
        let group = self.group.get()?.as_ref().ok()?;
        let killed = group.base.killed();
        let next = |told: u64| (told < killed).then(|| told.saturating_add(1));
        self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        Some(group.memory_bytes)
    }

    /// Removes the group once nobody is in it any more, and ends who is.
    pub(crate) async fn remove(&self) {
        let Some(Ok(group)) = self.group.get() else { return };
        let until = Instant::now() + REMOVAL;
        while let Err(error) = group.base.remove() {
            if Instant::now() >= until {
                tracing::warn!("a control group stays behind: {error}");
                return;
            }
            group.base.kill();
            sleep(LOOK).await;
        }
        group.opened.close();
    }
}

impl Group {
    /// Finds out by doing it whether workers can be bounded here.
    fn make(config: &CgroupConfig) -> Result<Self, String> {
        if config.place == CgroupPlace::Off {
            return Err("`sandbox.cgroup` is off".to_owned());
        }
        let around = Base::find(&config.place)?;
        names::sweep(&around);
        let bounds = Bounds::new(config, &around);
        let opened = delegated::open(&around, &config.place)?;
        let made = around.child(&names::own()).make();
        let bounded = made.and_then(|base| match bounds.set(&base) {
            Ok(()) => Ok(base),
            Err(why) => {
                drop(base.remove());
                Err(why)
            }
        });
        let base = bounded.inspect_err(|_| opened.close())?;
        Ok(Self { base, memory_bytes: bounds.memory_bytes, opened })
    }
}

/// Puts what came of the group among the walls.
pub(crate) fn note(layers: &mut Vec<LayerState>, held: Result<(), String>) {
    layers.retain(|state| state.layer != Layer::Cgroup);
    let reached = held.is_ok();
    let why = held.err().unwrap_or_default();
    layers.push(LayerState { layer: Layer::Cgroup, reached, why });
}

/// The processes in a group.
fn processes(dir: &Path) -> io::Result<Vec<u32>> {
    let all = fs::read_to_string(dir.join(PROCS))?;
    Ok(all.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Ends all processes in a group.
fn end_all(dir: &Path) {
    // Version 2 does it at once, also to what is being forked.
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let pids = processes(dir).unwrap_or_default();
    for pid in pids.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
        // One that is gone is no matter. No number is 0 or less: that would be a group of processes.
        let _gone = (pid > 0).then(|| kill(Pid::from_raw(pid), Signal::SIGKILL));
    }
}

/// Removes a group. One that is not there is no error.
fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.raw_os_error() != Some(Errno::ENOENT as i32) => Err(error),
        _ => Ok(()),
    }
}
