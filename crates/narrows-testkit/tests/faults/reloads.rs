//! A config that changes under load: no call fails for it.

use crate::ground::{Ground, Visitor, signal, until};
use crate::house::{House, Http};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const CALLERS: usize = 8;
/// Calls that are to be made after each reload.
const CALLS: usize = 80;

/// Callers that never stop, and what went wrong.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    done: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

/// The callers stop, also when the test fails.
struct Stops<'a>(&'a Load);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Calls the server that changes and the one that does not in turn, through one of the doors.
    fn call(&self, http: &Http, caller: usize) {
        let visitor = Visitor::open(http);
        for n in caller.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let server = if n % 2 == 0 { "changes" } else { "stays" };
            let arguments = json!({"text": format!("{caller}-{n}")});
            let answer = match caller % 4 {
                0 => http.post(&format!("/v1/tools/{server}/echo"), &arguments).1,
                1 => {
                    let code = format!("return (await {server}.echo({arguments})).echo");
                    http.post("/v1/run", &json!({"code": code, "language": "typescript"})).1
                }
                _ => visitor.call(&format!("{server}.echo"), &arguments)["result"].take(),
            };
            let told = match caller % 4 {
                1 => &answer["value"],
                _ => &answer["structuredContent"]["echo"],
            };
            if *told != arguments["text"] {
                self.failed.lock().unwrap().push(format!("caller {caller}, {server}: {answer}"));
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn goes_on(&self) {
        let before = self.done.load(Ordering::Relaxed);
        until("calls go on", || self.done.load(Ordering::Relaxed) >= before + CALLS);
    }
}

/// What the config says in a round.
struct Round {
    /// What the changing server has in its environment.
    changes: u32,
    /// A server that comes and goes.
    guest: bool,
    /// Whether Narrows is told; else it finds out.
    told: bool,
}

fn config(ground: &Ground, round: &Round) -> Value {
    let mut changes = ground.faulty("changes");
    changes["env"]["ROUND"] = json!(round.changes.to_string());
    let mut servers = json!({"changes": changes, "stays": ground.faulty("stays")});
    if round.guest {
        servers["guest"] = ground.faulty("guest");
    }
    json!({"serve": {"mode": "mcp"}, "servers": servers})
}

fn said(log: &Path, words: &str) -> usize {
    std::fs::read_to_string(log).unwrap().matches(words).count()
}

fn write(house: &House, http: &Http, config: &str, told: bool) {
    // Editors write in parts, some; this is the whole at once.
    let new = house.home.path().join("new.json");
    std::fs::write(&new, config).unwrap();
    std::fs::rename(&new, &house.config).unwrap();
    if told {
        signal(Pid::from_raw(i32::try_from(http.child.id()).unwrap()), Signal::SIGHUP);
    }
}

const ROUNDS: [Round; 5] = [
    Round { changes: 1, guest: false, told: true },
    Round { changes: 1, guest: true, told: true },
    Round { changes: 2, guest: true, told: false },
    Round { changes: 3, guest: false, told: true },
    Round { changes: 4, guest: true, told: false },
];

/// Takes a config over while a call is under way, which ends at the process where it began.
fn reload(ground: &Ground, house: &House, http: &Http, (n, round): (usize, &Round)) {
    let log = ground.path("log");
    let before = ground.process("changes");
    let go_on = format!("round {n}");
    let arguments = json!({"until": ground.path(&go_on)});
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| Visitor::open(http).call("changes.act", &arguments));
        ground.until_arrived("changes", "act", n);
        write(house, http, &config(ground, round).to_string(), round.told);
        until("the config is taken over", || said(&log, "the config was taken over") == n);
        ground.release(&go_on);
        let answer = under_way.join().unwrap();
        let pid = &answer["result"]["structuredContent"]["pid"];
        assert_eq!(*pid, before.as_raw(), "{answer}");
    });
}

#[test]
fn no_call_fails_while_the_config_changes() {
    let ground = Ground::new();
    let first = Round { changes: 0, guest: false, told: false };
    let house = House::with(&config(&ground, &first));
    let log = ground.path("log");
    let http = house.http_telling(Stdio::from(File::create(&log).unwrap()));
    let load = Load::default();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (load, http) = (&load, &http);
            scope.spawn(move || load.call(http, caller));
        }
        let stops = Stops(&load);
        load.goes_on();
        let stays = ground.process("stays");
        let mut changes = vec![ground.process("changes")];
        for (n, round) in (1..).zip(&ROUNDS) {
            reload(&ground, &house, &http, (n, round));
            load.goes_on();
            until("what is not needed ends", || ground.processes("changes").len() == 1);
            changes.push(ground.process("changes"));
            if round.guest {
                Visitor::open(&http).echo("guest", "hello");
            } else {
                until("the guest goes", || ground.processes("guest").is_empty());
            }
        }
        write(&house, &http, "{\"servers\": ", true);
        until("a config that is wrong is told of", || said(&log, "the old config stays") > 0);
        load.goes_on();
        drop(stops);
        assert_eq!(ground.process("stays"), stays, "what did not change goes on");
        let same: Vec<_> = changes.windows(2).map(|two| two[0] == two[1]).collect();
        assert_eq!(same, [false, true, false, false, false]);
    });
    let failed = load.failed.into_inner().unwrap();
    println!("{} calls over 5 reloads, {} failed", load.done.into_inner(), failed.len());
    assert!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
}
