//! Starts, ends, and what is left behind: nothing.

use crate::house::{House, scripted};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Processes whose command line names this house.
fn descendants(needle: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        if String::from_utf8_lossy(&line).contains(needle) {
            found.push(pid);
        }
    }
    found
}

/// Children of a process and theirs.
pub(crate) fn tree(pid: u32) -> Vec<i32> {
    let mut pids = vec![i32::try_from(pid).unwrap()];
    let mut at = 0;
    while let Some(parent) = pids.get(at).copied() {
        at += 1;
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|c| c.parse::<i32>().ok()));
        }
    }
    pids.remove(0);
    pids
}

fn gone(pids: &[i32]) -> bool {
    pids.iter().all(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    })
}

pub(crate) fn wait_gone(pids: &[i32]) {
    let start = Instant::now();
    while !gone(pids) {
        assert!(start.elapsed() < Duration::from_secs(10), "left behind: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn busy_house() -> House {
    House::new(&json!({"one": scripted(&[]), "two": scripted(&["--garbage"])}))
}

#[test]
fn the_end_of_input_ends_everything() {
    let house = busy_house();
    let mut agent = house.agent();
    agent.initialize();
    let code = "return (await Promise.all([one.echo({text: 'a'}), two.echo({text: 'b'})])).length";
    assert_eq!(agent.value("typescript", code), 2);
    let pids = tree(agent.child.id());
    assert!(pids.len() >= 3, "two upstreams and a zygote at least: {pids:?}");
    assert!(agent_ends(agent).success());
    wait_gone(&pids);
}

fn agent_ends(agent: crate::house::Agent) -> std::process::ExitStatus {
    agent.close()
}

#[test]
fn kill_minus_nine_leaves_no_orphan() {
    let house = busy_house();
    let mut agent = house.agent();
    agent.initialize();
    let code = "return (await Promise.all([one.echo({text: 'a'}), two.echo({text: 'b'})])).length";
    assert_eq!(agent.value("typescript", code), 2);
    let pids = tree(agent.child.id());
    assert!(pids.len() >= 3, "{pids:?}");
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    wait_gone(&pids);
}

#[test]
fn a_restart_lists_tools_without_starting_a_server() {
    let mark = format!("{}", std::process::id());
    let house = House::new(&json!({"one": scripted(&["--page", "3"])}));
    let first = house.json(&["tools", "--json"]);
    let mut agent = house.agent();
    agent.initialize();
    let found = agent.tool("search", &json!({"query": "give back the text"}));
    assert_eq!(found["structuredContent"]["results"][0]["tool"], "echo", "{mark} {found:#}");
    let upstreams: Vec<i32> = tree(agent.child.id())
        .into_iter()
        .filter(|pid| descendants("scripted-upstream").contains(pid))
        .collect();
    assert_eq!(upstreams, Vec::<i32>::new(), "a search over cached tools starts nothing");
    let second = house.json(&["tools", "--json"]);
    assert_eq!(first, second);
}

#[test]
fn a_cancelled_run_is_over_at_once() {
    let house = busy_house();
    let mut agent = house.agent();
    agent.initialize();
    agent.value("typescript", "return (await one.echo({text: 'warm'})).echo");
    let params = json!({"name": "run", "arguments": {"code": "await one.sleep({ms: 30000})"}});
    agent.line(
        &json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": params})
            .to_string(),
    );
    std::thread::sleep(Duration::from_millis(300));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": "slow"}});
    let start = Instant::now();
    agent.line(&cancel.to_string());
    let answer = agent.request("ping", &json!({}));
    assert_eq!(answer["result"], json!({}));
    assert!(!agent.notes.iter().any(|n| n["id"] == "slow" && n.get("result").is_some()));
    let status = agent.close();
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(10), "the cancelled run kept it waiting");
}

#[test]
fn one_broken_server_or_tool_takes_no_other_down() {
    let house = House::new(&json!({
        "good": scripted(&["--broken-tool"]),
        "missing": {"command": "narrows-no-such-command"},
        "dying": scripted(&["--die-after", "1"]),
    }));
    let mut agent = house.agent();
    agent.initialize();
    let code =
        "const r = await Promise.allSettled([good.echo({text: 'a'}), dying.echo({text: 'b'})]);
        return [r[0].status, r[1].status, String(r[1].reason.message)]";
    let value = agent.value("typescript", code);
    assert_eq!(value[0], "fulfilled", "{value:#}");
    assert_eq!(value[1], "rejected", "{value:#}");
    assert!(value[2].as_str().unwrap().contains("exit"), "says how it died: {value:#}");
    let servers = house.json(&["servers", "--json"]);
    let find = |name: &str| {
        servers.as_array().unwrap().iter().find(|s| s["server"] == name).cloned().unwrap()
    };
    let missing: Value = find("missing");
    assert!(
        missing["lastError"].as_str().unwrap().contains("narrows-no-such-command"),
        "{missing:#}"
    );
    assert_eq!(find("good")["skipped"].as_array().unwrap().len(), 1);
}
