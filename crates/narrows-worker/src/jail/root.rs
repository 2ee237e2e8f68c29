//! A root of its own for a zygote and its workers: one read-only folder with nothing in it but what
//! an interpreter reads.

use super::walls::View;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;

/// Folders of which one is sure to exist, to mount the new root on for a moment.
const MOUNT_POINTS: [&str; 6] = ["/tmp", "/dev", "/proc", "/usr", "/sys", "/mnt"];
/// The memory of a root that only has folders in it.
const OPTIONS: &str = "size=4k,nr_inodes=128,mode=0555";
/// The same for an empty one.
const OPTIONS_EMPTY: &str = "size=4k,nr_inodes=1,mode=0555";

/// Where processes are seen.
const PROC: &str = "/proc";

/// Makes the root of this mount namespace one that shows this only, and an empty folder to mount on
/// where there is to be one.
pub(super) fn replace(view: &View<'_>) -> Result<(), String> {
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    text("mount private", mount(none, "/", none, private, none))?;
    let bare = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let (flags, options) =
        if view.is_empty() { (bare | MsFlags::MS_RDONLY, OPTIONS_EMPTY) } else { (bare, OPTIONS) };
    let mut error = "no folder to mount on".to_owned();
    // One that holds nothing which is to be shown.
    let shown = || view.read.iter().chain(view.write);
    let taken =
        |point: &str| shown().any(|v| v.starts_with(point)) || (view.processes && point == PROC);
    let mut free = MOUNT_POINTS.iter().filter(|point| !taken(point));
    let mounted = free.find(|point| {
        match mount(Some("none"), **point, Some("tmpfs"), flags, Some(options)) {
            Ok(()) => true,
            Err(errno) => {
                error = format!("mount tmpfs: {errno}");
                false
            }
        }
    });
    let point = *mounted.ok_or(error)?;
    text("chdir", nix::unistd::chdir(point))?;
    for path in view.read {
        show(path, MsFlags::MS_RDONLY)?;
    }
    for path in view.write {
        show(path, MsFlags::empty())?;
    }
    if view.processes {
        show_processes()?;
    } else if let Some(program) = view.itself {
        show_itself(program)?;
    }
    if let Some(path) = view.empty.and_then(|path| path.strip_prefix("/").ok()) {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if !view.is_empty() {
        let again = bare | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        text("remount", mount(none, ".", none, again, none))?;
    }
    // The old root ends up on top of the new one, and is taken off.
    text("pivot_root", nix::unistd::pivot_root(".", "."))?;
    text("umount", umount2(".", MntFlags::MNT_DETACH))?;
    text("chdir", nix::unistd::chdir("/"))
}

/// Shows a path of the old root at the same place of the new one, which is the current folder.
fn show(path: &Path, also: MsFlags) -> Result<(), String> {
    let at = path.strip_prefix("/").map_err(|error| error.to_string())?;
    let why = |error: std::io::Error| format!("{}: {error}", path.display());
    let kind = fs::metadata(path).map_err(why)?.file_type();
    if kind.is_dir() {
        fs::create_dir_all(at).map_err(why)?;
    } else if !at.exists() {
        at.parent().map_or(Ok(()), fs::create_dir_all).map_err(why)?;
        fs::File::create(at).map_err(why)?;
    }
    let none = None::<&str>;
    let what = format!("bind {}", path.display());
    text(&what, mount(Some(path), at, none, MsFlags::MS_BIND | MsFlags::MS_REC, none))?;
    let mut flags = also | MsFlags::MS_NOSUID;
    if !kind.is_char_device() {
        flags |= MsFlags::MS_NODEV;
    }
    // What a mount forbids already cannot be allowed again.
    let forbidden = statvfs(at).map_or(FsFlags::empty(), |found| found.flags());
    for (held, flag) in
        [(FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC), (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY)]
    {
        if forbidden.contains(held) {
            flags |= flag;
        }
    }
    text(&what, mount(none, at, none, flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none))
}

/// Shows the processes of this namespace, or those of the old root where they may not be mounted.
fn show_processes() -> Result<(), String> {
    let at = Path::new(PROC).strip_prefix("/").map_err(|error| error.to_string())?;
    show(Path::new(PROC), MsFlags::empty())?;
    let bare = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Whatever holds here of processes, other walls keep this one from them too.
    let _stays = mount(Some("proc"), at, Some("proc"), bare, None::<&str>);
    Ok(())
}

/// Where a program looks for its own path: nothing else of its process is there.
fn show_itself(program: &Path) -> Result<(), String> {
    let own = Path::new("proc/self");
    let made = fs::create_dir_all(own).and_then(|()| symlink(program, own.join("exe")));
    made.map_err(|error| format!("{}: {error}", own.display()))
}

fn text<T>(what: &str, outcome: nix::Result<T>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| format!("{what}: {error}"))
}
