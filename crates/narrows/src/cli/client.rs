//! `narrows install`.

use super::Desk;
use super::args::InstallArgs;
use super::exit::{Fail, OK};
use crate::clients::install::{Done, install, snippet, start, undo};
use crate::clients::{Client, Reach};
use crate::config::{environment, find_file};
use serde_json::json;
use std::path::PathBuf;

impl Desk {
    pub(super) fn install(&self, args: &InstallArgs) -> Result<u8, Fail> {
        let client = Client::find(&args.client)
            .ok_or_else(|| Fail::usage(format!("unknown client `{}`", args.client)))?;
        let reach = if args.project { Reach::Project } else { Reach::User };
        if args.undo {
            let file = undo(client, reach, &self.env, args.force).map_err(Fail::usage)?;
            let json = json!({"client": client.id, "file": file, "undone": true});
            let shown = environment::short(&file, &self.env);
            self.out.either(&json, || format!("{shown} is as it was before"))?;
            return Ok(OK);
        }
        let start = start(&binary()?, self.config_to_name()?.as_deref());
        if args.print || client.files(&self.env).is_empty() {
            let text = snippet(client, &start);
            self.out.either(&json!({"client": client.id, "text": text}), || text.clone())?;
            if let Some(file) = client.file(reach, &self.env) {
                self.out.note(&format!("goes into {}", environment::short(&file, &self.env)));
            } else {
                self.out.note(&format!("{}: {}", client.name, client.after));
            }
            return Ok(OK);
        }
        let now = now();
        let done = install(client, reach, &start, &self.env, now).map_err(Fail::usage)?;
        let (file, backup) = match &done {
            Done::Written { file, backup } => (file, Some(backup)),
            Done::Unchanged { file } => (file, None),
        };
        let json = json!({"client": client.id, "file": file, "backup": backup, "changed": backup.is_some()});
        self.out.either(&json, || {
            let file = environment::short(file, &self.env);
            match backup {
                None => format!("{file} has the entry already"),
                Some(backup) => format!(
                    "{} is pointed at Narrows in {file}; now {}\nbackup: {} (`narrows install {} --undo` goes back)",
                    client.name,
                    client.after,
                    environment::short(backup, &self.env),
                    client.id,
                ),
            }
        })?;
        Ok(OK)
    }

    /// The config that the client must name: clients start us in any folder, so only the user's own
    /// config is found by itself.
    fn config_to_name(&self) -> Result<Option<PathBuf>, Fail> {
        let file = find_file(&self.env, self.flags.file.as_deref()).map_err(Fail::Usage)?;
        let own = self.env.config_home().join("narrows");
        Ok(file.filter(|f| f.parent() != Some(&own)))
    }
}

fn binary() -> Result<PathBuf, Fail> {
    std::env::current_exe().map_err(|e| Fail::usage(format!("cannot find this binary: {e}")))
}

#[expect(clippy::disallowed_methods, reason = "the name of a backup holds the time")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
