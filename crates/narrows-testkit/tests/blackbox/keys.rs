//! Where keys are configured, no door opens without one, and a key opens only what it is for.

use crate::house::{House, scripted};
use serde_json::json;

const ANN: &str = "ann-has-a-key-of-thirty-two-letters";
const BOB: &str = "bob-has-a-key-of-thirty-two-letters";

#[test]
fn every_door_over_http_asks_for_the_key() {
    let house = House::with(&json!({
        "servers": {"one": scripted(&[]), "two": scripted(&[])},
        "keys": {"ann": {"key": ANN, "servers": ["one"], "mode": "mcp"}, "bob": {"key": BOB}},
    }));
    let http = house.http();
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let ask = |head: &str, key: Option<&str>, body: &str| {
        let key = key.map(|key| format!("\nAuthorization: Bearer {key}")).unwrap_or_default();
        let (head, body) = http.send(&format!("{head}{key}"), body);
        let status: u16 = head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
        let session = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        let told = head.to_ascii_lowercase().contains("\nwww-authenticate: bearer");
        assert_eq!(status == 401, told, "{head}");
        (status, body, session.unwrap_or_default())
    };
    let post = "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream";
    for wrong in [None, Some("ann"), Some("")] {
        assert_eq!(ask(post, wrong, hello).0, 401, "{wrong:?}");
        assert_eq!(ask("GET /sse HTTP/1.1\nAccept: text/event-stream", wrong, "").0, 401);
        assert_eq!(ask("POST /v1/search HTTP/1.1", wrong, r#"{"query":"echo"}"#).0, 401);
        assert_eq!(ask("POST /v1/run HTTP/1.1", wrong, r#"{"code":"return 1"}"#).0, 401);
        assert_eq!(ask("POST /v1/tools/one/echo HTTP/1.1", wrong, r#"{"text":"x"}"#).0, 401);
        assert_eq!(ask("GET /v1/tools HTTP/1.1", wrong, "").0, 401);
    }
    let (status, said, _) = ask("POST /v1/tools/two/echo HTTP/1.1", Some(ANN), r#"{"text":"x"}"#);
    assert!(status >= 400, "{status} {said}");
    let (status, said, _) = ask("POST /v1/tools/one/echo HTTP/1.1", Some(ANN), r#"{"text":"x"}"#);
    assert_eq!(status, 200, "{said}");
    let (status, said, ann) = ask(post, Some(ANN), hello);
    assert_eq!(status, 200, "{said}");
    // A session answers to the key that opened it only.
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    let in_session = format!("{post}\nMcp-Session-Id: {ann}");
    let (status, said, _) = ask(&in_session, Some(ANN), list);
    assert!(status == 200 && said.contains("one.echo") && !said.contains("two.echo"), "{said}");
    for other in [None, Some(BOB)] {
        let (status, said, _) = ask(&in_session, other, list);
        assert!(matches!(status, 401 | 403 | 404), "{status} {said}");
    }
}
