//! What version 2 asks of whoever gives out parts of a group: the controllers have to be switched on
//! for the groups below, and then no process may be in it. So a gateway that lives there moves into
//! a group below, too.

use super::base::Base;
use super::{CgroupPlace, PROCS, names, processes, remove};
use crate::gateway;
use nix::errno::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Which controllers the groups below have.
const SWITCH: &str = "cgroup.subtree_control";
/// Parents that are asked for theirs, before somebody counts as a stranger.
const GENERATIONS: usize = 32;

/// What was done to a group so that others can be made in it.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Where this process and its children went, if they had to.
    moved_to: Option<PathBuf>,
}

/// Gets a group ready for others in it.
pub(super) fn open(around: &Base, place: &CgroupPlace) -> Result<Opened, String> {
    let dir = &around.memory;
    if !around.unified || switched_on(dir) {
        return Ok(Opened::default());
    }
    let failed = |error: &io::Error| {
        format!(
            "{}: the controllers for memory and pids cannot be passed on: {error}",
            dir.display()
        )
    };
    match switch_on(dir) {
        Ok(()) => Ok(Opened::default()),
        Err(error) if !is_busy(&error) => Err(failed(&error)),
        Err(_) if *place != CgroupPlace::Auto => {
            Err(format!("there are processes in {} itself", dir.display()))
        }
        Err(_) => {
            let leaf = dir.join(names::gateway());
            let opened = Opened { moved_to: Some(leaf.clone()) };
            let done = fs::create_dir(&leaf)
                .map_err(|error| failed(&error))
                .and_then(|()| move_all(dir, &leaf))
                .and_then(|()| switch_on(dir).map_err(|error| failed(&error)));
            done.inspect_err(|_| opened.close())?;
            Ok(opened)
        }
    }
}

impl Opened {
    /// Takes it back, unless somebody else still needs it.
    pub(super) fn close(&self) {
        let Some(leaf) = &self.moved_to else { return };
        let Some(dir) = leaf.parent() else { return };
        let folders = fs::read_dir(dir).into_iter().flatten().flatten();
        let others = folders.filter(|entry| entry.path() != *leaf && entry.path().is_dir());
        if others.count() > 0 {
            return;
        }
        for controller in ["cpu", "pids", "memory"] {
            drop(fs::write(dir.join(SWITCH), format!("-{controller}")));
        }
        for pid in processes(leaf).unwrap_or_default() {
            drop(fs::write(dir.join(PROCS), pid.to_string()));
        }
        // Where it stays, the next gateway removes it.
        drop(remove(leaf));
    }
}

/// Moves this process and its children. Others are not ours to move.
fn move_all(from: &Path, to: &Path) -> Result<(), String> {
    let all = processes(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if let Some(stranger) = all.iter().find(|pid| !is_ours(**pid)) {
        return Err(format!(
            "process {stranger}, which is not ours, is in {} too: give Narrows a group of its own",
            from.display()
        ));
    }
    let enter = |pid: &u32| match fs::write(to.join(PROCS), pid.to_string()) {
        // It is gone.
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(()),
        other => other.map_err(|error| format!("{}: {error}", to.display())),
    };
    all.iter().try_for_each(enter)
}

/// Whether a process is this one or descends from it.
fn is_ours(pid: u32) -> bool {
    let mut at = Some(pid);
    for _ in 0..GENERATIONS {
        match at {
            Some(pid) if pid == std::process::id() => return true,
            Some(pid) => at = gateway::stat(pid, gateway::PARENT),
            None => return false,
        }
    }
    false
}

fn switched_on(dir: &Path) -> bool {
    let on = fs::read_to_string(dir.join(SWITCH)).unwrap_or_default();
    ["memory", "pids"].iter().all(|name| on.split_whitespace().any(|other| other == *name))
}

fn switch_on(dir: &Path) -> io::Result<()> {
    fs::write(dir.join(SWITCH), "+memory +pids")?;
    // There may be none, and it bounds nothing.
    drop(fs::write(dir.join(SWITCH), "+cpu"));
    Ok(())
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EBUSY as i32)
}
