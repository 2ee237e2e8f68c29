//! Starts an evaluator anew for each worker, where an interpreter cannot be forked once it is warm.
#![expect(unsafe_code, reason = "an evaluator is started by clone and exec, as a sibling")]

use super::outside::Start;
use super::{filter, foreign, process, walls};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::socket::socketpair;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg};
use seccompiler::BpfProgram;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Threads of one user, evaluators of others among them: the limit is not a process's own.
const THREADS_MAX: u64 = 4_096;
/// Beyond the heap, which has a limit of its own: code, stacks, buffers.
const DATA_BYTES_MAX: u64 = 4 << 30;
const FILES_MAX: u64 = 64;

/// Speaks with the zygote as an interpreter does that forks itself. Returns why it ended.
pub(super) fn serve(start: &Start, control: UnixStream, sealed: bool) -> String {
    match serve_all(start, control, sealed) {
        Ok(()) => process::exit(0),
        Err(error) => error,
    }
}

/// Becomes an evaluator by itself. Returns why it did not.
pub(super) fn become_once(start: &Start, control: UnixStream, sealed: bool) -> String {
    let filters = if sealed { foreign::threaded().map(Vec::from) } else { Ok(Vec::new()) };
    let socket = OwnedFd::from(control);
    match filters.and_then(|filters| become_evaluator(start, &socket, &filters)) {
        Ok(()) => process::exit(0),
        Err(error) => error,
    }
}

fn serve_all(start: &Start, mut control: UnixStream, sealed: bool) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    walls::die_with_parent()?;
    SigSet::empty().thread_set_mask().map_err(|error| error.to_string())?;
    let mut length = [0; 4];
    control.read_exact(&mut length).map_err(text)?;
    let mut opening = vec![0; start.opening.len()];
    control.read_exact(&mut opening).map_err(text)?;
    let filters = if sealed { Vec::from(foreign::threaded()?) } else { Vec::new() };
    let parent = nix::unistd::getppid();
    control.write_all(&0_u32.to_le_bytes()).map_err(text)?;
    let mut asked = [0];
    while control.read(&mut asked).map_err(text)? > 0 {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
            .map_err(|error| error.to_string())?;
        let pid = sibling();
        if pid == 0 {
            if nix::unistd::getppid() == parent {
                drop(become_evaluator(start, &theirs, &filters));
            }
            process::exit(narrows_types::control::EXIT_UNSEALED);
        }
        drop(theirs);
        let ours = UnixStream::from(ours);
        ours.set_nonblocking(true).map_err(text)?;
        let raw = [ours.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        let beside: &[ControlMessage<'_>] = if pid > 0 { &rights } else { &[] };
        let number = pid.to_le_bytes();
        let parts = [IoSlice::new(&number)];
        sendmsg::<()>(control.as_raw_fd(), &parts, beside, MsgFlags::MSG_NOSIGNAL, None)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Forks a child of this process's parent. 0 in the child, negative where it failed.
fn sibling() -> i32 {
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD);
    // SAFETY: this process has one thread; without a stack of its own the child goes on here, as
    // after a fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    i32::try_from(pid).unwrap_or(-1)
}

/// The child's part. Returns only where it failed.
fn become_evaluator(start: &Start, socket: &OwnedFd, filters: &[BpfProgram]) -> Result<(), String> {
    walls::die_with_parent()?;
    let blank = UnixStream::pair().map_err(|error| error.to_string())?.0.into_raw_fd();
    // SAFETY: integers only; the owners of what had these numbers do not run in this process.
    let moved = unsafe {
        libc::dup2(blank, 2) != -1
            && libc::dup2(socket.as_raw_fd(), 0) != -1
            && libc::dup2(socket.as_raw_fd(), 1) != -1
    };
    if !moved {
        return Err(io::Error::last_os_error().to_string());
    }
    process::close_from(3).map_err(|error| error.to_string())?;
    if !filters.is_empty() {
        for (resource, to) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_MEMLOCK, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            (Resource::RLIMIT_NPROC, THREADS_MAX),
            (Resource::RLIMIT_NOFILE, FILES_MAX),
            (Resource::RLIMIT_DATA, DATA_BYTES_MAX),
        ] {
            setrlimit(resource, to, to).map_err(|error| error.to_string())?;
        }
    }
    for filter in filters {
        filter::apply(filter)?;
    }
    let program = start.command.first().ok_or("nothing to start")?;
    let Err(error) = nix::unistd::execve(program, &start.command, &start.environment);
    Err(error.to_string())
}
