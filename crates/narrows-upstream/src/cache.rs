//! Listings that outlive us: a restart knows every tool without starting a server.
//!
//! One file for each thing that is launched, named by a hash of it, so that a changed command, URL
//! or variable is another thing. A file that cannot be read is no file.

use crate::config::Launch;
use crate::listing::Offer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Changes when the form of the files does.
const VERSION: u32 = 3;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where listings are kept.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

#[derive(Serialize)]
struct Kept<'a> {
    version: u32,
    offer: &'a Offer,
}

#[derive(Deserialize)]
struct Found {
    version: u32,
    offer: Offer,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What was kept of this launch.
    pub(crate) fn load(&self, launch: &Launch) -> Option<Offer> {
        let path = self.path(launch);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?,
            Err(_absent) => return None,
        };
        match serde_json::from_slice::<Found>(&bytes) {
            Ok(found) if found.version == VERSION => Some(found.offer),
            Ok(found) => {
                tracing::debug!("{} has version {}", path.display(), found.version);
                None
            }
            Err(e) => {
                tracing::warn!("{} is broken and is ignored: {e}", path.display());
                None
            }
        }
    }

    /// Keeps what this launch offers. Readers see the old file or the new one, never a part.
    pub(crate) fn store(&self, launch: &Launch, offer: &Offer) -> io::Result<()> {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let bytes = serde_json::to_vec(&Kept { version: VERSION, offer })?;
        let path = self.path(launch);
        if fs::read(&path).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let number = WRITES.fetch_add(1, Ordering::Relaxed);
        let part = self.folder.join(format!(".{}-{number}.part", std::process::id()));
        let written = write(&part, &bytes).and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            // The first error is the one to tell.
            let _gone = fs::remove_file(&part);
        }
        written
    }

    fn path(&self, launch: &Launch) -> PathBuf {
        self.folder.join(format!("{}.json", key(launch)))
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// A name for what is launched. Values of variables and headers go in as one hash only.
fn key(launch: &Launch) -> String {
    let mut hash = Sha256::new();
    let mut take = |part: &str| {
        // The length keeps `ab`, `c` apart from `a`, `bc`.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    };
    take(launch.transport());
    match launch {
        Launch::Stdio { command, args, env, cwd } => {
            take(command);
            for arg in args {
                take(arg);
            }
            take(&cwd.as_ref().map(|cwd| cwd.to_string_lossy().into_owned()).unwrap_or_default());
            for (name, value) in env {
                take(name);
                take(value);
            }
        }
        Launch::Http { url, headers, .. } => {
            take(url);
            for (name, value) in headers {
                take(name);
                take(value);
            }
        }
        Launch::Builtin(_) => {}
    }
    let digest = hash.finalize();
    let half = digest.first_chunk::<16>().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(half))
}

#[cfg(test)]
mod tests {
    use super::{Cache, key};
    use crate::config::Launch;
    use crate::listing::Offer;
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn launch(args: &[&str], secret: &str) -> Launch {
        Launch::Stdio {
            command: "npx".to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: BTreeMap::from([("TOKEN".to_owned(), secret.to_owned())]),
            cwd: None,
        }
    }

    fn offer() -> Offer {
        serde_json::from_value(serde_json::json!({"revision": "2025-11-25", "version": "1",
            "instructions": null, "skipped": [], "tools": [{"name": "a", "inputSchema": {}}]}))
        .unwrap()
    }

    #[test]
    fn what_is_kept_is_found_again_by_the_same_launch_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("deep/er"));
        let one = launch(&["ab", "c"], "s3cr3t");
        assert!(cache.load(&one).is_none());
        cache.store(&one, &offer()).unwrap();
        assert_eq!(cache.load(&one).unwrap().tools[0].name, "a");
        for other in [launch(&["a", "bc"], "s3cr3t"), launch(&["ab", "c"], "other")] {
            assert!(cache.load(&other).is_none());
        }
        let path = cache.path(&one);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("s3cr3t"), "{text}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no parts are left");
        assert_eq!(key(&one).len(), 32);
    }

    #[test]
    fn a_broken_or_foreign_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned());
        let one = launch(&[], "");
        for text in ["{", "[]", "", r#"{"version":99,"offer":{}}"#] {
            fs::write(cache.path(&one), text).unwrap();
            assert!(cache.load(&one).is_none(), "{text}");
        }
        cache.store(&one, &offer()).unwrap();
        assert!(cache.load(&one).is_some());
    }
}
