//! What a run did from its beginning to its end, and whether two did the same.

use narrows_types::{RunEnd, RunId, RunReport};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A run's journal.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) raw: Vec<Vec<u8>>,
    entries: Vec<Value>,
}

/// What the first entries of a journal say.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Log lines.
    logs: usize,
    /// Every call but timers, as the upstream counts it, by its number.
    calls: BTreeMap<u64, String>,
    /// Numbers of calls that were answered, wholly written down.
    answered: BTreeSet<u64>,
    /// What the upstream gave in those answers.
    tokens: BTreeSet<u64>,
    /// Questions about calls of unknown outcome that somebody answered, and nothing came of it yet.
    decided: BTreeSet<String>,
}

/// A run from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) run: RunId,
    pub(crate) journal: Journal,
    end: String,
    logs: Vec<String>,
    /// Calls of unknown outcome that it asked about.
    unknown: Vec<String>,
    /// What the upstream was asked.
    made: Vec<String>,
}

impl Journal {
    pub(crate) fn new(raw: Vec<Vec<u8>>) -> Self {
        let entries = raw.iter().map(|entry| serde_json::from_slice(entry).unwrap()).collect();
        Self { raw, entries }
    }

    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// All of it but the program, to be read.
    fn told(&self) -> Vec<String> {
        self.entries.iter().skip(1).map(Value::to_string).collect()
    }

    /// What its first entries say.
    fn known(&self, entries: usize) -> Known {
        let mut known = Known::default();
        for entry in &self.entries[..entries] {
            let (kind, what) = entry.as_object().unwrap().iter().next().unwrap();
            let number = what["number"].as_u64().unwrap_or(0);
            let question = format!("q{number}");
            match kind.as_str() {
                "log" => known.logs += 1,
                "asked" if what["server"] == "host" => {
                    let call = format!("{} {}", what["tool"].as_str().unwrap(), what["args"]["k"]);
                    let twice = known.calls.insert(number, call);
                    assert_eq!(twice, None, "{number} was asked twice");
                }
                "answered" => {
                    known.decided.remove(&question);
                    if what["gone"] == true {
                        continue;
                    }
                    assert!(known.answered.insert(number), "{number} was answered twice");
                    known.tokens.extend(what["body"]["t"].as_u64());
                }
                "retried" => {
                    known.decided.remove(&question);
                }
                "response" => {
                    known.decided.insert(what["id"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
        known
    }
}

impl Known {
    /// Calls that are to be made, as the upstream counts them, of all that `whole` knows. What has a
    /// secret is made in every execution.
    fn open(&self, whole: &Self) -> Vec<String> {
        let open = whole.calls.iter().filter(|(number, call)| {
            !call.starts_with("vault ") && !self.answered.contains(number)
        });
        sorted(open.map(|(_, call)| call.clone()))
    }

    /// Questions that somebody must be asked: of calls that may have been made.
    fn unknown(&self) -> Vec<String> {
        let open = self
            .calls
            .iter()
            .filter(|(number, call)| call.starts_with("once ") && !self.answered.contains(number));
        let ids = open.map(|(number, _)| format!("q{number}"));
        sorted(ids.filter(|id| !self.decided.contains(id)))
    }
}

fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items
}

/// A log line without what only the journal can make the same again.
fn masked(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        "time" | "won" | "file" => format!("{} {}", words[0], words[1]),
        "got" => words[..3].join(" "),
        _ => line.to_owned(),
    }
}

/// What the upstream gave for a line, if it gave something.
fn token(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split(' ').collect();
    let given = matches!(words[0], "got" | "won");
    given.then(|| words.last().unwrap().parse().unwrap()).filter(|token| *token > 0)
}

impl Course {
    pub(crate) fn new(
        report: RunReport,
        journal: Journal,
        unknown: Vec<String>,
        made: Vec<String>,
    ) -> Self {
        let end = match &report.end {
            RunEnd::Returned(value) => format!("returned {}", value.value.as_ref().unwrap()),
            RunEnd::Threw(error) => format!("threw {}: {}", error.name, error.message),
            other => panic!("{other:?} after {:#?}", journal.told()),
        };
        assert_eq!(report.logs_dropped, 0);
        let logs = report.logs.into_iter().map(|line| line.text).collect();
        Self { run: report.run, journal, end, logs, unknown, made: sorted(made.into_iter()) }
    }

    /// Checks a run that was never interrupted: the upstream heard every call once.
    pub(crate) fn check(&self, races: bool) {
        let whole = self.journal.known(self.journal.len());
        assert_eq!(self.unknown, Vec::<String>::new());
        self.check_made(&Known::default(), &whole, races);
    }

    fn check_made(&self, known: &Known, whole: &Known, races: bool) {
        let mut open = known.open(whole);
        let made = self.made.iter().filter(|call| !call.starts_with("vault "));
        if races {
            // Who lost a race may not have been asked before the end.
            for call in made {
                let at = open.iter().position(|other| other == call);
                open.remove(at.unwrap_or_else(|| panic!("{call} was made once more")));
            }
        } else {
            assert_eq!(made.cloned().collect::<Vec<_>>(), open);
        }
    }

    /// Checks that `later`, which went on from the first `entries` of this run's journal, did the
    /// same.
    pub(crate) fn check_same(&self, later: &Self, entries: usize, races: bool) {
        let known = self.journal.known(entries);
        let whole = later.journal.known(later.journal.len());
        assert_eq!(later.end, self.end);
        assert_eq!(later.journal.raw[..entries], self.journal.raw[..entries]);
        assert_eq!(later.unknown, known.unknown());
        // What is written down is the same to the letter, also its times.
        assert_eq!(later.logs[..known.logs], self.logs[..known.logs]);
        let mask = |logs: &[String]| sorted(logs.iter().map(|line| masked(line)));
        assert_eq!(mask(&later.logs), mask(&self.logs));
        let told = |line: &&String| token(line).is_some_and(|token| known.tokens.contains(&token));
        let before = |logs: &[String]| sorted(logs.iter().filter(told).cloned());
        assert_eq!(before(&later.logs), before(&self.logs));
        // What is not is asked for anew.
        let old: BTreeSet<u64> = self.logs.iter().filter_map(|line| token(line)).collect();
        let tokens = later.logs.iter().filter_map(|line| token(line));
        let stale = tokens.filter(|token| old.contains(token) && !known.tokens.contains(token));
        assert_eq!(stale.collect::<Vec<_>>(), Vec::<u64>::new());
        assert_eq!(
            sorted(whole.calls.values().cloned()),
            sorted(self.journal.known(self.journal.len()).calls.values().cloned())
        );
        later.check_made(&known, &whole, races);
    }
}
