//! What the escape tests tried where: the table at the end of a test run, and whether something that
//! can be tried here was not. A test that passes says nothing; one that could not run would too.

use crate::shell::{Fail, Run, say};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// What can be tried on a Debian by root: the back ends, processes of an ordinary user, the control
/// group around all workers, Docker under other names, and the engines that are not built in.
/// With how much of each of [`KINDS`] a whole run tries there at least: about what there was when
/// this was written, so that no test is lost without a word.
const PLACES: [(&str, [usize; 3]); 11] = [
    ("process", [95, 75, 75]),
    ("nobody", [115, 55, 35]),
    ("cgroup", [1, 0, 0]),
    ("wasm", [55, 55, 35]),
    ("basic", [95, 0, 33]),
    ("docker", [95, 55, 24]),
    ("podman", [13, 10, 16]),
    ("gvisor", [18, 10, 10]),
    ("microvm", [13, 10, 19]),
    ("cpython", [95, 0, 0]),
    ("deno", [88, 0, 0]),
];
/// What is tried, as the tests write it: programs, system calls, frames of hostile workers.
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
const SUITE_MIN: usize = 400;
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

    /// Leaves out the tests that need what somebody goes without, whatever else narrows a run.
    pub(crate) fn narrow(&self, run: &mut Run, nextest: bool) -> Result<(), Fail> {
        let Some(filter) = self.filter() else { return Ok(()) };
        if !nextest {
            let install = "cargo install --locked cargo-nextest";
            return Err(Fail(format!("{WITHOUT} takes the runner cargo-nextest: {install}")));
        }
        let config = self.config();
        fs::write(&config, format!("[profile.ci]\ndefault-filter = \"\"\"{filter}\"\"\"\n"))?;
        run.args(&["--tool-config-file".to_owned(), format!("narrows:{}", config.display())]);
        Ok(())
    }

    /// What the runner reads.
    fn config(&self) -> PathBuf {
        self.path.with_extension("toml")
    }

    /// The filter that leaves them out.
    fn filter(&self) -> Option<String> {
        let named = |(place, _): &&(&str, &str)| self.without.iter().any(|name| name == place);
        let tests: Vec<&str> = OTHERS.iter().filter(named).map(|(_, tests)| *tests).collect();
        (!tests.is_empty()).then(|| format!("not ({})", tests.join(" | ")))
    }

    /// Prints the table. Fails if something did not run that nobody goes without.
    pub(crate) fn close(self, asked: Asked) -> Result<(), Fail> {
        let text = fs::read_to_string(&self.path)?;
        fs::remove_file(&self.path)?;
        // There only if something was left out.
        fs::remove_file(self.config()).unwrap_or_default();
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
    let places = PLACES.map(|(place, _)| place);
    match named.iter().find(|name| !places.contains(&name.as_str())) {
        None => Ok(named),
        Some(name) => Err(Fail(format!("{WITHOUT}: no `{name}`, only {}", places.join(", ")))),
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
        let rows = PLACES.map(|(place, least)| {
            let tried = KINDS.map(|kind| ran(Some(place), kind).len());
            let state = if without.iter().any(|name| name == place) {
                State::LeftOut
            } else if let Some(why) = reason(place) {
                State::Missing(why)
            } else if asked == Asked::Everything && tried.iter().zip(least).any(|(n, m)| *n < m) {
                State::Missing(format!("less was tried than {least:?}"))
            } else if tried == [0; KINDS.len()] {
                State::NotAsked
            } else {
                State::Ran
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
        let head = format!(
            "\n{:10}{:>10}{:>10}{:>10}  state\n",
            "sandbox", "programs", "syscalls", "frames"
        );
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

    /// As many different things of each kind at each place, but for these places.
    fn everywhere(but: &[&str], count: usize) -> String {
        let places = PLACES.iter().map(|(place, _)| *place).filter(|place| !but.contains(place));
        let kinds = places.flat_map(|place| KINDS.map(|kind| format!("ran\t{place}\t{kind}")));
        kinds.flat_map(|what| (0..count).map(move |n| format!("{what}\t{n}\n"))).collect()
    }

    #[test]
    fn what_did_not_run_is_a_failure() {
        assert!(table(&everywhere(&[], SUITE_MIN), &[], Asked::Everything).judge().is_ok());
        let silent = table(&everywhere(&["gvisor"], SUITE_MIN), &[], Asked::Everything);
        assert!(silent.judge().is_err_and(|Fail(why)| why.contains("not tried on gvisor")));
        let told = everywhere(&[], SUITE_MIN) + "missing\tdocker\tno daemon\n";
        let told = table(&told, &[], Asked::Everything);
        assert!(told.text().contains("DID NOT RUN: no daemon"));
        assert!(told.judge().is_err_and(|Fail(why)| why.contains("not tried on docker")));
        let without = table(&everywhere(&["gvisor"], SUITE_MIN), &["gvisor"], Asked::Everything);
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
        // 122 programs, 122 system calls and 122 kinds of frames, wherever they are tried.
        let few = table(&everywhere(&[], 122), &[], Asked::Everything);
        assert!(few.judge().is_err_and(|Fail(why)| why.contains("only 366")));
    }

    #[test]
    fn a_place_where_less_is_tried_than_once_is_a_failure() {
        let fewer = everywhere(&["wasm"], SUITE_MIN) + "ran\twasm\tprogram\t1\n";
        let fewer = table(&fewer, &[], Asked::Everything);
        assert!(fewer.text().contains("DID NOT RUN: less was tried than [55, 55, 35]"));
        assert!(fewer.judge().is_err_and(|Fail(why)| why.contains("not tried on wasm")));
    }
}
