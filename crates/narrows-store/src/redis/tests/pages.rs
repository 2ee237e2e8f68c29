//! Lists that take several scripts, and limits.

use super::*;
use crate::StoreError;
use crate::backend::Range;
use crate::queue::JobFilter;

fn range(owner: Option<&str>, oldest_first: bool, limit: usize) -> Range {
    let owner = owner.map(str::to_owned);
    Range { space: Space::Session, owner, oldest_first, after: None, limit, bodies: true }
}

/// One script looks at two thousand records and gives eight megabytes.
#[tokio::test]
async fn a_page_is_whole_behind_many_expired_and_with_large_bodies() {
    let server = Server::start().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let now = redis.now_ms().await.unwrap();
    for part in 0..5 {
        let gone = (0..1_000).map(|n| {
            let record = record(key("ann", &format!("m{part}-{n}")), vec![]);
            let record = Record { expires_ms: Some(now - 1), ..record };
            Change::Put { record, expect: Expect::Absent }
        });
        assert!(redis.write(gone.collect()).await.unwrap());
    }
    // The same ids on both sides of what has expired, whichever way one walks.
    let large = |id: &str| put(key("ann", id), vec![7; 3 << 20]);
    for id in ["a", "b", "c", "x", "y", "z"] {
        assert!(redis.write(vec![large(id), put(key("bob", id), vec![8])]).await.unwrap());
    }
    let ids = async |range: Range| -> Vec<String> {
        let found = redis.list(&range, now).await.unwrap();
        let small = if range.owner.is_none() { found.len() / 2 } else { 0 };
        assert_eq!(found.iter().filter(|r| r.body.len() == 3 << 20).count(), found.len() - small);
        found.into_iter().map(|r| r.key.id).collect()
    };
    let six = ["a", "b", "c", "x", "y", "z"];
    assert_eq!(ids(range(Some("ann"), true, 6)).await, six);
    assert_eq!(ids(range(Some("ann"), false, 9)).await, six.into_iter().rev().collect::<Vec<_>>());
    let twice: Vec<_> = six.iter().flat_map(|id| [*id, *id]).collect();
    assert_eq!(ids(range(None, true, 99)).await, twice);
    assert_eq!(redis.sweep(now).await.unwrap(), 1_000, "a bounded number at once");
}

/// One script gives so many jobs only.
#[tokio::test]
async fn a_page_of_jobs_takes_several_scripts() {
    let server = Server::start().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let jobs: Vec<_> = (0..5_000).map(|n| job(&format!("{n:04}"))).collect();
    redis.enqueue(jobs).await.unwrap();
    let all = JobFilter { limit: 10_000, ..JobFilter::default() };
    let rows = redis.jobs(&all).await.unwrap();
    assert_eq!(rows.len(), 5_000);
    assert!(rows.is_sorted_by(|a, b| (a.created_ms, &a.id) > (b.created_ms, &b.id)));
    assert_eq!(redis.claim(&want(5_000)).await.unwrap().len(), 1_000, "a bounded number at once");
}

#[tokio::test]
async fn what_is_too_much_or_torn_is_refused_and_nothing_is_written() {
    let server = Server::start().await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let large = (0..9).map(|n| put(key("ann", &n.to_string()), vec![0; 8 << 20])).collect();
    let refused = redis.write(large).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    let many = Change::Append { key: key("ann", "a"), from: 0, entries: vec![vec![]; 300_000] };
    let refused = redis.write(vec![put(key("ann", "a"), vec![]), many]).await.unwrap_err();
    assert!(refused.to_string().contains("values at once"), "{refused}");
    let torn = redis.write(vec![put(key("a\0b", "c"), vec![])]).await.unwrap_err();
    assert!(torn.to_string().contains("zero byte"), "{torn}");
    assert_eq!(redis.total(Space::Session, None).await.unwrap().records, 0);
    assert_eq!(redis.get(&key("a", "b\0c"), 0).await.unwrap(), None);
}

/// Nothing else is touched, and nothing is left behind.
#[tokio::test]
async fn every_name_has_the_prefix_and_goes_with_what_it_was_for() {
    let server = Server::start().await;
    let url = server.url();
    let redis = Redis::open(&url).await.unwrap();
    let other = Redis::open(&format!("{url}2")).await.unwrap();
    let append = Change::Append { key: key("ann", "a"), from: 0, entries: vec![vec![1]] };
    assert!(redis.write(vec![put(key("ann", "a"), vec![1]), append]).await.unwrap());
    redis.enqueue(vec![job("a"), job("b")]).await.unwrap();
    assert_eq!(redis.claim(&want(1)).await.unwrap().len(), 1);
    assert_eq!(other.get(&key("ann", "a"), 0).await.unwrap(), None);
    assert_eq!(other.claim(&want(1)).await.unwrap(), []);
    assert!(server.names().await.len() > 10);
    let delete = Change::Delete { key: key("ann", "a") };
    assert!(redis.write(vec![delete]).await.unwrap());
    assert!(redis.cancel("b").await.unwrap());
    let row = redis.job("a").await.unwrap().unwrap();
    let outcome = crate::queue::Outcome::Cancelled;
    let end = crate::queue::Settle { id: row.id, attempt: row.attempt, outcome };
    assert_eq!(redis.settle(vec![end]).await.unwrap(), [true]);
    let later = redis.now_ms().await.unwrap() + 10;
    assert_eq!(redis.forget_jobs(later).await.unwrap(), 2);
    // The sum of all weights stays, at zero.
    assert_eq!(server.names().await, [format!("{}w", server.tag())]);
}
