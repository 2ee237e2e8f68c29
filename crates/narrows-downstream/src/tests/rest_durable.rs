//! Jobs, runs, sessions and intents as plain JSON over HTTP.

use super::client::{Sent, Server};
use super::config;
use serde_json::{Value, json};

/// What comes back, which must have this status.
async fn sent(server: &Server, method: &str, path: &str, body: Value, status: u16) -> Value {
    let request = match &body {
        Value::Null => Sent::new(method, path, ""),
        body => {
            Sent::new(method, path, body.to_string()).header("Content-Type", "application/json")
        }
    };
    let reply = server.send(&request).await;
    assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
    if reply.body.is_empty() { Value::Null } else { reply.json() }
}

#[tokio::test]
async fn runs_are_listed_shown_resumed_and_replayed() {
    let server = Server::start(config()).await;
    let ran = sent(&server, "POST", "/v1/runs", json!({"code": "x"}), 200).await;
    assert_eq!((&ran["end"], &ran["text"]), (&json!("returned"), &json!("ran x")));
    let runs = sent(&server, "GET", "/v1/runs?state=paused", Value::Null, 200).await;
    assert_eq!(
        (&runs["runs"][0]["run"], &runs["runs"][0]["state"]),
        (&json!("run_x"), &json!("paused"))
    );
    let shown = sent(&server, "GET", "/v1/runs/run_x", Value::Null, 200).await;
    assert_eq!((&shown["code"], &shown["startedAtMs"]), (&json!("return 1"), &json!(1)));
    let body = json!({"answers": [{"id": "q1", "content": {"a": 1}}], "background": true});
    let resumed = sent(&server, "POST", "/v1/runs/run_x/resume", body, 202).await;
    assert_eq!(resumed["message"], "run_x 1 true");
    let body = json!({"code": "return 2"});
    let replayed = sent(&server, "POST", "/v1/runs/run_x/replay", body, 200).await;
    assert_eq!((&replayed["text"], &replayed["same"]), (&json!("return 2"), &json!(true)));
}

#[tokio::test]
async fn jobs_are_submitted_and_followed() {
    let server = Server::start(config()).await;
    for (work, named) in [
        (json!({"run": {"code": "c"}}), "run c"),
        (json!({"intent": {"name": "i"}}), "intent i"),
        (json!({"call": {"server": "s", "tool": "t"}}), "call s.t"),
        (json!({"resume": {"run": "run_x"}}), "resume run_x"),
    ] {
        let job = sent(&server, "POST", "/v1/jobs", work, 202).await;
        assert_eq!((&job["work"], &job["state"]), (&json!(named), &json!("queued")));
    }
    let body = json!({"run": {"code": "c"}, "cron": "* * * * *", "priority": -3});
    let schedule = sent(&server, "POST", "/v1/jobs", body, 202).await;
    assert_eq!((&schedule["state"], &schedule["priority"]), (&json!("scheduled"), &json!(-3)));
    let jobs = sent(&server, "GET", "/v1/jobs?state=dead&limit=3", Value::Null, 200).await;
    assert_eq!(jobs["jobs"][0]["state"], "dead");
    let job = sent(&server, "GET", "/v1/jobs/job_x?wait_ms=999999", Value::Null, 200).await;
    assert_eq!(job["message"], "waited 60000", "waits are bounded");
    let logs = sent(&server, "GET", "/v1/jobs/job_x/logs", Value::Null, 200).await;
    assert_eq!(logs, json!({"logs": [{"level": "info", "text": "line"}]}));
    let job = sent(&server, "POST", "/v1/jobs/job_x/cancel", Value::Null, 200).await;
    assert_eq!(job["state"], "cancelled");
    let job = sent(&server, "POST", "/v1/jobs/job_x/retry", Value::Null, 200).await;
    assert_eq!(job["state"], "queued");
    let schedules = sent(&server, "GET", "/v1/schedules", Value::Null, 200).await;
    assert_eq!(schedules["schedules"][0]["job"], "cron_x");
    sent(&server, "DELETE", "/v1/schedules/cron_x", Value::Null, 204).await;
}

#[tokio::test]
async fn sessions_and_intents_come_and_go() {
    let server = Server::start(config()).await;
    let body = json!({"idle_s": 60, "budget": {"calls": 5}});
    let session = sent(&server, "POST", "/v1/sessions", body, 201).await;
    assert_eq!((&session["session"], &session["budget"]["calls"]), (&json!("ses_60_0"), &json!(5)));
    let sessions = sent(&server, "GET", "/v1/sessions", Value::Null, 200).await;
    assert_eq!(sessions["sessions"][0]["session"], "ses_x");
    sent(&server, "GET", "/v1/sessions/ses_x", Value::Null, 200).await;
    sent(&server, "DELETE", "/v1/sessions/ses_x", Value::Null, 204).await;

    let body = json!({"name": "n", "description": "d", "code": "1", "input_schema": {}});
    let intent = sent(&server, "POST", "/v1/intents", body, 201).await;
    assert_eq!(
        (&intent["name"], &intent["inputSchema"]),
        (&json!("n"), &json!({"type": "object"}))
    );
    let body = json!({"name": "n", "description": "d", "run": "run_x"});
    assert_eq!(sent(&server, "POST", "/v1/intents", body, 201).await["name"], "run_x");
    assert_eq!(
        sent(&server, "GET", "/v1/intents", Value::Null, 200).await["intents"][0]["name"],
        "i"
    );
    assert_eq!(
        sent(&server, "GET", "/v1/intents/n?version=1", Value::Null, 200).await["version"],
        1
    );
    let called = sent(&server, "POST", "/v1/intents/n", json!({"a": 1}), 200).await;
    assert_eq!(called["content"][0]["text"], r#"n {"a":1}"#);
    let body = json!({"version": 1});
    let back = sent(&server, "POST", "/v1/intents/n/rollback", body, 200).await;
    assert_eq!(back["version"], 1);
    sent(&server, "POST", "/v1/intents/n/test", Value::Null, 200).await;
    sent(&server, "DELETE", "/v1/intents/n", Value::Null, 204).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told() {
    let server = Server::start(config()).await;
    for (path, body, message) in [
        ("/v1/jobs", json!({}), "a job does one thing"),
        (
            "/v1/jobs",
            json!({"run": {"code": "1"}, "intent": {"name": "n"}}),
            "a job does one thing",
        ),
        ("/v1/jobs", json!({"run": {"resume": "run_x"}}), "`resume` is not for here"),
        (
            "/v1/jobs",
            json!({"call": {"server": "s", "tool": "t", "arguments": 1}}),
            "`call.arguments`",
        ),
        (
            "/v1/jobs",
            json!({"run": {"code": "1"}, "prio": 1}),
            "the body is not understood: unknown",
        ),
        ("/v1/runs/run_x/resume", json!({"code": "1"}), "resume takes no `code`"),
        ("/v1/runs/run_x/replay", json!({"code": 1}), "the body is not understood"),
        ("/v1/sessions", json!({"budget": {"cals": 1}}), "the body is not understood"),
        ("/v1/intents", json!({"name": "n"}), "either `code` or `run`"),
        ("/v1/intents", json!({"name": "n", "code": "1"}), "`input_schema` is missing"),
        ("/v1/intents/n/rollback", json!({}), "the body is not understood: missing field"),
    ] {
        let error = sent(&server, "POST", path, body, 400).await["error"].clone();
        assert!(error["message"].as_str().unwrap().starts_with(message), "{path}: {error}");
    }
    for path in ["/v1/runs?state=gone", "/v1/jobs?state=gone", "/v1/jobs?size=1"] {
        sent(&server, "GET", path, Value::Null, 400).await;
    }
    for path in ["/v1/runs/run_y", "/v1/jobs/job_y", "/v1/sessions/ses_y"] {
        let error = sent(&server, "GET", path, Value::Null, 404).await;
        assert_eq!(error["error"]["kind"], "not_found", "{path}");
    }
}
