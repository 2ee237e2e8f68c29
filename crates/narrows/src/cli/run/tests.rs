use super::{Remedy, by_extension, ended, input, pretty, shown};
use narrows_types::{
    Content, Finding, Language, Limit, Limits, Lowered, Position, ProgramError, RunEnd, Usage,
};
use serde_json::json;
use serde_json::value::RawValue;
use std::path::Path;

fn remedy(timeout_ms: Option<u64>, limits: Lowered) -> Remedy {
    Remedy { timeout_ms, limits, config: Limits::default(), others: "the intent" }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

#[test]
fn values_are_readable_and_unchanged() {
    assert_eq!(pretty(&raw(r#""two\nlines""#)), "two\nlines");
    assert_eq!(pretty(&raw(r#"{"a":[1]}"#)), "{\n  \"a\": [\n    1\n  ]\n}");
    assert_eq!(pretty(&raw("[12345678901234567890123]")), "[12345678901234567890123]");
    assert_eq!(pretty(&raw("null")), "null");
}

#[test]
fn the_language_follows_the_name() {
    for (name, language) in
        [("a.py", Language::Python), ("a.ts", Language::TypeScript), ("-", Language::TypeScript)]
    {
        assert_eq!(by_extension(Path::new(name)), language);
    }
}

#[test]
fn input_is_checked_before_anything_starts() {
    assert_eq!(input(r#" {"a":1} "#).unwrap().get(), r#"{"a":1}"#);
    assert!(input("{a}").unwrap_err().to_string().starts_with("--input is no JSON: "));
    let why = input("@/no/such/file").unwrap_err().to_string();
    assert!(why.starts_with("cannot read /no/such/file: "), "{why}");
}

#[test]
fn every_end_has_its_words() {
    let at = Position { line: 2, column: 5 };
    let ends = [
        RunEnd::Threw(ProgramError {
            name: "ToolError".to_owned(),
            message: "github.x: not found".to_owned(),
            at: vec![at],
        }),
        RunEnd::Rejected {
            findings: vec![Finding { at, message: "github.y does not exist".to_owned() }],
        },
        RunEnd::Limit { limit: Limit::CpuMs, allowed: 10_000 },
        RunEnd::Deadlock,
        RunEnd::Lost { reason: "killed by signal 11".to_owned() },
    ];
    let used = Usage { wall_us: 12_000_000, cpu_us: 10_001_000, ..Usage::default() };
    let told = |end| ended(end, &used, &remedy(None, Lowered::default())).join("\n");
    let lines: Vec<String> = ends.iter().map(told).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let codes: Vec<u8> = ends.iter().map(crate::cli::exit::of_run).collect();
    assert_eq!(codes, [1, 3, 4, 1, 6]);
}

#[test]
fn what_was_shown_is_named_not_dumped() {
    let image = Content(json!({"type": "image", "mimeType": "image/png", "data": "AAAA"}));
    assert_eq!(shown(&image), "shown: image (image/png, about 3 bytes)");
    assert_eq!(shown(&Content::text("a\u{1b}[31mb")), "a\u{fffd}[31mb");
}

#[test]
fn the_tighter_limit_is_named() {
    let lowered = |wall_ms| Lowered { wall_ms, ..Lowered::default() };
    for (allowed, timeout_ms, wall_ms, words) in [
        (500, Some(500), None, "= 500; --timeout-ms raises it"),
        (500, Some(900), Some(500), "= 500; --limit raises it"),
        (500, Some(900), Some(700), "= 500; the intent has it lower than `[limits]`"),
        (60_000, None, Some(70_000), "= 60000; `[limits]` in the config raises it"),
    ] {
        let end = RunEnd::Limit { limit: Limit::WallMs, allowed };
        let told = ended(&end, &Usage::default(), &remedy(timeout_ms, lowered(wall_ms))).concat();
        assert!(told.contains(words), "{told}");
    }
    let deep = RunEnd::Limit { limit: Limit::Stack, allowed: 0 };
    let told = ended(&deep, &Usage::default(), &remedy(None, Lowered::default())).concat();
    assert!(told.starts_with("the program reached the limit stack; the recursion is too deep"));
}
