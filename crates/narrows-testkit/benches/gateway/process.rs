//! What the system tells of processes.

use std::collections::HashMap;

/// Processor time used so far, in milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> f64 {
    let (_, fields) = stat(pid);
    // utime and stime in ticks of 10 ms; the state is the first field here.
    fields.iter().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// Megabytes resident.
pub(crate) fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    let kb: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    kb / 1024.0
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Everything that it started, and what that started, and so on: pid and name.
pub(crate) fn descendants(pid: u32) -> Vec<(u32, String)> {
    let mut all: HashMap<u32, Vec<(u32, String)>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let (name, fields) = stat(pid);
        let zombie = fields.first().is_some_and(|state| state == "Z");
        if let Some(parent) = fields.get(1).and_then(|p| p.parse().ok()).filter(|_| !zombie) {
            all.entry(parent).or_default().push((pid, name));
        }
    }
    let (mut found, mut parents) = (Vec::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        for child in all.remove(&parent).unwrap_or_default() {
            parents.push(child.0);
            found.push(child);
        }
    }
    found
}

fn stat(pid: u32) -> (String, Vec<String>) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (name, fields) = stat.rsplit_once(')').unwrap_or_default();
    let name = name.split_once('(').map(|(_, name)| name.to_owned()).unwrap_or_default();
    (name, fields.split_whitespace().map(ToOwned::to_owned).collect())
}
