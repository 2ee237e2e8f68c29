//! The queue: the order of claims, and how jobs end.

use super::*;
use crate::queue::{Beat, Depth, JobFilter, Pulse, Taken};

fn failed(error: &str, retry_ms: Option<u64>) -> Outcome {
    Outcome::Failed { error: error.to_owned(), retry_ms }
}

/// Every field.
pub(crate) async fn a_job_is_kept_as_it_was_given(site: &Site) {
    let b = site.open().await;
    let before = b.now_ms().await.unwrap();
    let given = NewJob {
        priority: -7,
        delay_ms: 90_000,
        max_attempts: 9,
        tenant: "t'1".to_owned(),
        body: vec![0, 255, 1],
        ..new_job("job_1")
    };
    b.enqueue(vec![given.clone()]).await.unwrap();
    let after = b.now_ms().await.unwrap();
    let row = job(&*site.open().await, "job_1").await;
    assert!((before..=after).contains(&row.created_ms), "{row:?}");
    let wanted = JobRow {
        id: given.id,
        principal: given.principal,
        tenant: given.tenant,
        state: JobState::Queued,
        attempt: 0,
        max_attempts: 9,
        priority: -7,
        visible_ms: row.created_ms + 90_000,
        worker: String::new(),
        cancel: false,
        progress: String::new(),
        result: vec![],
        error: String::new(),
        created_ms: row.created_ms,
        finished_ms: 0,
        body: given.body,
    };
    assert_eq!(row, wanted);
    assert_eq!(b.job("job_2").await.unwrap(), None);
}

/// Whatever state it is in.
pub(crate) async fn a_known_job_is_left_as_it_is(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    let other = NewJob { body: b"other".to_vec(), priority: 9, ..new_job("a") };
    let twice = vec![new_job("b"), NewJob { priority: 5, ..new_job("b") }, other.clone()];
    b.enqueue(twice).await.unwrap();
    assert_eq!((job(&*b, "a").await.priority, job(&*b, "b").await.priority), (0, 0));
    let rows = b.claim(&want("w", 9, LONG_MS)).await.unwrap();
    assert_eq!(rows.len(), 2);
    b.enqueue(vec![other.clone()]).await.unwrap();
    assert_eq!(state(&*b, "a").await, JobState::Running);
    let row = rows.iter().find(|r| r.id == "a").unwrap();
    b.settle(end(row, Outcome::Done(b"r".to_vec()))).await.unwrap();
    b.enqueue(vec![other]).await.unwrap();
    assert_eq!(state(&*b, "a").await, JobState::Done);
    assert_eq!(b.claim(&want("w", 9, LONG_MS)).await.unwrap(), []);
}

/// Within one claim and over several.
pub(crate) async fn the_highest_priority_goes_first_then_the_longest_waiting(site: &Site) {
    let b = site.open().await;
    for (id, priority) in [("a", 0), ("b", 5), ("c", -5), ("d", 5), ("e", 0)] {
        b.enqueue(vec![NewJob { priority, ..new_job(id) }]).await.unwrap();
        // Each a millisecond later than the one before, at least.
        let now = b.now_ms().await.unwrap();
        while b.now_ms().await.unwrap() <= now {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let rows = b.claim(&want("w", 3, LONG_MS)).await.unwrap();
    assert_eq!(names(&rows), ["b", "d", "a"]);
    let now = b.now_ms().await.unwrap();
    for row in &rows {
        assert_eq!((row.state, row.attempt, row.worker.as_str()), (JobState::Running, 1, "w"));
        assert!(row.visible_ms <= now + LONG_MS && row.visible_ms > now + LONG_MS / 2, "{row:?}");
        assert_eq!(row.body, format!("body of {}", row.id).into_bytes());
        assert_eq!(job(&*b, &row.id).await, *row);
    }
    assert_eq!(names(&b.claim(&want("w", 1, LONG_MS)).await.unwrap()), ["e"]);
    assert_eq!(names(&b.claim(&want("w", 9, LONG_MS)).await.unwrap()), ["c"]);
    assert_eq!(b.claim(&want("w", 9, LONG_MS)).await.unwrap(), []);
}

/// However many jobs one of them has.
pub(crate) async fn tenants_share_what_is_claimed(site: &Site) {
    let b = site.open().await;
    let of = |tenant: &str, id: String| NewJob { tenant: tenant.to_owned(), ..new_job(&id) };
    let mut jobs: Vec<_> = (0..30).map(|n| of("many", format!("m{n}"))).collect();
    b.enqueue(std::mem::take(&mut jobs)).await.unwrap();
    b.enqueue((0..3).map(|n| of("few", format!("f{n}"))).collect()).await.unwrap();
    b.enqueue(vec![of("one", "o0".to_owned())]).await.unwrap();
    let tenants = |rows: &[JobRow]| {
        let mut tenants: Vec<_> = rows.iter().map(|r| r.tenant.clone()).collect();
        tenants.sort();
        tenants
    };
    let rows = b.claim(&want("w", 3, LONG_MS)).await.unwrap();
    assert_eq!(tenants(&rows), ["few", "many", "one"]);
    let rows = b.claim(&want("w", 1, LONG_MS)).await.unwrap();
    let next = b.claim(&want("w", 1, LONG_MS)).await.unwrap();
    assert_eq!(tenants(&[rows, next].concat()), ["few", "many"]);
    let urgent = NewJob { priority: 1, ..of("many", "urgent".to_owned()) };
    b.enqueue(vec![urgent]).await.unwrap();
    let rows = b.claim(&want("w", 1, LONG_MS)).await.unwrap();
    assert_eq!(names(&rows), ["urgent"], "priority comes before fairness");
    // Three of `many` run and two of `few`.
    let rows = b.claim(&want("w", 4, LONG_MS)).await.unwrap();
    assert_eq!(tenants(&rows), ["few", "many", "many", "many"]);
    assert_eq!(rows.first().unwrap().tenant, "few");
    assert_eq!(b.claim(&want("w", 99, LONG_MS)).await.unwrap().len(), 25, "nobody waits in vain");
}

/// Whoever else claims.
pub(crate) async fn a_tenant_has_no_more_running_than_its_limit(site: &Site) {
    let b = site.open().await;
    for (tenant, count) in [("a", 5), ("b", 1)] {
        let job = |n| NewJob { tenant: tenant.to_owned(), ..new_job(&format!("{tenant}{n}")) };
        b.enqueue((0..count).map(job).collect()).await.unwrap();
    }
    let two = |worker: &str, count| Claim { tenant_running_max: 2, ..want(worker, count, LONG_MS) };
    let rows = b.claim(&two("w", 9)).await.unwrap();
    assert_eq!(rows.len(), 3, "two of a, one of b: {:?}", names(&rows));
    assert_eq!(b.claim(&two("v", 9)).await.unwrap(), []);
    let row = rows.iter().find(|r| r.tenant == "a").unwrap();
    b.settle(end(row, Outcome::Done(vec![]))).await.unwrap();
    assert_eq!(b.claim(&two("v", 9)).await.unwrap().len(), 1);
    assert_eq!(b.claim(&want("v", 9, LONG_MS)).await.unwrap().len(), 2, "the limit is the claim's");
}

/// And then goes.
pub(crate) async fn a_delayed_job_waits_for_its_time(site: &Site) {
    let b = site.open().await;
    let late = |id: &str, delay_ms| NewJob { delay_ms, priority: 9, ..new_job(id) };
    b.enqueue(vec![late("far", LONG_MS), late("soon", 150), new_job("now")]).await.unwrap();
    let rows = claimed(&*b, &want("w", 1, LONG_MS)).await;
    if names(&rows) == ["now"] {
        let rows = claimed(&*b, &want("w", 9, LONG_MS)).await;
        assert_eq!(names(&rows), ["soon"]);
    } else {
        assert_eq!(names(&rows), ["soon"], "this machine is slow");
    }
    let row = job(&*b, "soon").await;
    assert!(b.now_ms().await.unwrap() >= row.created_ms + 150);
    assert_eq!(state(&*b, "far").await, JobState::Queued);
}

/// And stays.
pub(crate) async fn a_done_job_has_its_result(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    let done = || Outcome::Done(vec![1, 0, 2]);
    let wrong = Settle { id: "a".to_owned(), attempt: 2, outcome: done() };
    let unknown = Settle { id: "nobody".to_owned(), attempt: 1, outcome: done() };
    let ends = vec![wrong, unknown, end(&row, done()).remove(0)];
    assert_eq!(b.settle(ends).await.unwrap(), [false, false, true]);
    let over = job(&*b, "a").await;
    assert_eq!((over.state, over.result.as_slice()), (JobState::Done, &[1, 0, 2][..]));
    assert_eq!((over.attempt, over.worker.as_str(), over.error.as_str()), (1, "w", ""));
    assert!(over.finished_ms >= over.created_ms);
    assert_eq!(b.settle(end(&row, failed("x", None))).await.unwrap(), [false]);
    assert_eq!(job(&*b, "a").await, over);
}

/// With its last error, and a pause as asked.
pub(crate) async fn a_failed_job_is_tried_again_until_its_limit(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    for attempt in 1..=3_u32 {
        let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
        assert_eq!(row.attempt, attempt);
        let before = b.now_ms().await.unwrap();
        let outcome = failed(&format!("error {attempt}"), Some(20));
        assert_eq!(b.settle(end(&row, outcome)).await.unwrap(), [true]);
        let row = job(&*b, "a").await;
        assert_eq!(row.error, format!("error {attempt}"));
        if attempt < 3 {
            assert_eq!((row.state, row.finished_ms), (JobState::Queued, 0));
            assert!(row.visible_ms >= before + 20, "{row:?}");
        } else {
            assert_eq!(row.state, JobState::Dead);
            assert!(row.finished_ms >= before);
        }
    }
    assert_eq!(b.claim(&want("w", 1, LONG_MS)).await.unwrap(), []);
}

/// Attempts left or not.
pub(crate) async fn an_error_that_no_retry_mends_ends_the_job(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a")]).await.unwrap();
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    assert_eq!(b.settle(end(&row, failed("it is wrong", None))).await.unwrap(), [true]);
    let row = job(&*b, "a").await;
    assert_eq!((row.state, row.error.as_str()), (JobState::Failed, "it is wrong"));
    assert!(row.finished_ms > 0);
    assert_eq!(b.claim(&want("w", 1, LONG_MS)).await.unwrap(), []);
}

/// Without a worker or a lease, however often it was begun.
pub(crate) async fn a_paused_job_waits_until_it_is_revived(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![NewJob { max_attempts: 1, ..new_job("a") }]).await.unwrap();
    let row = claimed(&*b, &want("w", 1, SHORT_MS)).await.remove(0);
    let question = r#"{"ask":"sure?"}"#.to_owned();
    assert_eq!(b.settle(end(&row, Outcome::Paused(question.clone()))).await.unwrap(), [true]);
    let row = job(&*b, "a").await;
    assert_eq!((row.state, row.progress, row.finished_ms), (JobState::Paused, question, 0));
    tokio::time::sleep(Duration::from_millis(SHORT_MS * 2)).await;
    assert_eq!(b.claim(&want("w", 1, LONG_MS)).await.unwrap(), [], "no lease runs out");
    assert!(b.revive("a", 1).await.unwrap());
    let row = claimed(&*b, &want("v", 1, LONG_MS)).await.remove(0);
    assert_eq!((row.attempt, row.max_attempts, row.worker.as_str()), (2, 2, "v"));
}

/// The answer may come before the pause is written down.
pub(crate) async fn a_revival_during_the_run_is_not_lost(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![NewJob { max_attempts: 1, ..new_job("a") }]).await.unwrap();
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    assert!(b.revive("a", 1).await.unwrap());
    assert_eq!(state(&*b, "a").await, JobState::Running, "it goes on running");
    assert_eq!(b.settle(end(&row, Outcome::Paused("{}".to_owned()))).await.unwrap(), [true]);
    assert_eq!(state(&*b, "a").await, JobState::Queued);
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    assert_eq!((row.attempt, row.max_attempts), (2, 2));
    assert_eq!(b.settle(end(&row, Outcome::Paused("{}".to_owned()))).await.unwrap(), [true]);
    assert_eq!(state(&*b, "a").await, JobState::Paused, "one revival serves once");
}

/// However often it happens; and whoever released it is not heard any more.
pub(crate) async fn a_released_attempt_does_not_count(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![NewJob { max_attempts: 1, ..new_job("a") }]).await.unwrap();
    for worker in ["u", "v", "w"] {
        let row = claimed(&*b, &want(worker, 1, LONG_MS)).await.remove(0);
        assert_eq!(row.worker, worker);
        assert!(row.attempt <= row.max_attempts, "{row:?}");
        assert_eq!(b.settle(end(&row, Outcome::Released)).await.unwrap(), [true]);
        assert_eq!(b.settle(end(&row, Outcome::Released)).await.unwrap(), [false]);
        assert_eq!(state(&*b, "a").await, JobState::Queued);
    }
    let row = claimed(&*b, &want("w", 1, LONG_MS)).await.remove(0);
    assert_eq!(b.settle(end(&row, failed("x", Some(1)))).await.unwrap(), [true]);
    assert_eq!(state(&*b, "a").await, JobState::Dead);
}

/// Nobody claims it then.
pub(crate) async fn a_waiting_job_is_cancelled_at_once(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a"), new_job("p")]).await.unwrap();
    let rows = b.claim(&want("w", 2, LONG_MS)).await.unwrap();
    let find = |id: &str| rows.iter().find(|r| r.id == id).unwrap();
    b.settle(end(find("a"), failed("x", Some(LONG_MS)))).await.unwrap();
    b.settle(end(find("p"), Outcome::Paused("{}".to_owned()))).await.unwrap();
    for id in ["a", "p"] {
        assert!(b.cancel(id).await.unwrap());
        let row = job(&*b, id).await;
        assert_eq!(row.state, JobState::Cancelled);
        assert!(row.finished_ms > 0);
    }
    assert!(!b.cancel("nobody").await.unwrap());
    assert_eq!(b.claim(&want("w", 1, LONG_MS)).await.unwrap(), []);
}

/// With its next beat; it settles as it likes.
pub(crate) async fn a_running_job_hears_that_it_is_cancelled(site: &Site) {
    let b = site.open().await;
    b.enqueue(vec![new_job("a"), new_job("b"), new_job("c")]).await.unwrap();
    let rows = b.claim(&want("w", 3, LONG_MS)).await.unwrap();
    let beat = |row: &JobRow| Beat { id: row.id.clone(), attempt: row.attempt, progress: None };
    let beats: Vec<_> = rows.iter().map(beat).collect();
    assert_eq!(b.beat(beats.clone(), LONG_MS).await.unwrap(), [Pulse::Held; 3]);
    for row in &rows {
        assert!(b.cancel(&row.id).await.unwrap());
        let row = job(&*b, &row.id).await;
        assert_eq!((row.state, row.cancel), (JobState::Running, true));
    }
    assert_eq!(b.beat(beats, LONG_MS).await.unwrap(), [Pulse::Cancel; 3]);
    let outcomes = [Outcome::Cancelled, Outcome::Done(vec![7]), failed("x", Some(1))];
    let wanted = [JobState::Cancelled, JobState::Done, JobState::Cancelled];
    for ((row, outcome), wanted) in rows.iter().zip(outcomes).zip(wanted) {
        assert_eq!(b.settle(end(row, outcome)).await.unwrap(), [true]);
        let over = job(&*b, &row.id).await;
        assert_eq!(over.state, wanted, "{}", over.id);
        assert!(over.finished_ms > 0);
    }
    assert_eq!(b.claim(&want("w", 9, LONG_MS)).await.unwrap(), []);
}

/// A cancel does nothing to it; a revival does, unless it is done.
pub(crate) async fn what_is_over_stays_over_but_can_be_revived(site: &Site) {
    let b = site.open().await;
    let ids = ["done", "failed", "dead", "cancelled"];
    let jobs = ids.iter().map(|id| NewJob { max_attempts: 1, ..new_job(id) });
    b.enqueue(jobs.collect()).await.unwrap();
    for row in b.claim(&want("w", 9, LONG_MS)).await.unwrap() {
        let outcome = match row.id.as_str() {
            "done" => Outcome::Done(vec![]),
            "failed" => failed("f", None),
            "dead" => failed("d", Some(1)),
            _ => Outcome::Cancelled,
        };
        b.settle(end(&row, outcome)).await.unwrap();
    }
    for id in ids {
        assert_eq!(state(&*b, id).await.name(), id);
        assert!(b.cancel(id).await.unwrap(), "it exists");
        assert_eq!(state(&*b, id).await.name(), id);
    }
    assert!(!b.revive("done", 1).await.unwrap());
    assert!(!b.revive("nobody", 1).await.unwrap());
    for id in ["failed", "dead", "cancelled"] {
        assert!(b.revive(id, 2).await.unwrap());
        let row = job(&*b, id).await;
        let seen = (row.state, row.cancel, row.finished_ms, row.attempt, row.max_attempts);
        assert_eq!(seen, (JobState::Queued, false, 0, 1, 3), "{id}");
    }
    assert_eq!(b.claim(&want("w", 9, LONG_MS)).await.unwrap().len(), 3);
    b.enqueue(vec![NewJob { delay_ms: LONG_MS, ..new_job("late") }]).await.unwrap();
    assert!(b.revive("late", 0).await.unwrap());
    assert_eq!(names(&b.claim(&want("w", 9, LONG_MS)).await.unwrap()), ["late"], "at once");
}

/// Filtered or not.
pub(crate) async fn jobs_are_listed_newest_first_in_pages(site: &Site) {
    let b = site.open().await;
    for n in 0..7 {
        let principal = if n % 2 == 0 { "ann" } else { "bob" }.to_owned();
        b.enqueue(vec![NewJob { principal, ..new_job(&format!("j{n}")) }]).await.unwrap();
    }
    let rows = b.claim(&want("w", 1, LONG_MS)).await.unwrap();
    let mut wanted = b.jobs(&JobFilter { limit: 100, ..JobFilter::default() }).await.unwrap();
    assert_eq!(wanted.len(), 7);
    assert!(wanted.is_sorted_by_key(|r| std::cmp::Reverse((r.created_ms, r.id.clone()))));
    let mut filter = JobFilter { limit: 3, ..JobFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = b.jobs(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some((last.created_ms, last.id.clone()));
        seen.extend(page);
    }
    assert_eq!(names(&seen), names(&wanted));
    let anns = JobFilter { principal: Some("ann".to_owned()), limit: 9, ..JobFilter::default() };
    wanted.retain(|r| r.principal == "ann");
    assert_eq!(names(&b.jobs(&anns).await.unwrap()), names(&wanted));
    let running = JobFilter { state: Some(JobState::Running), limit: 9, ..JobFilter::default() };
    assert_eq!(b.jobs(&running).await.unwrap(), rows);
    let both = JobFilter { state: Some(JobState::Queued), ..anns };
    wanted.retain(|r| r.state == JobState::Queued && r.id != rows[0].id);
    assert_eq!(names(&b.jobs(&both).await.unwrap()), names(&wanted));
    assert_eq!(b.jobs(&JobFilter::default()).await.unwrap(), [], "none were asked for");
}

/// In the order of the states.
pub(crate) async fn depths_are_counted_by_state(site: &Site) {
    let b = site.open().await;
    assert_eq!(b.depth().await.unwrap(), Depth::default());
    b.enqueue((0..9).map(|n| new_job(&n.to_string())).collect()).await.unwrap();
    let mut rows = b.claim(&want("w", 6, LONG_MS)).await.unwrap();
    let row = rows.remove(0);
    b.settle(end(&row, Outcome::Done(vec![]))).await.unwrap();
    let row = rows.remove(0);
    b.settle(end(&row, failed("x", None))).await.unwrap();
    let row = rows.remove(0);
    b.settle(end(&row, Outcome::Paused("{}".to_owned()))).await.unwrap();
    let row = rows.remove(0);
    b.settle(end(&row, Outcome::Cancelled)).await.unwrap();
    assert_eq!(b.depth().await.unwrap(), Depth([3, 2, 1, 1, 1, 0, 1]));
}

/// Others are not.
pub(crate) async fn jobs_that_are_over_are_forgotten(site: &Site) {
    let b = site.open().await;
    b.enqueue((0..6).map(|n| new_job(&n.to_string())).collect()).await.unwrap();
    let rows = b.claim(&want("w", 5, LONG_MS)).await.unwrap();
    b.settle(end(&rows[0], Outcome::Done(vec![]))).await.unwrap();
    b.settle(end(&rows[1], failed("x", None))).await.unwrap();
    b.settle(end(&rows[2], Outcome::Paused("{}".to_owned()))).await.unwrap();
    b.settle(end(&rows[3], Outcome::Cancelled)).await.unwrap();
    let finished = job(&*b, &rows[0].id).await.finished_ms;
    assert_eq!(b.forget_jobs(finished).await.unwrap(), 0, "before, not at");
    let later = b.now_ms().await.unwrap() + 1_000;
    assert_eq!(b.forget_jobs(later).await.unwrap(), 3);
    assert_eq!(b.forget_jobs(later).await.unwrap(), 0);
    assert_eq!(b.job(&rows[0].id).await.unwrap(), None);
    assert_eq!(b.depth().await.unwrap(), Depth([1, 1, 1, 0, 0, 0, 0]));
    let every = JobFilter { limit: 9, ..JobFilter::default() };
    assert_eq!(b.jobs(&every).await.unwrap().len(), 3);
}

/// Nobody else can claim it before it is released.
pub(crate) async fn a_job_can_begin_in_its_makers_hands(site: &Site) {
    let b = site.open().await;
    let taken = Taken { worker: "me".to_owned(), lease_ms: LONG_MS };
    let mine = NewJob { running: Some(taken), ..new_job("a") };
    b.enqueue(vec![mine]).await.unwrap();
    let row = job(&*b, "a").await;
    assert_eq!((row.state, row.attempt, row.worker.as_str()), (JobState::Running, 1, "me"));
    assert!(row.visible_ms >= row.created_ms + LONG_MS);
    assert_eq!(b.claim(&want("w", 1, LONG_MS)).await.unwrap(), []);
    assert_eq!(b.settle(end(&row, Outcome::Released)).await.unwrap(), [true]);
    assert_eq!(names(&claimed(&*b, &want("w", 1, LONG_MS)).await), ["a"]);
}
