//! What our groups are called, so that what a gateway that was killed left behind is known for what it
//! is: by its process namespace, its process number and when it started.

use super::base::Base;
use super::{end_all, remove};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = "narrows-";
/// After the name of a group that the gateway itself is in.
const GATEWAY: &str = ".gateway";
/// Fields of `/proc/PID/stat` behind the name, from 0: the parent, and when it started.
pub(super) const PARENT: usize = 1;
const STARTED: usize = 19;

/// A gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gateway {
    /// Its process namespace, in which the number means something.
    namespace: u64,
    pid: u32,
    /// In ticks since the machine started.
    started: u64,
}

impl Gateway {
    fn this() -> Self {
        let pid = std::process::id();
        Self { namespace: namespace(), pid, started: stat(pid, STARTED).unwrap_or(0) }
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.strip_suffix(GATEWAY).unwrap_or(name);
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let mut next = || parts.next()?.parse::<u64>().ok();
        let (namespace, pid, started, _count) = (next()?, next()?, next()?, next()?);
        let pid = u32::try_from(pid).ok()?;
        parts.next().is_none().then_some(Self { namespace, pid, started })
    }

    /// Whether it is known to be gone: what cannot be read just now may well be there.
    fn is_gone(self) -> bool {
        self.namespace == namespace()
            && match look(self.pid) {
                Ok(stat) => field(&stat, STARTED) != Some(self.started),
                Err(error) => {
                    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
                }
            }
    }
}

/// The name of the next group of ours.
pub(super) fn own() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Gateway { namespace, pid, started } = Gateway::this();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{namespace}-{pid}-{started}-{next}")
}

/// The name of a group for the gateway itself.
pub(super) fn gateway() -> String {
    let mut name = own();
    let _infallible = name.write_str(GATEWAY);
    name
}

/// Whether a group is one that this gateway made for itself.
pub(super) fn is_own_place(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(GATEWAY) && Gateway::named(name) == Some(Gateway::this())
}

/// Removes what gateways that are gone have left in this group. Whatever is still in there has
/// nobody any more to answer to.
pub(super) fn sweep(around: &Base) {
    for dir in around.dirs() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let gateway = entry.file_name().to_str().and_then(Gateway::named);
            if gateway.is_some_and(Gateway::is_gone) && remove(&entry.path()).is_err() {
                end_all(&entry.path());
                // If that takes a moment, the next one that starts finds it empty.
                drop(remove(&entry.path()));
            }
        }
    }
}

/// A number from what the kernel says of a process. `None`: it is gone, or cannot be read.
pub(super) fn stat<N: FromStr>(pid: u32, of: usize) -> Option<N> {
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
    let link = link.to_string_lossy();
    let number = link.strip_prefix("pid:[").and_then(|rest| rest.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_whose_it_is() {
        let this = Gateway::this();
        assert!(this.namespace > 0 && this.started > 0);
        assert_eq!(Gateway::named(&own()), Some(this));
        assert_eq!(Gateway::named(&gateway()), Some(this));
        assert_ne!(own(), own());
        assert!(!this.is_gone());
        // Another process had the number, or nobody has it.
        assert!(Gateway { started: this.started + 1, ..this }.is_gone());
        assert!(Gateway { pid: u32::MAX, ..this }.is_gone());
        // Elsewhere the number means nothing.
        assert!(!Gateway { pid: u32::MAX, namespace: 1, ..this }.is_gone());
        for other in [
            "narrows",
            "narrows-",
            "narrows-1-2-3",
            "narrows-1-2-3-4-5",
            "docker",
            "narrows-1-2-x-4",
        ] {
            assert_eq!(Gateway::named(other), None, "{other}");
        }
        assert!(is_own_place(&Path::new("/x").join(gateway())));
        assert!(!is_own_place(&Path::new("/x").join(own())));
    }
}
