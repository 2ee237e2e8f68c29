//! Servers that are killed, and Narrows that is.

use crate::ground::{Ground, PATIENCE, Visitor, passing, signal, status, until};
use crate::house::{Agent, Http};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const KILLED: &str = "it was killed by signal 9";
const UNKNOWN: &str = "whether it was carried out is unknown";

/// Calls a tool through the door that its server is named after.
fn call(http: &Http, server: &str, tool: &str, arguments: &Value) -> Value {
    if server == "rest" {
        return http.post(&format!("/v1/tools/{server}/{tool}"), arguments).1;
    }
    let mut answer = Visitor::open(http).call(&format!("{server}.{tool}"), arguments);
    let result = answer["result"].take();
    if result.is_null() { answer } else { result }
}

/// Kills a server in the middle of a call of a tool; the process, and what the call gave.
fn killed_in(
    ground: &Ground,
    http: &Http,
    server: &str,
    tool: &str,
    repeated: bool,
) -> (Pid, Value) {
    let go_on = format!("{server}-{tool}");
    let arguments = json!({"until": ground.path(&go_on)});
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| call(http, server, tool, &arguments));
        ground.until_arrived(server, tool, 1);
        let killed = ground.process(server);
        signal(killed, Signal::SIGKILL);
        if repeated {
            ground.until_arrived(server, tool, 2);
            ground.release(&go_on);
        }
        (killed, waits.join().unwrap())
    })
}

fn repeats_what_is_safe_only(server: &str) {
    let ground = Ground::new();
    let house = passing(&json!({server: ground.faulty(server)}));
    let http = house.http();
    for tool in ["look", "put"] {
        let (killed, answer) = killed_in(&ground, &http, server, tool, true);
        let now = ground.process(server);
        assert_ne!(now, killed);
        assert_eq!(ground.arrived(server, tool), [killed, now]);
        assert_eq!(answer["structuredContent"]["pid"], now.as_raw(), "{answer}");
    }
    let (killed, answer) = killed_in(&ground, &http, server, "act", false);
    for word in [&format!("server {server}"), KILLED, UNKNOWN] {
        assert!(answer.to_string().contains(word), "{word} in {answer}");
    }
    until("the reason is kept", || status(&http, server)["lastError"].to_string().contains(KILLED));
    let after = call(&http, server, "look", &json!({}));
    let now = ground.process(server);
    assert_ne!(now, killed);
    assert_eq!(after["structuredContent"]["pid"], now.as_raw(), "{after}");
    assert_eq!(ground.arrived(server, "act"), [killed], "it is not sent again");
}

#[test]
fn a_call_that_is_passed_on_survives_its_server_where_that_is_safe() {
    repeats_what_is_safe_only("mcp");
}

#[test]
fn a_call_of_ours_survives_its_server_where_that_is_safe() {
    repeats_what_is_safe_only("rest");
}

/// An agent over standard streams with a hundred calls of a tool under way.
fn hundred(ground: &Ground, house: &crate::house::House, tool: &str) -> Agent {
    let mut agent = house.agent();
    agent.initialize();
    for n in 0..100 {
        let arguments = json!({"until": ground.path("go on")});
        let params = json!({"name": format!("one.{tool}"), "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": format!("n{n}"), "method": "tools/call",
            "params": params});
        agent.line(&message.to_string());
    }
    ground.until_arrived("one", tool, 100);
    signal(ground.process("one"), Signal::SIGKILL);
    agent
}

/// What came of each, and that nothing comes twice.
fn outcomes(agent: &mut Agent) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    while all.len() < 100 {
        let answer = agent.read();
        let Some(id) = answer["id"].as_str().map(str::to_owned) else { continue };
        assert!(all.insert(id, answer).is_none(), "answered twice");
    }
    let last = agent.tool("one.echo", &json!({"text": "the next one"}));
    assert_eq!(last["structuredContent"]["echo"], "the next one", "{last}");
    let late: Vec<_> = agent.notes.iter().filter(|note| note.get("id").is_some()).collect();
    assert!(late.is_empty(), "answered twice: {late:?}");
    all
}

#[test]
fn a_death_under_a_hundred_calls_is_one_error_for_each() {
    let ground = Ground::new();
    let house = passing(&json!({"one": ground.faulty("one")}));
    let mut agent = hundred(&ground, &house, "act");
    for (id, answer) in outcomes(&mut agent) {
        let text = answer.to_string();
        for word in ["server one", KILLED, UNKNOWN] {
            assert!(text.contains(word), "{id}: {word} in {text}");
        }
    }
    assert_eq!(ground.arrived("one", "act").len(), 100, "none is sent again");
}

#[test]
fn a_death_under_a_hundred_calls_that_only_read_is_not_seen() {
    let ground = Ground::new();
    let house = passing(&json!({"one": ground.faulty("one")}));
    let mut agent = hundred(&ground, &house, "look");
    ground.until_arrived("one", "look", 200);
    ground.release("go on");
    let arrived = ground.arrived("one", "look");
    let now = ground.process("one");
    assert_eq!(arrived.iter().filter(|pid| **pid == now).count(), 100);
    let pids: BTreeSet<_> = outcomes(&mut agent)
        .into_values()
        .map(|answer| answer["result"]["structuredContent"]["pid"].as_i64())
        .collect();
    assert_eq!(pids, BTreeSet::from([Some(i64::from(now.as_raw()))]));
}

#[test]
fn narrows_killed_leaves_none_of_thirty_servers_and_what_they_started() {
    let ground = Ground::new();
    // One mark for all.
    let (name, mark) = ground.mark("all");
    let upstream = crate::house::binary("scripted-upstream");
    let script = format!("setsid sleep 600 & exec {}", upstream.display());
    let server = json!({"command": "sh", "args": ["-c", script], "env": {name: mark}});
    let servers: Value = (0..30).map(|n| (format!("s{n}"), server.clone())).collect();
    let house = passing(&servers);
    let mut agent = house.agent();
    agent.initialize();
    for n in 0..30 {
        let told = agent.tool(&format!("s{n}.echo"), &json!({"text": "here"}));
        assert_eq!(told["structuredContent"]["echo"], "here", "{n}: {told}");
    }
    until("each has a process and one in a session of its own", || {
        let all = ground.processes("all");
        let of_their_own =
            all.iter().filter(|pid| nix::unistd::getsid(Some(**pid)) == Ok(**pid)).count();
        all.len() == 60 && of_their_own == 30
    });
    let start = Instant::now();
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let mut gone_after = None;
    while gone_after.is_none() && start.elapsed() < PATIENCE {
        if ground.processes("all").is_empty() {
            gone_after = Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("60 processes of 30 servers were gone {gone_after:?} after the kill");
    assert!(gone_after.is_some_and(|after| after < Duration::from_secs(2)), "{gone_after:?}");
}
