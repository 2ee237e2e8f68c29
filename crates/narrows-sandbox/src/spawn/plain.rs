//! Starts workers that are plain child processes.

use super::{Launch, Pidfd, command, pidfd_open};
use crate::guard::Ended;
use crate::zygote::{LINE_BYTES_MAX, log};
use narrows_types::control::Death;
use nix::sys::signal::Signal;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Room for a thread that only starts a process and waits for its end.
const STACK_BYTES: usize = 256 << 10;

/// A worker that has been started, but has not spoken yet.
pub(crate) struct Plain {
    /// The wire to it.
    pub(crate) stream: UnixStream,
    /// The process.
    pub(crate) process: Pidfd,
    /// How it ended, when it has.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

/// Starts a worker from a thread of its own, for the reason that zygotes have one.
pub(crate) async fn plain(launch: Launch) -> io::Result<Plain> {
    let (tell, told) = oneshot::channel();
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    let stream = UnixStream::from_std(ours)?;
    let live = move || {
        let (ended_tell, ended) = oneshot::channel();
        let mut child = match begin(&launch, theirs) {
            Ok(child) => child,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let stderr = child.stderr.take();
        // It is our child and not reaped yet, so the number is still its own.
        let process = pidfd_open(child.id()).map(Pidfd::new);
        let begun = process.map(|process| (process, ended));
        // Without anybody who knows it, it has nothing to live for.
        if begun.is_err() {
            drop(child.kill());
        }
        if let Err(Ok((process, _))) = tell.send(begun) {
            process.kill();
        }
        if let Some(stderr) = stderr {
            pass_on(stderr);
        }
        // Whoever launched it may be gone.
        let _unheard = ended_tell.send(wait(&mut child));
    };
    std::thread::Builder::new().name("worker".to_owned()).stack_size(STACK_BYTES).spawn(live)?;
    let begun = told.await.map_err(|_closed| io::Error::other("the starting thread died"))?;
    let (process, ended) = begun?;
    Ok(Plain { stream, process, ended })
}

#[expect(unsafe_code, reason = "a child is told to die with its parent between fork and exec")]
fn begin(launch: &Launch, wire: Socket) -> io::Result<Child> {
    let mut command = command(launch);
    let out = OwnedFd::from(wire.try_clone()?);
    command.args(["--link", "stdio"]).stdin(OwnedFd::from(wire)).stdout(out);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    command.spawn()
}

/// What it says for people before it seals itself, which closes this.
fn pass_on(mut from: ChildStderr) {
    let mut buffer = [0; LINE_BYTES_MAX];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        log(buffer.get(..length).unwrap_or_default());
    }
}

/// Waits for its end and what it used.
#[expect(unsafe_code, reason = "the standard library tells no processor time of a child")]
pub(super) fn wait(child: &mut Child) -> Ended {
    let Ok(pid) = libc::pid_t::try_from(child.id()) else { return lost() };
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return lost();
        }
    }
    let how = if libc::WIFSIGNALED(status) {
        Death::Signal(libc::WTERMSIG(status))
    } else {
        Death::Exit(libc::WEXITSTATUS(status))
    };
    let micros = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Ended { how, cpu_us: micros(usage.ru_utime).saturating_add(micros(usage.ru_stime)) }
}

/// Of a child that nobody could wait for.
fn lost() -> Ended {
    Ended { how: Death::Signal(libc::SIGKILL), cpu_us: 0 }
}
