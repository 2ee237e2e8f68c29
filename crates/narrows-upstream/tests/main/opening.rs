//! Starting, finding out the era, listing.

use crate::house::{
    PATIENCE, call, exists, fleet, scripted, status, tools, until, value, with_env,
};
use narrows_types::{Fault, Kind, Retry, ServerState};
use narrows_upstream::{Config, Era, Fleet, Launch, ServerConfig};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn nothing_starts_before_it_is_needed() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let fleet = fleet(vec![with_env(scripted("one", &[]), "NOTES", path)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(status(&fleet, "one").state, ServerState::Idle);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "");
    let calls = (0..8).map(|n| value(&fleet, "one", "echo", json!({"n": n})));
    for (n, echo) in futures_util::future::join_all(calls).await.iter().enumerate() {
        assert_eq!(echo["args"]["n"], n);
    }
    let told = std::fs::read_to_string(path).unwrap();
    assert_eq!(told.matches("started").count(), 1, "one start for all: {told}");
    assert_eq!(status(&fleet, "one").state, ServerState::Ready);
    fleet.shutdown().await;
}

#[tokio::test]
async fn either_era_is_found_out() {
    let servers = vec![
        scripted("legacy", &[]),
        scripted("modern", &["modern"]),
        scripted("fragile", &["dies-of-discover"]),
        scripted("noisy", &["garbage", "asks"]),
        ServerConfig { era: Era::Legacy, ..scripted("told-legacy", &["dies-of-discover"]) },
        ServerConfig { era: Era::Modern, ..scripted("told-modern", &["modern"]) },
    ];
    let fleet = fleet(servers);
    fleet.list_all(PATIENCE).await;
    for (server, revision, version) in [
        ("legacy", "2025-11-25", "1.2"),
        ("modern", "2026-07-28", "9.0"),
        ("fragile", "2025-11-25", "1.2"),
        ("noisy", "2025-11-25", "1.2"),
        ("told-legacy", "2025-11-25", "1.2"),
        ("told-modern", "2026-07-28", "9.0"),
    ] {
        let status = status(&fleet, server);
        assert_eq!(status.revision.as_deref(), Some(revision), "{status:?}");
        assert_eq!(status.version.as_deref(), Some(version), "{status:?}");
        assert_eq!(status.tools, 7, "{status:?}");
        let echo = value(&fleet, server, "echo", json!({"x": [1.50, null]})).await;
        assert_eq!(echo["args"], json!({"x": [1.5, null]}));
    }
    let listings = fleet.listings();
    let words: Vec<_> = listings.borrow().iter().map(|l| l.instructions.clone()).collect();
    assert_eq!(words[0].as_deref(), Some("be kind"));
    assert_eq!(words[1].as_deref(), Some("be modern"));
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_is_deaf_to_the_probe_is_opened_the_old_way() {
    let mut server = scripted("deaf", &["deaf-to-discover"]);
    server.start_timeout = Duration::from_secs(6);
    let fleet = fleet(vec![server]);
    fleet.list_all(PATIENCE).await;
    assert_eq!(status(&fleet, "deaf").revision.as_deref(), Some("2025-11-25"));
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_upstreams_questions_are_answered() {
    let fleet = fleet(vec![scripted("noisy", &["asks"])]);
    let mut seen = json!({});
    for _ in 0..200 {
        seen = value(&fleet, "noisy", "seen", json!({})).await;
        if seen["ours"].as_array().is_some_and(|ours| ours.len() == 2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ours = seen["ours"].as_array().unwrap();
    assert_eq!(ours[0], json!({"jsonrpc": "2.0", "id": "p1", "result": {}}));
    assert_eq!(ours[1]["id"], "s1");
    assert_eq!(ours[1]["error"]["code"], -32601);
    fleet.shutdown().await;
}

#[tokio::test]
async fn pages_are_followed_and_broken_tools_are_skipped() {
    let fleet = fleet(vec![scripted("pages", &["pages", "broken"])]);
    fleet.list_all(PATIENCE).await;
    let names = tools(&fleet, "pages");
    let expected = ["echo", "slow", "die", "progress", "change", "seen", "spawn", "odd"];
    assert_eq!(names, expected);
    let status = status(&fleet, "pages");
    assert_eq!(status.skipped.len(), 2, "{status:?}");
    assert!(status.skipped[0].starts_with("broken: "), "{status:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn filters_hide_tools() {
    let mut server = scripted("one", &[]);
    server.tools_allow = vec!["e*".to_owned(), "s*".to_owned()];
    server.tools_hide = vec!["*w*".to_owned()];
    let fleet = fleet(vec![server]);
    fleet.list_all(PATIENCE).await;
    assert_eq!(tools(&fleet, "one"), ["echo", "seen"]);
    let error = call(&fleet, "one", "slow", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "tool one.slow is switched off in the config");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_changed_list_is_read_again_in_both_eras() {
    let fleet = fleet(vec![scripted("legacy", &[]), scripted("modern", &["modern"])]);
    fleet.list_all(PATIENCE).await;
    for server in ["legacy", "modern"] {
        let mut listings = fleet.listings();
        listings.borrow_and_update();
        assert_eq!(tools(&fleet, server).len(), 7);
        call(&fleet, server, "change", json!({})).await.unwrap();
        tokio::time::timeout(PATIENCE, listings.changed()).await.unwrap().unwrap();
        assert!(tools(&fleet, server).contains(&"late".to_owned()));
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let missing = Launch::Stdio {
        command: "narrows-no-such-command".to_owned(),
        args: Vec::new(),
        env: std::collections::BTreeMap::new(),
        cwd: None,
    };
    let mut nowhere = scripted("nowhere", &[]);
    if let Launch::Stdio { cwd, .. } = &mut nowhere.launch {
        *cwd = Some("/no/such/folder".into());
    }
    let mut hanging = scripted("hanging", &["hang"]);
    hanging.start_timeout = Duration::from_millis(600);
    let fleet = fleet(vec![
        ServerConfig::new("missing", missing),
        nowhere,
        hanging,
        scripted("dying", &["dies-at-start"]),
        scripted("ancient", &["ancient"]),
    ]);
    for (server, why) in [
        (
            "missing",
            "server missing did not start: command `narrows-no-such-command` was not found on PATH; \
             install it or give its full path",
        ),
        ("nowhere", "server nowhere did not start: its folder /no/such/folder does not exist"),
        ("hanging", "server hanging did not start: it did not answer within 600 ms"),
        (
            "dying",
            "server dying did not start: it exited with code 3; it said last: no key was given",
        ),
        ("ancient", "server ancient did not start: it speaks revision 1999-01-01, which we do not"),
    ] {
        let error = call(&fleet, server, "echo", json!({})).await.unwrap_err();
        assert_eq!(error.to_string(), why);
        let fault = Fault::from(error);
        assert_eq!(fault.kind, Kind::Unavailable);
        assert!(matches!(fault.retry, Retry::AfterMs(1..=30_000)), "{fault:?}");
        let status = status(&fleet, server);
        assert_eq!(status.state, ServerState::Failed);
        assert_eq!(status.last_error.as_deref(), Some(why));
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_delays_nobody() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let fleet =
        fleet(vec![with_env(scripted("hanging", &["hang"]), "NOTES", path), scripted("good", &[])]);
    let start = Instant::now();
    let hanging = call(&fleet, "hanging", "echo", json!({}));
    let good = value(&fleet, "good", "echo", json!({}));
    tokio::select! {
        answer = hanging => unreachable!("it hangs: {answer:?}"),
        _ = good => {}
    }
    assert!(start.elapsed() < PATIENCE);
    // The good one may have answered before the other came to write its first line.
    until("the hanging one has started", || std::fs::read_to_string(path).unwrap().contains('\n'))
        .await;
    let told = std::fs::read_to_string(path).unwrap();
    let pid: i64 = told.lines().next().unwrap().strip_prefix("started ").unwrap().parse().unwrap();
    fleet.shutdown().await;
    until("the hanging one is gone", || !exists(pid)).await;
}

#[tokio::test]
async fn unknown_and_disabled_servers_are_named() {
    let off = ServerConfig { enabled: false, ..scripted("weather", &[]) };
    let fleet = fleet(vec![scripted("github", &[]), off]);
    let error = call(&fleet, "githbu", "x", json!({})).await.unwrap_err();
    let fault = Fault::from(error);
    assert_eq!(fault.to_string(), "no server githbu is configured; did you mean github?");
    let error = call(&fleet, "weather", "x", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "server weather is switched off in the config");
    assert_eq!(status(&fleet, "weather").state, ServerState::Disabled);
    let twice =
        Config { servers: vec![scripted("a", &[]), scripted("a", &[])], ..Config::default() };
    assert_eq!(Fleet::start(twice).err().unwrap().to_string(), "two servers are named a");
    fleet.shutdown().await;
}

#[tokio::test]
async fn an_opening_of_many_bytes_is_refused() {
    let fleet = fleet(vec![scripted("one", &["fat-opening"])]);
    fleet.list_all(PATIENCE).await;
    let told = status(&fleet, "one");
    assert_eq!(told.state, ServerState::Failed);
    assert!(told.last_error.unwrap().contains("bytes; the limit is 1048576"));
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_does_not_list_its_tools_did_not_start() {
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let server = with_env(scripted("one", &["modern", "no-list"]), "NOTES", path);
    let fleet = fleet(vec![server]);
    fleet.list_all(PATIENCE).await;
    let told = status(&fleet, "one");
    assert_eq!(told.state, ServerState::Failed);
    assert!(told.last_error.unwrap().contains("its tools could not be listed: it answered with"));
    // Nobody waits for it again before its pause is over, and no process is left.
    fleet.list_all(PATIENCE).await;
    let told = std::fs::read_to_string(path).unwrap();
    assert_eq!(told.matches("tools/list").count(), 1, "{told}");
    let pid: i64 = told.lines().next().unwrap().strip_prefix("started ").unwrap().parse().unwrap();
    until("it is gone", || !exists(pid)).await;
    fleet.shutdown().await;
}
