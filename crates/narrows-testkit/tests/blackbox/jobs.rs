//! `narrows serve` does jobs, and what it does not finish another one does.

use crate::house::{House, Http, scripted};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Nothing here takes so long; what does hangs.
const LONG: Duration = Duration::from_mins(1);

/// A house whose server writes down which calls arrive.
fn house(jobs: &Value) -> House {
    let house = House::new(&json!({}));
    let log = house.home.path().join("calls.log");
    let config = json!({
        "servers": {"one": scripted(&["--faults", "--log", log.to_str().unwrap()])},
        // What a cut call did is not known, and the program is to go on none the less.
        "runs": {"repeat": ["one.act"]},
        "jobs": jobs,
    });
    std::fs::write(&house.config, config.to_string()).unwrap();
    house
}

/// How many calls of a tool arrived.
fn calls(house: &House, tool: &str) -> usize {
    let log = std::fs::read_to_string(house.home.path().join("calls.log")).unwrap_or_default();
    log.lines().filter(|line| line.split(' ').next() == Some(tool)).count()
}

/// Waits until calls of a tool arrived.
fn arrived(house: &House, tool: &str, count: usize) {
    let start = Instant::now();
    while calls(house, tool) < count {
        assert!(start.elapsed() < LONG, "no call of {tool}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn submit(http: &Http, code: &str) -> String {
    let (status, job) = http.post("/v1/jobs", &json!({"run": {"code": code}}));
    assert_eq!(status, 202, "{job:#}");
    job["job"].as_str().unwrap_or_else(|| panic!("no job: {job:#}")).to_owned()
}

fn show(http: &Http, job: &str) -> Value {
    let (_, body) = http.send(&format!("GET /v1/jobs/{job} HTTP/1.1"), "");
    serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// The job, once it is in this state.
fn until(http: &Http, job: &str, state: &str) -> Value {
    let start = Instant::now();
    loop {
        let now = show(http, job);
        if now["state"] == state {
            return now;
        }
        assert!(start.elapsed() < LONG, "never {state}: {now:#}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(http: &Http, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(http.child.id()).unwrap()), signal).unwrap();
}

fn ended(http: &mut Http) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = http.child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < LONG, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn serve_finishes_a_job() {
    let house = house(&json!({}));
    let http = house.http();
    let job = submit(&http, "return (await one.echo({text: 'from afar'})).echo");
    let done = until(&http, &job, "done");
    assert_eq!(done["result"]["value"], "from afar", "{done:#}");
    assert_eq!(calls(&house, "echo"), 1);
}

#[test]
fn a_front_takes_jobs_and_does_none_until_its_config_says_so() {
    let house = house(&json!({"workers": 0}));
    let front = house.http();
    let job = submit(&front, "return 41 + 1");
    // Longer than any worker waits before it looks.
    std::thread::sleep(Duration::from_secs(3));
    let waits = show(&front, &job);
    assert_eq!((&waits["state"], &waits["attempt"]), (&json!("queued"), &json!(0)), "{waits:#}");
    let config = std::fs::read_to_string(&house.config).unwrap();
    assert!(config.contains("\"workers\":0"), "{config}");
    std::fs::write(&house.config, config.replace("\"workers\":0", "\"workers\":2")).unwrap();
    signal(&front, Signal::SIGHUP);
    until(&front, &job, "done");
}

#[test]
fn a_job_that_is_not_finished_in_time_is_given_back() {
    // A lease that was not given back would last longer than this test.
    let house = house(&json!({"lease_ms": 600_000, "drain_ms": 200}));
    let gate = house.files().join("gate");
    let mut first = house.http();
    let code = format!(
        "const a = await one.echo({{text: 'a'}}); await one.act({{until: {:?}}});
        return [a.echo, (await one.echo({{text: 'b'}})).echo]",
        gate.display().to_string()
    );
    let job = submit(&first, &code);
    arrived(&house, "act", 1);
    signal(&first, Signal::SIGTERM);
    assert!(ended(&mut first).success());
    std::fs::write(&gate, "").unwrap();
    let second = house.http();
    let done = until(&second, &job, "done");
    assert_eq!(done["result"]["value"], json!(["a", "b"]), "{done:#}");
    // What was over is not done again, what was cut is.
    assert_eq!((calls(&house, "echo"), calls(&house, "act")), (2, 2));
}

#[test]
fn a_job_under_way_may_end() {
    let house = house(&json!({"drain_ms": 60_000}));
    let gate = house.files().join("gate");
    let mut first = house.http();
    let code = format!("await one.act({{until: {:?}}}); return 7", gate.display().to_string());
    let job = submit(&first, &code);
    arrived(&house, "act", 1);
    signal(&first, Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(first.child.try_wait().unwrap().is_none(), "it does not wait for the job");
    std::fs::write(&gate, "").unwrap();
    assert!(ended(&mut first).success());
    let shown = house.json(&["job", "show", &job, "--json"]);
    assert_eq!(shown["state"], "done", "{shown:#}");
    assert_eq!(calls(&house, "act"), 1);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let house = house(&json!({"drain_ms": 600_000}));
    let mut http = house.http();
    submit(&http, "await one.act({until: '/nowhere/at/all'}); return 7");
    arrived(&house, "act", 1);
    signal(&http, Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(http.child.try_wait().unwrap().is_none(), "it does not wait for the job");
    signal(&http, Signal::SIGTERM);
    assert_eq!(ended(&mut http).code(), Some(6));
}
