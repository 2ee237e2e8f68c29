//! What the server answers: texts that are put together, nothing is built as a tree.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

const INFO: &str = r#"{"name":"echo-upstream","version":"1.0.0"}"#;
const TOOLS: &str = r#"{"tools":[{"name":"echo","description":"Gives back the text.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}},{"name":"hang","description":"Never answers.","inputSchema":{"type":"object","properties":{}}},{"name":"sleep","description":"Answers after a while.","inputSchema":{"type":"object","properties":{"ms":{"type":"integer"}},"required":["ms"]}}],"ttlMs":60000,"cacheScope":"public","resultType":"complete"}"#;
const MODERN: &str = "io.modelcontextprotocol/protocolVersion";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    name: &'a str,
    #[serde(borrow)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    ms: Option<u64>,
}

#[derive(Deserialize)]
struct Opening<'a> {
    #[serde(rename = "protocolVersion")]
    revision: &'a str,
}

/// When an answer is given.
pub(crate) enum When {
    Now,
    After(Duration),
    Never,
}

/// Appends the answer to a message to `out`; `None` if it wants none.
pub(crate) fn answer(message: &[u8], out: &mut Vec<u8>) -> Option<When> {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(message) else {
        return Some(failed("null", -32700, "not a message", out));
    };
    let id = message.id?.get();
    let params = message.params.map_or("{}", RawValue::get);
    Some(match message.method? {
        "tools/call" => call(id, params, out),
        "initialize" => {
            let revision =
                serde_json::from_str(params).map_or("2025-11-25", |o: Opening<'_>| o.revision);
            result(
                id,
                &[
                    "{\"protocolVersion\":\"",
                    revision,
                    "\",\"capabilities\":{\"tools\":{}},\"serverInfo\":",
                    INFO,
                    "}",
                ],
                out,
            )
        }
        "server/discover" => result(
            id,
            &[
                "{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},\"ttlMs\":60000,\"cacheScope\":\"public\",\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":",
                INFO,
                "}}",
            ],
            out,
        ),
        "tools/list" => result(id, &[TOOLS], out),
        "ping" => result(id, &["{}"], out),
        _ => failed(id, -32601, "method not found", out),
    })
}

fn call(id: &str, params: &str, out: &mut Vec<u8>) -> When {
    let Ok(call) = serde_json::from_str::<Call<'_>>(params) else {
        return failed(id, -32602, "params are not understood", out);
    };
    let text = call.arguments.as_ref().and_then(|a| a.text).map_or("\"\"", RawValue::get);
    let seal = if params.contains(MODERN) { ",\"resultType\":\"complete\"}" } else { "}" };
    match call.name {
        "echo" | "sleep" => {
            result(id, &["{\"content\":[{\"type\":\"text\",\"text\":", text, "}]", seal], out);
            match call.arguments.and_then(|a| a.ms) {
                Some(ms) => When::After(Duration::from_millis(ms)),
                None => When::Now,
            }
        }
        "hang" => When::Never,
        _ => failed(id, -32602, "unknown tool", out),
    }
}

fn result(id: &str, parts: &[&str], out: &mut Vec<u8>) -> When {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b",\"result\":");
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'}');
    When::Now
}

fn failed(id: &str, code: i32, why: &str, out: &mut Vec<u8>) -> When {
    let text = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"{why}\"}}}}"
    );
    out.extend_from_slice(text.as_bytes());
    When::Now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> serde_json::Value {
        let mut out = Vec::new();
        assert!(matches!(answer(message.as_bytes(), &mut out), Some(When::Now)));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn it_gives_back_the_text_with_the_id() {
        let told = text(
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"text":"é\n"}}}"#,
        );
        assert_eq!(told["id"], "a");
        assert_eq!(told["result"]["content"][0]["text"], "é\n");
        assert!(told["result"].get("resultType").is_none());
    }

    #[test]
    fn it_speaks_both_eras() {
        let told =
            text(r#"{"id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#);
        assert_eq!(told["result"]["protocolVersion"], "2025-06-18");
        let told = text(r#"{"id":1,"method":"server/discover","params":{}}"#);
        assert_eq!(told["result"]["supportedVersions"][0], "2026-07-28");
        assert_eq!(text(r#"{"id":1,"method":"tools/list"}"#)["result"]["tools"][0]["name"], "echo");
        assert_eq!(text(r#"{"id":1,"method":"nothing"}"#)["error"]["code"], -32601);
        assert!(answer(br#"{"method":"notifications/initialized"}"#, &mut Vec::new()).is_none());
    }
}
