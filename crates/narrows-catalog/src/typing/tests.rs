use super::clean;
use crate::{Catalog, Observations};
use narrows_types::{Language, ServerListing, ToolSpec};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn signatures(input: &Value, output: &Value) -> [String; 2] {
    let spec = json!({"name": "t", "inputSchema": input, "outputSchema": output});
    let tools = vec![Arc::new(serde_json::from_value::<ToolSpec>(spec).unwrap())];
    let listing = ServerListing { server: "s".to_owned(), tools, ..ServerListing::default() };
    let catalog = Catalog::build(vec![listing], &Observations::default());
    let tool = catalog.resolve("s", "t").unwrap();
    [Language::TypeScript, Language::Python].map(|language| catalog.signature(tool, language))
}

fn members(count: usize, name: &str, what: &Value) -> Value {
    (0..count).map(|i| (format!("{name}_{i}"), what.clone())).collect::<Map<_, _>>().into()
}

#[test]
fn an_ordinary_signature_says_everything() {
    let input = json!({
        "properties": {
            "to": {"type": "string"},
            "mode": {"enum": ["a", "b"]},
            "odd-name": {"type": ["integer", "null"]},
        },
        "required": ["to"],
    });
    let [typescript, python] = signatures(&input, &json!({"type": "array", "items": {}}));
    insta::assert_snapshot!(typescript, @r#"s.t({to: string; mode?: "a" | "b"; "odd-name"?: number | null}): unknown[]"#);
    insta::assert_snapshot!(python, @r#"s.t(to: str, mode: Literal["a", "b"] = ..., **{"odd-name"}: int | None = ...) -> list[Any]"#);
}

#[test]
fn a_huge_signature_keeps_its_required_parameters_as_long_as_it_can() {
    let deep =
        json!({"type": "object", "properties": members(20, "inner", &json!({"type": "string"}))});
    let some: Vec<String> = (0..10).map(|i| format!("p_{i}")).collect();
    let input = json!({"properties": members(40, "p", &deep), "required": some});
    for text in signatures(&input, &deep) {
        assert!(text.len() <= 1_024, "{}: {text}", text.len());
        assert!(some.iter().all(|name| text.contains(name.as_str())), "{text}");
        assert!(text.contains("+24 more"), "{text}");
    }
    let all: Vec<String> = (0..150).map(|i| format!("p_{i}")).collect();
    let input = json!({"properties": members(150, "p", &deep), "required": all});
    let [typescript, python] = signatures(&input, &deep);
    assert!(typescript.contains("; /* +126 more required */}"), "{typescript}");
    assert!(python.contains(", +126 more required)"), "{python}");
    assert!(typescript.len() <= 1_024 && python.len() <= 1_024);
}

#[test]
fn names_and_literals_of_any_length_are_cut() {
    let name = "n".repeat(5_000);
    let input = json!({
        "properties": {
            &name: {"type": "string"},
            "mode": {"enum": ["short", "x".repeat(200)]},
            "o": {"type": "object", "properties": {&name: {}}},
        },
        "required": [name],
    });
    for text in signatures(&input, &json!({"const": "y".repeat(200)})) {
        assert!(text.len() < 400, "{text}");
        assert!(!text.contains(&"n".repeat(65)), "{text}");
    }
    let choices: Vec<Value> = (0..40)
        .map(|i| json!({"type": "object", "properties": members(9, &format!("c{i}"), &json!({}))}))
        .collect();
    let [typescript, _] = signatures(&json!({}), &json!({"anyOf": choices}));
    assert_eq!(typescript, "s.t(): object", "alternatives that read the same are one");
}

#[test]
fn what_is_not_seen_is_not_shown() {
    let hidden = "\u{ad}\u{200b}\u{202e}\u{2060}\u{2064}\u{2069}\u{feff}\u{fe0f}\u{e0001}\u{e0041}\u{e007f}\u{e0100}\u{61c}";
    assert_eq!(clean(&format!("a{hidden}b\u{2028}c\u{1b}d")), "ab c d");
    assert_eq!(clean("caf\u{e9} \u{1f600} \u{4e2d}"), "caf\u{e9} \u{1f600} \u{4e2d}");
}
