//! The gateway under attack, and what it is measured by.

use crate::bait::{Bait, VARIABLE};
use crate::generate::Attack;
use crate::house::{House, Http, binary, parts};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a state may take to come on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the gateway may hold; one run may pass on 16 MB, in several copies.
const RSS_MB_MAX: u64 = 900;
/// Files and sockets beyond those of a gateway at rest.
const FILES_MORE: usize = 40;

/// A real gateway over HTTP.
pub(crate) struct Gateway {
    pub(crate) http: Http,
    house: House,
    attack: Attack,
    at_rest: usize,
    files: usize,
    log_read: usize,
}

impl Gateway {
    pub(crate) fn start(attack: Attack, bait: &Bait) -> Self {
        let tools: Vec<Value> = ["echo", "fail", "hang", "no_such_tool"]
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {"type": "object", "additionalProperties": true}}))
            .collect();
        let mut sandbox = json!({"backend": "process", "warm": 2});
        if let (Attack::Programs, Some(members)) = (attack, sandbox.as_object_mut()) {
            members.insert("offer".to_owned(), json!(["cpython", "deno"]));
            members.insert("deno_path".to_owned(), json!(deno()));
        }
        let house = House::with(&json!({"mcpServers": {}, "sandbox": sandbox}));
        let list = house.home.path().join("tools.json");
        fs::write(&list, json!({"tools": tools}).to_string()).unwrap();
        let server =
            json!({"command": binary("scripted-upstream"), "args": ["--serve-list", list]});
        let config = json!({"mcpServers": {"host": server}, "sandbox": sandbox});
        fs::write(&house.config, config.to_string()).unwrap();
        let log = File::create(house.home.path().join("log")).unwrap();
        let http = Http::start(log.into(), |args| command(&house, attack, args, &bait.secret));
        let mut gateway = Self { http, house, attack, at_rest: 0, files: 0, log_read: 0 };
        // All that the attack uses is started, and stays.
        for (engine, language, _) in attack.engines() {
            gateway.post(
                &json!({"code": attack.plain(language, 7), "language": language, "engine": engine}),
            );
        }
        std::thread::sleep(Duration::from_secs(3));
        gateway.at_rest = gateway.tree().len();
        gateway.files = gateway.open_files();
        gateway
    }

    /// Runs a program: the status and the body.
    pub(crate) fn post(&self, body: &Value) -> (u16, String) {
        let head = "POST /v1/run HTTP/1.1\nAccept: application/json";
        let (head, body) = self.http.send(head, &body.to_string());
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), body)
    }

    fn pid(&self) -> u32 {
        self.http.child.id()
    }

    /// All that it started, and what those did.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let mut pids = vec![self.pid()];
        let mut at = 0;
        while let Some(parent) = pids.get(at).copied() {
            at += 1;
            for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten()
            {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        pids.remove(0);
        pids
    }

    fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    pub(crate) fn rss_mb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
    }

    /// Looks at it while nobody attacks. What is wrong, if anything is.
    pub(crate) fn wrong(&mut self, secret: &str) -> Option<String> {
        if let Ok(Some(status)) = self.http.child.try_wait() {
            return Some(format!("the gateway ended: {status}\n{}", self.log_tail()));
        }
        for (engine, language, _) in self.attack.engines() {
            let body = json!({"code": self.attack.plain(language, 42), "language": language, "engine": engine});
            let (status, answer) = self.post(&body);
            let value = serde_json::from_str::<Value>(&answer).ok();
            let value = value.and_then(|answer| answer.get("value").cloned());
            if (status, value) != (200, Some(json!(42))) {
                return Some(format!("a plain run by {engine} gives {status} {answer}"));
            }
        }
        let end = Instant::now() + PATIENCE;
        let measured = || (self.tree().len(), self.open_files());
        let most = (self.at_rest + 2, self.files + FILES_MORE);
        let mut now = measured();
        while now.0 > most.0 || now.1 > most.1 {
            if Instant::now() > end {
                return Some(format!("processes and open files {now:?}, at rest at most {most:?}"));
            }
            std::thread::sleep(Duration::from_millis(100));
            now = measured();
        }
        let rss = self.rss_mb();
        if rss > RSS_MB_MAX {
            return Some(format!("the gateway has {rss} MB"));
        }
        self.log_wrong(secret)
    }

    /// What the log has told since the last look.
    fn log_wrong(&mut self, secret: &str) -> Option<String> {
        let log = fs::read(self.house.home.path().join("log")).unwrap_or_default();
        let new =
            String::from_utf8_lossy(log.get(self.log_read..).unwrap_or_default()).into_owned();
        self.log_read = log.len();
        let bad = |line: &&str| {
            line.contains(secret) || line.contains("panicked at") || line.contains("zygote died")
        };
        new.lines().find(bad).map(|line| format!("the log says: {line}"))
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.house.home.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Ends it; what stays behind is wrong.
    pub(crate) fn end(self) -> Option<String> {
        let all = self.tree();
        drop(self.http);
        let end = Instant::now() + PATIENCE;
        let lives = |pid: &&u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while all.iter().any(|pid| lives(&pid)) {
            if Instant::now() > end {
                return Some(format!("left behind: {:?}", all.iter().find(lives)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

/// The gateway, with the secret in its environment too.
fn command(house: &House, attack: Attack, args: &[&str], secret: &str) -> Command {
    let mut command = match attack {
        Attack::Programs => house.command(args),
        Attack::Frames => {
            let mut other = Command::new(binary("broken-in-narrows"));
            other.arg("--config").arg(&house.config).args(args).current_dir(house.files());
            other.envs(house.env());
            other
        }
    };
    command.env(VARIABLE, secret).stdin(Stdio::null());
    command
}

fn deno() -> PathBuf {
    let folder = parts().join("npm/node_modules/@deno");
    let platforms = fs::read_dir(&folder).into_iter().flatten().flatten();
    let found =
        platforms.map(|platform| platform.path().join("deno")).find(|path| Path::is_file(path));
    found.unwrap_or_else(|| panic!("run `cargo xtask test`: no deno in {}", folder.display()))
}
