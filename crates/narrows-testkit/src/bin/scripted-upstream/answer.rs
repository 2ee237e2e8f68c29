//! What the server answers.

use crate::faults::{self, Call, Faults};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const MODERN: &str = "2026-07-28";
/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// The flags.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) era: String,
    pub(crate) list: Option<String>,
    pub(crate) hang: bool,
    pub(crate) garbage: bool,
    pub(crate) die_after: u32,
    pub(crate) broken_tool: bool,
    pub(crate) page: usize,
    pub(crate) faults: Faults,
}

pub(crate) struct Server {
    pub(crate) script: Script,
    tools: Vec<Value>,
    calls: AtomicU32,
    progress: AtomicU32,
}

impl Server {
    pub(crate) fn new(script: Script) -> Result<Self, String> {
        let mut tools = match &script.list {
            Some(file) => saved(file)?,
            None => own(),
        };
        if script.broken_tool {
            tools.push(json!({"name": "broken", "inputSchema": "not a schema"}));
        }
        Ok(Self { script, tools, calls: AtomicU32::new(0), progress: AtomicU32::new(0) })
    }

    /// Whether a message asks for something that waits.
    pub(crate) fn takes_time(&self, message: &Value) -> bool {
        let tool = message.pointer("/params/name").and_then(Value::as_str);
        let usual = self.script.list.is_none() && matches!(tool, Some("sleep" | "progress"));
        usual || self.script.faults.takes_time(tool)
    }

    /// What is written in place of an answer, and whether the server ends then.
    pub(crate) fn garbled(&self, message: &Value) -> Option<(Vec<u8>, bool)> {
        if self.script.faults.on { faults::garbled(message) } else { None }
    }

    /// The answer's line, if the message wants one; notes are sent before it.
    pub(crate) fn answer(&self, message: &Value, note: &mut dyn FnMut(&str)) -> Option<String> {
        let id = message.get("id")?.clone();
        let method = message.get("method")?.as_str()?;
        let params = message.get("params").cloned().unwrap_or_default();
        let modern = params.pointer("/_meta/io.modelcontextprotocol~1protocolVersion").is_some();
        let outcome = match method {
            "initialize" if self.script.era != "modern" => Ok(self.initialize(&params)),
            "server/discover" if self.script.era != "legacy" => Ok(self.discover()),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(self.page(&params)),
            "tools/call" => self.call(&params, note),
            other => self
                .script
                .faults
                .answer(other)
                .ok_or_else(|| (-32601, format!("method not found: {other}"))),
        };
        let line = match outcome {
            Ok(mut result) => {
                if modern && let Some(object) = result.as_object_mut() {
                    object.entry("resultType").or_insert_with(|| json!("complete"));
                }
                json!({"jsonrpc": "2.0", "id": id, "result": result})
            }
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        };
        Some(line.to_string())
    }

    fn initialize(&self, params: &Value) -> Value {
        let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or("2025-11-25");
        let capabilities = self.script.faults.capabilities();
        json!({"protocolVersion": asked, "capabilities": capabilities, "serverInfo": info()})
    }

    fn discover(&self) -> Value {
        json!({"supportedVersions": [MODERN], "capabilities": self.script.faults.capabilities(),
            "ttlMs": 0, "cacheScope": "public", "resultType": "complete",
            "_meta": {"io.modelcontextprotocol/serverInfo": info()}})
    }

    fn page(&self, params: &Value) -> Value {
        let start: usize =
            params.get("cursor").and_then(Value::as_str).and_then(|c| c.parse().ok()).unwrap_or(0);
        let more = self.script.faults.tools();
        let all = self.tools.len() + more.len();
        let size = if self.script.page == 0 { all } else { self.script.page };
        let tools: Vec<&Value> = self.tools.iter().chain(&more).skip(start).take(size).collect();
        let next = start + tools.len();
        if next < all {
            let cursor = next.to_string();
            return json!({"tools": tools, "ttlMs": 0, "cacheScope": "public", "nextCursor": cursor});
        }
        json!({"tools": tools, "ttlMs": 0, "cacheScope": "public"})
    }

    fn call(&self, params: &Value, note: &mut dyn FnMut(&str)) -> Result<Value, (i32, String)> {
        let count = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.script.die_after > 0 && count >= self.script.die_after {
            die();
        }
        let name = params.get("name").and_then(Value::as_str).unwrap_or_default();
        let arguments = params.get("arguments").cloned().unwrap_or_else(|| json!({}));
        self.script.faults.write(name);
        let token = params.pointer("/_meta/progressToken");
        let call = Call { name, arguments: &arguments, token };
        if let Some(result) = self.script.faults.call(&call, note) {
            return Ok(result);
        }
        if self.script.list.is_some() {
            return Ok(structured(&json!({"tool": name, "arguments": arguments})));
        }
        let number = |key: &str| arguments.get(key).and_then(Value::as_u64).unwrap_or(0);
        match name {
            "echo" => Ok(structured(&json!({"echo": arguments.get("text")}))),
            "sleep" => {
                std::thread::sleep(Duration::from_millis(number("ms")));
                Ok(structured(&json!({"slept": number("ms")})))
            }
            "big" => Ok(big(number("bytes"))),
            "fail" => Ok(
                json!({"content": [{"type": "text", "text": "it failed as asked"}], "isError": true}),
            ),
            "image" => {
                Ok(json!({"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}))
            }
            "text" => Ok(json!({"content": [{"type": "text", "text": "plain words"}]})),
            "crash" => die(),
            "progress" => {
                self.report(params, note);
                Ok(structured(&json!({"done": true})))
            }
            other => Err((-32602, format!("unknown tool: {other}"))),
        }
    }

    fn report(&self, params: &Value, note: &mut dyn FnMut(&str)) {
        let Some(token) = params.pointer("/_meta/progressToken") else { return };
        for step in 1..=3 {
            self.progress.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
            let line = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": step, "total": 3}});
            note(&line.to_string());
        }
    }
}

#[expect(clippy::exit, reason = "dying in the middle of a call is what the script asks for")]
pub(crate) fn die() -> ! {
    std::process::exit(3)
}

fn structured(value: &Value) -> Value {
    json!({"content": [{"type": "text", "text": value.to_string()}], "structuredContent": value})
}

/// A list of records of about so many bytes, as structured content.
fn big(bytes: u64) -> Value {
    let rows: Vec<Value> = (0..bytes / 100)
        .map(|i| json!({"id": i, "name": format!("record number {i:06}"), "state": if i % 1000 == 7 { "open" } else { "closed" }, "note": "0123456789012345"}))
        .collect();
    json!({"content": [], "structuredContent": {"rows": rows}})
}

fn info() -> Value {
    json!({"name": "scripted-upstream", "version": "1.0.0"})
}

fn saved(file: &str) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let list: Value = serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
    list.get("tools").and_then(Value::as_array).cloned().ok_or(format!("{file}: no `tools`"))
}

fn own() -> Vec<Value> {
    let tool = |name: &str, description: &str, properties: Value, required: Value| {
        json!({"name": name, "description": description, "inputSchema":
            {"type": "object", "properties": properties, "required": required}})
    };
    let ms = json!({"ms": {"type": "integer", "minimum": 0, "description": "milliseconds"}});
    let bytes = json!({"bytes": {"type": "integer", "minimum": 0}});
    vec![
        tool("echo", "Gives back the text.", json!({"text": {"type": "string"}}), json!(["text"])),
        tool("sleep", "Waits and answers.", ms, json!(["ms"])),
        tool("big", "A large list of records.", bytes, json!(["bytes"])),
        tool("fail", "Always fails.", json!({}), json!([])),
        tool("image", "A tiny picture.", json!({}), json!([])),
        tool("text", "Plain text.", json!({}), json!([])),
        tool("crash", "Ends the server.", json!({}), json!([])),
        tool("progress", "Reports progress three times.", json!({}), json!([])),
    ]
}
