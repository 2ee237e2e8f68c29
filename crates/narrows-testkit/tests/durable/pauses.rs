//! Ten parallel branches of which three ask a person something; the gateway that asked is killed, and
//! another one on another port hears the answers, each over another door.

use crate::ground::Visitor;
use crate::house::{House, Http};
use crate::modern;
use crate::places::Kind;
use crate::plant::{Plant, get, post, rested};
use serde_json::{Value, json};

const PROGRAM: &str = r#"
const asks: Record<number, () => Promise<unknown>> = {
    2: () => ask("what is its name?"),
    5: () => ask("how many?", {type: "integer", minimum: 1}),
    8: () => ask("where to?", {type: "object", required: ["host"],
        properties: {host: {type: "string"}, force: {type: "boolean"}}}),
};
const branch = async (n: number) => {
    await count.add({key: `before ${n}`});
    const answer = n in asks ? await asks[n]() : null;
    await count.add({key: `after ${n}`});
    return answer;
};
return await Promise.all([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(branch));
"#;

/// What a person says to each question.
fn said(message: &str) -> Value {
    match message {
        "what is its name?" => json!({"answer": "Ada"}),
        "how many?" => json!({"answer": 3}),
        "where to?" => json!({"host": "a.example", "force": true}),
        other => panic!("nobody knows an answer to {other}"),
    }
}

fn right() -> Value {
    let to = json!({"host": "a.example", "force": true});
    json!([null, null, "Ada", null, null, 3, null, null, to, null])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Cli,
    Rest,
    Mcp,
}

/// What is open, as messages with their ids.
fn open(told: &Value) -> Vec<(String, String)> {
    let text = |asked: &Value, member: &str| asked[member].as_str().unwrap().to_owned();
    let all = told["questions"].as_array().unwrap_or_else(|| panic!("no questions: {told:#}"));
    let mut open: Vec<_> = all.iter().map(|q| (text(q, "message"), text(q, "id"))).collect();
    open.sort();
    open
}

struct Story {
    plant: Plant,
    house: House,
    gateway: Http,
}

impl Story {
    fn new(kind: Kind) -> Self {
        let plant = Plant::new(kind);
        let house = plant.house(2);
        let gateway = plant.serve(&house);
        Self { plant, house, gateway }
    }

    /// All three ask together, and the seven other branches have ended.
    fn paused(&self, told: &Value) -> Vec<(String, String)> {
        let open = open(told);
        let messages: Vec<_> = open.iter().map(|(message, _)| message.as_str()).collect();
        assert_eq!(messages, ["how many?", "what is its name?", "where to?"], "{told:#}");
        assert_eq!(self.plant.lines(), 17, "{:?}", self.plant.counts());
        open
    }

    /// The gateway dies; another one serves the same store elsewhere.
    fn another_gateway(&mut self) {
        self.gateway.child.kill().unwrap();
        self.gateway.child.wait().unwrap();
        let before = self.gateway.address.clone();
        self.gateway = self.plant.serve(&self.house);
        assert_ne!(self.gateway.address, before);
    }

    /// Answers one question. Gives what came back, in the form that REST has.
    fn answer(&self, door: Door, run: &str, id: &str, content: &Value) -> Value {
        let answers = json!([{"id": id, "content": content}]);
        match door {
            Door::Cli => {
                // One member needs no name; several are named each.
                let words: Vec<_> = match content.get("answer") {
                    Some(Value::String(text)) => vec![format!("{id}={text}")],
                    Some(other) => vec![format!("{id}={other}")],
                    None => {
                        let members = content.as_object().unwrap().iter();
                        let word = |value: &Value| {
                            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                        };
                        members.map(|(name, v)| format!("{id}.{name}={}", word(v))).collect()
                    }
                };
                let words = words.iter().map(String::as_str);
                let args: Vec<_> = ["answer", run, "--json"].into_iter().chain(words).collect();
                self.house.json(&args)
            }
            Door::Rest => {
                let path = format!("/v1/runs/{run}/resume");
                post(&self.gateway, &path, &json!({"answers": answers}))
            }
            Door::Mcp => {
                let arguments = json!({"resume": run, "answers": answers});
                let told = Visitor::open(&self.gateway).call("run", &arguments);
                assert!(told.get("error").is_none(), "{told:#}");
                told["result"]["structuredContent"].clone()
            }
        }
    }

    fn nothing_ran_twice(&self) {
        let counts = self.plant.counts();
        assert_eq!(counts.len(), 20, "{counts:?}");
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    }
}

/// A run in the foreground; the last answer gets its result.
fn answered_over(kind: Kind, doors: [Door; 3]) {
    let mut story = Story::new(kind);
    let told = post(&story.gateway, "/v1/runs", &json!({"code": PROGRAM}));
    assert_eq!(told["end"], "paused", "{told:#}");
    let run = told["run"].as_str().unwrap().to_owned();
    let open = story.paused(&told);
    let mut last = Value::Null;
    for (n, (door, (message, id))) in doors.into_iter().zip(open).enumerate() {
        story.another_gateway();
        last = story.answer(door, &run, &id, &said(&message));
        if n < 2 {
            assert_eq!(last["questions"].as_array().map(Vec::len), Some(2 - n), "{last:#}");
            assert_eq!(story.plant.lines(), 17, "it goes on with all answers only");
        }
    }
    assert_eq!(last["value"], right(), "{last:#}");
    story.nothing_ran_twice();
}

/// A job; the last answer lets it go on.
fn a_job_answered_over(kind: Kind, doors: [Door; 3]) {
    let mut story = Story::new(kind);
    let job = post(&story.gateway, "/v1/jobs", &json!({"run": {"code": PROGRAM}}));
    let name = |member: &str| job[member].as_str().unwrap().to_owned();
    let (job, run) = (name("job"), name("run"));
    let told = rested(&story.gateway, &job);
    assert_eq!(told["state"], "paused", "{told:#}");
    let open = story.paused(&told);
    story.another_gateway();
    for (door, (message, id)) in doors.into_iter().zip(open) {
        story.answer(door, &run, &id, &said(&message));
    }
    story.another_gateway();
    let told = rested(&story.gateway, &job);
    assert_eq!(told["state"], "done", "{told:#}");
    assert_eq!(told["result"]["value"], right(), "{told:#}");
    story.nothing_ran_twice();
}

#[test]
fn questions_outlive_their_gateway_on_sqlite() {
    answered_over(Kind::Sqlite, [Door::Cli, Door::Rest, Door::Mcp]);
}

#[test]
fn questions_outlive_their_gateway_on_postgres() {
    answered_over(Kind::Postgres, [Door::Mcp, Door::Cli, Door::Rest]);
}

#[test]
fn questions_outlive_their_gateway_on_redis() {
    answered_over(Kind::Redis, [Door::Rest, Door::Mcp, Door::Cli]);
}

#[test]
fn questions_of_a_job_outlive_its_gateway_on_sqlite() {
    a_job_answered_over(Kind::Sqlite, [Door::Rest, Door::Mcp, Door::Cli]);
}

#[test]
fn questions_of_a_job_outlive_its_gateway_on_postgres() {
    a_job_answered_over(Kind::Postgres, [Door::Cli, Door::Rest, Door::Mcp]);
}

#[test]
fn questions_of_a_job_outlive_its_gateway_on_redis() {
    a_job_answered_over(Kind::Redis, [Door::Mcp, Door::Cli, Door::Rest]);
}

/// A modern client is asked by the answer to its request, and answers by repeating it: to a gateway
/// that has never heard of it.
#[test]
fn a_modern_client_answers_another_gateway() {
    let mut story = Story::new(Kind::Sqlite);
    let call = json!({"name": "run", "arguments": {"code": PROGRAM}});
    let asks = modern::run(&story.gateway, &call);
    assert_eq!(asks["resultType"], "input_required", "{asks:#}");
    let requests = asks["inputRequests"].as_object().unwrap();
    assert_eq!((requests.len(), story.plant.lines()), (3, 17), "{asks:#}");
    let mut responses = json!({});
    for (id, request) in requests {
        let message = request["params"]["message"].as_str().unwrap();
        responses[id] = json!({"action": "accept", "content": said(message)});
    }
    story.another_gateway();
    let mut again = call.clone();
    again["requestState"] = asks["requestState"].clone();
    again["inputResponses"] = responses;
    let told = modern::run(&story.gateway, &again);
    assert_eq!(told["structuredContent"]["value"], right(), "{told:#}");
    story.nothing_ran_twice();
    let (_, runs) = get(&story.gateway, "/v1/runs");
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "it is one run: {runs:#}");
}
