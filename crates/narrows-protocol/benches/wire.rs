//! Messages as we read them and pass them on (what is not inspected stays text) beside all of it as
//! a value, and beside the official SDK's types.
//!
//! `cargo xtask bench wire`. Read each pair as a ratio: `value` and `rmcp` are the baselines of the
//! same run. It fails where passing a message on costs more than a fifth of what `rmcp` needs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use criterion::{Criterion, Throughput};
use narrows_protocol::envelope::response;
use narrows_protocol::relay::{Keep, to_modern};
use narrows_protocol::views::{ToolPage, tool, tool_result};
use narrows_protocol::{Id, Message};
use narrows_types::ToolSpec;
use rmcp::model::{JsonRpcMessage, NumberOrString, ServerJsonRpcMessage};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TOOLS: usize = 300;
const RESULT_BYTES: usize = 116 << 10;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let page = list_page();
    assert_eq!(read_page(&page), TOOLS);
    let result = structured_result();
    assert!(read_result(&result) > RESULT_BYTES / 2);

    let mut group = criterion.benchmark_group("wire/list_of_300_tools");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("narrows", |b| b.iter(|| read_page(black_box(&page))));
    group.bench_function("value", |b| b.iter(|| value(black_box(&page))));
    group.finish();

    let mut group = criterion.benchmark_group("wire/result_of_116_kb");
    group.throughput(Throughput::Bytes(result.len() as u64));
    group.bench_function("narrows", |b| b.iter(|| read_result(black_box(&result))));
    group.bench_function("value", |b| b.iter(|| value(black_box(&result))));
    group.finish();

    for (name, text) in [("list_of_300_tools", &page), ("result_of_116_kb", &result)] {
        assert_eq!(value(&passed_on(text)), value(&typed(text)), "both pass on the same");
        let mut group = criterion.benchmark_group(format!("wire/pass_on_{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("narrows", |b| b.iter(|| passed_on(black_box(text))));
        group.bench_function("narrows_to_modern", |b| b.iter(|| adapted(black_box(text))));
        group.bench_function("rmcp", |b| b.iter(|| typed(black_box(text))));
        group.finish();
        let (ours, theirs) = (fastest(|| passed_on(text)), fastest(|| typed(text)));
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        let adapted = fastest(|| adapted(text));
        println!(
            "{name}: passed on {ours:?}, adapted {adapted:?}, rmcp {theirs:?}: {ratio:.1} times"
        );
        assert!(ratio >= RATIO_MIN, "passing on costs more than a fifth of what rmcp needs");
    }
    criterion.final_summary();
}

/// What `rmcp` needs, as a multiple of what we may need.
const RATIO_MIN: f64 = 5.0;

/// The best of some runs: others use this machine too.
fn fastest(run: impl Fn() -> String) -> Duration {
    let once = || {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    };
    (0..50).map(|_| once()).min().unwrap()
}

/// Read, and written again under another id.
fn passed_on(text: &str) -> String {
    response(&Id::from(9), &body(text)).unwrap()
}

/// The same with all that a client of the other era wants in it.
fn adapted(text: &str) -> String {
    let keep = Keep { ttl_ms: 60_000, private: true };
    let result = to_modern(body(text).get(), Some(r#"{"name":"narrows"}"#), Some(keep)).unwrap();
    format!(r#"{{"jsonrpc":"2.0","id":9,"result":{result}}}"#)
}

fn typed(text: &str) -> String {
    let mut message: ServerJsonRpcMessage = serde_json::from_str(text).unwrap();
    match &mut message {
        JsonRpcMessage::Response(response) => response.id = NumberOrString::Number(9),
        other => panic!("{other:?}"),
    }
    serde_json::to_string(&message).unwrap()
}

/// The body of a response that went well.
fn body(text: &str) -> &RawValue {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Response { outcome: Ok(result), .. }) => result,
        other => panic!("{other:?}"),
    }
}

fn read_page(text: &str) -> usize {
    let page: ToolPage<'_> = serde_json::from_str(body(text).get()).unwrap();
    let tools: Vec<ToolSpec> = page.tools.into_iter().map(|raw| tool(raw).unwrap()).collect();
    tools.len()
}

fn read_result(text: &str) -> usize {
    tool_result(body(text)).unwrap().structured_content.unwrap().get().len()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn list_page() -> String {
    let tools: Vec<Value> = (0..TOOLS)
        .map(|number| {
            json!({
                "name": format!("list_things_{number}"),
                "title": "List things",
                "description": "Lists the things of a place, newest first. Use the cursor of one \
                                page to get the next one; without a state every thing is listed.",
                "inputSchema": {
                    "type": "object",
                    "properties": {
                        "owner": {"type": "string", "description": "The owner of the place"},
                        "place": {"type": "string", "description": "The name of the place"},
                        "state": {"type": "string", "enum": ["open", "closed", "all"]},
                        "labels": {"type": "array", "items": {"type": "string"}},
                        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 30},
                        "cursor": {"type": ["string", "null"]},
                    },
                    "required": ["owner", "place"],
                    "additionalProperties": false,
                },
                "annotations": {"readOnlyHint": true, "openWorldHint": true},
            })
        })
        .collect();
    json!({"jsonrpc": "2.0", "id": 2, "result": {"tools": tools, "nextCursor": "b"}}).to_string()
}

/// Rows as structured content, with a summary as text.
fn structured_result() -> String {
    let mut rows: Vec<Value> = Vec::new();
    let mut bytes = 0;
    while bytes < RESULT_BYTES {
        let id = rows.len();
        let row = json!({
            "id": id,
            "title": format!("Thing {id} does not \"do\" what it says"),
            "state": if id.is_multiple_of(3) { "open" } else { "closed" },
            "score": f64::from(u16::try_from(id).unwrap()) / 8.0,
            "labels": ["bug", "help wanted"],
            "author": {"login": "somebody", "admin": false, "email": null},
        });
        bytes += row.to_string().len() + 1;
        rows.push(row);
    }
    let content = json!([{"type": "text", "text": format!("{} things", rows.len())}]);
    let result = json!({"content": content, "structuredContent": {"rows": rows}, "isError": false});
    json!({"jsonrpc": "2.0", "id": 3, "result": result}).to_string()
}
