//! Ends the children of a Narrows that could not: one that was killed itself.
//!
//! The parent-death signal reaches a child only, not what that started (`npx` starts the server
//! that we speak to). So one process beside us is told of every process group. Its input ends when
//! we do, however that comes about, and then it kills the groups that are left, and what left them.

use nix::unistd::Pid;
use std::io::{self, Write as _};
use std::process::{ChildStdin, Command, Stdio};

/// A shell is everywhere where servers can be started with `npx` or `uvx`. It goes on when the
/// terminal tells everybody to stop: we may take a while to end.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
groups=' '
while read -r what group; do
    case "$what" in
    add) groups="$groups$group " ;;
    forget) case "$groups" in
        *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
        esac ;;
    esac
done
for group in $groups; do kill -9 "-$group"; done
# What left its group still carries the mark; what it starts meanwhile is found the next time.
for again in 1 2 3 4 5; do
    found=$(grep -lszFx -e "$1" /proc/[0-9]*/environ)
    [ -n "$found" ] || break
    for file in $found; do
        process=${file#/proc/}
        kill -9 "${process%/environ}"
    done
done
"#;

/// The name of the variable that marks everything that is started by our children.
pub(super) const MARK: &str = "NARROWS_CHILD_OF";

/// The process beside us. It ends when this is dropped.
pub(super) struct Watch {
    to: ChildStdin,
}

impl Watch {
    /// Starts it; the caller reaps it.
    #[expect(clippy::disallowed_methods, reason = "it is to outlive us by a moment")]
    ///
    /// Whatever has `mark` as the value of [`MARK`] in its environment ends too: a process may leave
    /// its group, but hardly its environment.
    pub(super) fn start(mark: &str) -> io::Result<(Self, std::process::Child)> {
        use std::os::unix::process::CommandExt as _;
        let mut watch = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sh", &format!("{MARK}={mark}")])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let to = watch.stdin.take().ok_or_else(|| io::Error::other("its input is not piped"))?;
        Ok((Self { to }, watch))
    }

    /// A group that is not to outlive us.
    pub(super) fn add(&mut self, group: Pid) -> io::Result<()> {
        writeln!(self.to, "add {group}")
    }

    /// A group that is gone; its number may come to name another one.
    pub(super) fn forget(&mut self, group: Pid) -> io::Result<()> {
        writeln!(self.to, "forget {group}")
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::Pid;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command, Stdio};

    /// A group of two processes: a parent and what it started, which holds its output open.
    #[expect(clippy::disallowed_methods, reason = "a group to watch over")]
    fn group() -> (Child, Pid) {
        let child = Command::new("sh")
            .args(["-c", "sleep 600 & wait"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let id = Pid::from_raw(child.id().try_into().unwrap());
        (child, id)
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "processes to watch over")]
    fn what_left_its_group_ends_too() {
        let mark = format!("a test in process {}", std::process::id());
        let (watch, mut process) = Watch::start(&mark).unwrap();
        let start = |mark: &str| {
            Command::new("setsid")
                .args(["sh", "-c", "sleep 600 & echo; wait"])
                .env(super::MARK, mark)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (mut ours, mut other) = (start(&mark), start("another one"));
        for child in [&mut ours, &mut other] {
            // It says so once it has started what it starts.
            let mut said = [0];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        }
        drop(watch);
        assert_eq!(process.wait().unwrap().code(), Some(0));
        // The output ends when everything that was started is gone.
        assert_eq!(ours.wait_with_output().unwrap().status.signal(), Some(9));
        assert!(other.try_wait().unwrap().is_none());
        killpg(Pid::from_raw(other.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn groups_end_with_us_but_for_those_that_are_forgotten() {
        let (mut watch, mut process) = Watch::start("a test of groups").unwrap();
        let groups: Vec<_> = (0..4).map(|_| group()).collect();
        for (_, id) in &groups {
            watch.add(*id).unwrap();
        }
        for forgotten in [1, 2] {
            watch.forget(groups[forgotten].1).unwrap();
        }
        watch.forget(Pid::from_raw(1)).unwrap();
        drop(watch);
        assert_eq!(process.wait().unwrap().code(), Some(0));
        for (n, (mut child, id)) in groups.into_iter().enumerate() {
            let lives = child.try_wait().unwrap().is_none();
            if [1, 2].contains(&n) {
                assert!(lives, "{n}");
                killpg(id, Signal::SIGKILL).unwrap();
            }
            // The output ends when everything that was started is gone.
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.signal(), Some(9));
        }
    }
}
