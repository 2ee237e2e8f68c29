//! Turns: a limit is kept, callers share it, an upstream that hangs or fails harms no other.

use crate::house::{PATIENCE, call, fleet, options, raw, scripted, status, until, value};
use crate::passing::{hearing, legacy, question, whole};
use narrows_types::{ClientSession, Fault, Kind, Method, Retry};
use narrows_upstream::{CallOptions, Caller, Config, Fleet, ServerConfig, Tier, UpstreamError};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn narrow(name: &str, concurrency: usize, queue: usize) -> ServerConfig {
    ServerConfig {
        concurrency: Some(concurrency),
        queue: Some(queue),
        ..scripted(name, &["modern"])
    }
}

#[tokio::test]
async fn more_calls_than_an_upstream_takes_wait_and_a_full_queue_says_so() {
    let fleet = fleet(vec![narrow("one", 1, 2)]);
    value(&fleet, "one", "echo", json!({})).await;
    let start = Instant::now();
    let slow = (0..4).map(|_| call(&fleet, "one", "slow", json!({"s": 0.3})));
    let outcomes = futures_util::future::join_all(slow).await;
    assert!(start.elapsed() >= Duration::from_millis(850), "one after the other");
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (3, 1));
    let error = refused.into_iter().next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "server one has too many calls under way: it has 1 under way and 2 that wait"
    );
    let fault = Fault::from(error);
    assert_eq!((fault.kind, fault.retry), (Kind::RateLimited, Retry::AfterMs(500)));
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_caller_that_asks_for_little_does_not_wait_for_one_that_asks_for_much() {
    let fleet = fleet(vec![narrow("one", 1, 100)]);
    value(&fleet, "one", "echo", json!({})).await;
    let ask = |who: &'static str, n: usize| {
        let fleet = fleet.clone();
        async move {
            let asked = CallOptions { caller: Caller::of(who, None), ..options() };
            fleet.call("one", "slow", &raw(&json!({"s": 0.1})), asked).await.unwrap();
            (who, n)
        }
    };
    let mut all: futures_util::stream::FuturesUnordered<_> =
        (0..8).map(|n| ask("greedy", n)).collect();
    // They are queued in this order.
    let done = async {
        use futures_util::StreamExt as _;
        let mut order = Vec::new();
        while let Some(done) = all.next().await {
            order.push(done.0);
        }
        order
    };
    let modest = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let start = Instant::now();
        ask("modest", 0).await;
        start.elapsed()
    };
    let (order, waited) = tokio::join!(done, modest);
    assert_eq!(order.len(), 8);
    assert!(waited < Duration::from_millis(600), "all of them would take 800 ms: {waited:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn one_that_hangs_takes_no_turn_from_others() {
    let hanging = ServerConfig { tier: Tier::Heavy, ..narrow("hanging", 8, 8) };
    let config = Config {
        servers: vec![hanging, scripted("good", &[])],
        concurrency: 10,
        queue: 100,
        ..Config::default()
    };
    let fleet = Fleet::start(config).unwrap();
    value(&fleet, "hanging", "echo", json!({})).await;
    value(&fleet, "good", "echo", json!({})).await;
    let hang = (0..30).map(|_| call(&fleet, "hanging", "slow", json!({"s": 60})));
    let hang = futures_util::future::join_all(hang);
    let good = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let start = Instant::now();
        for n in 0..50 {
            assert_eq!(value(&fleet, "good", "echo", json!({"n": n})).await["args"]["n"], n);
        }
        start.elapsed()
    };
    tokio::select! {
        outcomes = hang => unreachable!("they hang: {outcomes:?}"),
        took = good => assert!(took < PATIENCE / 4, "{took:?}"),
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn one_that_fails_again_and_again_is_left_alone_and_comes_back() {
    let fleet = fleet(vec![scripted("one", &[])]);
    let mut refused = None;
    for _ in 0..20 {
        let error = call(&fleet, "one", "die", json!({"code": 7})).await.unwrap_err();
        if !matches!(error, UpstreamError::Lost { .. }) {
            refused = Some(error);
            break;
        }
    }
    let error = refused.expect("it is not asked for ever");
    assert!(matches!(error, UpstreamError::Start { .. } | UpstreamError::Broken { .. }), "{error}");
    assert!(error.to_string().contains("it exited with code 7"), "the reason is kept: {error}");
    let told = status(&fleet, "one").last_error.unwrap();
    assert!(told.contains("it exited with code 7"), "{told}");
    assert!(matches!(Fault::from(error).retry, Retry::AfterMs(1..=30_000)));
    let start = Instant::now();
    let back = loop {
        match call(&fleet, "one", "echo", json!({"n": 1})).await {
            Ok(back) => break back,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(!back.is_error);
    until("it is well", || status(&fleet, "one").last_error.is_none()).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_death_under_a_hundred_calls_is_one_failure() {
    let fleet = fleet(vec![scripted("one", &[])]);
    value(&fleet, "one", "echo", json!({})).await;
    let slow = (0..100).map(|_| call(&fleet, "one", "slow", json!({"s": 30})));
    let die = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        call(&fleet, "one", "die", json!({"signal": 9})).await
    };
    let (outcomes, died) = tokio::join!(futures_util::future::join_all(slow), die);
    for outcome in outcomes.into_iter().chain([died]) {
        assert!(matches!(outcome, Err(UpstreamError::Lost { .. })), "{outcome:?}");
    }
    value(&fleet, "one", "echo", json!({})).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn clients_that_go_away_in_calls_are_no_failure_of_their_upstream() {
    let fleet = fleet(vec![whole("one", &[])]);
    for n in 1..=8 {
        let (through, mut heard) = hearing(&fleet, "one", legacy(n));
        let ask = json!({"method": "elicitation/create", "params": {"message": "who?"}});
        let ask = json!({"name": "ask", "arguments": ask}).to_string();
        let leaves = async {
            let asked = question(heard.recv().await);
            fleet.farewell(ClientSession(n));
            asked
        };
        let (outcome, _asked) = tokio::join!(through.pass(Method::CallTool, None, &ask), leaves);
        let error = outcome.unwrap_err();
        assert!(matches!(error, UpstreamError::Stopped { .. }), "{error}");
        assert!(Fault::from(error).hint.starts_with("whether it was carried out is unknown"));
    }
    assert_eq!(status(&fleet, "one").last_error, None);
    call(&fleet, "one", "state", json!({})).await.unwrap();
    fleet.shutdown().await;
}
