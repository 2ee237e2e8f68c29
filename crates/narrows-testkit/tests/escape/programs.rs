//! Hostile programs, each a file whose first line says how it is to end:
//! `expect: limit cpu_ms | threw`. A second line may tighten limits: `limits: cpu_ms=300`.

use crate::house::{Ran, config, health, program, run};
use narrows_sandbox::{Config, LeaseEnd, Sandbox};
use narrows_types::frame::End;
use narrows_types::{BackendKind, Language, Limits};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What a busy machine may add to any limit.
const SLOW: Duration = Duration::from_secs(8);

struct Hostile {
    name: String,
    code: String,
    expected: Vec<String>,
    limits: Limits,
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

fn all(extension: &str) -> Vec<Hostile> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/programs");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The end in the words of the files' first lines, most exact first.
fn words(ran: &Ran) -> Vec<String> {
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
        Err(LeaseEnd::Lost(why)) => vec![format!("lost: {why}")],
    }
}

/// Every program of a language on one back end; all back ends end it alike.
async fn table(backend: BackendKind, language: Language) {
    let (extension, at_least) = match language {
        Language::TypeScript => ("ts", 40),
        Language::Python => ("py", 30),
    };
    let config = Config { backend: Some(backend), ..config("worker") };
    let sandbox = Sandbox::start(config).await.unwrap();
    let mut wrong = Vec::new();
    let programs = all(extension);
    assert!(programs.len() >= at_least, "only {} programs", programs.len());
    for Hostile { name, code, expected, limits } in programs {
        let ran = run(&sandbox, program(language, &code, limits)).await;
        let words = words(&ran);
        let good = words.iter().any(|word| expected.contains(word));
        let most = Duration::from_millis(limits.cpu_ms.min(limits.wall_ms)) + SLOW;
        if !good || ran.took > most {
            wrong.push(format!(
                "{name} took {:?}: {}, expected {expected:?}",
                ran.took,
                show(&ran)
            ));
        }
    }
    let zygotes = health(&sandbox, language).started;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if backend == BackendKind::Process {
        assert_eq!(zygotes, 1, "no program kills the zygote");
    }
    sandbox.shutdown().await;
}

fn show(ran: &Ran) -> String {
    let text = format!("{:?} {:?}", ran.end, ran.findings);
    text.chars().take(300).collect()
}

#[tokio::test]
async fn every_hostile_python_program_ends_as_it_should() {
    table(BackendKind::Process, Language::Python).await;
}

#[tokio::test]
async fn every_hostile_typescript_program_ends_as_it_should() {
    table(BackendKind::Process, Language::TypeScript).await;
}

#[tokio::test]
async fn limits_hold_where_there_are_no_walls() {
    table(BackendKind::Basic, Language::Python).await;
    table(BackendKind::Basic, Language::TypeScript).await;
}
