//! Configs, right and wrong.

mod durable;
mod layers;
mod sandbox;
mod wrong;

use super::{Environment, Flags, Loaded, load};
use std::path::Path;

/// A folder with a config file in it.
fn folder(name: &str, text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(name), text).unwrap();
    dir
}

fn environment(dir: &Path, vars: &[(&str, &str)]) -> Environment {
    let home = dir.join("home");
    let mut all = vec![("HOME", home.to_str().unwrap())];
    all.extend(vars);
    Environment::of(dir, &all)
}

fn loaded(name: &str, text: &str, vars: &[(&str, &str)]) -> Loaded {
    let dir = folder(name, text);
    let flags = Flags { file: Some(name.into()), ..Flags::default() };
    load(&environment(dir.path(), vars), &flags).unwrap()
}

/// The problems of a wrong config, the folder's name taken out.
fn problems(name: &str, text: &str, vars: &[(&str, &str)]) -> Vec<String> {
    let dir = folder(name, text);
    let flags = Flags { file: Some(name.into()), ..Flags::default() };
    let found = load(&environment(dir.path(), vars), &flags).unwrap_err();
    let root = dir.path().to_str().unwrap();
    found.iter().map(|p| p.to_string().replace(root, "DIR")).collect()
}
