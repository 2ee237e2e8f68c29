//! Ends the children of a Narrows that could not: one that was killed itself.
//!
//! The parent-death signal reaches a child only, not what that started (`npx` starts the server
//! that we speak to). So one process beside us is told of every process group. Its input ends when
//! we do, however that comes about, and then it kills the groups that are left.

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
"#;

/// The process beside us. It ends when this is dropped.
pub(super) struct Watch {
    to: ChildStdin,
}

impl Watch {
    /// Starts it; the caller reaps it.
    #[expect(clippy::disallowed_methods, reason = "it is to outlive us by a moment")]
    pub(super) fn start() -> io::Result<(Self, std::process::Child)> {
        use std::os::unix::process::CommandExt as _;
        let mut watch = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
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
    fn groups_end_with_us_but_for_those_that_are_forgotten() {
        let (mut watch, mut process) = Watch::start().unwrap();
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
