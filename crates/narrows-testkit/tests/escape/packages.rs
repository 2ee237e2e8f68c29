//! Packages of npm in deno: real ones that are of use, and one that tries what no package may.

use crate::house::{LONG, program, run_by};
use crate::places::{Place, deno_with, part};
use crate::programs::{all, check, words};
use narrows_sandbox::Want;
use narrows_types::{BackendKind, Engine, Language, Limits};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

const DENO: Want = Want {
    language: Language::TypeScript,
    backend: None,
    engine: Some(Engine::Deno),
    network: false,
};

/// A folder with the package that tries everything, readable for everybody.
fn greedy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("package.json"), r#"{"dependencies": {"greedy": "1"}}"#).unwrap();
    let into = folder.path().join("node_modules/greedy");
    fs::create_dir_all(&into).unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/npm/greedy");
    for file in fs::read_dir(own).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), into.join(file.file_name())).unwrap();
    }
    symlink("/etc/passwd", into.join("link.json")).unwrap();
    // Names that are Node's only with `node:` before them.
    for name in ["sqlite", "test"] {
        let into = folder.path().join("node_modules").join(name);
        fs::create_dir(&into).unwrap();
        let exports = json!({ "import": "./own.mjs", "require": "./own.cjs" });
        fs::write(
            into.join("package.json"),
            json!({ "name": name, "exports": exports }).to_string(),
        )
        .unwrap();
        fs::write(into.join("own.cjs"), format!("exports.own = 'own {name}'")).unwrap();
        let module = format!("export const own = 'own {name}'; export default {{ own }}");
        fs::write(into.join("own.mjs"), module).unwrap();
    }
    folder
}

async fn table(place: &Place, folder: &str, at_least: usize) {
    let sandbox = place.open().await;
    let programs = all(folder, "ts");
    assert!(programs.len() >= at_least, "only {} programs", programs.len());
    check(place, &sandbox, DENO, programs).await;
    sandbox.shutdown().await;
}

/// With the real packages.
fn real(backend: BackendKind) -> Option<Place> {
    deno_with(backend, Some(&part("packages")))
}

#[tokio::test]
async fn real_packages_do_what_they_do_elsewhere() {
    for backend in [BackendKind::Process, BackendKind::Basic] {
        let Some(place) = real(backend) else { return };
        table(&place, "packages", 14).await;
    }
}

#[tokio::test]
async fn a_package_may_no_more_than_a_program() {
    for backend in [BackendKind::Process, BackendKind::Basic] {
        let folder = greedy();
        let Some(place) = deno_with(backend, Some(folder.path())) else { return };
        table(&place, "npm", 40).await;
        assert!(!folder.path().join("node_modules/greedy/stolen").exists());
        assert!(!Path::new("/tmp/narrows-greedy").exists());
    }
}

/// A run that goes on from its journal imports the same again.
#[tokio::test]
async fn packages_see_the_same_time_and_chance_each_time() {
    let Some(place) = real(BackendKind::Process) else { return };
    let sandbox = place.open().await;
    let code = "import { v4, v7 } from 'uuid'\nimport { randomBytes } from 'node:crypto'\n\
                import dayjs from 'dayjs'\nimport { shuffle } from 'lodash-es'\n\
                import { hrtime } from 'node:process'\n\
                return [v4(), v7(), randomBytes(8).toString('hex'), dayjs().toISOString(), \
                shuffle([1, 2, 3, 4, 5, 6]), hrtime()]";
    let mut told = Vec::new();
    for _ in 0..2 {
        let run = program(Language::TypeScript, code, Limits::default());
        let ran = tokio::time::timeout(LONG, run_by(&sandbox, DENO, run)).await.unwrap();
        told.push(words(&ran).remove(0));
    }
    let first = told.first().unwrap();
    assert!(first.starts_with("value [\"") && told.iter().all(|one| one == first), "{told:?}");
    sandbox.shutdown().await;
}

/// What is missing is told before a program runs, with what there is.
#[tokio::test]
async fn what_cannot_be_imported_is_told_with_what_can() {
    let Some(place) = real(BackendKind::Process) else { return };
    let sandbox = place.open().await;
    for (code, why) in [
        ("import x from 'left-pad'", "there is no package left-pad: there are cheerio, csv-parse"),
        ("await import('fs')", "node:fs is not available: a run's own files are scratch.write"),
        ("import './x.js'", "./x.js is not available: only packages are, by name"),
    ] {
        let run = program(Language::TypeScript, code, Limits::default());
        let ran = run_by(&sandbox, DENO, run).await;
        assert!(ran.findings.iter().any(|found| found.contains(why)), "{code}: {:?}", ran.findings);
    }
    sandbox.shutdown().await;
}
