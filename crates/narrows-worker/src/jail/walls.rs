//! The walls around a zygote and all its workers: namespaces, an empty root, no identity, no
//! capability, no files by Landlock. Each is tried by itself, and what came of it is reported.

use super::{Report, process, root};
use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible, PathBeneath, PathFd, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use narrows_types::Layer;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};
use std::fs;
use std::path::{Path, PathBuf};

/// Nobody: whom root becomes, and whom everybody is inside a user namespace.
const NOBODY: u32 = 65_534;

/// Separate namespaces, the mount namespace with a root that only shows `visible` among them.
///
/// Ordinary users get the rights for it from a user namespace of their own, so that comes first;
/// root does it with its own rights, becomes nobody, and enters a user namespace as nobody.
/// Returns whether the next fork enters a new process namespace, which is only tried where there
/// is to be one.
pub(crate) fn separate(report: &mut Report, forks: bool, visible: &[PathBuf]) -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        report.note(Layer::UserNamespace, own_user_namespace());
    }
    for (layer, flag) in [
        (Layer::NetNamespace, CloneFlags::CLONE_NEWNET),
        (Layer::IpcNamespace, CloneFlags::CLONE_NEWIPC),
        (Layer::UtsNamespace, CloneFlags::CLONE_NEWUTS),
    ] {
        report.note(layer, enter(flag));
    }
    let uts = nix::unistd::sethostname("worker");
    if uts.is_err() {
        report.note(Layer::UtsNamespace, text("sethostname", uts));
    }
    let own = enter(CloneFlags::CLONE_NEWNS).and_then(|()| root::replace(visible));
    report.note(Layer::MountNamespace, own);
    let mut enters = false;
    if forks {
        let pid = enter(CloneFlags::CLONE_NEWPID);
        enters = pid.is_ok();
        report.note(Layer::PidNamespace, pid);
    }
    if is_root {
        report.note(Layer::Capabilities, become_nobody());
        report.note(Layer::UserNamespace, enter(CloneFlags::CLONE_NEWUSER));
    }
    enters
}

/// Everything that is given up for good. After this nothing but seccomp is missing.
pub(crate) fn give_up(report: &mut Report, visible: &[PathBuf]) {
    report.note(Layer::NoNewPrivs, text("no_new_privs", nix::sys::prctl::set_no_new_privs()));
    let dropped = process::drop_capabilities().map_err(|error| format!("capset: {error}"));
    report.note(Layer::Capabilities, dropped);
    if Uid::effective().is_root() {
        let why = "the worker is still root and may not become another user".to_owned();
        report.note(Layer::Capabilities, Err(why));
    }
    report.note(Layer::Landlock, landlock(visible));
    report.note(Layer::Rlimits, text("rlimit core", setrlimit(Resource::RLIMIT_CORE, 0, 0)));
    // Nobody of the same user may trace it or read its memory.
    report.note(Layer::Rlimits, text("dumpable", nix::sys::prctl::set_dumpable(false)));
}

/// Whatever becomes of the parent, this process does not outlive it.
pub(crate) fn die_with_parent() -> Result<(), String> {
    text("pdeathsig", nix::sys::prctl::set_pdeathsig(Signal::SIGKILL))
}

/// No files but `visible` ones to read and to execute, no TCP, no signals and no abstract sockets beyond the domain.
pub(crate) fn landlock(visible: &[PathBuf]) -> Result<(), String> {
    let abi = ABI::V6;
    let mut rules = landlock::Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(landlock::Scope::AbstractUnixSocket))
        .and_then(|rules| rules.scope(landlock::Scope::Signal))
        .and_then(landlock::Ruleset::create)
        .map_err(|error| format!("landlock: {error}"))?;
    for path in visible {
        let shown = PathFd::new(path).map_err(|error| format!("landlock: {error}"))?;
        let access = if path.is_dir() {
            AccessFs::from_read(abi)
        } else {
            AccessFs::ReadFile | AccessFs::Execute
        };
        rules = rules
            .add_rule(PathBeneath::new(shown, access))
            .map_err(|error| format!("landlock: {error}"))?;
    }
    let rules = rules.restrict_self().map_err(|error| format!("landlock: {error}"))?;
    match rules.ruleset {
        RulesetStatus::NotEnforced => Err("the kernel has no landlock".to_owned()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

fn text<T>(what: &str, outcome: nix::Result<T>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| format!("{what}: {error}"))
}

fn enter(flag: CloneFlags) -> Result<(), String> {
    text("unshare", unshare(flag))
}

/// A user namespace in which this user is nobody, with every capability for now.
fn own_user_namespace() -> Result<(), String> {
    let (uid, gid) = (Uid::effective(), Gid::effective());
    enter(CloneFlags::CLONE_NEWUSER)?;
    let write = |file: &str, map: String| {
        fs::write(Path::new("/proc/self").join(file), map).map_err(|e| format!("{file}: {e}"))
    };
    write("uid_map", format!("{NOBODY} {uid} 1"))?;
    write("setgroups", "deny".to_owned())?;
    write("gid_map", format!("{NOBODY} {gid} 1"))
}

/// Root becomes nobody, in every id; its capabilities go with it.
fn become_nobody() -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    text("setgroups", nix::unistd::setgroups(&[]))?;
    text("setresgid", nix::unistd::setresgid(gid, gid, gid))?;
    text("setresuid", nix::unistd::setresuid(uid, uid, uid))?;
    // A change of ids takes the promise to die with the parent away.
    die_with_parent()
}
