//! Requests of clients through a fleet: what arrives, what comes back, what is heard meanwhile.

use crate::house::{PATIENCE, exists, fleet, raw, scripted, until, with_env};
use narrows_types::{
    Back, Client, ClientSession, Event, ListKind, Method, Passed, Question, WireError,
};
use narrows_upstream::{Era, Fleet, Launch, Passing, ServerConfig, UpstreamError};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The scripted server that offers everything.
fn whole(name: &str, flags: &[&str]) -> ServerConfig {
    let mut server = scripted(name, flags);
    if let Launch::Stdio { args, .. } = &mut server.launch {
        args[0] = args[0].replace("server.py", "whole.py");
    }
    server
}

fn capable() -> Arc<RawValue> {
    raw(&json!({"elicitation": {}, "sampling": {}, "roots": {}, "tasks": {}})).into()
}

/// A legacy client with a conversation, which can be asked everything.
fn legacy(session: u64) -> Client {
    let info = Some(raw(&json!({"name": "agent", "version": "7"})).into());
    let session = Some(ClientSession(session));
    Client { session, capabilities: Some(capable()), info, ..Client::default() }
}

fn modern() -> Client {
    Client { modern: true, capabilities: Some(capable()), ..Client::default() }
}

struct Through<'a> {
    fleet: &'a Fleet,
    server: &'a str,
    client: Arc<Client>,
    events: Option<mpsc::Sender<Event>>,
}

impl Through<'_> {
    async fn pass(
        &self,
        method: Method,
        name: Option<&str>,
        params: &str,
    ) -> Result<Passed, UpstreamError> {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        let passing = Passing {
            method,
            name,
            params: &params,
            principal: "local",
            client: Arc::clone(&self.client),
            events: self.events.clone(),
            deadline: Instant::now() + PATIENCE,
        };
        self.fleet.pass(self.server, passing).await
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments}).to_string();
        told(&result(self.pass(Method::CallTool, None, &params).await))
    }
}

fn through<'a>(fleet: &'a Fleet, server: &'a str, client: Client) -> Through<'a> {
    Through { fleet, server, client: Arc::new(client), events: None }
}

/// With what is heard meanwhile.
fn hearing<'a>(
    fleet: &'a Fleet,
    server: &'a str,
    client: Client,
) -> (Through<'a>, mpsc::Receiver<Event>) {
    let (events, heard) = mpsc::channel(32);
    (Through { events: Some(events), ..through(fleet, server, client) }, heard)
}

fn result(passed: Result<Passed, UpstreamError>) -> Value {
    match passed.unwrap() {
        Passed::Result(result) => serde_json::from_str(result.get()).unwrap(),
        Passed::Error(error) => unreachable!("{error:?}"),
    }
}

/// What the scripted server says in the text of a result.
fn told(result: &Value) -> Value {
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

fn question(event: Option<Event>) -> Question {
    match event {
        Some(Event::Question(question)) => question,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn parameters_arrive_as_they_are_but_for_one_hop() {
    let fleet = fleet(vec![whole("old", &[]), whole("new", &["modern"])]);
    let params = r#"{"name":"x.params","arguments":{ "n" : 1.50 },"vendor":[1],
        "_meta":{"progressToken":"mine","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","baggage":"b","k":{}}}"#;
    let client = Client { capabilities: None, ..modern() };
    for (server, metas) in [("old", 3), ("new", 6)] {
        let through = through(&fleet, server, client.clone());
        let passed = through.pass(Method::CallTool, Some("params"), params).await;
        let seen = told(&result(passed));
        assert_eq!(seen["name"], "params");
        assert_eq!(seen["vendor"], json!([1]));
        let meta = seen["_meta"].as_object().unwrap();
        assert_eq!(meta["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(meta["k"], json!({}));
        assert!(meta["progressToken"].is_i64() && !meta.contains_key("baggage"), "{meta:?}");
        assert_eq!(meta.len(), metas, "{meta:?}");
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn every_method_reaches_its_upstream() {
    let fleet = fleet(vec![whole("old", &[]), whole("new", &["modern"])]);
    for server in ["old", "new"] {
        let through = through(&fleet, server, Client::default());
        let prompt = result(through.pass(Method::GetPrompt, Some("p"), r#"{"name":"s.p"}"#).await);
        let seen: Value = serde_json::from_str(prompt["description"].as_str().unwrap()).unwrap();
        assert_eq!(seen["name"], "p");
        let read = through.pass(Method::ReadResource, Some("t://r"), r#"{"uri":"s+t://r"}"#).await;
        assert_eq!(result(read)["contents"][0]["uri"], "t://r");
        let params = r#"{"ref":{"type":"ref/prompt","name":"s.p"},"argument":{}}"#;
        let completed = result(through.pass(Method::CompletePrompt, Some("p"), params).await);
        let seen = completed["completion"]["values"][0].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(seen).unwrap()["name"], "p");
        // What the upstream does not know, it says so itself.
        let task = through.pass(Method::GetTask, None, r#"{"taskId":"t"}"#).await.unwrap();
        assert!(matches!(task, Passed::Error(WireError { code: -32602, .. })), "{task:?}");
        let error = through.pass(Method::CallTool, None, r#"{"name":"fail"}"#).await.unwrap();
        let Passed::Error(error) = error else { unreachable!("{error:?}") };
        assert_eq!((error.code, error.message.as_str()), (-32099, "no\nway"));
        assert_eq!(error.data.unwrap().get(), r#"{"n": 1.5}"#);
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn progress_and_logs_go_to_the_request_that_they_belong_to() {
    let fleet = fleet(vec![whole("old", &[])]);
    let level = Client { log_level: Some("info".into()), ..Client::default() };
    let (through, mut heard) = hearing(&fleet, "old", level);
    let params = r#"{"name":"log","_meta":{"progressToken":9}}"#;
    assert_eq!(told(&result(through.pass(Method::CallTool, None, params).await)), true);
    let mut notes = Vec::new();
    while let Ok(event) = heard.try_recv() {
        let Event::Note { method, params } = event else { unreachable!("{event:?}") };
        let params: Value = serde_json::from_str(params.unwrap().get()).unwrap();
        notes.push((method, params));
    }
    let levels: Vec<_> = notes.iter().map(|(_, p)| p["level"].as_str().unwrap_or("-")).collect();
    assert_eq!(levels, ["info", "error", "-"], "{notes:?}");
    assert_eq!(notes[2].0, "notifications/progress");
    let expected = json!({"progress": 1, "total": 2, "message": "half", "vendor": [1]});
    assert_eq!(notes[2].1, expected);
    assert_eq!(through.call("state", json!({})).await["levels"], json!(["info"]));
    // A modern client that wants no logs hears none, and no token is made up.
    let (through, mut heard) = hearing(&fleet, "old", Client { modern: true, ..Client::default() });
    assert_eq!(through.call("log", json!({})).await, false);
    assert!(heard.try_recv().is_err());
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_its_own_connection() {
    for flags in [&[][..], &["dual"][..]] {
        let fleet = fleet(vec![whole("one", flags)]);
        let (through, mut heard) = hearing(&fleet, "one", legacy(1));
        let ask = json!({"method": "elicitation/create", "params": {"message": "who?"}});
        let client = async {
            let asked = question(heard.recv().await);
            assert_eq!(asked.method, "elicitation/create");
            assert_eq!(asked.params.unwrap().get(), r#"{"message": "who?"}"#);
            (asked.answer)(Ok(raw(&json!({"action": "accept", "content": {"a": 1}}))));
        };
        let (answered, ()) = tokio::join!(through.call("ask", ask), client);
        assert_eq!(answered, json!({"action": "accept", "content": {"a": 1}}));
        let state = through.call("state", json!({})).await;
        let declared = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        assert_eq!(state["opened"]["capabilities"], declared);
        assert_eq!(state["opened"]["clientInfo"]["name"], "agent");
        // What is shared declares nothing and is another connection.
        let other = self::through(&fleet, "one", Client::default());
        let shared = other.call("state", json!({})).await;
        assert_ne!(shared["pid"], state["pid"]);
        if flags.is_empty() {
            assert_eq!(shared["opened"]["capabilities"], json!({}));
        } else {
            assert_eq!(shared["opened"], json!(null), "it is spoken to in the modern era");
        }
        // The end of the client is the end of its connection.
        let pid = state["pid"].as_i64().unwrap();
        fleet.farewell(ClientSession(1));
        until("its process is gone", || !exists(pid)).await;
        assert!(exists(shared["pid"].as_i64().unwrap()));
        fleet.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_not_answered_is_declined() {
    let fleet = fleet(vec![whole("one", &[])]);
    let (through, mut heard) = hearing(&fleet, "one", legacy(1));
    let ask = json!({"method": "sampling/createMessage"});
    let client = async { drop(question(heard.recv().await)) };
    let (answered, ()) = tokio::join!(through.call("ask", ask), client);
    assert_eq!(answered["code"], -1, "{answered}");
    // One that the upstream takes back is told of.
    let ask = json!({"method": "roots/list", "withdraw": true});
    let client = async {
        let asked = question(heard.recv().await);
        let withdrawn = heard.recv().await;
        assert!(matches!(withdrawn, Some(Event::Withdrawn { number }) if number == asked.number));
    };
    let (answered, ()) = tokio::join!(through.call("ask", ask), client);
    assert_eq!(answered, "withdrawn");
    // One that the client cannot be asked is refused.
    let shared = self::through(&fleet, "one", Client::default());
    let refused = shared.call("ask", json!({"method": "roots/list"})).await;
    assert_eq!(refused["code"], -32601);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_question_outside_of_requests_goes_back_to_the_client() {
    let fleet = fleet(vec![whole("one", &[])]);
    let (tell, mut heard) = mpsc::channel(8);
    let back = Back::new(move |event| tell.try_send(event).map_err(|e| Box::new(e.into_inner())));
    let through = through(&fleet, "one", Client { back: Some(back), ..legacy(1) });
    assert_eq!(through.call("ask-later", json!({})).await, "soon");
    let asked = question(heard.recv().await);
    (asked.answer)(Ok(raw(&json!({"roots": []}))));
    let mut seen = json!([]);
    for _ in 0..200 {
        seen = through.call("state", json!({})).await["seen"].clone();
        if seen.as_array().is_some_and(|seen| !seen.is_empty()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(seen[0]["result"], json!({"roots": []}));
    fleet.roots_changed(ClientSession(1)).await;
    let seen = through.call("state", json!({})).await["seen"].clone();
    assert_eq!(seen[1], "roots changed");
    fleet.shutdown().await;
}

#[tokio::test]
async fn modern_clients_of_a_legacy_server_have_connections_in_turn() {
    let fleet = fleet(vec![whole("one", &[])]);
    let ask = |n: i64| json!({"method": "elicitation/create", "params": {"n": n}});
    let (one, mut first) = hearing(&fleet, "one", modern());
    let (two, mut second) = hearing(&fleet, "one", modern());
    // Each question comes to the request that it is about, though the server cannot tell.
    let client = async {
        let (one, two) = (question(first.recv().await), question(second.recv().await));
        assert!(one.params.unwrap().get().contains('1'));
        assert!(two.params.unwrap().get().contains('2'));
        (two.answer)(Ok(raw(&json!("two"))));
        (one.answer)(Ok(raw(&json!("one"))));
    };
    let (a, b, ()) = tokio::join!(one.call("ask", ask(1)), two.call("ask", ask(2)), client);
    assert_eq!((a, b), (json!("one"), json!("two")));
    // What is free is used again.
    let pids = [
        one.call("state", json!({})).await["pid"].clone(),
        two.call("state", json!({})).await["pid"].clone(),
    ];
    assert_eq!(pids[0], pids[1]);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_legacy_client_is_asked_what_a_modern_server_needs() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let fleet = fleet(vec![with_env(whole("one", &["modern"]), "NOTES", path)]);
    let (through, mut heard) = hearing(&fleet, "one", legacy(1));
    let client = async {
        let (one, two) = (question(heard.recv().await), question(heard.recv().await));
        assert_eq!(
            (one.method.as_str(), two.method.as_str()),
            ("elicitation/create", "sampling/createMessage")
        );
        (two.answer)(Ok(raw(&json!({"role": "assistant"}))));
        (one.answer)(Ok(raw(&json!({"action": "decline"}))));
        let three = question(heard.recv().await);
        assert_eq!(three.method, "roots/list");
        (three.answer)(Ok(raw(&json!({"roots": [1]}))));
    };
    let (answered, ()) = tokio::join!(through.call("ask", json!({})), client);
    assert_eq!(answered, json!({"c": {"roots": [1]}}));
    let told = std::fs::read_to_string(path).unwrap();
    assert!(
        told.contains(r#"one {"a": {"action": "decline"}, "b": {"role": "assistant"}}"#),
        "{told}"
    );
    assert_eq!(told.matches("initialize").count(), 1, "its other era is looked for once: {told}");
    through.call("params", json!({})).await;
    let told = std::fs::read_to_string(path).unwrap();
    assert_eq!(told.matches("initialize").count(), 1, "{told}");
    // A client that refuses gets its own error back.
    let client = async {
        let (one, _two) = (question(heard.recv().await), question(heard.recv().await));
        (one.answer)(Err(WireError { code: -7, message: "no".to_owned(), data: None }));
    };
    let params = r#"{"name":"ask"}"#;
    let (refused, ()) = tokio::join!(through.pass(Method::CallTool, None, params), client);
    assert!(matches!(refused.unwrap(), Passed::Error(WireError { code: -7, .. })));
    // A modern client is told as it is.
    let relayed = self::through(&fleet, "one", modern());
    let asked = result(relayed.pass(Method::CallTool, None, params).await);
    assert_eq!(
        (&asked["resultType"], &asked["requestState"]),
        (&json!("input_required"), &json!("one"))
    );
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_time_of_the_client_is_not_the_upstreams() {
    let mut server = whole("one", &[]);
    server.call_timeout = std::time::Duration::from_millis(400);
    let fleet = fleet(vec![server]);
    fleet.list_all(PATIENCE).await;
    let (through, mut heard) = hearing(&fleet, "one", legacy(1));
    // Its connection is there before the time counts.
    for _ in 0..50 {
        if through.pass(Method::CallTool, None, r#"{"name":"params"}"#).await.is_ok() {
            break;
        }
    }
    let client = async {
        let asked = question(heard.recv().await);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        (asked.answer)(Ok(raw(&json!("late"))));
    };
    let (answered, ()) = tokio::join!(through.call("ask", json!({"method": "roots/list"})), client);
    assert_eq!(answered, "late");
    let never = through.pass(Method::CallTool, None, r#"{"name":"never"}"#).await;
    assert!(matches!(never, Err(UpstreamError::Timeout { .. })), "{never:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_dies_with_a_question_fails_its_call_only() {
    let fleet = fleet(vec![whole("one", &["dies"])]);
    let (through, mut heard) = hearing(&fleet, "one", legacy(1));
    let before = through.call("state", json!({})).await["pid"].clone();
    let params = r#"{"name":"ask","arguments":{"method":"roots/list"}}"#;
    let client = async { question(heard.recv().await) };
    let (lost, asked) = tokio::join!(through.pass(Method::CallTool, None, params), client);
    assert!(matches!(lost, Err(UpstreamError::Lost { .. })), "{lost:?}");
    // Nobody hears this answer, and nobody minds.
    (asked.answer)(Ok(raw(&json!(1))));
    let after = through.call("state", json!({})).await["pid"].clone();
    assert_ne!(before, after);
    fleet.shutdown().await;
}

#[tokio::test]
async fn subscriptions_are_counted_and_updates_are_told() {
    for flags in [&[][..], &["modern"][..]] {
        let fleet = fleet(vec![whole("one", flags)]);
        let mut updates = fleet.updates();
        let one = through(&fleet, "one", Client { capabilities: None, ..legacy(1) });
        let two = through(&fleet, "one", Client { capabilities: None, ..legacy(2) });
        let params = r#"{"uri":"s+t://r"}"#;
        for through in [&one, &two] {
            let passed = through.pass(Method::Subscribe, Some("t://r"), params).await;
            assert_eq!(result(passed), json!({}));
        }
        let state = async || one.call("state", json!({})).await;
        if flags.is_empty() {
            assert_eq!(state().await["subscribed"], json!(["t://r"]));
            let none = one.pass(Method::Subscribe, None, r#"{"uri":"t://none"}"#).await.unwrap();
            assert!(matches!(none, Passed::Error(WireError { code: -32002, .. })), "{none:?}");
        } else {
            wait_for(async || {
                let listens = state().await["listens"].clone();
                listens.as_array().is_some_and(|l| l.len() == 1)
                    && listens[0]["resourceSubscriptions"] == json!(["t://r"])
                    && listens[0]["promptsListChanged"] == true
            })
            .await;
        }
        one.call("touch", json!({"uri": "t://r"})).await;
        let update = tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
        assert_eq!((update.server.as_ref(), update.uri.as_str()), ("one", "t://r"));
        // One of two goes away, then the other.
        fleet.farewell(ClientSession(1));
        one.call("touch", json!({"uri": "t://r"})).await;
        tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
        result(two.pass(Method::Unsubscribe, Some("t://r"), params).await);
        wait_for(async || {
            let state = state().await;
            let listens = state["listens"].as_array().unwrap();
            state["subscribed"] == json!([])
                && listens.iter().all(|l| l.get("resourceSubscriptions").is_none())
        })
        .await;
        fleet.shutdown().await;
    }
}

/// Waits until the server says that something is so.
async fn wait_for(so: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < PATIENCE, "never");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn lists_are_read_once_and_again_when_they_changed() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    for flags in [&[][..], &["modern"][..]] {
        let fleet = fleet(vec![with_env(whole("one", flags), "NOTES", path)]);
        let client = Arc::new(Client::default());
        let items = async |kind| {
            fleet.items("one", kind, &client, Instant::now() + PATIENCE).await.unwrap()
        };
        let prompts = items(ListKind::Prompts).await;
        let texts: Vec<_> = prompts.items.iter().map(|item| item.get()).collect();
        assert_eq!(texts, [r#"{"name": "p", "vendor": 1.5}"#, r#"{"name": "q"}"#]);
        assert!(Arc::ptr_eq(&prompts, &items(ListKind::Prompts).await));
        assert_eq!(items(ListKind::Resources).await.items.len(), 1);
        // It has none, and says so.
        assert!(items(ListKind::Templates).await.items.is_empty());
        let mut changes = fleet.changes();
        let before = *changes.borrow_and_update();
        through(&fleet, "one", Client::default()).call("change", json!({})).await;
        let told = changes.wait_for(|now| now.prompts > before.prompts);
        tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
        assert_eq!(items(ListKind::Prompts).await.items.len(), 3);
        let offers = fleet.offers();
        assert_eq!((offers[0].server.as_str(), offers[0].modern), ("one", !flags.is_empty()));
        assert!(offers[0].capabilities.get().contains(r#""vendor":{"n":1}"#));
        fleet.shutdown().await;
    }
}

#[tokio::test]
async fn the_config_says_which_era() {
    let mut server = whole("one", &["dual"]);
    server.era = Era::Modern;
    let fleet = fleet(vec![server]);
    let (through, _heard) = hearing(&fleet, "one", legacy(1));
    assert_eq!(through.call("state", json!({})).await["opened"], json!(null));
    fleet.shutdown().await;
}

#[tokio::test]
async fn tasks_cross_the_eras() {
    let fleet = fleet(vec![whole("old", &[]), whole("new", &["modern"])]);
    fleet.list_all(PATIENCE).await;
    let about = r#"{"taskId":"t1"}"#;
    // A legacy client asks a modern server for a task, and is asked what the task needs.
    let (one, mut heard) = hearing(&fleet, "new", legacy(1));
    let started = one.pass(Method::CallTool, None, r#"{"name":"task","task":{"ttl":1}}"#).await;
    let started = result(started);
    assert_eq!(started["task"]["taskId"], "t1");
    assert_eq!(
        (&started["task"]["ttl"], &started["task"]["pollInterval"]),
        (&json!(60000), &json!(60))
    );
    let state = result(one.pass(Method::GetTask, None, about).await);
    assert_eq!((&state["status"], &state["ttl"]), (&json!("input_required"), &json!(60000)));
    assert!(state.get("inputRequests").is_none() && state.get("resultType").is_none());
    let client = async {
        let asked = question(heard.recv().await);
        assert_eq!(asked.method, "roots/list");
        (asked.answer)(Ok(raw(&json!({"roots": []}))));
    };
    let (outcome, ()) = tokio::join!(one.pass(Method::TaskResult, None, about), client);
    assert_eq!(told(&result(outcome)), json!({"r": {"roots": []}}));
    assert_eq!(result(one.pass(Method::CancelTask, None, about).await)["status"], "cancelled");
    // A modern client that knows tasks is answered with one by a legacy server.
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let client =
        Client { modern: true, capabilities: Some(raw(&tasks).into()), ..Client::default() };
    let two = through(&fleet, "old", client);
    let params = r#"{"name":"task"}"#;
    let started = result(two.pass(Method::CallTool, None, params).await);
    assert_eq!((&started["resultType"], &started["ttlMs"]), (&json!("task"), &json!(60000)));
    let state = result(two.pass(Method::GetTask, None, about).await);
    assert_eq!((&state["resultType"], &state["status"]), (&json!("complete"), &json!("working")));
    let state = result(two.pass(Method::GetTask, None, about).await);
    assert_eq!(state["status"], "completed");
    assert_eq!(told(&state["result"]), "worked");
    // Who knows of no tasks need not.
    let three = through(&fleet, "old", Client { modern: true, ..Client::default() });
    assert_eq!(three.call("task", json!({})).await, "worked");
    // Within one era they pass as they are.
    let four = through(&fleet, "old", Client::default());
    let started = four.pass(Method::CallTool, None, r#"{"name":"task","task":{}}"#).await;
    assert_eq!(result(started)["task"]["status"], "working");
    fleet.shutdown().await;
}
