//! Backups beside the files that we change, and changes that are whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What stands between a file's name and the time in a backup's name.
const MARK: &str = ".narrows-backup-";
/// The backup of a file that did not exist.
const ABSENT: &str = ".absent";

/// The state of a file before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) path: PathBuf,
    /// There was no file.
    pub(crate) absent: bool,
}

/// Keeps the state of `file` beside it.
pub(crate) fn keep(file: &Path, text: Option<&str>, now: SystemTime) -> io::Result<Backup> {
    let file = real(file);
    let stamp = stamp(now);
    let ending = if text.is_none() { ABSENT } else { "" };
    // Two changes within a second get two backups.
    for again in 0..100 {
        let again = if again == 0 { String::new() } else { format!("-{again}") };
        let path = sibling(&file, &format!("{MARK}{stamp}{again}{ending}"));
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut out) => {
                if let Ok(old) = fs::metadata(&file) {
                    out.set_permissions(old.permissions())?;
                }
                out.write_all(text.unwrap_or_default().as_bytes())?;
                return Ok(Backup { path, absent: text.is_none() });
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("too many backups in one second"))
}

/// The newest backup of `file`.
pub(crate) fn newest(file: &Path) -> Option<Backup> {
    let file = real(file);
    let name = format!("{}{MARK}", file.file_name()?.to_str()?);
    let folder = file.parent()?;
    let entries = fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let newest = names.filter(|n| n.starts_with(&name)).max()?;
    let absent = newest.ends_with(ABSENT);
    Some(Backup { path: folder.join(newest), absent })
}

/// Puts the file back as it was and removes the backup.
pub(crate) fn restore(file: &Path, backup: &Backup) -> io::Result<()> {
    if backup.absent {
        fs::remove_file(real(file))?;
        return fs::remove_file(&backup.path);
    }
    fs::rename(&backup.path, real(file))
}

/// Writes the whole file or leaves it as it was. Links are followed, permissions kept.
pub(crate) fn write_atomically(file: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = real(file);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = sibling(&file, &format!(".narrows-new-{}", std::process::id()));
    let write = || {
        let mut out =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        let mode = fs::metadata(&file).map_or(mode, |old| old.permissions().mode() & 0o7777);
        out.set_permissions(fs::Permissions::from_mode(mode))?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, &file)
    };
    write().inspect_err(|_| drop(fs::remove_file(&new)))
}

/// The file behind links.
fn real(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_not_there| file.to_owned())
}

fn sibling(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    file.with_file_name(name)
}

/// `20261121T061433Z`.
fn stamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date by the method of 400-year eras that begin in March.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}
