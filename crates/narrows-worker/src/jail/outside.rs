//! Starts an interpreter that is not built into this binary, behind the same walls, and has it fork
//! one evaluator for each worker.
#![expect(unsafe_code, reason = "an interpreter is started by fork and exec")]

use super::process::{self, Side};
use super::walls::View;
use super::{filter, foreign, launcher, walls};
use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use std::ffi::{CString, OsStr};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where an interpreter finds its control socket.
pub(super) const CONTROL: RawFd = 3;
/// How long one may take to become warm.
const WARM: Duration = Duration::from_secs(20);
/// How long the fork of an evaluator may take.
const FORK: Duration = Duration::from_secs(2);
/// Bytes of what one says of itself.
const WORD_BYTES_MAX: usize = 64 << 10;

/// How an interpreter is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The binary and its arguments.
    pub(crate) command: Vec<CString>,
    /// Its whole environment.
    pub(crate) environment: Vec<CString>,
    /// All that it sees of the file system, to read and to execute.
    pub(crate) visible: Vec<PathBuf>,
    /// The folder on which each evaluator mounts one for its own files, where it can.
    pub(crate) scratch: Option<PathBuf>,
    /// What it is told first.
    pub(crate) opening: Vec<u8>,
    /// It cannot be forked once it is warm: each evaluator is started anew.
    pub(crate) anew: Option<Anew>,
    /// It evaluates one program itself, and nothing is forked.
    pub(crate) once: bool,
    /// Each evaluator has a network of its own, with a proxy in it.
    pub(crate) network: bool,
}

impl Start {
    /// What it sees of the file system.
    pub(crate) fn view(&self) -> View<'_> {
        let program = self.command.first().filter(|_| self.anew.is_some());
        let itself = program.map(|program| Path::new(OsStr::from_bytes(program.as_bytes())));
        let (empty, named) = (self.scratch.as_deref(), self.scratch.is_some() || self.network);
        View { empty, named, itself, ..View::of(&self.visible) }
    }
}

/// Of an evaluator that is started anew, whose limits somebody else sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anew {
    /// How many of its threads run at once, at most.
    pub(crate) threads: u32,
    /// Memory for data that it has taken before it knows its program, much of it never touched.
    pub(crate) idle_bytes: u64,
}

/// A warm interpreter.
#[derive(Debug)]
pub(crate) struct Outside {
    control: UnixStream,
    pid: Pid,
    network: bool,
}

/// One forked from it, a child of this process.
#[derive(Debug)]
pub struct Forked {
    /// Its number.
    pub(crate) pid: Pid,
    /// The socket to it, which does not block.
    pub(crate) socket: OwnedFd,
    /// What its own files are in, to see how many they are.
    pub(crate) scratch: Option<OwnedFd>,
    /// What listens in its network, where it has one.
    pub(crate) door: Option<OwnedFd>,
}

impl Outside {
    /// Starts an interpreter and waits until it is warm. Gives what it says of itself. `mounts`:
    /// it is behind no wall yet but namespaces, and takes on all but what it needs to mount.
    pub(crate) fn start(
        start: &Start,
        sealed: bool,
        mounts: bool,
    ) -> Result<(Self, Vec<u8>), String> {
        let text = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let (mut ours, theirs) = UnixStream::pair().map_err(|error| text("socket", &error))?;
        let forked = process::fork().map_err(|error| text("fork", &error))?;
        let Side::Parent(pid) = forked else {
            drop(ours);
            let given_up = if mounts { walls::give_up_but_mounting(start.network) } else { Ok(()) };
            let never = match (start.anew.is_some(), start.once) {
                _ if given_up.is_err() => given_up.err().unwrap_or_default(),
                (false, _) => become_interpreter(start, theirs, sealed),
                (true, false) => launcher::serve(start, theirs, sealed),
                (true, true) => launcher::become_once(start, theirs, sealed),
            };
            // The parent sees the end of the socket; for people there is the log.
            drop(writeln!(io::stderr(), "{}: {never}", shown(start)));
            process::exit(1)
        };
        drop(theirs);
        if start.anew.is_some() && start.once {
            return Ok((Self { control: ours, pid, network: false }, Vec::new()));
        }
        let gone = |error: io::Error| format!("{} ended before it was warm: {error}", shown(start));
        let length = u32::try_from(start.opening.len()).map_err(|error| text("opening", &error))?;
        ours.write_all(&length.to_le_bytes()).map_err(gone)?;
        ours.write_all(&start.opening).map_err(gone)?;
        let until = Instant::now() + WARM;
        let mut length = [0; 4];
        exact(&mut ours, &mut length, until).map_err(gone)?;
        let length = u32::from_le_bytes(length) as usize;
        let mut word = vec![0; length.min(WORD_BYTES_MAX)];
        exact(&mut ours, &mut word, until).map_err(gone)?;
        Ok((Self { control: ours, pid, network: start.network }, word))
    }

    /// The process that is forked from.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// One that evaluates a program itself instead of forking.
    pub(crate) fn into_evaluator(self) -> io::Result<Forked> {
        self.control.set_nonblocking(true)?;
        let socket = self.control.into();
        Ok(Forked { pid: self.pid, socket, scratch: None, door: None })
    }

    /// Has an evaluator forked.
    pub(crate) fn fork(&self) -> io::Result<Forked> {
        (&self.control).write_all(&[1])?;
        readable(&self.control, Instant::now() + FORK)?;
        let mut number = [0; 4];
        let mut beside = cmsg_space!([i32; 3]);
        let mut parts = [IoSliceMut::new(&mut number)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let socket = self.control.as_raw_fd();
        let message = recvmsg::<()>(socket, &mut parts, Some(&mut beside), flags)?;
        let bytes = message.bytes;
        let mut fds = message.cmsgs()?.flat_map(take_over).collect::<Vec<_>>().into_iter();
        let pid = i32::from_le_bytes(number);
        match fds.next() {
            Some(socket) if bytes == number.len() && pid > 0 => {
                let door = if self.network { fds.next() } else { None };
                Ok(Forked { pid: Pid::from_raw(pid), socket, scratch: fds.next(), door })
            }
            _ => Err(io::Error::other("the interpreter cannot fork")),
        }
    }
}

fn shown(start: &Start) -> String {
    start.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn take_over(part: ControlMessageOwned) -> Vec<OwnedFd> {
    match part {
        ControlMessageOwned::ScmRights(raw) => {
            // SAFETY: the kernel has just made these for us; nobody else owns them.
            raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()
        }
        _ => Vec::new(),
    }
}

/// The filter of a zygote lets no socket's timeout be set, so time is kept here.
fn readable(socket: &UnixStream, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis();
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn exact(socket: &mut UnixStream, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        readable(socket, until)?;
        match socket.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer = buffer.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// The child's part: returns only why it failed.
fn become_interpreter(start: &Start, control: UnixStream, sealed: bool) -> String {
    match seal(control, sealed) {
        Ok(()) => match start.command.first() {
            Some(program) => {
                let Err(error) = nix::unistd::execve(program, &start.command, &start.environment);
                format!("cannot start: {error}")
            }
            None => "nothing to start".to_owned(),
        },
        Err(why) => why,
    }
}

/// Leaves it the standard descriptors, its control socket and the first filter.
fn seal(control: UnixStream, sealed: bool) -> Result<(), String> {
    keep_control(control)?;
    if sealed { filter::apply(&foreign::zygote()?) } else { Ok(()) }
}

/// Leaves a process that was just forked the standard descriptors and its control socket, which is
/// [`CONTROL`] then, and lets it not outlive its parent.
pub(super) fn keep_control(control: UnixStream) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // Where a worker's wire has the numbers of the standard descriptors, it is not passed on; nor
    // is there a null device any more: what stands in for it is a socket that nobody answers.
    let blank = UnixStream::pair().map_err(text)?.0.into_raw_fd();
    let control = control.into_raw_fd();
    // SAFETY: integers only; the owners of what had these numbers do not run in this process.
    let blanked = unsafe { libc::dup2(blank, 0) != -1 && libc::dup2(blank, 1) != -1 };
    if !blanked {
        return Err(text(io::Error::last_os_error()));
    }
    walls::die_with_parent()?;
    SigSet::empty().thread_set_mask().map_err(|error| error.to_string())?;
    // SAFETY: integers only; whatever had that number in the parent is of no use here, and no
    // owner of it runs in this process.
    if unsafe { libc::dup2(control, CONTROL) } == -1 {
        return Err(text(io::Error::last_os_error()));
    }
    if control == CONTROL {
        // SAFETY: integers only; clears the close-on-exec flag.
        unsafe { libc::fcntl(CONTROL, libc::F_SETFD, 0) };
    }
    process::close_from(CONTROL + 1).map_err(text)
}
