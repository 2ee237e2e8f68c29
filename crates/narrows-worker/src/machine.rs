//! Becomes a hypervisor, behind walls of its own: whoever breaks out of a virtual machine is in a
//! process that sees no network, no other process and next to no files.

use crate::jail::walls::{self, View};
use crate::jail::{Report, filter, process};
use crate::zygote::enter_pid_namespace;
use narrows_types::control::EXIT_UNSEALED;
use narrows_types::guest::{FAILED, STARTS, WALL};
use narrows_types::{Layer, LayerState};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Uid;
use std::ffi::{CString, NulError};
use std::io::{self, Write};
use std::path::PathBuf;

/// A hypervisor has a thread for each of its duties, a handful.
const THREADS_MAX: u64 = 64;
/// Of a user that others use too: the limit is not a process's own.
const SHARED_THREADS_MAX: u64 = 4_096;
const FILES_MAX: u64 = 64;
/// Address space beside the guest's memory: code, stacks, what the emulator translates into.
const ADDRESS_BYTES: u64 = 8 << 30;

/// What the command line wants. The orders end with two dashes; the program and its arguments follow.
#[derive(Debug, Default, PartialEq, Eq)]
struct Orders {
    /// Paths that it reads and executes.
    show: Vec<PathBuf>,
    /// Devices that it opens, and the folder that it works in.
    open: Vec<PathBuf>,
    /// Where it starts.
    folder: Option<PathBuf>,
    /// Whom root becomes. `None`: the program becomes somebody itself, and raises walls of its own
    /// that cannot be raised behind these.
    user: Option<(u32, u32)>,
    /// The guest's memory.
    memory_bytes: u64,
    /// The largest file that it may write.
    file_bytes: u64,
    program: Vec<CString>,
}

/// Starts it. Returns only by ending the process, once it has said why.
pub(crate) fn enter(args: &[String]) -> ! {
    let why = match Orders::read(args) {
        Some(orders) => orders.carry_out().err().unwrap_or_default(),
        None => "its orders cannot be read".to_owned(),
    };
    drop(writeln!(io::stdout(), "{FAILED} the hypervisor does not start: {why}"));
    process::exit(EXIT_UNSEALED)
}

impl Orders {
    fn read(args: &[String]) -> Option<Self> {
        let end = args.iter().position(|word| word == "--")?;
        let (orders, program) = (args.get(..end)?, args.get(end + 1..)?);
        let mut all = Self::default();
        let (pairs, rest) = orders.as_chunks::<2>();
        for [name, value] in pairs {
            match name.as_str() {
                "--show" => all.show.push(value.into()),
                "--open" => all.open.push(value.into()),
                "--folder" => all.folder = Some(value.into()),
                "--user" => {
                    let (uid, gid) = value.split_once(':')?;
                    all.user = Some((uid.parse().ok()?, gid.parse().ok()?));
                }
                "--memory-bytes" => all.memory_bytes = value.parse().ok()?,
                "--file-bytes" => all.file_bytes = value.parse().ok()?,
                _ => return None,
            }
        }
        let words: Result<_, NulError> = program.iter().map(|word| CString::new(&**word)).collect();
        all.program = words.ok()?;
        (rest.is_empty() && !all.program.is_empty()).then_some(all)
    }

    /// Raises the walls, tells which hold, and becomes the program.
    fn carry_out(&self) -> Result<(), String> {
        walls::die_with_parent()?;
        let mut report = Report::default();
        match self.user {
            Some(user) => self.wall_in(&mut report, user)?,
            None => self.wall_off(&mut report)?,
        }
        if let Some(folder) = &self.folder {
            std::env::set_current_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        tell(&report.states()).map_err(|error| format!("console: {error}"))?;
        let program = self.program.first().ok_or("nothing to start")?;
        let nothing: [&CString; 0] = [];
        let Err(error) = nix::unistd::execve(program, &self.program, &nothing);
        Err(format!("{}: {error}", program.to_string_lossy()))
    }

    /// Every wall that can be had.
    fn wall_in(&self, report: &mut Report, user: (u32, u32)) -> Result<(), String> {
        let view = View { read: &self.show, write: &self.open, processes: true, ..View::default() };
        let alone = Uid::effective().is_root() && user.0 != walls::NOBODY;
        walls::gain_rights(report);
        walls::cut_off(report);
        // Only behind the fork can the new namespace's processes be shown instead of all.
        if walls::part_processes(report) {
            enter_pid_namespace()?;
        }
        walls::close_in(report, &view, user);
        report
            .note(Layer::Rlimits, self.limit(if alone { THREADS_MAX } else { SHARED_THREADS_MAX }));
        walls::give_up_but(report, &view);
        let filtered = filter::hypervisor().and_then(|filter| filter::apply(&filter));
        report.note(Layer::Seccomp, filtered);
        Ok(())
    }

    /// What leaves the program the rights to raise walls itself.
    fn wall_off(&self, report: &mut Report) -> Result<(), String> {
        walls::cut_off(report);
        if walls::part_processes(report) {
            enter_pid_namespace()?;
            // Such a program changes its user, which takes the promise to die with the parent away:
            // its parent is the namespace's first process, without which nobody lives there.
            enter_pid_namespace()?;
        }
        report.note(Layer::Rlimits, self.limit(SHARED_THREADS_MAX));
        Ok(())
    }

    fn limit(&self, threads: u64) -> Result<(), String> {
        for (resource, to) in [
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_MEMLOCK, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            (Resource::RLIMIT_NPROC, threads),
            (Resource::RLIMIT_NOFILE, FILES_MAX),
            (Resource::RLIMIT_FSIZE, self.file_bytes),
            (Resource::RLIMIT_AS, self.memory_bytes.saturating_add(ADDRESS_BYTES)),
        ] {
            setrlimit(resource, to, to).map_err(|error| format!("rlimit: {error}"))?;
        }
        Ok(())
    }
}

/// One line for each wall, and one after the last.
fn tell(walls: &[LayerState]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for state in walls {
        let why = if state.reached { "" } else { state.why.as_str() };
        writeln!(out, "{WALL} {} {why}", state.layer)?;
    }
    writeln!(out, "{STARTS}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Orders> {
        Orders::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn orders_end_where_the_program_begins() {
        let orders = read(
            "--show /usr --show /lib --open /dev/kvm --folder /x --user 7:8 --memory-bytes 9 \
             --file-bytes 10 -- /usr/bin/qemu --show /etc",
        );
        assert_eq!(
            orders,
            Some(Orders {
                show: vec!["/usr".into(), "/lib".into()],
                open: vec!["/dev/kvm".into()],
                folder: Some("/x".into()),
                user: Some((7, 8)),
                memory_bytes: 9,
                file_bytes: 10,
                program: vec![c"/usr/bin/qemu".into(), c"--show".into(), c"/etc".into()],
            })
        );
        for wrong in ["", "--", "--show -- /x", "--user 7 -- /x", "--hide /x -- /x", "/x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
