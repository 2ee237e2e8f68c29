//! Calls over child processes: death, cancellation, deadlines, and what is left behind: nothing.

use crate::house::{
    PATIENCE, call, exists, fleet, options, raw, scripted, status, until, value, with_env,
};
use narrows_types::{Event, Fault, Kind, ServerState};
use narrows_upstream::{CallOptions, Config, Fleet, ServerConfig};
use serde_json::json;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

#[tokio::test]
async fn a_death_fails_every_call_at_once_with_the_reason() {
    let fleet = fleet(vec![with_env(scripted("one", &[]), "TOKEN", "s3cr3t-value")]);
    value(&fleet, "one", "echo", json!({})).await;
    let start = Instant::now();
    let (slow, dead) = tokio::join!(
        call(&fleet, "one", "slow", json!({"s": 30})),
        call(&fleet, "one", "die", json!({"code": 7})),
    );
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for error in [slow.unwrap_err(), dead.unwrap_err()] {
        assert_eq!(
            error.to_string(),
            "server one was lost during the call: it exited with code 7; it said last: cannot go \
             on with ***"
        );
        assert_eq!(Fault::from(error).kind, Kind::Lost);
    }
    until("it is known as failed", || status(&fleet, "one").state == ServerState::Failed).await;
    let echo = value(&fleet, "one", "echo", json!({"again": true})).await;
    assert_eq!(echo["args"]["again"], true, "the next call starts it again");
    let error = call(&fleet, "one", "die", json!({"signal": 9})).await.unwrap_err();
    assert!(error.to_string().contains("it was killed by signal 9"), "{error}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_dropped_call_and_a_late_call_are_cancelled_upstream() {
    let fleet = fleet(vec![scripted("one", &[])]);
    value(&fleet, "one", "echo", json!({})).await;
    let dropped = call(&fleet, "one", "slow", json!({"s": 30}));
    assert!(tokio::time::timeout(Duration::from_millis(100), dropped).await.is_err());
    let late = CallOptions { deadline: Instant::now() + Duration::from_millis(150), ..options() };
    let error = fleet.call("one", "slow", &raw(&json!({"s": 30})), late).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("one.slow did not answer within 1"), "{text}");
    assert_eq!(Fault::from(error).kind, Kind::Timeout);
    let seen = value(&fleet, "one", "seen", json!({})).await;
    assert_eq!(seen["cancelled"].as_array().unwrap().len(), 2, "{seen}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_upstreams_own_limit_counts_too() {
    let mut server = scripted("one", &[]);
    server.call_timeout = Duration::from_secs(2);
    let fleet = fleet(vec![server]);
    let start = Instant::now();
    let error = call(&fleet, "one", "slow", json!({"s": 30})).await.unwrap_err();
    assert_eq!(error.to_string(), "one.slow did not answer within 2000 ms");
    assert!(start.elapsed() < Duration::from_secs(10));
    fleet.shutdown().await;
}

#[tokio::test]
async fn calls_overtake_each_other() {
    let fleet = fleet(vec![scripted("one", &[])]);
    value(&fleet, "one", "echo", json!({})).await;
    let start = Instant::now();
    let slow = (0..20).map(|_| call(&fleet, "one", "slow", json!({"s": 0.3})));
    for result in futures_util::future::join_all(slow).await {
        assert_eq!(result.unwrap().joined_text(), "at last");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "in parallel: {:?}", start.elapsed());
    fleet.shutdown().await;
}

#[tokio::test]
async fn progress_is_told_and_only_grows() {
    let fleet = fleet(vec![scripted("one", &[]), scripted("two", &["modern"])]);
    for server in ["one", "two"] {
        let (progress, mut heard) = mpsc::channel(16);
        let asked = CallOptions { progress: Some(progress), ..options() };
        let result = fleet.call(server, "progress", &raw(&json!({})), asked).await.unwrap();
        assert_eq!(result.joined_text(), "True");
        let mut fractions = Vec::new();
        while let Ok(Event::Progress { fraction, message }) = heard.try_recv() {
            assert!(message.starts_with("step "));
            fractions.push(fraction.unwrap());
        }
        assert_eq!(fractions, [0.25, 0.5, 1.0]);
        let result = call(&fleet, server, "progress", json!({})).await.unwrap();
        assert_eq!(result.joined_text(), "False", "nobody listens, nothing is asked for");
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn an_error_of_the_upstream_is_passed_on() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let error = call(&fleet, "one", "nope", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "one.nope: error -32602: unknown tool: nope");
    assert_eq!(Fault::from(error).kind, Kind::Upstream);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_large_message_passes_both_ways() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let text = "x".repeat(3 << 20);
    let echo = value(&fleet, "one", "echo", json!({"text": text})).await;
    assert_eq!(echo["args"]["text"].as_str().unwrap().len(), 3 << 20);
    fleet.shutdown().await;
}

#[tokio::test]
async fn children_see_little_of_our_environment() {
    let fleet = fleet(vec![with_env(scripted("one", &[]), "TOKEN", "mine")]);
    let echo = value(&fleet, "one", "echo", json!({})).await;
    let names: Vec<&str> =
        echo["env"].as_array().unwrap().iter().filter_map(|n| n.as_str()).collect();
    assert!(names.contains(&"TOKEN") && names.contains(&"PATH"), "{names:?}");
    // Cargo sets these for tests; they stand for any secret of ours.
    assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_end_leaves_no_process_behind() {
    let fleet = fleet(vec![scripted("kind", &[]), scripted("stubborn", &["stubborn"])]);
    let mut pids = Vec::new();
    for server in ["kind", "stubborn"] {
        let told = value(&fleet, server, "spawn", json!({})).await;
        pids.extend([told["pid"].as_i64().unwrap(), told["child"].as_i64().unwrap()]);
    }
    assert!(pids.iter().all(|pid| exists(*pid)));
    let start = Instant::now();
    fleet.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(6));
    // No process and no zombie, of the server or of what it started.
    until("all are gone", || pids.iter().all(|pid| !running(*pid))).await;
    assert!(!exists(pids[0]) && !exists(pids[2]), "reaped");
    let error = call(&fleet, "kind", "echo", json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "server kind was lost during the call: narrows is stopping");
}

/// Whether a process runs; an orphan that nobody in this container reaps counts as gone.
fn running(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_death_takes_what_the_server_started_with_it() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let told = value(&fleet, "one", "spawn", json!({})).await;
    let child = told["child"].as_i64().unwrap();
    // The child holds the server's standard output open; that must not keep the call waiting.
    let start = Instant::now();
    let error = call(&fleet, "one", "die", json!({})).await.unwrap_err();
    assert!(error.to_string().contains("exited with code 7"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    until("its child is gone", || !running(child)).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_last_fleet_that_is_dropped_ends_its_servers() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let pid = value(&fleet, "one", "seen", json!({})).await["pid"].as_i64().unwrap();
    drop(fleet);
    until("it is gone", || !exists(pid)).await;
}

#[tokio::test]
async fn an_idle_server_stops_and_starts_again() {
    let server =
        ServerConfig { idle_stop: Some(Duration::from_millis(300)), ..scripted("one", &[]) };
    let fleet = fleet(vec![server]);
    let first = value(&fleet, "one", "seen", json!({})).await["pid"].as_i64().unwrap();
    until("it stopped", || !exists(first)).await;
    until("it is cached", || status(&fleet, "one").state == ServerState::Cached).await;
    let second = value(&fleet, "one", "seen", json!({})).await["pid"].as_i64().unwrap();
    assert_ne!(first, second);
    // A call that takes longer than the pause is not idle.
    let result = call(&fleet, "one", "slow", json!({"s": 0.8})).await.unwrap();
    assert_eq!(result.joined_text(), "at last");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_is_replaced_and_one_that_is_slow_is_not() {
    let impatient =
        |name| ServerConfig { call_timeout: Duration::from_secs(2), ..scripted(name, &[]) };
    let fleet = fleet(vec![impatient("slow"), impatient("stuck")]);
    fleet.list_all(PATIENCE).await;
    let pid = async |server| value(&fleet, server, "seen", json!({})).await["pid"].clone();
    let (slow, stuck) = (pid("slow").await, pid("stuck").await);
    for (server, tool) in [("slow", "slow"), ("stuck", "freeze")] {
        let error = call(&fleet, server, tool, json!({"s": 6})).await.unwrap_err().to_string();
        assert!(error.contains("did not answer within 2000 ms"), "{error}");
    }
    until("the one that hangs is gone", || !exists(stuck.as_i64().unwrap())).await;
    let told = status(&fleet, "stuck").last_error.unwrap();
    assert!(told.contains("did not answer a ping"), "{told}");
    assert_ne!(pid("stuck").await, stuck);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(pid("slow").await, slow);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_keeps_dying_gets_a_pause_and_calls_wait_for_it() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let start = Instant::now();
    for _ in 0..4 {
        let error = call(&fleet, "one", "die", json!({})).await.unwrap_err().to_string();
        assert!(error.contains("exited with code 7"), "{error}");
    }
    value(&fleet, "one", "echo", json!({})).await;
    assert!(start.elapsed() >= Duration::from_secs(1), "it was started again and again at once");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_server_that_served_before_is_tried_again_before_a_call_fails() {
    let left = tempfile::NamedTempFile::new().unwrap();
    let server = scripted("one", &["unwell"]);
    let fleet = fleet(vec![with_env(server, "UNWELL", left.path().to_str().unwrap())]);
    value(&fleet, "one", "echo", json!({})).await;
    std::fs::write(left.path(), "2").unwrap();
    call(&fleet, "one", "die", json!({})).await.unwrap_err();
    value(&fleet, "one", "echo", json!({})).await;
    assert_eq!(std::fs::read_to_string(left.path()).unwrap(), "0", "it failed to start twice");

    std::fs::write(left.path(), "1000").unwrap();
    call(&fleet, "one", "die", json!({})).await.unwrap_err();
    let error = call(&fleet, "one", "echo", json!({})).await.unwrap_err().to_string();
    assert!(error.contains("did not start: it exited with code 3"), "{error}");
    let tries = 1000 - std::fs::read_to_string(left.path()).unwrap().parse::<u32>().unwrap();
    assert!((1..=12).contains(&tries), "{tries} starts");
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_result_that_is_too_large_is_refused_before_it_is_read() {
    let fleet = Fleet::start(Config {
        servers: vec![scripted("one", &[])],
        result_bytes_max: 10_000,
        ..Config::default()
    })
    .unwrap();
    let large = call(&fleet, "one", "echo", json!({"text": "x".repeat(20_000)})).await;
    let fault = Fault::from(large.unwrap_err());
    assert_eq!(fault.kind, Kind::Limit);
    assert!(fault.message.starts_with("one.echo answered 2"), "{fault:?}");
    assert!(fault.message.ends_with(" bytes; the limit is 10000"), "{fault:?}");
    assert_eq!(fault.hint, "ask for less: filter, or take a page at a time");
    value(&fleet, "one", "echo", json!({"text": "small"})).await;
    fleet.shutdown().await;
}
