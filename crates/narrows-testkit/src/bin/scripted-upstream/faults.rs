//! Tools that go wrong in every way that a server can (`--faults`), and what is written down of
//! calls so that a test knows what arrived (`--log`).

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Resources that a storm updates, and one that is updated last.
const RESOURCES: u64 = 10;
/// How often a tool looks whether what it waits for has come.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// What a server has beside its usual tools.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) on: bool,
    pub(crate) log: Option<File>,
    stormed: AtomicBool,
}

/// A call as the tools here see it.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Value,
    pub(crate) token: Option<&'a Value>,
}

pub(crate) fn log(path: &str) -> Option<File> {
    OpenOptions::new().create(true).append(true).open(path).ok()
}

impl Faults {
    /// Writes down that something arrived, and where.
    pub(crate) fn write(&self, what: &str) {
        if let Some(mut log) = self.log.as_ref() {
            // Whoever reads it finds out what is missing.
            let _full = log.write_all(format!("{what} {}\n", std::process::id()).as_bytes());
        }
    }

    pub(crate) fn capabilities(&self) -> Value {
        if !self.on {
            return json!({"tools": {}});
        }
        json!({"tools": {"listChanged": true}, "logging": {},
            "resources": {"subscribe": true, "listChanged": true}})
    }

    pub(crate) fn tools(&self) -> Vec<Value> {
        if !self.on {
            return Vec::new();
        }
        let tool = |name: &str, description: &str, hints: Value| {
            json!({"name": name, "description": description, "annotations": hints,
                "inputSchema": {"type": "object", "properties": {"until": {"type": "string"},
                    "least": {"type": "integer"}, "kind": {"type": "string"}}}})
        };
        let mut tools = vec![
            tool("look", "Waits for a file; reads only.", json!({"readOnlyHint": true})),
            tool(
                "put",
                "Waits for a file; the same twice is once.",
                json!({"idempotentHint": true}),
            ),
            tool("act", "Waits for a file; twice is not once.", json!({})),
            tool("storm", "Tells thousands of things until a file is there.", json!({})),
            tool("garble", "Answers in a way that no server should.", json!({})),
        ];
        if self.stormed.load(Ordering::SeqCst) {
            tools.push(tool("calm", "Is there after the storm.", json!({})));
        }
        tools
    }

    /// The result of requests that a server without these tools does not know.
    pub(crate) fn answer(&self, method: &str) -> Option<Value> {
        let names = (0..RESOURCES).map(|n| n.to_string()).chain(["last".to_owned()]);
        match method {
            _ if !self.on => None,
            "resources/list" => {
                let resources: Vec<_> =
                    names.map(|n| json!({"uri": format!("storm://{n}"), "name": n})).collect();
                Some(json!({"resources": resources}))
            }
            "resources/templates/list" => Some(json!({"resourceTemplates": []})),
            "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => Some(json!({})),
            _ => None,
        }
    }

    pub(crate) fn takes_time(&self, tool: Option<&str>) -> bool {
        self.on && matches!(tool, Some("look" | "put" | "act" | "storm"))
    }

    pub(crate) fn call(&self, call: &Call<'_>, note: &mut dyn FnMut(&str)) -> Option<Value> {
        let until = call.arguments.get("until").and_then(Value::as_str).map(Path::new);
        let waits = || until.is_some_and(|file| !file.exists());
        let told = match call.name {
            _ if !self.on => return None,
            "look" | "put" | "act" => {
                while waits() {
                    std::thread::sleep(LOOK_PAUSE);
                }
                json!({"pid": std::process::id()})
            }
            "storm" => {
                let least = call.arguments.get("least").and_then(Value::as_u64).unwrap_or(0);
                let mut rounds = 0;
                while rounds < least || waits() {
                    gust(rounds, call.token, note);
                    rounds += 1;
                }
                // What counts comes last.
                self.stormed.store(true, Ordering::SeqCst);
                updated("last", note);
                changed("tools", note);
                self.write("stormed");
                json!({"rounds": rounds})
            }
            _ => return None,
        };
        Some(json!({"content": [{"type": "text", "text": told.to_string()}],
            "structuredContent": told}))
    }
}

/// One of each kind of notification.
fn gust(round: u64, token: Option<&Value>, note: &mut dyn FnMut(&str)) {
    for kind in ["tools", "prompts", "resources"] {
        changed(kind, note);
    }
    updated(&(round % RESOURCES).to_string(), note);
    let log = json!({"level": "info", "data": format!("gust {round}")});
    send("notifications/message", &log, note);
    for token in token.into_iter().chain([&json!("nobody's")]) {
        let progress = json!({"progressToken": token, "progress": round + 1});
        send("notifications/progress", &progress, note);
    }
}

fn changed(kind: &str, note: &mut dyn FnMut(&str)) {
    send(&format!("notifications/{kind}/list_changed"), &json!({}), note);
}

fn updated(name: &str, note: &mut dyn FnMut(&str)) {
    send("notifications/resources/updated", &json!({"uri": format!("storm://{name}")}), note);
}

fn send(method: &str, params: &Value, note: &mut dyn FnMut(&str)) {
    note(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
}

/// What is written in place of an answer, and whether the server ends then.
pub(crate) fn garbled(message: &Value) -> Option<(Vec<u8>, bool)> {
    let called = message.get("method").and_then(Value::as_str) == Some("tools/call");
    let name = message.pointer("/params/name").and_then(Value::as_str);
    if !called || name != Some("garble") {
        return None;
    }
    let kind = message.pointer("/params/arguments/kind").and_then(Value::as_str)?;
    let id = message.get("id")?;
    let good = |text: &str| {
        let result = json!({"content": [{"type": "text", "text": text}]});
        format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "result": result})).into_bytes()
    };
    let with = |member: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}{member}}}\n").into_bytes();
    let first = |mut bytes: Vec<u8>| {
        bytes.push(b'\n');
        bytes.extend(good("well"));
        bytes
    };
    let half = || format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"conte").into_bytes();
    let bytes = match kind {
        "half and the end" => return Some((half(), true)),
        "half" => [half(), b"\n".to_vec()].concat(),
        "not JSON first" => first(b"{this is not JSON}".to_vec()),
        "bytes first" => first(
            (0..1_u32 << 20)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .map(|byte| if byte == b'\n' { 0 } else { byte })
                .collect(),
        ),
        "open brackets first" => first(vec![b'['; 1 << 20]),
        "an error for nobody first" => {
            first(br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}"#.to_vec())
        }
        "an empty batch first" => first(b"[]".to_vec()),
        "questions first" => {
            let ping =
                |n: u32| format!("{{\"jsonrpc\":\"2.0\",\"id\":\"q{n}\",\"method\":\"ping\"}}\n");
            first((0..20_000).flat_map(|n| ping(n).into_bytes()).collect())
        }
        "another id" => {
            format!("{}\n", json!({"jsonrpc": "2.0", "id": 987_654, "result": {}})).into_bytes()
        }
        "the id as text" => String::from_utf8_lossy(&good("well"))
            .replace(&format!("\"id\":{id}"), &format!("\"id\":\"{id}\""))
            .into_bytes(),
        "a batch" => [b"[", good("well").trim_ascii_end(), b"]\n"].concat(),
        "twice" => [good("well"), good("again")].concat(),
        "nothing" => with(""),
        "an error and a result" => {
            with(r#","error":{"code":1,"message":"no"},"result":{"content":[]}"#)
        }
        "a text" => with(r#","result":"text""#),
        "a list" => with(r#","result":[1,2]"#),
        "content of a wrong kind" => with(r#","result":{"content":{"type":7}}"#),
        "no UTF-8" => [
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            id.to_string().as_bytes(),
            b",\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"\xff\xfe\"}]}}\n",
        ]
        .concat(),
        "half a letter" => with(r#","result":{"content":[{"type":"text","text":"\ud800"}]}"#),
        "a code that is none" => with(r#","error":{"code":1e300,"message":"no"}"#),
        "an error without end" => {
            with(&format!(r#","error":{{"code":1,"message":"{}"}}"#, "no".repeat(1 << 20)))
        }
        "deep" => with(&format!(
            r#","result":{{"content":[],"structuredContent":{{"deep":{}{}}}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        )),
        "large" => good(&"x".repeat(20 << 20)),
        "a line without end" => vec![b'{'; 70 << 20],
        _ => return None,
    };
    Some((bytes, false))
}
