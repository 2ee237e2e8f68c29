//! Listings outlive the fleet.

use crate::house::{PATIENCE, call, fleet, scripted, status, tools, value, with_env};
use narrows_types::ServerState;
use narrows_upstream::{Config, Fleet};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_restart_lists_tools_without_starting_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let notes = tempfile::NamedTempFile::new().unwrap();
    let path = notes.path().to_str().unwrap();
    let config = || Config {
        servers: vec![
            with_env(scripted("one", &["modern"]), "NOTES", path),
            with_env(scripted("two", &["broken"]), "NOTES", path),
        ],
        cache_dir: Some(folder.path().join("cache")),
        ..Config::default()
    };
    let first = Fleet::start(config()).unwrap();
    assert!(first.listings().borrow().is_empty());
    first.list_all(PATIENCE).await;
    let listed = [tools(&first, "one"), tools(&first, "two")];
    assert_eq!(listed[0].len(), 7);
    first.shutdown().await;
    std::fs::write(path, "").unwrap();

    let second = Fleet::start(config()).unwrap();
    assert_eq!([tools(&second, "one"), tools(&second, "two")], listed);
    second.list_all(PATIENCE).await;
    let cached = status(&second, "two");
    assert_eq!(cached.state, ServerState::Cached);
    assert_eq!(cached.skipped.len(), 2);
    assert_eq!(cached.revision.as_deref(), Some("2025-11-25"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "", "nothing was started");

    // The era is known too: a legacy server is not probed again.
    value(&second, "two", "echo", json!({})).await;
    let told = std::fs::read_to_string(path).unwrap();
    assert!(!told.contains("server/discover") && told.contains("initialize"), "{told}");
    second.shutdown().await;
}

#[tokio::test]
async fn a_refresh_reads_the_list_again() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(Config {
        servers: vec![scripted("one", &[])],
        cache_dir: Some(folder.path().to_owned()),
        ..Config::default()
    })
    .unwrap();
    fleet.refresh("one").await;
    assert_eq!(tools(&fleet, "one").len(), 7);
    call(&fleet, "one", "change", json!({})).await.unwrap();
    fleet.refresh("one").await;
    assert_eq!(tools(&fleet, "one").len(), 8);
    fleet.refresh("nonesuch").await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_refresh_is_not_content_with_a_reading_that_began_before() {
    let fleet = fleet(vec![scripted("one", &["slow-list"])]);
    fleet.list_all(PATIENCE).await;
    let other = fleet.clone();
    let early = tokio::time::timeout(Duration::from_millis(200), other.refresh("one"));
    assert!(early.await.is_err(), "it is being read");
    call(&fleet, "one", "change", json!({})).await.unwrap();
    fleet.refresh("one").await;
    assert!(tools(&fleet, "one").contains(&"late".to_owned()));
    fleet.shutdown().await;
}
