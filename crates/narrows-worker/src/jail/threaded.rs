//! The system calls of an engine with threads and with code of its own making. It is started under
//! these filters: nothing in it could apply them.

use super::calls::{CHANGES, INSIDES, INTERPRETER, OLD_CHANGES, OLD_INTERPRETER};
use super::filter::{Rules, allow, clear, compile, equal, number, other, rule};
use super::foreign::{refuse, signalling, uncounted};
use super::sockets::{self, SOCKETS};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction};

/// What it needs beside what all do: threads, events and code. To anything else the kernel answers as
/// one that has no such call, so that the engine's next version finds its way.
const ALLOWED: &[i64] = &[
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_socketpair,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_clone,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getcpu,
    libc::SYS_tgkill,
    libc::SYS_execve,
    libc::SYS_seccomp,
];

/// What it gets an error for as if it had no right to it, beside [`CHANGES`]: the network, other
/// processes and what files belong to.
const DENIED: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_sched_setaffinity,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_seccomp,
    libc::SYS_inotify_init1,
];

/// What it is ended for, beside [`INSIDES`]: there is no honest use of it.
const FORBIDDEN: &[i64] = &[
    libc::SYS_fanotify_init,
    libc::SYS_vhangup,
    libc::SYS_memfd_create,
    libc::SYS_execveat,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_ALLOWED: &[i64] =
    &[libc::SYS_pipe, libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_arch_prctl];
#[cfg(target_arch = "x86_64")]
const OLD_DENIED: &[i64] =
    &[libc::SYS_fork, libc::SYS_vfork, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ALLOWED: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_DENIED: &[i64] = &[];

/// All of which it is told that it has no right to it.
const REFUSED: [&[i64]; 4] = [CHANGES, OLD_CHANGES, DENIED, OLD_DENIED];

/// Names memory; the crate has it for one C library only.
const PR_SET_VMA: i32 = 0x5356_4d41;

/// What is ended.
pub(super) fn forbidden() -> Result<BpfProgram, String> {
    forbidden_but(Rules::new())
}

/// The same for what starts evaluators, which with a `network` gives each one of its own.
pub(super) fn forbidden_to_launch(network: bool) -> Result<BpfProgram, String> {
    if !network {
        return forbidden();
    }
    let beyond = vec![rule(&[other(0, number(libc::CLONE_NEWNET)?)?])?];
    forbidden_but(Rules::from([(libc::SYS_unshare, beyond)]))
}

fn forbidden_but(less: Rules) -> Result<BpfProgram, String> {
    let mut rules = Rules::new();
    allow(&mut rules, INSIDES);
    allow(&mut rules, FORBIDDEN);
    rules.extend(less);
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// What an evaluator may do, which is this process. To be applied in this order.
pub(super) fn evaluator(own: Pid, network: bool) -> Result<[BpfProgram; 2], String> {
    let mut allowed = Rules::new();
    let needed = [INTERPRETER, OLD_INTERPRETER, ALLOWED, OLD_ALLOWED];
    for calls in needed.into_iter().chain(REFUSED) {
        allow(&mut allowed, calls);
    }
    allowed.insert(libc::SYS_sendto, vec![rule(&[equal(4, 0)?])?]);
    allowed.insert(libc::SYS_prlimit64, vec![rule(&[equal(0, 0)?])?]);
    // Whether something is a terminal.
    allowed.insert(libc::SYS_ioctl, vec![rule(&[equal(1, libc::TCGETS)?])?]);
    if network {
        allow(&mut allowed, SOCKETS);
        let commands = [libc::TCGETS, libc::FIONBIO];
        let commands = commands.map(|one| rule(&[equal(1, one)?]));
        allowed.insert(libc::SYS_ioctl, commands.into_iter().collect::<Result<_, _>>()?);
    }
    // Names of its threads and of its memory; the last is for the filter that follows.
    let mut options = Vec::new();
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME, PR_SET_VMA, libc::PR_SET_NO_NEW_PRIVS] {
        options.push(rule(&[equal(0, number(option)?)?])?);
    }
    allowed.insert(libc::SYS_prctl, options);

    let mut denied = Rules::new();
    for calls in REFUSED {
        allow(&mut denied, calls);
    }
    if network {
        for call in SOCKETS {
            denied.remove(call);
        }
        denied.extend(sockets::refused()?);
    }
    // A thread, not a process. What has its flags in memory is not allowed: the C library takes
    // this then.
    denied.insert(libc::SYS_clone, vec![rule(&[clear(0, libc::CLONE_THREAD)?])?]);
    denied.insert(libc::SYS_tgkill, vec![rule(&[other(0, number(own.as_raw())?)?])?]);
    denied.insert(libc::SYS_fcntl, signalling()?);
    denied.insert(libc::SYS_mmap, uncounted()?);
    Ok([
        compile(allowed, refuse(libc::ENOSYS)?, SeccompAction::Allow)?,
        compile(denied, SeccompAction::Allow, refuse(libc::EACCES)?)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::judge::{Verdict, judge_all};

    const OWN: i32 = 77;

    fn verdict(call: i64, arguments: [u64; 6]) -> Verdict {
        verdict_of(false, call, arguments)
    }

    fn verdict_of(network: bool, call: i64, arguments: [u64; 6]) -> Verdict {
        let [allowed, denied] = evaluator(Pid::from_raw(OWN), network).unwrap();
        let launcher = forbidden_to_launch(network).unwrap();
        judge_all(&[launcher, forbidden().unwrap(), allowed, denied], call, arguments)
    }

    #[test]
    fn a_network_is_tcp_and_nothing_else() {
        sockets::tests::is_tcp_alone(verdict_of);
    }

    #[test]
    fn what_starts_evaluators_makes_networks_and_no_other_namespaces() {
        let of = |network, flag: i32| {
            let flags = [number(flag).unwrap(), 0, 0, 0, 0, 0];
            judge_all(&[forbidden_to_launch(network).unwrap()], libc::SYS_unshare, flags)
        };
        assert_eq!(of(true, libc::CLONE_NEWNET), Verdict::Allowed);
        assert_eq!(of(true, libc::CLONE_NEWNET | libc::CLONE_NEWNS), Verdict::Killed);
        assert_eq!(of(true, libc::CLONE_NEWUSER), Verdict::Killed);
        assert_eq!(of(false, libc::CLONE_NEWNET), Verdict::Killed);
        let flags = [number(libc::CLONE_NEWNET).unwrap(), 0, 0, 0, 0, 0];
        assert_eq!(verdict_of(true, libc::SYS_unshare, flags), Verdict::Killed);
    }

    #[test]
    fn every_filter_fits_the_kernel() {
        let [allowed, denied] = evaluator(Pid::this(), true).unwrap();
        for filter in [forbidden_to_launch(true).unwrap(), allowed, denied] {
            assert!(filter.len() > 50 && filter.len() < 4_096, "{}", filter.len());
        }
    }

    #[test]
    fn it_makes_threads_and_no_processes() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        let flags = |flags: i32| [number(flags).unwrap(), 0, 0, 0, 0, 0];
        assert_eq!(verdict(libc::SYS_clone, flags(thread)), Verdict::Allowed);
        let refused = Verdict::Refused(libc::EACCES);
        assert_eq!(verdict(libc::SYS_clone, flags(libc::SIGCHLD)), refused);
        assert_eq!(verdict(libc::SYS_clone, flags(libc::CLONE_PARENT)), refused);
        assert_eq!(verdict(libc::SYS_clone3, [0; 6]), Verdict::Refused(libc::ENOSYS));
        for call in OLD_CHANGES.iter().chain(OLD_DENIED) {
            assert_eq!(verdict(*call, [0; 6]), refused, "{call}");
        }
    }

    #[test]
    fn it_does_nothing_to_other_processes() {
        let refused = Verdict::Refused(libc::EACCES);
        let first = |one: i32| [number(one).unwrap(), 9, 0, 0, 0, 0];
        assert_eq!(verdict(libc::SYS_tgkill, first(OWN)), Verdict::Allowed);
        assert_eq!(verdict(libc::SYS_tgkill, first(OWN + 1)), refused);
        for call in [libc::SYS_kill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo] {
            assert_eq!(verdict(call, first(OWN)), refused, "{call}");
        }
        assert_eq!(verdict(libc::SYS_prlimit64, first(0)), Verdict::Allowed);
        let unknown = Verdict::Refused(libc::ENOSYS);
        assert_eq!(verdict(libc::SYS_prlimit64, first(1)), unknown);
        assert_eq!(verdict(libc::SYS_prctl, first(libc::PR_SET_PDEATHSIG)), unknown);
        assert_eq!(
            verdict(libc::SYS_fcntl, [3, number(libc::F_SETOWN).unwrap(), 1, 0, 0, 0]),
            refused
        );
        assert_eq!(verdict(libc::SYS_ptrace, [0; 6]), Verdict::Killed);
    }

    #[test]
    fn what_nobody_thought_of_does_not_exist() {
        for call in [libc::SYS_timer_create, libc::SYS_mq_open, 1_000] {
            assert_eq!(verdict(call, [0; 6]), Verdict::Refused(libc::ENOSYS), "{call}");
        }
        let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let arguments = [0, 4_096, 3, number(shared).unwrap(), 0, 0];
        assert_eq!(verdict(libc::SYS_mmap, arguments), Verdict::Refused(libc::EACCES));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn no_call_has_a_second_number() {
        assert_eq!(verdict(libc::SYS_read | 0x4000_0000, [0; 6]), Verdict::Killed);
    }
}
