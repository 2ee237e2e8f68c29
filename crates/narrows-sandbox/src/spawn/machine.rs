//! Starts hypervisors: programs of the machine's that are handed descriptors and run behind walls
//! as somebody who may do nothing else.

use super::child::on_its_own_thread;
use super::{Pidfd, take_over};
use crate::cgroup::Cgroup;
use crate::guard::Ended;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// The number of the first descriptor that is handed over.
pub(crate) const FIRST_FD: RawFd = 3;
/// Above the numbers that are handed over, so that none is overwritten before it has been moved.
const PARKED_FD: RawFd = 64;

/// What is started.
#[derive(Debug)]
pub(crate) struct Hypervisor {
    /// The static worker, which raises walls and becomes the hypervisor.
    pub(crate) launcher: PathBuf,
    /// Its orders about them.
    pub(crate) orders: Vec<OsString>,
    /// The binary.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
    /// Its descriptors from [`FIRST_FD`] on.
    pub(crate) fds: Vec<OwnedFd>,
    /// What bounds it together with all others.
    pub(crate) cgroup: Arc<Cgroup>,
}

/// A hypervisor that has been started. Dropping this kills it.
#[derive(Debug)]
pub(crate) struct Machine {
    process: Option<Pidfd>,
    /// What it and its guest write.
    pub(crate) output: Option<pipe::Receiver>,
    /// How it ended, when it has.
    pub(crate) ended: Option<oneshot::Receiver<Ended>>,
    /// Whether it is in the group of all workers, or why not.
    pub(crate) bounded: Result<(), String>,
}

impl Machine {
    /// The process, for somebody else to kill.
    pub(crate) fn release(&mut self) -> Option<Pidfd> {
        self.process.take()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

/// Starts a hypervisor.
pub(crate) async fn machine(what: Hypervisor) -> io::Result<Machine> {
    let (reader, writer) = io::pipe()?;
    let output = Some(pipe::Receiver::from_owned_fd(reader.into())?);
    // Its own ends are its alone once it has been started: they go with the closure.
    let begin = move || {
        let child = begin(&what, &writer)?;
        let bounded = what.cgroup.holds(child.id());
        Ok((child, bounded))
    };
    let (running, bounded) = on_its_own_thread("machine".to_owned(), begin).await?;
    Ok(Machine { process: Some(running.process), output, ended: Some(running.ended), bounded })
}

#[expect(unsafe_code, reason = "descriptors are handed to fixed numbers between fork and exec")]
fn begin(what: &Hypervisor, output: &io::PipeWriter) -> io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts hypervisors")]
    let mut command = Command::new(&what.launcher);
    command
        .arg(narrows_types::guest::HYPERVISOR)
        .args(&what.orders)
        .arg("--")
        .arg(&what.program)
        .args(&what.args)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    let parked: Vec<OwnedFd> = what.fds.iter().map(park).collect::<io::Result<_>>()?;
    let numbers: Vec<(RawFd, RawFd)> =
        parked.iter().map(AsRawFd::as_raw_fd).zip(FIRST_FD..PARKED_FD).collect();
    let door = what.cgroup.door();
    // SAFETY: the closure makes system calls with integers and allocates nothing. The descriptors
    // stay open: `parked` lives on, and the door is the closure's.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // Before descriptors are overwritten.
            door.enter();
            numbers.iter().try_for_each(|(from, to)| match libc::dup2(*from, *to) {
                -1 => Err(io::Error::last_os_error()),
                _ => Ok(()),
            })
        });
    }
    command.spawn()
}

/// A copy of the descriptor with a high number.
fn park(fd: &OwnedFd) -> io::Result<OwnedFd> {
    let copy = fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(PARKED_FD))?;
    Ok(take_over(copy))
}
