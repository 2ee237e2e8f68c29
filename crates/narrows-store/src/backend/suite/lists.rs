//! Lists and their pages.

use super::*;

/// Page after page gives all, once, in order; equal stamps are ordered by id.
pub(crate) async fn a_list_is_paged_in_both_orders(site: &Site) {
    let b = site.open().await;
    let given = [("d", 1), ("b", 2), ("a", 2), ("C", 2), ("c", 2), ("é", 2), ("z", 3), ("0", 4)];
    for (id, stamp_ms) in given {
        let record = Record { stamp_ms, ..record(&ann(id), b"x") };
        assert!(b.write(vec![put(record)]).await.unwrap());
    }
    let oldest = ["d", "C", "a", "b", "c", "é", "z", "0"];
    for oldest_first in [true, false] {
        let mut wanted = oldest.to_vec();
        if !oldest_first {
            wanted.reverse();
        }
        for limit in [1, 2, 3, 8, 9] {
            for owner in [None, Some("ann".to_owned())] {
                let first = Range { owner, oldest_first, limit, ..all(Space::Session) };
                assert_eq!(paged(&*b, first).await, wanted, "{oldest_first} {limit}");
            }
        }
    }
}

async fn paged(b: &dyn Backend, mut range: Range) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let page = b.list(&range, 0).await.unwrap();
        assert!(page.len() <= range.limit);
        let Some(last) = page.last() else { return seen };
        range.after = Some((last.stamp_ms, last.key.id.clone()));
        seen.extend(page.iter().map(|r| r.key.id.clone()));
    }
}

/// Nothing else is in it.
pub(crate) async fn a_list_keeps_to_owner_space_and_limit(site: &Site) {
    let b = site.open().await;
    let now = b.now_ms().await.unwrap();
    let mut changes = Vec::new();
    for (space, owner) in [(Space::Run, "ann"), (Space::Run, "bob"), (Space::Intent, "ann")] {
        for n in 0..5_u64 {
            let key = key(space, owner, &format!("{owner}{n}"));
            changes.push(put(Record { stamp_ms: n, ..record(&key, b"x") }));
        }
    }
    // The expired are no part of a page, however many stand before it.
    for n in 0..50 {
        let key = key(Space::Run, "ann", &format!("gone{n}"));
        changes.push(put(Record { expires_ms: Some(now - 1), stamp_ms: 99, ..record(&key, b"") }));
    }
    assert!(b.write(changes).await.unwrap());
    let anns = Range { owner: Some("ann".to_owned()), limit: 2, ..all(Space::Run) };
    assert_eq!(ids(&*b, &anns).await, ["ann4", "ann3"]);
    assert_eq!(ids(&*b, &all(Space::Run)).await.len(), 10);
    assert_eq!(ids(&*b, &Range { limit: 3, ..all(Space::Intent) }).await.len(), 3);
    assert_eq!(ids(&*b, &all(Space::Value)).await, [] as [&str; 0]);
    assert_eq!(ids(&*b, &Range { limit: 0, ..all(Space::Run) }).await, [] as [&str; 0]);
    // A touched record moves to its new place and stands in the list once.
    let touched = key(Space::Run, "ann", "ann0");
    let touch = Change::Touch { key: touched, stamp_ms: 50, expires_ms: None };
    assert!(b.write(vec![touch]).await.unwrap());
    assert_eq!(
        ids(&*b, &Range { limit: 9, ..anns }).await,
        ["ann0", "ann4", "ann3", "ann2", "ann1"]
    );
}
