//! Going through folders: listing them and searching them. Links are told, never followed.

use super::super::{Outcome, Patience, structured};
use super::Entry;
use super::glob::Glob;
use super::place::{self, Found, Places};
use serde::{Deserialize, Serialize};
use std::fs::{DirEntry, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Folders and files that one call looks at.
const VISITS_MAX: usize = 200_000;
/// Levels of folders.
const DEPTH_MAX: usize = 64;
/// Larger files are not searched.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Bytes that one search reads.
const SEARCH_BYTES_MAX: u64 = 512 << 20;
/// Bytes of a line that a match repeats.
const LINE_BYTES_MAX: usize = 400;
/// Folders that a search does not enter.
const SKIPPED: [&str; 2] = [".git", "node_modules"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    #[serde(default)]
    path: String,
    #[serde(default)]
    depth: Option<usize>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Listed {
    path: String,
    entries: Vec<Entry>,
    truncated: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    path: String,
    #[serde(default)]
    case_sensitive: bool,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Match {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize, Default)]
struct Answer {
    matches: Vec<Match>,
    files_searched: usize,
    files_skipped: usize,
    truncated: bool,
}

/// One step of a walk: the entry and its path relative to the start.
struct Step {
    entry: DirEntry,
    relative: String,
    depth: usize,
}

/// A walk in order of names, folder by folder.
struct Walk<'a> {
    todo: Vec<Step>,
    depth: usize,
    skips: &'static [&'static str],
    visits: usize,
    patience: &'a Patience,
}

impl<'a> Walk<'a> {
    fn new(start: &Path, depth: usize, patience: &'a Patience) -> std::io::Result<Self> {
        let depth = depth.min(DEPTH_MAX);
        let mut walk = Self { todo: Vec::new(), depth, skips: &[], visits: 0, patience };
        walk.enter(start, "", 1)?;
        Ok(walk)
    }

    fn enter(&mut self, folder: &Path, relative: &str, depth: usize) -> std::io::Result<()> {
        let room = VISITS_MAX.saturating_sub(self.visits);
        let mut entries: Vec<DirEntry> = std::fs::read_dir(folder)?.flatten().take(room).collect();
        self.visits += entries.len();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        self.todo.extend(entries.into_iter().map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            Step { entry, relative, depth }
        }));
        Ok(())
    }

    fn full(&self) -> bool {
        self.visits >= VISITS_MAX
    }

    fn step(&mut self) -> Result<Option<Step>, String> {
        self.patience.check()?;
        let Some(step) = self.todo.pop() else { return Ok(None) };
        let name = step.entry.file_name();
        let skipped = self.skips.iter().any(|skip| name == *skip);
        let folder = step.entry.file_type().is_ok_and(|kind| kind.is_dir());
        if folder && !skipped && step.depth < self.depth {
            // A folder that may not be read is still told as an entry.
            let _unreadable = self.enter(&step.entry.path(), &step.relative, step.depth + 1);
        }
        Ok(Some(step))
    }
}

/// Where a walk starts: the path given, or every allowed folder.
fn starts(places: &Places, path: &str) -> Result<Vec<Found>, String> {
    if path.is_empty() || path == "." { places.roots() } else { Ok(vec![places.find(path)?]) }
}

/// Lists a folder.
pub(super) fn list(places: &Places, ask: &List, patience: &Patience) -> Outcome {
    let pattern = ask.pattern.as_deref().map(Glob::new).transpose()?;
    let limit = ask.limit.unwrap_or(1_000).clamp(1, 10_000);
    // A pattern over folders would find nothing on one level.
    let depth = ask.depth.unwrap_or(if pattern.is_some() { DEPTH_MAX } else { 1 }).max(1);
    let mut listed = Listed { path: String::new(), entries: Vec::new(), truncated: false };
    let mut shown = Vec::new();
    'all: for start in starts(places, &ask.path)? {
        let mut walk =
            Walk::new(&start.real, depth, patience).map_err(|e| place::failed(&start.shown, &e))?;
        while let Some(step) = walk.step()? {
            if pattern.as_ref().is_some_and(|p| !p.matches(&step.relative)) {
                continue;
            }
            if listed.entries.len() >= limit {
                listed.truncated = true;
                break 'all;
            }
            // What vanished meanwhile is not listed.
            let Ok(metadata) = step.entry.metadata() else { continue };
            let path = places.show(&start.root, &step.entry.path());
            listed.entries.push(Entry::new(path, &metadata));
        }
        listed.truncated |= walk.full();
        shown.push(start.shown);
    }
    listed.path = shown.join(", ");
    structured(&listed)
}

/// Searches files by content or by name.
pub(super) fn search(places: &Places, ask: &Search, patience: &Patience) -> Outcome {
    let query = ask.query.as_deref().filter(|query| !query.is_empty());
    if query.is_none() && ask.pattern.is_none() {
        return Err("give a `query`, a `pattern` of file names, or both".to_owned());
    }
    let pattern = ask.pattern.as_deref().map(Glob::new).transpose()?;
    let limit = ask.limit.unwrap_or(200).clamp(1, 5_000);
    let needle = query.map(|query| Needle::new(query, ask.case_sensitive));
    let mut hunt = Hunt { places, needle, limit, bytes: 0, found: Answer::default() };
    for start in starts(places, &ask.path)? {
        if start.real.is_file() {
            hunt.file(&start.root, start.real.clone());
            continue;
        }
        let mut walk = Walk::new(&start.real, DEPTH_MAX, patience)
            .map_err(|e| place::failed(&start.shown, &e))?;
        walk.skips = &SKIPPED;
        while let Some(step) = walk.step()? {
            let file = step.entry.file_type().is_ok_and(|kind| kind.is_file());
            if !file || pattern.as_ref().is_some_and(|p| !p.matches(&step.relative)) {
                continue;
            }
            if hunt.file(&start.root, step.entry.path()) {
                return structured(&hunt.found);
            }
        }
        hunt.found.truncated |= walk.full();
    }
    structured(&hunt.found)
}

/// A search under way.
struct Hunt<'a> {
    places: &'a Places,
    needle: Option<Needle>,
    limit: usize,
    bytes: u64,
    found: Answer,
}

impl Hunt<'_> {
    /// Searches one file; true once the search is full.
    fn file(&mut self, root: &Path, real: PathBuf) -> bool {
        let shown = self.places.show(root, &real);
        let Some(needle) = &self.needle else {
            self.found.files_searched += 1;
            return self.push(Match { path: shown, line: None, text: None });
        };
        let found = Found { real, root: root.to_owned(), shown };
        let Some(text) = content(&found) else {
            self.found.files_skipped += 1;
            return false;
        };
        self.found.files_searched += 1;
        self.bytes += text.len() as u64;
        let matches: Vec<Match> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| needle.is_in(line))
            .take(self.limit + 1)
            .map(|(number, line)| Match {
                path: found.shown.clone(),
                line: Some(number + 1),
                text: Some(narrows_types::fault::clip(line.to_owned(), LINE_BYTES_MAX)),
            })
            .collect();
        for found in matches {
            if self.push(found) {
                return true;
            }
        }
        self.found.truncated |= self.bytes >= SEARCH_BYTES_MAX;
        self.bytes >= SEARCH_BYTES_MAX
    }

    fn push(&mut self, found: Match) -> bool {
        if self.found.matches.len() >= self.limit {
            self.found.truncated = true;
            return true;
        }
        self.found.matches.push(found);
        false
    }
}

/// What is looked for.
struct Needle {
    text: String,
    case_sensitive: bool,
}

impl Needle {
    fn new(query: &str, case_sensitive: bool) -> Self {
        let text = if case_sensitive { query.to_owned() } else { query.to_lowercase() };
        Self { text, case_sensitive }
    }

    fn is_in(&self, line: &str) -> bool {
        if self.case_sensitive {
            line.contains(&self.text)
        } else {
            line.to_lowercase().contains(&self.text)
        }
    }
}

/// The text of a file; `None` if it is large, binary or unreadable.
fn content(found: &Found) -> Option<String> {
    let file = found.open(OpenOptions::new().read(true)).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > FILE_BYTES_MAX || bytes.iter().take(8_192).any(|b| *b == 0) {
        return None;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
