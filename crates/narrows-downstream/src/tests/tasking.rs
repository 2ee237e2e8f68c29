//! Jobs of ours as tasks, in both forms.

use super::client::{Sent, Server};
use super::durable::job;
use super::pausing::{asked, report, returned};
use super::{Answering, PATIENCE, Scripted, config};
use crate::mcp::{Front, Source};
use narrows_types::{Answer, Ask, Event, Fault, JobInfo, JobsAsk, RunEnd, RunReport, What};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const ID: &str = "job_abcdefghij0123456789";
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The one job, as a test moves it, and what was asked of it.
#[derive(Clone)]
struct Queue {
    job: Arc<Mutex<JobInfo>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Queue {
    fn new() -> Self {
        Self { job: Arc::new(Mutex::new(job(ID, "running"))), asked: Arc::default() }
    }

    fn set(&self, state: &str, change: impl FnOnce(&mut JobInfo)) {
        let mut job = self.job.lock().unwrap();
        state.clone_into(&mut job.state);
        change(&mut job);
    }

    fn now(&self) -> Answer {
        Answer::Job(Box::new(self.job.lock().unwrap().clone()))
    }

    fn done(&self, report: &RunReport) {
        let result = serde_json::value::to_raw_value(report).unwrap();
        self.set("done", |job| {
            job.result = Some(result);
            job.finished_at_ms = Some(5_000);
        });
    }

    async fn answer(self, ask: Ask, _: Option<mpsc::Sender<Event>>) -> Result<Answer, Fault> {
        match ask.what {
            What::Run(run) => {
                self.asked.lock().unwrap().push(format!("run {}", run.background));
                Ok(self.now())
            }
            What::Jobs(JobsAsk::Show { job, wait_ms }) if job.as_str() == ID => {
                let until = tokio::time::Instant::now() + Duration::from_millis(wait_ms);
                loop {
                    let state = self.job.lock().unwrap().state.clone();
                    let rests = !matches!(state.as_str(), "queued" | "running");
                    if rests || tokio::time::Instant::now() >= until {
                        return Ok(self.now());
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            What::Jobs(JobsAsk::Show { .. }) => Err(Fault::not_found("no such job")),
            What::Jobs(JobsAsk::Cancel { .. }) => {
                self.set("cancelled", |_| {});
                Ok(self.now())
            }
            What::Jobs(JobsAsk::List { .. }) => {
                Ok(Answer::Jobs(vec![self.job.lock().unwrap().clone()]))
            }
            What::Resume { run, answers, background } => {
                let ids: Vec<&str> = answers.iter().map(|a| a.id.as_str()).collect();
                let line = format!("resume {run} {} {background}", ids.join(","));
                self.asked.lock().unwrap().push(line);
                self.set("running", |job| job.questions.clear());
                Ok(self.now())
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn start() -> (Server, Queue) {
    let queue = Queue::new();
    let scripted = queue.clone();
    let answer: Answering =
        Box::new(move |ask, events| Box::pin(scripted.clone().answer(ask, events)));
    let script = Arc::new(Scripted { answer, ..Scripted::default() });
    (Server::with(Front::new(Source::Script(script), Arc::new(config()))).await, queue)
}

fn knows() -> Value {
    json!({"io.modelcontextprotocol/clientCapabilities":
        {"elicitation": {}, "extensions": {TASKS: {}}}})
}

/// A request about the task.
async fn about(server: &Server, method: &str, more: Value) -> Value {
    let mut params = json!({"taskId": ID, "_meta": knows()});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let id = params["taskId"].as_str().unwrap().to_owned();
    server.send(&Sent::modern(method, params).header("Mcp-Name", &id)).await.json()
}

#[tokio::test]
async fn a_run_that_became_a_job_is_a_task() {
    let (server, queue) = start().await;
    let call = json!({"name": "run", "arguments": {"code": "long"}, "_meta": knows()});
    let created = server.modern("tools/call", call).await.json()["result"].clone();
    assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")));
    assert_eq!((&created["taskId"], &created["ttlMs"]), (&json!(ID), &Value::Null));
    assert_eq!(created["createdAt"], "1970-01-01T00:00:01Z");
    queue.set("running", |job| {
        job.fraction = Some(0.25);
        "reading".clone_into(&mut job.message);
    });
    let got = about(&server, "tasks/get", json!({})).await["result"].clone();
    assert_eq!((&got["resultType"], &got["status"]), (&json!("complete"), &json!("working")));
    assert_eq!(got["statusMessage"], "25 % reading");
    queue.done(&report(returned(&json!({"n": 1})), "all of it"));
    let got = about(&server, "tasks/get", json!({})).await["result"].clone();
    assert_eq!((&got["status"], &got["result"]["isError"]), (&json!("completed"), &json!(false)));
    assert_eq!(got["result"]["content"], json!([{"type": "text", "text": "all of it"}]));
    let brief = &got["result"]["structuredContent"];
    assert_eq!((&brief["end"], &brief["value"]), (&json!("returned"), &json!({"n": 1})));
    assert!(brief.get("usage").is_none() && brief.get("text").is_none(), "{brief}");
    assert_eq!(got["lastUpdatedAt"], "1970-01-01T00:00:05Z");
    assert_eq!(*queue.asked.lock().unwrap(), ["run false"]);
}

#[tokio::test]
async fn every_end_of_a_job_has_its_status() {
    let (server, queue) = start().await;
    for (state, status) in [
        ("queued", "working"),
        ("running", "working"),
        ("failed", "failed"),
        ("dead", "failed"),
        ("cancelled", "cancelled"),
    ] {
        queue.set(state, |job| "it broke".clone_into(&mut job.error));
        let got = about(&server, "tasks/get", json!({})).await["result"].clone();
        assert_eq!(got["status"], status, "{state}");
        let message = got["error"]["message"].as_str();
        assert_eq!(message, (status == "failed").then_some("it broke"), "{got}");
    }
}

#[tokio::test]
async fn a_task_asks_and_is_answered() {
    let (server, queue) = start().await;
    queue.set("paused", |job| job.questions = vec![asked("q1"), asked("q2")]);
    let got = about(&server, "tasks/get", json!({})).await["result"].clone();
    assert_eq!(got["status"], "input_required");
    assert_eq!(got["inputRequests"]["q1"]["method"], "elicitation/create");
    assert_eq!(got["inputRequests"]["q2"]["params"]["message"], "[git.push] question q2");
    let answers = json!({"inputResponses": {"q1": {"action": "accept", "content": {}},
        "old": {"action": "decline"}}});
    let told = about(&server, "tasks/update", answers).await;
    assert_eq!(told["result"], json!({"resultType": "complete"}));
    let none = about(&server, "tasks/update", json!({"inputResponses": {}})).await;
    assert_eq!(none["result"], json!({"resultType": "complete"}));
    assert_eq!(*queue.asked.lock().unwrap(), ["resume run_x q1 true"]);
    // Who cannot be asked reads how it goes on.
    queue.set("paused", |job| job.questions = vec![asked("q1")]);
    let meta = json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}}});
    let got = about(&server, "tasks/get", json!({"_meta": meta})).await["result"].clone();
    assert!(got.get("inputRequests").is_none(), "{got}");
    assert!(got["statusMessage"].as_str().unwrap().contains(r#"run({"resume": "run_x""#), "{got}");
}

#[tokio::test]
async fn tasks_of_others_and_none_are_told_apart_by_nobody() {
    let (server, queue) = start().await;
    for (id, method) in [
        ("job_00000000000000000000", "tasks/get"),
        ("other", "tasks/get"),
        ("job_00000000000000000000", "tasks/cancel"),
        ("other", "tasks/update"),
    ] {
        let told = about(&server, method, json!({"taskId": id, "inputResponses": {}})).await;
        assert_eq!(told["error"]["code"], -32602, "{method}");
        assert_eq!(told["error"]["message"], format!("there is no task {id}"), "{method}");
    }
    let undeclared = Sent::modern("tasks/get", json!({"taskId": ID})).header("Mcp-Name", ID);
    assert_eq!(server.send(&undeclared).await.error(), (400, -32021));
    let params = json!({"taskId": ID, "_meta": knows()});
    let misnamed = Sent::modern("tasks/get", params).header("Mcp-Name", "other");
    assert_eq!(server.send(&misnamed).await.error(), (400, -32020));
    let ended = about(&server, "tasks/cancel", json!({})).await;
    assert_eq!(ended["result"], json!({"resultType": "complete"}));
    assert_eq!(queue.job.lock().unwrap().state, "cancelled");
    let again = about(&server, "tasks/cancel", json!({})).await;
    assert_eq!(again["result"], json!({"resultType": "complete"}), "it is over already");
}

#[tokio::test]
async fn a_listener_hears_of_its_tasks() {
    let (server, queue) = start().await;
    let ids = json!([ID, "job_00000000000000000000", ID]);
    let filter = json!({"notifications": {"taskIds": ids}, "_meta": knows()});
    let mut listening = server.open().await;
    listening.write(&Sent::modern("subscriptions/listen", filter).bytes()).await;
    assert_eq!(listening.head().await.0, 200);
    let acknowledged = listening.chunk().await.unwrap();
    assert!(acknowledged.contains(&format!(r#"{{"taskIds":["{ID}"]}}"#)), "{acknowledged}");
    queue.set("paused", |job| job.questions = vec![asked("q1")]);
    let asks = listening.chunk().await.unwrap();
    assert!(asks.contains("notifications/tasks") && asks.contains("inputRequests"), "{asks}");
    assert!(asks.contains("io.modelcontextprotocol/subscriptionId"), "{asks}");
    queue.done(&report(RunEnd::Deadlock, "stuck"));
    let over = listening.chunk().await.unwrap();
    assert!(
        over.contains(r#""status":"completed""#) && over.contains(r#""isError":true"#),
        "{over}"
    );
}

#[tokio::test]
async fn a_legacy_client_has_tasks_of_its_own_form() {
    let (server, queue) = start().await;
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}});
    let opened = server.send(&Sent::message("initialize", &params)).await;
    let offered = &opened.json()["result"]["capabilities"]["tasks"];
    assert_eq!(*offered, json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}));
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let call = json!({"name": "run", "arguments": {"code": "x"}, "task": {"ttl": 60_000}});
    let created = server.legacy(&session, "tools/call", call).await.json()["result"].clone();
    let task = &created["task"];
    assert_eq!((&task["taskId"], &task["status"]), (&json!(ID), &json!("working")), "{created}");
    assert_eq!((&task["ttl"], &task["pollInterval"]), (&Value::Null, &json!(1_000)));
    assert_eq!(*queue.asked.lock().unwrap(), ["run true"]);
    let about = json!({"taskId": ID});
    let got = server.legacy(&session, "tasks/get", about.clone()).await.json()["result"].clone();
    assert_eq!(got["status"], "working");
    let listed = server.legacy(&session, "tasks/list", json!({})).await.json()["result"].clone();
    assert_eq!(listed["tasks"][0]["taskId"], ID);
    let waits = server.legacy(&session, "tasks/result", about.clone());
    let ends = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        queue.done(&report(returned(&json!(4)), "four"));
    };
    let both = async { tokio::join!(waits, ends).0 };
    let reply = tokio::time::timeout(PATIENCE, both).await.unwrap();
    let result = match reply.header("content-type") {
        Some("text/event-stream") => reply.events().pop().unwrap(),
        _ => reply.json(),
    };
    assert_eq!(result["result"]["content"][0]["text"], "four");
    let related = &result["result"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"];
    assert_eq!(related, ID);
    let over = server.legacy(&session, "tasks/cancel", about.clone()).await;
    assert_eq!(over.error().1, -32602, "it is over already");
    queue.set("running", |job| job.result = None);
    let cancelled = server.legacy(&session, "tasks/cancel", about.clone()).await.json();
    assert_eq!(cancelled["result"]["status"], "cancelled");
    assert_eq!(server.legacy(&session, "tasks/result", about).await.error().1, -32602);
    let unknown = server.legacy(&session, "tasks/get", json!({"taskId": "x"})).await;
    assert_eq!(unknown.error().1, -32602);
    let search = json!({"name": "search", "arguments": {"query": "x"}, "task": {}});
    assert_eq!(server.legacy(&session, "tools/call", search).await.error().1, -32601);
}

#[tokio::test]
async fn a_search_for_a_handle_tells_how_the_job_is() {
    let (server, queue) = start().await;
    let look = || {
        let call = json!({"name": "search", "arguments": {"query": ID}});
        server.modern("tools/call", call)
    };
    queue.set("paused", |job| job.questions = vec![asked("q1")]);
    let told = look().await.json()["result"].clone();
    let text = told["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("{ID} paused: run_x waits for answers")), "{text}");
    queue.done(&report(returned(&json!(4)), "four"));
    let told = look().await.json()["result"].clone();
    assert_eq!(told["content"][0]["text"], "four", "the result is the run's own");
    queue.set("dead", |job| {
        job.result = None;
        "no luck".clone_into(&mut job.error);
    });
    let told = look().await.json()["result"].clone();
    assert_eq!(told["isError"], true);
    assert_eq!(told["content"][0]["text"], format!("{ID} failed: no luck"));
}
