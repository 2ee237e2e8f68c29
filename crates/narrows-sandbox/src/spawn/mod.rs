//! Starts zygotes, speaks their control socket, kills by pidfd. The only unsafe code of this crate.

mod child;
mod control;
mod machine;
mod plain;

pub(crate) use child::Running;
pub(crate) use control::Control;
pub(crate) use machine::{FIRST_FD, Hypervisor, Machine, machine};
pub(crate) use plain::plain;

use crate::cgroup::{Cgroup, Door};
use child::on_its_own_thread;
use narrows_types::control::CONTROL_FD;
use narrows_types::{Engine, Network};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// What is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The binary.
    pub(crate) program: PathBuf,
    /// What stands before `--engine`.
    pub(crate) args: Vec<String>,
    /// What evaluates its programs.
    pub(crate) engine: Engine,
    /// Which walls it insists on.
    pub(crate) walls: Walls,
    /// What its programs reach at most of a network, where they have one.
    pub(crate) network: Option<Network>,
}

/// Which walls a worker insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walls {
    /// The floor; it takes what else can be had.
    Floor,
    /// None; it takes what can be had.
    Best,
    /// It is to have none.
    None,
}

impl Walls {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Best => "best",
            Self::None => "none",
        }
    }
}

/// A zygote that has been started, but has not spoken yet.
pub(crate) struct Started {
    /// The socket to it.
    pub(crate) control: Control,
    /// The process that we started; the zygote itself may be its child.
    pub(crate) running: Running,
    /// Whether it is in the group of all workers, or why not.
    pub(crate) bounded: Result<(), String>,
}

/// A process that can be killed without the danger of hitting another one.
#[derive(Debug)]
pub(crate) struct Pidfd(OwnedFd);

impl Pidfd {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends `SIGKILL`. A process that is gone already is no error.
    pub(crate) fn kill(&self) {
        kill(&self.0);
    }

    /// Whether the process has ended, be it buried or not.
    pub(crate) fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

/// Starts a zygote, in the group of all workers.
pub(crate) async fn start(launch: Launch, cgroup: Arc<Cgroup>) -> io::Result<Started> {
    let name = format!("zygote-{}", launch.engine);
    let begin = move || {
        let (child, socket) = launch_here(&launch, cgroup.door())?;
        let bounded = cgroup.holds(child.id());
        Ok((child, (socket, bounded)))
    };
    let (running, (socket, bounded)) = on_its_own_thread(name, begin).await?;
    // Where this fails the socket closes, and the zygote ends.
    Ok(Started { control: Control::new(socket)?, running, bounded })
}

#[expect(unsafe_code, reason = "a descriptor is handed to a fixed number between fork and exec")]
fn launch_here(launch: &Launch, door: Door) -> io::Result<(Child, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let mut command = command(launch);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let socket = theirs.as_raw_fd();
    // SAFETY: the closure only makes system calls, which are all that is allowed between fork and
    // exec: it allocates nothing and takes no lock. The descriptor is open: `theirs` lives on.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            door.enter();
            hand_over(socket)
        });
    }
    let child = command.spawn()?;
    drop(theirs);
    Ok((child, ours))
}

/// What zygotes and workers have in common.
fn command(launch: &Launch) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts zygotes and workers")]
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .args(["--engine", launch.engine.name(), "--walls", launch.walls.name()])
        .args(
            launch.network.iter().flat_map(|network| {
                ["--network".to_owned(), network.to_string().replace(", ", ",")]
            }),
        )
        .env_clear()
        // A program's local time tells nothing of the machine.
        .env("TZ", "UTC0")
        .current_dir("/")
        .process_group(0)
        .stderr(Stdio::piped());
    command
}

/// Puts the socket where the zygote looks for it. Runs between fork and exec.
#[expect(unsafe_code, reason = "the standard library hands over no descriptor but 0, 1 and 2")]
fn hand_over(socket: RawFd) -> io::Result<()> {
    let outcome = if socket == CONTROL_FD {
        // SAFETY: integers only; clears the close-on-exec flag.
        unsafe { libc::fcntl(socket, libc::F_SETFD, 0) }
    } else {
        // SAFETY: integers only; whatever had that number is closed on exec anyway, or is the
        // pipe on which the standard library reports an exec that failed (then it reports a
        // broken pipe instead).
        unsafe { libc::dup2(socket, CONTROL_FD) }
    };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[expect(unsafe_code, reason = "neither the standard library nor nix has pidfds")]
fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: integers only; returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[expect(unsafe_code, reason = "neither the standard library nor nix has pidfds")]
fn kill(pidfd: &OwnedFd) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: an open descriptor, integers, and a null pointer, which is allowed.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, no_info, 0);
    }
}

/// Takes over a descriptor that came over a socket.
#[expect(unsafe_code, reason = "a received descriptor comes as a bare number")]
fn take_over(fd: RawFd) -> OwnedFd {
    // SAFETY: called once for each number that the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor for one system call.
fn raw(fd: BorrowedFd<'_>) -> RawFd {
    fd.as_raw_fd()
}
