use super::{first_sentence, fit_logs, fit_text, program_value, shape};
use narrows_types::{Content, LogLevel, LogLine, ToolResult};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

#[test]
fn the_first_sentence_is_found() {
    assert_eq!(first_sentence("# Title\n\nmore"), "Title");
    assert_eq!(
        first_sentence("List issues, e.g. open ones. Then more."),
        "List issues, e.g. open ones"
    );
    assert_eq!(first_sentence("\n  Reads `a`\u{202e}b.\n"), "Reads ab");
    assert_eq!(first_sentence(""), "");
}

#[test]
fn a_list_becomes_preview_and_shape() {
    let rows: Vec<Value> = (0..500).map(|i| json!({"id": i, "title": "x".repeat(60)})).collect();
    let shaped = shape(&raw(&json!({"issues": rows, "total": 500})), 600);
    assert!(shaped.value.is_none());
    assert_eq!(
        shaped.shape,
        "{issues: [500 x {id: number, title: string of 60 bytes}], total: number}"
    );
    assert!(shaped.preview.starts_with("{issues: [{\"id\":0"), "{}", shaped.preview);
    assert!(shaped.preview.contains("more]"), "{}", shaped.preview);
}

#[test]
fn results_become_values() {
    let text = |t: &str| program_value(&ToolResult::text(t), 1).0;
    assert_eq!(text("plain"), "\"plain\"");
    assert_eq!(text(" {\"a\": 1} "), "{\"a\": 1}");
    assert_eq!(text("2026-01-01"), "\"2026-01-01\"");
    assert_eq!(text("42"), "42");
    let image = Content(json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}));
    let result =
        ToolResult { content: vec![image.clone()], structured_content: None, is_error: false };
    let (value, handles) = program_value(&result, 7);
    assert_eq!(value, r#"{"$content":"c7_1","type":"image","mimeType":"image/png","bytes":3}"#);
    assert_eq!(handles, [("c7_1".to_owned(), image)]);
}

#[test]
fn logs_keep_both_ends() {
    let logs: Vec<LogLine> =
        (0..1_000).map(|i| LogLine { level: LogLevel::Info, text: format!("line {i}") }).collect();
    let (kept, dropped) = fit_logs(logs, 200);
    assert_eq!(kept.first().unwrap().text, "line 0");
    assert_eq!(kept.last().unwrap().text, "line 999");
    assert_eq!(kept.len() as u64 + dropped, 1_000);
    assert!(kept.iter().map(|l| l.text.len() + 1).sum::<usize>() <= 200);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,80}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 200, 12, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            proptest::collection::btree_map(".{0,12}", inner, 0..12)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_shaped_fits(value in any_json(), budget in 64_usize..2_000) {
        let raw = raw(&value);
        let shaped = shape(&raw, budget);
        match &shaped.value {
            Some(whole) => prop_assert!(whole.get().len() <= budget),
            None => prop_assert!(shaped.preview.len() + shaped.shape.len() <= budget),
        }
    }

    #[test]
    fn texts_fit(text in ".{0,400}", bytes in 0_usize..200) {
        prop_assert!(fit_text(&text, bytes).len() <= bytes || text.len() <= bytes);
    }
}
