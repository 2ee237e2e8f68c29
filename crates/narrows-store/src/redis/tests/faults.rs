//! Servers that are wrong, gone, or slow.

use super::*;
use crate::StoreError;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_url_that_is_not_understood_is_refused_without_its_password() {
    for url in [
        "redis://:secret@127.0.0.1:1/?prefix=",
        "redis://:secret@127.0.0.1:1/?prefix=a{b}",
        "redis://:secret@127.0.0.1:1/?colour=red",
        "redis://:secret@127.0.0.1:1/?prefix=a&protocol=resp2",
        "redis://:secret@127.0.0.1:1/zero",
        "redis://:secret@0.0.0.0:1/",
        "rediss://:secret@127.0.0.1:1/#insecure",
        "redis+unix:///tmp/secret",
        "secret",
    ] {
        let error = Redis::open(url).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        if !url.ends_with("#insecure") {
            assert!(matches!(error, StoreError::Url { .. }), "{url}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_says_nothing_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = nobody.local_addr().unwrap();
    let url = format!("redis://ann:secret@{at}/3");
    let named = |error: StoreError| {
        let text = error.to_string();
        assert!(text.contains(&format!("redis://{at}/3")), "{text}");
        assert!(!text.contains("secret"), "{text}");
    };
    named(Redis::within(&url, Duration::from_millis(300)).await.unwrap_err());
    drop(nobody);
    named(timeout(PATIENCE, Redis::open(&url)).await.unwrap().unwrap_err());
}

/// It ends as if it had lost power, and comes back.
#[tokio::test]
async fn a_server_that_was_killed_comes_back_with_everything() {
    let mut server = Server::private().await;
    let redis = Arc::new(Redis::open(&server.url()).await.unwrap());
    let mut wakes = redis.wakes();
    assert!(redis.write(vec![put(key("ann", "a"), b"kept".to_vec())]).await.unwrap());
    redis.enqueue(vec![job("a")]).await.unwrap();
    server.kill();
    let asked = tokio::join!(
        async {
            // Asked while nobody is there; answered when somebody is.
            let change = put(key("ann", "b"), vec![]);
            let until = Instant::now() + PATIENCE;
            while let Err(error) = redis.write(vec![change.clone()]).await {
                assert!(Instant::now() < until, "{error}");
            }
            redis.get(&key("ann", "a"), 0).await.unwrap().unwrap()
        },
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.restart().await;
        }
    );
    assert_eq!(asked.0.body, b"kept");
    assert_eq!(redis.claim(&want(9)).await.unwrap().len(), 1);
    // The listener comes back by itself, and wakes since it may have missed something.
    wakes.mark_unchanged();
    let until = Instant::now() + PATIENCE;
    while timeout(Duration::from_millis(100), wakes.changed()).await.is_err() {
        redis.enqueue(vec![job("b")]).await.unwrap();
        assert!(Instant::now() < until, "no news any more");
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_told_again() {
    let server = Server::private().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    for round in 0..3 {
        server.say(&["SCRIPT", "FLUSH"]).await;
        assert!(redis.write(vec![put(key("ann", "a"), vec![])]).await.unwrap());
        assert_eq!(redis.get(&key("ann", "a"), 0).await.unwrap().unwrap().version, round + 1);
    }
}

#[tokio::test]
async fn an_answer_is_waited_for_until_the_deadline() {
    let server = Server::private().await;
    let redis = Redis::within(&server.url(), Duration::from_secs(1)).await.unwrap();
    server.say(&["CLIENT", "PAUSE", "600000", "WRITE"]).await;
    let late = timeout(PATIENCE, redis.write(vec![put(key("ann", "a"), vec![])])).await.unwrap();
    assert!(matches!(late, Err(StoreError::Busy { waited_s: 1, .. })), "{late:?}");
    server.say(&["CLIENT", "UNPAUSE"]).await;
    assert_eq!(redis.get(&key("ann", "b"), 0).await.unwrap(), None, "the connection still serves");
}

/// What is full refuses; nothing is half written.
#[tokio::test]
async fn a_full_server_refuses_whole_batches() {
    let server = Server::private().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    assert!(redis.write(vec![put(key("ann", "a"), vec![1])]).await.unwrap());
    server.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let append = Change::Append { key: key("ann", "a"), from: 0, entries: vec![vec![2]] };
    let batch = vec![append, put(key("ann", "a"), vec![2]), put(key("ann", "b"), vec![2])];
    let error = redis.write(batch.clone()).await.unwrap_err();
    assert!(error.to_string().contains("OOM") || error.to_string().contains("memory"), "{error}");
    assert!(redis.enqueue(vec![job("a")]).await.is_err());
    server.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(redis.get(&key("ann", "a"), 0).await.unwrap().unwrap().version, 1);
    assert_eq!(redis.total(Space::Session, None).await.unwrap().records, 1);
    assert_eq!(redis.job("a").await.unwrap(), None);
    assert_eq!(redis.claim(&want(9)).await.unwrap(), []);
    assert!(redis.write(batch).await.unwrap());
}

/// A job's hash that somebody removed from outside.
#[tokio::test]
async fn a_job_that_was_torn_out_blocks_no_other() {
    let server = Server::start().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let late = NewJob { delay_ms: 1, ..job("late") };
    redis.enqueue(vec![job("a"), late, job("z")]).await.unwrap();
    for id in ["a", "late"] {
        server.say(&["DEL", &format!("{}j:{id}", server.tag())]).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let rows = redis.claim(&want(9)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["z"]);
}
