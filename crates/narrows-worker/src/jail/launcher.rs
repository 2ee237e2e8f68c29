//! Starts an evaluator anew for each worker, where an interpreter cannot be forked once it is warm.
#![expect(unsafe_code, reason = "an evaluator is started by clone and exec, as a sibling")]

use super::outside::{CONTROL, Start, keep_control};
use super::{filter, process, sockets, threaded, walls};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::socketpair;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Threads of one user, evaluators of others among them: the limit is not a process's own.
const THREADS_MAX: u64 = 4_096;
/// Beyond the limits of any run; the run's own come with its program, from the worker beside it.
pub(crate) const DATA_BYTES_MAX: u64 = 4 << 30;
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
    let socket = OwnedFd::from(control);
    let apart = if sealed {
        threaded::forbidden().and_then(|filter| filter::apply(&filter))
    } else {
        Ok(())
    };
    match apart.and_then(|()| become_evaluator(start, &socket, sealed)) {
        Ok(()) => process::exit(0),
        Err(error) => error,
    }
}

fn serve_all(start: &Start, control: UnixStream, sealed: bool) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // The zygote's own sockets are nothing for it.
    keep_control(control)?;
    // SAFETY: it was moved to that number just now, and its owner gave it up.
    let mut control = UnixStream::from(unsafe { process::adopt(CONTROL) }.map_err(text)?);
    if sealed {
        // For what none of them has a use for it ends, and all that it starts.
        filter::apply(&threaded::forbidden_to_launch(start.network)?)?;
    }
    let mut length = [0; 4];
    control.read_exact(&mut length).map_err(text)?;
    let mut opening = vec![0; start.opening.len()];
    control.read_exact(&mut opening).map_err(text)?;
    let parent = nix::unistd::getppid();
    control.write_all(&0_u32.to_le_bytes()).map_err(text)?;
    let mut asked = [0];
    while control.read(&mut asked).map_err(text)? > 0 {
        let flags = SockFlag::SOCK_CLOEXEC;
        // What the kernel has too little of now, such as networks, is one evaluator's loss.
        let Ok(door) = start.network.then(sockets::door).transpose() else {
            control.write_all(&(-1_i32).to_le_bytes()).map_err(text)?;
            continue;
        };
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)
            .map_err(|error| error.to_string())?;
        let pid = sibling();
        if pid == 0 {
            if nix::unistd::getppid() == parent {
                drop(become_evaluator(start, &theirs, sealed));
            }
            process::exit(narrows_types::control::EXIT_UNSEALED);
        }
        drop(theirs);
        let ours = UnixStream::from(ours);
        ours.set_nonblocking(true).map_err(text)?;
        let raw: Vec<_> =
            [ours.as_raw_fd()].into_iter().chain(door.as_ref().map(AsRawFd::as_raw_fd)).collect();
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
fn become_evaluator(start: &Start, socket: &OwnedFd, sealed: bool) -> Result<(), String> {
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
    if sealed {
        for (resource, to) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_MEMLOCK, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            (Resource::RLIMIT_NPROC, THREADS_MAX),
            (Resource::RLIMIT_NOFILE, FILES_MAX),
        ] {
            setrlimit(resource, to, to).map_err(|error| error.to_string())?;
        }
        match setrlimit(Resource::RLIMIT_DATA, DATA_BYTES_MAX, DATA_BYTES_MAX) {
            // The worker beside it was quicker, and has lowered it to its run's.
            Ok(()) | Err(nix::Error::EPERM) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    if sealed {
        if start.network {
            process::drop_capabilities().map_err(|error| format!("capset: {error}"))?;
            filter::apply(&threaded::forbidden()?)?;
        }
        // A domain of its own keeps its signals from others of its kind. A zygote has said already
        // where the kernel has none.
        let port = start.network.then_some(sockets::PORT);
        let locked = walls::landlock(&walls::View { port, ..walls::View::of(&start.visible) });
        // What makes networks was started before its zygote was locked in.
        locked.or_else(|why| {
            let has_none = why == walls::NO_LANDLOCK;
            if start.network && !has_none { Err(why) } else { Ok(()) }
        })?;
        for filter in threaded::evaluator(nix::unistd::getpid(), start.network)? {
            filter::apply(&filter)?;
        }
    }
    let program = start.command.first().ok_or("nothing to start")?;
    let Err(error) = nix::unistd::execve(program, &start.command, &start.environment);
    Err(error.to_string())
}
