//! What a run asks for besides its own questions: consent that the config wants, what an upstream
//! wants to know, what a run within asks. And what its journal does not tell.

use crate::ground::Visitor;
use crate::house::binary;
use crate::places::Kind;
use crate::plant::{Plant, get, post};
use serde_json::{Value, json};

fn first_question(told: &Value) -> Value {
    assert_eq!(told["end"], "paused", "{told:#}");
    told["questions"][0].clone()
}

#[test]
fn a_call_that_wants_consent_waits_for_a_person() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house_with(json!({"runs": {"approve": ["count.a*"]}}));
    let http = plant.serve(&house);
    let told = post(&http, "/v1/runs", &json!({"code": "return await count.add({key: 'a'})"}));
    let asked = first_question(&told);
    assert_eq!((&asked["kind"], &asked["about"]), (&json!("approve"), &json!("count.add")));
    assert_eq!(plant.lines(), 0);

    // The agent cannot consent in the person's place, and not without a program either.
    let run = told["run"].as_str().unwrap();
    let answers = json!([{"id": asked["id"], "content": {}}]);
    let refused =
        Visitor::open(&http).call("run", &json!({"resume": run, "answers": answers})).to_string();
    assert!(refused.contains("a person's consent, not for an agent's"), "{refused}");
    let (status, refused) = http.post("/v1/tools/count/add", &json!({"key": "b"}));
    assert_eq!(status, 403, "{refused}");
    assert!(refused.to_string().contains("needs a person's consent"), "{refused}");
    assert_eq!(plant.lines(), 0);

    let report = house.json(&["answer", run, "q1=yes", "--json"]);
    assert_eq!(report["end"], "returned", "{report:#}");
    assert_eq!(plant.lines(), 1);
    let told = post(&http, "/v1/runs", &json!({"code": "return await count.add({key: 'c'})"}));
    let run = told["run"].as_str().unwrap();
    let report = house.json(&["answer", run, "--decline", "--json"]);
    assert!(report.to_string().contains("declined this call"), "{report:#}");
    assert_eq!(plant.lines(), 1);
}

#[test]
fn what_an_upstream_asks_a_person_outlives_the_gateway() {
    let plant = Plant::new(Kind::Sqlite);
    let fixture = json!({
        "command": binary("conformance-server"),
        "args": ["--stdio", "--eras", "modern"],
    });
    let house = plant.house_with(json!({"servers": {"fixture": fixture}}));
    let mut http = plant.serve(&house);
    let code = "return await fixture.test_input_required_result_elicitation({})";
    let told = post(&http, "/v1/runs", &json!({"code": code}));
    let asked = first_question(&told);
    assert_eq!(asked["kind"], "elicit", "{asked:#}");
    assert_eq!(asked["message"], "What is your name?");
    http.child.kill().unwrap();
    http.child.wait().unwrap();
    let http = plant.serve(&house);
    let run = told["run"].as_str().unwrap();
    let answers = json!([{"id": asked["id"], "content": {"name": "Ann"}}]);
    let told = post(&http, &format!("/v1/runs/{run}/resume"), &json!({"answers": answers}));
    assert_eq!(told["value"], "Hello, Ann!", "{told:#}");
}

#[test]
fn an_intent_within_a_run_asks_and_goes_on() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house(0);
    let mut http = plant.serve(&house);
    let code = "const first = await count.add({key: input.key});
        const sure = await ask('sure?', {type: 'boolean'});
        await count.add({key: `${input.key} again`});
        return {sure, first: first.done};";
    let schema = json!({"type": "object", "properties": {"key": {"type": "string"}},
        "required": ["key"]});
    let intent = json!({"name": "careful", "description": "Adds twice.", "code": code,
        "inputSchema": schema});
    let saved = post(&http, "/v1/intents", &intent);
    assert_eq!((&saved["version"], &saved["versions"]), (&json!(1), &json!(1)), "{saved:#}");
    let outer = "return await intents.careful({key: 'x'})";
    let told = post(&http, "/v1/runs", &json!({"code": outer}));
    let asked = first_question(&told);
    assert_eq!((&asked["id"], plant.lines()), (&json!("q1.q2"), 1), "{asked:#}");
    http.child.kill().unwrap();
    http.child.wait().unwrap();
    let http = plant.serve(&house);
    let run = told["run"].as_str().unwrap();
    let answers = json!([{"id": "q1.q2", "content": {"answer": true}}]);
    let told = post(&http, &format!("/v1/runs/{run}/resume"), &json!({"answers": answers}));
    assert_eq!(told["value"]["sure"], true, "{told:#}");
    assert_eq!(plant.counts().len(), 2);
    assert!(plant.counts().values().all(|count| *count == 1), "{:?}", plant.counts());
    // Wrong input is told before anything runs.
    let told = post(&http, "/v1/runs", &json!({"code": "return await intents.careful({})"}));
    assert_eq!(told["end"], "rejected", "{told:#}");
}

#[test]
fn a_journal_tells_no_secret() {
    let plant = Plant::new(Kind::Sqlite);
    let house = plant.house_with(json!({"runs": {"durability": "sync"}}));
    let http = plant.serve(&house);
    let code = "const more = {api_key: ['hun', 'ter2'].join('')};
        await count.add({key: 'plain', ...more});
        return 1";
    let told = post(&http, "/v1/runs", &json!({"code": code}));
    assert_eq!(told["end"], "returned", "{told:#}");
    let run = told["run"].as_str().unwrap();
    let (_, shown) = get(&http, &format!("/v1/runs/{run}"));
    assert_eq!(shown["callsMade"][0]["arguments"]["api_key"], "[redacted]", "{shown:#}");
    assert!(plant.stored("plain"), "the journal is not where it is looked for");
    assert!(!plant.stored("hunter2"));
}
