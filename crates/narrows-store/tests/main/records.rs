//! Observed shapes and records of runs.

use crate::{HandClock, at, open};
use narrows_store::{Config, RunRecord};
use narrows_types::{Language, RunId};

fn run(number: usize) -> RunRecord {
    RunRecord {
        id: RunId(format!("run_{number}")),
        principal: "local".to_owned(),
        language: if number.is_multiple_of(2) { Language::TypeScript } else { Language::Python },
        started_at_ms: 1_000 + number as u64,
        wall_us: 7,
        cpu_us: 3,
        end: "returned".to_owned(),
        calls: r#"[{"server":"a"}]"#.to_owned(),
    }
}

#[tokio::test]
async fn runs_come_back_newest_first_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let clock = HandClock::at(1);
    let store = open(&config, &clock).await;
    let runs: Vec<_> = (0..5).map(run).collect();
    store.put_runs(&runs).await.unwrap();
    store.put_runs(&[]).await.unwrap();
    store.put_run(&run(2)).await.unwrap();
    store.close().await;
    let store = open(&config, &clock).await;
    assert_eq!(store.runs(2).await.unwrap(), [run(4), run(3)]);
    assert_eq!(store.runs(99).await.unwrap().len(), 5, "one row a run");
}

#[tokio::test]
async fn a_sweep_keeps_the_last_runs() {
    let config = Config { runs_max: 3, ..Config::default() };
    let store = open(&config, &HandClock::at(1)).await;
    let runs: Vec<_> = (0..10).map(run).collect();
    store.put_runs(&runs).await.unwrap();
    assert_eq!(store.sweep(1).await.unwrap().runs, 7);
    assert_eq!(store.runs(99).await.unwrap(), [run(9), run(8), run(7)]);
    assert_eq!(store.sweep(1).await.unwrap().runs, 0);
}

#[tokio::test]
async fn an_endless_list_of_calls_costs_the_list_not_the_record() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    let record = RunRecord { calls: "x".repeat(2 << 20), ..run(1) };
    store.put_run(&record).await.unwrap();
    let back = store.runs(1).await.unwrap();
    assert_eq!(back.first().unwrap().calls, "[]");
}

#[tokio::test]
async fn shapes_are_replaced_and_listed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let clock = HandClock::at(1);
    let store = open(&config, &clock).await;
    store.put_observed("b", "two", "{}").await.unwrap();
    store.put_observed("a", "one", "{}").await.unwrap();
    store.put_observed("a", "one", r#"{"new":1}"#).await.unwrap();
    store.close().await;
    let store = open(&config, &clock).await;
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(
        store.all_observed().await.unwrap(),
        [row("a", "one", r#"{"new":1}"#), row("b", "two", "{}")]
    );
    assert_eq!(store.observed("b", "two").await.unwrap().as_deref(), Some("{}"));
    assert_eq!(store.observed("b", "three").await.unwrap(), None);
    let error = store.put_observed("a", "one", &"x".repeat(300_000)).await.unwrap_err();
    assert!(error.to_string().contains("limit shape_bytes_max is 262144"), "{error}");
}

#[tokio::test]
async fn calls_are_added_up_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let clock = HandClock::at(1);
    let store = open(&config, &clock).await;
    let calls = |tool: &str, n| ("git".to_owned(), tool.to_owned(), n);
    store.add_usage(&[calls("log", 2), calls("diff", 1)]).await.unwrap();
    store.add_usage(&[]).await.unwrap();
    store.close().await;
    let store = open(&config, &clock).await;
    store.add_usage(&[calls("log", 3)]).await.unwrap();
    assert_eq!(store.usage().await.unwrap(), [calls("diff", 1), calls("log", 5)]);
}
