//! The property itself.

use crate::course::Course;
use crate::house::{House, Plan};
use crate::programs::stories;
use narrows_types::Durability;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::runtime::Runtime;

/// Programs, where the environment (`PROPTEST_CASES`) does not say.
const CASES: u32 = 12;
/// Prefixes of one journal.
const CUTS: usize = 5;

/// One case: a program, and everything that is left to chance about its runs.
#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    races: bool,
    /// Where the journal is cut, in parts of its length, and the new one once more.
    cuts: Vec<(f64, f64)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let durability = prop_oneof![Just(Durability::Async), Just(Durability::Sync)];
    let pauses = prop::collection::vec(0..8_u8, 1..30);
    let cuts = prop::collection::vec((0.0..1.0, 0.0..1.0), CUTS);
    (stories(), durability, pauses, cuts).prop_map(|(story, durability, pauses, cuts)| {
        let (code, language) = (story.text(), story.language);
        let plan = Plan { code, language, durability, pauses };
        Case { plan, races: story.races(), cuts }
    })
}

/// The number of entries that a cut leaves of a journal, at least `least` and not all.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a small number"
)]
fn cut(part: f64, least: usize, course: &Course) -> usize {
    let room = course.journal.len() - least;
    least + (room as f64 * part) as usize
}

async fn check(house: &House, case: &Case) {
    let whole = house.run(&case.plan).await;
    whole.check(case.races);
    for (n, (first, second)) in case.cuts.iter().enumerate() {
        let entries = cut(*first, 1, &whole);
        let later = house.go_on(&whole, entries, &case.plan).await;
        whole.check_same(&later, entries, case.races);
        // Interrupted a second time, somewhere after the first.
        if n % 3 == 0 {
            let entries = cut(*second, entries, &later).max(1);
            let last = house.go_on(&later, entries, &case.plan).await;
            later.check_same(&last, entries, case.races);
        }
    }
}

#[test]
fn whoever_goes_on_ends_as_if_nothing_had_happened() {
    let runtime = Runtime::new().unwrap();
    let house = runtime.block_on(House::open());
    let config = Config { failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let set = std::env::var_os("PROPTEST_CASES").is_some();
    let config = if set { config } else { Config { cases: CASES, ..config } };
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        let checked = catch_unwind(AssertUnwindSafe(|| runtime.block_on(check(&house, &case))));
        checked.map_err(|why| {
            let text = why.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| why.downcast_ref::<&str>().copied());
            TestCaseError::fail(text.unwrap_or("a panic").to_owned())
        })
    });
    runtime.block_on(house.close());
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
}
