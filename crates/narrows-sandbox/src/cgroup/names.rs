//! What our groups are called, so that what a gateway that was killed left behind is known for what it
//! is: by its process namespace, its process number and when it started.

use super::base::Base;
use super::{end_all, remove};
use crate::gateway::Gateway;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const PREFIX: &str = "narrows-";
/// After the name of a group that the gateway itself is in.
const GATEWAY: &str = ".gateway";

/// Whose a group of this name is, if it is a gateway's.
fn named(name: &str) -> Option<Gateway> {
    let name = name.strip_suffix(GATEWAY).unwrap_or(name);
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let mut next = || parts.next()?.parse::<u64>().ok();
    let (namespace, pid, started, _count) = (next()?, next()?, next()?, next()?);
    let pid = u32::try_from(pid).ok()?;
    parts.next().is_none().then_some(Gateway { namespace, pid, started })
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
    name.ends_with(GATEWAY) && named(name) == Some(Gateway::this())
}

/// Removes what gateways that are gone have left in this group. Whatever is still in there has
/// nobody any more to answer to.
pub(super) fn sweep(around: &Base) {
    for dir in around.dirs() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let gateway = entry.file_name().to_str().and_then(named);
            if gateway.is_some_and(Gateway::is_gone) && remove(&entry.path()).is_err() {
                end_all(&entry.path());
                // If that takes a moment, the next one that starts finds it empty.
                drop(remove(&entry.path()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_tells_whose_it_is() {
        let this = Gateway::this();
        assert_eq!(named(&own()), Some(this));
        assert_eq!(named(&gateway()), Some(this));
        assert_ne!(own(), own());
        for other in [
            "narrows",
            "narrows-",
            "narrows-1-2-3",
            "narrows-1-2-3-4-5",
            "docker",
            "narrows-1-2-x-4",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
        assert!(is_own_place(&Path::new("/x").join(gateway())));
        assert!(!is_own_place(&Path::new("/x").join(own())));
    }
}
