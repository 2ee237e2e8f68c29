//! Logs.

use super::*;

/// Entries come back in their order; the length is the fence.
pub(crate) async fn a_log_grows_from_where_it_ends(site: &Site) {
    let b = site.open().await;
    let run = key(Space::Run, "ann", "run_1");
    assert!(b.write(vec![put(record(&run, b"")), append(&run, 0, &["a", "b"])]).await.unwrap());
    assert!(b.write(vec![append(&run, 2, &["c"])]).await.unwrap());
    assert!(b.write(vec![append(&run, 3, &[])]).await.unwrap());
    for wrong in [0, 1, 2, 4] {
        assert!(!b.write(vec![append(&run, wrong, &["x"])]).await.unwrap(), "{wrong}");
        assert!(!b.write(vec![append(&run, wrong, &[])]).await.unwrap(), "{wrong}");
    }
    assert_eq!(log(&*b, &run).await, ["a", "b", "c"]);
    assert_eq!(log(&*site.open().await, &run).await, ["a", "b", "c"]);
    assert!(b.write(vec![put(record(&run, b"new"))]).await.unwrap());
    assert_eq!(log(&*b, &run).await.len(), 3, "a put leaves the log");
}

/// It may come first, or be alone.
pub(crate) async fn a_log_needs_no_record(site: &Site) {
    let b = site.open().await;
    assert!(b.write(vec![append(&ann("a"), 0, &["1"])]).await.unwrap());
    assert_eq!(b.get(&ann("a"), 0).await.unwrap(), None);
    assert_eq!(b.total(Space::Session, None).await.unwrap().records, 0);
    assert_eq!(log(&*b, &ann("a")).await, ["1"]);
    assert!(b.write(vec![put(record(&ann("a"), b""))]).await.unwrap());
    assert_eq!(log(&*b, &ann("a")).await, ["1"], "the record finds its log");
    assert!(b.write(vec![append(&ann("b"), 0, &["1"])]).await.unwrap());
    assert!(b.write(vec![Change::Delete { key: ann("b") }]).await.unwrap());
    assert_eq!(log(&*b, &ann("b")).await, [] as [&str; 0], "also a log alone can be deleted");
}

/// From anywhere, so many as there are.
pub(crate) async fn a_log_is_read_in_parts(site: &Site) {
    let b = site.open().await;
    let entries: Vec<Vec<u8>> = (0..1_500_u32).map(|n| n.to_string().into_bytes()).collect();
    let all = Change::Append { key: ann("a"), from: 0, entries: entries.clone() };
    assert!(b.write(vec![all]).await.unwrap());
    for (from, count) in [(0, 1), (3, 4), (1_000, 400), (1_490, 100), (1_500, 5), (9_999, 1)] {
        let part = b.read(&ann("a"), from, count).await.unwrap();
        let wanted = entries.iter().skip(usize::try_from(from).unwrap());
        let wanted: Vec<_> = wanted.take(usize::try_from(count).unwrap()).cloned().collect();
        assert_eq!(part, wanted, "{from} {count}");
    }
    assert_eq!(b.read(&ann("a"), 0, 0).await.unwrap().len(), 0);
    assert_eq!(b.read(&ann("a"), u64::MAX, u64::MAX).await.unwrap().len(), 0);
    assert_eq!(b.read(&ann("a"), 0, u64::MAX).await.unwrap().len(), 1_500);
    assert_eq!(b.read(&ann("b"), 0, 9).await.unwrap().len(), 0);
}

/// What an expired record left is not its successor's.
pub(crate) async fn a_fresh_record_has_no_old_log(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    for (id, expect) in [("a", Expect::Absent), ("b", Expect::Any)] {
        let gone = Record { expires_ms: Some(now - 1), ..record(&ann(id), b"old") };
        assert!(b.write(vec![put(gone), append(&ann(id), 0, &["old"])]).await.unwrap());
        let fresh = Change::Put { record: record(&ann(id), b"new"), expect };
        assert!(b.write(vec![fresh, append(&ann(id), 0, &["new"])]).await.unwrap());
        assert_eq!(log(&*b, &ann(id)).await, ["new"]);
        assert_eq!(b.sweep(now).await.unwrap(), 0);
        assert_eq!(log(&*b, &ann(id)).await, ["new"]);
    }
    assert_eq!(b.total(Space::Session, None).await.unwrap().records, 2);

    // One that lives keeps its log, whatever is expected of it.
    assert!(b.write(vec![put(record(&ann("b"), b"again"))]).await.unwrap());
    assert_eq!(log(&*b, &ann("b")).await, ["new"]);
}

/// Swept or not.
pub(crate) async fn an_expired_record_has_no_log(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    let until = |id: &str, at| Record { expires_ms: Some(at), ..record(&ann(id), b"x") };
    for (id, at) in [("old", now - 1), ("young", now + LONG_MS)] {
        assert!(b.write(vec![put(until(id, at)), append(&ann(id), 0, &["one"])]).await.unwrap());
    }
    assert_eq!(log(&*b, &ann("young")).await, ["one"]);
    assert_eq!(log(&*b, &ann("old")).await, [""; 0]);
}

/// Neither is torn.
pub(crate) async fn of_two_writers_of_a_log_one_wins(site: &Site) {
    let (one, two) = (site.open().await, site.open().await);
    for round in 0..20_u64 {
        let batch = |who: &str| vec![append(&ann("a"), round * 2, &[who, who])];
        let (a, b) = tokio::join!(one.write(batch("one")), two.write(batch("two")));
        assert!(a.unwrap() ^ b.unwrap(), "round {round}");
    }
    let entries = log(&*one, &ann("a")).await;
    assert_eq!(entries.len(), 40);
    assert!(entries.chunks(2).all(|pair| pair[0] == pair[1]), "{entries:?}");
}
