//! Programs that mean well, each a file whose first line says how it ends. Every back end ends
//! them alike, byte for byte: the value, the error with its places, and all that is said on the way.

use crate::house::{config, program, run_by};
use crate::places::{self, Inside, Maker, Place};
use crate::programs::{Hostile, all, words};
use narrows_sandbox::{Sandbox, Want};
use narrows_types::frame::Program;
use narrows_types::{BackendKind, Engine, Language};

/// What the host sees of a run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    words: Vec<String>,
    end: String,
    said: Vec<String>,
}

/// All programs of a language.
fn programs(language: Language) -> Vec<Hostile> {
    let extension = if language == Language::Python { "py" } else { "ts" };
    let programs = all("benign", extension);
    assert!(programs.len() >= 30, "only {} programs", programs.len());
    programs
}

async fn seen(sandbox: &Sandbox, want: Want) -> Vec<Seen> {
    let mut all = Vec::new();
    for Hostile { name, code, limits, .. } in programs(want.language) {
        let code = program(want.language, &code, limits);
        // The first of January 2026.
        let ran = run_by(sandbox, want, Program { now_ms: 1_767_225_600_000, ..code }).await;
        let end = match &ran.end {
            Ok(done) => serde_json::to_string(&done.end).unwrap(),
            Err(end) => format!("{end:?} {:?}", ran.findings),
        };
        all.push(Seen { name, words: words(&ran), end, said: ran.said });
    }
    all
}

async fn in_processes(language: Language) -> Vec<Seen> {
    let sandbox = Sandbox::start(config("worker")).await.unwrap();
    let all = seen(&sandbox, language.into()).await;
    sandbox.shutdown().await;
    all
}

/// The programs of these languages, against what they do in a process.
async fn alike(place: Option<Place>, languages: &[Language]) {
    let Some(place) = place else { return };
    let sandbox = place.open().await;
    let mut wrong = Vec::new();
    for language in languages.iter().copied() {
        let expected = in_processes(language).await;
        let got = seen(&sandbox, language.into()).await;
        let pairs = expected.iter().zip(&got).filter(|(expected, got)| expected != got);
        wrong.extend(pairs.map(|(expected, got)| format!("{expected:#?}\nnot {got:#?}")));
    }
    sandbox.shutdown().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const BOTH: [Language; 2] = [Language::TypeScript, Language::Python];

#[tokio::test]
async fn every_benign_program_ends_as_it_should() {
    let mut wrong = Vec::new();
    for language in BOTH {
        let expected = programs(language);
        for (seen, program) in in_processes(language).await.into_iter().zip(expected) {
            if !seen.words.iter().any(|word| program.expected.contains(word)) {
                wrong.push(format!("{}: {}, not {:?}", seen.name, seen.end, program.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_program_does_the_same_in_webassembly() {
    alike(places::here(BackendKind::Wasm, Inside::Worker), &[Language::TypeScript]).await;
}

#[tokio::test]
async fn a_program_does_the_same_without_walls() {
    alike(places::here(BackendKind::Basic, Inside::Worker), &BOTH).await;
}

#[tokio::test]
async fn a_program_does_the_same_in_a_container() {
    alike(places::containers(Maker::Docker, Inside::Worker), &BOTH).await;
}

#[tokio::test]
async fn a_program_does_the_same_in_gvisor() {
    alike(places::containers(Maker::Gvisor, Inside::Worker), &BOTH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_the_same_in_a_machine() {
    alike(places::machines(Inside::Worker), &BOTH).await;
}

/// Values, kinds of errors and what is said are another engine's too; places and words of errors
/// are its own. Where there is more that differs is told with why.
async fn like(engine: Engine, place: Option<Place>, differ: &[(&str, &str)]) {
    let Some(mut place) = place else { return };
    place.config.engines = vec![engine];
    let sandbox = place.open().await;
    let language = engine.language();
    let want = Want { engine: Some(engine), ..language.into() };
    let expected = in_processes(language).await;
    let got = seen(&sandbox, want).await;
    sandbox.shutdown().await;
    let mut wrong = Vec::new();
    for (expected, got) in expected.iter().zip(&got) {
        let same = expected.words == got.words && expected.said == got.said;
        let told = differ.iter().any(|(name, _)| *name == got.name);
        if same == told {
            wrong.push(format!("{expected:#?}\n{}{got:#?}", if told { "now " } else { "not " }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_program_does_the_same_in_the_systems_python() {
    let why = "Monty rounds 1e21 to 9.999999999999999e+20";
    like(Engine::Cpython, places::cpython(), &[("benign/floats-as-text.py", why)]).await;
}

#[tokio::test]
async fn a_program_does_the_same_in_deno() {
    like(Engine::Deno, places::deno(), &[]).await;
}
