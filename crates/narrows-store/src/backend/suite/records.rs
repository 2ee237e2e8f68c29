//! Records: versions, expectations, expiry, totals.

use super::*;
use crate::backend::Total;

/// All of a record but the version is as it was put.
pub(crate) async fn a_put_record_comes_back_whole(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    assert!(now > 1_600_000_000_000, "milliseconds since 1970: {now}");
    let mut given = record(&ann("a"), b"hello");
    given.weight = 77;
    given.stamp_ms = now + 5;
    given.expires_ms = Some(now + 100_000);
    assert!(b.write(vec![put(given.clone())]).await.unwrap());
    given.version = 1;
    assert_eq!(b.get(&ann("a"), now).await.unwrap(), Some(given.clone()));
    let listed = b.list(&all(Space::Session), now).await.unwrap();
    assert_eq!(listed, [given.clone()]);
    let bare = Range { bodies: false, ..all(Space::Session) };
    given.body = Vec::new();
    assert_eq!(b.list(&bare, now).await.unwrap(), [given]);
    assert_eq!(site.open().await.list(&bare, now).await.unwrap().len(), 1, "shared or the same");
}

/// The same id elsewhere is another record.
pub(crate) async fn records_differ_by_space_owner_and_id(site: &Site) {
    let b = site.open().await;
    let keys = Space::ALL.into_iter().flat_map(|space| {
        [key(space, "ann", "a"), key(space, "bob", "a"), key(space, "ann", "b"), key(space, "", "")]
    });
    let keys: Vec<Key> = keys.collect();
    for (n, key) in keys.iter().enumerate() {
        let body = n.to_string();
        assert!(b.write(vec![put(record(key, body.as_bytes()))]).await.unwrap());
        assert!(b.write(vec![append(key, 0, &[&body])]).await.unwrap(), "{key:?}");
    }
    for (n, key) in keys.iter().enumerate() {
        let found = b.get(key, 0).await.unwrap().unwrap();
        assert_eq!((&found.key, found.body), (key, n.to_string().into_bytes()));
        assert_eq!(log(&*b, key).await, [n.to_string()]);
    }
    assert_eq!(b.get(&key(Space::Run, "ann", "c"), 0).await.unwrap(), None);
    assert_eq!(b.get(&key(Space::Run, "a", "nna"), 0).await.unwrap(), None);
}

/// 1, then one more each time.
pub(crate) async fn a_put_counts_the_version_up(site: &Site) {
    let b = site.open().await;
    for version in 1..=3_u64 {
        let body = version.to_string();
        assert!(b.write(vec![put(record(&ann("a"), body.as_bytes()))]).await.unwrap());
        let found = b.get(&ann("a"), 0).await.unwrap().unwrap();
        assert_eq!((found.version, found.body), (version, body.into_bytes()));
    }
    assert!(b.write(vec![Change::Delete { key: ann("a") }]).await.unwrap());
    assert!(b.write(vec![put(record(&ann("a"), b""))]).await.unwrap());
    assert_eq!(b.get(&ann("a"), 0).await.unwrap().unwrap().version, 1, "it is new");
}

/// All or nothing, wherever the one stands that fails.
pub(crate) async fn expectations_decide_whether_anything_is_written(site: &Site) {
    let b = site.open().await;
    let expecting = |id: &str, body: &str, expect| Change::Put {
        record: record(&ann(id), body.as_bytes()),
        expect,
    };
    let first = vec![expecting("a", "1", Expect::Absent), append(&ann("log"), 0, &["x"])];
    assert!(b.write(first).await.unwrap());
    let failing = [
        expecting("a", "2", Expect::Absent),
        expecting("a", "2", Expect::Version(2)),
        expecting("b", "2", Expect::Version(1)),
        append(&ann("log"), 0, &["y"]),
        append(&ann("log"), 2, &["y"]),
    ];
    for bad in failing {
        let good = || {
            vec![
                put(record(&ann("a"), b"changed")),
                put(record(&ann("c"), b"made")),
                Change::Add { key: ann("d"), weight: 5, stamp_ms: 1 },
                append(&ann("e"), 0, &["z"]),
                append(&ann("log"), 1, &["z"]),
            ]
        };
        // The bad one first, among them, and last; `a` in version 2 would be right only afterwards.
        for at in [0, 3] {
            let mut changes = good();
            if at > 0 {
                changes.remove(0);
                changes.retain(|c| !matches!(c, Change::Append { key, .. } if key.id == "log"));
            }
            changes.insert(at.min(changes.len()), bad.clone());
            assert!(!b.write(changes).await.unwrap(), "{bad:?} at {at}");
        }
        let kept = b.get(&ann("a"), 0).await.unwrap().unwrap();
        assert_eq!((kept.version, kept.body), (1, b"1".to_vec()), "{bad:?}");
        for id in ["b", "c", "d"] {
            assert_eq!(b.get(&ann(id), 0).await.unwrap(), None, "{bad:?}");
        }
        assert_eq!(log(&*b, &ann("log")).await, ["x"]);
        assert_eq!(log(&*b, &ann("e")).await, [] as [&str; 0]);
        assert_eq!(b.total(Space::Session, None).await.unwrap(), Total { records: 1, weight: 1 });
    }
    assert!(b.write(vec![expecting("a", "2", Expect::Version(1))]).await.unwrap());
    assert!(!b.write(vec![expecting("a", "3", Expect::Version(1))]).await.unwrap());
    assert!(b.write(vec![expecting("a", "3", Expect::Version(2))]).await.unwrap());
}

/// A later change sees what an earlier one did.
pub(crate) async fn changes_to_one_key_are_made_in_their_order(site: &Site) {
    let b = site.open().await;
    let version = |n, body: &[u8]| Change::Put {
        record: record(&ann("a"), body),
        expect: Expect::Version(n),
    };
    let changes = vec![
        Change::Put { record: record(&ann("a"), b"1"), expect: Expect::Absent },
        version(1, b"22"),
        append(&ann("a"), 0, &["x", "y"]),
        append(&ann("a"), 2, &["z"]),
        Change::Delete { key: ann("b") },
        put(record(&ann("b"), b"back")),
        Change::Add { key: ann("b"), weight: 10, stamp_ms: 7 },
        Change::Touch { key: ann("b"), stamp_ms: 9, expires_ms: None },
    ];
    assert!(b.write(changes).await.unwrap());
    let a = b.get(&ann("a"), 0).await.unwrap().unwrap();
    assert_eq!((a.version, a.body), (2, b"22".to_vec()));
    assert_eq!(log(&*b, &ann("a")).await, ["x", "y", "z"]);
    let found = b.get(&ann("b"), 0).await.unwrap().unwrap();
    assert_eq!((found.weight, found.stamp_ms, found.body), (14, 9, b"back".to_vec()));
    assert_eq!(b.total(Space::Session, None).await.unwrap(), Total { records: 2, weight: 16 });
    let again = vec![
        append(&ann("a"), 3, &["lost"]),
        Change::Delete { key: ann("a") },
        append(&ann("a"), 0, &["anew"]),
    ];
    assert!(b.write(again).await.unwrap());
    assert_eq!(log(&*b, &ann("a")).await, ["anew"]);
}

/// Not for reading, not for listing, not for expectations.
pub(crate) async fn an_expired_record_does_not_exist(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    let lives = |id: &str, until| Record { expires_ms: Some(until), ..record(&ann(id), b"x") };
    let old = vec![put(lives("old", now - 1)), put(lives("young", now + LONG_MS))];
    assert!(b.write(old).await.unwrap());
    assert_eq!(b.get(&ann("old"), now).await.unwrap(), None);
    assert_eq!(b.get(&ann("young"), now + LONG_MS).await.unwrap(), None, "gone at its end");
    assert!(b.get(&ann("young"), now + LONG_MS - 1).await.unwrap().is_some());
    assert_eq!(ids(&*b, &all(Space::Session)).await, ["young"]);
    assert_eq!(b.list(&all(Space::Session), now + LONG_MS).await.unwrap(), []);

    let version = |expect| vec![Change::Put { record: record(&ann("old"), b"new"), expect }];
    assert!(!b.write(version(Expect::Version(1))).await.unwrap());
    let touch = Change::Touch { key: ann("old"), stamp_ms: 1, expires_ms: Some(now + LONG_MS) };
    assert!(b.write(vec![touch]).await.unwrap());
    assert_eq!(b.get(&ann("old"), now).await.unwrap(), None, "a touch wakes nothing up");
    assert!(b.write(version(Expect::Absent)).await.unwrap());
    let found = b.get(&ann("old"), now).await.unwrap().unwrap();
    assert_eq!((found.version, found.body), (1, b"new".to_vec()));

    let counted = Record { expires_ms: Some(now - 1), weight: 50, ..record(&ann("sum"), b"x") };
    let add = Change::Add { key: ann("sum"), weight: 2, stamp_ms: 1 };
    assert!(b.write(vec![put(counted), add]).await.unwrap());
    let found = b.get(&ann("sum"), now).await.unwrap().unwrap();
    assert_eq!((found.weight, found.body.len()), (2, 0), "it began anew");
}

/// Body, weight and version stay.
pub(crate) async fn a_touch_sets_stamp_and_expiry_only(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    let touch = |expires_ms| Change::Touch { key: ann("a"), stamp_ms: 5_000, expires_ms };
    assert!(b.write(vec![touch(None)]).await.unwrap(), "of nothing: nothing");
    assert_eq!(b.get(&ann("a"), now).await.unwrap(), None);
    assert!(b.write(vec![put(record(&ann("a"), b"hello")), touch(Some(now + 9))]).await.unwrap());
    let found = b.get(&ann("a"), now).await.unwrap().unwrap();
    let wanted = Record {
        version: 1,
        stamp_ms: 5_000,
        expires_ms: Some(now + 9),
        ..record(&ann("a"), b"hello")
    };
    assert_eq!(found, wanted);
    assert_eq!(b.total(Space::Session, None).await.unwrap(), Total { records: 1, weight: 5 });
}

/// Also when there was none.
pub(crate) async fn adding_makes_a_record_and_adds_up(site: &Site) {
    let b = site.open().await;
    let add = |weight, stamp_ms| Change::Add { key: ann("a"), weight, stamp_ms };
    assert!(b.write(vec![add(3, 10)]).await.unwrap());
    let found = b.get(&ann("a"), 0).await.unwrap().unwrap();
    let made = Record { weight: 3, version: 1, stamp_ms: 10, ..record(&ann("a"), b"") };
    assert_eq!(found, made);
    assert!(b.write(vec![add(4, 20), add(5, 30)]).await.unwrap());
    let found = b.get(&ann("a"), 0).await.unwrap().unwrap();
    assert_eq!((found.weight, found.stamp_ms), (12, 30));
    let total = b.total(Space::Session, Some("ann")).await.unwrap();
    assert_eq!(total, Total { records: 1, weight: 12 });
    assert!(b.write(vec![put(record(&ann("b"), b"body"))]).await.unwrap());
    let more = Change::Add { key: ann("b"), weight: 1, stamp_ms: 40 };
    assert!(b.write(vec![more]).await.unwrap());
    let found = b.get(&ann("b"), 0).await.unwrap().unwrap();
    assert_eq!((found.weight, found.body), (5, b"body".to_vec()), "the body stays");
}

/// Others' are not.
pub(crate) async fn a_deleted_record_is_gone_with_its_log(site: &Site) {
    let b = site.open().await;
    let mine = [put(record(&ann("a"), b"x")), append(&ann("a"), 0, &["1"])];
    let others = [put(record(&ann("b"), b"x")), append(&ann("b"), 0, &["1"])];
    assert!(b.write(mine.into_iter().chain(others).collect()).await.unwrap());
    let delete = |id: &str| vec![Change::Delete { key: ann(id) }];
    assert!(b.write(delete("a")).await.unwrap());
    assert!(b.write(delete("never")).await.unwrap());
    assert_eq!(b.get(&ann("a"), 0).await.unwrap(), None);
    assert_eq!(log(&*b, &ann("a")).await, [] as [&str; 0]);
    assert_eq!(log(&*b, &ann("b")).await, ["1"]);
    assert!(b.write(vec![append(&ann("a"), 0, &["anew"])]).await.unwrap());
}

/// And leaves the rest.
pub(crate) async fn a_sweep_takes_what_expired_with_its_log(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    let mut changes = Vec::new();
    for (id, expires_ms) in [("a", Some(now - 1)), ("b", Some(now + LONG_MS)), ("c", None)] {
        changes.push(put(Record { expires_ms, ..record(&ann(id), b"xyz") }));
        changes.push(append(&ann(id), 0, &["1", "2"]));
    }
    changes.push(append(&ann("loose"), 0, &["1"]));
    assert!(b.write(changes).await.unwrap());
    assert_eq!(b.total(Space::Session, None).await.unwrap(), Total { records: 3, weight: 9 });
    assert_eq!(b.sweep(now).await.unwrap(), 1);
    assert_eq!(b.total(Space::Session, None).await.unwrap(), Total { records: 2, weight: 6 });
    assert_eq!(log(&*b, &ann("a")).await, [] as [&str; 0]);
    for (id, entries) in [("b", 2), ("c", 2), ("loose", 1)] {
        assert_eq!(log(&*b, &ann(id)).await.len(), entries, "{id}");
    }
    assert_eq!(b.sweep(now).await.unwrap(), 0);
    assert_eq!(b.sweep(now + LONG_MS).await.unwrap(), 1, "at its end it has expired");
    assert_eq!(ids(&*b, &all(Space::Session)).await, ["c"]);
}

/// Of all and of each owner.
pub(crate) async fn totals_follow_every_change(site: &Site) {
    let b = site.open().await;
    let weigh = |owner: &str, id: &str, weight| {
        put(Record { weight, ..record(&key(Space::Artifact, owner, id), b"") })
    };
    let first = vec![weigh("ann", "a", 10), weigh("ann", "b", 20), weigh("bob", "a", 5)];
    assert!(b.write(first).await.unwrap());
    let total = async |owner| {
        let total = b.total(Space::Artifact, owner).await.unwrap();
        (total.records, total.weight)
    };
    assert_eq!(total(None).await, (3, 35));
    assert_eq!(total(Some("ann")).await, (2, 30));
    assert_eq!(total(Some("eve")).await, (0, 0));
    assert!(b.write(vec![weigh("ann", "a", 4)]).await.unwrap());
    assert_eq!((total(None).await, total(Some("ann")).await), ((3, 29), (2, 24)));
    let delete = Change::Delete { key: key(Space::Artifact, "ann", "b") };
    assert!(b.write(vec![delete.clone(), delete]).await.unwrap());
    assert_eq!((total(None).await, total(Some("ann")).await), ((2, 9), (1, 4)));
    assert_eq!(b.total(Space::Run, None).await.unwrap(), Total::default());
}

/// Zeros, no text at all, much of it.
pub(crate) async fn bytes_of_every_kind_come_back(site: &Site) {
    let b = site.open().await;
    let large: Vec<u8> = (0..=255_u8).cycle().take(1 << 20).collect();
    for (id, body) in [("large", large), ("zero", vec![0; 3]), ("none", vec![])] {
        let log = vec![body.clone(), vec![], body.clone()];
        let append = Change::Append { key: ann(id), from: 0, entries: log.clone() };
        assert!(b.write(vec![put(record(&ann(id), &body)), append]).await.unwrap());
        assert!(b.get(&ann(id), 0).await.unwrap().unwrap().body == body, "{id}");
        assert!(b.read(&ann(id), 0, 9).await.unwrap() == log, "{id}");
    }
    for id in ["it's", "a:b{c}|d", "ünï/😀", "%_\\*?[x]", "a\nb", " "] {
        let odd = key(Space::Value, id, id);
        assert!(b.write(vec![put(record(&odd, id.as_bytes()))]).await.unwrap());
        assert_eq!(b.get(&odd, 0).await.unwrap().unwrap().key, odd);
        let range = Range { owner: Some(id.to_owned()), ..all(Space::Value) };
        assert_eq!(ids(&*b, &range).await, [id]);
    }
}

/// Nothing to do is done.
pub(crate) async fn an_empty_write_is_made(site: &Site) {
    let b = site.open().await;
    assert!(b.write(vec![]).await.unwrap());
    b.enqueue(vec![]).await.unwrap();
    assert_eq!(b.beat(vec![], 10).await.unwrap(), []);
    assert_eq!(b.settle(vec![]).await.unwrap().len(), 0);
    assert_eq!(b.claim(&want("w", 0, 10)).await.unwrap(), []);
}
