//! The official suites, run by their own program, and what they found.

use crate::house::parts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A suite in one of its two releases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    package: &'static str,
    choice: &'static [&'static str],
    /// Fewer scenarios than this, and the suite has not run.
    scenarios_min: usize,
}

const RELEASED: &str = "conformance-released";
const NEWEST: &str = "conformance-newest";

/// What the suites ask of a server.
const SERVER: [Suite; 4] = [
    Suite {
        name: "server, released",
        package: RELEASED,
        choice: &["--suite", "all"],
        scenarios_min: 32,
    },
    Suite {
        name: "server, 2025-06-18",
        package: NEWEST,
        choice: &["--suite", "all", "--spec-version", "2025-06-18"],
        scenarios_min: 27,
    },
    Suite {
        name: "server, 2025-11-25",
        package: NEWEST,
        choice: &["--requirements", "2025-11-25"],
        scenarios_min: 33,
    },
    Suite {
        name: "server, 2026-07-28",
        package: NEWEST,
        choice: &["--requirements", "2026-07-28"],
        scenarios_min: 50,
    },
];

/// What the suites ask of a client. The released one has all its revisions in one list.
const CLIENT: [Suite; 5] = [
    Suite {
        name: "client, released",
        package: RELEASED,
        choice: &["--suite", "all"],
        scenarios_min: 26,
    },
    Suite {
        name: "client, 2025-03-26",
        package: NEWEST,
        choice: &["--suite", "all", "--spec-version", "2025-03-26"],
        scenarios_min: 2,
    },
    Suite {
        name: "client, 2025-06-18",
        package: NEWEST,
        choice: &["--suite", "all", "--spec-version", "2025-06-18"],
        scenarios_min: 5,
    },
    Suite {
        name: "client, 2025-11-25",
        package: NEWEST,
        choice: &["--requirements", "2025-11-25"],
        scenarios_min: 25,
    },
    Suite {
        name: "client, 2026-07-28",
        package: NEWEST,
        choice: &["--requirements", "2026-07-28"],
        scenarios_min: 39,
    },
];

/// The suite of that name.
pub(crate) fn suite(name: &str) -> Suite {
    *SERVER.iter().chain(&CLIENT).find(|suite| suite.name == name).unwrap()
}

/// One check of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) scenario: String,
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) message: String,
}

/// What a run found: the checks of each scenario.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) scenarios: BTreeMap<String, Vec<Check>>,
    /// What the client printed in each scenario.
    pub(crate) printed: BTreeMap<String, String>,
    /// What the program said, for the failure text.
    pub(crate) said: String,
}

impl Found {
    pub(crate) fn checks(&self, status: &str) -> Vec<&Check> {
        self.scenarios.values().flatten().filter(|check| check.status == status).collect()
    }
}

impl Suite {
    /// Runs the server scenarios against `url`.
    pub(crate) fn against(self, url: &str) -> Found {
        self.run(&["server", "--url", url], |_| {})
    }

    /// Runs the client scenarios, each with a process of `client`.
    pub(crate) fn of_client(self, client: &str, prepare: impl FnOnce(&mut Command)) -> Found {
        // They share the machine with everything else that is tested, and wait for their turns.
        let words = ["client", "--command", client, "--timeout", "250000"];
        self.run(&words, prepare)
    }

    /// Runs the program and reads what it wrote. Fewer scenarios than there are: it has not run.
    fn run(self, words: &[&str], prepare: impl FnOnce(&mut Command)) -> Found {
        let out = TempDir::new().unwrap();
        let program =
            parts().join("conformance/node_modules").join(self.package).join("dist/index.js");
        let mut command = Command::new(crate::house::npm_bin("node"));
        command
            .arg(program)
            .args(words)
            .args(self.choice)
            .arg("-o")
            .arg(out.path())
            .stdin(Stdio::null());
        prepare(&mut command);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        let mut found = Found { said, ..Found::default() };
        collect(out.path(), out.path(), &mut found);
        let count = found.scenarios.len();
        assert!(count >= self.scenarios_min, "only {count} scenarios ran:\n{}", found.said);
        found
    }
}

/// Reads `.../SCENARIO-TIMESTAMP/checks.json`, at any depth: a scenario's name may have a slash.
fn collect(root: &std::path::Path, folder: &std::path::Path, found: &mut Found) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, found);
            continue;
        }
        if path.file_name().is_none_or(|name| name != "checks.json") {
            continue;
        }
        let name = folder.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        // `-2026-11-21T12-10-25-561Z` is what the program puts behind the name.
        let name = name.get(..name.len().saturating_sub(25)).unwrap_or(&name).to_owned();
        let name = name.strip_prefix("server-").map(str::to_owned).unwrap_or(name);
        let checks: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        let printed = ["stdout.txt", "stderr.txt"]
            .map(|file| std::fs::read_to_string(folder.join(file)).unwrap_or_default());
        found.printed.insert(name.clone(), printed.concat());
        let checks = checks.iter().map(|check| Check {
            scenario: name.clone(),
            id: text(check, "id"),
            status: text(check, "status"),
            message: Some(text(check, "errorMessage"))
                .filter(|message| !message.is_empty())
                .unwrap_or_else(|| text(check, "description")),
        });
        found.scenarios.entry(name.clone()).or_default().extend(checks);
    }
}
