//! What a program may import: packages of one folder, and those of Node's own modules that touch
//! nothing but the program's memory.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Node's modules that are there as they are.
const PLAIN: &str = "assert assert/strict async_hooks buffer constants diagnostics_channel events \
                     path path/posix path/win32 punycode querystring stream stream/consumers \
                     stream/promises stream/web string_decoder sys url util util/types zlib";
/// Those whose time, chance and words are the run's own: see `modules.js`.
const OWN: &str = "console crypto module perf_hooks process timers timers/promises";
/// Those of which a package finds the names only, and why.
const REFUSED: [(&str, &str); 7] = [
    ("fs fs/promises", "a run's own files are scratch.write(path, text) and scratch.read(path)"),
    ("dgram dns dns/promises http http2 https net tls", "no network here; call a tool"),
    (
        "child_process cluster worker_threads",
        "one thread and no other process here; Promise.all runs tool calls in parallel",
    ),
    ("os", "nothing of the machine is told; pass values in with input"),
    (
        "readline readline/promises repl tty",
        "no terminal here; a person answers await ask(question)",
    ),
    ("sqlite", "use await session.set(key, value) and session.get(key)"),
    (
        "domain inspector inspector/promises test test/reporters trace_events v8 vm wasi",
        "it reaches into the engine; write plain JavaScript",
    ),
];
/// Those that are Node's with `node:` only; without it they are packages.
const PREFIXED: [&str; 3] = ["sqlite", "test", "test/reporters"];
/// More packages than these say nothing more to anybody.
const NAMED_MAX: usize = 20;
const PACKAGE_JSON_BYTES_MAX: u64 = 1 << 20;

/// What there is to import.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// The folder with `package.json` and `node_modules`.
    folder: Option<PathBuf>,
    /// What is in `node_modules`.
    installed: HashSet<String>,
    /// What `package.json` asks for.
    named: Vec<String>,
}

/// What the evaluator is told of Node's modules.
#[derive(Serialize)]
struct Told<'m> {
    root: Option<&'m Path>,
    plain: Vec<&'static str>,
    refused: BTreeMap<&'static str, &'static str>,
    prefixed: [&'static str; 3],
}

impl Modules {
    /// Looks at the folder, if there is one.
    ///
    /// # Errors
    /// There are no packages in it: why, one line.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, String> {
        let Some(folder) = folder else { return Ok(Self::default()) };
        let shown = folder.display();
        let folder =
            folder.canonicalize().map_err(|error| format!("no packages at {shown}: {error}"))?;
        let modules = folder.join("node_modules");
        let installed = installed(&modules)
            .map_err(|error| format!("no packages in {}: {error}", modules.display()))?;
        let named = dependencies(&folder.join("package.json"))?;
        Ok(Self { folder: Some(folder), installed, named })
    }

    /// The folder, as it is to be seen.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// For the evaluator, as JSON.
    pub(super) fn told(&self) -> Result<String, String> {
        let refused = REFUSED
            .iter()
            .flat_map(|(names, why)| names.split_whitespace().map(|name| (name, *why)));
        let plain = PLAIN.split_whitespace().collect();
        let told =
            Told { root: self.folder(), plain, refused: refused.collect(), prefixed: PREFIXED };
        serde_json::to_string(&told).map_err(|error| error.to_string())
    }

    /// Whether a program may import this: why not, and what to do instead.
    pub(super) fn importable(&self, module: &str) -> Result<(), String> {
        let builtin = module.strip_prefix("node:").unwrap_or(module);
        let nodes = builtin.len() < module.len() || !PREFIXED.contains(&builtin);
        let is = |names: &str| nodes && names.split_whitespace().any(|name| name == builtin);
        if is(PLAIN) || is(OWN) {
            return Ok(());
        }
        if let Some((_, instead)) = REFUSED.iter().find(|(names, _)| is(names)) {
            return Err(format!("node:{builtin} is not available: {instead}"));
        }
        if builtin.len() < module.len() {
            return Err(format!("{module} is not available: of node: there are {PLAIN} {OWN}"));
        }
        let package = module.strip_prefix("npm:").unwrap_or(module).trim_start_matches('/');
        let packages = self.packages();
        if package.contains(':') || module.starts_with(['.', '/', '#']) {
            return Err(format!(
                "{module} is not available: only packages are, by name; {packages}"
            ));
        }
        if self.installed.contains(name(package)) {
            return Ok(());
        }
        Err(format!("there is no package {}: {packages}", name(package)))
    }

    fn packages(&self) -> String {
        let some = self.named.get(..NAMED_MAX).unwrap_or(&self.named).join(", ");
        match &self.folder {
            None => "no packages are installed here; tools are globals".to_owned(),
            Some(_) if some.is_empty() => "none are installed here; tools are globals".to_owned(),
            Some(_) => format!("there are {some}"),
        }
    }
}

/// The package of `@scope/name@1/path`.
fn name(specifier: &str) -> &str {
    let mut slashes = specifier.match_indices('/').map(|(at, _)| at);
    let scoped = specifier.starts_with('@');
    let end = if scoped { slashes.nth(1) } else { slashes.next() };
    let whole = specifier.get(..end.unwrap_or(specifier.len())).unwrap_or_default();
    let version = whole.char_indices().skip(1).find(|(_, char)| *char == '@');
    version.and_then(|(at, _)| whole.get(..at)).unwrap_or(whole)
}

/// The names of all packages in a folder.
fn installed(modules: &Path) -> std::io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(modules)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('@') {
            names.insert(name);
            continue;
        }
        for inner in fs::read_dir(modules.join(&name))? {
            names.insert(format!("{name}/{}", inner?.file_name().to_string_lossy()));
        }
    }
    Ok(names)
}

/// The packages that a `package.json` asks for.
fn dependencies(path: &Path) -> Result<Vec<String>, String> {
    let why = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let size = fs::metadata(path).map_err(|error| why(&error))?.len();
    if size > PACKAGE_JSON_BYTES_MAX {
        return Err(why(&format!("longer than {PACKAGE_JSON_BYTES_MAX} bytes")));
    }
    let text = fs::read(path).map_err(|error| why(&error))?;
    let read: Value = serde_json::from_slice(&text).map_err(|error| why(&error))?;
    let asked = read.get("dependencies").and_then(Value::as_object);
    let mut names: Vec<String> = asked.into_iter().flat_map(Map::keys).cloned().collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_a_name() {
        for (specifier, package) in [
            ("dayjs", "dayjs"),
            ("dayjs@1.11", "dayjs"),
            ("dayjs@^1/plugin/utc", "dayjs"),
            ("dayjs/plugin/utc.js", "dayjs"),
            ("@scope/name", "@scope/name"),
            ("@scope/name@1/x/y", "@scope/name"),
            ("@scope", "@scope"),
            ("", ""),
        ] {
            assert_eq!(name(specifier), package);
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("node_modules/@s/b")).unwrap();
        for name in ["a", "sqlite", "fs"] {
            fs::create_dir_all(root.join("node_modules").join(name)).unwrap();
        }
        assert!(Modules::find(Some(root)).unwrap_err().contains("package.json"));
        fs::write(root.join("package.json"), r#"{"dependencies": {"a": "1", "@s/b": "2"}}"#)
            .unwrap();
        let modules = Modules::find(Some(root)).unwrap();
        for good in [
            "a",
            "npm:a@1",
            "npm:/a",
            "a/x.js",
            "@s/b",
            "npm:@s/b@2/x",
            "node:path",
            "util",
            "sqlite",
        ] {
            assert_eq!(modules.importable(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("c", "there is no package c: there are @s/b, a"),
            ("fs", "node:fs is not available: a run's own files are"),
            ("node:child_process", "node:child_process is not available: one thread"),
            ("node:nothing", "node:nothing is not available: of node: there are assert"),
            ("./a.js", "./a.js is not available: only packages are, by name; there are"),
            ("https://x/y.js", "https://x/y.js is not available: only packages are"),
            ("file:///etc/passwd", "file:///etc/passwd is not available"),
            ("jsr:@std/path", "jsr:@std/path is not available"),
            ("node:sqlite", "node:sqlite is not available: use await session.set"),
            ("node:test/reporters", "node:test/reporters is not available: it reaches"),
            ("test", "there is no package test: there are @s/b, a"),
            ("fs/promises", "node:fs/promises is not available"),
        ] {
            let told = modules.importable(bad).unwrap_err();
            assert!(told.starts_with(why), "{told}");
        }
        let none = Modules::default();
        assert_eq!(none.importable("node:path"), Ok(()));
        let told = "there is no package a: no packages are installed here; tools are globals";
        assert_eq!(none.importable("a").unwrap_err(), told);
    }
}
