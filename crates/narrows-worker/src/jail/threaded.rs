//! The system calls of an engine with threads and with code of its own making. It is started under
//! these filters: nothing in it could apply them.

use super::filter::{Rules, allow, clear, compile, equal, number, other, rule};
use super::foreign::{refuse, signalling, uncounted};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction};

/// What it needs: memory, threads, time, and files to read. To anything else the kernel answers as
/// one that has no such call, so that the engine's next version finds its way.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_recvfrom,
    libc::SYS_socketpair,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_clone,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getcpu,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getrusage,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // To be started at all, and for the filter that is applied after this one.
    libc::SYS_execve,
    libc::SYS_seccomp,
];

/// What it gets an error for as if it had no right to it: the network, other processes and whatever
/// would change a file.
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
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_truncate,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_seccomp,
    libc::SYS_inotify_init1,
];

/// What it is ended for: there is no honest use of it.
const FORBIDDEN: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_memfd_create,
    libc::SYS_execveat,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mknodat,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_ALLOWED: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_dup2,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_pipe,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(target_arch = "x86_64")]
const OLD_DENIED: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_creat,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ALLOWED: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_DENIED: &[i64] = &[];

/// Names memory; the crate has it for one C library only.
const PR_SET_VMA: i32 = 0x5356_4d41;

/// What is ended. It also holds for what starts evaluators, which is in need of none of it.
pub(super) fn forbidden() -> Result<BpfProgram, String> {
    let mut rules = Rules::new();
    allow(&mut rules, FORBIDDEN);
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// What an evaluator may do, which is this process. To be applied in this order.
pub(super) fn evaluator(own: Pid) -> Result<[BpfProgram; 2], String> {
    let mut allowed = Rules::new();
    for calls in [ALLOWED, OLD_ALLOWED, DENIED, OLD_DENIED] {
        allow(&mut allowed, calls);
    }
    allowed.insert(libc::SYS_sendto, vec![rule(&[equal(4, 0)?])?]);
    allowed.insert(libc::SYS_prlimit64, vec![rule(&[equal(0, 0)?])?]);
    // Whether something is a terminal.
    allowed.insert(libc::SYS_ioctl, vec![rule(&[equal(1, libc::TCGETS)?])?]);
    // Names of its threads and of its memory; the last is for the filter that follows.
    let mut options = Vec::new();
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME, PR_SET_VMA, libc::PR_SET_NO_NEW_PRIVS] {
        options.push(rule(&[equal(0, number(option)?)?])?);
    }
    allowed.insert(libc::SYS_prctl, options);

    let mut denied = Rules::new();
    for calls in [DENIED, OLD_DENIED] {
        allow(&mut denied, calls);
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
        let [allowed, denied] = evaluator(Pid::from_raw(OWN)).unwrap();
        judge_all(&[forbidden().unwrap(), allowed, denied], call, arguments)
    }

    #[test]
    fn every_filter_fits_the_kernel() {
        let [allowed, denied] = evaluator(Pid::this()).unwrap();
        for filter in [forbidden().unwrap(), allowed, denied] {
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
        for call in OLD_DENIED {
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
