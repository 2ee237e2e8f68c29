//! Where the queue lies: the servers that `cargo xtask test` started, or private ones.

use crate::server::{self, Server};
use std::process::Command;
use tempfile::TempDir;

/// Makes a database `$2` on the server `$1`.
const CREATE: &str = r#"
"$(ls -d /usr/lib/postgresql/*/bin | tail -1)/createdb" --maintenance-db="$1" "$2"
"#;

/// A store of the test's own; what it lies in is gone with this.
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
    _server: Option<Server>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("queue.db").display());
        Self { url, _folder: Some(folder), _server: None }
    }

    pub(crate) fn postgres() -> Self {
        let (server, own) = server::postgres();
        let name = unique();
        let made = Command::new("sh").args(["-c", CREATE, "sh", &server, &name]).status().unwrap();
        assert!(made.success(), "no database could be made on {server}");
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}"), _folder: None, _server: own }
    }

    pub(crate) fn redis() -> Self {
        let (server, own) = server::redis();
        Self { url: format!("{server}?prefix={}", unique()), _folder: None, _server: own }
    }
}

/// A name that no other test has, this one's earlier runs included.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("queue_{}_{}", std::process::id(), now.as_nanos())
}
