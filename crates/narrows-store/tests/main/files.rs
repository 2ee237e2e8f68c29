//! The file: rights, several processes, damage, versions, urls.

use crate::{HandClock, at, open};
use narrows_store::{Config, Store, StoreError};
use narrows_types::{Fault, Kind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("deep").join("a.db");
    let store = open(&at(&path), &HandClock::at(1)).await;
    store.put_artifact("ann", "text/plain", b"x").await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for name in ["a.db", "a.db-wal", "a.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    store.close().await;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(&at(&path), &HandClock::at(1)).await;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(store.list_artifacts("ann", 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_open_and_write_one_new_file_at_once() {
    const STORES: usize = 6;
    const PUTS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..STORES {
        let config = config.clone();
        writers.spawn(async move {
            let store = open(&config, &HandClock::at(5)).await;
            for n in 0..PUTS {
                let body = format!("{number}/{n}");
                let id = store.put_artifact("ann", "text/plain", body.as_bytes()).await.unwrap();
                let back = store.read_artifact("ann", &id, 0, 99).await.unwrap();
                assert_eq!(back.bytes, body.as_bytes());
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let store = open(&config, &HandClock::at(5)).await;
    assert_eq!(store.list_artifacts("ann", 999).await.unwrap().len(), STORES * PUTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_store_takes_concurrent_writers_and_readers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&at(&folder.path().join("a.db")), &HandClock::at(5)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40_usize {
        let store = store.clone();
        tasks.spawn(async move {
            let body = vec![u8::try_from(n).unwrap(); 10_000 + n];
            let id = store.put_artifact("ann", "text/plain", &body).await.unwrap();
            assert_eq!(store.read_artifact("ann", &id, 0, u64::MAX).await.unwrap().bytes, body);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.list_artifacts("ann", 999).await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_dropped_put_leaves_nothing_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&at(&folder.path().join("a.db")), &HandClock::at(5)).await;
    let body = vec![0; 8 << 20];
    for pause_us in [0, 200, 2_000] {
        let put = store.put_artifact("ann", "text/plain", &body);
        let pause = std::time::Duration::from_micros(pause_us);
        let _cut_off = tokio::time::timeout(pause, put).await;
    }
    let id = store.put_artifact("ann", "text/plain", b"x").await.unwrap();
    for info in store.list_artifacts("ann", 9).await.unwrap() {
        let part = store.read_artifact("ann", &info.handle, 0, u64::MAX).await.unwrap();
        assert_eq!(part.bytes.len() as u64, info.bytes, "an artifact is whole or absent");
    }
    assert!(store.read_artifact("ann", &id, 0, 1).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "dear diary, ".repeat(1_000);
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(&at(&path), HandClock::at(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "it is left as it was");
    let fault = Fault::from(error);
    assert_eq!(fault.kind, Kind::Unavailable);
    assert!(!fault.to_string().contains("notes.txt"), "an agent does not hear of paths");
}

#[tokio::test]
async fn a_damaged_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let clock = HandClock::at(1);
    let store = open(&at(&path), &clock).await;
    store.put_artifact("ann", "text/plain", &vec![1; 100_000]).await.unwrap();
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // The header stays, every page after the first is garbage.
    bytes.iter_mut().skip(4_096).for_each(|b| *b = 0xA5);
    std::fs::write(&path, bytes).unwrap();
    let error = match Store::open(&at(&path), clock).await {
        Err(error) => error,
        Ok(store) => store.list_artifacts("ann", 9).await.unwrap_err(),
    };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let clock = HandClock::at(1);
    open(&at(&path), &clock).await.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Bytes 60 to 63 of the header are the user version, big endian.
    if let Some(version) = bytes.get_mut(60..64) {
        version.copy_from_slice(&99_u32.to_be_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let error = Store::open(&at(&path), clock).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 3, .. }), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let error = Store::open(&at(folder.path()), HandClock::at(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&at(&file.join("a.db")), HandClock::at(1)).await.unwrap_err();
    assert!(error.to_string().contains("file/a.db"), "{error}");
}

#[tokio::test]
async fn a_strange_url_is_refused_without_its_secrets() {
    for url in ["", "sqlite:", "x.db", "sqlite:a.db?mode=ro", "mysql://me:hunter2@host/db"] {
        let config = Config { url: url.to_owned(), ..Config::default() };
        let error = Store::open(&config, HandClock::at(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    for url in ["memory:", "sqlite::memory:"] {
        let config = Config { url: url.to_owned(), ..Config::default() };
        assert!(Store::open(&config, HandClock::at(1)).await.is_ok(), "{url}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, named) in [
        (format!("postgres://me:hunter2@127.0.0.1:{port}/db?sslmode=disable"), true),
        ("postgresql://me:hun@ter2@[".to_owned(), false),
        ("postgres://me:hun?ter2@h/db?sslmode=ter2".to_owned(), false),
        (format!("postgres://me:hunter2@127.0.0.1:{port}/db?sslmode=hunter2"), false),
    ] {
        let config = Config { url, ..Config::default() };
        let error = Store::open(&config, HandClock::at(1)).await.unwrap_err();
        let told = format!("{error} {error:?} {config:?}");
        assert!(!told.contains("ter2"), "{told}");
        assert_eq!(told.contains(&format!("127.0.0.1:{port}/db")), named, "{told}");
    }
}
