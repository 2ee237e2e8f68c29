//! The system calls that are allowed. Anything else kills the process on the spot, for root too.

use super::calls::INSIDES;
use nix::unistd::Pid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};
use std::collections::BTreeMap;

pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What a worker needs to talk on its socket, to have memory, to tell the time and to end.
const WORKER: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_recvfrom,
    libc::SYS_ppoll,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrusage,
    libc::SYS_fstatfs,
    libc::SYS_getrandom,
    libc::SYS_sched_yield,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a zygote needs beyond that: fork, reap, end, hand descriptors over, seal its children.
const ZYGOTE: &[i64] = &[
    libc::SYS_wait4,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_close_range,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_prctl,
    libc::SYS_seccomp,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_rt_sigaction,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
];

/// The keeper only waits for the zygote.
const KEEPER: &[i64] =
    &[libc::SYS_wait4, libc::SYS_exit_group, libc::SYS_rt_sigreturn, libc::SYS_restart_syscall];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_WORKER: &[i64] = &[libc::SYS_poll, libc::SYS_time];
#[cfg(target_arch = "x86_64")]
const OLD_ZYGOTE: &[i64] = &[libc::SYS_dup2];
#[cfg(not(target_arch = "x86_64"))]
const OLD_WORKER: &[i64] = &[];
#[cfg(not(target_arch = "x86_64"))]
const OLD_ZYGOTE: &[i64] = &[];

/// Namespaces, shared memory and tracing by `clone`: a plain fork has none of these.
pub(super) const CLONE_REFUSED: i32 = libc::CLONE_VM
    | libc::CLONE_PTRACE
    | libc::CLONE_PARENT
    | libc::CLONE_THREAD
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// The limits that a worker lowers once it knows its run's limits.
const LOWERED: [libc::__rlimit_resource_t; 3] =
    [libc::RLIMIT_AS, libc::RLIMIT_DATA, libc::RLIMIT_CPU];

/// The limits that it lowers of an evaluator which cannot do so itself.
const LOWERED_OF_OTHERS: [libc::__rlimit_resource_t; 2] = [libc::RLIMIT_DATA, libc::RLIMIT_CPU];

/// The evaluator beside a worker, where that one must look after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ward {
    /// Its number.
    pub(crate) pid: Pid,
    /// The worker is its parent and tells how it ended.
    pub(crate) own: bool,
}

/// What a worker loses of its zygote's filter, under which it was forked and stays: a second whole
/// list would cost each worker twice as much.
pub(crate) fn worker(ward: Option<Ward>) -> Result<BpfProgram, String> {
    let mut refused = Rules::new();
    allow(&mut refused, ZYGOTE);
    allow(&mut refused, OLD_ZYGOTE);
    refused.insert(libc::SYS_clone, Vec::new());
    refused.insert(libc::SYS_fcntl, vec![rule(&[other(1, number(libc::F_GETFD)?)?])?]);
    let mut raised = Vec::new();
    for resource in LOWERED {
        raised.push(other(1, u64::from(resource))?);
    }
    let mut others = vec![other(0, 0)?];
    if let Some(ward) = ward {
        others.push(other(0, number(ward.pid.as_raw())?)?);
    }
    if ward.is_some_and(|ward| ward.own) {
        refused.remove(&libc::SYS_wait4);
    }
    // The old value is asked for, a limit is meant that is not a run's, or another process.
    let limits = vec![rule(&[other(3, 0)?])?, rule(&raised)?, rule(&others)?];
    refused.insert(libc::SYS_prlimit64, limits);
    compile(refused, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// The filter of a zygote, and with what [`worker`] takes away that of its workers. `wards`: they
/// lower limits of the evaluators beside them.
pub(crate) fn zygote(wards: bool) -> Result<BpfProgram, String> {
    let mut rules = worker_rules()?;
    allow(&mut rules, ZYGOTE);
    allow(&mut rules, OLD_ZYGOTE);
    // Its children set their first limits through any resource.
    let mut limits = vec![rule(&[equal(0, 0)?])?];
    for resource in LOWERED_OF_OTHERS.into_iter().filter(|_| wards) {
        limits.push(rule(&[equal(1, u64::from(resource))?, equal(3, 0)?])?);
    }
    rules.insert(libc::SYS_prlimit64, limits);
    rules.insert(libc::SYS_clone, vec![rule(&[clear(0, CLONE_REFUSED)?])?]);
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// The filter of a keeper, compiled.
pub(crate) fn keeper() -> Result<BpfProgram, String> {
    let mut rules = Rules::new();
    allow(&mut rules, KEEPER);
    compile(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// The filter of a hypervisor, compiled: a list of what is refused, for the programs are others'.
pub(crate) fn hypervisor() -> Result<BpfProgram, String> {
    let mut rules = Rules::new();
    // An error, for its libraries may try what they can.
    allow(&mut rules, INSIDES);
    allow(&mut rules, &[libc::SYS_process_madvise]);
    let local = u64::try_from(libc::AF_UNIX).map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_socket, vec![rule(&[other(0, local)?])?]);
    let refused = u32::try_from(libc::EPERM).map_err(|error| error.to_string())?;
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(refused))
}

/// Applies a filter to this process, which has one thread.
pub(crate) fn apply(filter: &BpfProgram) -> Result<(), String> {
    seccompiler::apply_filter(filter).map_err(|error| format!("seccomp: {error}"))
}

/// What a zygote and its workers have in common.
fn worker_rules() -> Result<Rules, String> {
    let mut rules = Rules::new();
    allow(&mut rules, WORKER);
    allow(&mut rules, OLD_WORKER);
    let anonymous = set(3, libc::MAP_ANONYMOUS)?;
    rules.insert(libc::SYS_mmap, vec![rule(&[clear(2, libc::PROT_EXEC)?, anonymous])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(&[clear(2, libc::PROT_EXEC)?])?]);
    // What the standard library asks of a descriptor before it closes it, and nothing else.
    rules.insert(libc::SYS_fcntl, vec![rule(&[equal(1, number(libc::F_GETFD)?)?])?]);
    // On the connected socket only.
    rules.insert(libc::SYS_sendto, vec![rule(&[equal(4, 0)?])?]);
    // The processor clocks: that which ends it, whose hard wall is RLIMIT_CPU, which it cannot
    // raise again, and that which interrupts WebAssembly.
    let clock = |which| rule(&[equal(0, number(which)?)?]);
    let clocks = vec![clock(libc::ITIMER_PROF)?, clock(libc::ITIMER_VIRTUAL)?];
    rules.insert(libc::SYS_setitimer, clocks);
    let mut lower = Vec::new();
    for resource in LOWERED {
        lower.push(rule(&[equal(0, 0)?, equal(1, u64::from(resource))?, equal(3, 0)?])?);
    }
    rules.insert(libc::SYS_prlimit64, lower);
    Ok(rules)
}

pub(super) fn allow(rules: &mut Rules, calls: &[i64]) {
    rules.extend(calls.iter().map(|call| (*call, Vec::new())));
}

pub(super) fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, String> {
    let text = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let arch = std::env::consts::ARCH.try_into().map_err(text)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch);
    let filter = filter.and_then(BpfProgram::try_from).map_err(text)?;
    Ok(if cfg!(target_arch = "x86_64") { without_x32(filter) } else { filter })
}

/// Kernels that know the x32 interface take each call under a second number too, of which no list
/// here knows: whatever has such a number ends the process. Jumps are relative, so the filter goes
/// on behind it as it is.
fn without_x32(filter: BpfProgram) -> BpfProgram {
    const BIT: u32 = 0x4000_0000;
    const LOAD: u16 = 0x20;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const KILL_PROCESS: u32 = 0x8000_0000;
    // The number is what the kernel shows first.
    let instruction = |code, k, jf| sock_filter { code, jt: 0, jf, k };
    let mut whole = vec![
        instruction(LOAD, 0, 0),
        instruction(JUMP_IF_SET, BIT, 1),
        instruction(RETURN, KILL_PROCESS, 0),
    ];
    whole.extend(filter);
    whole
}

pub(super) fn rule(conditions: &[SeccompCondition]) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions.to_vec()).map_err(|error| error.to_string())
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value)
        .map_err(|error| error.to_string())
}

pub(super) fn equal(argument: u8, value: u64) -> Result<SeccompCondition, String> {
    condition(argument, SeccompCmpOp::Eq, value)
}

pub(super) fn other(argument: u8, value: u64) -> Result<SeccompCondition, String> {
    condition(argument, SeccompCmpOp::Ne, value)
}

/// None of these bits is set.
pub(super) fn clear(argument: u8, bits: i32) -> Result<SeccompCondition, String> {
    condition(argument, SeccompCmpOp::MaskedEq(number(bits)?), 0)
}

/// All of these bits are set.
pub(super) fn set(argument: u8, bits: i32) -> Result<SeccompCondition, String> {
    condition(argument, SeccompCmpOp::MaskedEq(number(bits)?), number(bits)?)
}

/// Flags as the kernel sees them: never sign-extended.
pub(super) fn number(bits: i32) -> Result<u64, String> {
    u64::try_from(i64::from(bits) & 0xffff_ffff).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::judge::{Verdict, judge, judge_all};

    #[test]
    fn every_filter_compiles_and_fits_the_kernel() {
        for filter in [worker(None), zygote(true), keeper(), hypervisor()] {
            let instructions = filter.unwrap().len();
            assert!(instructions > 5 && instructions < 4_096, "{instructions}");
        }
    }

    /// Filters that allow what they do not name would let every call through under that number.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn no_call_is_made_under_its_second_number() {
        for filter in [worker(None), zygote(true), keeper()] {
            let filter = filter.unwrap();
            assert_eq!(judge(&filter, libc::SYS_exit_group, [0; 6]), Verdict::Allowed);
            for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_exit_group, 512] {
                let verdict = judge(&filter, call | 0x4000_0000, [0; 6]);
                assert_eq!(verdict, Verdict::Killed, "{call}");
            }
        }
    }

    #[test]
    fn a_worker_lowers_limits_of_its_own_evaluator_only() {
        let ward = |own| Ward { pid: Pid::from_raw(5), own };
        let data = u64::from(libc::RLIMIT_DATA);
        let files = u64::from(libc::RLIMIT_NOFILE);
        for (wards, who, arguments, verdict) in [
            (false, None, [0, data, 1, 0], Verdict::Allowed),
            (false, None, [5, data, 1, 0], Verdict::Killed),
            (true, None, [5, data, 1, 0], Verdict::Killed),
            (true, Some(ward(false)), [5, data, 1, 0], Verdict::Allowed),
            (true, Some(ward(false)), [0, data, 1, 0], Verdict::Allowed),
            (true, Some(ward(false)), [5 | 1 << 32, data, 1, 0], Verdict::Killed),
            (true, Some(ward(false)), [6, data, 1, 0], Verdict::Killed),
            (true, Some(ward(false)), [5, files, 1, 0], Verdict::Killed),
            (true, Some(ward(false)), [5, data, 1, 1], Verdict::Killed),
        ] {
            let filters = [zygote(wards).unwrap(), worker(who).unwrap()];
            let [first, second, third, fourth] = arguments;
            let whole = [first, second, third, fourth, 0, 0];
            assert_eq!(judge_all(&filters, libc::SYS_prlimit64, whole), verdict, "{arguments:?}");
        }
        for (own, verdict) in [(false, Verdict::Killed), (true, Verdict::Allowed)] {
            let filters = [zygote(true).unwrap(), worker(Some(ward(own))).unwrap()];
            assert_eq!(judge_all(&filters, libc::SYS_wait4, [0; 6]), verdict);
        }
    }
}
