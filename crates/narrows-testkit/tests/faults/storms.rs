//! A server that tells thousands of things a second.

use crate::ground::{Ground, PATIENCE, memory_kb, passing};
use crate::house::Agent;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Rounds of a storm at least; each is eight notifications.
const ROUNDS: u64 = 3_000;
/// How much more a gateway may ever hold for a storm.
const GROWTH_KIB_MAX: u64 = 64 << 10;
/// The least time between two tellings of one resource's updates.
const UPDATES_GAP: Duration = Duration::from_millis(50);
const RESOURCES: usize = 10;

fn agent(ground: &Ground) -> (crate::house::House, Agent) {
    let house = passing(&json!({"one": ground.faulty("one"), "other": ground.faulty("other")}));
    let mut agent = house.agent();
    agent.initialize();
    for server in ["one", "other"] {
        echo(&mut agent, server, "before");
    }
    assert!(!names(&mut agent).contains(&"one.calm".to_owned()));
    for name in (0..RESOURCES).map(|n| n.to_string()).chain(["last".to_owned()]) {
        let uri = format!("storm://{name}");
        let told = agent.request("resources/subscribe", &json!({"uri": uri}));
        assert!(told.get("result").is_some(), "{uri}: {told}");
    }
    agent.notes.clear();
    (house, agent)
}

fn echo(agent: &mut Agent, server: &str, text: &str) {
    let told = agent.tool(&format!("{server}.echo"), &json!({"text": text}));
    assert_eq!(told["structuredContent"]["echo"], text, "{server}: {told}");
}

fn names(agent: &mut Agent) -> Vec<String> {
    let told = agent.request("tools/list", &json!({}));
    let tools = told["result"]["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn begin(agent: &mut Agent, arguments: &Value) {
    let params =
        json!({"name": "one.storm", "arguments": arguments, "_meta": {"progressToken": "p"}});
    let message =
        json!({"jsonrpc": "2.0", "id": "storm", "method": "tools/call", "params": params});
    agent.line(&message.to_string());
}

fn count(notes: &[Value], method: &str) -> usize {
    notes.iter().filter(|note| note["method"] == method).count()
}

fn updated(notes: &[Value], name: &str) -> bool {
    let uri = format!("storm://{name}");
    notes.iter().any(|note| note["params"]["uri"] == uri)
}

/// The answer to the storm, and that what was told last arrives.
fn end(agent: &mut Agent) -> u64 {
    let start = Instant::now();
    let is_answer = |note: &Value| note["id"] == "storm";
    let mut seen = 0;
    loop {
        assert!(start.elapsed() < PATIENCE, "what was told last does not arrive");
        agent.request("ping", &json!({}));
        let more = &agent.notes[seen..];
        let changed = count(more, "notifications/tools/list_changed") > 0;
        seen = agent.notes.len();
        let answered = agent.notes.iter().any(is_answer);
        let last = updated(&agent.notes, "last");
        if changed && answered && last && names(agent).contains(&"one.calm".to_owned()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let answers: Vec<_> = agent.notes.iter().filter(|note| is_answer(note)).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers[0]["result"]["structuredContent"]["rounds"].as_u64().unwrap()
}

fn tell(agent: &Agent, rounds: u64, lasted: Duration, before_kb: u64) {
    let notes = &agent.notes;
    let lists = ["tools", "prompts", "resources"]
        .map(|kind| count(notes, &format!("notifications/{kind}/list_changed")));
    let updates = count(notes, "notifications/resources/updated");
    let rest = ["message", "progress"].map(|kind| count(notes, &format!("notifications/{kind}")));
    let growth = memory_kb(agent.child.id(), "VmHWM:").saturating_sub(before_kb);
    println!(
        "{rounds} rounds in {} ms: lists {lists:?}, updates {updates}, logs and progress {rest:?}; \
         {growth} KiB more at most",
        lasted.as_millis()
    );
    assert!(rounds >= ROUNDS);
    let tellings = usize::try_from(lasted.as_millis() / UPDATES_GAP.as_millis()).unwrap() + 2;
    assert!(updates <= tellings * RESOURCES + 1, "{updates} updates in {tellings} tellings");
    assert!(lists.iter().all(|times| *times < 30), "{lists:?}");
    assert!(notes.iter().all(|note| note["params"]["progressToken"] != "nobody's"));
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

#[test]
fn calls_go_on_in_a_storm_and_what_is_told_last_arrives() {
    let ground = Ground::new();
    let (_house, mut agent) = agent(&ground);
    let before_kb = memory_kb(agent.child.id(), "VmRSS:");
    let start = Instant::now();
    begin(&mut agent, &json!({"until": ground.path("enough"), "least": ROUNDS}));
    ground.until_arrived("one", "storm", 1);
    for n in 0..100 {
        echo(&mut agent, if n % 2 == 0 { "one" } else { "other" }, &format!("call {n}"));
    }
    assert!(ground.arrived("one", "stormed").is_empty(), "the storm goes on all the while");
    ground.release("enough");
    let rounds = end(&mut agent);
    tell(&agent, rounds, start.elapsed(), before_kb);
}

#[test]
fn a_client_that_reads_nothing_in_a_storm_costs_little_and_misses_nothing_that_counts() {
    let ground = Ground::new();
    let (_house, mut agent) = agent(&ground);
    let before_kb = memory_kb(agent.child.id(), "VmRSS:");
    let start = Instant::now();
    begin(&mut agent, &json!({"least": ROUNDS}));
    ground.until_arrived("one", "stormed", 1);
    let rounds = end(&mut agent);
    echo(&mut agent, "one", "after");
    tell(&agent, rounds, start.elapsed(), before_kb);
}
