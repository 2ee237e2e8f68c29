//! Runs that wait for somebody: how each kind of client is asked, and how the run goes on.

use super::client::{Connection, Reply, Sent, Server};
use super::durable::{job, raw};
use super::{Answering, Scripted, config};
use crate::mcp::{Front, Source};
use narrows_types::{
    Action, Answer, Ask, Asked, AskedKind, Bill, Fault, Response, RunEnd, RunId, RunReport, Shaped,
    Usage, What,
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn asked(id: &str) -> Asked {
    let (kind, about) = match id {
        "q2" => (AskedKind::Elicit, "git.push"),
        _ => (AskedKind::Ask, ""),
    };
    let schema = raw(&json!({"type": "object", "properties": {"ok": {"type": "boolean"}}}));
    Asked {
        id: id.to_owned(),
        kind,
        about: about.to_owned(),
        message: format!("question {id}"),
        schema: Some(schema),
    }
}

pub(super) fn report(end: RunEnd, text: &str) -> RunReport {
    RunReport {
        run: RunId("run_x".to_owned()),
        end,
        logs: Vec::new(),
        logs_dropped: 0,
        shown: Vec::new(),
        calls: Vec::new(),
        usage: Usage::default(),
        bill: Bill::default(),
        text: text.to_owned(),
    }
}

pub(super) fn returned(value: &Value) -> RunEnd {
    let value = raw(value);
    RunEnd::Returned(Shaped {
        bytes: 1,
        value: Some(value),
        preview: String::new(),
        shape: String::new(),
        artifact: None,
    })
}

/// What somebody said, in order: `q1 accept {"ok":true}`.
fn said(answers: &[Response]) -> Vec<String> {
    let content = |a: &Response| a.content.as_ref().map_or("-".to_owned(), |c| c.get().to_owned());
    let action = |a: &Response| match a.action {
        Action::Accept => "accept",
        Action::Decline => "decline",
        Action::Cancel => "cancel",
    };
    answers.iter().map(|a| format!("{} {} {}", a.id, action(a), content(a))).collect()
}

/// A run asks q1 and q2; once both are answered, or any of a second round, it returns what was
/// said. Nothing is kept between two asks, as on two replicas.
fn script(ask: Ask) -> Result<Answer, Fault> {
    let paused = |ids: &[&str]| {
        let questions = ids.iter().map(|id| asked(id)).collect();
        Ok(Answer::Run(Box::new(report(RunEnd::Paused { questions }, "go on with run_x"))))
    };
    match ask.what {
        What::Run(run) if run.background => Ok(Answer::Job(Box::new(job("job_b", "queued")))),
        What::Run(run) => {
            assert!(run.follow, "whoever speaks MCP can follow");
            paused(if run.code == "one" { &["q1"] } else { &["q1", "q2"] })
        }
        What::Resume { answers, .. } if answers.is_empty() => paused(&["q1", "q2"]),
        What::Resume { answers, .. } if answers.len() == 1 && answers[0].id == "q1" => {
            paused(&["q2"])
        }
        // Somebody else was faster.
        What::Resume { answers, .. }
            if answers[1].action == Action::Cancel && answers[0].content.is_none() =>
        {
            Err(Fault::not_found("no open question q1"))
        }
        What::Resume { run, answers, .. } => {
            assert_eq!(run.as_str(), "run_x");
            let value = json!(said(&answers));
            Ok(Answer::Run(Box::new(report(returned(&value), "done"))))
        }
        other => panic!("{other:?}"),
    }
}

async fn start() -> Server {
    let answer: Answering = Box::new(|ask, _| Box::pin(std::future::ready(script(ask))));
    let script = Arc::new(Scripted { answer, ..Scripted::default() });
    Server::with(Front::new(Source::Script(script), Arc::new(config()))).await
}

fn capable(elicitation: &Value) -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": elicitation}})
}

fn call(code: &str, more: &Value) -> Value {
    let mut call =
        json!({"name": "run", "arguments": {"code": code}, "_meta": capable(&json!({}))});
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call
}

async fn result(server: &Server, params: Value) -> Value {
    let reply = server.modern("tools/call", params).await.json();
    reply.get("result").cloned().unwrap_or_else(|| panic!("{reply}"))
}

#[tokio::test]
async fn a_modern_client_is_asked_by_the_answer_and_goes_on_anywhere() {
    let (server, replica) = (start().await, start().await);
    let asks = result(&server, call("two", &json!({}))).await;
    assert_eq!(asks["resultType"], "input_required");
    let requests = asks["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests["q1"]["method"], "elicitation/create");
    assert_eq!(requests["q1"]["params"]["message"], "question q1");
    assert_eq!(requests["q1"]["params"]["requestedSchema"]["type"], "object");
    assert_eq!(requests["q2"]["params"]["message"], "[git.push] question q2", "who asks is told");
    let state = asks["requestState"].as_str().unwrap().to_owned();
    let both = json!({"requestState": state, "inputResponses": {
        "q1": {"action": "accept", "content": {"ok": true}},
        "q2": {"action": "decline"}, "q9": {"action": "accept"},
    }});
    let done = result(&replica, call("two", &both)).await;
    assert_eq!(done["resultType"], "complete");
    let value = json!([r#"q1 accept {"ok":true}"#, "q2 decline -"]);
    assert_eq!(done["structuredContent"]["value"], value, "what was not asked is not passed on");
    let late = json!({"requestState": state, "inputResponses": {
        "q1": {"action": "accept"}, "q2": {"action": "cancel"}}});
    let rest = result(&replica, call("two", &late)).await;
    assert_eq!(rest["resultType"], "input_required", "answers that come too late are no mistake");
    // What is left is asked again, and an empty retry changes nothing.
    let first = json!({"requestState": state, "inputResponses": {"q1": {"action": "accept"}}});
    let rest = result(&server, call("two", &first)).await;
    assert_eq!(rest["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["q2"]);
    let again = result(&server, call("two", &json!({"requestState": state}))).await;
    assert_eq!(again["inputRequests"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_state_holds_for_its_request_only() {
    let server = start().await;
    let asks = result(&server, call("two", &json!({}))).await;
    let state = asks["requestState"].as_str().unwrap();
    let changed = format!("{state}x");
    for (code, state) in
        [("other", state), ("two", &changed), ("two", "narrows_run.abc"), ("two", "")]
    {
        let params = call(code, &json!({"requestState": state, "inputResponses": {}}));
        let reply = server.modern("tools/call", params).await;
        assert_eq!(reply.error(), (200, -32602), "{code} {state}: {reply:?}");
    }
    let wrong = json!({"requestState": state, "inputResponses": {"q1": {"action": "perhaps"}}});
    let reply = server.modern("tools/call", call("two", &wrong)).await;
    assert_eq!(reply.error(), (200, -32602));
    assert!(
        reply.body.contains("the answer to q1 is no result of elicitation/create"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn whoever_cannot_be_asked_reads_how_to_go_on() {
    let server = start().await;
    for elicitation in [json!(null), json!({"url": {}}), json!(true)] {
        let mut call = call("two", &json!({}));
        call["_meta"] = capable(&elicitation);
        let told = result(&server, call).await;
        assert_eq!(told["resultType"], "complete", "{elicitation}");
        assert_eq!(told["structuredContent"]["end"], "paused");
        assert_eq!(told["content"][0]["text"], "go on with run_x");
        assert_eq!(told["isError"], true);
    }
    let mut call = call("two", &json!({}));
    call["_meta"] = capable(&json!({"form": {}, "url": {}}));
    assert_eq!(result(&server, call).await["resultType"], "input_required");
    let answers = json!([{"id": "q1", "content": {"ok": 1}}, {"id": "q2", "action": "cancel"}]);
    let go_on = json!({"name": "run", "arguments": {"resume": "run_x", "answers": answers}});
    let done = result(&server, go_on).await;
    let value = json!([r#"q1 accept {"ok":1}"#, "q2 cancel -"]);
    assert_eq!(done["structuredContent"]["value"], value);
}

async fn session(server: &Server, capabilities: &Value) -> String {
    let params = json!({"protocolVersion": "2025-11-25", "clientInfo": {},
        "capabilities": capabilities});
    let reply = server.send(&Sent::message("initialize", &params)).await;
    reply.header("mcp-session-id").unwrap().to_owned()
}

/// The next message of a stream.
async fn event(connection: &mut Connection) -> Value {
    loop {
        let chunk = connection.chunk().await.unwrap();
        let data = chunk.lines().find_map(|line| line.strip_prefix("data: "));
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            return serde_json::from_str(data).unwrap();
        }
    }
}

async fn answer(server: &Server, session: &str, id: &Value, outcome: &Value) {
    let mut body = json!({"jsonrpc": "2.0", "id": id});
    body.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    let sent = Sent::json("/mcp", body.to_string())
        .header("mcp-session-id", session)
        .header("accept", "application/json, text/event-stream");
    let reply: Reply = server.send(&sent).await;
    assert_eq!(reply.status, 202, "{reply:?}");
}

async fn legacy_call(server: &Server, session: &str, arguments: Value) -> Connection {
    let params = json!({"name": "run", "arguments": arguments});
    let call = Sent::message("tools/call", &params).header("mcp-session-id", session);
    let mut connection = server.open().await;
    connection.write(&call.bytes()).await;
    assert_eq!(connection.head().await.0, 200);
    connection
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_its_stream() {
    let server = start().await;
    let session = session(&server, &json!({"elicitation": {}})).await;
    let mut connection = legacy_call(&server, &session, json!({"code": "two"})).await;
    let (first, second) = (event(&mut connection).await, event(&mut connection).await);
    for asks in [&first, &second] {
        assert_eq!(asks["method"], "elicitation/create", "{asks}");
    }
    let yes = json!({"result": {"action": "accept", "content": {"ok": true}}});
    answer(&server, &session, &second["id"], &yes).await;
    answer(&server, &session, &first["id"], &json!({"result": {"action": "decline"}})).await;
    let done = event(&mut connection).await;
    let value = json!(["q1 decline -", r#"q2 accept {"ok":true}"#]);
    assert_eq!(done["result"]["structuredContent"]["value"], value, "{done}");
    assert!(done["result"].get("resultType").is_none());
}

#[tokio::test]
async fn what_a_legacy_client_does_not_answer_it_is_not_asked_twice() {
    let server = start().await;
    let session = session(&server, &json!({"elicitation": {}})).await;
    let mut connection = legacy_call(&server, &session, json!({"code": "two"})).await;
    let (first, second) = (event(&mut connection).await, event(&mut connection).await);
    answer(&server, &session, &first["id"], &json!({"result": {"action": "accept"}})).await;
    let error = json!({"error": {"code": -32601, "message": "no"}});
    answer(&server, &session, &second["id"], &error).await;
    let told = event(&mut connection).await;
    let questions = told["result"]["structuredContent"]["questions"].as_array().unwrap();
    assert_eq!((questions.len(), &questions[0]["id"]), (1, &json!("q2")), "{told}");
}

#[tokio::test]
async fn a_client_without_a_stream_or_the_capability_is_not_asked() {
    let server = start().await;
    for (capabilities, accept) in [
        (json!({"elicitation": {}}), "application/json"),
        (json!({}), "application/json, text/event-stream"),
    ] {
        let session = session(&server, &capabilities).await;
        let params = json!({"name": "run", "arguments": {"code": "two"}});
        let call = Sent::message("tools/call", &params)
            .header("mcp-session-id", &session)
            .header("accept", accept);
        let told = server.send(&call).await.json();
        assert_eq!(told["result"]["structuredContent"]["end"], "paused", "{told}");
    }
}

#[tokio::test]
async fn whoever_knows_no_tasks_gets_a_handle_in_words() {
    let server = start().await;
    let call = json!({"name": "run", "arguments": {"code": "long", "background": true}});
    let told = result(&server, call).await;
    assert_eq!(told["isError"], false);
    assert_eq!(told["structuredContent"]["job"], "job_b");
    let text = told["content"][0]["text"].as_str().unwrap();
    assert_eq!(text, "job_b is queued\nsearch({\"query\": \"job_b\"}) tells how it is");
}
