//! A session's variables, kept from one program to the next by a real gateway.

use crate::house::{Agent, House, scripted};
use crate::lifecycle::{tree, wait_gone};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANN: &str = "ann-has-a-key-of-thirty-two-letters";
const BOB: &str = "bob-has-a-key-of-thirty-two-letters";

fn house(more: &Value) -> House {
    let mut config = json!({"mcpServers": {"one": scripted(&[])}});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    House::with(&config)
}

fn session(house: &House) -> String {
    house.json(&["session", "create", "--json"])["session"].as_str().unwrap().to_owned()
}

fn opened(house: &House) -> Agent {
    let mut agent = house.agent();
    agent.initialize();
    agent
}

fn ask(session: &str, code: &str) -> Value {
    json!({"code": code, "session": session, "state": true})
}

fn run(agent: &mut Agent, session: &str, code: &str) -> Value {
    agent.tool("run", &ask(session, code))["structuredContent"].clone()
}

fn value(agent: &mut Agent, session: &str, code: &str) -> Value {
    let told = run(agent, session, code);
    assert_eq!(told["end"], "returned", "{code}: {told:#}");
    assert!(told.get("logs").is_none(), "{code}: {told:#}");
    told["value"].clone()
}

/// What a program is told that finds nothing of earlier ones.
fn gone(told: &Value) -> &str {
    let line = told["logs"][0]["text"].as_str().unwrap_or_else(|| panic!("{told:#}"));
    assert!(line.starts_with("the session's variables are gone ("), "{told:#}");
    line
}

#[test]
fn variables_last_for_a_session_and_end_with_a_word_about_it() {
    let house = house(&json!({"sandbox": {"sessions_idle_s": 3600, "sessions_max": 2}}));
    let mut agent = opened(&house);
    let mine = session(&house);
    let code = "let n = 1; const add = async (by: number) => (n += by, (await one.echo({text: `${n}`}))); n";
    assert_eq!(value(&mut agent, &mine, code), 1);
    // What is refused before it runs changes nothing.
    let told = run(&mut agent, &mine, "n = 7; one.nothing()");
    assert_eq!(told["end"], "rejected", "{told:#}");
    assert_eq!(value(&mut agent, &mine, "await add(2); n"), 3);
    // Without `state` there is nothing of them, and they are not touched.
    let plain = agent.tool("run", &json!({"code": "typeof globalThis.n", "session": mine}));
    assert_eq!(plain["structuredContent"]["value"], "undefined");
    // Another session has its own.
    let other = session(&house);
    assert_eq!(value(&mut agent, &other, "const n = 'other'; n"), "other");
    assert_eq!(value(&mut agent, &mine, "n"), 3);
    // A third one takes the place of that which was used longest ago.
    let third = session(&house);
    assert_eq!(value(&mut agent, &third, "const n = 'third'; n"), "third");
    let told = run(&mut agent, &other, "return typeof globalThis.n");
    assert!(gone(&told).contains("sandbox.sessions_max"), "{told:#}");
    assert_eq!(told["value"], "undefined");
    // It was told once.
    assert_eq!(value(&mut agent, &other, "1"), 1);
    let narrows = agent.child.id();
    let children = tree(narrows);
    assert!(!children.is_empty());
    assert!(agent.close().success());
    wait_gone(&children);
    // Another process has none of it, and says so.
    let mut agent = opened(&house);
    let told = run(&mut agent, &other, "return typeof globalThis.n");
    assert!(gone(&told).contains("ended with the narrows that had them"), "{told:#}");
}

#[test]
fn a_limit_ends_them() {
    let house = house(&json!({"limits": {"cpu_ms": 1000}}));
    let mut agent = opened(&house);
    let mine = session(&house);
    assert_eq!(value(&mut agent, &mine, "let n = 1; n"), 1);
    let told = run(&mut agent, &mine, "for (;;) n++");
    assert_eq!((&told["end"], &told["limit"]), (&json!("limit"), &json!("cpu_ms")), "{told:#}");
    assert!(gone(&told).contains("limit reached: cpu_ms = 1000"), "{told:#}");
    let told = run(&mut agent, &mine, "let n = 2; n");
    assert!(gone(&told).contains("limit reached: cpu_ms = 1000"), "{told:#}");
    assert_eq!(told["value"], 2);
}

#[test]
fn a_death_and_idleness_end_them() {
    let house = house(&json!({"sandbox": {"sessions_idle_s": 1}}));
    let mut agent = opened(&house);
    let mine = session(&house);
    let first = run(&mut agent, &mine, "let n = 1; n");
    assert_eq!(first["value"], 1);
    std::thread::sleep(Duration::from_millis(2_500));
    let told = run(&mut agent, &mine, "return typeof globalThis.n");
    assert!(gone(&told).contains("idle for 1 s"), "{told:#}");
    assert_eq!(value(&mut agent, &mine, "let n = 1; n"), 1);
    kill_workers(agent.child.id());
    let told = run(&mut agent, &mine, "return typeof globalThis.n");
    assert!(gone(&told).contains("the worker was killed"), "{told:#}");
    assert_ne!(told["value"], "number", "{told:#}");
}

/// Kills all workers, and not their parents.
fn kill_workers(narrows: u32) {
    for pid in tree(narrows) {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.contains("jailed-worker") && tree(pid.unsigned_abs()).is_empty() {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }
}

#[test]
fn what_cannot_be_kept_is_refused_with_the_next_step() {
    let house = house(&json!({"sandbox": {"offer": ["cpython"]}}));
    let mut agent = opened(&house);
    let mine = session(&house);
    let refused = |told: &Value, why: &str| {
        let text = told["content"][0]["text"].as_str().unwrap_or_default();
        assert!(told["isError"] == json!(true) && text.contains(why), "{told:#}");
    };
    let told = agent.tool("run", &json!({"code": "1", "state": true}));
    refused(&told, "`state` without `session`");
    let mut job = ask(&mine, "1");
    job["background"] = json!(true);
    refused(&agent.tool("run", &job), "does not go with a job");
    let mut other = ask(&mine, "1");
    (other["language"], other["engine"]) = (json!("python"), json!("cpython"));
    refused(&agent.tool("run", &other), "the engine cpython keeps no variables");
    // Nobody is waited for.
    let told = run(
        &mut agent,
        &mine,
        "const n = 5; try { await ask('may I?') } catch (e) { return e.message }",
    );
    assert!(told["value"].as_str().unwrap().contains("cannot wait"), "{told:#}");
    assert_eq!(value(&mut agent, &mine, "n"), 5);
    // Nor is it executed again.
    let run_id = told["run"].as_str().unwrap();
    let begun = Instant::now();
    loop {
        let output = house.output(&["runs", "replay", run_id]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        if said.contains("ran with `state`") {
            break;
        }
        // Its journal is written behind the answer.
        assert!(begun.elapsed() < Duration::from_secs(30), "{said}");
    }
}

#[test]
fn a_session_is_its_principals_own() {
    let house = house(&json!({"keys": {"ann": {"key": ANN}, "bob": {"key": BOB}}}));
    let http = house.http();
    let post = |key: &str, path: &str, body: &Value| {
        let head = format!("POST {path} HTTP/1.1\nAuthorization: Bearer {key}");
        let (_, body) = http.send(&head, &body.to_string());
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let made = post(ANN, "/v1/sessions", &json!({}));
    let mine = made["session"].as_str().unwrap();
    let told = post(ANN, "/v1/run", &ask(mine, "const secret = 'ann'; secret"));
    assert_eq!(told["value"], "ann", "{told:#}");
    let told = post(BOB, "/v1/run", &ask(mine, "secret"));
    assert!(told.get("value").is_none(), "{told:#}");
    assert!(told.to_string().contains("does not exist or has expired"), "{told:#}");
    assert_eq!(post(ANN, "/v1/run", &ask(mine, "secret"))["value"], "ann");
    // One program at a time, whichever comes first: none sees what another is about to do.
    let both = std::thread::scope(|scope| {
        let slow = "globalThis.busy ??= 0; const before = globalThis.busy++; \
                    await one.sleep({ms: 500}); globalThis.busy--; return before";
        let each = || scope.spawn(|| post(ANN, "/v1/run", &ask(mine, slow)));
        [each(), each()].map(|one| one.join().unwrap())
    });
    for told in &both {
        assert_eq!(told["value"], 0, "{both:#?}");
    }
}
