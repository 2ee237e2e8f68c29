//! A file that the first release wrote, `first.sql` beside this: it opens, with all that it held.

use crate::{HandClock, at, open};
use narrows_types::{ArtifactId, Language, RunState};
use std::path::Path;

/// What the first release wrote, dumped; made a file again by `SQLite`'s own library.
const DUMP: &str = include_str!("first.sql");

async fn restore(path: &Path) {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut file = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(DUMP).execute(&mut file).await.unwrap();
    file.close().await.unwrap();
}

#[tokio::test]
async fn a_file_of_the_first_release_opens_with_all_that_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    restore(&path).await;
    let clock = HandClock::at(1_700_000_100);
    // Opened twice: the second finds it done.
    open(&at(&path), &clock).await.close().await;
    let store = open(&at(&path), &clock).await;

    let row = |server: &str, tool: &str, shape: &str| {
        (server.to_owned(), tool.to_owned(), shape.to_owned())
    };
    let shapes = store.all_observed().await.unwrap();
    assert_eq!(shapes, [row("git", "diff", r#"{"é":"string"}"#), row("git", "log", "{}")]);
    let calls = |server: &str, n| (server.to_owned(), "log".to_owned(), n);
    assert_eq!(store.usage().await.unwrap(), [calls("git", 42), calls("svn", 1)]);

    let rows = store.run_rows(Some("ann"), 9).await.unwrap();
    let seen: Vec<_> =
        rows.iter().map(|r| (r.run.as_str(), r.language, r.state, r.calls)).collect();
    let wanted = [
        ("run_b", Language::Python, RunState::Threw, 1),
        ("run_a", Language::TypeScript, RunState::Returned, 1),
    ];
    assert_eq!(seen, wanted);
    assert_eq!((rows[1].started_at_ms, rows[1].wall_us), (1_700_000_000_123, 7));

    let listed = store.list_artifacts("ann", 9).await.unwrap();
    assert_eq!(
        listed.iter().map(|a| a.handle.as_str()).collect::<Vec<_>>(),
        ["art_two", "art_one"]
    );
    let id = ArtifactId("art_one".to_owned());
    let part = store.read_artifact("ann", &id, 262_140, 8).await.unwrap();
    assert_eq!(
        (part.bytes.as_slice(), part.total_bytes),
        (&b"\x01\x01\x01\x01\x02\x02\x02"[..], 262_147)
    );
    assert_eq!((part.mime.as_str(), part.expires_at), ("application/json", 1_700_086_400));
    assert!(store.read_artifact("bob", &id, 0, 1).await.is_err());
    let empty = ArtifactId("art_two".to_owned());
    assert_eq!(store.read_artifact("ann", &empty, 0, 9).await.unwrap().total_bytes, 0);

    // The totals came over as well: the expired one goes, then the limit finds the oldest.
    assert_eq!(store.sweep(1_700_000_100).await.unwrap().expired, 1);
    let mut config = at(&path);
    config.artifacts_total_bytes_max = 262_146;
    store.close().await;
    let store = open(&config, &clock).await;
    assert_eq!(store.sweep(1_700_000_100).await.unwrap().evicted, 1);
    assert!(store.read_artifact("ann", &id, 0, 1).await.is_err());
}
