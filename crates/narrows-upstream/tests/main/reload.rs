//! Another config while calls are under way.

use crate::house::{PATIENCE, call, exists, fleet, scripted, tools, until, value, with_env};
use narrows_upstream::{Config, ServerConfig, UpstreamError};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn config(servers: Vec<ServerConfig>) -> Config {
    Config { servers, ..Config::default() }
}

#[tokio::test]
async fn what_did_not_change_goes_on_and_the_rest_ends_once_it_is_done() {
    let fleet = fleet(vec![scripted("same", &[]), scripted("new", &[]), scripted("gone", &[])]);
    fleet.list_all(PATIENCE).await;
    let pid = |told: serde_json::Value| told["pid"].as_i64().unwrap();
    let same = pid(value(&fleet, "same", "spawn", json!({})).await);
    let before = pid(value(&fleet, "new", "spawn", json!({})).await);
    let gone = pid(value(&fleet, "gone", "spawn", json!({})).await);
    let mut listings = fleet.listings();
    listings.borrow_and_update();
    let under_way = call(&fleet, "gone", "slow", json!({"s": 1}));
    let reload = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let changed = with_env(scripted("new", &["modern"]), "TOKEN", "other");
        fleet.reload(config(vec![changed, scripted("same", &[]), scripted("late", &[])])).unwrap()
    };
    let (result, told) = tokio::join!(under_way, reload);
    assert_eq!(result.unwrap().joined_text(), "at last", "what is under way is finished");
    assert_eq!((told.kept, told.changed), (vec!["same".to_owned()], vec!["new".to_owned()]));
    assert_eq!((told.added, told.removed), (vec!["late".to_owned()], vec!["gone".to_owned()]));
    assert!(listings.has_changed().unwrap(), "it is told at once");
    assert!(tools(&fleet, "gone").is_empty());
    assert_eq!(pid(value(&fleet, "same", "spawn", json!({})).await), same);
    assert_ne!(pid(value(&fleet, "new", "spawn", json!({})).await), before);
    let error = call(&fleet, "gone", "echo", json!({})).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unknown { .. }), "{error}");
    value(&fleet, "late", "echo", json!({})).await;
    until("what is not needed has ended", || !exists(before) && !exists(gone)).await;
    let twice = config(vec![scripted("a", &[]), scripted("a", &[])]);
    assert_eq!(fleet.reload(twice).unwrap_err().to_string(), "two servers are named a");
    assert_eq!(fleet.status().len(), 3, "a config that is wrong changes nothing");
    fleet.shutdown().await;
}

#[tokio::test]
async fn no_call_fails_while_the_config_changes_again_and_again() {
    let server = |n: usize| with_env(scripted("one", &[]), "ROUND", &n.to_string());
    let fleet = fleet(vec![server(0), scripted("two", &[])]);
    fleet.list_all(PATIENCE).await;
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = |name: &'static str| {
        let (fleet, over, calls) = (&fleet, &over, &calls);
        async move {
            while !over.load(Ordering::Relaxed) {
                let result = call(fleet, name, "echo", json!({})).await;
                assert!(result.is_ok(), "{name}: {result:?}");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let all = (0..8).map(|n| load(if n % 2 == 0 { "one" } else { "two" }));
    let reloads = async {
        for n in 1..6 {
            let before = calls.load(Ordering::Relaxed);
            fleet.reload(config(vec![server(n), scripted("two", &[])])).unwrap();
            until("calls go on", || calls.load(Ordering::Relaxed) > before + 40).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(futures_util::future::join_all(all), reloads);
    fleet.shutdown().await;
}
