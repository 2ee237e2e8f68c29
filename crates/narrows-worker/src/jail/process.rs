//! Processes: fork, pidfd, wait, exit, and the two limits that a worker sets on itself.
#![expect(unsafe_code, reason = "the standard library has no fork, wait4, pidfd or setitimer")]

use crate::wire::Wire;
use narrows_types::control::{CONTROL_FD, Death, EXIT_CPU};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};
use nix::sys::socket::SockFlag;
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Which side of a fork this is.
pub(crate) enum Side {
    /// The old process; the child has this number.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Forks a process that must have one thread only.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: the zygote and its keeper never start a thread, so the child finds every lock free
    // and may go on like any process.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Side::Parent(child)),
        nix::unistd::ForkResult::Child => Ok(Side::Child),
    }
}

/// Ends a child that is not reaped yet.
pub(crate) fn kill(child: Pid) {
    // It may have ended by itself.
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
}

/// A descriptor of a child that is not reaped yet, so that the number cannot be another's.
pub(crate) fn pidfd(child: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that this process was given and nothing in it owns.
///
/// # Safety
/// No value owns the descriptor of that number, or will take it over: whoever dropped it would
/// close what the other one still uses.
pub(super) unsafe fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: integers only. It fails for a descriptor that is not open.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the caller says that nobody owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a zygote's control socket, the first thing that a zygote does, once.
pub(crate) fn adopt_control() -> io::Result<OwnedFd> {
    // SAFETY: it was given to this process under that number, which therefore nothing that was
    // opened since has; the one caller is `zygote::run`, which does not return.
    unsafe { adopt(CONTROL_FD) }
}

/// Takes over standard input and output, which nothing else reads and writes from then on, once.
pub(crate) fn adopt_stdio() -> io::Result<(OwnedFd, OwnedFd)> {
    // SAFETY: the standard library uses these numbers and owns none of them: its handles never
    // close. The one caller is `single::run`, which does not return.
    unsafe { Ok((adopt(0)?, adopt(1)?)) }
}

/// Waits for one connection to a socket.
pub(crate) fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let fd = nix::sys::socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor from `first` on, whoever owns it. Only where no owner of one runs any
/// more: in a process that was just forked or started, or one about to give up all it has. An owner
/// that was dropped later would close what has the number by then.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // No descriptor is beyond; gVisor takes no larger number.
    let last = RawFd::MAX;
    // SAFETY: integers only. The callers: a zygote that has just started and owns nothing beyond
    // its socket; children that were just forked, which go on to `execve`, or to `work` and
    // `keep`, which never return to a frame that owns something; and `keep_only`, to which a worker
    // has given its last descriptors.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves a wire, and what else is kept, to the lowest numbers and closes every other descriptor.
pub(crate) fn keep_only(wire: Wire, others: Vec<OwnedFd>) -> io::Result<(Wire, Vec<OwnedFd>)> {
    let (read, write) = wire.into_parts();
    let read = keep_as(read, 0)?;
    let mut kept = 1;
    let mut keep = |fd| {
        let fd = keep_as(fd, kept)?;
        kept += 1;
        io::Result::Ok(fd)
    };
    let write = write.map(&mut keep).transpose()?;
    let others = others.into_iter().map(&mut keep).collect::<io::Result<_>>()?;
    close_from(kept)?;
    let wire = match write {
        None => Wire::one(read),
        Some(write) => Wire::pair(read, write),
    };
    Ok((wire, others))
}

/// What has that number is closed: the null device that nobody reads, or the descriptor itself.
fn keep_as(fd: OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() == number {
        return Ok(fd);
    }
    // SAFETY: integers only; nothing else in this process owns a descriptor with that number.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `dup2` has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A child that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dead {
    /// Its number.
    pub(crate) pid: Pid,
    /// How it ended.
    pub(crate) how: Death,
    /// Processor time that it used, in microseconds.
    pub(crate) cpu_us: u64,
    /// The most memory that it had at once.
    pub(crate) memory_bytes: u64,
}

/// The next child that has ended. Without `block`: `None` if none has. `None` too if no child is
/// left.
pub(crate) fn reap(block: bool) -> io::Result<Option<Dead>> {
    let flags = if block { 0 } else { libc::WNOHANG };
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = loop {
        // SAFETY: both pointers are to live locals of the right types.
        let pid = unsafe { libc::wait4(-1, &raw mut status, flags, &raw mut usage) };
        if pid >= 0 {
            break pid;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error),
        }
    };
    if pid == 0 {
        return Ok(None);
    }
    let how = if libc::WIFSIGNALED(status) {
        Death::Signal(libc::WTERMSIG(status))
    } else {
        Death::Exit(libc::WEXITSTATUS(status))
    };
    let cpu_us = micros(usage.ru_utime).saturating_add(micros(usage.ru_stime));
    let memory_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1_024);
    Ok(Some(Dead { pid: Pid::from_raw(pid), how, cpu_us, memory_bytes }))
}

fn micros(time: libc::timeval) -> u64 {
    let time = TimeVal::from(time);
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_usec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(rest)
}

/// Has the C library read its time zone while it still can: the first local time that a program
/// asks for would open a file.
pub(crate) fn learn_time_zone() {
    let now: libc::time_t = 0;
    // SAFETY: `tm` is plain numbers and a pointer that may be null, for which zero is a value;
    // both pointers are to live locals.
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const now, &raw mut parts);
    }
}

/// Seconds that local time is ahead of UTC at that time; none if there is no such time.
pub(crate) fn zone_offset(seconds: i64) -> i32 {
    // SAFETY: `tm` is plain numbers and a pointer that may be null, for which zero is a value;
    // both pointers are to live locals, and on failure nothing is written.
    let parts = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut parts);
        parts
    };
    i32::try_from(parts.tm_gmtoff).unwrap_or(0)
}

/// Has a function called at each tick of [`tick_every`], in the middle of anything: it may do only
/// what a signal handler may.
pub(crate) fn on_tick(act: extern "C" fn(libc::c_int)) -> io::Result<()> {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::Handler(act), flags, SigSet::empty());
    // SAFETY: its callers pass a function that only adds to an atomic number.
    unsafe { sigaction(Signal::SIGVTALRM, &action) }?;
    Ok(())
}

/// Ticks (`SIGVTALRM`) whenever this process has spent so much processor time in its own code.
pub(crate) fn tick_every(period: Duration) -> io::Result<()> {
    let period = libc::suseconds_t::try_from(period.as_micros()).map_err(io::Error::other)?;
    let period = libc::timeval { tv_sec: 0, tv_usec: period };
    set_timer(libc::ITIMER_VIRTUAL, &libc::itimerval { it_interval: period, it_value: period })
}

fn set_timer(which: libc::c_int, timer: &libc::itimerval) -> io::Result<()> {
    // SAFETY: the pointer is to a live value; the old one is not asked for.
    let outcome =
        unsafe { libc::syscall(libc::SYS_setitimer, which, std::ptr::from_ref(timer), 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets faults end this process at once. The standard library's handler, which tells of a stack
/// that ran over, makes calls that a worker may not make.
pub(crate) fn die_of_faults() -> io::Result<()> {
    for fault in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default action involves no code of ours.
        unsafe { signal(fault, SigHandler::SigDfl) }?;
    }
    Ok(())
}

/// Has the first process of a namespace, whom signals do not end by themselves, end when its
/// processor time is over.
pub(crate) fn end_first_process() -> io::Result<()> {
    extern "C" fn over(_signal: libc::c_int) {
        exit(EXIT_CPU);
    }
    if nix::unistd::getpid().as_raw() != 1 {
        return Ok(());
    }
    // SAFETY: the handler makes one system call and touches nothing.
    unsafe { signal(Signal::SIGPROF, SigHandler::Handler(over)) }?;
    Ok(())
}

/// Ends this process at once, without destructors and exit handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: has no precondition.
    unsafe { libc::_exit(code) }
}

/// Has the kernel end this process (`SIGPROF`) after that much more processor time.
pub(crate) fn end_after_cpu(millis: u64) -> io::Result<()> {
    let seconds = libc::time_t::try_from(millis / 1_000).map_err(io::Error::other)?;
    let rest = libc::suseconds_t::try_from(millis % 1_000).map_err(io::Error::other)? * 1_000;
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let once = libc::timeval { tv_sec: seconds, tv_usec: rest };
    set_timer(libc::ITIMER_PROF, &libc::itimerval { it_interval: never, it_value: once })
}

/// Lowers one of this process's limits, for good. Exactly the call that the workers' filter lets
/// through: for this process, without asking for the old value.
pub(crate) fn lower(resource: libc::__rlimit_resource_t, to: u64) -> io::Result<()> {
    lower_of(Pid::from_raw(0), resource, to)
}

/// Lowers one of another process's limits, for good.
pub(crate) fn lower_of(of: Pid, resource: libc::__rlimit_resource_t, to: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: to, rlim_max: to };
    let of = of.as_raw();
    // SAFETY: the pointer is to a live local; the old value is not asked for.
    let outcome = unsafe { libc::syscall(libc::SYS_prlimit64, of, resource, &raw const limit, 0) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct CapSets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const CAP_VERSION: u32 = 0x2008_0522;
/// More than the kernel has; the first unknown one ends the loop.
const CAPS_MAX: libc::c_ulong = 64;

/// Gives up every capability but the one to mount and to make networks, and that to bring those
/// up if need be. An exec keeps them.
pub(crate) fn keep_mounting(networks: bool) -> io::Result<()> {
    const NET_ADMIN: u32 = 12;
    const SYS_ADMIN: u32 = 21;
    let kept: &[u32] = if networks { &[SYS_ADMIN, NET_ADMIN] } else { &[SYS_ADMIN] };
    let only = kept.iter().fold(0, |all, one| all | 1 << one);
    let header = CapHeader { version: CAP_VERSION, pid: 0 };
    let low = CapSets { effective: only, permitted: only, inheritable: only };
    let sets = [low, CapSets::default()];
    // SAFETY: pointers to live locals laid out as the kernel's ABI says for this version.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for one in kept {
        let raise = libc::PR_CAP_AMBIENT_RAISE;
        // SAFETY: integers only.
        if unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, *one, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Gives up every capability in every set and checks that none is left.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    // SAFETY: integers only. It fails without CAP_SETPCAP, where the bounding set does not matter:
    // with no-new-privs nothing is ever gained from it.
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        for cap in 0..CAPS_MAX {
            if libc::prctl(libc::PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 {
                break;
            }
        }
    }
    let header = CapHeader { version: CAP_VERSION, pid: 0 };
    let none = [CapSets::default(); 2];
    // SAFETY: pointers to live locals laid out as the kernel's ABI says for this version.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut left = [CapSets { effective: 1, permitted: 1, inheritable: 1 }; 2];
    // SAFETY: as above; the kernel writes two elements.
    if unsafe { libc::syscall(libc::SYS_capget, &raw const header, left.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if left.iter().any(|sets| (sets.effective | sets.permitted | sets.inheritable) != 0) {
        return Err(io::Error::other("some capabilities are left"));
    }
    Ok(())
}
