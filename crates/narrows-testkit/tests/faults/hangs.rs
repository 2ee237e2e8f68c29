//! Servers that hang: others go on, and who asked them hears of it in time.

use crate::ground::{Ground, Visitor, signal, status, until};
use crate::house::{House, Http, binary};
use nix::sys::signal::Signal;
use serde_json::json;

/// Calls to a good server that are to go on beside one that hangs.
const CALLS: usize = 50;

fn good_goes_on(visitor: &Visitor<'_>, the_other_hangs: impl Fn() -> bool) {
    for n in 0..CALLS {
        visitor.echo("good", &format!("call {n}"));
    }
    assert!(the_other_hangs(), "the good one waited for it");
}

fn house(ground: &Ground) -> House {
    let mut stuck = ground.faulty("stuck");
    stuck["call_timeout_ms"] = json!(3_000);
    let (name, mark) = ground.mark("hanging");
    let hanging = json!({"command": binary("scripted-upstream"), "args": ["--hang-at-start"],
        "env": {name: mark}, "start_timeout_ms": 10_000});
    House::with(&json!({
        "serve": {"mode": "mcp"},
        "upstream": {"list_wait_ms": 500},
        "servers": {"hanging": hanging, "stuck": stuck, "good": ground.faulty("good")},
    }))
}

fn names(visitor: &Visitor<'_>) -> Vec<String> {
    let told = visitor.request("tools/list", &json!({}));
    let tools = told["result"]["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn is_starting(http: &Http) -> bool {
    status(http, "hanging")["state"] == "starting"
}

#[test]
fn a_server_that_never_opens_delays_neither_lists_nor_searches_nor_calls() {
    let ground = Ground::new();
    let house = house(&ground);
    let http = house.http();
    until("it starts", || !ground.processes("hanging").is_empty());
    let (code, found) = http.post("/v1/search", &json!({"query": "give back the text"}));
    assert_eq!(code, 200, "{found}");
    assert!(found["results"].as_array().is_some_and(|all| !all.is_empty()), "{found}");
    assert!(is_starting(&http), "the search waited for it to fail");
    std::thread::scope(|scope| {
        let first = Visitor::open(&http);
        let hangs = scope.spawn(|| {
            Visitor::open(&http).call("hanging.echo", &json!({"text": "is anybody there?"}))
        });
        let listed = names(&first);
        for name in ["good.echo", "stuck.look"] {
            assert!(listed.iter().any(|one| one == name), "{name} in {listed:?}");
        }
        assert!(is_starting(&http), "the list waited for it to fail");
        good_goes_on(&first, || is_starting(&http));
        let answer = hangs.join().unwrap();
        let told = &answer["result"]["structuredContent"]["error"];
        assert_eq!(told["kind"], "unavailable", "{answer}");
        let told = told["message"].as_str().unwrap();
        assert!(told.starts_with("server hanging is still starting"), "{answer}");
    });
    until("it has failed", || status(&http, "hanging")["state"] == "failed");
    let answer = Visitor::open(&http).call("hanging.echo", &json!({"text": "and now?"}));
    let told = answer["result"]["content"][0]["text"].as_str().unwrap();
    for word in ["hanging", "10000 ms"] {
        assert!(told.contains(word), "{word} in {answer}");
    }
    assert!(ground.processes("hanging").is_empty(), "nothing of it is left");
}

#[test]
fn a_server_that_stops_in_a_call_is_given_up_at_its_deadline() {
    let ground = Ground::new();
    let house = house(&ground);
    let http = house.http();
    let visitor = Visitor::open(&http);
    visitor.echo("stuck", "before");
    let process = ground.process("stuck");
    signal(process, Signal::SIGSTOP);
    std::thread::scope(|scope| {
        let hangs = scope.spawn(|| visitor.call("stuck.echo", &json!({"text": "lost"})));
        good_goes_on(&visitor, || !hangs.is_finished());
        let answer = hangs.join().unwrap().to_string();
        assert!(answer.contains("stuck.echo did not answer within 3000 ms"), "{answer}");
    });
    signal(process, Signal::SIGCONT);
    visitor.echo("stuck", "after");
    assert_eq!(ground.process("stuck"), process, "it was only slow");
}
