//! What is around a hypervisor: the static worker raises walls and becomes it.

use super::MicrovmConfig;
use crate::cgroup::Cgroup;
use crate::spawn::Hypervisor;
use narrows_types::{Layer, LayerState};
use nix::unistd::{Uid, getegid, geteuid};
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What programs of the system's and their libraries are read from. None of it is secret.
const READ: [&str; 6] = ["/usr", "/lib", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache"];
/// Devices that hypervisors open.
const OPEN: [&str; 4] = ["/dev/kvm", "/dev/null", "/dev/random", "/dev/urandom"];
/// Where a program is looked for that has a name only.
const PLACES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// The first user of those that nobody has: above what systemd and containers give out.
const FIRST_USER: u32 = 1_879_048_192;
/// Users that each process has for its machines, and processes until they share them.
const USERS: u32 = 1 << 16;
const PROCESSES: u32 = 1 << 11;

/// What a hypervisor is started with.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its arguments.
    pub(super) args: Vec<OsString>,
    /// Its descriptors.
    pub(super) fds: Vec<OwnedFd>,
    /// The folder that it works in, if any.
    pub(super) folder: Option<PathBuf>,
    /// The largest file that it may write.
    pub(super) file_bytes: u64,
    /// What bounds it together with all others.
    pub(super) cgroup: Arc<Cgroup>,
}

impl MicrovmConfig {
    /// As whom the next machine runs: user and group. Where we are root each has a user of its own,
    /// who may do nothing to the others; nobody else can choose.
    pub(super) fn user(&self) -> (u32, u32) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let other = || {
            if !Uid::effective().is_root() {
                return (geteuid().as_raw(), getegid().as_raw());
            }
            let ours = (std::process::id() % PROCESSES) * USERS;
            let user = FIRST_USER + ours + NEXT.fetch_add(1, Ordering::Relaxed) % USERS;
            (user, user)
        };
        self.user.unwrap_or_else(other)
    }

    /// The hypervisor's file. `None`: it is not there.
    pub(super) fn program(&self) -> Option<PathBuf> {
        let named = self.program.components().count() == 1;
        let places: &[&str] = if named { &PLACES } else { &[""] };
        places.iter().find_map(|place| fs::canonicalize(Path::new(place).join(&self.program)).ok())
    }

    /// A hypervisor behind walls, which runs as this user. Without one it raises its own.
    pub(super) fn walled(
        &self,
        program: PathBuf,
        user: Option<(u32, u32)>,
        wanted: Wanted,
    ) -> Hypervisor {
        let mut orders: Vec<OsString> = Vec::new();
        let mut order = |name: &str, value: OsString| orders.extend([name.into(), value]);
        let there = |path: &&PathBuf| path.exists();
        let read: Vec<_> = READ.map(PathBuf::from).into_iter().chain([program.clone()]).collect();
        read.iter().filter(there).for_each(|path| order("--show", path.into()));
        let open: Vec<_> =
            OPEN.map(PathBuf::from).into_iter().chain(wanted.folder.clone()).collect();
        open.iter().filter(there).for_each(|path| order("--open", path.into()));
        if let Some(folder) = &wanted.folder {
            order("--folder", folder.into());
        }
        if let Some((uid, gid)) = user {
            order("--user", format!("{uid}:{gid}").into());
        }
        order("--memory-bytes", self.memory_bytes().to_string().into());
        order("--file-bytes", wanted.file_bytes.to_string().into());
        let (launcher, Wanted { args, fds, cgroup, .. }) = (self.worker.clone(), wanted);
        Hypervisor { launcher, orders, program, args, fds, cgroup }
    }
}

/// The walls of a worker in a machine: one that does not hold around the machine too would not hold
/// for a program that has broken out of it.
pub(super) fn both(mut inside: Vec<LayerState>, around: &[LayerState]) -> Vec<LayerState> {
    // One that is only around it is all the same for whoever is inside.
    inside.retain(|state| state.layer != Layer::Cgroup);
    inside.extend(around.iter().filter(|state| state.layer == Layer::Cgroup).cloned());
    for state in inside.iter_mut().filter(|state| state.reached) {
        let outer = around.iter().find(|outer| outer.layer == state.layer && !outer.reached);
        if let Some(outer) = outer {
            state.reached = false;
            state.why = format!("around the machine: {}", outer.why);
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_types::Layer;

    #[test]
    fn a_wall_holds_that_holds_on_both_sides() {
        let state =
            |layer, why: &str| LayerState { layer, reached: why.is_empty(), why: why.to_owned() };
        let inside = vec![
            state(Layer::Seccomp, ""),
            state(Layer::Landlock, ""),
            state(Layer::Rlimits, "no"),
            state(Layer::UserNamespace, ""),
        ];
        let around =
            [state(Layer::Seccomp, ""), state(Layer::Landlock, "old"), state(Layer::Rlimits, "")];
        assert_eq!(
            both(inside, &around),
            [
                state(Layer::Seccomp, ""),
                state(Layer::Landlock, "around the machine: old"),
                state(Layer::Rlimits, "no"),
                state(Layer::UserNamespace, ""),
            ]
        );
    }

    #[test]
    fn a_program_is_found_by_its_name_or_by_its_path() {
        let config = |program: &str| MicrovmConfig {
            program: program.into(),
            ..MicrovmConfig::qemu("/image".into(), "/worker".into())
        };
        let shell = fs::canonicalize("/bin/sh").unwrap();
        assert_eq!(config("sh").program(), Some(shell.clone()));
        assert_eq!(config("/bin/sh").program(), Some(shell));
        assert_eq!(config("no-such-hypervisor").program(), None);
    }

    #[test]
    fn machines_of_root_have_users_of_their_own() {
        let config = MicrovmConfig::qemu("/image".into(), "/worker".into());
        let (one, other) = (config.user(), config.user());
        let root = Uid::effective().is_root();
        assert_eq!(one != other, root);
        assert_eq!(one.0 >= FIRST_USER, root);
        assert_eq!(MicrovmConfig { user: Some((7, 8)), ..config }.user(), (7, 8));
    }
}
