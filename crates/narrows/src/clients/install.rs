//! Our entry in a client's config: shown, written with a backup, taken back.

use super::edit::{self, Start};
use super::{Client, Reach, backup};
use crate::config::formats::{self, Format};
use crate::config::{Environment, environment};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The entry stands in the file now; the backup holds the file as it was.
    Written { file: PathBuf, backup: PathBuf },
    /// It stood there already.
    Unchanged { file: PathBuf },
}

/// The entry with what surrounds it, for somebody to paste.
pub(crate) fn snippet(client: &Client, start: &Start) -> String {
    let entry = edit::entry(client.dialect, start);
    let container = client.dialect.container();
    match client.format() {
        Format::Json => {
            let own = Value::Object(Map::from_iter([(edit::NAME.to_owned(), entry)]));
            let whole = container.iter().rev().fold(own, |inner, key| json!({ *key: inner }));
            format!("{whole:#}\n")
        }
        format => edit::put("", client.dialect, format, start).unwrap_or_default(),
    }
}

/// Writes our entry. Fails with the reason; the file is as it was then.
pub(crate) fn install(
    client: &Client,
    reach: Reach,
    start: &Start,
    env: &Environment,
    now: SystemTime,
) -> Result<Done, String> {
    let file = file(client, reach, env)?;
    let old =
        if file.exists() { Some(formats::read(&file).map_err(|p| p.to_string())?) } else { None };
    let shown = environment::short(&file, env);
    let text = old.as_deref().unwrap_or_default();
    let new = edit::put(text, client.dialect, client.format(), start)
        .map_err(|why| format!("{shown} was not changed: {why}"))?;
    if old.as_deref() == Some(new.as_str()) {
        return Ok(Done::Unchanged { file });
    }
    let failed = |e: std::io::Error| format!("cannot write {shown}: {e}");
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let backup = backup::keep(&file, old.as_deref(), now).map_err(failed)?;
    backup::write_atomically(&file, &new, 0o600).map_err(failed)?;
    Ok(Done::Written { file, backup: backup.path })
}

/// Puts the file back as it was before the newest `install`. Refuses if it has changed since,
/// unless forced.
pub(crate) fn undo(
    client: &Client,
    reach: Reach,
    env: &Environment,
    force: bool,
) -> Result<PathBuf, String> {
    let file = file(client, reach, env)?;
    let shown = environment::short(&file, env);
    let backup = backup::newest(&file)
        .ok_or_else(|| format!("there is no backup of {shown} to go back to"))?;
    let now = formats::read(&file).map_err(|p| p.to_string())?;
    let before = if backup.absent {
        String::new()
    } else {
        formats::read(&backup.path).map_err(|p| p.to_string())?
    };
    if !force && !only_ours(&before, &now, client) {
        return Err(format!(
            "{shown} has changed since; --force puts it back to {} all the same",
            environment::short(&backup.path, env)
        ));
    }
    backup::restore(&file, &backup).map_err(|e| format!("cannot restore {shown}: {e}"))?;
    Ok(file)
}

/// Whether our entry is all that distinguishes the two texts.
fn only_ours(before: &str, now: &str, client: &Client) -> bool {
    edit::started(now, client.dialect, client.format()).is_some_and(|start| {
        edit::put(before, client.dialect, client.format(), &start).is_ok_and(|new| new == now)
    })
}

fn file(client: &Client, reach: Reach, env: &Environment) -> Result<PathBuf, String> {
    client.file(reach, env).ok_or_else(|| match reach {
        Reach::User => format!("{} keeps no file that can be written; use --print", client.name),
        Reach::Project => format!("{} knows no file of a project", client.name),
    })
}

/// How a client is to start the binary that runs now.
pub(crate) fn start(binary: &Path, config: Option<&Path>) -> Start {
    let mut args = Vec::new();
    if let Some(config) = config {
        args.extend(["--config".to_owned(), config.display().to_string()]);
    }
    args.push("serve".to_owned());
    Start { command: binary.display().to_string(), args }
}
