//! What the escape tests tried where: the table at the end of a test run, and whether something that
//! can be tried here was not. A test that passes says nothing; one that could not run would too.

use crate::shell::{Fail, Run, say};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What can be tried on a Debian by root: the back ends, processes of an ordinary user, the control
/// group around all workers, Docker under other names, and the engines that are not built in.
const PLACES: [&str; 11] = [
    "process", "nobody", "cgroup", "wasm", "basic", "docker", "podman", "gvisor", "microvm",
    "cpython", "deno",
];
/// What is tried, as the tests write it.
const KINDS: [&str; 3] = ["program", "call", "frames"];
/// Tests beside the escape tests that need a place, in the words of the runner's filters.
const OTHERS: [(&str, &str); 5] = [
    ("cgroup", "package(narrows-sandbox) & test(/^cgroup::tests::/)"),
    ("docker", "binary(containers)"),
    ("podman", "binary(containers) & test(/podman|every_byte/)"),
    ("gvisor", "binary(containers) & test(/gvisor/)"),
    (
        "microvm",
        "package(narrows-sandbox) & test(/^(microvm|cgroup::guest)::/) \
         | binary(escape) & test(/^machines::/)",
    ),
];
/// Programs and hostile workers that a whole run has at least.
const SUITE_MIN: usize = 120;
/// Names those that somebody goes without, with commas between them.
const WITHOUT: &str = "NARROWS_WITHOUT";

/// The file that tests write into, and what they need not run.
pub(crate) struct Ledger {
    path: PathBuf,
    without: Vec<String>,
}

/// How much of what can be tried was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Everything,
    /// What a filter left.
    Part,
}

impl Ledger {
    /// An empty one.
    pub(crate) fn open() -> Result<Self, Fail> {
        let path = std::env::temp_dir().join(format!("narrows-ledger-{}", std::process::id()));
        fs::write(&path, "")?;
        Ok(Self { path, without: without()? })
    }

    /// Tells a test run where it is.
    pub(crate) fn describe(&self, run: &mut Run) {
        run.env("NARROWS_LEDGER", &self.path.to_string_lossy());
        run.env(WITHOUT, &self.without.join(","));
    }

    /// The filter that leaves out the tests that need what somebody goes without.
    pub(crate) fn filter(&self) -> Option<String> {
        let named = |(place, _): &&(&str, &str)| self.without.iter().any(|name| name == place);
        let tests: Vec<&str> = OTHERS.iter().filter(named).map(|(_, tests)| *tests).collect();
        (!tests.is_empty()).then(|| format!("not ({})", tests.join(" | ")))
    }

    /// Prints the table. Fails if something did not run that nobody goes without.
    pub(crate) fn close(self, asked: Asked) -> Result<(), Fail> {
        let text = fs::read_to_string(&self.path)?;
        fs::remove_file(&self.path)?;
        let table = Table::new(&text, &self.without, asked);
        say(&table.text());
        table.judge()
    }
}

/// What somebody goes without.
pub(crate) fn without() -> Result<Vec<String>, Fail> {
    let named = std::env::var_os(WITHOUT).unwrap_or_default().to_string_lossy().into_owned();
    let named: Vec<String> =
        named.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    match named.iter().find(|name| !PLACES.contains(&name.as_str())) {
        None => Ok(named),
        Some(name) => Err(Fail(format!("{WITHOUT}: no `{name}`, only {}", PLACES.join(", ")))),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Ran,
    Missing(String),
    LeftOut,
    /// A filter left none of its tests.
    NotAsked,
}

struct Row {
    place: &'static str,
    tried: [usize; KINDS.len()],
    state: State,
}

struct Table {
    rows: Vec<Row>,
    /// Different programs, and different things that hostile workers did.
    suite: (usize, usize),
    asked: Asked,
}

impl Table {
    fn new(text: &str, without: &[String], asked: Asked) -> Self {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let ran = |place: Option<&str>, kind: &str| -> BTreeSet<&str> {
            let ours = lines.iter().filter_map(|line| match line.as_slice() {
                ["ran", at, of, name] if place.is_none_or(|p| p == *at) && *of == kind => {
                    Some(*name)
                }
                _ => None,
            });
            ours.collect()
        };
        let reason = |place: &str| {
            lines.iter().find_map(|line| match line.as_slice() {
                ["missing", at, why] if *at == place => Some((*why).to_owned()),
                _ => None,
            })
        };
        let rows = PLACES.map(|place| {
            let tried = KINDS.map(|kind| ran(Some(place), kind).len());
            let state = if without.iter().any(|name| name == place) {
                State::LeftOut
            } else if let Some(why) = reason(place) {
                State::Missing(why)
            } else if tried != [0; KINDS.len()] {
                State::Ran
            } else if asked == Asked::Everything {
                State::Missing("no test tried anything there".to_owned())
            } else {
                State::NotAsked
            };
            Row { place, tried, state }
        });
        let workers = ran(None, KINDS[1]).len() + ran(None, KINDS[2]).len();
        Self { rows: rows.into(), suite: (ran(None, KINDS[0]).len(), workers), asked }
    }

    fn text(&self) -> String {
        if self.asked == Asked::Part && self.rows.iter().all(|row| row.state == State::NotAsked) {
            return String::new();
        }
        let head =
            format!("\n{:10}{:>10}{:>10}{:>10}  state\n", "sandbox", "programs", "calls", "frames");
        let rows =
            self.rows.iter().map(|Row { place, tried: [programs, calls, frames], state }| {
                let state = match state {
                    State::Ran => "ran".to_owned(),
                    State::Missing(why) => format!("DID NOT RUN: {why}"),
                    State::LeftOut => format!("did not run: {WITHOUT} names it"),
                    State::NotAsked => "not asked for".to_owned(),
                };
                format!("{place:10}{programs:>10}{calls:>10}{frames:>10}  {state}\n")
            });
        let (programs, workers) = self.suite;
        let all = format!("{programs} different programs, {workers} different hostile workers\n");
        head + &rows.collect::<String>() + &all
    }

    fn judge(&self) -> Result<(), Fail> {
        let missing = |row: &&Row| matches!(row.state, State::Missing(_));
        let missing: Vec<&str> = self.rows.iter().filter(missing).map(|row| row.place).collect();
        if !missing.is_empty() {
            let all = missing.join(",");
            return Err(Fail(format!(
                "the sandbox was not tried on {all}: mend what the table says, or go without: {WITHOUT}={all}"
            )));
        }
        let (programs, workers) = self.suite;
        let everything =
            self.asked == Asked::Everything && self.rows.iter().all(|row| row.state == State::Ran);
        if everything && programs + workers < SUITE_MIN {
            let all = programs + workers;
            return Err(Fail(format!("only {all} programs and hostile workers of {SUITE_MIN}")));
        }
        Ok(())
    }
}

/// Whether a part of Debian's is for nothing but what somebody goes without.
pub(crate) fn needless(package: &str, without: &[String]) -> bool {
    let users: &[&str] = match package {
        "docker.io" | "apparmor" => &["docker", "gvisor"],
        "runc" => &["docker", "gvisor", "podman"],
        "podman" => &["podman"],
        "runsc" => &["gvisor"],
        "qemu-system-x86" | "lz4" => &["microvm"],
        _ => return false,
    };
    users.iter().all(|user| without.iter().any(|name| name == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str, without: &[&str], asked: Asked) -> Table {
        let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
        Table::new(text, &without, asked)
    }

    fn everywhere(but: &[&str]) -> String {
        let places = PLACES.iter().filter(|place| !but.contains(place));
        let names: Vec<String> = (0..SUITE_MIN).map(|n| n.to_string()).collect();
        places
            .flat_map(|place| names.iter().map(move |n| format!("ran\t{place}\tprogram\t{n}\n")))
            .collect()
    }

    #[test]
    fn what_did_not_run_is_a_failure() {
        assert!(table(&everywhere(&[]), &[], Asked::Everything).judge().is_ok());
        let silent = table(&everywhere(&["gvisor"]), &[], Asked::Everything);
        assert!(silent.judge().is_err_and(|Fail(why)| why.contains("not tried on gvisor")));
        let told = everywhere(&[]) + "missing\tdocker\tno daemon\n";
        let told = table(&told, &[], Asked::Everything);
        assert!(told.text().contains("DID NOT RUN: no daemon"));
        assert!(told.judge().is_err_and(|Fail(why)| why.contains("not tried on docker")));
        let without = table(&everywhere(&["gvisor"]), &["gvisor"], Asked::Everything);
        assert!(without.text().contains("NARROWS_WITHOUT names it"));
        assert!(without.judge().is_ok());
    }

    #[test]
    fn a_filter_asks_for_less() {
        let part = table("ran\tprocess\tcall\topenat\n", &[], Asked::Part);
        assert!(part.judge().is_ok() && part.text().contains("not asked for"));
        assert_eq!(table("", &[], Asked::Part).text(), "");
        let broken = table("missing\tgvisor\tno runsc\n", &[], Asked::Part);
        assert!(broken.judge().is_err());
    }

    #[test]
    fn what_somebody_goes_without_is_neither_installed_nor_tried() {
        let ledger = |without: &[&str]| Ledger {
            path: PathBuf::new(),
            without: without.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(ledger(&["deno"]).filter(), None);
        let filter = "not (binary(containers) & test(/gvisor/))";
        assert_eq!(ledger(&["gvisor"]).filter().as_deref(), Some(filter));
        let [both, one] =
            [&["gvisor", "docker"][..], &["docker"]].map(|names| ledger(names).without);
        assert!(needless("docker.io", &both) && !needless("docker.io", &one));
        assert!(!needless("runc", &both) && !needless("git", &both));
    }

    #[test]
    fn what_is_tried_twice_counts_once() {
        let few = everywhere(&[]).replace("\t119\n", "\t0\n");
        let few = table(&few, &[], Asked::Everything);
        assert!(few.judge().is_err_and(|Fail(why)| why.contains("only 119")));
    }
}
