//! Observed shapes and records of runs.

use crate::{HandClock, at, open};
use narrows_store::{Config, Note, RunRow, Store};
use narrows_types::{Budget, Durability, Language, RunId, RunState};

fn row(number: u64) -> RunRow {
    RunRow {
        run: RunId(format!("run_{number}")),
        principal: "local".to_owned(),
        state: RunState::Returned,
        language: Language::Python,
        started_at_ms: 1_000 + number,
        wall_us: 7,
        cpu_us: 3,
        calls: 1,
        executions: 1,
        durability: Durability::Async,
        session: None,
        job: None,
        questions: Vec::new(),
        used: Budget::default(),
    }
}

fn note(number: u64) -> Note {
    let row = row(number);
    let entries = vec![b"a".to_vec(), b"b".to_vec()];
    Note {
        principal: row.principal.clone(),
        run: row.run.clone(),
        from: 0,
        entries,
        row: Some((row, None)),
    }
}

async fn names(store: &Store, limit: usize) -> Vec<String> {
    let rows = store.run_rows(Some("local"), limit).await.unwrap();
    rows.into_iter().map(|row| row.run.0).collect()
}

#[tokio::test]
async fn runs_come_back_newest_first_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(&folder.path().join("a.db"));
    let clock = HandClock::at(1);
    let store = open(&config, &clock).await;
    let notes: Vec<_> = (0..5).map(note).collect();
    assert_eq!(store.note(&notes).await.unwrap(), [true; 5]);
    assert!(store.note(&[]).await.unwrap().is_empty());
    store.close().await;
    let store = open(&config, &clock).await;
    assert_eq!(names(&store, 2).await, ["run_4", "run_3"]);
    assert_eq!(names(&store, 99).await.len(), 5);
    let run = RunId("run_2".to_owned());
    assert_eq!(store.journal("local", &run, 1, 9).await.unwrap(), [b"b"]);
    assert!(store.journal("ann", &run, 0, 9).await.unwrap().is_empty(), "somebody else's");
    assert!(store.run("ann", &run).await.is_err());
    store.forget_run("local", &run).await.unwrap();
    assert!(store.journal("local", &run, 0, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sweep_keeps_the_last_runs() {
    let config = Config { runs_max: 3, ..Config::default() };
    let store = open(&config, &HandClock::at(1)).await;
    let notes: Vec<_> = (0..10).map(note).collect();
    store.note(&notes).await.unwrap();
    assert_eq!(store.sweep(1).await.unwrap().runs, 7);
    assert_eq!(names(&store, 99).await, ["run_9", "run_8", "run_7"]);
    assert_eq!(store.sweep(1).await.unwrap().runs, 0);
}

#[tokio::test]
async fn who_comes_late_to_a_journal_hears_so_and_others_are_written() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    store.note(&[note(1)]).await.unwrap();
    let late = Note { row: None, ..note(1) };
    assert_eq!(store.note(&[late.clone(), note(2)]).await.unwrap(), [false, true]);
    let next = Note { from: 2, ..late };
    assert_eq!(store.note(&[next]).await.unwrap(), [true]);
    let found = store.run("local", &RunId("run_1".to_owned())).await.unwrap();
    let stale = Note { from: 4, row: Some((row(1), Some(found.version + 1))), ..note(1) };
    assert_eq!(store.note(&[stale]).await.unwrap(), [false], "another version of the row");
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

#[tokio::test]
async fn a_name_that_is_too_long_costs_its_own_count_only() {
    let store = open(&Config::default(), &HandClock::at(1)).await;
    let calls = |tool: &str, n| ("git".to_owned(), tool.to_owned(), n);
    store
        .add_usage(&[calls("log", 2), calls(&"x".repeat(600), 1), calls("diff", 1)])
        .await
        .unwrap();
    assert_eq!(store.usage().await.unwrap(), [calls("diff", 1), calls("log", 2)]);
}
