//! Stores on real servers: those that `cargo xtask test` started, or private ones of this process.

use crate::server::{self, Server};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Redis,
}

impl Kind {
    /// A store that nobody has used; in this folder, if it is a file.
    pub(crate) fn fresh(self, folder: &Path) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("durable_{}_{number}", std::process::id());
        match self {
            Self::Sqlite => format!("sqlite:{}", folder.join("narrows.db").display()),
            Self::Postgres => {
                let (server, _own) = POSTGRES.get_or_init(server::postgres);
                // A process before us may have had our id.
                let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
                let made = Command::new("psql").args([server, "-qc", &sql]).output().unwrap();
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                format!("{server}?options=-c%20search_path%3D{name}")
            }
            Self::Redis => {
                let (server, _own) = REDIS.get_or_init(server::redis);
                format!("{server}?prefix={name}")
            }
        }
    }
}

type Place = OnceLock<(String, Option<Server>)>;
static POSTGRES: Place = OnceLock::new();
static REDIS: Place = OnceLock::new();
