//! Whose something is that outlives its gateway, and whether that gateway is gone: what one that was
//! killed left behind is for the next one to clear away, and what a living one has is not.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::str::FromStr;

/// Fields of `/proc/PID/stat` behind the name, from 0: the parent, and when it started.
pub(crate) const PARENT: usize = 1;
const STARTED: usize = 19;

/// A gateway, so that no later process is taken for it. As text it is `pid:[NAMESPACE] PID STARTED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// Its process namespace, in which the number means something; 0: nobody knows.
    pub(crate) namespace: u64,
    pub(crate) pid: u32,
    /// In ticks since the machine started; 0: nobody knows.
    pub(crate) started: u64,
}

impl Gateway {
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self { namespace: namespace(), pid, started: stat(pid, STARTED).unwrap_or(0) }
    }

    /// Whether its number means something here.
    pub(crate) fn is_near(self) -> bool {
        self.namespace > 0 && self.namespace == namespace()
    }

    /// Whether it is known to be gone: what cannot be read just now may well be there.
    pub(crate) fn is_gone(self) -> bool {
        self.is_near() && self.is_gone_by(look(self.pid))
    }

    fn is_gone_by(self, stat: io::Result<String>) -> bool {
        match stat {
            Ok(stat) => {
                let started = field(&stat, STARTED);
                self.started > 0 && started.is_some_and(|started: u64| started != self.started)
            }
            Err(error) => is_missing(&error) && !is_there(self.pid),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid:[{}] {} {}", self.namespace, self.pid, self.started)
    }
}

impl FromStr for Gateway {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(());
        let (space, pid, started) = (next()?, next()?, next()?);
        let namespace = numbered(space).ok_or(())?;
        let (pid, started) = (pid.parse(), started.parse());
        let (Ok(pid), Ok(started), None) = (pid, started, words.next()) else { return Err(()) };
        Ok(Self { namespace, pid, started })
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Asks the kernel itself: `/proc` may hide what is another user's (`hidepid`).
fn is_there(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// A number from what the kernel says of a process. `None`: it is gone, or cannot be read.
pub(crate) fn stat<N: FromStr>(pid: u32, of: usize) -> Option<N> {
    field(&look(pid).ok()?, of)
}

fn look(pid: u32) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/stat"))
}

fn field<N: FromStr>(stat: &str, of: usize) -> Option<N> {
    // The name in front may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(of)?.parse().ok()
}

fn namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    numbered(&link.to_string_lossy()).unwrap_or(0)
}

/// The number of a namespace from what the kernel calls it.
fn numbered(name: &str) -> Option<u64> {
    name.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_only_where_that_is_known() {
        let this = Gateway::this();
        assert!(this.namespace > 0 && this.started > 0);
        assert!(this.is_near() && !this.is_gone());
        // Another process had the number, or nobody has it.
        assert!(Gateway { started: this.started + 1, ..this }.is_gone());
        assert!(Gateway { pid: u32::MAX, ..this }.is_gone());
        // Elsewhere, or nobody knows where, the number means nothing.
        for namespace in [0, 1] {
            assert!(!Gateway { pid: u32::MAX, namespace, ..this }.is_gone());
        }
        assert!(!Gateway { started: 0, ..this }.is_gone(), "nobody knows when it started");
        let nobody = Gateway { pid: u32::MAX, ..this };
        for (errno, gone) in [
            (libc::ENOENT, true),
            (libc::ESRCH, true),
            (libc::EMFILE, false),
            (libc::EACCES, false),
        ] {
            let unread = || Err(io::Error::from_raw_os_error(errno));
            assert_eq!(nobody.is_gone_by(unread()), gone, "errno {errno}");
            assert!(!this.is_gone_by(unread()), "hidden, and there: errno {errno}");
        }
        assert!(!this.is_gone_by(Ok("nothing that we know".to_owned())));
    }

    #[test]
    fn it_reads_what_it_says() {
        let this = Gateway::this();
        assert_eq!(this.to_string().parse(), Ok(this));
        let said = Gateway { namespace: 7, pid: 8, started: 9 };
        assert_eq!("pid:[7] 8 9".parse(), Ok(said));
        for other in ["", "7 8 9", "pid:[7] 8", "pid:[7] 8 9 1", "pid:[7] x 9", "mnt:[7] 8 9"] {
            assert_eq!(other.parse::<Gateway>(), Err(()), "{other}");
        }
    }
}
