//! Requests of clients through a fleet: what arrives, what comes back, what is heard meanwhile.

use crate::house::{PATIENCE, fleet, raw, scripted, with_env};
use narrows_types::{Client, ClientSession, Event, ListKind, Method, Passed, Question, WireError};
use narrows_upstream::{Config, Era, Fleet, Launch, Passing, ServerConfig, UpstreamError};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The scripted server that offers everything.
pub(crate) fn whole(name: &str, flags: &[&str]) -> ServerConfig {
    let mut server = scripted(name, flags);
    if let Launch::Stdio { args, .. } = &mut server.launch {
        args[0] = args[0].replace("server.py", "whole.py");
    }
    server
}

pub(crate) fn capable() -> Arc<RawValue> {
    raw(&json!({"elicitation": {}, "sampling": {}, "roots": {}, "tasks": {}})).into()
}

/// A legacy client with a conversation, which can be asked everything.
pub(crate) fn legacy(session: u64) -> Client {
    let info = Some(raw(&json!({"name": "agent", "version": "7"})).into());
    let session = Some(ClientSession(session));
    Client { session, capabilities: Some(capable()), info, ..Client::default() }
}

pub(crate) fn modern() -> Client {
    Client { modern: true, capabilities: Some(capable()), ..Client::default() }
}

pub(crate) struct Through<'a> {
    fleet: &'a Fleet,
    server: &'a str,
    client: Arc<Client>,
    events: Option<mpsc::Sender<Event>>,
}

impl Through<'_> {
    pub(crate) async fn pass(
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

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments}).to_string();
        told(&result(self.pass(Method::CallTool, None, &params).await))
    }
}

pub(crate) fn through<'a>(fleet: &'a Fleet, server: &'a str, client: Client) -> Through<'a> {
    Through { fleet, server, client: Arc::new(client), events: None }
}

/// With what is heard meanwhile.
pub(crate) fn hearing<'a>(
    fleet: &'a Fleet,
    server: &'a str,
    client: Client,
) -> (Through<'a>, mpsc::Receiver<Event>) {
    let (events, heard) = mpsc::channel(32);
    (Through { events: Some(events), ..through(fleet, server, client) }, heard)
}

pub(crate) fn result(passed: Result<Passed, UpstreamError>) -> Value {
    match passed.unwrap() {
        Passed::Result(result) => serde_json::from_str(result.get()).unwrap(),
        Passed::Error(error) => unreachable!("{error:?}"),
    }
}

/// What the scripted server says in the text of a result.
pub(crate) fn told(result: &Value) -> Value {
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

pub(crate) fn question(event: Option<Event>) -> Question {
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

#[tokio::test]
async fn a_subscription_outlives_a_death_and_a_reload() {
    for flags in [&[][..], &["modern"][..]] {
        let fleet = fleet(vec![whole("one", flags)]);
        let one = through(&fleet, "one", Client { capabilities: None, ..legacy(1) });
        result(one.pass(Method::Subscribe, None, r#"{"uri":"t://r"}"#).await);
        let mut updates = fleet.updates();
        let mut told = async || {
            let update = tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
            assert_eq!(update.uri, "t://r");
        };
        let pid = one.call("state", json!({})).await["pid"].as_i64().unwrap();
        let killed = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
        nix::sys::signal::kill(killed, nix::sys::signal::Signal::SIGKILL).unwrap();
        // Nobody calls it: what changed meanwhile is unknown, and told.
        told().await;
        one.call("touch", json!({"uri": "t://r"})).await;
        told().await;
        let changed = with_env(whole("one", flags), "ROUND", "2");
        fleet.reload(Config { servers: vec![changed], ..Config::default() }).unwrap();
        told().await;
        one.call("touch", json!({"uri": "t://r"})).await;
        told().await;
        fleet.shutdown().await;
    }
}

#[tokio::test]
async fn what_is_done_on_a_connection_of_ones_own_is_told_too() {
    let fleet = fleet(vec![whole("one", &[])]);
    let mut updates = fleet.updates();
    let mut told = async || {
        tokio::time::timeout(PATIENCE, updates.recv()).await.unwrap().unwrap();
    };
    // It can be asked: its calls go to a process of its own. It subscribes before and after that.
    let one = through(&fleet, "one", legacy(1));
    for uri in ["t://r", "t://s"] {
        result(one.pass(Method::Subscribe, None, &json!({"uri": uri}).to_string()).await);
        one.call("touch", json!({"uri": uri})).await;
        told().await;
    }
    let subscribed = one.call("state", json!({})).await["subscribed"].clone();
    assert_eq!(subscribed, json!(["t://r", "t://s"]));
    fleet.shutdown().await;
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
        let items = async |kind| fleet.items("one", kind, Instant::now() + PATIENCE).await.unwrap();
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
        let listings = fleet.listings();
        let hints = listings.borrow().first().map(|listing| (listing.ttl_ms, listing.private));
        let modern = (Some(5_000), Some(false));
        assert_eq!(hints, Some(if flags.is_empty() { (None, None) } else { modern }));
        // What it says of its tools is told though we see no difference.
        let before = changes.borrow_and_update().tools;
        through(&fleet, "one", Client::default()).call("change", json!({"tools": true})).await;
        let told = changes.wait_for(|now| now.tools > before);
        tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
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
