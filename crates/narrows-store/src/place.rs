//! Where the store lies, and that only its owner can read it.

use crate::error::StoreError;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Files that `SQLite` keeps beside the main one.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Where the store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this process only.
    Memory,
    /// In a file.
    File(PathBuf),
    /// On a `PostgreSQL` server; the url without its password.
    Server(String),
    /// On a Redis server; the url without its password.
    Redis(String),
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let unknown = || StoreError::Url { url: redacted(url) };
        if matches!(url, "memory:" | ":memory:" | "sqlite::memory:" | "sqlite://:memory:") {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // What the parser says of a wrong one may repeat its password.
            let server = PgConnectOptions::from_str(url).map_err(|_hidden| unknown())?;
            let database = server.get_database().unwrap_or(server.get_username());
            let (host, port) = (server.get_host(), server.get_port());
            return Ok(Self::Server(format!("postgres://{host}:{port}/{database}")));
        }
        if url.starts_with("redis://") || url.starts_with("rediss://") {
            return crate::redis::place(url).map(Self::Redis);
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

    /// Whether other processes may use it at the same time.
    pub(crate) fn shared(&self) -> bool {
        *self != Self::Memory
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

/// What a url names and of which kind that is, without its password: `PostgreSQL at
/// postgres://HOST:PORT/DATABASE`.
pub fn place(url: &str) -> Result<String, StoreError> {
    let place = Place::parse(url)?;
    Ok(match &place {
        Place::Memory => "memory: all is forgotten at the end".to_owned(),
        Place::File(_) => format!("SQLite at {place}"),
        Place::Server(_) => format!("PostgreSQL at {place}"),
        Place::Redis(_) => format!("Redis at {place}"),
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("in memory"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(shown) | Self::Redis(shown) => f.write_str(shown),
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

/// The url without what may be a password: only a path is repeated, of all else the scheme, if it
/// has one.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once(':') else {
        return if url.contains('@') { "...".to_owned() } else { url.to_owned() };
    };
    if matches!(scheme, "sqlite" | "memory" | "") {
        return url.to_owned();
    }
    // The name of a user stands before a colon, too.
    let plain = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !plain || !rest.starts_with('/') {
        return "...".to_owned();
    }
    let slashes = if rest.starts_with("//") { "//" } else { "/" };
    format!("{scheme}:{slashes}...")
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn no_url_is_repeated_with_its_password() {
        for (url, shown) in [
            ("sqlite:/var/lib/narrows.db", "sqlite:/var/lib/narrows.db"),
            ("sqlite://narrows.db", "sqlite://narrows.db"),
            (":memory:", ":memory:"),
            ("narrows.db", "narrows.db"),
            ("mysql://ann:hunter2@db/x", "mysql://..."),
            ("amqp:/ann:hunter2@db", "amqp:/..."),
            ("postgres:ann:hunter2@db/x", "..."),
            ("ann:hunter2@db/x", "..."),
            ("ann:/hunter2@db/x", "ann:/..."),
            ("ann@hunter2:5432://db", "..."),
            ("hunter2@db", "..."),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
