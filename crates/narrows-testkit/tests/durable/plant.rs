//! One house under test: its store, its gateways, and the file in which its upstream counts.

use crate::house::{House, Http, binary};
use crate::places::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a state may take to come: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A store, and the upstream that counts what is done.
pub(crate) struct Plant {
    folder: TempDir,
    store: String,
}

impl Plant {
    pub(crate) fn new(kind: Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let store = kind.fresh(folder.path());
        Self { folder, store }
    }

    fn counted(&self) -> PathBuf {
        self.folder.path().join("counted")
    }

    /// A house on this store; `jobs` that it does at once.
    pub(crate) fn house(&self, jobs: u32) -> House {
        House::with(&self.config(jobs))
    }

    /// A house that does no jobs, with more in its config.
    pub(crate) fn house_with(&self, more: Value) -> House {
        let mut config = self.config(0);
        let Value::Object(sections) = more else { panic!("no sections: {more}") };
        for (section, entries) in sections {
            let Value::Object(entries) = entries else { panic!("no section: {entries}") };
            for (key, value) in entries {
                config[&section][key] = value;
            }
        }
        House::with(&config)
    }

    fn config(&self, jobs: u32) -> Value {
        json!({
            "servers": {"count": {
                "command": binary("counting-upstream"),
                "args": ["--file", self.counted()],
            }},
            "store": {"url": self.store},
            "jobs": {"workers": jobs, "lease_ms": 2_000},
        })
    }

    /// Whether the files of the store hold a text.
    pub(crate) fn stored(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.folder.path()).unwrap().flatten();
        let ours = files.filter(|f| f.file_name().to_string_lossy().starts_with("narrows.db"));
        let mut bytes = ours.map(|file| std::fs::read(file.path()).unwrap());
        bytes.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// `narrows serve` in a house; what it logs is told if the test fails.
    pub(crate) fn serve(&self, house: &House) -> Http {
        house.http_telling(self.log())
    }

    /// `narrows worker` in a house, the same way.
    pub(crate) fn work(&self, house: &House) -> Worker {
        let mut command = house.command(&["worker"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log());
        Worker(command.spawn().unwrap())
    }

    fn log(&self) -> Stdio {
        let path = self.folder.path().join("log");
        OpenOptions::new().create(true).append(true).open(path).unwrap().into()
    }

    /// How often each call was carried out, as `TOOL KEY`.
    pub(crate) fn counts(&self) -> BTreeMap<String, u32> {
        let text = std::fs::read_to_string(self.counted()).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    /// How many calls were carried out.
    pub(crate) fn lines(&self) -> usize {
        std::fs::read_to_string(self.counted()).unwrap_or_default().lines().count()
    }

    /// The living processes of the upstream.
    pub(crate) fn upstreams(&self) -> Vec<Pid> {
        let file = self.counted().display().to_string();
        processes(|folder| {
            let command = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            let mut words = command.split(|byte| *byte == 0);
            let program = words.next().unwrap_or_default();
            program.ends_with(b"counting-upstream") && words.any(|word| word == file.as_bytes())
        })
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            println!("what the processes of the failed test logged:\n{log}");
        }
    }
}

/// The living processes of which this is true.
fn processes(mut is: impl FnMut(&Path) -> bool) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(pid) = entry.file_name().to_string_lossy().parse()
            && is(&entry.path())
        {
            found.push(Pid::from_raw(pid));
        }
    }
    found
}

/// Every living process, by its parent: looked up once, for what is looked for may end meanwhile.
fn families() -> BTreeMap<Pid, Vec<Pid>> {
    let mut families: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in processes(|_| true) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: state and parent.
        let mut words = status.rsplit(')').next().unwrap_or_default().split_whitespace();
        let alive = words.next().is_some_and(|state| state != "Z");
        if let Some(parent) = words.next().and_then(|id| id.parse().ok()).filter(|_| alive) {
            families.entry(Pid::from_raw(parent)).or_default().push(pid);
        }
    }
    families
}

/// The workers of a gateway: what its zygotes have made, and what has made nothing itself.
pub(crate) fn workers(gateway: &Http) -> Vec<Pid> {
    let jailed = |pid: &Pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == b"--engine")
    };
    let families = families();
    let children = |pid: Pid| families.get(&pid).cloned().unwrap_or_default();
    let gateway = Pid::from_raw(i32::try_from(gateway.child.id()).unwrap());
    let zygotes = children(gateway).into_iter().filter(jailed);
    let mut left: Vec<_> = zygotes.flat_map(children).collect();
    let mut workers = Vec::new();
    while let Some(pid) = left.pop() {
        let made = children(pid);
        if made.is_empty() {
            workers.push(pid);
        }
        left.extend(made);
    }
    workers
}

/// Kills with 9; what has just ended counts as killed.
pub(crate) fn kill_9(pid: Pid) {
    let _gone = kill(pid, Signal::SIGKILL);
}

pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks for JSON.
pub(crate) fn get(http: &Http, path: &str) -> (u16, Value) {
    let (head, body) = http.send(&format!("GET {path} HTTP/1.1"), "");
    let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        unchunked(&body)
    } else {
        body
    };
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// A body without its chunks' lengths.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some((chunk, rest)) = rest.split_at_checked(length) else { break };
        if length == 0 {
            break;
        }
        whole.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    whole
}

/// A posted request that must be taken.
pub(crate) fn post(http: &Http, path: &str, body: &Value) -> Value {
    let (status, answer) = http.post(path, body);
    assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
    answer
}

/// A job that is over or paused.
pub(crate) fn rested(http: &Http, job: &str) -> Value {
    let start = Instant::now();
    loop {
        let (status, told) = get(http, &format!("/v1/jobs/{job}?wait_ms=5000"));
        assert_eq!(status, 200, "{told}");
        let state = told["state"].as_str().unwrap_or_default();
        if !matches!(state, "queued" | "running") {
            return told;
        }
        assert!(start.elapsed() < PATIENCE, "not within {} s: {told}", PATIENCE.as_secs());
    }
}

/// `narrows worker` in a house, ended by its pid.
pub(crate) struct Worker(pub(crate) Child);

impl Drop for Worker {
    fn drop(&mut self) {
        crate::house::terminate(&mut self.0);
    }
}
