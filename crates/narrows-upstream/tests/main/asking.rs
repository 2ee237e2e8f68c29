//! Questions of upstreams to clients, and tasks, in every pair of eras.

use crate::house::{PATIENCE, exists, fleet, raw, until, with_env};
use crate::passing::{hearing, legacy, modern, question, result, through, told, whole};
use narrows_types::{Back, Client, ClientSession, Event, Method, Passed, WireError};
use narrows_upstream::{ServerConfig, UpstreamError};
use serde_json::json;
use tokio::sync::mpsc;

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
        let other = crate::passing::through(&fleet, "one", Client::default());
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
async fn a_call_whose_client_thinks_holds_nobody_up() {
    let fleet = fleet(vec![ServerConfig { concurrency: Some(1), ..whole("one", &[]) }]);
    let (thinking, mut heard) = hearing(&fleet, "one", legacy(1));
    let other = through(&fleet, "one", Client::default());
    let ask = json!({"method": "elicitation/create", "params": {"message": "who?"}});
    let client = async {
        let asked = question(heard.recv().await);
        other.call("state", json!({})).await;
        (asked.answer)(Ok(raw(&json!({"action": "decline"}))));
    };
    let (answered, ()) = tokio::join!(thinking.call("ask", ask), client);
    assert_eq!(answered, json!({"action": "decline"}));
    fleet.shutdown().await;
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
    let shared = crate::passing::through(&fleet, "one", Client::default());
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
    let relayed = crate::passing::through(&fleet, "one", modern());
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

#[tokio::test]
async fn a_page_that_a_legacy_server_wants_visited_is_a_question_to_a_modern_client() {
    let fleet = fleet(vec![whole("one", &[])]);
    let (one, mut heard) = hearing(&fleet, "one", modern());
    let client = async {
        let asked = question(heard.recv().await);
        assert_eq!(asked.method, "elicitation/create");
        assert!(asked.params.unwrap().get().contains("https://a"));
        (asked.answer)(Ok(raw(&json!({"action": "accept"}))));
    };
    let (told, ()) = tokio::join!(one.call("visit", json!({})), client);
    assert_eq!(told, "in");
    // A legacy client knows the error.
    let two = through(&fleet, "one", legacy(1));
    let told = two.pass(Method::CallTool, None, r#"{"name":"visit"}"#).await.unwrap();
    assert!(matches!(told, Passed::Error(WireError { code: -32042, .. })), "{told:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_vanishes_with_a_question_open_cancels_its_call() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let fleet = fleet(vec![with_env(whole("one", &[]), "NOTES", path)]);
    let (one, mut heard) = hearing(&fleet, "one", legacy(1));
    let params = r#"{"name":"ask","arguments":{"method":"elicitation/create"}}"#;
    let asked = tokio::select! {
        answer = one.pass(Method::CallTool, None, params) => unreachable!("{answer:?}"),
        asked = async { question(heard.recv().await) } => asked,
    };
    // Its call is gone; the upstream hears so, and that nobody answers its question.
    until("the upstream was told", || {
        let told = std::fs::read_to_string(path).unwrap();
        told.contains("notifications/cancelled") && told.contains("is over")
    })
    .await;
    (asked.answer)(Ok(raw(&json!({"action": "accept"}))));
    assert_eq!(one.call("ask-later", json!({})).await, "soon");
    let told = std::fs::read_to_string(path).unwrap();
    assert_eq!(told.matches("answered").count(), 1, "{told}");
    fleet.shutdown().await;
}
