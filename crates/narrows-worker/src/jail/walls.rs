//! The walls around a zygote and all its workers: namespaces, an empty root, no identity, no
//! capability, no files by Landlock. Each is tried by itself, and what came of it is reported.

use super::{Report, process, root};
use landlock::{
    ABI, Access, AccessFs, AccessNet, Compatible, NetPort, PathBeneath, PathFd, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use narrows_types::Layer;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Nobody: whom root becomes, and whom everybody is inside a user namespace.
pub(crate) const NOBODY: u32 = 65_534;

/// Why there is no landlock, where nothing else is wrong.
pub(super) const NO_LANDLOCK: &str = "the kernel has no landlock";

/// What is to be seen of the file system behind the walls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct View<'a> {
    /// To read and to execute.
    pub(crate) read: &'a [PathBuf],
    /// Devices, to read and to write, and folders for files that are not executed.
    pub(crate) write: &'a [PathBuf],
    /// The processes beside this one, among them itself.
    pub(crate) processes: bool,
    /// A folder with nothing in it, to mount on.
    pub(crate) empty: Option<&'a Path>,
    /// It makes namespaces of users later on, and has to have a name for that.
    pub(crate) named: bool,
    /// A program that asks where it is itself, and has no processes to see.
    pub(crate) itself: Option<&'a Path>,
    /// It may end processes that were forked before, and are in no domain of its own.
    pub(crate) signals: bool,
    /// The one port over TCP that it may connect to.
    pub(crate) port: Option<u16>,
}

impl<'a> View<'a> {
    /// What an interpreter reads.
    pub(crate) fn of(read: &'a [PathBuf]) -> Self {
        Self { read, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.write.is_empty() && !self.processes && self.empty.is_none()
    }
}

/// Separate namespaces, the mount namespace with a root that only shows the view among them.
///
/// Ordinary users get the rights for it from a user namespace of their own, so that comes first;
/// root does it with its own rights, becomes nobody, and enters a user namespace as nobody.
/// Returns whether the next fork enters a new process namespace, which is only tried where there
/// is to be one.
pub(crate) fn separate(report: &mut Report, forks: bool, view: &View<'_>) -> bool {
    gain_rights(report);
    cut_off(report);
    let enters = forks && part_processes(report);
    close_in(report, view, (NOBODY, NOBODY));
    enters
}

/// Ordinary users get the rights for all that follows.
pub(crate) fn gain_rights(report: &mut Report) {
    if !Uid::effective().is_root() {
        report.note(Layer::UserNamespace, own_user_namespace());
    }
}

/// No files but those of the view, and for root another user.
pub(crate) fn close_in(report: &mut Report, view: &View<'_>, user: (u32, u32)) {
    // Out of sight once the root is another.
    let itself = fs::File::open("/proc/self");
    let own = enter(CloneFlags::CLONE_NEWNS).and_then(|()| root::replace(view));
    report.note(Layer::MountNamespace, own);
    if Uid::effective().is_root() {
        // Where we are root of a container only, not everybody exists.
        let became = become_user(user).or_else(|_unknown| become_user((NOBODY, NOBODY)));
        report.note(Layer::Capabilities, became);
        report.note(Layer::UserNamespace, enter(CloneFlags::CLONE_NEWUSER));
        // Without a name in there nobody owns a file.
        if let (true, Ok(itself)) = (view.named, itself) {
            drop(map_nobody(&itself));
        }
    }
}

/// No network, no message queues and no host name of the machine's.
pub(crate) fn cut_off(report: &mut Report) {
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
}

/// Whether the next fork enters a new process namespace.
pub(crate) fn part_processes(report: &mut Report) -> bool {
    let parted = enter(CloneFlags::CLONE_NEWPID);
    let enters = parted.is_ok();
    report.note(Layer::PidNamespace, parted);
    enters
}

/// Everything that is given up for good. After this nothing but seccomp is missing.
/// With `children` it ends processes that were forked before, and are in no domain of its own.
pub(crate) fn give_up(report: &mut Report, visible: &[PathBuf], children: bool) {
    give_up_but(report, &View { signals: children, ..View::of(visible) });
}

/// The same with another view.
pub(crate) fn give_up_but(report: &mut Report, view: &View<'_>) {
    report.note(Layer::NoNewPrivs, text("no_new_privs", nix::sys::prctl::set_no_new_privs()));
    let dropped = process::drop_capabilities().map_err(|error| format!("capset: {error}"));
    report.note(Layer::Capabilities, dropped);
    if Uid::effective().is_root() {
        let why = "the worker is still root and may not become another user".to_owned();
        report.note(Layer::Capabilities, Err(why));
    }
    report.note(Layer::Landlock, landlock(view));
    report.note(Layer::Rlimits, text("rlimit core", setrlimit(Resource::RLIMIT_CORE, 0, 0)));
    // Nobody of the same user may trace it or read its memory.
    report.note(Layer::Rlimits, text("dumpable", nix::sys::prctl::set_dumpable(false)));
}

/// Everything but the right to mount in a namespace of its own and, if need be, to have networks of
/// its own; also for what this process becomes.
pub(super) fn give_up_but_mounting(networks: bool) -> Result<(), String> {
    text("no_new_privs", nix::sys::prctl::set_no_new_privs())?;
    text("rlimit core", setrlimit(Resource::RLIMIT_CORE, 0, 0))?;
    process::keep_mounting(networks).map_err(|error| format!("capset: {error}"))
}

/// Whatever becomes of the parent, this process does not outlive it.
pub(crate) fn die_with_parent() -> Result<(), String> {
    text("pdeathsig", nix::sys::prctl::set_pdeathsig(Signal::SIGKILL))
}

/// No files but those of the view, no TCP but to its port, no abstract sockets beyond the domain and, but where the
/// view says so, no signals.
pub(crate) fn landlock(view: &View<'_>) -> Result<(), String> {
    let abi = ABI::V6;
    let mut rules = landlock::Ruleset::default()
        .set_compatibility(landlock::CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(landlock::Scope::AbstractUnixSocket))
        .and_then(
            |rules| if view.signals { Ok(rules) } else { rules.scope(landlock::Scope::Signal) },
        )
        .and_then(landlock::Ruleset::create)
        .map_err(|error| format!("landlock: {error}"))?;
    let executable = AccessFs::ReadFile | AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let scratch = AccessFs::from_all(abi) & !(AccessFs::Execute | AccessFs::IoctlDev);
    let read = view.read.iter().map(|path| (path, AccessFs::from_read(abi), executable));
    let all = read.chain(view.write.iter().map(|path| (path, scratch, device)));
    for (path, of_folder, of_file) in all {
        let access = if path.is_dir() { of_folder } else { of_file };
        let shown = PathFd::new(path).map_err(|error| format!("landlock: {error}"))?;
        rules = rules
            .add_rule(PathBeneath::new(shown, access))
            .map_err(|error| format!("landlock: {error}"))?;
    }
    if let Some(port) = view.port {
        rules = rules
            .add_rule(NetPort::new(port, AccessNet::ConnectTcp))
            .map_err(|error| format!("landlock: {error}"))?;
    }
    let rules = rules.restrict_self().map_err(|error| format!("landlock: {error}"))?;
    match rules.ruleset {
        RulesetStatus::NotEnforced => Err(NO_LANDLOCK.to_owned()),
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

/// Nobody is nobody in a user namespace that was entered as nobody.
fn map_nobody(itself: &fs::File) -> Result<(), String> {
    // Else the maps are root's: this process has become another user.
    text("dumpable", nix::sys::prctl::set_dumpable(true))?;
    let map = format!("{NOBODY} {NOBODY} 1");
    for (file, words) in [("uid_map", map.as_str()), ("setgroups", "deny"), ("gid_map", &map)] {
        let opened = openat(itself, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let mut opened = fs::File::from(opened.map_err(|error| format!("{file}: {error}"))?);
        opened.write_all(words.as_bytes()).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}

/// Root becomes somebody else, in every id; its capabilities go with it.
fn become_user((uid, gid): (u32, u32)) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    text("setgroups", nix::unistd::setgroups(&[]))?;
    text("setresgid", nix::unistd::setresgid(gid, gid, gid))?;
    text("setresuid", nix::unistd::setresuid(uid, uid, uid))?;
    // A change of ids takes the promise to die with the parent away.
    die_with_parent()
}
