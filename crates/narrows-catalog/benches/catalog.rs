//! The catalog over every saved tool list of this machine, or over 1,500 made-up tools.
//!
//! `cargo xtask bench catalog`. The machine is small and shared: read minima and ratios.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and says what it measures"
)]

use criterion::{BatchSize, Criterion, Throughput};
use narrows_catalog::search::Index;
use narrows_catalog::{Catalog, Observations, Shape, ToolRef, shape};
use narrows_types::{
    Argument, Language, Literal, Position, Reference, ServerListing, ToolSpec, Uses,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

const SENTENCE: &str = "list the open issues of a repository and send a message about each";
const OUTPUT_BYTES: usize = 8_192;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let listings = saved().unwrap_or_else(made_up);
    let catalog = Catalog::build(listings.clone(), &Observations::default());
    println!("{} tools of {} servers", catalog.tools().count(), listings.len());
    build(&mut criterion, &listings, &catalog);
    search(&mut criterion, &catalog);
    check(&mut criterion);
    shapes(&mut criterion);
    criterion.final_summary();
}

fn build(criterion: &mut Criterion, listings: &[ServerListing], catalog: &Catalog) {
    let mut group = criterion.benchmark_group("catalog");
    let none = Observations::default();
    group.bench_function("build", |b| {
        b.iter_batched(
            || listings.to_vec(),
            |listings| Catalog::build(listings, &none),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("index", |b| {
        b.iter(|| Index::build(black_box(catalog).tools().map(ToolRef::doc)));
    });
    for language in [Language::TypeScript, Language::Python] {
        group.throughput(Throughput::Bytes(catalog.typings(language).len() as u64));
        group.bench_function(format!("typings_{language}"), |b| {
            b.iter(|| black_box(catalog).typings(language));
        });
    }
    group.finish();
}

fn search(criterion: &mut Criterion, catalog: &Catalog) {
    let index = Index::build(catalog.tools().map(ToolRef::doc));
    let queries = [SENTENCE.to_owned()];
    assert_eq!(index.search(&queries, |_| true, 8).len(), 8);
    let mut group = criterion.benchmark_group("catalog");
    group.bench_function("search_sentence", |b| {
        b.iter(|| index.search(black_box(&queries), |_| true, 8));
    });
    // As many queries and parts as are read, of words that no tool says.
    let strange: Vec<String> = (0..16)
        .map(|query| (0..12).map(|part| strange(query * 12 + part)).collect::<Vec<_>>().join(", "))
        .collect();
    group.bench_function("search_strange_words", |b| {
        b.iter(|| index.search(black_box(&strange), |_| true, 8));
    });
    group.finish();
}

/// Eight words that differ from those of any other number.
fn strange(number: u32) -> String {
    let letter = |n: u32| char::from_digit(n % 26 + 10, 36).unwrap();
    let word = |n: u32| format!("qx{}{}{}zzq", letter(n / 676), letter(n / 26), letter(n));
    (0..8).map(|i| word(number * 8 + i)).collect::<Vec<_>>().join(" ")
}

/// One call, right and wrong, before it runs and when it is made.
fn check(criterion: &mut Criterion) {
    let catalog = Catalog::build(made_up(), &Observations::default());
    let tool = catalog.resolve("server_0", "list_issues_0").expect("it was made up");
    let right = json!({"owner": "a", "place": "b", "state": "open", "limit": 5});
    let wrong = json!({"owner": "a", "place": "b", "state": "opened", "limit": "5"});
    let validate = |arguments: &Value| {
        let arguments = serde_json::value::to_raw_value(arguments).expect("it is JSON");
        move |catalog: &Catalog| catalog.validate(tool, black_box(&arguments))
    };
    assert!(validate(&right)(&catalog).is_ok());
    assert!(validate(&wrong)(&catalog).is_err());
    let mut group = criterion.benchmark_group("catalog");
    for (name, arguments) in [("right", &right), ("wrong", &wrong)] {
        let uses = uses(arguments);
        let findings = catalog.check(&uses, Language::TypeScript).findings.len();
        assert_eq!(findings > 0, name == "wrong", "{findings}");
        group.bench_function(format!("check_{name}_call"), |b| {
            b.iter(|| catalog.check(black_box(&uses), Language::TypeScript));
        });
        group.bench_function(format!("validate_{name}_call"), |b| {
            let validate = validate(arguments);
            b.iter(|| validate(&catalog));
        });
    }
    group.finish();
}

fn uses(arguments: &Value) -> Uses {
    let at = Position { line: 1, column: 1 };
    let argument = Argument { keyword: None, value: Literal::Known(arguments.clone()), at };
    let reference = Reference {
        root: "server_0".to_owned(),
        path: vec!["list_issues_0".to_owned()],
        at,
        arguments: Some(vec![argument]),
        guarded: false,
    };
    Uses { references: vec![reference], findings: Vec::new() }
}

/// A result of one megabyte: cut for the agent and learned, beside only parsing it.
fn shapes(criterion: &mut Criterion) {
    let rows: Vec<Value> = (0..7_000)
        .map(|id| {
            json!({"id": id, "title": format!("Thing {id}"), "state": "open", "score": 0.5,
                "labels": ["bug", "help wanted"], "author": {"login": "somebody", "admin": false}})
        })
        .collect();
    let value = json!({"rows": rows});
    let raw = RawValue::from_string(value.to_string()).unwrap();
    let cut = shape::shape(&raw, OUTPUT_BYTES);
    assert!(cut.value.is_none() && cut.preview.len() + cut.shape.len() <= OUTPUT_BYTES);
    let mut group = criterion.benchmark_group("value_of_1_mb");
    group.throughput(Throughput::Bytes(raw.get().len() as u64));
    group.bench_function("cut", |b| b.iter(|| shape::shape(black_box(&raw), OUTPUT_BYTES)));
    group.bench_function("learn_from_value", |b| b.iter(|| Shape::of(black_box(&value))));
    group.bench_function("parse_to_value", |b| {
        b.iter(|| serde_json::from_str::<Value>(black_box(raw.get())));
    });
    group.finish();
}

/// The tool lists of real servers, where they are on this machine.
fn saved() -> Option<Vec<ServerListing>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tools");
    let mut paths: Vec<_> = std::fs::read_dir(folder).ok()?.map(|e| e.unwrap().path()).collect();
    paths.sort();
    let mut listings = Vec::new();
    for path in paths {
        let list: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Some(tools) = list["tools"].as_array() else { continue };
        let tools: Vec<Arc<ToolSpec>> =
            tools.iter().map(|t| Arc::new(serde_json::from_value(t.clone()).unwrap())).collect();
        let server = path.file_stem().unwrap().to_string_lossy().into_owned();
        listings.push(ServerListing { server, tools, ..ServerListing::default() });
    }
    (!listings.is_empty()).then_some(listings)
}

/// 30 servers of 50 tools.
fn made_up() -> Vec<ServerListing> {
    let verbs = ["list", "get", "create", "update", "delete"];
    let things = ["issues", "messages", "repositories", "files", "events"];
    let tool = |number: usize| {
        let (verb, thing) = (verbs[number % 5], things[number / 5 % 5]);
        let spec = json!({
            "name": format!("{verb}_{thing}_{}", number / 25),
            "description": format!("To {verb} {thing} of a place, newest first. Pages have cursors."),
            "inputSchema": {
                "type": "object",
                "properties": {
                    "owner": {"type": "string", "description": "The owner of the place"},
                    "place": {"type": "string", "description": "The name of the place"},
                    "state": {"type": "string", "enum": ["open", "closed", "all"]},
                    "labels": {"type": "array", "items": {"type": "string"}},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 100},
                },
                "required": ["owner", "place"],
                "additionalProperties": false,
            },
        });
        Arc::new(serde_json::from_value::<ToolSpec>(spec).unwrap())
    };
    (0..30)
        .map(|server| ServerListing {
            server: format!("server_{server}"),
            tools: (0..50).map(tool).collect(),
            ..ServerListing::default()
        })
        .collect()
}
