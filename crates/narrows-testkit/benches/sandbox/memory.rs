//! What processes take.

use crate::blackbox::{House, scripted};
use crate::table::Row;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Processes of containers, which are no children of ours.
const CONTAINERS: [&str; 5] = ["narrows-worker", "containerd-shim", "conmon", "runsc", "exe"];

/// KiB that our children, theirs, and whatever carries containers take for themselves alone.
pub(crate) fn private_kib() -> f64 {
    let mut pids: HashSet<u32> = tree(std::process::id()).into_iter().collect();
    for (pid, name, _) in processes() {
        if CONTAINERS.iter().any(|carrier| name.starts_with(carrier)) {
            pids.insert(pid);
        }
    }
    let private = |pid| rollup(pid, "Private_Dirty:") + rollup(pid, "Private_Clean:");
    pids.into_iter().map(private).sum()
}

/// Resident memory of a gateway that serves nobody, with all that belongs to it; what several
/// processes share counts once.
pub(crate) fn gateway(name: String, warm: usize) -> Row {
    let config = json!({
        "mcpServers": {"scripted": scripted(&[])},
        "sandbox": {"warm": warm},
    });
    let house = House::with(&config);
    let mut agent = house.agent();
    agent.initialize();
    for (language, code) in [("typescript", "return 1"), ("python", "1")] {
        agent.run(language, code);
    }
    std::thread::sleep(Duration::from_secs(2));
    let pid = agent.child.id();
    let upstream = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("scripted-upstream")
    };
    let children: Vec<u32> = tree(pid).into_iter().filter(|pid| !upstream(pid)).collect();
    let all = rollup(pid, "Pss:") + children.iter().map(|pid| rollup(*pid, "Pss:")).sum::<f64>();
    let note = format!(
        "{:.1} MB of {} processes, the gateway alone {:.1} MB resident",
        all / 1024.0,
        children.len() + 1,
        rollup(pid, "Rss:") / 1024.0
    );
    Row { name, note, ..Row::default() }
}

/// All that a process started, and what that started, and so on.
fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, _, parent) in processes() {
        children.entry(parent).or_default().push(pid);
    }
    let (mut found, mut parents) = (Vec::new(), vec![root]);
    while let Some(parent) = parents.pop() {
        let more = children.remove(&parent).unwrap_or_default();
        parents.extend(&more);
        found.extend(more);
    }
    found
}

/// Number, name and parent of every process.
fn processes() -> Vec<(u32, String, u32)> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let one = |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, head.split_once('(')?.1.to_owned(), parent))
    };
    pids.filter_map(one).collect()
}

/// KiB.
pub(crate) fn rollup(pid: u32, field: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0)
}
