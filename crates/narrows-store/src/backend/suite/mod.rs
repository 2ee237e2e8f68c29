//! What every back end must do, as tests: each back end runs all of them.
//!
//! A back end takes part with one line, `backend_suite!(make);`, where `make` is an `async fn()`
//! that gives a [`Site`]: a fresh, empty place.
#![expect(clippy::cognitive_complexity, reason = "a story of many assertions is still one story")]

mod crowd;
mod jobs;
mod leases;
mod lists;
mod logs;
mod records;

pub(crate) use {crowd::*, jobs::*, leases::*, lists::*, logs::*, records::*};

use super::{Backend, Change, Expect, Key, Range, Record, Space};
use crate::queue::{Claim, JobRow, JobState, NewJob, Outcome, Settle};
use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The most that a test waits for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(10);
/// A lease that does not end within a test.
const LONG_MS: u64 = 600_000;
/// One that ends soon.
const SHORT_MS: u64 = 40;

type Opened = Pin<Box<dyn Future<Output = Arc<dyn Backend>> + Send>>;

/// A fresh place for one test.
pub(crate) struct Site {
    open: Box<dyn Fn() -> Opened + Send + Sync>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Site {
    /// `open` gives a back end on the place, a new one each time if the place can be shared, else
    /// always the same one; `kept` lives as long as the test.
    pub(crate) fn new<O, F>(open: O, kept: impl Any + Send + Sync) -> Self
    where
        O: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Arc<dyn Backend>> + Send + 'static,
    {
        Self { open: Box::new(move || Box::pin(open())), _kept: Box::new(kept) }
    }

    /// A back end on the place.
    async fn open(&self) -> Arc<dyn Backend> {
        (self.open)().await
    }
}

/// One test for each case: `backend_suite!(make);`.
macro_rules! backend_suite {
    ($make:path) => {
        $crate::backend::suite::backend_suite! { $make =>
            a_put_record_comes_back_whole,
            records_differ_by_space_owner_and_id,
            a_put_counts_the_version_up,
            expectations_decide_whether_anything_is_written,
            changes_to_one_key_are_made_in_their_order,
            an_expired_record_does_not_exist,
            a_touch_sets_stamp_and_expiry_only,
            adding_makes_a_record_and_adds_up,
            a_deleted_record_is_gone_with_its_log,
            a_sweep_takes_what_expired_with_its_log,
            totals_follow_every_change,
            bytes_of_every_kind_come_back,
            a_list_is_paged_in_both_orders,
            a_list_keeps_to_owner_space_and_limit,
            an_empty_write_is_made,
            a_log_grows_from_where_it_ends,
            a_log_needs_no_record,
            a_log_is_read_in_parts,
            a_fresh_record_has_no_old_log,
            an_expired_record_has_no_log,
            of_two_writers_of_a_log_one_wins,
            many_append_and_nothing_is_lost_or_doubled,
            many_add_and_the_sum_is_right,
            many_compare_and_put_and_each_counts_once,
            many_make_one_record_and_one_succeeds,
            a_job_is_kept_as_it_was_given,
            a_known_job_is_left_as_it_is,
            the_highest_priority_goes_first_then_the_longest_waiting,
            tenants_share_what_is_claimed,
            a_tenant_has_no_more_running_than_its_limit,
            a_delayed_job_waits_for_its_time,
            a_done_job_has_its_result,
            a_failed_job_is_tried_again_until_its_limit,
            an_error_that_no_retry_mends_ends_the_job,
            a_paused_job_waits_until_it_is_revived,
            a_revival_during_the_run_is_not_lost,
            a_released_attempt_does_not_count,
            a_waiting_job_is_cancelled_at_once,
            a_running_job_hears_that_it_is_cancelled,
            what_is_over_stays_over_but_can_be_revived,
            jobs_are_listed_newest_first_in_pages,
            depths_are_counted_by_state,
            jobs_that_are_over_are_forgotten,
            a_job_can_begin_in_its_makers_hands,
            a_lost_lease_is_taken_again_and_the_loser_is_not_heard,
            a_lease_lost_at_the_last_attempt_is_the_end,
            a_beat_prolongs_the_lease_and_tells_of_progress,
            a_cancelled_job_whose_worker_died_is_not_begun_again,
            listeners_are_woken,
            listeners_elsewhere_are_woken,
            claimers_never_share_a_job,
            a_crowd_of_workers_finishes_every_job_once,
            a_closed_back_end_refuses,
        }
    };
    ($make:path => $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::backend::suite::$case(&$make().await).await;
            }
        )*
    };
}
pub(crate) use backend_suite;

fn key(space: Space, owner: &str, id: &str) -> Key {
    Key { space, owner: owner.to_owned(), id: id.to_owned() }
}

fn ann(id: &str) -> Key {
    key(Space::Session, "ann", id)
}

fn record(key: &Key, body: &[u8]) -> Record {
    let weight = body.len() as u64;
    let body = body.to_vec();
    Record { key: key.clone(), body, weight, version: 0, stamp_ms: 1_000, expires_ms: None }
}

fn put(record: Record) -> Change {
    Change::Put { record, expect: Expect::Any }
}

fn append(key: &Key, from: u64, entries: &[&str]) -> Change {
    let entries = entries.iter().map(|e| e.as_bytes().to_vec()).collect();
    Change::Append { key: key.clone(), from, entries }
}

async fn log(b: &dyn Backend, key: &Key) -> Vec<String> {
    let entries = b.read(key, 0, 1_000).await.unwrap();
    entries.into_iter().map(|e| String::from_utf8(e).unwrap()).collect()
}

fn all(space: Space) -> Range {
    Range { space, owner: None, oldest_first: false, after: None, limit: 100, bodies: true }
}

async fn ids(b: &dyn Backend, range: &Range) -> Vec<String> {
    let now = b.now_ms().await.unwrap();
    b.list(range, now).await.unwrap().into_iter().map(|r| r.key.id).collect()
}

fn new_job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        priority: 0,
        delay_ms: 0,
        max_attempts: 3,
        body: format!("body of {id}").into_bytes(),
        running: None,
    }
}

fn want(worker: &str, count: u32, lease_ms: u64) -> Claim {
    Claim { worker: worker.to_owned(), count, lease_ms, tenant_running_max: 1_000_000 }
}

/// Claims until there is something.
async fn claimed(b: &dyn Backend, claim: &Claim) -> Vec<JobRow> {
    let until = Instant::now() + PATIENCE;
    loop {
        let rows = b.claim(claim).await.unwrap();
        if !rows.is_empty() {
            return rows;
        }
        assert!(Instant::now() < until, "nothing to claim: {:?}", b.depth().await);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn job(b: &dyn Backend, id: &str) -> JobRow {
    b.job(id).await.unwrap().unwrap()
}

async fn state(b: &dyn Backend, id: &str) -> JobState {
    job(b, id).await.state
}

fn end(row: &JobRow, outcome: Outcome) -> Vec<Settle> {
    vec![Settle { id: row.id.clone(), attempt: row.attempt, outcome }]
}

fn names(rows: &[JobRow]) -> Vec<&str> {
    rows.iter().map(|r| r.id.as_str()).collect()
}
