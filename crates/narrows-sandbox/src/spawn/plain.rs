//! Starts workers that are plain child processes.

use super::child::{Running, on_its_own_thread};
use super::{Launch, command};
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::process::Child;
use tokio::net::UnixStream;

/// A worker that has been started, but has not spoken yet.
pub(crate) struct Plain {
    /// The wire to it.
    pub(crate) stream: UnixStream,
    /// The process.
    pub(crate) running: Running,
}

/// Starts a worker.
pub(crate) async fn plain(launch: Launch) -> io::Result<Plain> {
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    let stream = UnixStream::from_std(ours)?;
    let begin = move || Ok((begin(&launch, theirs)?, ()));
    let (running, ()) = on_its_own_thread("worker".to_owned(), begin).await?;
    Ok(Plain { stream, running })
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
