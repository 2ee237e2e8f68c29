//! Hostile programs, each a file whose first line says how it is to end:
//! `expect: limit cpu_ms | threw`. A second line may tighten limits: `limits: cpu_ms=300`.

use crate::house::{Ran, health, program, run_by};
use crate::ledger;
use crate::places::{self, Inside, Maker, Place};
use narrows_sandbox::{LeaseEnd, Sandbox, Want};
use narrows_types::frame::End;
use narrows_types::{BackendKind, Engine, Language, Limits};
use std::fs;
use std::path::Path;

pub(crate) struct Hostile {
    /// Its folder and file.
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
    let folder = path.parent().and_then(Path::parent).unwrap();
    let name = path.strip_prefix(folder).unwrap().display().to_string();
    Hostile { name, code, expected, limits }
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

/// Which of the programs are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Of so many one, where each costs a machine or a container of its own.
    OneOf(usize),
    /// Likewise, and none that eats memory: nothing bounds it there but the worker itself.
    LeanOneOf(usize),
}

impl Which {
    fn of(self, mut programs: Vec<Hostile>) -> Vec<Hostile> {
        let one_of = match self {
            Self::All => 1,
            Self::OneOf(one_of) | Self::LeanOneOf(one_of) => one_of,
        };
        if matches!(self, Self::LeanOneOf(_)) {
            let eats = |text: &String| text.contains("memory");
            programs.retain(|one| !one.expected.iter().any(eats) && !eats(&one.name));
        }
        programs.into_iter().step_by(one_of).collect()
    }
}

/// The programs of these languages at one place; all places end them alike.
async fn table(place: Option<Place>, which: Which, languages: &[Language]) {
    let Some(place) = place else { return };
    let sandbox = place.open().await;
    for language in languages.iter().copied() {
        let (extension, at_least) = match language {
            Language::TypeScript => ("ts", 40),
            Language::Python => ("py", 30),
        };
        let programs = all("programs", extension);
        assert!(programs.len() >= at_least, "only {} programs", programs.len());
        check(&place, &sandbox, language.into(), which.of(programs)).await;
        let forked = matches!(place.name, "process" | "nobody" | "wasm");
        let zygotes = health(&sandbox, language).started;
        assert!(!forked || zygotes == 1, "no program kills the zygote");
    }
    sandbox.shutdown().await;
}

/// Programs for an interpreter that is not built in.
async fn table_of(engine: Engine, place: Option<Place>, folder: &str, at_least: usize) {
    let Some(place) = place else { return };
    let sandbox = place.open().await;
    let language = engine.language();
    let programs = all(folder, if language == Language::Python { "py" } else { "ts" });
    assert!(programs.len() >= at_least, "only {} programs", programs.len());
    let want = Want { engine: Some(engine), ..Want::from(language) };
    check(&place, &sandbox, want, programs).await;
    let of = |health: &narrows_sandbox::Health| health.engine == engine;
    let zygote = sandbox.health().into_iter().find(of).unwrap();
    assert_eq!(zygote.started, 1, "no program kills the zygote");
    sandbox.shutdown().await;
}

/// Runs each and compares how it ended with what it expects.
pub(crate) async fn check(place: &Place, sandbox: &Sandbox, want: Want, programs: Vec<Hostile>) {
    let language = want.language;
    let mut wrong = Vec::new();
    for Hostile { name, code, expected, limits } in programs {
        let ran = run_by(sandbox, want, program(language, &code, limits)).await;
        ledger::ran(place.name, "program", &name);
        let words = words(&ran);
        let good = words.iter().any(|word| expected.contains(word));
        // How long it took tells of the machine: a program that no limit ends hangs the test.
        if !good {
            let said = ran.said.last().map(String::as_str).unwrap_or_default();
            let said: String = said.chars().take(100).collect();
            wrong.push(format!(
                "{name} took {:?}: {words:?}, expected {expected:?}: {}; {} calls, said {} times, \
                 at last {said:?}; {:?}",
                ran.took,
                show(&ran),
                ran.calls,
                ran.said.len(),
                health(sandbox, language),
            ));
        }
    }
    assert!(wrong.is_empty(), "on {}: {}", place.name, wrong.join("\n"));
}

pub(crate) fn show(ran: &Ran) -> String {
    let text = format!("{:?} {:?}", ran.end, ran.findings);
    text.chars().take(300).collect()
}

const BOTH: [Language; 2] = [Language::Python, Language::TypeScript];

#[tokio::test]
async fn every_hostile_python_program_ends_as_it_should() {
    let place = places::here(BackendKind::Process, Inside::Worker);
    table(place, Which::All, &[Language::Python]).await;
}

#[tokio::test]
async fn every_hostile_typescript_program_ends_as_it_should() {
    let place = places::here(BackendKind::Process, Inside::Worker);
    table(place, Which::All, &[Language::TypeScript]).await;
}

#[tokio::test]
async fn an_ordinary_user_ends_them_alike() {
    table(places::nobody(Inside::Worker), Which::All, &BOTH).await;
}

#[tokio::test]
async fn webassembly_ends_them_alike() {
    let place = places::here(BackendKind::Wasm, Inside::Worker);
    table(place, Which::All, &[Language::TypeScript]).await;
}

#[tokio::test]
async fn limits_hold_where_there_are_no_walls() {
    table(places::here(BackendKind::Basic, Inside::Worker), Which::All, &BOTH).await;
}

/// Of a process that is started, not forked, the kernel's count begins with what its parent had.
#[tokio::test]
async fn what_the_host_has_is_not_what_a_program_had() {
    let Some(place) = places::here(BackendKind::Basic, Inside::Worker) else { return };
    let full = vec![1_u8; 300 << 20];
    let sandbox = place.open().await;
    let mut bombs = all("programs", "ts");
    bombs.retain(|one| one.name == "programs/bomb-after-await.ts");
    assert_eq!(bombs.len(), 1);
    check(&place, &sandbox, Language::TypeScript.into(), bombs).await;
    let code = "return Array(2_000_000).fill(0.5).length;";
    let ran = run_by(
        &sandbox,
        Language::TypeScript,
        program(Language::TypeScript, code, Limits::default()),
    );
    let used = ran.await.end.unwrap().usage.memory_bytes;
    assert!((16 << 20..128 << 20).contains(&used), "{used}");
    sandbox.shutdown().await;
    assert_eq!(full.last(), Some(&1));
}

#[tokio::test]
async fn containers_end_them_alike() {
    table(places::containers(Maker::Docker, Inside::Worker), Which::All, &BOTH).await;
}

#[tokio::test]
async fn containers_of_podman_end_them_alike() {
    table(places::containers(Maker::Podman, Inside::Worker), Which::OneOf(8), &BOTH).await;
}

#[tokio::test]
async fn gvisor_ends_them_alike() {
    table(places::containers(Maker::Gvisor, Inside::Worker), Which::LeanOneOf(4), &BOTH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_end_them_alike() {
    table(places::machines(Inside::Worker), Which::OneOf(8), &BOTH).await;
}

#[tokio::test]
async fn every_hostile_program_of_the_systems_python_ends_as_it_should() {
    table_of(Engine::Cpython, places::cpython(), "cpython", 40).await;
}

#[tokio::test]
async fn every_hostile_program_of_deno_ends_as_it_should() {
    table_of(Engine::Deno, places::deno(), "deno", 14).await;
}
