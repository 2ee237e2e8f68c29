//! Where control groups are. Version 1 has a hierarchy for each controller, version 2 one for all.

use super::{CgroupPlace, end_all, names, remove};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Controllers without which nothing is bounded.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// One group, in each hierarchy that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Version 2.
    pub(super) unified: bool,
    pub(super) memory: PathBuf,
    pub(super) pids: PathBuf,
    /// Where there is one.
    pub(super) cpu: Option<PathBuf>,
}

impl Base {
    /// The group that ours is made in.
    pub(super) fn find(place: &CgroupPlace) -> Result<Self, String> {
        let read =
            |file: &str| fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let dir = |controller| directory(&mounts, &own, controller, place);
        let unified = dir(None);
        if let Ok(all) = &unified
            && controls(all)
        {
            return Ok(Self::unified(all.clone()));
        }
        let old = || {
            let (memory, pids) = (dir(Some("memory"))?, dir(Some("pids"))?);
            Ok(Self { unified: false, memory, pids, cpu: dir(Some("cpu")).ok() })
        };
        let is_old = mounts.lines().any(|line| mounted(line, Some("memory")).is_some());
        old().map_err(|why: String| match unified {
            Ok(all) => format!("{} has no controllers for memory and pids", all.display()),
            Err(newer) => {
                if is_old {
                    why
                } else {
                    newer
                }
            }
        })
    }

    pub(super) fn unified(dir: PathBuf) -> Self {
        Self { unified: true, memory: dir.clone(), pids: dir.clone(), cpu: Some(dir) }
    }

    /// The group of this name in this one.
    pub(super) fn child(&self, name: &str) -> Self {
        Self {
            unified: self.unified,
            memory: self.memory.join(name),
            pids: self.pids.join(name),
            cpu: self.cpu.as_ref().map(|cpu| cpu.join(name)),
        }
    }

    /// Each directory once: controllers can share a hierarchy.
    pub(super) fn dirs(&self) -> Vec<&Path> {
        let mut dirs: Vec<&Path> = vec![&self.memory, &self.pids];
        dirs.extend(self.cpu.as_deref());
        dirs.sort_unstable();
        dirs.dedup();
        dirs
    }

    /// Makes it, without the controller that bounds nothing where that is not to be had.
    pub(super) fn make(mut self) -> Result<Self, String> {
        let new = |dir: &Path| match fs::create_dir(dir) {
            Ok(()) => Ok(()),
            // Controllers can share a hierarchy, and no other group has this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => {
                let around = dir.parent().unwrap_or(dir).display();
                Err(format!("no group can be made in {around}: {error}"))
            }
        };
        let needed = new(&self.memory).and_then(|()| new(&self.pids));
        self.cpu = self.cpu.filter(|cpu| needed.is_ok() && new(cpu).is_ok());
        needed.inspect_err(|_| drop(self.remove()))?;
        Ok(self)
    }

    /// Removes it, if nobody is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.dirs().into_iter().map(remove).fold(Ok(()), Result::and)
    }

    /// Ends all that are in it.
    pub(super) fn kill(&self) {
        self.dirs().into_iter().for_each(end_all);
    }

    /// How many of it the kernel has killed for want of memory.
    pub(super) fn killed(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        let events = fs::read_to_string(self.memory.join(file)).unwrap_or_default();
        let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        killed.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }
}

/// Whether a group of version 2 can bound what is in the groups below it.
fn controls(dir: &Path) -> bool {
    let has = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    NEEDED.iter().all(|needed| has.split_whitespace().any(|controller| controller == *needed))
}

/// The directory of a group in the hierarchy of a controller of version 1, or in that of version 2.
fn directory(
    mounts: &str,
    own: &str,
    controller: Option<&str>,
    place: &CgroupPlace,
) -> Result<PathBuf, String> {
    let what = controller.unwrap_or("cgroup2");
    let (root, mount) = mounts
        .lines()
        .find_map(|line| mounted(line, controller))
        .ok_or_else(|| format!("no control groups for {what} are mounted"))?;
    let below = match place {
        CgroupPlace::At(path) => path.strip_prefix("/").unwrap_or(path).to_owned(),
        CgroupPlace::Auto | CgroupPlace::Off => {
            let path = own.lines().find_map(|line| member(line, controller));
            let path = path.ok_or_else(|| format!("this process has no group of {what}"))?;
            // In a container its own group may be what is mounted.
            let below = Path::new(path).strip_prefix(root);
            let seen = |below: &&Path| below.components().all(|part| part != Component::ParentDir);
            let below = below.ok().filter(seen);
            below.ok_or_else(|| format!("our group {path} of {what} is not mounted here"))?.into()
        }
    };
    let dir = mount.join(below);
    // Where another sandbox of this process has moved us away, ours is made beside it.
    let dir = dir.parent().filter(|_| names::is_own_place(&dir)).map(Path::to_owned).unwrap_or(dir);
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(format!("there is no group {}: call it as /proc/PID/cgroup does", dir.display()))
}

/// What is mounted, and where, if it is this hierarchy.
fn mounted<'a>(line: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a Path)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (name, options) = (kind.next()?, kind.nth(1)?);
    let this = match controller {
        None => name == "cgroup2",
        Some(controller) => {
            name == "cgroup" && options.split(',').any(|option| option == controller)
        }
    };
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, place.next()?);
    this.then_some((root, Path::new(mount)))
}

/// The path of our group, if the line is of this hierarchy.
fn member<'a>(line: &'a str, controller: Option<&str>) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let this = match controller {
        None => controllers.is_empty(),
        Some(controller) => controllers.split(',').any(|other| other == controller),
    };
    this.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
        33 31 0:30 / /proc rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 /docker/c1 /sys rw,relatime shared:7 master:2 - cgroup cgroup rw,memory\n";
    const NEW: &str = "41 31 0:38 / / rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn hierarchies_are_found_by_their_controllers() {
        let own = "4:memory:/docker/c1/fs\n1:cpuacct,cpu:/sys\n0::/proc/sys\n";
        let auto = |mounts, controller| directory(mounts, own, controller, &CgroupPlace::Auto);
        // What is mounted is a part of the hierarchy.
        assert_eq!(auto(OLD, Some("memory")), Ok("/sys/fs".into()));
        assert_eq!(auto(OLD, Some("cpu")), Ok("/proc/sys".into()));
        assert_eq!(auto(NEW, None), Ok("/proc/sys".into()));
        for (mounts, controller, why) in [
            (OLD, Some("pids"), "no control groups for pids are mounted"),
            (OLD, None, "no control groups for cgroup2 are mounted"),
            (NEW, Some("memory"), "no control groups for memory are mounted"),
        ] {
            assert_eq!(auto(mounts, controller), Err(why.to_owned()));
        }
        let other = "4:memory:/docker/c2\n0::/../of/others\n";
        for (mounts, controller) in [(OLD, Some("memory")), (NEW, None)] {
            let outside = directory(mounts, other, controller, &CgroupPlace::Auto);
            assert!(outside.unwrap_err().contains("not"), "{controller:?}");
        }
    }

    #[test]
    fn a_named_group_is_below_the_mount() {
        let at = |path: &str| directory(NEW, "", None, &CgroupPlace::At(path.into()));
        assert_eq!(at("/proc/self"), Ok("/proc/self".into()));
        assert!(at("/nowhere").unwrap_err().contains("there is no group /nowhere"));
    }
}
