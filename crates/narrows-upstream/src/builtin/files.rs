//! Files under allowed folders. Nothing outside of them is reached: not by `..`, not by an absolute
//! path, not through a symbolic link. Everything is bounded: bytes, entries, depth, time.

mod glob;
mod media;
mod place;
mod reading;
mod walk;
mod writing;

use super::{Outcome, Patience, read, structured};
use jiff::Timestamp;
use place::Places;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::Metadata;
use std::path::PathBuf;

/// The allowed folders.
pub(super) struct Files {
    places: Places,
    write: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stat {
    path: String,
}

/// What a path is.
#[derive(Serialize)]
struct Entry {
    path: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<&'static str>,
}

impl Entry {
    fn new(path: String, metadata: &Metadata) -> Self {
        let kind = metadata.file_type();
        let kind = if kind.is_symlink() {
            "link"
        } else if kind.is_dir() {
            "folder"
        } else if kind.is_file() {
            "file"
        } else {
            "other"
        };
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let modified = modified.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let bytes = metadata.is_file().then_some(metadata.len());
        Self { path, kind, bytes, modified, mime: None }
    }
}

impl Files {
    /// Over these folders; a folder may come into being later.
    pub(super) fn new(folders: Vec<PathBuf>, write: bool) -> Self {
        Self { places: Places::new(folders), write }
    }

    /// Whether files can be written.
    pub(super) fn can_write(&self) -> bool {
        self.write
    }

    /// What a model should know.
    pub(super) fn instructions(&self) -> String {
        format!("Files below {}.", self.places.names())
    }

    /// Calls a tool.
    pub(super) fn call(&self, tool: &str, arguments: &RawValue, patience: &Patience) -> Outcome {
        match tool {
            "list" => walk::list(&self.places, &read(arguments)?, patience),
            "read" => reading::read(&self.places, &read(arguments)?, patience),
            "search" => walk::search(&self.places, &read(arguments)?, patience),
            "stat" => self.stat(&read(arguments)?),
            "write" if self.write => writing::write(&self.places, &read(arguments)?),
            _ => Err("writing is switched off; switch it on with `write = true`".to_owned()),
        }
    }

    fn stat(&self, ask: &Stat) -> Outcome {
        let found = self.places.find(&ask.path)?;
        let metadata = found.real.metadata().map_err(|e| place::failed(&ask.path, &e))?;
        let mut entry = Entry::new(found.shown, &metadata);
        entry.mime = metadata.is_file().then(|| media::by_name(&found.real));
        structured(&entry)
    }
}
