//! `narrows config`.

use super::Desk;
use super::args::ConfigWhat;
use super::exit::{Fail, OK};
use crate::config::settings::File;
use crate::config::tree::{Kind, Tree};
use crate::config::{find_file, load, masked, show};
use serde_json::{Map, Value, json};

impl Desk {
    pub(super) fn config(&self, what: ConfigWhat) -> Result<u8, Fail> {
        match what {
            ConfigWhat::Check => self.check_config()?,
            ConfigWhat::Show => {
                let loaded = self.loaded()?;
                if self.out.json {
                    self.out.value(&hidden(&loaded.written, &mut Vec::new()))?;
                } else {
                    self.out.text(&show(&loaded.written))?;
                }
            }
            ConfigWhat::Path => self.paths()?,
            ConfigWhat::Schema => self.out.text(&schema())?,
        }
        Ok(OK)
    }

    fn check_config(&self) -> Result<(), Fail> {
        let loaded = load(&self.env, &self.flags).map_err(Fail::Config)?;
        let file = loaded.file.as_ref().map(|f| f.display().to_string());
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let servers = loaded.settings.servers.len();
        let on = loaded.settings.servers.iter().filter(|s| s.enabled).count();
        let json = json!({
            "ok": true, "file": file, "servers": servers, "enabled": on, "warnings": warnings,
        });
        for warning in &warnings {
            self.out.warn(warning);
        }
        self.out.either(&json, || {
            let file = file.as_deref().unwrap_or("no config file; built-in servers");
            format!("ok: {file} ({on} of {servers} servers switched on)")
        })
    }

    fn paths(&self) -> Result<(), Fail> {
        let file = find_file(&self.env, self.flags.file.as_deref()).map_err(Fail::Usage)?;
        let user = self.env.config_home().join("narrows/narrows.toml");
        let json = json!({"file": file, "user": user, "data": self.env.data_dir()});
        self.out.either(&json, || {
            let used = file.as_ref().map_or("none".to_owned(), |f| f.display().to_string());
            let (user, data) = (user.display(), self.env.data_dir());
            format!(
                "config in use: {used}\nuser's config: {user}\ndata:          {}",
                data.display()
            )
        })
    }
}

/// The schema of the config file.
pub(crate) fn schema() -> String {
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".to_owned(), "narrows.toml".into());
    let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text + "\n"
}

/// The config without secrets.
fn hidden(tree: &Tree, path: &mut Vec<String>) -> Value {
    let Kind::Table(entries) = &tree.kind else { return masked(tree, path).plain() };
    let mut map = Map::new();
    for entry in entries {
        path.push(entry.key.clone());
        map.insert(entry.key.clone(), hidden(&entry.value, path));
        path.pop();
    }
    Value::Object(map)
}
