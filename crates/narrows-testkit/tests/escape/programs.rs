//! Hostile programs, each a file whose first line says how it is to end:
//! `expect: limit cpu_ms | threw`. A second line may tighten limits: `limits: cpu_ms=300`.

use crate::house::{Ran, config, health, program, run_by};
use crate::places::{self, Inside};
use crate::walls::as_nobody;
use narrows_sandbox::{Config, LeaseEnd, Sandbox, Want};
use narrows_types::frame::End;
use narrows_types::{BackendKind, Engine, Language, Limits};
use std::fs;
use std::path::{Path, PathBuf};

/// Of so many programs one is run where the processor is emulated.
const EMULATED: usize = 8;

pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) expected: Vec<String>,
    pub(crate) limits: Limits,
}

fn read(path: &Path) -> Hostile {
    let code = fs::read_to_string(path).unwrap();
    let head = |word: &str| {
        code.lines().take(2).find_map(|line| Some(line.split_once(word)?.1.trim().to_owned()))
    };
    let expected = head("expect:").unwrap_or_else(|| panic!("{} expects nothing", path.display()));
    let expected = expected.split('|').map(|one| one.trim().to_owned()).collect();
    let mut limits = serde_json::to_value(Limits::default()).unwrap();
    for pair in head("limits:").unwrap_or_default().split_whitespace() {
        let (name, value) = pair.split_once('=').unwrap();
        let value: u64 = value.parse().unwrap();
        limits.as_object_mut().unwrap().insert(name.to_owned(), value.into());
    }
    let limits = serde_json::from_value(limits).unwrap();
    Hostile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        code,
        expected,
        limits,
    }
}

pub(crate) fn all(folder: &str, extension: &str) -> Vec<Hostile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The end in the words of the files' first lines, most exact first.
pub(crate) fn words(ran: &Ran) -> Vec<String> {
    if !ran.findings.is_empty() {
        return vec!["rejected".to_owned()];
    }
    match &ran.end {
        Ok(done) => match &done.end {
            End::Value(value) => vec![format!("value {}", value.get()), "value".to_owned()],
            End::Threw(error) => vec![format!("threw {}", error.name), "threw".to_owned()],
            End::Limit(limit) => vec![format!("limit {limit}")],
            End::Deadlock => vec!["deadlock".to_owned()],
        },
        Err(LeaseEnd::Limit(limit, _)) => vec![format!("limit {limit}")],
        Err(LeaseEnd::Lost(_, why)) => vec![format!("lost: {why}")],
    }
}

/// Every program of a language on one back end; all back ends end it alike.
async fn table(config: Config, language: Language) {
    let (extension, at_least) = match language {
        Language::TypeScript => ("ts", 40),
        Language::Python => ("py", 30),
    };
    let backend = config.backend.unwrap();
    let sandbox = Sandbox::start(config).await.unwrap();
    let mut programs = all("programs", extension);
    assert!(programs.len() >= at_least, "only {} programs", programs.len());
    if backend == BackendKind::Microvm {
        // Its processor is emulated: a few of each kind.
        programs = programs.into_iter().step_by(EMULATED).collect();
    }
    check(&sandbox, language.into(), programs).await;
    let zygotes = health(&sandbox, language).started;
    if matches!(backend, BackendKind::Process | BackendKind::Wasm) {
        assert_eq!(zygotes, 1, "no program kills the zygote");
    }
    sandbox.shutdown().await;
}

/// Programs for an interpreter that is not built in.
async fn table_of(engine: Engine, args: &[String], folder: &str, at_least: usize) {
    let language = engine.language();
    let extension = if language == Language::Python { "py" } else { "ts" };
    let mut config = config("worker");
    config.args.extend_from_slice(args);
    let sandbox = Sandbox::start(config).await.unwrap();
    let programs = all(folder, extension);
    assert!(programs.len() >= at_least, "only {} programs", programs.len());
    let want = Want { engine: Some(engine), ..Want::from(language) };
    check(&sandbox, want, programs).await;
    assert_eq!(health(&sandbox, language).started, 1, "no program kills the zygote");
    sandbox.shutdown().await;
}

async fn check(sandbox: &Sandbox, want: Want, programs: Vec<Hostile>) {
    let language = want.language;
    let mut wrong = Vec::new();
    for Hostile { name, code, expected, limits } in programs {
        let ran = run_by(sandbox, want, program(language, &code, limits)).await;
        let words = words(&ran);
        let good = words.iter().any(|word| expected.contains(word));
        // How long it took tells of the machine: a program that no limit ends hangs the test.
        if !good {
            wrong.push(format!(
                "{name} took {:?}: {}, expected {expected:?}",
                ran.took,
                show(&ran)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn show(ran: &Ran) -> String {
    let text = format!("{:?} {:?}", ran.end, ran.findings);
    text.chars().take(300).collect()
}

#[tokio::test]
async fn every_hostile_python_program_ends_as_it_should() {
    table(places::here(BackendKind::Process), Language::Python).await;
}

#[tokio::test]
async fn every_hostile_typescript_program_ends_as_it_should() {
    table(places::here(BackendKind::Process), Language::TypeScript).await;
}

#[tokio::test]
async fn an_ordinary_user_ends_them_alike() {
    for language in [Language::Python, Language::TypeScript] {
        if let Some((folder, config)) = as_nobody() {
            table(config, language).await;
            drop(folder);
        }
    }
}

#[tokio::test]
async fn webassembly_ends_them_alike() {
    table(places::here(BackendKind::Wasm), Language::TypeScript).await;
}

#[tokio::test]
async fn limits_hold_where_there_are_no_walls() {
    table(places::here(BackendKind::Basic), Language::Python).await;
    table(places::here(BackendKind::Basic), Language::TypeScript).await;
}

#[tokio::test]
async fn containers_end_them_alike() {
    for language in [Language::Python, Language::TypeScript] {
        if let Some(config) = places::containers(None, Inside::Worker) {
            table(config, language).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_end_them_alike() {
    for language in [Language::Python, Language::TypeScript] {
        if let Some(config) = places::machines(Inside::Worker) {
            table(config, language).await;
        }
    }
}

#[tokio::test]
async fn every_hostile_program_of_the_systems_python_ends_as_it_should() {
    table_of(Engine::Cpython, &[], "cpython", 40).await;
}

#[tokio::test]
async fn every_hostile_program_of_deno_ends_as_it_should() {
    let args = ["--deno".to_owned(), deno().display().to_string()];
    table_of(Engine::Deno, &args, "deno", 14).await;
}

/// The binary among the parts that `cargo xtask test` installs.
pub(crate) fn deno() -> PathBuf {
    let told = std::env::var_os("NARROWS_PARTS").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    let folder = told.unwrap_or_else(own).join("npm/node_modules/@deno");
    let platforms = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut binaries = platforms.map(|platform| platform.path().join("deno"));
    let found = binaries.find(|binary| binary.is_file());
    found.unwrap_or_else(|| panic!("run `cargo xtask test`: no deno in {}", folder.display()))
}
