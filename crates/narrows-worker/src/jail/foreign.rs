//! The system calls of interpreters that are not built into this binary. They need files to import
//! from, and files of their own, so their list is longer than a worker's; none of them changes
//! anything else on the machine.

use super::calls::{CHANGES, INTERPRETER, OLD_CHANGES, OLD_INTERPRETER};
use super::filter::{Rules, allow, clear, compile, equal, number, other, rule, set};
use super::sockets::{self, SOCKETS};
use seccompiler::{BpfProgram, SeccompAction, SeccompRule};

/// What a program does with files of its own, beside [`CHANGES`]. Nothing else that it sees can be
/// written.
const FILES: &[i64] = &[
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_pwrite64,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_fadvise64,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_umask,
];

/// What a warm interpreter needs to start and to fork its evaluators; they themselves are refused
/// it. That is, not all of `clone`: see [`zygote`].
const ZYGOTE: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_prctl,
    libc::SYS_seccomp,
    libc::SYS_socketpair,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
];

/// How it gives each evaluator a folder and an identity of its own, and Landlock: an evaluator that
/// tries the like is ended.
const MOUNTING: &[i64] = &[
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_capset,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_restrict_self,
];

/// What honest programs try too, such as libraries that look for what they might use: they get an
/// error. Whatever is in no list here ends the process.
const REFUSED: &[i64] = &[
    libc::SYS_ioctl,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_setsockopt,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
    libc::SYS_pipe2,
    libc::SYS_memfd_create,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_timerfd_create,
    libc::SYS_signalfd4,
    libc::SYS_inotify_init1,
    libc::SYS_mknodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_getxattr,
    libc::SYS_listxattr,
    libc::SYS_chroot,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setresuid,
    libc::SYS_setpriority,
    libc::SYS_getpriority,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_mlock,
    libc::SYS_getcpu,
    libc::SYS_getitimer,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_ZYGOTE: &[i64] = &[libc::SYS_arch_prctl];
#[cfg(target_arch = "x86_64")]
const OLD_REFUSED: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_pipe,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_mknod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_getpgrp,
    libc::SYS_alarm,
    libc::SYS_pause,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ZYGOTE: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_REFUSED: &[i64] = &[];

/// All that an evaluator does.
const OWN: [&[i64]; 6] =
    [INTERPRETER, OLD_INTERPRETER, CHANGES, OLD_CHANGES, FILES, &[libc::SYS_getgroups]];

/// What the C libraries ask for where they start a thread, glibc's and musl's.
const THREADS: [i32; 2] = [0x003d_0f00, 0x007d_0f00];

/// What they ask for where they start a program: that is refused, and does not end the process.
const SPAWN: i32 = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;

/// All that a fork may not do but to have the same parent.
const CLONE_REFUSED: i32 = super::filter::CLONE_REFUSED & !libc::CLONE_PARENT;

/// The filter that a warm interpreter is started under, and all that it forks.
pub(crate) fn zygote() -> Result<BpfProgram, String> {
    let mut rules = Rules::new();
    for calls in OWN.into_iter().chain([REFUSED, OLD_REFUSED, ZYGOTE, OLD_ZYGOTE, MOUNTING]) {
        allow(&mut rules, calls);
    }
    let mut clones = vec![rule(&[clear(0, CLONE_REFUSED)?])?];
    for other in THREADS.into_iter().chain([SPAWN]) {
        clones.push(rule(&[equal(0, number(other)?)?])?);
    }
    rules.insert(libc::SYS_clone, clones);
    let namespace = |flag| rule(&[equal(0, number(flag)?)?]);
    let own = vec![
        namespace(libc::CLONE_NEWNS)?,
        namespace(libc::CLONE_NEWUSER)?,
        namespace(libc::CLONE_NEWNET)?,
    ];
    rules.insert(libc::SYS_unshare, own);
    allow(&mut rules, &[libc::SYS_clone3]);
    // Code comes from files, which nobody here can write.
    let code = rule(&[clear(3, libc::MAP_ANONYMOUS)?, clear(2, libc::PROT_WRITE)?])?;
    rules.insert(libc::SYS_mmap, vec![rule(&[clear(2, libc::PROT_EXEC)?])?, code]);
    rules.insert(libc::SYS_mprotect, vec![rule(&[clear(2, libc::PROT_EXEC)?])?]);
    rules.insert(libc::SYS_sendto, vec![rule(&[equal(4, 0)?])?]);
    rules.insert(libc::SYS_prlimit64, vec![rule(&[equal(0, 0)?])?]);
    let timer = number(libc::ITIMER_PROF)?;
    rules.insert(libc::SYS_setitimer, vec![rule(&[equal(0, timer)?])?]);
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// What an evaluator is refused beyond that, before it reads a byte. With a `network` it may speak
/// TCP.
pub(crate) fn evaluator(network: bool) -> Result<[BpfProgram; 3], String> {
    let mut rules = Rules::new();
    for calls in [ZYGOTE, OLD_ZYGOTE, REFUSED, OLD_REFUSED] {
        allow(&mut rules, calls);
    }
    if network {
        for call in SOCKETS {
            rules.remove(call);
        }
        rules.extend(sockets::refused()?);
        rules.insert(libc::SYS_ioctl, vec![rule(&[other(1, libc::FIONBIO)?])?]);
    }
    let mut no_thread = Vec::new();
    for thread in THREADS {
        no_thread.push(other(0, number(thread)?)?);
    }
    rules.insert(libc::SYS_clone, vec![rule(&no_thread)?]);
    rules.insert(libc::SYS_fcntl, signalling()?);
    rules.insert(libc::SYS_mmap, uncounted()?);
    let refused = compile(rules, SeccompAction::Allow, refuse(libc::EACCES)?)?;
    let mut ended = Rules::new();
    allow(&mut ended, MOUNTING);
    allow(&mut ended, &[libc::SYS_unshare]);
    let ended = compile(ended, SeccompAction::Allow, SeccompAction::KillProcess)?;
    // The last refuses to add another.
    Ok([no_clone3()?, ended, refused])
}

/// Its flags cannot be looked at; the C library takes `clone` then.
fn no_clone3() -> Result<BpfProgram, String> {
    let clone3 = Rules::from([(libc::SYS_clone3, Vec::new())]);
    compile(clone3, SeccompAction::Allow, refuse(libc::ENOSYS)?)
}

pub(super) fn refuse(errno: i32) -> Result<SeccompAction, String> {
    u32::try_from(errno).map(SeccompAction::Errno).map_err(|error| error.to_string())
}

/// All of `fcntl` but what looks at a descriptor, copies it, or sets flags that have no signal sent:
/// with an owner and a signal of its choice a descriptor ends any process of the same user.
pub(super) fn signalling() -> Result<Vec<SeccompRule>, String> {
    const HARMLESS: [i32; 6] = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    let mut beyond = Vec::new();
    for command in HARMLESS {
        beyond.push(other(1, number(command)?)?);
    }
    let signals = rule(&[equal(1, number(libc::F_SETFL)?)?, set(2, libc::O_ASYNC)?])?;
    Ok(vec![rule(&beyond)?, signals])
}

/// Mappings of memory that no limit on data counts: shared ones, and stacks.
pub(super) fn uncounted() -> Result<Vec<SeccompRule>, String> {
    // The other kind of shared mapping has this bit too.
    let anonymous = rule(&[set(3, libc::MAP_SHARED | libc::MAP_ANONYMOUS)?])?;
    let written = rule(&[set(3, libc::MAP_SHARED)?, set(2, libc::PROT_WRITE)?])?;
    Ok(vec![anonymous, written, rule(&[set(3, libc::MAP_GROWSDOWN)?])?])
}

/// A filter's instructions as the kernel reads them.
pub(crate) fn bytes(filter: &BpfProgram) -> Vec<u8> {
    let instruction = |one: &seccompiler::sock_filter| {
        let [code, k] = [one.code.to_ne_bytes().to_vec(), one.k.to_ne_bytes().to_vec()];
        [code, vec![one.jt, one.jf], k].concat()
    };
    filter.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::judge::{Verdict, judge_all};

    #[test]
    fn every_filter_compiles_and_fits_the_kernel() {
        let evaluators = [false, true].into_iter().flat_map(|network| evaluator(network).unwrap());
        for filter in [zygote().unwrap()].into_iter().chain(evaluators) {
            assert!(filter.len() > 5 && filter.len() < 4_096, "{}", filter.len());
            assert_eq!(bytes(&filter).len(), filter.len() * 8);
        }
    }

    fn of_an_evaluator(call: i64, arguments: [u64; 6]) -> Verdict {
        of_one(false, call, arguments)
    }

    fn of_one(network: bool, call: i64, arguments: [u64; 6]) -> Verdict {
        let filters: Vec<_> =
            std::iter::once(zygote().unwrap()).chain(evaluator(network).unwrap()).collect();
        judge_all(&filters, call, arguments)
    }

    #[test]
    fn a_network_is_tcp_and_nothing_else() {
        let verdict = |network, call, arguments| of_one(network, call, arguments);
        sockets::tests::is_tcp_alone(verdict);
    }

    #[test]
    fn no_descriptor_is_made_to_signal() {
        let refused = Verdict::Refused(libc::EACCES);
        for (command, argument, verdict) in [
            (libc::F_GETFL, 0, Verdict::Allowed),
            (libc::F_SETFL, libc::O_NONBLOCK, Verdict::Allowed),
            (libc::F_DUPFD_CLOEXEC, 0, Verdict::Allowed),
            (libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK, refused),
            (libc::F_SETOWN, 1, refused),
            (libc::F_NOTIFY, 1, refused),
            // F_SETSIG and F_SETOWN_EX, which the crate does not name.
            (10, 9, refused),
            (15, 0, refused),
        ] {
            let [command, argument] = [command, argument].map(|one| number(one).unwrap());
            let arguments = [3, command, argument, 0, 0, 0];
            assert_eq!(of_an_evaluator(libc::SYS_fcntl, arguments), verdict, "{command}");
            // The kernel looks at the lower half only.
            let arguments = [3, command | 1 << 40, argument, 0, 0, 0];
            assert_eq!(of_an_evaluator(libc::SYS_fcntl, arguments), refused, "{command}");
        }
    }

    #[test]
    fn no_memory_goes_uncounted() {
        let refused = Verdict::Refused(libc::EACCES);
        let (read, write) = (libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE);
        let (private, shared) = (libc::MAP_PRIVATE, libc::MAP_SHARED);
        for (protection, flags, verdict) in [
            (write, private | libc::MAP_ANONYMOUS, Verdict::Allowed),
            (read, shared, Verdict::Allowed),
            (write, shared, refused),
            (read, shared | libc::MAP_ANONYMOUS, refused),
            (write, libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS, refused),
            (write, private | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN, refused),
            (write | libc::PROT_EXEC, private | libc::MAP_ANONYMOUS, Verdict::Killed),
        ] {
            let [protection, flags] = [protection, flags].map(|one| number(one).unwrap());
            let arguments = [0, 4_096, protection, flags, u64::MAX, 0];
            assert_eq!(of_an_evaluator(libc::SYS_mmap, arguments), verdict, "{flags:#x}");
        }
    }

    #[test]
    fn no_call_is_both_allowed_and_refused() {
        let refused: Vec<_> = [ZYGOTE, REFUSED, OLD_ZYGOTE, OLD_REFUSED, MOUNTING].concat();
        let allowed = OWN.concat();
        assert!(!allowed.iter().any(|call| refused.contains(call)));
    }
}
