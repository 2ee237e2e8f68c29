//! A real MCP server whose every effect is counted: each call appends a line to a file before it is
//! answered, some time after it arrived and some time before the answer leaves, so that whoever is
//! killed is killed in every phase of a call.

#![expect(
    clippy::disallowed_methods,
    reason = "a test server sleeps, reads its flags and the clock"
)]

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HELP: &str = "\
counting-upstream --file FILE [--least MS] [--most MS]
  --file FILE   append `TOOL KEY` for each call of a tool, before it is answered
  --least MS    a call waits at least so long before its line, and again after it (10)
  --most MS     and at most so long (40)
";
const MODERN: &str = "2026-07-28";
/// Bytes of the largest text that `fill` gives.
const FILL_BYTES_MAX: u64 = 8 << 20;

struct Counter {
    file: File,
    least_ms: u64,
    most_ms: u64,
    chance: AtomicU64,
}

fn main() -> ExitCode {
    let (mut file, mut least_ms, mut most_ms) = (None, 10, 40);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().unwrap_or_default();
        match flag.as_str() {
            "--file" => file = OpenOptions::new().create(true).append(true).open(value).ok(),
            "--least" => least_ms = value.parse().unwrap_or(least_ms),
            "--most" => most_ms = value.parse().unwrap_or(most_ms),
            _ => return fail(HELP),
        }
    }
    let Some(file) = file else { return fail(HELP) };
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.subsec_nanos());
    let chance = AtomicU64::new(u64::from(seed) << 20 | u64::from(std::process::id()));
    let counter = Arc::new(Counter { file, least_ms, most_ms, chance });
    serve(&counter).map_or_else(|e| fail(&e.to_string()), |()| ExitCode::SUCCESS)
}

fn fail(why: &str) -> ExitCode {
    // Nothing is left to tell if standard error is closed.
    let _closed = writeln!(std::io::stderr(), "{why}");
    ExitCode::from(2)
}

/// One message a line; each call takes its time in a thread of its own.
fn serve(counter: &Arc<Counter>) -> std::io::Result<()> {
    let out = Arc::new(Mutex::new(std::io::stdout()));
    for line in std::io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        let Some(id) = message.get("id").cloned() else { continue };
        if message.get("method").is_some_and(|method| method == "tools/call") {
            let (counter, out) = (Arc::clone(counter), Arc::clone(&out));
            std::thread::spawn(move || write(&out, &answer(&id, counter.call(&message))));
        } else {
            write(&out, &answer(&id, plain(&message)));
        }
    }
    Ok(())
}

fn answer(id: &Value, outcome: Result<Value, (i64, String)>) -> Value {
    match outcome {
        Ok(mut result) => {
            if let Some(members) = result.as_object_mut() {
                members.insert("resultType".to_owned(), json!("complete"));
            }
            json!({"jsonrpc": "2.0", "id": id, "result": result})
        }
        Err((code, message)) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
    }
}

fn plain(message: &Value) -> Result<Value, (i64, String)> {
    let info = json!({"name": "counting-upstream", "version": "1"});
    match message.get("method").and_then(Value::as_str).unwrap_or_default() {
        "initialize" => Ok(json!({"protocolVersion": message.pointer("/params/protocolVersion"),
            "capabilities": {"tools": {}}, "serverInfo": info})),
        "server/discover" => Ok(json!({"supportedVersions": [MODERN],
            "capabilities": {"tools": {}}, "ttlMs": 60_000, "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": info}})),
        "tools/list" => Ok(json!({"tools": tools(), "ttlMs": 60_000, "cacheScope": "public"})),
        "ping" => Ok(json!({})),
        _ => Err((-32601, "method not found".to_owned())),
    }
}

fn tools() -> Vec<Value> {
    let key = json!({"type": "object", "properties": {"key": {"type": "string"}},
        "required": ["key"]});
    let tool = |name: &str, description: &str, hints: Value| {
        json!({"name": name, "description": description, "inputSchema": key,
            "annotations": hints})
    };
    let bytes = json!({"type": "object", "properties": {"bytes": {"type": "integer"}},
        "required": ["bytes"]});
    let ms = json!({"type": "object", "properties": {"ms": {"type": "integer"}},
        "required": ["ms"]});
    vec![
        tool("add", "Adds one to a key; twice is two.", json!({"idempotentHint": false})),
        tool("put", "Puts a key; twice is once.", json!({"idempotentHint": true})),
        tool("read", "Reads a key.", json!({"readOnlyHint": true})),
        json!({"name": "fill", "description": "Gives so many bytes of text.",
            "inputSchema": bytes, "annotations": {"readOnlyHint": true}}),
        json!({"name": "wait", "description": "Takes so many milliseconds.",
            "inputSchema": ms, "annotations": {"readOnlyHint": true}}),
    ]
}

impl Counter {
    fn call(&self, message: &Value) -> Result<Value, (i64, String)> {
        let at = |path: &str| message.pointer(&format!("/params/{path}"));
        let number = |name: &str| at(&format!("arguments/{name}")).and_then(Value::as_u64);
        let name = at("name").and_then(Value::as_str).unwrap_or_default();
        match name {
            "fill" => {
                let bytes = number("bytes").unwrap_or_default().min(FILL_BYTES_MAX);
                return Ok(text(&"x".repeat(usize::try_from(bytes).unwrap_or_default())));
            }
            "wait" => {
                std::thread::sleep(Duration::from_millis(number("ms").unwrap_or_default()));
                return Ok(text("over"));
            }
            _ => {}
        }
        let Some(key) = at("arguments/key").and_then(Value::as_str) else {
            return Err((-32602, "there is no key".to_owned()));
        };
        if !["add", "put", "read"].contains(&name) {
            return Err((-32602, format!("unknown tool {name}")));
        }
        self.pause();
        // One write, so that lines of several processes never mix.
        let line = format!("{name} {key}\n");
        if let Err(e) = (&self.file).write_all(line.as_bytes()) {
            return Err((-32603, format!("it was not counted: {e}")));
        }
        self.pause();
        let told = json!({"done": key});
        Ok(json!({"content": [{"type": "text", "text": told.to_string()}],
            "structuredContent": told}))
    }

    fn pause(&self) {
        // splitmix64: every call its own time.
        let mut z = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let room = self.most_ms.saturating_sub(self.least_ms) + 1;
        std::thread::sleep(Duration::from_millis(self.least_ms + (z ^ (z >> 31)) % room));
    }
}

fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

fn write(out: &Mutex<std::io::Stdout>, message: &Value) {
    let Ok(mut out) = out.lock() else { return };
    let line = format!("{message}\n");
    // A client that went away is the end of the input too.
    let _gone = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}
