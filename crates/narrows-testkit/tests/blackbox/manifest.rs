//! The agent's manifest stays tiny, whatever stands behind it.

use crate::house::{House, npm_bin, python, repository, scripted};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

const TOKENS_MAX: usize = 350;

/// The saved lists of real servers, where they are on this machine.
fn saved_lists() -> Vec<PathBuf> {
    let folder = repository().join("../shared/data/tools");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut lists: Vec<PathBuf> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| {
            p.extension().is_some_and(|e| e == "json") && p.file_stem().unwrap() != "manifest"
        })
        .collect();
    lists.sort();
    lists
}

fn house() -> Option<(House, usize)> {
    let lists = saved_lists();
    if lists.is_empty() {
        println!("../shared/data/tools is absent: the test runs only where it is");
        return None;
    }
    let servers: serde_json::Map<String, Value> = lists
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, scripted(&["--serve-list", &path.to_string_lossy()]))
        })
        .collect();
    let count = servers.len();
    Some((House::new(&Value::Object(servers)), count))
}

#[test]
fn forty_nine_servers_cost_an_agent_at_most_350_tokens() {
    let Some((house, count)) = house() else { return };
    let mut agent = house.agent();
    let opened = agent.initialize();
    let instructions = opened["result"]["instructions"].as_str().unwrap().to_owned();
    let found = agent.tool("search", &json!({"query": "list issues of a repository"}));
    assert!(found["structuredContent"]["results"].as_array().unwrap().len() > 3, "{found:#}");
    let listed = agent.request("tools/list", &json!({}));
    let manifest = format!("{}{instructions}", listed["result"]);
    let tokens = narrows_catalog::tokens::count(&manifest);
    println!("{count} servers: manifest {tokens} tokens");
    assert!(tokens <= TOKENS_MAX, "{tokens} tokens: {manifest}");
    let tools = house.json(&["tools", "--json"]);
    let listed: usize =
        tools.as_array().unwrap().iter().map(|s| s["tools"].as_array().unwrap().len()).sum();
    println!("{listed} tools listed");
    assert!(listed >= 1_500, "{listed}");
}

#[test]
fn typings_of_every_tool_pass_the_compilers() {
    let Some((house, _)) = house() else { return };
    let folder = house.files();
    let write = |language: &str, name: &str| {
        let output = house.output(&["tools", "--typings", "--language", language]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(folder.join(name), output.stdout).unwrap();
    };
    write("typescript", "tools.d.ts");
    write("python", "tools.pyi");
    let tsc = Command::new(npm_bin("tsc"))
        .args(["--strict", "--noEmit", "--target", "es2022", "--lib", "es2022", "tools.d.ts"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(tsc.status.success(), "{}", String::from_utf8_lossy(&tsc.stdout));
    let mypy = Command::new(python("tools").with_file_name("mypy"))
        .args(["--strict", "tools.pyi"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(mypy.status.success(), "{}", String::from_utf8_lossy(&mypy.stdout));
}
