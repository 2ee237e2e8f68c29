//! A network of programs' own: who shortens the list of hosts, what is told of what was refused, and
//! that nobody goes on with a run that had one.

use crate::lowered::{PATIENCE, Served};
use crate::{Desk, command};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Instant;

/// A place in the machine's network that says hello. Gives where it is.
fn site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // As much of the request as there is.
            let _read = stream.read(&mut [0; 4_096]);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    place
}

fn fetch(place: &str) -> String {
    format!(
        "import urllib.request\ntry:\n    found = urllib.request.urlopen('http://{place}/').read()\n\
         except OSError as error:\n    found = str(error).encode()\nfound.decode()"
    )
}

fn config(place: &str, more: &str) -> String {
    format!(
        "[sandbox]\nbackend = \"process\"\noffer = [\"cpython\"]\n\
         [limits]\nnetwork = [\"{place}\", \"elsewhere.example\"]\n{more}"
    )
}

const CPYTHON: [&str; 5] = ["run", "-l", "python", "--engine", "cpython"];

#[test]
fn a_program_reaches_what_the_config_and_its_call_allow() {
    let (desk, place) = (Desk::new(), site());
    desk.write("work/narrows.toml", &config(&place, ""));
    let (fetched, listed) = (fetch(&place), format!("network={place}"));
    for (limit, code, words) in [
        (&[][..], 0, "hello"),
        (&["--limit", &listed], 0, "hello"),
        (&["--limit", "network=elsewhere.example"], 0, "403"),
        (&["--limit", "network=none"], 0, "urlopen error"),
        (&["--limit", "network=never.example"], 3, "no program may reach never.example"),
        (&["--limit", "network=https://x.y"], 2, "is no host"),
    ] {
        let said = desk.run(&[&CPYTHON[..], limit, &["--eval", &fetched]].concat());
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains(words), "{limit:?}: {all}");
        assert_eq!(said.code == 0, code == 0, "{limit:?}: {} {all}", said.code);
    }
    // One that has no sockets takes no notice of the config's list, and refuses a call's.
    let said = desk.run(&["run", "-q", "--eval", "return 1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = desk.run(&["run", "--limit", &listed, "--eval", "return 1"]);
    assert!(said.code != 0 && said.err.contains("quickjs has no network"), "{}", said.err);
    assert!(said.err.contains("cpython or deno"), "{}", said.err);
}

#[test]
fn nobody_goes_on_with_a_run_that_had_a_network() {
    let (desk, place) = (Desk::new(), site());
    desk.write("work/narrows.toml", &config(&place, ""));
    let ran = desk.json(0, &[&CPYTHON[..], &["--eval", &fetch(&place)]].concat());
    let run = ran["run"].as_str().unwrap();
    let shown = desk.json(0, &["runs", "show", run]);
    assert_eq!(shown["state"].as_str(), Some("returned"), "{shown}");
    for again in [
        &["runs", "replay", run][..],
        &["resume", run],
        &["intent", "save", run, "--name", "kept", "--description", "One"],
    ] {
        let said = desk.run(again);
        let all = format!("{}{}", said.out, said.err);
        assert!(said.code != 0, "{again:?}: {all}");
        let ended = again.first() == Some(&"resume") && all.contains("has ended");
        assert!(ended || all.contains("had a network"), "{again:?}: {all}");
    }
    // It does not pause either, whatever becomes of it then.
    let asks =
        "try:\n    await ask('go on?')\nexcept Exception as error:\n    told = str(error)\ntold";
    let said = desk.run(&[&CPYTHON[..], &["-q", "--eval", asks]].concat());
    assert!(
        said.out.contains("this run cannot pause: it has a network"),
        "{}{}",
        said.out,
        said.err
    );
    let none = ["--limit", "network=none", "--json", "--eval", asks];
    let paused = desk.run(&[&CPYTHON[..], &none].concat());
    assert_eq!(paused.code, 7, "{}{}", paused.out, paused.err);
}

/// Nobody could go on with it later, without the hosts that it was promised.
#[test]
fn a_run_that_gets_no_worker_in_time_does_not_begin() {
    let (desk, place) = (Desk::new(), site());
    // To find out what works here takes longer than the run may.
    let auto = config(&place, "").replace("backend = \"process\"\n", "");
    desk.write("work/narrows.toml", &auto);
    let said = desk.run(&[&CPYTHON[..], &["--limit", "wall_ms=1", "--eval", "1"]].concat());
    assert!(said.code != 0 && said.err.contains("before the deadline"), "{}{}", said.out, said.err);
    assert_eq!(desk.json(0, &["runs", "list"]), json!([]));
}

/// Starts a command, kills it once a run of it is under way, and gives that run.
fn cut_off(desk: &Desk, args: &[&str]) -> String {
    let mut child = command(&desk.work(), &desk.home());
    child.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let begun = Instant::now();
    let run = loop {
        let running = desk.json(0, &["runs", "list", "--state", "running"]);
        if let Some(run) = running.pointer("/0/run").and_then(Value::as_str) {
            break run.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "no run is under way");
    };
    child.kill().unwrap();
    child.wait().unwrap();
    run
}

#[test]
fn a_run_with_a_network_that_was_cut_off_is_lost() {
    let (desk, place) = (Desk::new(), site());
    desk.write("work/narrows.toml", &config(&place, "[jobs]\nlease_ms = 2000\n"));
    let state = |run: &str| desk.json(0, &["runs", "show", run])["state"].clone();
    let waits = "import threading\nthreading.Event().wait(600)";
    let run = cut_off(&desk, &[&CPYTHON[..], &["--eval", waits]].concat());
    assert_eq!(state(&run), "running");
    let said = desk.run(&["resume", &run]);
    assert!(said.code != 0 && said.err.contains("had a network"), "{}{}", said.out, said.err);
    assert_eq!(state(&run), "lost");
    // So is one whose job the next worker takes up.
    desk.write("work/waits.py", waits);
    let save = ["intent", "save", "--file", "waits.py", "--name", "waits", "--description", "One"];
    let more = ["--schema", r#"{"type":"object"}"#, "--engine", "cpython"];
    desk.json(0, &[&save[..], &more].concat());
    let job = desk.json(0, &["job", "submit", "--intent", "waits"]);
    let run = cut_off(&desk, &["worker"]);
    let mut worker = command(&desk.work(), &desk.home());
    worker.arg("worker").stdin(Stdio::null()).stderr(Stdio::null());
    let mut worker = worker.spawn().unwrap();
    let shown = desk.run(&["job", "show", job["job"].as_str().unwrap(), "--wait", "60", "--json"]);
    let (told, is) = (format!("{}{}", shown.out, shown.err), state(&run));
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(told.contains("had a network"), "{told}");
    assert_eq!(is, "lost");
}

#[test]
fn a_key_shortens_the_list_and_what_was_refused_is_recorded() {
    let (desk, place) = (Desk::new(), site());
    let keys = "[keys.guest]\nkey = \"the-guests-key\"\nlimits = {network = [\"*.example\"]}\n\
                [keys.owner]\nkey = \"the-owners-key\"\n";
    let served = Served::start(&desk, &config(&place, keys));
    let program = json!({"code": fetch(&place), "language": "python", "engine": "cpython"});
    let owners = served.run("the-owners-key", &program);
    assert_eq!(owners["value"], "hello", "{owners}");
    let guests = served.run("the-guests-key", &program);
    assert!(guests["value"].as_str().is_some_and(|told| told.contains("403")), "{guests}");
    let counted = served.ask("GET", "/health", "the-owners-key", &Value::Null)["audit"].clone();
    assert_eq!(counted["denied_host"], 1, "{counted}");
    let log = served.ended();
    let told = log.lines().find(|line| line.contains("denied_host")).unwrap_or_default();
    for word in ["narrows::audit", "principal=guest", "engine=cpython", &place] {
        assert!(told.contains(word), "{word}: {log}");
    }
}
