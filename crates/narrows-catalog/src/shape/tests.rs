use super::{
    first_sentence, fit_findings, fit_logs, fit_search, fit_text, program_value, render_paused,
    render_run, render_search, shape,
};
use narrows_types::{
    ArtifactId, Asked, AskedKind, Bill, Content, Detail, Finding, Language, Limit, LogLevel,
    LogLine, Position, ProgramError, RunEnd, RunId, RunReport, SearchHit, ToolResult, Usage,
};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

#[test]
fn the_first_sentence_is_found() {
    for (description, sentence) in [
        ("# Title\n\nmore", "Title"),
        ("List issues, e.g. open ones. Then more.", "List issues, e.g. open ones"),
        ("\n  Reads `a`\u{202e}b.\n", "Reads ab"),
        ("", ""),
        ("---\n***\n", ""),
        (
            "Get a list of\n  issues in a repository.\n\nArgs:\n  owner",
            "Get a list of issues in a repository",
        ),
        ("**Search** the [docs](http://x.y/z) fast! Then <b>more</b>.", "Search the docs fast"),
        ("<use_case>Find a tool.</use_case> Not this.", "Find a tool"),
        ("Works if a < b and [0] is set", "Works if a < b and [0] is set"),
        ("Reads v1.2 of it. \u{1b}[31mRed", "Reads v1.2 of it"),
        ("Unclosed [a](b and <b", "Unclosed [a](b and <b"),
    ] {
        assert_eq!(first_sentence(description), sentence, "{description:?}");
    }
    let long = first_sentence(&"many words ".repeat(100));
    assert!(long.len() <= 120 && long.ends_with(" many..."), "{long}");
    assert!(first_sentence(&"é".repeat(500)).len() <= 120);
}

#[test]
fn a_list_becomes_preview_and_shape() {
    let rows: Vec<Value> =
        (1..=500).map(|i| json!({"id": i, "title": "x".repeat(50 + i % 10)})).collect();
    let shaped = shape(&raw(&json!({"issues": rows, "total": 500})), 500);
    assert!(shaped.value.is_none());
    insta::assert_snapshot!(shaped.shape, @"{issues: [500 x {id: number, title: string(<=59)}], total: number}");
    insta::assert_snapshot!(shaped.preview, @r#"{issues: [{id: 1, title: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, {id: 2, title: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, {id: 3, title: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, {id: 4, title: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}, {id: 5, title: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."}, +495 more], total: 500}"#);
}

#[test]
fn shapes_tell_what_differs() {
    let outline = |value: Value| shape(&raw(&value), 1).shape.len();
    assert_eq!(outline(json!(["long enough"])), 0, "no room, no shape");
    let value = json!({
        "rows": [{"a": 1}, {"a": null, "b-c": true}],
        "deep": [[[[[[[[1]]]]]]]],
        "empty": [],
        "none": {},
        "text": "y".repeat(3_000),
        "lists": [[1, 2], [3]],
    });
    insta::assert_snapshot!(shape(&raw(&value), 1_000).shape, @r#"{rows: [2 x {a: number|null, "b-c"?: boolean}], deep: [1 x [1 x [1 x [1 items]]]], empty: [], none: {}, text: string(3000), lists: [2 x [1..2 x number]]}"#);
    let wide: serde_json::Map<String, Value> =
        (0..1_000).map(|i| (format!("key{i}"), Value::from(i))).collect();
    insta::assert_snapshot!(shape(&raw(&Value::Object(wide)), 1_000).shape, @"{key0: number, key1: number, key2: number, key3: number, key4: number, key5: number, key6: number, key7: number, key8: number, key9: number, key10: number, key11: number, key12: number, key13: number, key14: number, key15: number, +984 keys}");
}

#[test]
fn small_members_are_whole_beside_a_large_one() {
    let value = json!({"log": "z".repeat(5_000), "ok": true, "note": "all is \"well\""});
    insta::assert_snapshot!(shape(&raw(&value), 200).preview, @r#"{log: "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...", ok: true, note: "all is \"well\""}"#);
    let text = json!("a".repeat(3_000) + "the end");
    let preview = shape(&raw(&text), 100).preview;
    assert!(preview.starts_with("aaa") && preview.ends_with("the end"), "{preview}");
}

#[test]
fn a_large_value_is_read_without_keeping_it() {
    let row = r#"{"id": 12345, "name": "somebody", "tags": ["a", "b"]}"#;
    let text = format!("[{}]", vec![row; 100_000].join(","));
    let large: Box<RawValue> = serde_json::from_str(&text).unwrap();
    let started = std::time::Instant::now();
    let shaped = shape(&large, 2_048);
    assert!(started.elapsed().as_secs() < 5);
    assert_eq!(shaped.shape, "[100000 x {id: number, name: string, tags: [2 x string]}]");
    assert!(shaped.preview.ends_with(" more]"), "{}", shaped.preview);
    let piece = super::piece::read(large.get(), 2_048).unwrap();
    assert!(format!("{piece:?}").len() < 40_000, "kept too much");
}

#[test]
fn hostile_values_are_cut_too() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep: Box<RawValue> = serde_json::from_str(&deep).unwrap();
    let shaped = shape(&deep, 300);
    assert!(shaped.preview.len() + shaped.shape.len() <= 300);
    let keys = format!("{{\"{}\": 1e999, \"x\": 2}}", "k".repeat(10_000));
    let keys: Box<RawValue> = serde_json::from_str(&keys).unwrap();
    let shaped = shape(&keys, 100);
    assert!(!shaped.preview.is_empty() && shaped.preview.len() + shaped.shape.len() <= 100);
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
fn handles_stand_beside_structured_content() {
    let image = Content(json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}));
    let result = |structured: &str, content: Vec<Content>| ToolResult {
        content,
        structured_content: Some(serde_json::from_str(structured).unwrap()),
        is_error: false,
    };
    let text = Content::text("the same as text");
    let (value, handles) = program_value(&result("{ \"a\":1.0 }", vec![text]), 1);
    assert_eq!((value.as_str(), handles.len()), ("{ \"a\":1.0 }", 0));
    for (structured, value) in [
        ("{\"a\": 1 }", "{\"a\": 1,\"$content\":[{\"$content\":\"c2_1\""),
        ("{ }", "{\"$content\":[{\"$content\":\"c2_1\""),
    ] {
        let (got, handles) = program_value(&result(structured, vec![image.clone()]), 2);
        assert!(got.starts_with(value), "{got}");
        assert!(serde_json::from_str::<Value>(&got).is_ok(), "{got}");
        assert_eq!(handles.len(), 1);
    }
}

#[test]
fn texts_and_resources_are_kept_together() {
    let resource = json!({"type": "resource", "resource":
        {"uri": "file:///a", "mimeType": "text/plain", "text": "hello"}});
    let link = json!({"type": "resource_link", "uri": "file:///b", "name": "b"});
    let result = ToolResult {
        content: vec![Content::text("two files"), Content(resource), Content(link)],
        structured_content: None,
        is_error: false,
    };
    let (value, handles) = program_value(&result, 3);
    insta::assert_snapshot!(value, @r#"{"text":"two files","content":[{"$content":"c3_1","type":"resource","mimeType":"text/plain","uri":"file:///a","text":"hello"},{"$content":"c3_2","type":"resource_link","uri":"file:///b","name":"b"}]}"#);
    assert_eq!(handles.len(), 2);
}

fn report(end: RunEnd) -> RunReport {
    RunReport {
        run: RunId("run_1".to_owned()),
        end,
        logs: Vec::new(),
        logs_dropped: 0,
        shown: Vec::new(),
        calls: Vec::new(),
        usage: Usage { wall_us: 120_000, ..Usage::default() },
        bill: Bill { calls: 3, ms: 120, kept_bytes: 45_231, cached: 0 },
        text: String::new(),
    }
}

#[test]
fn a_report_reads_well() {
    let whole = shape(&raw(&json!({"a": [1, 2]})), 100);
    let mut returned = report(RunEnd::Returned(whole));
    returned.bill = Bill { calls: 1, ms: 7, kept_bytes: 0, cached: 0 };
    insta::assert_snapshot!(render_run(&returned), @r#"
{"a":[1,2]}
[1 call, 7 ms]
"#);

    let mut large = shape(&raw(&json!(vec!["row"; 400])), 120);
    large.artifact = Some(ArtifactId("art_x".to_owned()));
    let mut spilled = report(RunEnd::Returned(large));
    let line = |level, text: &str| LogLine { level, text: text.to_owned() };
    spilled.logs = vec![line(LogLevel::Info, "page 1"), line(LogLevel::Warn, "page 2 is empty")];
    spilled.logs_dropped = 8;
    insta::assert_snapshot!(render_run(&spilled), @r#"
["row", "row", "row", "row", "row", "row", "row", "row", "row", "row", "row", "row", +388 more]
shape: [400 x string]
too large: 2.4 KB kept; the next program reads it with artifact("art_x")
log:
page 1
warn: page 2 is empty
(8 lines left out)
[3 calls, 120 ms, 45.2 KB kept out of context]
"#);
}

#[test]
fn a_limit_of_nothing_is_no_recursion() {
    let none = RunEnd::Limit { limit: Limit::Calls, allowed: 0 };
    assert!(render_run(&report(none)).starts_with("limit reached: calls = 0; used "));
    let deep = RunEnd::Limit { limit: Limit::Stack, allowed: 0 };
    assert!(render_run(&report(deep)).starts_with("limit reached: stack; the recursion"));
}

#[test]
fn a_failure_says_what_and_where() {
    let at = |line, column| Position { line, column };
    let threw = RunEnd::Threw(ProgramError {
        name: "TypeError".to_owned(),
        message: "x is not a function".to_owned(),
        at: vec![at(3, 7)],
    });
    let rejected = RunEnd::Rejected {
        findings: vec![
            Finding { at: at(1, 7), message: "githb is not defined".to_owned() },
            Finding { at: at(2, 1), message: "files.read needs path".to_owned() },
        ],
    };
    let limit = RunEnd::Limit { limit: Limit::WallMs, allowed: 60_000 };
    let lost = RunEnd::Lost { reason: "it ended with signal 9".to_owned() };
    let texts: Vec<String> =
        [threw, rejected, limit, RunEnd::Deadlock, lost].map(|end| render_run(&report(end))).into();
    insta::assert_snapshot!(texts.join("\n\n"), @r#"
TypeError: x is not a function at 3:7
[3 calls, 120 ms, 45.2 KB kept out of context]

not run, no call was made:
1:7 githb is not defined
2:1 files.read needs path
[3 calls, 120 ms, 45.2 KB kept out of context]

limit reached: wall_ms = 60000; used wall_ms = 120; do less in one program
[3 calls, 120 ms, 45.2 KB kept out of context]

deadlock: the program waits for something that can never happen
[3 calls, 120 ms, 45.2 KB kept out of context]

the worker was lost: it ended with signal 9
[3 calls, 120 ms, 45.2 KB kept out of context]
"#);
}

#[test]
fn hits_read_well() {
    let hit = SearchHit {
        server: "git hub".to_owned(),
        tool: "list-issues".to_owned(),
        call: "git_hub.list_issues".to_owned(),
        signature: Some("git_hub.list_issues(args: {owner: string}): Promise<unknown>".to_owned()),
        description: Some("List issues\u{202e}\nof a repository".to_owned()),
        input_schema: Some(json!({"type": "object"})),
        output_schema: None,
    };
    let full = render_search(std::slice::from_ref(&hit), Detail::Full, Language::Python);
    insta::assert_snapshot!(full, @r#"
git_hub.list_issues(args: {owner: string}): Promise<unknown>
List issues
of a repository
input schema: {"type":"object"}
"#);
    let named = SearchHit { signature: None, description: Some("List issues".to_owned()), ..hit };
    let names = render_search(&[named.clone(), named], Detail::Names, Language::TypeScript);
    insta::assert_snapshot!(names, @r#"
git_hub.list_issues // List issues
git_hub.list_issues // List issues
"#);
    insta::assert_snapshot!(render_search(&[], Detail::Full, Language::Python), @"nothing fits; try other words, or several queries");
}

fn found(number: usize, description: usize, schema: usize) -> SearchHit {
    let schema = json!({"description": "s".repeat(schema)});
    SearchHit {
        server: "s".to_owned(),
        tool: format!("t{number}"),
        call: format!("s.t{number}"),
        signature: Some(format!("s.t{number}({{a: string}}): unknown")),
        description: Some("d".repeat(description)),
        input_schema: Some(schema.clone()),
        output_schema: Some(schema),
    }
}

#[test]
fn hits_are_cut_to_a_budget_and_counted() {
    let render = |hits: &[SearchHit], detail, bytes| {
        let text = fit_search(hits, detail, Language::TypeScript, bytes);
        assert!(text.len() <= bytes, "{} of {bytes}", text.len());
        text
    };
    let hits: Vec<SearchHit> = (0..50).map(|i| found(i, 100, 10)).collect();
    let text = render(&hits, Detail::Signatures, 1_000);
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(text.ends_with("\n44 more; ask with a smaller limit or detail \"names\""), "{text}");
    assert_eq!(render(&hits, Detail::Signatures, 100_000).lines().count(), 50);

    let hits: Vec<SearchHit> = (0..6).map(|i| found(i, 9_000, 50_000)).collect();
    let text = render(&hits, Detail::Full, 8_192);
    assert!(text.matches("(cut: 9000 bytes in all)").count() >= 2, "{text}");
    assert!((0..6).all(|i| text.contains(&format!("s.t{i}("))), "{text}");
    let one = render(&[found(1, 300, 3_000)], Detail::Full, 8_192);
    assert!(!one.contains("(cut"), "{one}");
    let one = render(&[found(1, 300, 300_000)], Detail::Full, 8_192);
    assert!(one.len() > 8_000 && one.contains(&"d".repeat(300)), "{one}");
    for bytes in [0, 10, 100, 300] {
        render(&hits, Detail::Full, bytes);
    }
}

#[test]
fn nothing_unseen_is_shown_of_a_hit() {
    let mut hit = found(1, 0, 0);
    let tags: String = ('\u{e0061}'..='\u{e0070}').collect();
    hit.description = Some(format!("Reads{tags} it"));
    hit.input_schema = Some(json!({"description": format!("a{tags}\u{2063}b")}));
    let text = fit_search(&[hit], Detail::Full, Language::Python, 8_192);
    assert!(text.is_ascii() && text.contains("Reads it") && text.contains("\"ab\""), "{text}");
}

#[test]
fn findings_are_cut_to_a_budget() {
    let finding = |i| Finding { at: Position { line: i, column: 1 }, message: "m".repeat(90) };
    let kept = fit_findings((1..=40).map(finding).collect(), 500);
    assert_eq!(kept.len(), 5);
    assert_eq!(kept.last().unwrap().message, "and 36 more findings");
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

#[test]
fn a_paused_run_tells_how_it_goes_on() {
    let asked = |id: &str, about: &str, schema: Option<&str>| Asked {
        id: id.to_owned(),
        kind: AskedKind::Ask,
        about: about.to_owned(),
        message: format!("question {id}?"),
        schema: schema.map(|s| RawValue::from_string(s.to_owned()).unwrap()),
    };
    let questions = [asked("q1", "", Some(r#"{"type":"object"}"#)), asked("q2", "git.push", None)];
    insta::assert_snapshot!(render_paused(&RunId("run_x".to_owned()), &questions), @r#"
    paused: run_x waits for answers
    q1 question q1? answer: {"type":"object"}
    q2 (git.push) question q2?
    go on with run({"resume": "run_x", "answers": [{"id": "q1", "content": {...}}, {"id": "q2", "content": {...}}]})
    "#);
}
