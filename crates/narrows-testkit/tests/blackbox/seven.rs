//! One program over seven real servers, in each language, against direct calls.

use crate::house::{House, npm_bin, python, repository};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// The seven servers over data that the test makes.
fn servers(folder: &Path) -> Value {
    let at = |name: &str| folder.join(name).display().to_string();
    let sqlite = python("sqlite").with_file_name("mcp-server-sqlite");
    json!({
        "filesystem": {"command": npm_bin("mcp-server-filesystem"), "args": [at("files")]},
        "memory": {"command": npm_bin("mcp-server-memory"), "env": {"MEMORY_FILE_PATH": at("memory.jsonl")}},
        "everything": {"command": npm_bin("mcp-server-everything")},
        "sequential-thinking": {"command": npm_bin("mcp-server-sequential-thinking")},
        "git": {"command": python("servers"), "args": ["-m", "mcp_server_git"]},
        "time": {"command": python("servers"), "args": ["-m", "mcp_server_time"]},
        "sqlite": {"command": sqlite, "args": ["--db-path", at("shop.db")]},
    })
}

fn prepare(folder: &Path) {
    std::fs::write(folder.join("files/note.txt"), "the narrows are slim\n").unwrap();
    let graph = json!({"type": "entity", "name": "strait", "entityType": "water", "observations": ["slim"]});
    std::fs::write(folder.join("memory.jsonl"), format!("{graph}\n")).unwrap();
    let repo = folder.join("repo");
    for args in [
        vec!["init", "-q", "-b", "main"],
        vec![
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        ],
    ] {
        std::fs::create_dir_all(&repo).unwrap();
        assert!(Command::new("git").args(args).current_dir(&repo).status().unwrap().success());
    }
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('create table t(id integer, name text)'); c.executemany('insert into t values (?, ?)', [(1, 'ant'), (2, 'bee')]); c.commit()";
    let made =
        Command::new(python("tools")).args(["-c", script]).arg(folder.join("shop.db")).status();
    assert!(made.unwrap().success());
}

fn calls(folder: &Path) -> Vec<(&'static str, &'static str, Value)> {
    let at = |name: &str| folder.join(name).display().to_string();
    vec![
        ("filesystem", "read_text_file", json!({"path": at("files/note.txt")})),
        ("memory", "read_graph", json!({})),
        ("everything", "get-sum", json!({"a": 19, "b": 23})),
        (
            "sequential-thinking",
            "sequentialthinking",
            json!({"thought": "go", "nextThoughtNeeded": false, "thoughtNumber": 1, "totalThoughts": 1}),
        ),
        ("git", "git_status", json!({"repo_path": at("repo")})),
        (
            "time",
            "convert_time",
            json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        ),
        ("sqlite", "read_query", json!({"query": "select name from t order by id"})),
    ]
}

fn direct(folder: &Path, servers: &Value, calls: &[(&str, &str, Value)]) -> Value {
    let plan = folder.join("plan.json");
    std::fs::write(&plan, json!({"servers": servers, "calls": calls}).to_string()).unwrap();
    let driver = repository().join("crates/narrows-testkit/tests/blackbox/drivers/direct.py");
    let output = Command::new(python("tools")).arg(driver).arg(plan).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn programs_over_seven_real_servers_answer_as_direct_calls_do() {
    let house = House::new(&json!({}));
    let folder = house.home.path();
    prepare(folder);
    let servers = servers(folder);
    std::fs::write(&house.config, json!({"mcpServers": servers}).to_string()).unwrap();
    let calls = calls(folder);
    let expected = direct(folder, &servers, &calls);
    let a = |i: usize| calls[i].2.to_string();
    let typescript = format!(
        "const results = await Promise.all([
           filesystem.read_text_file({}),
           memory.read_graph({}),
           everything.get_sum({}),
           sequential_thinking.sequentialthinking({}),
           git.git_status({}),
           time.convert_time({}),
           sqlite.read_query({}),
         ]);
         return results;",
        a(0),
        a(1),
        a(2),
        a(3),
        a(4),
        a(5),
        a(6)
    );
    let k = |i: usize| keywords(&calls[i].2);
    let python = format!(
        "import asyncio
results = await asyncio.gather(
    filesystem.read_text_file({}),
    memory.read_graph({}),
    everything.get_sum({}),
    sequential_thinking.sequentialthinking({}),
    git.git_status({}),
    time.convert_time({}),
    sqlite.read_query({}),
)
results",
        k(0),
        k(1),
        k(2),
        k(3),
        k(4),
        k(5),
        k(6)
    );
    // Each language gets fresh servers: some of them count what they are asked.
    for (language, code) in [("typescript", typescript), ("python", python)] {
        let mut agent = house.agent();
        agent.initialize();
        let answers = agent.value(language, &code);
        assert_same(&answers, &expected);
    }
}

/// `{a: 1}` as Python keywords.
fn keywords(arguments: &Value) -> String {
    let literal = |v: &Value| match v {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    };
    let pairs: Vec<String> =
        arguments.as_object().unwrap().iter().map(|(k, v)| format!("{k}={}", literal(v))).collect();
    pairs.join(", ")
}

/// Equal but for the dates that a time server writes.
fn assert_same(found: &Value, expected: &Value) {
    let (found, expected) = (found.as_array().unwrap(), expected.as_array().unwrap());
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert_eq!(f, e);
    }
}
