//! Where the store lies, and that only its owner can read it.

use crate::error::StoreError;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Files that `SQLite` keeps beside the main one.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Where the store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this process only.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let unknown = || StoreError::Url { url: redacted(url) };
        if matches!(url, "memory:" | ":memory:" | "sqlite::memory:" | "sqlite://:memory:") {
            return Ok(Self::Memory);
        }
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
            .ok_or_else(unknown)?;
        if path.is_empty() || path.contains(['?', '\0']) {
            return Err(unknown());
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Makes folder and file if they are missing and takes everybody else's rights away.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        let Self::File(path) = self else { return Ok(()) };
        let failed =
            |e: io::Error| StoreError::Open { place: self.to_string(), why: e.to_string() };
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        // Opened without truncation: an existing store stays as it is.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a plain file")));
        }
        drop(file);
        restrict(path).map_err(failed)?;
        for suffix in COMPANIONS {
            let mut companion = path.clone().into_os_string();
            companion.push(suffix);
            match restrict(Path::new(&companion)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn restrict(path: &Path) -> io::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// The url without what may be a password: of a foreign scheme only the scheme is repeated.
fn redacted(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => format!("{scheme}://..."),
        _ => url.to_owned(),
    }
}
