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
    pub(crate) scenarios_min: usize,
}

pub(crate) const SUITES: [Suite; 4] = [
    Suite {
        name: "released",
        package: "conformance-released",
        choice: &["--suite", "all"],
        scenarios_min: 32,
    },
    Suite {
        name: "2025-06-18",
        package: "conformance-newest",
        choice: &["--suite", "all", "--spec-version", "2025-06-18"],
        scenarios_min: 27,
    },
    Suite {
        name: "2025-11-25",
        package: "conformance-newest",
        choice: &["--requirements", "2025-11-25"],
        scenarios_min: 33,
    },
    Suite {
        name: "2026-07-28",
        package: "conformance-newest",
        choice: &["--requirements", "2026-07-28"],
        scenarios_min: 50,
    },
];

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
        let mut words = vec!["server", "--url", url];
        words.extend(self.choice);
        self.run(&words, |_| {})
    }

    /// Runs one client scenario with `command` as the client.
    pub(crate) fn run(self, words: &[&str], prepare: impl FnOnce(&mut Command)) -> Found {
        let out = TempDir::new().unwrap();
        let program =
            parts().join("conformance/node_modules").join(self.package).join("dist/index.js");
        let mut command = Command::new(crate::house::npm_bin("node"));
        command.arg(program).args(words).arg("-o").arg(out.path()).stdin(Stdio::null());
        prepare(&mut command);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat();
        let mut found = Found { said, ..Found::default() };
        collect(out.path(), out.path(), &mut found);
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
        let checks = checks.iter().map(|check| Check {
            scenario: name.clone(),
            id: text(check, "id"),
            status: text(check, "status"),
            message: text(check, "errorMessage"),
        });
        found.scenarios.entry(name.clone()).or_default().extend(checks);
    }
}
