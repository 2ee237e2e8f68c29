//! Where a path leads, and whether it may.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

/// Bytes of a path.
const PATH_BYTES_MAX: usize = 4_096;

/// The allowed folders as they are configured.
pub(super) struct Places {
    folders: Vec<PathBuf>,
}

/// A path that exists and may be reached.
#[derive(Debug)]
pub(super) struct Found {
    /// With every link followed.
    pub(super) real: PathBuf,
    /// The allowed folder that it lies in, with every link followed.
    pub(super) root: PathBuf,
    /// As we tell it, and as every tool takes it.
    pub(super) shown: String,
}

impl Places {
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The folders, for people.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.folders.iter().map(|f| f.display().to_string()).collect();
        names.join(", ")
    }

    /// Every allowed folder that exists.
    pub(super) fn roots(&self) -> Result<Vec<Found>, String> {
        let roots: Vec<Found> = self
            .folders
            .iter()
            .filter_map(|folder| folder.canonicalize().ok())
            .map(|real| Found { shown: self.show(&real, &real), root: real.clone(), real })
            .collect();
        if roots.is_empty() {
            return Err(format!("no allowed folder exists: {}", self.names()));
        }
        Ok(roots)
    }

    /// How a path below a root is told: relative where there is one folder, else whole.
    pub(super) fn show(&self, root: &Path, real: &Path) -> String {
        let shown = match self.folders.as_slice() {
            [_only] => real.strip_prefix(root).unwrap_or(real),
            _ => real,
        };
        let text = shown.to_string_lossy().into_owned();
        if text.is_empty() { ".".to_owned() } else { text }
    }

    /// The existing file or folder that a path names.
    pub(super) fn find(&self, path: &str) -> Result<Found, String> {
        let candidates = self.candidates(path)?;
        let roots = self.roots()?;
        let mut first_error = None;
        for candidate in candidates {
            match candidate.canonicalize() {
                Ok(real) => return self.admit(path, real, &roots),
                Err(e) => {
                    first_error.get_or_insert(e);
                }
            }
        }
        Err(first_error.map_or_else(|| self.outside(path), |e| failed(path, &e)))
    }

    fn admit(&self, path: &str, real: PathBuf, roots: &[Found]) -> Result<Found, String> {
        let Some(root) = roots.iter().find(|root| real.starts_with(&root.real)) else {
            return Err(format!("{} (it is reached through a link)", self.outside(path)));
        };
        Ok(Found { shown: self.show(&root.real, &real), root: root.real.clone(), real })
    }

    /// What a path may mean, before any link is followed. Nothing outside is ever touched.
    fn candidates(&self, path: &str) -> Result<Vec<PathBuf>, String> {
        if path.len() > PATH_BYTES_MAX || path.contains('\0') {
            return Err(format!("a path has at most {PATH_BYTES_MAX} bytes and no NUL"));
        }
        let given = Path::new(path);
        if given.components().any(|c| c == Component::ParentDir) {
            return Err(format!("`..` is not taken in a path; give one below {}", self.names()));
        }
        if !given.is_absolute() {
            return Ok(self.folders.iter().map(|folder| folder.join(given)).collect());
        }
        let inside = |folder: &PathBuf| {
            given.starts_with(folder)
                || folder.canonicalize().is_ok_and(|real| given.starts_with(real))
        };
        if self.folders.iter().any(inside) {
            return Ok(vec![given.to_owned()]);
        }
        Err(self.outside(path))
    }

    fn outside(&self, path: &str) -> String {
        format!("{} lies outside the allowed folders: {}", clipped(path), self.names())
    }

    /// Where a new file would be, its folder being there already; folders are made if asked.
    pub(super) fn prepare(&self, path: &str, make_folders: bool) -> Result<Found, String> {
        // Refused before anything is made, whatever part of it exists.
        let _lawful = self.candidates(path)?;
        let given = Path::new(path);
        let Some(Component::Normal(name)) = given.components().next_back() else {
            return Err(format!("{} names no file", clipped(path)));
        };
        let above = given.parent().and_then(Path::to_str).unwrap_or_default();
        let folder = match self.find(above) {
            Ok(folder) => folder,
            Err(_missing) if make_folders => self.make(above)?,
            Err(why) => return Err(format!("{why}; set `make_folders` to create folders")),
        };
        let real = folder.real.join(name);
        Ok(Found { shown: self.show(&folder.root, &real), root: folder.root, real })
    }

    /// Makes the folders of a path, one by one, each below one that was admitted.
    fn make(&self, path: &str) -> Result<Found, String> {
        let missing: Vec<&Path> = Path::new(path).ancestors().collect();
        let mut start = None;
        for (depth, ancestor) in missing.iter().enumerate() {
            if let Ok(found) = self.find(ancestor.to_str().unwrap_or_default()) {
                start = Some((depth, found));
                break;
            }
        }
        let Some((depth, mut found)) = start else { return Err(self.outside(path)) };
        for folder in missing.iter().take(depth).rev() {
            let Some(name) = folder.file_name() else { continue };
            let real = found.real.join(name);
            std::fs::create_dir(&real).map_err(|e| failed(path, &e))?;
            found = Found { shown: self.show(&found.root, &real), root: found.root, real };
        }
        Ok(found)
    }
}

impl Found {
    /// Opens the file and makes sure that what was opened lies where it was looked for, also if
    /// somebody exchanges folders for links meanwhile. Pipes and devices are refused.
    pub(super) fn open(&self, options: &mut OpenOptions) -> Result<File, String> {
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = options
            .custom_flags(flags.bits())
            .open(&self.real)
            .map_err(|e| failed(&self.shown, &e))?;
        let metadata = file.metadata().map_err(|e| failed(&self.shown, &e))?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a folder" } else { "no ordinary file" };
            return Err(format!("{} is {what}", self.shown));
        }
        let opened = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if opened.is_ok_and(|opened| !opened.starts_with(&self.root)) {
            return Err(format!("{} moved while it was opened", self.shown));
        }
        Ok(file)
    }
}

/// What went wrong with a path, in words that tell no more than they must.
pub(super) fn failed(path: &str, error: &io::Error) -> String {
    let path = clipped(path);
    match error.kind() {
        io::ErrorKind::NotFound => format!("{path} does not exist"),
        io::ErrorKind::PermissionDenied => format!("{path}: permission denied"),
        io::ErrorKind::AlreadyExists => {
            format!("{path} exists; use mode overwrite or append")
        }
        io::ErrorKind::NotADirectory => format!("{path}: a part of it is no folder"),
        io::ErrorKind::IsADirectory => format!("{path} is a folder"),
        _ => format!("{path}: {error}"),
    }
}

fn clipped(path: &str) -> String {
    let path = if path.is_empty() { "." } else { path };
    narrows_types::fault::clip(path.to_owned(), 200)
}
