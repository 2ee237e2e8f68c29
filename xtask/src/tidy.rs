//! `cargo xtask tidy`: the laws of the repository, each broken one named with its place.

use crate::laws;
use crate::shell::{self, Fail, say};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Checks every law; fails with the number of those broken.
pub(crate) fn run() -> Result<(), Fail> {
    let metadata: Value = serde_json::from_str(
        &shell::cargo(&[
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .output()?,
    )
    .map_err(|e| Fail(format!("cargo metadata: {e}")))?;
    let mut broken = Vec::new();
    imports(&metadata, &mut broken);
    licences(&metadata, &mut broken);
    files(&mut broken)?;
    for line in &broken {
        say(&format!("{line}\n"));
    }
    if broken.is_empty() { Ok(()) } else { Err(Fail(format!("{} laws broken", broken.len()))) }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The import law and the confinement of foreign worlds.
fn imports(metadata: &Value, broken: &mut Vec<String>) {
    let rules: BTreeMap<&str, &[&str]> = laws::IMPORTS.iter().copied().collect();
    for package in
        items(metadata, "packages").iter().filter(|p| p.get("source").is_none_or(Value::is_null))
    {
        let name = text(package, "name");
        let Some(allowed) = rules.get(name) else {
            broken
                .push(format!("{name}: a new crate needs an ADR and a line in xtask/src/laws.rs"));
            continue;
        };
        for dependency in items(package, "dependencies") {
            let needs = text(dependency, "name");
            let dev = text(dependency, "kind") == "dev";
            if rules.contains_key(needs)
                && *allowed != laws::ANY
                && !allowed.contains(&needs)
                && !dev
            {
                broken.push(format!("{name} must not import {needs} (ARCHITECTURE.md, rooms)"));
            }
            if laws::PURE.contains(&name) && laws::IMPURE.contains(&needs) && !dev {
                broken.push(format!("{name} is pure and must not import {needs}"));
            }
            for (world, rooms) in laws::CONFINED {
                if needs == *world && !rooms.contains(&name) && !dev {
                    broken.push(format!("{needs} is confined to {rooms:?}, not {name}"));
                }
            }
        }
    }
}

fn licences(metadata: &Value, broken: &mut Vec<String>) {
    for package in items(metadata, "packages") {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let excepted = laws::LICENCE_EXCEPTIONS.iter().any(|(known, _)| *known == name);
        if !excepted && !acceptable(licence) {
            broken.push(format!(
                "{name}: licence `{licence}` is not on the list in xtask/src/laws.rs"
            ));
        }
    }
}

/// `A OR B` needs one acceptable side, `A AND B` both.
fn acceptable(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain
        .split(" AND ")
        .all(|all| all.split(" OR ").any(|one| laws::LICENCES.contains(&one.trim())))
}

/// Laws over the text of committed files.
fn files(broken: &mut Vec<String>) -> Result<(), Fail> {
    let root = shell::root();
    let list =
        shell::tool("git", &["ls-files", "--cached", "--others", "--exclude-standard"]).output()?;
    for name in list.lines() {
        let path = root.join(name);
        let Ok(content) = fs::read_to_string(&path) else { continue };
        let extension = path.extension().and_then(|e| e.to_str());
        for host in laws::HOSTS {
            if content.contains(host) && !name.ends_with("Cargo.lock") {
                broken.push(format!("{name}: names the registry host {host}"));
            }
        }
        if extension == Some("rs") {
            source(name, &content, broken);
        }
        if extension == Some("md") {
            links(&root, name, &content, broken);
        }
    }
    Ok(())
}

fn source(name: &str, content: &str, broken: &mut Vec<String>) {
    let lines = content.lines().count();
    if lines > laws::LINES_MAX {
        broken.push(format!("{name}: {lines} lines, at most {}", laws::LINES_MAX));
    }
    let stem = Path::new(name).file_stem().map(|s| s.to_string_lossy().into_owned());
    if stem.is_some_and(|s| laws::BANNED.contains(&s.as_str())) {
        broken.push(format!("{name}: the name says nothing; name what it holds"));
    }
}

/// Relative links in documents lead to files that exist.
fn links(root: &Path, name: &str, content: &str, broken: &mut Vec<String>) {
    let folder = root.join(name).parent().map(Path::to_owned).unwrap_or_default();
    for piece in content.split("](").skip(1) {
        let Some((target, _)) = piece.split_once(')') else { continue };
        let file = target.split('#').next().unwrap_or_default();
        let foreign = file.contains("://") || file.starts_with("mailto:");
        if !file.is_empty() && !foreign && !folder.join(file).exists() {
            broken.push(format!("{name}: the link to {file} leads nowhere"));
        }
    }
}
