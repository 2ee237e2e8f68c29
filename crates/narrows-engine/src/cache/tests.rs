use super::{Cache, Flight, Outcome, canonical};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use narrows_types::{Fault, Passed, WireError};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const LIMITS: (Duration, usize, usize) = (Duration::from_secs(10), 1_000, 400);

fn passed(text: &str) -> Outcome {
    RawValue::from_string(text.to_owned())
        .map(Passed::Result)
        .map_err(|e| Fault::bug(e.to_string()))
}

fn ready(outcome: Outcome) -> impl FnOnce() -> BoxFuture<'static, Outcome> {
    move || std::future::ready(outcome).boxed()
}

fn never() -> BoxFuture<'static, Outcome> {
    panic!("a second call was made")
}

async fn answer(flight: Flight) -> (String, Option<Duration>) {
    match flight.wait(Instant::now() + Duration::from_mins(1)).await.unwrap() {
        (Passed::Result(result), age) => (result.get().to_owned(), age),
        (Passed::Error(error), _) => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_for_its_time_and_its_age_is_told() {
    let cache = Arc::new(Cache::default());
    let first = answer(cache.flight([1; 32], LIMITS, ready(passed(r#"{"content":[]}"#)))).await;
    assert_eq!(first, (r#"{"content":[]}"#.to_owned(), None));
    tokio::time::advance(Duration::from_secs(4)).await;
    let second = answer(cache.flight([1; 32], LIMITS, never)).await;
    assert_eq!(second.1, Some(Duration::from_secs(4)));
    tokio::time::advance(Duration::from_secs(7)).await;
    let third = answer(cache.flight([1; 32], LIMITS, ready(passed("{}")))).await;
    assert_eq!(third, ("{}".to_owned(), None));
}

#[tokio::test(start_paused = true)]
async fn errors_questions_and_tasks_are_never_kept() {
    let error = WireError { code: -32_602, message: "no".to_owned(), data: None };
    for outcome in [
        passed(r#"{"content":[],"isError":true}"#),
        passed(r#"{"resultType":"input_required","requestState":"x"}"#),
        passed(r#"{"resultType":"task","taskId":"t"}"#),
        passed(r#"{"task":{"taskId":"t"}}"#),
        passed(&format!(r#"{{"content":["{}"]}}"#, "x".repeat(400))),
        Ok(Passed::Error(error)),
        Err(Fault::bug("gone")),
    ] {
        let cache = Arc::new(Cache::default());
        let wait = Instant::now() + Duration::from_secs(1);
        let _first = cache.flight([1; 32], LIMITS, ready(outcome)).wait(wait).await;
        assert_eq!(answer(cache.flight([1; 32], LIMITS, ready(passed("{}")))).await.1, None);
    }
}

#[tokio::test(start_paused = true)]
async fn identical_calls_are_one_call_that_outlives_its_first_caller() {
    let cache = Arc::new(Cache::default());
    let made = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicUsize::new(0));
    let call = || {
        let (made, ended) = (Arc::clone(&made), Arc::clone(&ended));
        move || {
            made.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                passed("{}")
            }
            .boxed()
        }
    };
    let pause = Duration::from_millis(300);
    let first = answer(cache.flight([1; 32], LIMITS, call()));
    let second = cache.flight([1; 32], LIMITS, call());
    // The first caller stops waiting.
    assert!(tokio::time::timeout(pause, first).await.is_err());
    assert_eq!(answer(second).await, ("{}".to_owned(), Some(Duration::ZERO)));
    assert_eq!((made.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (1, 1));
    // When all have gone, the call goes too.
    let alone = answer(cache.flight([2; 32], LIMITS, call()));
    assert!(tokio::time::timeout(pause, alone).await.is_err());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((made.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_stays_within_its_bytes() {
    let cache = Arc::new(Cache::default());
    for n in 0..100_u8 {
        let text = format!(r#"{{"content":["{}"]}}"#, "x".repeat(300));
        answer(cache.flight([n; 32], LIMITS, ready(passed(&text)))).await;
    }
    let state = cache.state.lock().unwrap();
    assert!(state.bytes <= 1_000, "{}", state.bytes);
    assert_eq!(state.bytes, state.kept.values().map(|k| k.result.get().len()).sum::<usize>());
    assert!(state.order.len() <= 4 && state.under_way.is_empty());
}

#[test]
fn the_order_of_members_does_not_matter_but_that_of_items_does() {
    let same = |one, two| canonical(one) == canonical(two);
    assert!(same(r#"{"a":1,"b":{"x":1,"y":[2]}}"#, r#"{ "b":{"y":[2],"x":1},"a":1 }"#));
    assert!(!same(r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#));
    assert!(!same(r#"{"a":"1"}"#, r#"{"a":1}"#));
    assert_eq!(canonical("{"), None);
}
