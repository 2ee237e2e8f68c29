//! What is passed on: to an upstream that asks, tells and changes, as a script plays it.

use super::client::{Connection, Reply, Sent, Server};
use super::{Answering, Scripted, config};
use crate::config::Config;
use crate::mcp::{Front, Source};
use narrows_types::{
    Answer, Ask, Changes, Event, Fault, ListAsk, Listed, Method, Mode, Offering, Passed, Question,
    Update, What, WireError,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// Asks the client and gives what came back, as text.
async fn ask(events: &mpsc::Sender<Event>, number: u64, method: &str) -> String {
    let (answer, answered) = oneshot::channel();
    let question = Question {
        number,
        method: method.to_owned(),
        params: Some(raw(&json!({"message": format!("question {number}")}))),
        answer: Box::new(move |outcome| drop(answer.send(outcome))),
    };
    events.send(Event::Question(question)).await.unwrap();
    match answered.await {
        Ok(Ok(result)) => result.get().to_owned(),
        Ok(Err(error)) => format!("declined {}", error.code),
        Err(_dropped) => "dropped".to_owned(),
    }
}

fn note(method: &str, params: &Value) -> Event {
    Event::Note { method: method.to_owned(), params: Some(raw(params)) }
}

/// An upstream: what it does is the name of its tool.
async fn upstream(ask_: Ask, events: Option<mpsc::Sender<Event>>) -> Result<Answer, Fault> {
    let pass = match ask_.what {
        What::Pass(pass) => pass,
        What::List(ListAsk { cursor, .. }) => {
            let items = Arc::from(raw(&json!([{"name": "a.b", "x": 1.50}])));
            let next_cursor = cursor.is_none().then(|| "more".to_owned());
            return Ok(Answer::Listed(Listed { items, next_cursor, ttl_ms: 7, private: false }));
        }
        _ => return Err(Fault::not_found("not in the script")),
    };
    if pass.method != Method::CallTool {
        return Ok(Answer::Passed(Passed::Result(raw(&json!({})))));
    }
    let events = events.expect("the door listens");
    let text = match pass.about.as_str() {
        "ask" => ask(&events, 1, "elicitation/create").await,
        "ask twice" => {
            let both = (ask(&events, 1, "elicitation/create"), ask(&events, 2, "roots/list"));
            let (first, second) = tokio::join!(both.0, both.1);
            let third = ask(&events, 3, "sampling/createMessage").await;
            format!("{first} {second} {third}")
        }
        "tell" => {
            let progress = json!({"progress": 0.5, "total": 2});
            events.send(note("notifications/progress", &progress)).await.unwrap();
            for level in ["debug", "error"] {
                let log = json!({"level": level, "data": level});
                events.send(note("notifications/message", &log)).await.unwrap();
            }
            "told".to_owned()
        }
        "fail" => {
            let data = Some(raw(&json!({"k": 1.50})));
            let error = WireError { code: -32_002, message: "no such thing".to_owned(), data };
            return Ok(Answer::Passed(Passed::Error(error)));
        }
        "fault" => return Err(Fault::invalid("wrong arguments").hint("f(a: string)")),
        "nonesuch" => return Err(Fault::not_found("there is no nonesuch")),
        _ => pass.params.get().to_owned(),
    };
    let result = json!({"content": [{"type": "text", "text": text}]});
    Ok(Answer::Passed(Passed::Result(raw(&result))))
}

fn script() -> Scripted {
    let answer: Answering = Box::new(|ask, events| Box::pin(upstream(ask, events)));
    let capabilities = json!({"tools": {}, "prompts": {}, "resources": {"subscribe": true},
        "extensions": {"io.modelcontextprotocol/ui": {}}});
    let offers = vec![Offering {
        server: "s".to_owned(),
        modern: false,
        capabilities: raw(&capabilities).into(),
        instructions: Some("be kind".to_owned()),
    }];
    Scripted { answer, offers, ..Scripted::default() }
}

async fn start() -> (Server, Arc<Scripted>) {
    let script = Arc::new(script());
    let config = Config { mode: Mode::Mcp, ..config() };
    let front = Front::new(Source::Script(Arc::clone(&script)), Arc::new(config));
    (Server::with(front).await, script)
}

const ASKABLE: &str = "io.modelcontextprotocol/clientCapabilities";

fn askable() -> Value {
    json!({ASKABLE: {"elicitation": {}, "roots": {}, "sampling": {}}})
}

fn text(reply: &Value) -> &str {
    reply["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

#[tokio::test]
async fn a_modern_call_goes_and_comes_as_it_is() {
    let (server, _) = start().await;
    let reply =
        server.modern("tools/call", json!({"name": "echo", "arguments": {"a": 1.50}})).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let result = reply.json();
    assert_eq!(result["result"]["resultType"], "complete");
    let sent: Value = serde_json::from_str(text(&result)).unwrap();
    assert_eq!(sent["arguments"], json!({"a": 1.50}));

    let reply = server.modern("tools/call", json!({"name": "fail"})).await;
    assert_eq!(reply.error(), (200, -32602), "the code of the client's era");
    assert_eq!(reply.json()["error"]["data"], json!({"k": 1.50}));
    assert_eq!(server.modern("tools/call", json!({"name": "nonesuch"})).await.error().1, -32602);
    let reply = server.modern("tools/call", json!({"name": "fault"})).await.json();
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("f(a: string)"), "the model reads the signature");

    let list = server.modern("tools/list", json!({})).await;
    assert!(list.body.contains(r#"[{"name":"a.b","x":1.5}]"#), "{list:?}");
    let list = list.json()["result"].clone();
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(7), &json!("public")));
    assert_eq!(list["nextCursor"], "more");
    assert_eq!(server.modern("nonesuch/list", json!({})).await.error(), (404, -32601));
    let found = server.modern("server/discover", json!({})).await.json()["result"].clone();
    assert_eq!(found["capabilities"]["prompts"], json!({"listChanged": true}));
    assert_eq!(found["capabilities"]["extensions"], json!({"io.modelcontextprotocol/ui": {}}));
    assert_eq!(found["instructions"], "be kind");
}

#[tokio::test]
async fn the_mode_of_a_request_counts() {
    let (server, _) = start().await;
    let mut sent = Sent::modern("prompts/list", json!({}));
    sent.path = "/mcp?mode=code";
    assert_eq!(server.send(&sent).await.error(), (404, -32601));
    sent.path = "/mcp?mode=mcp";
    assert_eq!(server.send(&sent).await.status, 200);
    sent.path = "/mcp?mode=other";
    assert_eq!(server.send(&sent).await.status, 400);
}

#[tokio::test]
async fn progress_gets_the_clients_token_and_logs_only_where_wanted() {
    let (server, _) = start().await;
    let params = json!({"name": "tell", "_meta": {"progressToken": "t"}});
    let events = server.modern("tools/call", params).await.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0]["params"], json!({"progressToken": "t", "progress": 0.5, "total": 2}));
    let level = "io.modelcontextprotocol/logLevel";
    let params = json!({"name": "tell", "_meta": {level: "warning"}});
    let events = server.modern("tools/call", params).await.events();
    assert_eq!(events[0]["params"]["data"], "error");
    assert_eq!((events.len(), text(&events[1])), (2, "told"));

    let session = server.session("2025-11-25").await;
    let called = server.legacy(&session, "tools/call", json!({"name": "tell"})).await.events();
    assert_eq!(called.len(), 3, "both levels, and the answer");
    assert!(called[2]["result"].get("resultType").is_none());
    let set = server.legacy(&session, "logging/setLevel", json!({"level": "error"})).await;
    assert_eq!(set.json()["result"], json!({}));
    let called = server.legacy(&session, "tools/call", json!({"name": "tell"})).await.events();
    assert_eq!(called.len(), 2, "{called:?}");
}

/// The next message of a stream; events that only name a place to come back to are none.
async fn event(connection: &mut Connection) -> Value {
    loop {
        let chunk = connection.chunk().await.unwrap();
        let data = chunk.lines().find_map(|line| line.strip_prefix("data: "));
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            return serde_json::from_str(data).unwrap();
        }
    }
}

async fn legacy_session(server: &Server) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "clientInfo": {},
        "capabilities": {"elicitation": {}}});
    let reply = server.send(&Sent::message("initialize", &params)).await;
    reply.header("mcp-session-id").unwrap().to_owned()
}

fn answer(session: &str, id: &Value) -> Sent<'static> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept"}});
    Sent::json("/mcp", body.to_string()).header("Mcp-Session-Id", session)
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_the_stream_of_its_request() {
    let (server, script) = start().await;
    let session = legacy_session(&server).await;
    let other = legacy_session(&server).await;
    let mut waiting = server.open().await;
    let call = Sent::message("tools/call", &json!({"name": "ask"}));
    waiting.write(&call.header("Mcp-Session-Id", &session).bytes()).await;
    assert_eq!(waiting.head().await.0, 200);
    let asked = event(&mut waiting).await;
    assert_eq!(asked["method"], "elicitation/create");
    assert_eq!(asked["params"]["message"], "question 1");
    // Somebody else's answer is none.
    assert_eq!(server.send(&answer(&other, &asked["id"])).await.status, 202);
    assert_eq!(server.send(&answer(&session, &asked["id"])).await.status, 202);
    let last = event(&mut waiting).await;
    assert_eq!(text(&last), r#"{"action":"accept"}"#);
    // What was not declared is not asked.
    let third = server.session("2025-11-25").await;
    let called = server.legacy(&third, "tools/call", json!({"name": "ask"}));
    assert_eq!(text(&called.await.json()), "declined -32601");
    let end = Sent::new("DELETE", "/mcp", "").header("Mcp-Session-Id", &session);
    assert_eq!(server.send(&end).await.status, 204);
    assert_eq!(script.farewells.lock().unwrap().len(), 1);
}

async fn retry(server: &Server, asked: &Reply, name: &str, answers: Value) -> Reply {
    let asked = asked.json();
    let state = &asked["result"]["requestState"];
    assert!(state.is_string(), "{asked}");
    let params = json!({"name": name, "_meta": askable(), "inputResponses": answers,
        "requestState": state});
    server.modern("tools/call", params).await
}

#[tokio::test]
async fn a_modern_client_is_asked_by_an_answer() {
    let (server, _) = start().await;
    let first = server.modern("tools/call", json!({"name": "ask twice", "_meta": askable()})).await;
    let result = first.json()["result"].clone();
    assert_eq!(result["resultType"], "input_required");
    let requests = result["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 2, "asked together: {result}");
    assert_eq!(requests["q1"]["method"], "elicitation/create");
    // One answer is missing: it is asked again.
    let second = retry(&server, &first, "ask twice", json!({"q1": {"n": 1}, "other": {}})).await;
    let result = second.json()["result"].clone();
    assert_eq!(result["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["q2"]);
    // A state is good once, and for its request only.
    assert_eq!(retry(&server, &first, "ask twice", json!({})).await.error().1, -32602);
    assert_eq!(retry(&server, &second, "ask", json!({})).await.error().1, -32602);
    let third = retry(&server, &second, "ask twice", json!({"q2": {"n": 2}})).await;
    assert_eq!(third.json()["result"]["inputRequests"]["q3"]["method"], "sampling/createMessage");
    let last = retry(&server, &third, "ask twice", json!({"q3": {"n": 3}})).await;
    assert_eq!(text(&last.json()), r#"{"n":1} {"n":2} {"n":3}"#);
    assert_eq!(last.json()["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_state_that_was_tampered_with_is_refused() {
    let (server, _) = start().await;
    let asked = server.modern("tools/call", json!({"name": "ask", "_meta": askable()})).await;
    let state = asked.json()["result"]["requestState"].as_str().unwrap().to_owned();
    let (head, last) = state.split_at(state.len() - 1);
    let tampered = format!("{head}{}", if last == "A" { "B" } else { "A" });
    for state in [tampered, "narrows.".to_owned(), "narrows.x".to_owned()] {
        let params = json!({"name": "ask", "_meta": askable(), "requestState": state,
            "inputResponses": {"q1": {}}});
        assert_eq!(server.modern("tools/call", params).await.error().1, -32602, "{state}");
    }
    let answered = retry(&server, &asked, "ask", json!({"q1": {"action": "decline"}})).await;
    assert_eq!(text(&answered.json()), r#"{"action":"decline"}"#);
    // What was not declared is not asked.
    let plain = server.modern("tools/call", json!({"name": "ask"})).await;
    assert_eq!(text(&plain.json()), "declined -32601");
}

#[tokio::test]
async fn changes_reach_who_listens() {
    let (server, script) = start().await;
    let filter = json!({"notifications": {"toolsListChanged": true,
        "resourceSubscriptions": ["x:1"]}});
    let mut listening = server.open().await;
    listening.write(&Sent::modern("subscriptions/listen", filter.clone()).bytes()).await;
    assert_eq!(listening.head().await.0, 200);
    let first = event(&mut listening).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["notifications"], filter["notifications"]);
    let mark = json!({"io.modelcontextprotocol/subscriptionId": 7});
    assert_eq!(first["params"]["_meta"], mark);

    let session = server.session("2025-11-25").await;
    let get = Sent::new("GET", "/mcp", "")
        .header("Mcp-Session-Id", &session)
        .header("Accept", "text/event-stream");
    // What changed before the stream was opened is told on it.
    script.changes.send_replace(Changes { tools: 1, prompts: 1, resources: 0 });
    let changed = event(&mut listening).await;
    assert_eq!(changed["method"], "notifications/tools/list_changed");
    assert_eq!(changed["params"]["_meta"], mark);
    let mut standing = server.open().await;
    standing.write(&get.bytes()).await;
    assert_eq!(standing.head().await.0, 200);
    assert_eq!(event(&mut standing).await["method"], "notifications/tools/list_changed");
    assert_eq!(event(&mut standing).await["method"], "notifications/prompts/list_changed");

    let subscribe = json!({"uri": "x:2"});
    let reply = server.legacy(&session, "resources/subscribe", subscribe).await;
    assert_eq!(reply.json()["result"], json!({}));
    for uri in ["x:3", "x:1", "x:2"] {
        let params = raw(&json!({"uri": uri}));
        script.updates.send(Update { server: "s".into(), uri: uri.to_owned(), params }).unwrap();
    }
    let updated = event(&mut listening).await;
    assert_eq!(updated["params"], json!({"uri": "x:1", "_meta": mark}));
    assert_eq!(event(&mut standing).await["params"], json!({"uri": "x:2"}));

    server.shutdown.cancel();
    let last = event(&mut listening).await;
    assert_eq!(last["result"], json!({"resultType": "complete", "_meta": mark}));
}

#[tokio::test]
async fn annotated_arguments_are_repeated_in_headers() {
    let definition = json!({"name": "echo", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}}}});
    let script = Scripted { definition: Some(raw(&definition)), ..script() };
    let config = Config { mode: Mode::Mcp, ..config() };
    let front = Front::new(Source::Script(Arc::new(script)), Arc::new(config));
    let server = Server::with(front).await;
    let call =
        || Sent::modern("tools/call", json!({"name": "echo", "arguments": {"region": "k\u{f6}"}}));
    for (why, sent) in [
        ("missing", call()),
        ("another", call().header("Mcp-Param-Region", "eu")),
        ("broken", call().header("Mcp-Param-Region", "=?base64?%?=")),
    ] {
        assert_eq!(server.send(&sent).await.error(), (400, -32020), "{why}");
    }
    let right = call().header("Mcp-Param-Region", "=?base64?a8O2?=");
    assert_eq!(server.send(&right).await.status, 200);
    let without = Sent::modern("tools/call", json!({"name": "echo", "arguments": {}}));
    assert_eq!(server.send(&without).await.status, 200);
    let surplus = without.header("Mcp-Param-Region", "eu");
    assert_eq!(server.send(&surplus).await.error(), (400, -32020));
}
