//! From a file, the environment and flags to checked settings.
//!
//! Layers, later ones win: defaults, file, environment (`NARROWS__SECTION__KEY`), flags. Every value
//! keeps its place until it is decoded, so that an error names it.

pub(crate) mod decode;
pub(crate) mod environment;
pub(crate) mod expand;
pub(crate) mod formats;
pub(crate) mod hide;
mod jsonc;
mod launch;
mod layers;
pub(crate) mod problem;
mod ranges;
pub(crate) mod secret;
pub(crate) mod settings;
mod show;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

pub(crate) use environment::Environment;
pub(crate) use jsonc::parse as parse_json;
pub(crate) use launch::{Launch, Upstream, check_name as check_server_name, check_url};
pub(crate) use layers::{NAMES, find_file};
pub(crate) use problem::Problem;
pub(crate) use show::{mask_url, masked, show};

use crate::clients::dialect;
use decode::decode;
use expand::Scope;
use problem::nearest;
use serde::de::DeserializeOwned;
use settings::{
    Cache, Jobs, Key, LimitsSection, Log, Runs, SECTIONS, Sandbox, Serve, Sessions, Store,
    Upstreams,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::{Entry, Kind, Place, Tree};

/// Everything that was set, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The servers, by name.
    pub(crate) servers: Vec<Upstream>,
    pub(crate) limits: LimitsSection,
    pub(crate) serve: Serve,
    /// Who may come in, by name; a key without a secret is left out.
    pub(crate) keys: BTreeMap<String, Key>,
    pub(crate) cache: Cache,
    pub(crate) store: Store,
    pub(crate) runs: Runs,
    pub(crate) sessions: Sessions,
    pub(crate) jobs: Jobs,
    pub(crate) sandbox: Sandbox,
    pub(crate) upstream: Upstreams,
    pub(crate) log: Log,
}

/// What the command line says about the config.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) file: Option<PathBuf>,
    /// Further flags: the key's path, the value, the flag's name.
    pub(crate) set: Vec<(&'static [&'static str], String, &'static str)>,
}

/// A config that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The settings, references replaced.
    pub(crate) settings: Settings,
    /// The same as it was written, with places, references kept.
    pub(crate) written: Tree,
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// What is odd but stops nothing; a server that cannot be set up is switched off and named here.
    pub(crate) warnings: Vec<Problem>,
}

/// Reads the config. Every problem that can be told at once is.
pub(crate) fn load(env: &Environment, flags: &Flags) -> Result<Loaded, Vec<Problem>> {
    let one = |p: Problem| vec![p];
    let mut warnings = Vec::new();
    let file = find_file(env, flags.file.as_deref()).map_err(one)?;
    let mut tree = layers::defaults(env);
    let mut scope = Scope { env, base: env.cwd.clone(), inputs: Vec::new() };
    if let Some(path) = &file {
        let read = read_file(path, env).map_err(one)?;
        scope.inputs = dialect::inputs(&read);
        scope.base = path.parent().map_or_else(|| env.cwd.clone(), |dir| env.cwd.join(dir));
        match dialect::client_file(&read, path) {
            Some(found) => {
                tree.overlay(from_client(found, &read.place, &mut warnings));
                if layers::is_own(path) {
                    tree.overlay(read.without(&dialect::OURS_TOO));
                }
            }
            None => tree.overlay(read),
        }
    }
    layers::environment(&mut tree, env).map_err(one)?;
    layers::flags(&mut tree, &flags.set);
    layers::built_in_servers(&mut tree, env, &mut warnings);
    let settings = settings(&tree, &scope, &mut warnings)?;
    Ok(Loaded { settings, written: tree, file, warnings })
}

/// Takes a text as the config: no file is looked for, and no server is added to those it names.
pub(crate) fn load_text(text: &str, env: &Environment) -> Result<Loaded, Vec<Problem>> {
    let one = |p: Problem| vec![p];
    let mut warnings = Vec::new();
    let mut tree = layers::defaults(env);
    let scope = Scope { env, base: env.cwd.clone(), inputs: Vec::new() };
    tree.overlay(formats::Format::Toml.parse(text, &"the config".into()).map_err(one)?);
    layers::environment(&mut tree, env).map_err(one)?;
    let settings = settings(&tree, &scope, &mut warnings)?;
    Ok(Loaded { settings, written: tree, file: None, warnings })
}

/// Reads and parses one file.
pub(crate) fn read_file(path: &Path, env: &Environment) -> Result<Tree, Problem> {
    let source: Arc<str> = environment::short(path, env).into();
    let text = formats::read(path)?;
    let format = formats::Format::of(path).unwrap_or_else(|| {
        if text.trim_start().starts_with('{') {
            formats::Format::Json
        } else {
            formats::Format::Toml
        }
    });
    let tree = format.parse(&text, &source)?;
    if !tree.is_table() {
        return Err(Problem::new(format!("the config must be a table, not {}", tree.kind))
            .at(&Place::file(&source, 1)));
    }
    Ok(tree)
}

/// A client's file as if it had been ours.
fn from_client(found: Vec<dialect::Found>, place: &Place, warnings: &mut Vec<Problem>) -> Tree {
    let mut servers = Vec::new();
    for one in found {
        match one.entry {
            Ok(entry) => servers.push(Entry::new(one.name, entry)),
            Err(why) => warnings.push(
                Problem::new(format!("server `{}` is left out: {why}", one.name)).at(&one.place),
            ),
        }
    }
    let servers = Tree::new(Kind::Table(servers), place.clone());
    Tree::new(Kind::Table(vec![Entry::new("servers", servers)]), place.clone())
}

fn settings(
    written: &Tree,
    scope: &Scope<'_>,
    warnings: &mut Vec<Problem>,
) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut settings = Settings::default();
    for entry in written.entries() {
        if !SECTIONS.contains(&entry.key.as_str()) {
            problems.push(unknown_section(entry));
        }
    }
    if let Some(servers) = written.get("servers") {
        if servers.is_table() {
            for entry in servers.entries() {
                match launch::server(entry, scope, warnings) {
                    Ok(server) => settings.servers.push(server),
                    Err(found) => problems.extend(found),
                }
            }
        } else {
            let what = format!("`servers` must be a table, not {}", servers.kind);
            problems.push(Problem::new(what).at(&servers.place));
        }
    }
    let mut read = Sections { written, scope, problems: &mut problems };
    settings.limits = read.section("limits");
    settings.serve = read.section("serve");
    settings.keys = read.section("keys");
    settings.cache = read.section("cache");
    settings.store = read.section("store");
    settings.runs = read.section("runs");
    settings.sessions = read.section("sessions");
    settings.jobs = read.section("jobs");
    settings.sandbox = read.section("sandbox");
    settings.upstream = read.section("upstream");
    settings.log = read.section("log");
    ranges::check(&settings, (written, scope.env), &mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn unknown_section(entry: &Entry) -> Problem {
    let hint = match nearest(&entry.key, SECTIONS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the sections are {}", SECTIONS.get(1..).unwrap_or_default().join(", ")),
    };
    Problem::new(format!("unknown section `{}`", entry.key.escape_debug()))
        .at(&entry.place)
        .hint(hint)
}

struct Sections<'a, 'e> {
    written: &'a Tree,
    scope: &'a Scope<'e>,
    problems: &'a mut Vec<Problem>,
}

impl Sections<'_, '_> {
    fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let Some(mut tree) = self.written.get(name).cloned() else { return T::default() };
        let before = self.problems.len();
        self.scope.expand(&mut tree, &mut vec![name.to_owned()], self.problems);
        if self.problems.len() > before {
            return T::default();
        }
        decode(&tree, &[name]).unwrap_or_else(|problem| {
            self.problems.push(problem);
            T::default()
        })
    }
}
