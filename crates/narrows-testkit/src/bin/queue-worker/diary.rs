//! What the worker did, readable after it was killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Diary(File);

impl Diary {
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        OpenOptions::new().append(true).create(true).open(path).map(Self)
    }

    /// One write to a file opened for appending: lines of several processes do not mix.
    pub(crate) fn note(&mut self, step: &str, job: &str, attempt: u32) -> io::Result<()> {
        let ms =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_millis();
        self.0.write_all(format!("{step} {job} {attempt} {ms}\n").as_bytes())
    }
}
