//! Changes to our own config file that leave everything else in it as it is.

use crate::clients::{dialect, put_json, remove_json, write_atomically};
use crate::config::formats::{self, Format};
use crate::config::tree::{Kind, Tree};
use crate::config::{Environment, NAMES, Problem, find_file, read_file};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

/// How a new file begins.
const NEW: &str = "\
# What Narrows connects. `narrows config check` checks this file, `narrows servers` shows what is
# connected, `narrows config schema` prints the schema of everything that can stand here.
#
# Programs reach the files of folders that are named like this:
#
# [servers.files]
# builtin = \"files\"
# folders = [\"/path/to/folder\"]
# write = false

[servers.time]
builtin = \"time\"
";

/// Our config file, about to be changed.
pub(crate) struct OwnFile {
    pub(crate) path: PathBuf,
    text: String,
    format: Format,
    /// What it says now.
    pub(crate) tree: Tree,
}

impl OwnFile {
    /// The file that was named, else the user's (with `project`, that of the current folder); a new
    /// one if there is none.
    pub(crate) fn open(
        env: &Environment,
        flag: Option<&Path>,
        project: bool,
    ) -> Result<Self, Problem> {
        let named = flag.map(|path| env.cwd.join(env.tilde(path)));
        let path = match (named, project) {
            (Some(path), _) => path,
            (None, true) => {
                let names = NAMES.iter().map(|name| env.cwd.join(name));
                names
                    .into_iter()
                    .find(|p| p.is_file())
                    .unwrap_or_else(|| env.cwd.join("narrows.toml"))
            }
            (None, false) if env.var("NARROWS_CONFIG").is_some() => find_file(env, None)?
                .unwrap_or_else(|| env.config_home().join("narrows/narrows.toml")),
            // A file of the current folder may be shared with others: only by its name.
            (None, false) => {
                let folder = env.config_home().join("narrows");
                let found = NAMES.iter().map(|name| folder.join(name)).find(|p| p.is_file());
                found.unwrap_or_else(|| folder.join("narrows.toml"))
            }
        };
        let format = Format::of(&path).unwrap_or(Format::Toml);
        if !path.exists() {
            let text = if format == Format::Toml { NEW } else { "" };
            let tree = Format::Toml.parse(text, &"".into())?;
            return Ok(Self { path, text: text.to_owned(), format, tree });
        }
        let tree = read_file(&path, env)?;
        let shown = path.display();
        if dialect::client_file(&tree, &path).is_some() {
            return Err(Problem::new(format!("{shown} is a client's file")).hint(
                "`narrows import --from FILE` takes its servers over into a file of our own",
            ));
        }
        if format == Format::Yaml {
            return Err(Problem::new(format!("{shown} is YAML, which is read but not edited"))
                .hint("change it by hand, or keep the servers in narrows.toml"));
        }
        Ok(Self { text: formats::read(&path)?, path, format, tree })
    }

    /// The names of its servers, with what they say.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&str, &Tree)> {
        let servers = self.tree.get("servers").map_or(&[][..], Tree::entries);
        servers.iter().map(|e| (e.key.as_str(), &e.value))
    }

    /// Puts a server in, or another in its place.
    pub(crate) fn put(&mut self, name: &str, server: &Tree) -> Result<(), Problem> {
        match self.format {
            Format::Json => {
                self.text = put_json(&self.text, &["servers", name], &server.plain())
                    .map_err(|why| self.unusual(&why))?;
            }
            _ => self.edit_toml(|servers| {
                let mut table = Table::new();
                for entry in server.entries() {
                    table.insert(&entry.key, item(&entry.value, true));
                }
                servers.insert(name, Item::Table(table));
            })?,
        }
        self.reread()
    }

    /// Takes a server out; whether it was there.
    pub(crate) fn remove(&mut self, name: &str) -> Result<bool, Problem> {
        if !self.servers().any(|(known, _)| known == name) {
            return Ok(false);
        }
        match self.format {
            Format::Json => {
                self.text = remove_json(&self.text, &["servers", name])
                    .map_err(|why| self.unusual(&why))?;
            }
            _ => self.edit_toml(|servers| drop(servers.remove(name)))?,
        }
        self.reread()?;
        Ok(true)
    }

    /// Says what agents see.
    pub(crate) fn set_mode(&mut self, mode: &str) -> Result<(), Problem> {
        match self.format {
            Format::Json => {
                self.text = put_json(&self.text, &["serve", "mode"], &mode.into())
                    .map_err(|why| self.unusual(&why))?;
            }
            _ => self.edit_section("serve", |serve| {
                serve.insert("mode", Item::Value(mode.into()));
            })?,
        }
        self.reread()
    }

    fn edit_toml(&mut self, change: impl FnOnce(&mut dyn TableLike)) -> Result<(), Problem> {
        self.edit_section("servers", change)
    }

    fn edit_section(
        &mut self,
        section: &str,
        change: impl FnOnce(&mut dyn TableLike),
    ) -> Result<(), Problem> {
        let mut document: DocumentMut =
            self.text.parse().map_err(|e: toml_edit::TomlError| self.unusual(e.message()))?;
        let mut fresh = Table::new();
        fresh.set_implicit(true);
        let table = document.entry(section).or_insert(Item::Table(fresh));
        let Some(table) = table.as_table_like_mut() else {
            return Err(self.unusual(&format!("`{section}` is no table")));
        };
        change(table);
        self.text = document.to_string();
        Ok(())
    }

    fn unusual(&self, why: &str) -> Problem {
        Problem::new(format!("{} cannot be edited: {why}", self.path.display()))
    }

    fn reread(&mut self) -> Result<(), Problem> {
        let source = self.path.display().to_string().into();
        self.tree = self.format.parse(&self.text, &source)?;
        Ok(())
    }

    /// Writes it, whole or not at all.
    pub(crate) fn save(&self) -> Result<(), Problem> {
        write_atomically(&self.path, &self.text, 0o600)
            .map_err(|e| Problem::new(format!("cannot write {}: {e}", self.path.display())))
    }
}

/// A value as TOML: the tables of a server (`env`, `headers`, `tools`) stand on one line if short.
fn item(tree: &Tree, outer: bool) -> Item {
    match &tree.kind {
        Kind::Table(entries) if outer && entries.len() > 3 => {
            let mut table = Table::new();
            for entry in entries {
                table.insert(&entry.key, item(&entry.value, false));
            }
            Item::Table(table)
        }
        _ => Item::Value(value(tree)),
    }
}

fn value(tree: &Tree) -> Value {
    match &tree.kind {
        Kind::Null => "".into(),
        Kind::Bool(b) => (*b).into(),
        Kind::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => n.into(),
            (None, n) => n.unwrap_or_default().into(),
        },
        Kind::Text(text) => text.as_str().into(),
        Kind::List(items) => items.iter().map(value).collect::<toml_edit::Array>().into(),
        Kind::Table(entries) => entries
            .iter()
            .map(|e| (e.key.as_str(), value(&e.value)))
            .collect::<toml_edit::InlineTable>()
            .into(),
    }
}

#[cfg(test)]
mod tests;
