//! System calls that no worker may make, each as somebody who broke out of an engine would make it.
#![expect(unsafe_code, reason = "an attacker in the engine is not held back by the compiler")]

use std::ptr::null;

const PAGE: usize = 4_096;

/// Makes a call by its name, and tells what it returned, if it ever does. `None`: unknown name.
pub(crate) fn make(name: &str) -> Option<String> {
    number(name).map(|outcome| outcome.to_string())
}

/// The same, where a call that is refused tells why: its error, negative.
pub(crate) fn make_and_tell(name: &str) -> Option<String> {
    let outcome = number(name)?;
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    Some(if outcome == -1 { (-error).to_string() } else { outcome.to_string() })
}

fn number(name: &str) -> Option<libc::c_long> {
    outward(name).or_else(|| inward(name)).or_else(|| onward(name))
}

/// Towards others of its kind.
fn onward(name: &str) -> Option<libc::c_long> {
    let path = c"/etc/passwd".as_ptr();
    let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: as above; where a fork succeeds, what follows is one exit more.
    let outcome = unsafe {
        match name {
            "fork" => libc::syscall(libc::SYS_fork),
            "rt_sigqueueinfo" => libc::syscall(libc::SYS_rt_sigqueueinfo, 1, 9, path),
            "tgkill" => libc::syscall(libc::SYS_tgkill, 1, 1, libc::SIGKILL),
            "fcntl-owner" => libc::syscall(libc::SYS_fcntl, 0, libc::F_SETOWN, 1),
            "fcntl-async" => libc::syscall(libc::SYS_fcntl, 0, libc::F_SETFL, libc::O_ASYNC),
            "mmap-shared" => libc::syscall(libc::SYS_mmap, 0, PAGE, both, shared, -1, 0),
            "sched_setaffinity" => libc::syscall(libc::SYS_sched_setaffinity, 1, 8, path),
            "unlink" => libc::syscall(libc::SYS_unlink, path),
            "timer_create" => libc::syscall(libc::SYS_timer_create, 0, 0, path),
            _ => return None,
        }
    };
    Some(outcome)
}

/// Towards files, the network and other processes.
fn outward(name: &str) -> Option<libc::c_long> {
    let path = c"/etc/passwd".as_ptr();
    // SAFETY: this is the attack; each call is well-formed, and the kernel is to end the process.
    let outcome = unsafe {
        match name {
            "openat" => libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, libc::O_RDONLY),
            "open_by_handle_at" => libc::syscall(libc::SYS_open_by_handle_at, 0, path, 0),
            "unlinkat" => libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0),
            "readlinkat" => libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, path, path, 0),
            "newfstatat" => libc::syscall(libc::SYS_newfstatat, libc::AT_FDCWD, path, path, 0),
            "socket" => libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0),
            "socketpair" => libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, 1, 0, path),
            "connect" => libc::syscall(libc::SYS_connect, 0, path, 16),
            "bind" => libc::syscall(libc::SYS_bind, 0, path, 16),
            "sendmsg" => libc::syscall(libc::SYS_sendmsg, 0, path, 0),
            "recvmsg" => libc::syscall(libc::SYS_recvmsg, 0, path, 0),
            "sendto-address" => libc::syscall(libc::SYS_sendto, 0, path, 1, 0, path, 16),
            "execve" => libc::syscall(libc::SYS_execve, path, null::<u8>(), null::<u8>()),
            "execveat" => libc::syscall(libc::SYS_execveat, 0, path, null::<u8>(), 0, 0),
            "clone" => libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0),
            "clone3" => libc::syscall(libc::SYS_clone3, path, 64),
            "kill" => libc::syscall(libc::SYS_kill, 1, libc::SIGKILL),
            "tkill" => libc::syscall(libc::SYS_tkill, 1, libc::SIGKILL),
            "pidfd_open" => libc::syscall(libc::SYS_pidfd_open, 1, 0),
            "pidfd_getfd" => libc::syscall(libc::SYS_pidfd_getfd, 0, 0, 0),
            "pidfd_send_signal" => libc::syscall(libc::SYS_pidfd_send_signal, 0, 9, 0, 0),
            "ptrace" => libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, 1, 0, 0),
            "process_vm_readv" => libc::syscall(libc::SYS_process_vm_readv, 1, 0, 0, 0, 0, 0),
            "process_vm_writev" => libc::syscall(libc::SYS_process_vm_writev, 1, 0, 0, 0, 0, 0),
            _ => return None,
        }
    };
    Some(outcome)
}

/// Towards the kernel, and the process itself.
fn inward(name: &str) -> Option<libc::c_long> {
    let path = c"/etc/passwd".as_ptr();
    let exec = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: as above.
    let outcome = unsafe {
        match name {
            "io_uring_setup" => libc::syscall(libc::SYS_io_uring_setup, 8, path),
            "bpf" => libc::syscall(libc::SYS_bpf, 0, path, 64),
            "perf_event_open" => libc::syscall(libc::SYS_perf_event_open, path, 0, -1, -1, 0),
            "userfaultfd" => libc::syscall(libc::SYS_userfaultfd, 0),
            "keyctl" => libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0),
            "unshare" => libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER),
            "setns" => libc::syscall(libc::SYS_setns, 0, 0),
            "mount" => libc::syscall(libc::SYS_mount, path, path, path, 0, 0),
            "umount2" => libc::syscall(libc::SYS_umount2, path, 0),
            "pivot_root" => libc::syscall(libc::SYS_pivot_root, path, path),
            "chroot" => libc::syscall(libc::SYS_chroot, path),
            "chdir" => libc::syscall(libc::SYS_chdir, path),
            "memfd_create" => libc::syscall(libc::SYS_memfd_create, path, 0),
            "setuid" => libc::syscall(libc::SYS_setuid, 0),
            "capset" => libc::syscall(libc::SYS_capset, path, path),
            "prctl" => libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
            "seccomp" => libc::syscall(libc::SYS_seccomp, 1, 0, path),
            "ioctl" => libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSTI, path),
            "dup" => libc::syscall(libc::SYS_dup, 0),
            "fcntl" => libc::syscall(libc::SYS_fcntl, 0, libc::F_DUPFD, 0),
            "wait4" => libc::syscall(libc::SYS_wait4, -1, 0, 0, 0),
            "reboot" => libc::syscall(libc::SYS_reboot, 0, 0, 0, 0),
            "init_module" => libc::syscall(libc::SYS_init_module, path, 0, path),
            "rt_sigaction" => libc::syscall(libc::SYS_rt_sigaction, libc::SIGPROF, 0, 0, 8),
            "setrlimit" => libc::syscall(libc::SYS_setrlimit, libc::RLIMIT_AS, path),
            "prlimit-files" => libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, path, 0),
            "prlimit-other" => libc::syscall(libc::SYS_prlimit64, 1, libc::RLIMIT_CPU, path, 0),
            "prlimit-read" => {
                libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CPU, 0, path.cast_mut())
            }
            "setitimer-real" => libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, path, 0),
            "mmap-exec" => libc::syscall(libc::SYS_mmap, 0, PAGE, exec, anonymous, -1, 0),
            "mmap-file" => {
                libc::syscall(libc::SYS_mmap, 0, PAGE, libc::PROT_READ, libc::MAP_PRIVATE, 0, 0)
            }
            "mprotect-exec" => {
                let at = make as *const () as usize & !(PAGE - 1);
                libc::syscall(libc::SYS_mprotect, at, PAGE, exec)
            }
            "pkey_mprotect" => libc::syscall(libc::SYS_pkey_mprotect, 0, PAGE, exec, -1),
            "vmsplice" => libc::syscall(libc::SYS_vmsplice, 0, path, 0, 0),
            "x32" => libc::syscall(libc::SYS_read | 0x4000_0000, 0, path, 0),
            // Allowed, to know that a call as such comes through.
            "clock_gettime" => {
                let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now)
            }
            // Allowed, but it cannot be raised again.
            "cpu-again" => {
                let more = libc::rlimit64 { rlim_cur: 1_000, rlim_max: 1_000 };
                libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_CPU, &raw const more, 0)
            }
            "read-other" => libc::syscall(libc::SYS_read, 1, path, 0),
            _ => return None,
        }
    };
    Some(outcome)
}

/// Calls itself until the stack ends.
#[inline(never)]
pub(crate) fn overflow(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 128]);
    if depth == u64::MAX {
        return depth;
    }
    overflow(depth + 1) + room.first().copied().unwrap_or_default()
}
