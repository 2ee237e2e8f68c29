//! Bad input at every door: a clear error, nothing hangs, the next request works.

use crate::house::{House, scripted};
use serde_json::{Value, json};

#[test]
fn stdio_answers_bad_lines_and_goes_on() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let mut agent = house.agent();
    agent.initialize();
    let cases = [
        ("{not json", -32700),
        ("[]", -32600),
        ("\"text\"", -32600),
        (r#"{"jsonrpc":"2.0","id":7}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":8,"method":"no/such"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"nope"}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":10,"method":"tools/call","params":[1]}"#, -32602),
    ];
    for (line, code) in cases {
        agent.line(line);
        let answer = agent.read();
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    for arguments in [
        json!({}),
        json!({"code": 5}),
        json!({"code": ""}),
        json!({"code": "return 1", "langage": "python"}),
        json!({"code": "return 1", "language": "cobol"}),
        json!({"code": "return 1", "timeout_ms": -4}),
    ] {
        let result = agent.tool("run", &arguments);
        assert_eq!(result["isError"], true, "{arguments}: {result}");
    }
    assert_eq!(agent.value("typescript", "return 1 + 1"), 2);
}

#[test]
fn http_answers_bad_requests_and_goes_on() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let http = house.http();
    let post = "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream";
    let status = |head: &str, body: &str| {
        let (head, body) = http.send(head, body);
        let code: u16 = head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
        (code, body)
    };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(status(post, "{not json").0, 400);
    assert_eq!(status(&format!("{post}\nOrigin: https://evil.example"), ping).0, 403);
    assert_eq!(status(&format!("{post}\nHost: evil.example"), ping).0, 403);
    assert_eq!(status("DELETE /mcp HTTP/1.1", "").0, 405);
    assert_eq!(status("GET /mcp HTTP/1.1\nAccept: text/event-stream", "").0, 405);
    assert_eq!(status(&format!("{post}\nMcp-Session-Id: nope"), ping).0, 404);
    assert_eq!(status(post, &"x".repeat(5 << 20)).0, 413);
    let (code, body) = status("POST /v1/run HTTP/1.1", r#"{"code": 1}"#);
    assert_eq!(code, 400, "{body}");
    let (code, body) = status("POST /v1/tools/scripted/ecko HTTP/1.1", "{}");
    assert_eq!(code, 404, "{body}");
    assert!(body.contains("echo"), "{body}");
    assert_eq!(status("GET /livez HTTP/1.1", "").0, 200);
    assert_eq!(status("GET /readyz HTTP/1.1", "").0, 200);
    assert_eq!(status("GET /openapi.json HTTP/1.1", "").0, 200);
    let (code, answer) = http.post("/v1/run", &json!({"code": "return 6 * 7"}));
    assert_eq!((code, &answer["value"]), (200, &json!(42)), "{answer}");
    let (code, answer) = http.post("/v1/tools/scripted/echo", &json!({"text": "hi"}));
    assert_eq!(code, 200);
    assert_eq!(answer["structuredContent"]["echo"], "hi", "{answer}");
    let (code, answer) = http.post("/v1/search", &json!({"query": "give back a text"}));
    assert_eq!(code, 200);
    assert_eq!(answer["results"][0]["tool"], "echo", "{answer}");
}

#[test]
fn bad_config_says_where_and_what() {
    let house = House::new(&json!({}));
    let cases: [(&str, &[&str]); 4] = [
        (r#"{"servers": {"git": {"comand": "x"}}}"#, &["comand", "command"]),
        (r#"{"servers": {"git": {"command": 5}}}"#, &["git", "command"]),
        (r#"{"servers": "#, &["narrows.json:1", "not valid JSON"]),
        (r#"{"serverz": {}}"#, &["serverz", "servers"]),
    ];
    for (text, words) in cases {
        std::fs::write(&house.config, text).unwrap();
        let output = house.output(&["servers"]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {err}");
        for word in words {
            assert!(err.contains(word), "{text}: {err}");
        }
    }
}

#[test]
fn a_server_that_hangs_at_start_delays_nobody_else() {
    let config = json!({"servers": {
        "hanging": {"command": crate::house::binary("scripted-upstream"), "args": ["--hang-at-start"], "start_timeout_ms": 2000},
        "good": {"command": crate::house::binary("scripted-upstream")},
    }});
    let house = House::with(&config);
    let mut agent = house.agent();
    agent.initialize();
    let value = agent.value("typescript", "return (await good.echo({text: 'quick'})).echo");
    assert_eq!(value, "quick");
    let start = std::time::Instant::now();
    let result: Value = agent.run("typescript", "return await hanging.echo({text: 'x'})");
    assert_eq!(result["isError"], true, "{result:#}");
    assert!(start.elapsed().as_secs() < 20, "{result:#}");
}

#[test]
fn arguments_of_many_lines_are_one_message_for_the_server() {
    let house = House::new(&json!({"scripted": scripted(&[])}));
    let inner = "{\"jsonrpc\":\"2.0\",\"id\":777,\"method\":\"tools/call\",\"params\":{\"name\":\"crash\"}}";
    let output = house.output(&[
        "call",
        "scripted.echo",
        &format!("{{\n\"text\": \"a\",\"more\":\n{inner}\n}}"),
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("\"a\""), "{said}");
    let http = house.http();
    let pretty = "{\n  \"text\": \"b\"\n}";
    let head = "POST /v1/tools/scripted/echo HTTP/1.1";
    let (status, body) = http.send(head, pretty);
    assert!(status.contains("200") && body.contains("\"b\""), "{status} {body}");
}
