//! Upstreams with several processes, and with several places.

use crate::house::{PATIENCE, call, exists, fleet, options, raw, scripted, status, until, value};
use crate::real::parts;
use crate::remote::Remote;
use narrows_upstream::{Launch, Pool, ServerConfig};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

fn pool(min: usize, max: usize) -> ServerConfig {
    let pool = Pool { min, max, stateful: false };
    ServerConfig { pool, idle_stop: Some(Duration::from_millis(700)), ..scripted("one", &[]) }
}

async fn pid(fleet: &narrows_upstream::Fleet) -> i64 {
    value(fleet, "one", "echo", json!({})).await["pid"].as_i64().unwrap()
}

#[tokio::test]
async fn busy_processes_get_company_which_leaves_when_it_is_idle() {
    let fleet = fleet(vec![pool(2, 4)]);
    let mut seen = BTreeSet::from([pid(&fleet).await]);
    let start = Instant::now();
    while seen.len() < 4 {
        assert!(start.elapsed() < PATIENCE, "{seen:?}");
        let slow = (0..8).map(|_| value(&fleet, "one", "slow", json!({"s": 0.3})));
        let done = futures_util::future::join_all(slow).await;
        seen.extend(done.iter().map(|told| told["pid"].as_i64().unwrap()));
    }
    // The least number stays.
    let live = || seen.iter().filter(|pid| exists(**pid)).count();
    assert_eq!(live(), 4);
    until("those beyond the least number end", || live() <= 2).await;
    fleet.shutdown().await;
    assert_eq!(live(), 0);
}

#[tokio::test]
async fn a_process_that_dies_is_replaced_and_the_reason_is_shown() {
    let fleet = fleet(vec![ServerConfig { idle_stop: None, ..pool(2, 2) }]);
    let both = || async {
        let start = Instant::now();
        let mut seen = BTreeSet::new();
        while seen.len() < 2 {
            assert!(start.elapsed() < PATIENCE, "{seen:?}");
            let (one, two, _) = tokio::join!(
                pid(&fleet),
                pid(&fleet),
                call(&fleet, "one", "slow", json!({"s": 0.1}))
            );
            seen.extend([one, two]);
        }
        seen
    };
    let before = both().await;
    for pid in &before {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(*pid).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        until("it is known", || {
            let told = status(&fleet, "one").last_error;
            told.is_some_and(|told| told.contains("killed by signal 9"))
        })
        .await;
        // One serves while the other is started again; a call that was lost may be made again.
        let start = Instant::now();
        while call(&fleet, "one", "echo", json!({})).await.is_err() {
            assert!(start.elapsed() < PATIENCE);
        }
    }
    let after = both().await;
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
    fleet.shutdown().await;
}

#[tokio::test]
async fn several_places_share_the_work_and_one_that_dies_is_not_missed() {
    let parts = parts();
    // A second test in the same process finds it installed.
    let _again = rustls::crypto::ring::default_provider().install_default();
    for sdk in ["sqlite", "servers"] {
        let mut servers: Vec<_> =
            (0..3).map(|_| Remote::python(&parts, sdk, &["stateless"])).collect();
        let Launch::Http { url, transport, .. } = Launch::http(servers[0].url.as_str()) else {
            unreachable!()
        };
        let urls = servers[1..].iter().map(|server| server.url.clone()).collect();
        let launch = Launch::Http { url, urls, transport, headers: BTreeMap::new() };
        let fleet = fleet(vec![ServerConfig::new("remote", launch)]);
        let seen = async |fleet: &narrows_upstream::Fleet| {
            let calls = (0..12).map(|n| async move {
                let text = json!({"seconds": 0.05 + 0.001 * f64::from(n)});
                let told = fleet.call("remote", "who", &raw(&text), options()).await;
                told.unwrap().joined_text()
            });
            futures_util::future::join_all(calls).await.into_iter().collect::<BTreeSet<_>>()
        };
        let start = Instant::now();
        while seen(&fleet).await.len() < 3 {
            assert!(start.elapsed() < PATIENCE, "{sdk}: all places take part");
        }
        drop(servers.remove(1));
        // What is under way there may be lost; what comes later is not sent there.
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..10 {
            assert!(seen(&fleet).await.len() <= 2);
        }
        fleet.shutdown().await;
    }
}
