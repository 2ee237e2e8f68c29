//! Limits that somebody lowers hold wherever the program is executed: at once, when it goes on, when
//! it is replayed, inside of another run, and for the holder of a key.

use crate::{Desk, command};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Longer than a limit of eighty bytes.
const LONG: &str = "return 'x'.repeat(100)";
/// The same, once somebody has answered.
const ASKS: &str = "await ask('go on?'); return 'x'.repeat(100)";
/// How long a door may take to open: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

impl Desk {
    fn intent(&self, name: &str, code: &str, more: &[&str]) -> crate::Said {
        let file = format!("{name}.ts");
        self.write(&format!("work/{file}"), code);
        let schema = r#"{"type":"object"}"#;
        let save = ["intent", "save", "--file", &file, "--name", name, "--description", "One"];
        self.run(&[&save[..], &["--schema", schema, "--json"], more].concat())
    }
}

/// It ended at its eighty bytes.
fn at_eighty(ended: &Value) {
    let told = (&ended["end"], &ended["limit"], &ended["allowed"]);
    assert_eq!(told, (&json!("limit"), &json!("value_bytes"), &json!(80)), "{ended}");
}

#[test]
fn what_a_call_lowers_holds_for_every_execution() {
    let desk = Desk::new();
    let lowered = ["run", "--limit", "value_bytes=80", "--eval"];
    let ran = desk.json(4, &[&lowered[..], &[LONG]].concat());
    at_eighty(&ran);
    let run = ran["run"].as_str().unwrap();
    let replayed = desk.json(0, &["runs", "replay", run]);
    assert_eq!(replayed["same"], true, "{replayed}");
    let asks = desk.json(7, &[&lowered[..], &[ASKS]].concat());
    at_eighty(&desk.json(4, &["answer", asks["run"].as_str().unwrap(), "q1=yes"]));
    let said = desk.run(&[&lowered[..], &[LONG]].concat());
    assert!(said.err.contains("value_bytes = 80; --limit raises it"), "{}", said.err);
}

#[test]
fn what_an_intent_lowers_holds_alone_and_inside_of_a_run() {
    let desk = Desk::new();
    let eighty = ["--limit", "value_bytes=80"];
    assert_eq!(desk.intent("long", LONG, &eighty).code, 0);
    assert_eq!(desk.intent("asks", ASKS, &eighty).code, 0);
    at_eighty(&desk.json(4, &["intent", "call", "long"]));
    let said = desk.run(&["intent", "call", "long"]);
    assert!(said.err.contains("value_bytes = 80; the intent has it lower"), "{}", said.err);
    let inside = desk.run(&["run", "--eval", "return await intents.long({})"]);
    assert!(inside.code == 1 && inside.err.contains("value_bytes = 80"), "{}", inside.err);
    let paused = desk.json(7, &["run", "--eval", "return await intents.asks({})"]);
    let answer = ["answer", paused["run"].as_str().unwrap(), "yes"];
    let inside = desk.run(&answer);
    assert!(inside.code == 1 && inside.err.contains("value_bytes = 80"), "{}", inside.err);
    let shown = desk.run(&["intent", "show", "long"]);
    assert!(shown.out.contains("limits value_bytes=80"), "{}", shown.out);
}

#[test]
fn an_intent_counts_its_own_calls() {
    let desk = Desk::new();
    let one = "await time.now({}); return 'one'";
    assert_eq!(desk.intent("one", one, &["--limit", "calls=1"]).code, 0);
    let twice = "await time.now({}); await time.now({}); return await intents.one({})";
    let said = desk.run(&["run", "-q", "--eval", twice]);
    assert_eq!((said.code, said.out.as_str()), (0, "one\n"), "{}", said.err);
    // The caller's limit holds inside, too: three calls are the intent and two of its own.
    let said = desk.run(&["run", "--limit", "calls=3", "--eval", twice]);
    assert!(said.code == 1 && said.err.contains("calls = 3"), "{}", said.err);
    // One that may make none is not called without a program.
    let direct = "return await time.now(input)";
    let saved = desk.intent("none", direct, &["--limit", "calls=0"]);
    let saved: Value = serde_json::from_str(&saved.out).unwrap();
    assert_eq!(saved.get("direct"), None, "{saved}");
    let said = desk.run(&["intent", "call", "none", "timezone=UTC"]);
    assert!(said.code == 4 && said.err.contains("calls = 0"), "{} {}", said.code, said.err);
}

#[test]
fn limits_and_engine_of_an_intent_are_checked_when_it_is_saved() {
    let desk = Desk::new();
    for (more, words) in [
        (&["--limit", "wall_ms=0"][..], "limit wall_ms is 0"),
        (&["--engine", "monty"], "the engine monty does not run typescript"),
        (&["--engine", "deno"], "the engine deno is not offered here"),
        (
            &["--limit", "value_bytes=80", "--tests", r#"[{"input":{},"expected":"x"}]"#],
            "value_bytes = 80",
        ),
    ] {
        let said = desk.intent("long", LONG, more);
        assert!(said.code != 0 && said.out.contains(words), "{more:?}: {}", said.out);
    }
    // One that is made of a run has the run's.
    let lowered = ["--limit", "value_bytes=1000", "--engine", "wasm", "--input", "{}"];
    let ran = desk.json(0, &[&["run", "--eval", LONG][..], &lowered].concat());
    let run = ran["run"].as_str().unwrap();
    let save = ["intent", "save", run, "--name", "kept", "--description", "One"];
    let saved = desk.json(0, &save);
    assert_eq!(saved["limits"], json!({"value_bytes": 1000}), "{saved}");
    assert_eq!(saved["engine"], "wasm", "{saved}");
}

/// `narrows serve` over HTTP. Its log is read once it has ended.
pub(crate) struct Served {
    child: Child,
    address: String,
}

impl Served {
    pub(crate) fn start(desk: &Desk, config: &str) -> Self {
        desk.write("work/narrows.toml", config);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let mut serve = command(&desk.work(), &desk.home());
        serve.args(["serve", "--http", &address]).stdin(Stdio::null()).stdout(Stdio::null());
        let child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the door does not open");
            std::thread::yield_now();
        }
        Self { child, address }
    }

    /// What is answered to a request that shows a key.
    pub(crate) fn ask(&self, method: &str, path: &str, key: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (address, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {head} {body}"))
    }

    pub(crate) fn run(&self, key: &str, program: &Value) -> Value {
        self.ask("POST", "/v1/run", key, program)
    }

    /// Everything that it logged.
    pub(crate) fn ended(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.child.wait().unwrap();
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It is gone already where its log was read.
        let _gone = self.child.kill();
        let _buried = self.child.wait();
    }
}

const KEYS: &str = r#"
[servers.time]
builtin = "time"

[servers.files]
builtin = "files"
folders = ["."]

[runs]
approve = ["files.read"]

[keys.guest]
key = "the-guests-key"
backend = "wasm"
servers = ["time"]
limits = {value_bytes = 80}

[keys.dev]
key = "the-developers-key"
backend = "basic"

[keys.owner]
key = "the-owners-key"
"#;

#[test]
fn a_key_has_its_limits_its_back_end_and_a_record_of_what_was_refused() {
    let desk = Desk::new();
    let served = Served::start(&desk, KEYS);
    let (guest, owner) = ("the-guests-key", "the-owners-key");
    at_eighty(&served.run(guest, &json!({"code": LONG})));
    for free in [owner, "the-developers-key"] {
        assert_eq!(served.run(free, &json!({"code": LONG}))["end"], "returned");
    }
    let asks = served.run(guest, &json!({"code": ASKS}));
    let path = format!("/v1/runs/{}/resume", asks["run"].as_str().unwrap());
    let answers = json!({"answers": [{"content": {"answer": "yes"}}]});
    at_eighty(&served.ask("POST", &path, guest, &answers));
    // In WebAssembly there is no other engine.
    for (program, words) in [
        (json!({"code": "1", "language": "python"}), "the back end wasm does not run python"),
        (
            json!({"code": "1", "language": "python", "engine": "monty"}),
            "the back end wasm does not run python",
        ),
        (
            json!({"code": "return 1", "engine": "quickjs"}),
            "the engine quickjs does not run on the back end wasm",
        ),
    ] {
        let refused = served.run(guest, &program);
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{program}: {refused}");
        assert_eq!(refused["error"]["kind"], "invalid", "{refused}");
    }
    // Refused: a server that is not the key's, called and named; a call that a person must allow.
    let path = json!({"path": "a"});
    served.ask("POST", "/v1/tools/files/read", guest, &path);
    served.run(guest, &json!({"code": "return await files.read({path: 'a'})"}));
    served.ask("POST", "/v1/tools/files/read", owner, &path);
    // A tool that nobody has is no refusal.
    served.ask("POST", "/v1/tools/files/nowhere", owner, &path);
    let counted = served.ask("GET", "/health", owner, &Value::Null)["audit"].clone();
    assert_eq!((&counted["limit"], &counted["denied_tool"]), (&json!(2), &json!(3)), "{counted}");
    assert_eq!(counted["no_worker"], 3, "{counted}");
    // All of it is in the log, whose level is warn.
    let log = served.ended();
    let records: Vec<&str> = log.lines().filter(|line| line.contains("narrows::audit")).collect();
    let all = |words: &[&str]| {
        records.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert_eq!(all(&["event=\"limit\"", "principal=guest", "backend=wasm", "value_bytes"]), 2);
    assert_eq!(all(&["event=\"denied_tool\"", "principal=guest", "files.read"]), 2, "{log}");
    assert_eq!(all(&["event=\"denied_tool\"", "principal=owner", "files.read"]), 1, "{log}");
    assert_eq!(all(&["event=\"no_worker\"", "principal=guest"]), 3, "{log}");
    // And how the workers that were made ready are locked in, if they were by then.
    assert_eq!(records.len() - all(&["event=\"walls\"", "seccomp", "cgroup"]), 8, "{log}");
    assert!(log.contains("the back end of the key dev is basic"), "{log}");
}

#[test]
fn a_program_that_no_worker_can_serve_is_rejected() {
    let desk = Desk::new();
    desk.write("work/narrows.toml", "[sandbox]\nbackend = \"wasm\"\n");
    let said = desk.run(&["run", "-l", "python", "--eval", "1"]);
    assert_eq!(said.code, 2, "{}", said.err);
    let words = "the back end wasm does not run python; write it in TypeScript";
    assert!(said.err.contains(words), "{}", said.err);
    let rejected = desk.json(0, &["runs", "list", "--state", "rejected"]);
    assert_eq!(rejected.as_array().map(Vec::len), Some(1), "{rejected}");
}

#[test]
fn an_engine_that_is_missing_is_told_and_nothing_else_takes_its_place() {
    let desk = Desk::new();
    let deno = "[sandbox]\ntypescript = \"deno\"\ndeno_path = \"/nowhere/deno\"\n";
    desk.write("work/narrows.toml", deno);
    let said = desk.run(&["run", "-q", "--eval", "return 1"]);
    assert!(said.code != 0 && said.err.contains("sandbox.deno_path"), "{} {}", said.out, said.err);
    let said = desk.run(&["doctor"]);
    assert!(said.code == 1 && said.out.contains("which does not exist"), "{}", said.out);
    let broken = r#"
        [sandbox]
        offer = ["deno", "cpython"]
        deno_path = "/bin/true"
        npm_path = "~/node"
        cpython_path = "/bin/true"
        [keys.guest]
        key = "g"
        backend = "microvm"
        [keys.dev]
        key = "d"
        backend = "basic"
    "#;
    desk.write("work/narrows.toml", broken);
    desk.write("home/node/package.json", "no JSON");
    desk.write("home/node/node_modules/x/index.js", "");
    let said = desk.run(&["doctor", "--json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let checks: Value = serde_json::from_str(&said.out).unwrap();
    let state = |what: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["what"] == what);
        check.unwrap_or_else(|| panic!("nothing of {what}: {checks}"))
    };
    for what in ["sandbox engine deno", "sandbox engine cpython"] {
        assert_eq!(state(what)["state"], "fail", "{}", state(what));
        assert!(state(what)["fix"].as_str().unwrap().contains("_path"), "{}", state(what));
    }
    for what in ["sandbox engine quickjs", "sandbox engine monty"] {
        assert_eq!(state(what)["state"], "ok", "{}", state(what));
    }
    // Whether there can be one depends on who runs this, but not that it is told.
    let group = state("sandbox: cgroup");
    let stands = group["state"] == "ok" && group["found"] == "stands";
    assert!(stands || group["fix"].as_str().unwrap().contains("control group"), "{group}");
    let machines = state("sandbox back end microvm");
    assert_eq!(machines["state"], "fail", "{machines}");
    assert!(machines["found"].as_str().unwrap().contains("the key guest"), "{machines}");
    assert_eq!(state("sandbox back end basic")["state"], "warn");
}
