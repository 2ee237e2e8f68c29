//! The suite on `SQLite`, in a file and in memory, and on `PostgreSQL`.

mod server;

use super::Sql;
use crate::Synchronous;
use crate::backend::suite::{Site, backend_suite};
use crate::backend::{Backend, Change, Expect, Key, Record, Space};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::place::Place;
use crate::queue::NewJob;
use std::sync::Arc;

async fn open(url: &str) -> Arc<dyn Backend> {
    let place = Place::parse(url).unwrap();
    place.prepare().unwrap();
    let clock = Clock::system();
    Arc::new(Sql::open(place, url, clock, Synchronous::Normal).await.unwrap())
}

mod file {
    use super::*;

    async fn make() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("a.db").display());
        Site::new(
            move || {
                let url = url.clone();
                async move { open(&url).await }
            },
            folder,
        )
    }

    backend_suite!(make);
}

mod memory {
    use super::*;

    async fn make() -> Site {
        let backend = open("sqlite::memory:").await;
        Site::new(move || std::future::ready(Arc::clone(&backend)), ())
    }

    backend_suite!(make);
}

mod postgres {
    use super::*;

    async fn make() -> Site {
        let url = server::fresh("").await;
        Site::new(
            move || {
                let url = url.clone();
                async move { open(&url).await }
            },
            (),
        )
    }

    backend_suite!(make);

    #[tokio::test]
    async fn connections_that_were_cut_are_made_anew_without_a_word() {
        let url = server::fresh("&application_name=to_be_cut").await;
        let b = open(&url).await;
        let job = |id: &str| NewJob {
            id: id.to_owned(),
            principal: "ann".to_owned(),
            tenant: "acme".to_owned(),
            priority: 0,
            delay_ms: 0,
            max_attempts: 1,
            body: vec![],
            running: None,
        };
        b.enqueue(vec![job("first")]).await.unwrap();
        for round in 0..5 {
            // Some connections at least, of which each is dead afterwards.
            let reads = (0..5).map(|_| b.job("first"));
            futures_util::future::try_join_all(reads).await.unwrap();
            server::cut(&url, "to_be_cut").await;
            if round % 2 == 0 {
                b.enqueue(vec![job(&format!("job {round}"))]).await.unwrap();
            } else {
                assert!(b.job("first").await.unwrap().is_some());
            }
        }
        assert_eq!(b.depth().await.unwrap().0[0], 4);
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let url = server::fresh("").await;
        open(&url).await.close().await.unwrap();
        server::run(&url, "INSERT INTO narrows_schema (version) VALUES (99)").await;
        let place = Place::parse(&url).unwrap();
        let opened = Sql::open(place, &url, Clock::system(), Synchronous::Normal).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, known: 1, .. }), "{error}");
    }

    #[tokio::test]
    async fn texts_with_zeros_are_kept_without_them() {
        let b = open(&server::fresh("").await).await;
        let key = Key { space: Space::Value, owner: "a\0b".to_owned(), id: "c".to_owned() };
        let record = Record {
            key: key.clone(),
            body: vec![0],
            weight: 1,
            version: 0,
            stamp_ms: 1,
            expires_ms: None,
        };
        assert!(b.write(vec![Change::Put { record, expect: Expect::Any }]).await.unwrap());
        assert_eq!(b.get(&key, 0).await.unwrap().unwrap().body, [0]);
    }
}
