//! The files themselves. What they say and allow is what `js/scratch.js` says and allows.

use monty_types::ExcType;
use narrows_types::{Limit, Limits};
use std::collections::{BTreeMap, BTreeSet};

/// Where the files are for whoever writes whole paths.
pub(super) const ROOT: &str = "/scratch";
/// Bytes of a path.
const PATH_BYTES_MAX: usize = 255;
/// Names in a path.
const LEVELS_MAX: usize = 16;
/// Files that are named to who asks for one that is not there.
const NAMED_MAX: usize = 10;

/// Why something does not happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The run is over.
    Limit(Limit),
    /// The program hears of it.
    Raised(ExcType, String),
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

/// A run's files, in this process's memory, which is limited as the program's.
#[derive(Debug)]
pub(super) struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    /// Folders are there as long as something lies in them: with how many files that is.
    folders: BTreeMap<String, u32>,
    /// Folders that the program made, which stay.
    made: BTreeSet<String>,
    used_bytes: u64,
    limits: (u64, u32),
}

/// A path without what may stand before it.
fn short(given: &str) -> &str {
    let below = given.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
    below.or_else(|| given.strip_prefix("./")).unwrap_or(given)
}

/// The path that a program means, if it is one.
pub(super) fn path(given: &str) -> Option<&str> {
    let path = short(given);
    let named = |name: &str| {
        !["", ".", ".."].contains(&name)
            && !name.contains(|c: char| c == '\\' || c.is_ascii_control())
    };
    let good = path.len() <= PATH_BYTES_MAX
        && path.split('/').count() <= LEVELS_MAX
        && path.split('/').all(named);
    good.then_some(path)
}

/// The folders that a path lies in, outermost first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(at, _)| path.get(..at))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

impl Disk {
    pub(super) fn new(limits: &Limits) -> Self {
        let limits = (limits.disk_bytes, limits.files);
        let (files, folders, made) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { files, folders, made, used_bytes: 0, limits }
    }

    /// The path that the program gave a function of this name.
    pub(super) fn path<'g>(name: &str, given: &'g str) -> Result<&'g str, Trouble> {
        path(given).ok_or_else(|| {
            let shown: String = given.chars().take(64).collect();
            let message = format!(
                "{} is no path for scratch.{name}: write one such as notes.txt or out/a.csv, of at \
                 most {PATH_BYTES_MAX} bytes and {LEVELS_MAX} levels, without ..",
                quoted(&shown)
            );
            Trouble::Raised(ExcType::ValueError, message)
        })
    }

    /// What is at a path.
    pub(super) fn kind(&self, path: &str) -> Option<Kind> {
        if self.files.contains_key(path) {
            Some(Kind::File)
        } else if self.folders.contains_key(path) || self.made.contains(path) {
            Some(Kind::Folder)
        } else {
            None
        }
    }

    /// A file that must be there.
    pub(super) fn get(&self, path: &str) -> Result<&[u8], Trouble> {
        if let Some(bytes) = self.files.get(path) {
            return Ok(bytes);
        }
        if self.kind(path).is_some() {
            let list = quoted(&format!("{path}/"));
            let message = format!("{path} is a folder: scratch.list({list}) tells its files");
            return Err(Trouble::Raised(ExcType::IsADirectoryError, message));
        }
        let names: Vec<&str> = self.files.keys().take(NAMED_MAX).map(String::as_str).collect();
        let told = match (names.join(", "), self.files.len().saturating_sub(NAMED_MAX)) {
            (none, 0) if none.is_empty() => "there are none yet".to_owned(),
            (names, 0) => format!("there are {names}"),
            (names, more) => format!("there are {names} and {more} more"),
        };
        Err(Trouble::Raised(ExcType::FileNotFoundError, format!("no file {path}; {told}")))
    }

    /// Writes a file, or after what is in it.
    pub(super) fn put(&mut self, path: &str, data: &[u8], after: bool) -> Result<(), Trouble> {
        let old = self.files.get(path).map(|old| old.len() as u64);
        let mut more = 0;
        if old.is_none() {
            self.room_at(path)?;
            let known = |folder: &&str| self.kind(folder).is_none();
            more = 1 + above(path).filter(known).count();
        }
        let gone = old.filter(|_| !after).unwrap_or(0);
        let total = self.used_bytes.saturating_add(data.len() as u64).saturating_sub(gone);
        self.disk(total, more)?;
        self.used_bytes = total;
        if old.is_none() {
            for folder in above(path) {
                *self.folders.entry(folder.to_owned()).or_default() += 1;
            }
        }
        let file = self.files.entry(path.to_owned()).or_default();
        if !after {
            file.clear();
        }
        file.extend_from_slice(data);
        Ok(())
    }

    /// Whether a new file can be at a path.
    fn room_at(&self, path: &str) -> Result<(), Trouble> {
        if self.kind(path).is_some() {
            let message =
                format!("{path} is a folder: write to a file in it, such as {path}/a.txt");
            return Err(Trouble::Raised(ExcType::IsADirectoryError, message));
        }
        match above(path).find(|folder| self.files.contains_key(*folder)) {
            Some(file) => {
                let message = format!("{file} is a file: nothing can lie in it");
                Err(Trouble::Raised(ExcType::NotADirectoryError, message))
            }
            None => Ok(()),
        }
    }

    /// Whether the run may have so much, and so many more files and folders.
    fn disk(&self, bytes: u64, more: usize) -> Result<(), Trouble> {
        let made = self.made.iter().filter(|folder| !self.folders.contains_key(*folder)).count();
        let entries = self.files.len() + self.folders.len() + made + more;
        let (disk_bytes, files) = self.limits;
        if bytes > disk_bytes {
            Err(Trouble::Limit(Limit::DiskBytes))
        } else if more > 0 && entries as u64 > u64::from(files) {
            Err(Trouble::Limit(Limit::Files))
        } else {
            Ok(())
        }
    }

    /// Makes a folder, and those that it lies in.
    pub(super) fn make_folder(&mut self, path: &str) -> Result<(), Trouble> {
        let new = above(path).chain([path]).filter(|folder| self.kind(folder).is_none());
        let new: Vec<String> = new.map(str::to_owned).collect();
        self.disk(self.used_bytes, new.len())?;
        self.made.extend(new);
        Ok(())
    }

    /// Removes a folder in which nothing lies; whether there was one.
    pub(super) fn remove_folder(&mut self, path: &str) -> bool {
        self.in_folder(path).is_empty() && self.made.remove(path)
    }

    /// Removes a file; gives what was in it.
    pub(super) fn remove(&mut self, path: &str) -> Option<Vec<u8>> {
        let bytes = self.files.remove(path)?;
        self.used_bytes = self.used_bytes.saturating_sub(bytes.len() as u64);
        for folder in above(path) {
            match self.folders.get_mut(folder) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.folders.remove(folder)),
            }
        }
        Some(bytes)
    }

    /// All files whose paths begin so.
    pub(super) fn list(&self, beginning: &str) -> Vec<&str> {
        let beginning = short(beginning);
        let found = self.files.keys().filter(|path| path.starts_with(beginning));
        found.map(String::as_str).collect()
    }

    /// The names in a folder; `""` is the outermost.
    pub(super) fn in_folder(&self, folder: &str) -> BTreeSet<&str> {
        let all = self.files.keys().chain(self.made.iter());
        let below = all.filter_map(|path| match folder {
            "" => Some(path.as_str()),
            folder => path.strip_prefix(folder)?.strip_prefix('/'),
        });
        below.filter_map(|path| path.split('/').next()).collect()
    }

    /// As many bytes as the run may have.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.limits.0
    }

    /// Every file.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.files.iter()
    }
}
