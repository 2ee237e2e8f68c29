//! Our peers' workers, each as its own code mode runs it.

use crate::blackbox::{Agent, parts, python, repository};
use crate::table::{Row, Spread};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One of them.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    note: &'static str,
    measure: fn() -> Result<Figures, String>,
}

pub(crate) const ALL: [Peer; 4] = [
    Peer {
        name: "peer fastmcp monty",
        note: "no jail; a process for each run, no interpreter waits",
        measure: || output(Command::new(python("peers")).args([monty(), "fastmcp".into()])),
    },
    Peer {
        name: "peer monty pool",
        note: "no jail; processes serve one run after the other",
        measure: || output(Command::new(python("peers")).args([monty(), "pool".into()])),
    },
    Peer {
        name: "peer utcp isolated-vm",
        note: "no jail; an isolate for each run in the process that calls tools",
        measure: utcp,
    },
    Peer {
        name: "peer executor quickjs",
        note: "no jail, in the process that calls tools; over MCP; calls are of an unknown tool, a mean",
        measure: executor,
    },
];

/// What a peer's script prints.
#[derive(Default, Deserialize)]
struct Figures {
    cold_ms: Vec<f64>,
    warm_ms: Vec<f64>,
    sequence_ms: Vec<f64>,
    trip_us: Vec<f64>,
    idle_kib: Option<f64>,
    per_second: Option<f64>,
}

pub(crate) fn measure(peer: &Peer) -> Row {
    let (figures, note) = match (peer.measure)() {
        Ok(figures) => (figures, peer.note.to_owned()),
        Err(why) => (Figures::default(), why),
    };
    Row {
        name: peer.name.to_owned(),
        cold_ms: Spread::of(figures.cold_ms),
        demand_ms: None,
        warm_ms: Spread::of(figures.warm_ms),
        sequence_ms: Spread::of(figures.sequence_ms),
        trip_us: Spread::of(figures.trip_us),
        idle_kib: figures.idle_kib,
        per_second: figures.per_second,
        note,
    }
}

fn script(name: &str) -> PathBuf {
    repository().join("crates/narrows-testkit/benches/peers").join(name)
}

fn monty() -> PathBuf {
    script("monty_worker.py")
}

fn utcp() -> Result<Figures, String> {
    // A module finds its packages beside itself.
    let (name, folder) = ("utcp_code_mode.mjs", parts().join("sandboxes"));
    let copied = std::fs::copy(script(name), folder.join(name));
    copied.map_err(|error| format!("{}: {error}", folder.display()))?;
    output(Command::new("node").arg(folder.join(name)))
}

/// The figures of one that is a library, from the script that uses it.
fn output(command: &mut Command) -> Result<Figures, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let last = String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_owned);
    serde_json::from_slice(&output.stdout).map_err(|error| last.unwrap_or(error.to_string()))
}

/// One that is a program of its own.
fn executor() -> Result<Figures, String> {
    let program = parts().join("sandboxes/node_modules/executor-linux-x64/bin/executor");
    if !program.is_file() {
        return Err(format!("no {}", program.display()));
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(["mcp", "--elicitation-mode", "model", "--log-level", "error"]);
    command.current_dir(home.path()).env("HOME", home.path());
    let began = Instant::now();
    let mut agent = Agent::start(command);
    agent.initialize();
    let mut run = |code: &str| {
        let began = Instant::now();
        let result: Value = agent.tool("execute", &json!({"code": code}));
        assert_eq!(result.pointer("/structuredContent/result"), Some(&json!(1)), "{result:#}");
        began.elapsed().as_secs_f64() * 1e3
    };
    run("return 1");
    let mut figures = Figures { cold_ms: vec![ms(began)], ..Figures::default() };
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(5));
        figures.warm_ms.push(run("return 1"));
    }
    let began = Instant::now();
    figures.sequence_ms = (0..200).map(|_| run("return 1")).collect();
    figures.per_second = Some(200.0 / began.elapsed().as_secs_f64());
    let none = Spread::of(figures.sequence_ms.clone()).map_or(0.0, |none| none.p50);
    for _ in 0..3 {
        let many = run("for (let i = 0; i < 50; i++) await tools.nothing({k: i}); return 1");
        figures.trip_us.push((many - none) * 1e3 / 50.0);
    }
    Ok(figures)
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
