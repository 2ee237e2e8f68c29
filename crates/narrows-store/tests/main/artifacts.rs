//! Artifacts: round trips, owners, ages, limits.

use crate::{HandClock, at, open};
use narrows_store::{Config, Store, StoreError};
use narrows_types::{ArtifactId, Fault, Kind};

const MIB: usize = 1 << 20;

/// Bytes that differ at every offset that matters.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

#[tokio::test]
async fn a_result_comes_back_whole_and_in_parts_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let clock = HandClock::at(1_000);
    let body = pattern(MIB + 77);
    let store = open(&config, &clock).await;
    let id = store.put_artifact("ann", "application/json", &body).await.unwrap();
    store.close().await;

    let store = open(&config, &clock).await;
    let whole = store.read_artifact("ann", &id, 0, u64::MAX).await.unwrap();
    assert_eq!(whole.bytes, body);
    assert_eq!(whole.total_bytes, body.len() as u64);
    assert_eq!(whole.mime, "application/json");
    assert_eq!(whole.expires_at, 1_000 + 86_400);
    for (offset, length) in [(0, 1), (262_143, 2), (262_144, 262_144), (600_000, 300_000)] {
        let part = store.read_artifact("ann", &id, offset, length).await.unwrap();
        let from = usize::try_from(offset).unwrap();
        let to = from + usize::try_from(length).unwrap();
        assert_eq!(Some(part.bytes.as_slice()), body.get(from..to), "{offset}+{length}");
    }
    let end = store.read_artifact("ann", &id, MIB as u64, 1_000).await.unwrap();
    assert_eq!(end.bytes.len(), 77);
    let beyond = store.read_artifact("ann", &id, u64::MAX, u64::MAX).await.unwrap();
    assert_eq!((beyond.bytes.len(), beyond.offset), (0, MIB as u64 + 77));
}

#[tokio::test]
async fn an_empty_result_is_a_result() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    let id = store.put_artifact("ann", "text/plain", b"").await.unwrap();
    let part = store.read_artifact("ann", &id, 0, 10).await.unwrap();
    assert_eq!((part.total_bytes, part.bytes.len()), (0, 0));
}

#[tokio::test]
async fn handles_are_unguessable_and_alike_in_form() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        let id = store.put_artifact("ann", "text/plain", b"x").await.unwrap();
        let (kind, rest) = id.as_str().split_at(4);
        assert_eq!(kind, "art_");
        assert_eq!(rest.len(), 20);
        assert!(rest.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
        assert!(seen.insert(id));
    }
}

#[tokio::test]
async fn somebody_elses_result_does_not_exist() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    let id = store.put_artifact("ann", "text/plain", b"secret").await.unwrap();
    let theirs = store.read_artifact("bob", &id, 0, 10).await.unwrap_err();
    let missing =
        store.read_artifact("bob", &ArtifactId("art_nope".to_owned()), 0, 10).await.unwrap_err();
    assert_eq!(
        theirs.to_string().replace(id.as_str(), "X"),
        missing.to_string().replace("art_nope", "X"),
        "the two cannot be told apart"
    );
    assert_eq!(Fault::from(theirs).kind, Kind::NotFound);
    assert_eq!(store.list_artifacts("bob", 10).await.unwrap(), []);
    assert_eq!(store.list_artifacts("ann", 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_result_expires_at_its_second_and_is_swept() {
    let clock = HandClock::at(100);
    let config = Config { artifact_ttl_s: 60, ..Config::default() };
    let store = open(&config, &clock).await;
    let old = store.put_artifact("ann", "text/plain", b"old").await.unwrap();
    clock.turn(59);
    let young = store.put_artifact("ann", "text/plain", b"young").await.unwrap();
    assert!(store.read_artifact("ann", &old, 0, 9).await.is_ok());
    clock.turn(1);
    let gone = store.read_artifact("ann", &old, 0, 9).await.unwrap_err();
    assert!(matches!(gone, StoreError::NoArtifact { .. }), "{gone}");
    let listed = store.list_artifacts("ann", 10).await.unwrap();
    assert_eq!(listed.iter().map(|a| &a.handle).collect::<Vec<_>>(), [&young]);

    let swept = store.sweep(160).await.unwrap();
    assert_eq!((swept.expired, swept.evicted), (1, 0));
    assert_eq!(store.sweep(160).await.unwrap().expired, 0);
    assert!(store.read_artifact("ann", &young, 0, 9).await.is_ok());
}

#[tokio::test]
async fn limits_name_themselves_and_nothing_is_kept() {
    let config = Config { artifact_bytes_max: 10, ..Config::default() };
    let store = open(&config, &HandClock::at(1)).await;
    let error = store.put_artifact("ann", "text/plain", &[0; 11]).await.unwrap_err();
    assert_eq!(error.to_string(), "the result is 11 bytes; limit artifact_bytes_max is 10");
    assert_eq!(Fault::from(error).kind, Kind::Limit);
    assert!(store.put_artifact("ann", "text/plain", &[0; 10]).await.is_ok());
    let long = "x".repeat(600);
    assert!(store.put_artifact(&long, "text/plain", b"").await.is_err());
    assert_eq!(store.list_artifacts("ann", 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn beyond_the_total_the_oldest_go() {
    let clock = HandClock::at(1);
    let config = Config { artifacts_total_bytes_max: 100, ..Config::default() };
    let store = open(&config, &clock).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(store.put_artifact("ann", "text/plain", &[7; 30]).await.unwrap());
        clock.turn(1);
    }
    assert_eq!(kept(&store, &ids).await, [false, true, true, true]);
    let large = store.put_artifact("ann", "text/plain", &[7; 65]).await.unwrap();
    assert_eq!(kept(&store, &ids).await, [false, false, false, true]);
    assert!(store.read_artifact("ann", &large, 0, 1).await.is_ok());
    let whole = store.put_artifact("ann", "text/plain", &[7; 100]).await.unwrap();
    assert_eq!(kept(&store, &ids).await, [false; 4]);
    assert!(store.read_artifact("ann", &whole, 0, 1).await.is_ok());
}

#[tokio::test]
async fn a_full_store_makes_room_for_many_at_once() {
    let clock = HandClock::at(1);
    let config = Config { artifacts_total_bytes_max: 1_000, ..Config::default() };
    let store = open(&config, &clock).await;
    let mut counts = Vec::new();
    for _ in 0..113 {
        store.put_artifact("ann", "text/plain", &[7; 10]).await.unwrap();
        clock.turn(1);
        counts.push(store.list_artifacts("ann", 1_000).await.unwrap().len());
    }
    // Full at 100; then a tenth goes, and ten puts find room.
    assert_eq!(counts[99..=101], [100, 90, 91]);
    assert_eq!(counts[110..], [100, 90, 91]);
}

#[tokio::test]
async fn thousands_of_small_results_give_way_to_a_large_one() {
    let config = Config { artifacts_total_bytes_max: 2_300, ..Config::default() };
    let store = open(&config, &HandClock::at(1)).await;
    for _ in 0..2_300 {
        store.put_artifact("ann", "text/plain", &[7; 1]).await.unwrap();
    }
    let large = store.put_artifact("ann", "text/plain", &[7; 2_295]).await.unwrap();
    let kept = store.list_artifacts("ann", 1_000).await.unwrap();
    assert_eq!(kept.len(), 6, "five of one byte beside it");
    assert!(store.read_artifact("ann", &large, 0, 1).await.is_ok());
}

#[tokio::test]
async fn a_sweep_obeys_a_limit_that_was_lowered() {
    let folder = tempfile::tempdir().unwrap();
    let clock = HandClock::at(1);
    let mut config = at(&folder.path().join("a.db"));
    let store = open(&config, &clock).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(store.put_artifact("ann", "text/plain", &[7; 30]).await.unwrap());
        clock.turn(1);
    }
    store.close().await;
    config.artifacts_total_bytes_max = 60;
    let store = open(&config, &clock).await;
    assert_eq!(store.sweep(10).await.unwrap().evicted, 1);
    assert_eq!(kept(&store, &ids).await, [false, true, true]);
}

async fn kept(store: &Store, ids: &[ArtifactId]) -> Vec<bool> {
    let mut kept = Vec::new();
    for id in ids {
        kept.push(store.read_artifact("ann", id, 0, 1).await.is_ok());
    }
    kept
}
