//! The store, runs, sessions and jobs: what arrives, and whose password is never seen.

use super::{loaded, problems};
use crate::compose;
use crate::config::{Settings, show};
use narrows_types::{Budget, Durability};
use std::time::Duration;

const FULL: &str = r#"
[store]
url = "postgres://narrows:${env:DB_PASSWORD}@db.example:5433/narrows?sslmode=require"
synchronous = "full"
run_ttl_s = 1
sessions_max = 2
value_bytes_max = 3
session_bytes_max = 4
session_values_max = 5
intent_versions_max = 6
job_ttl_s = 7

[runs]
durability = "sync"
journal_bytes_max = 1_000_000
approve = ["github.delete_*"]
repeat = ["docs.*"]
never_repeat = ["docs.buy", "*.pay"]

[sessions]
idle_s = 8
life_s = 9
calls = 10
ms = 11
bytes = 12
tokens = 13

[jobs]
workers = 0
tenant_parallel = 14
lease_ms = 1_500
attempts = 16
wall_ms = 17_000
drain_ms = 0
"#;

const VARS: &[(&str, &str)] = &[("DB_PASSWORD", "hunter%2F2")];

#[test]
fn every_key_reaches_the_store() {
    let store = compose::store(&loaded("narrows.toml", FULL, VARS).settings);
    assert_eq!(store.url, "postgres://narrows:hunter%2F2@db.example:5433/narrows?sslmode=require");
    let expected = narrows_store::Config {
        url: store.url.clone(),
        synchronous: narrows_store::Synchronous::Full,
        run_ttl_s: 1,
        sessions_max: 2,
        value_bytes_max: 3,
        session_bytes_max: 4,
        session_values_max: 5,
        intent_versions_max: 6,
        job_ttl_s: 7,
        ..narrows_store::Config::default()
    };
    assert!(store == expected, "{store:?}");
}

#[test]
fn every_key_reaches_the_engine() {
    let engine = compose::engine(&loaded("narrows.toml", FULL, VARS).settings);
    assert_eq!((engine.durability, engine.journal_bytes_max), (Durability::Sync, 1_000_000));
    assert_eq!(engine.approve, ["github.delete_*"]);
    assert_eq!(engine.repeat, ["docs.*"]);
    assert_eq!(engine.never_repeat, ["docs.buy", "*.pay"]);
    let budget = Budget { calls: 10, ms: 11, bytes: 12, tokens: 13 };
    assert_eq!(engine.sessions, narrows_engine::Sessions { idle_s: 8, life_s: 9, budget });
    let jobs = narrows_engine::Jobs {
        parallel: 0,
        tenant_parallel: 14,
        lease: Duration::from_millis(1_500),
        attempts: 16,
        wall: Duration::from_secs(17),
        drain: Duration::ZERO,
    };
    assert_eq!(engine.jobs, jobs);
}

#[test]
fn where_nothing_is_said_the_crates_own_defaults_hold() {
    let settings = loaded("narrows.toml", "", &[]).settings;
    let (ours, theirs) = (compose::engine(&settings), narrows_engine::Config::default());
    assert_eq!(ours.durability, theirs.durability);
    assert_eq!(ours.journal_bytes_max, theirs.journal_bytes_max);
    assert_eq!((ours.sessions, ours.jobs), (theirs.sessions, theirs.jobs));
    let store = compose::store(&settings);
    let theirs = narrows_store::Config { url: store.url.clone(), ..Default::default() };
    assert!(store == theirs, "{store:?}");
    // The same where no tree was read at all.
    let bare = Settings::default();
    assert_eq!(
        (bare.runs, bare.sessions, bare.jobs),
        (settings.runs, settings.sessions, settings.jobs)
    );
}

#[test]
fn the_stores_password_is_never_seen() {
    for (url, shown) in [
        ("postgres://u:${DB_PASSWORD}@h/d", "postgres://u:${DB_PASSWORD}@h/d"),
        ("postgres://u:hunter2@h/d", "postgres://u:***@h/d"),
        ("postgres://u:hunter2;x@h/d?sslmode=require", "postgres://u:***@h/d?sslmode=require"),
        ("postgres://u@h/d?password=hunter2", "postgres://u@h/d?password=***"),
        ("redis://:hunter2@h:6379?prefix=one", "redis://:***@h:6379?prefix=one"),
        ("rediss://hunter2@h:6379", "rediss://***@h:6379"),
        ("sqlite:/home/a@b/x.db", "sqlite:/home/a@b/x.db"),
    ] {
        let text = format!("[store]\nurl = \"{url}\"\n");
        let loaded = loaded("narrows.toml", &text, VARS);
        let line = show(&loaded.written);
        let line = line.lines().find(|line| line.starts_with("store.url")).unwrap();
        assert!(line.starts_with(&format!("store.url = \"{shown}\" ")), "{line}");
        let printed = format!("{:?} {:?}", loaded.settings, compose::store(&loaded.settings));
        assert!(!printed.contains("hunter"), "{printed}");
    }
}

#[test]
fn the_brokers_password_is_never_seen() {
    for (url, shown) in [
        ("amqp://u:${DB_PASSWORD}@h/v", "amqp://u:${DB_PASSWORD}@h/v"),
        ("amqp://u:hunter2@h/v", "amqp://u:***@h/v"),
        ("nats://hunter2@h:4222", "nats://***@h:4222"),
    ] {
        let text = format!("[jobs]\nwakes = \"{url}\"\n");
        // Without the feature it is refused; then nothing is to be seen either.
        if narrows_store::check_wakes("amqp://h").is_err() {
            let problems = problems("narrows.toml", &text, VARS).join(" ");
            assert!(problems.contains("cargo feature") && !problems.contains("hunter"));
            continue;
        }
        let loaded = loaded("narrows.toml", &text, VARS);
        let line = show(&loaded.written);
        let line = line.lines().find(|line| line.starts_with("jobs.wakes")).unwrap();
        assert!(line.starts_with(&format!("jobs.wakes = \"{shown}\" ")), "{line}");
        assert!(compose::store(&loaded.settings).wakes.is_some());
        let printed = format!("{:?} {:?}", loaded.settings, compose::store(&loaded.settings));
        assert!(!printed.contains("hunter"), "{printed}");
    }
}
