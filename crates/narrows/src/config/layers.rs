//! The layers under and over the config file.

use super::environment::Environment;
use super::expand::variable_name;
use super::problem::Problem;
use super::settings::{
    Cache, Jobs, LimitsSection, Log, Runs, Sandbox, Serve, Sessions, Store, Upstreams,
};
use super::tree::{Kind, Place, Tree};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What begins the name of every variable that is a setting.
const PREFIX: &str = "NARROWS__";
/// The config file's names, the first one that exists counts.
pub(crate) const NAMES: [&str; 4] = ["narrows.toml", "narrows.json", "narrows.yaml", "narrows.yml"];

/// The file that counts: `--config`, else `$NARROWS_CONFIG`, else in the current folder, else in the
/// user's config folder. Fails if a file that was named does not exist.
pub(crate) fn find_file(
    env: &Environment,
    flag: Option<&Path>,
) -> Result<Option<PathBuf>, Problem> {
    let named = match flag {
        Some(path) => Some((path.to_owned(), "--config")),
        None => env.var("NARROWS_CONFIG").map(|path| (PathBuf::from(path), "NARROWS_CONFIG")),
    };
    if let Some((path, by)) = named {
        let full = env.cwd.join(env.tilde(&path));
        return if full.is_file() {
            Ok(Some(full))
        } else {
            Err(Problem::new(format!("there is no file {} (named by {by})", path.display())))
        };
    }
    let folders = [env.cwd.clone(), env.config_home().join("narrows")];
    let candidates = folders.iter().flat_map(|dir| NAMES.iter().map(move |name| dir.join(name)));
    Ok(candidates.into_iter().find(|path| path.is_file()))
}

/// Whether a file has our name, whatever form its servers have.
pub(super) fn is_own(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| NAMES.contains(&name))
}

/// What holds where nothing is said.
pub(super) fn defaults(env: &Environment) -> Tree {
    // A url may hold a password, so the section leaves its own out where it is written.
    let url = format!("sqlite:{}", env.data_dir().join("narrows.db").display());
    let mut all = json!({
        "limits": LimitsSection::default(),
        "serve": Serve::default(),
        "cache": Cache::default(),
        "store": {"url": url},
        "runs": Runs::default(),
        "sessions": Sessions::default(),
        "jobs": Jobs::default(),
        "sandbox": Sandbox::default(),
        "upstream": Upstreams::default(),
        "log": Log::default(),
    });
    if let (Some(store), Value::Object(rest)) =
        (all.get_mut("store").and_then(Value::as_object_mut), json!(Store::default()))
    {
        store.extend(rest);
    }
    Tree::of(all, &Place::whole("default"))
}

/// Lays the `NARROWS__...` variables over the tree.
pub(super) fn environment(tree: &mut Tree, env: &Environment) -> Result<(), Problem> {
    for (name, value) in env.vars().filter(|(name, _)| name.starts_with(PREFIX)) {
        let place = Place::text(name);
        let segments: Vec<&str> =
            name.strip_prefix(PREFIX).unwrap_or_default().split("__").collect();
        if segments.iter().any(|s| s.is_empty()) {
            return Err(Problem::new(format!("the environment variable {name} names no key"))
                .hint("the form is NARROWS__SECTION__KEY, such as NARROWS__LOG__LEVEL"));
        }
        let path = path_of(&segments, tree);
        match serde_json::from_str::<Value>(value) {
            Ok(table @ Value::Object(_)) => {
                let mut over = Tree::new(Kind::Table(Vec::new()), place.clone());
                over.set(&path, Tree::of(table, &place));
                tree.overlay(over);
            }
            _ => tree.set(&path, Tree::text(value, &place)),
        }
    }
    Ok(())
}

/// `SERVERS__MY_GIT__ENV__TOKEN` as keys: a server is found by its name in capitals, names of
/// variables keep their capitals, everything else is lower case.
fn path_of(segments: &[&str], tree: &Tree) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for (depth, segment) in segments.iter().enumerate() {
        let under_servers = path.first().is_some_and(|first| first == "servers");
        let key = match (depth, path.get(2).map(String::as_str)) {
            (1, _) if under_servers => server_name(segment, tree),
            (3, Some("env")) if under_servers => (*segment).to_owned(),
            (3, Some("headers")) if under_servers => segment.to_lowercase().replace('_', "-"),
            _ => segment.to_lowercase(),
        };
        path.push(key);
    }
    path
}

fn server_name(segment: &str, tree: &Tree) -> String {
    let servers = tree.get("servers").map_or(&[][..], Tree::entries);
    let known = servers.iter().find(|e| variable_name(&e.key) == variable_name(segment));
    known.map_or_else(|| segment.to_lowercase(), |e| e.key.clone())
}

/// Lays flags over the tree.
pub(super) fn flags(tree: &mut Tree, set: &[(&'static [&'static str], String, &'static str)]) {
    for (path, value, flag) in set {
        let path: Vec<String> = path.iter().map(|&key| key.to_owned()).collect();
        tree.set(&path, Tree::text(value.as_str(), &Place::text(*flag)));
    }
}

/// Where no server is named at all, the built-in ones serve, so that something works at once.
pub(super) fn built_in_servers(tree: &mut Tree, env: &Environment, warnings: &mut Vec<Problem>) {
    if tree.get("servers").is_some_and(|s| !s.is_table() || !s.entries().is_empty()) {
        return;
    }
    let mut servers = json!({"time": {"builtin": "time"}});
    // Clients start us anywhere: the whole machine or a whole home folder is never opened unasked.
    if env.cwd == Path::new("/") || env.cwd == env.home() {
        warnings.push(
            Problem::new(format!(
                "no server is configured, and {} is not opened to programs unasked",
                env.cwd.display()
            ))
            .hint(
                "`narrows import` takes over the servers of your clients, `narrows add` adds one",
            ),
        );
    } else if let Some(map) = servers.as_object_mut() {
        map.insert("files".to_owned(), json!({"builtin": "files", "folders": [env.cwd]}));
    }
    tree.set(&["servers".to_owned()], Tree::of(servers, &Place::whole("default")));
}
