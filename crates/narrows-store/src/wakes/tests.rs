//! What is refused, and news over real brokers that go away and come back.

#[cfg(all(feature = "amqp", feature = "nats"))]
mod broker;
#[cfg(all(feature = "amqp", feature = "nats"))]
mod live;

use super::{After, BUILT, Built, Kind, Wakes, check, kind};
use crate::queue::{NewJob, Outcome, Settle, Taken};
use crate::{Clock, Config, Store};

#[test]
fn a_kind_that_was_not_built_is_named() {
    let none = Built { amqp: false, nats: false };
    let all = Built { amqp: true, nats: true };
    for (url, feature, known) in [
        ("amqp://ann:sesame@host/%2f", "amqp", Kind::Amqp),
        ("amqps://ann:sesame@host", "amqp", Kind::Amqp),
        ("nats://ann:sesame@host:4222", "nats", Kind::Nats),
        ("tls://host", "nats", Kind::Nats),
    ] {
        let error = kind(url, none).unwrap_err().to_string();
        let expected = format!(
            "this narrows was built without the cargo feature `{feature}`: build it with \
             `--features {feature}`, or remove `wakes`: the store has news of its own"
        );
        assert_eq!(error, expected);
        assert_eq!(kind(url, all).unwrap(), known);
    }
}

#[test]
fn a_url_that_is_not_understood_is_refused_without_its_password() {
    let mut urls = vec!["http://ann:sesame@host", "sesame", "amqp:sesame", "nats://", ""];
    if BUILT.amqp {
        urls.extend(["amqp://ann:sesame@host:no", "amqp://ann:sesame@host/%2f?heartbeat=sesame"]);
    }
    if BUILT.nats {
        urls.extend(["nats://ann:sesame@host:no", "nats://ann:sesame@[host"]);
    }
    for url in urls {
        let error = check(url).unwrap_err().to_string();
        assert!(error.starts_with("wakes url `"), "{url}: {error}");
        assert!(!error.contains("ann:sesame"), "{error}");
    }
}

#[tokio::test]
async fn a_store_with_a_wrong_broker_is_not_opened() {
    let config = Config { wakes: Some("http://ann:sesame@host".to_owned()), ..Config::default() };
    assert!(!format!("{config:?}").contains("sesame"), "{config:?}");
    let error = Store::open(&config, Clock::system()).await.unwrap_err().to_string();
    assert!(error.contains("`http://...`"), "{error}");
}

#[tokio::test]
async fn without_the_feature_the_store_is_not_opened() {
    for (url, built, feature) in
        [("amqp://127.0.0.1:1", BUILT.amqp, "amqp"), ("nats://127.0.0.1:1", BUILT.nats, "nats")]
    {
        let config = Config { wakes: Some(url.to_owned()), ..Config::default() };
        match Store::open(&config, Clock::system()).await {
            // The broker need not be there.
            Ok(store) => {
                assert!(built, "{url}");
                store.close().await;
            }
            Err(error) => {
                assert!(!built && error.to_string().contains(feature), "{error}");
            }
        }
    }
}

fn job(id: &str) -> NewJob {
    NewJob {
        id: id.to_owned(),
        principal: "ann".to_owned(),
        tenant: "acme".to_owned(),
        priority: 0,
        delay_ms: 0,
        max_attempts: 3,
        body: Vec::new(),
        running: None,
    }
}

#[test]
fn only_jobs_that_anybody_may_begin_are_told_of() {
    let taken = Taken { worker: "w".to_owned(), lease_ms: 1 };
    let jobs = [
        job("now"),
        NewJob { delay_ms: 1, ..job("later") },
        NewJob { running: Some(taken), ..job("begun") },
    ];
    assert_eq!(Wakes::ready(&jobs), ["now"]);
}

#[test]
fn an_end_is_told_as_what_it_means_to_others() {
    let failed = |retry_ms| Outcome::Failed { error: String::new(), retry_ms };
    let outcomes = [
        (Outcome::Done(Vec::new()), After::Over),
        (Outcome::Cancelled, After::Over),
        (failed(None), After::Over),
        (failed(Some(1)), After::Waits),
        (Outcome::Paused(String::new()), After::Ready),
        (Outcome::Released, After::Ready),
    ];
    for (outcome, after) in outcomes {
        let end = Settle { id: "j".to_owned(), attempt: 1, outcome };
        assert_eq!(After::each(&[end]), [("j".to_owned(), after)]);
    }
}
