//! A small program for each thing that a language and its library have, in every engine: the table
//! in docs/reference/engines.md.
//!
//! `NARROWS_WRITE_DOCS=1 cargo test -p narrows-testkit --test escape features` writes it. Of an
//! engine that is not installed here what is written is taken as it is.

use crate::house::{config, program, run_by};
use crate::places::{self, part};
use crate::programs::words;
use narrows_sandbox::{Config, Sandbox, Want};
use narrows_types::{BackendKind, Engine, Language, Limits};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# What each engine has

Each line is a small program that was run in each engine. `yes`: it gave the value that it gives in
V8 and CPython. `no`: it is refused before it runs, with words on what to write instead. `throws`:
it runs and throws. `differs`: it gives another value. Written by a test, which fails where this is
no longer so; of an engine that is not installed where the test runs nothing is checked.
";

#[derive(Debug)]
struct Feature {
    group: String,
    name: String,
    code: String,
    value: Value,
}

/// The file of a language: `# group`, and for each feature `## name`, the program, `=> value`.
fn features(language: Language) -> Vec<Feature> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape/features");
    let text = std::fs::read_to_string(here.join(format!("{language}.txt"))).unwrap();
    let (mut group, mut name, mut code) = (String::new(), String::new(), String::new());
    let mut all: Vec<Feature> = Vec::new();
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("## ") {
            next.clone_into(&mut name);
            code.clear();
        } else if let Some(next) = line.strip_prefix("# ") {
            next.clone_into(&mut group);
        } else if let Some(value) = line.strip_prefix("=> ") {
            let value = serde_json::from_str(value).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(all.iter().all(|one| one.name != name), "{name} stands there twice");
            all.push(Feature {
                group: group.clone(),
                name: name.clone(),
                code: code.clone(),
                value,
            });
        } else {
            code.push_str(line);
            code.push('\n');
        }
    }
    all
}

/// An engine's answers, in the order of the features.
async fn probe(engine: Engine, config: Config, features: &[Feature]) -> Vec<&'static str> {
    let config = Config { engines: vec![engine], ..config };
    let sandbox = Sandbox::start(config).await.unwrap();
    let language = engine.language();
    let want = Want { engine: Some(engine), ..language.into() };
    let limits = Limits { cpu_ms: 5_000, ..Limits::default() };
    let mut all = Vec::new();
    for feature in features {
        let ran = run_by(&sandbox, want, program(language, &feature.code, limits.clone())).await;
        let words = words(&ran);
        let first = words.first().unwrap();
        let value =
            first.strip_prefix("value ").map(|json| serde_json::from_str::<Value>(json).unwrap());
        all.push(match value {
            Some(value) if value == feature.value => "yes",
            Some(_) => "differs",
            None if first == "rejected" => "no",
            None => "throws",
        });
    }
    sandbox.shutdown().await;
    all
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/engines.md")
}

/// The answers that are written down: of each language, feature and engine.
fn written(text: &str) -> HashMap<(String, String, String), String> {
    let mut all = HashMap::new();
    let (mut language, mut engines) = (String::new(), Vec::<String>::new());
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("## ") {
            next.clone_into(&mut language);
        }
        let mut cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        let first = cells.next().unwrap_or_default();
        if !line.starts_with('|') || first.starts_with("---") {
            continue;
        }
        let cells: Vec<String> = cells.collect();
        match first.split_once(": ") {
            None => engines = cells,
            Some((_, name)) => {
                all.extend(engines.iter().zip(cells).map(|(engine, cell)| {
                    ((language.clone(), name.to_owned(), engine.clone()), cell)
                }));
            }
        }
    }
    all
}

async fn column(engine: Engine, features: &[Feature]) -> Option<Vec<&'static str>> {
    let config = match engine {
        Engine::Deno => places::deno_with(BackendKind::Process, Some(&part("packages")))?.config,
        Engine::Cpython => places::cpython()?.config,
        _ => config("worker"),
    };
    Some(probe(engine, config, features).await)
}

async fn table(title: &str, language: Language, engines: &[Engine], before: &str) -> String {
    let features = features(language);
    assert!(features.len() >= 70, "only {} features", features.len());
    let before = written(before);
    let mut columns = Vec::new();
    for engine in engines {
        columns.push((engine.name(), column(*engine, &features).await));
    }
    let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
    let rule = "---|".repeat(names.len() + 1);
    let mut text = format!("\n## {title}\n\n| feature | {} |\n|{rule}\n", names.join(" | "));
    for (index, feature) in features.iter().enumerate() {
        let cells = columns.iter().map(|(engine, column)| {
            let known = (title.to_owned(), feature.name.clone(), (*engine).to_owned());
            let old = || before.get(&known).map_or("?", String::as_str).to_owned();
            column.as_ref().map_or_else(old, |all| all.get(index).copied().unwrap().to_owned())
        });
        let cells: Vec<String> = cells.collect();
        writeln!(text, "| {}: {} | {} |", feature.group, feature.name, cells.join(" | ")).unwrap();
    }
    text
}

#[tokio::test]
async fn the_table_of_features_is_current() {
    let before = std::fs::read_to_string(page()).unwrap_or_default();
    let typescript = [Engine::Quickjs, Engine::Wasm, Engine::Deno];
    let python = [Engine::Monty, Engine::Cpython];
    let text = HEAD.to_owned()
        + &table("TypeScript", Language::TypeScript, &typescript, &before).await
        + &table("Python", Language::Python, &python, &before).await;
    if std::env::var_os("NARROWS_WRITE_DOCS").is_some() {
        std::fs::write(page(), &text).unwrap();
        return;
    }
    let stale: Vec<String> = text
        .lines()
        .zip(before.lines().chain(std::iter::repeat("nothing")))
        .filter(|(now, then)| now != then)
        .map(|(now, then)| format!("now:  {now}\nthen: {then}"))
        .collect();
    assert!(
        text == before,
        "docs/reference/engines.md is stale; NARROWS_WRITE_DOCS=1 cargo test -p narrows-testkit \
         --test escape features writes it\n{}",
        stale.join("\n")
    );
}
