//! Asks Monty itself what it has, instead of keeping lists that go stale.

use monty::{MontyRun, RunProgress};
use monty_types::{CompileOptions, PrintWriter, ResourceLimits, ResourceTracker};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// The most different questions that one program may raise; more are taken for answered yes, and
/// the run tells.
const QUESTIONS_MAX: usize = 1_000;

/// What most programs ask for: each answer that is there before the fork is one that no run pays.
const BUILTINS: &str = "abs all any bool bytes chr dict divmod enumerate filter float frozenset \
                        getattr hasattr hash hex id int isinstance iter len list map max min next \
                        object oct ord pow print range repr reversed round set setattr slice \
                        sorted str sum tuple type zip Exception BaseException ValueError TypeError \
                        KeyError IndexError AttributeError RuntimeError NameError \
                        ZeroDivisionError StopIteration TimeoutError ArithmeticError \
                        NotImplementedError AssertionError LookupError OSError __name__";

/// Modules with the members that are asked for.
const MEMBERS: [(&str, &str); 11] = [
    ("asyncio", "gather run"),
    ("base64", "b64decode b64encode urlsafe_b64decode urlsafe_b64encode"),
    ("collections", "Counter defaultdict deque namedtuple OrderedDict"),
    ("dataclasses", "dataclass field asdict"),
    ("datetime", "date datetime time timedelta timezone UTC"),
    ("functools", "partial reduce lru_cache"),
    ("itertools", "chain groupby islice product combinations count zip_longest"),
    ("json", "dumps loads JSONDecodeError"),
    ("math", "ceil floor sqrt inf isnan log pi pow"),
    (
        "re",
        "compile findall finditer fullmatch match search split sub IGNORECASE MULTILINE DOTALL I M S",
    ),
    ("typing", "Any Callable Dict Iterable List Literal Optional Set Tuple TypedDict Union"),
];

/// The longest that an answer may take. No question takes a millisecond; but on a busy machine it may
/// stand still for long, and a zygote would remember the wrong answer for all its workers.
const LONGEST: Duration = Duration::from_secs(10);

/// The builtins of `CPython` 3.9 to 3.14, and the names that every module has.
const BUILTINS_OF_CPYTHON: &str = include_str!("builtins.txt");

/// Remembers the answers.
#[derive(Debug)]
pub(crate) struct Probe {
    answers: RefCell<HashMap<String, bool>>,
    /// As many answers as there may be.
    answers_max: usize,
    /// All of Python is there: Monty is not asked.
    complete: bool,
}

impl Default for Probe {
    fn default() -> Self {
        Self { answers: RefCell::default(), answers_max: QUESTIONS_MAX, complete: false }
    }
}

impl Probe {
    /// For programs that another interpreter evaluates, one that has all of Python.
    pub(crate) fn complete() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Whether nothing of Python's is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// A probe that knows already what most programs ask for.
    pub(super) fn warm() -> Self {
        let mut probe = Self::default();
        for name in BUILTINS.split_whitespace() {
            probe.builtin(name);
        }
        for (module, members) in MEMBERS {
            probe.module(module);
            for member in members.split_whitespace() {
                probe.member(module, member);
            }
        }
        probe.answers_max += probe.answers.borrow().len();
        probe
    }

    /// This name is a builtin of Monty's.
    pub(super) fn builtin(&self, name: &str) -> bool {
        if self.complete {
            return BUILTINS_OF_CPYTHON.split_whitespace().any(|builtin| builtin == name);
        }
        self.works(name)
    }

    /// This module can be imported.
    pub(super) fn module(&self, name: &str) -> bool {
        self.works(&format!("import {name}"))
    }

    /// This module has this member.
    pub(super) fn member(&self, module: &str, name: &str) -> bool {
        self.works(&format!("from {module} import {name}"))
    }

    /// Text has this method.
    pub(super) fn method_of_text(&self, name: &str) -> bool {
        // Called with nothing, a method that exists may complain of that, but not of its name.
        self.works(&format!("try:\n    ''.{name}()\nexcept TypeError:\n    pass"))
    }

    /// Only ever asked with names, never with a program's text.
    fn works(&self, question: &str) -> bool {
        let mut answers = self.answers.borrow_mut();
        if let Some(answer) = answers.get(question) {
            return *answer;
        }
        if answers.len() >= self.answers_max {
            return true;
        }
        let answer = ask(question);
        answers.insert(question.to_owned(), answer);
        answer
    }
}

fn ask(code: &str) -> bool {
    let limits = ResourceLimits::default().max_duration(LONGEST);
    MontyRun::new(code.to_owned(), "probe.py", Vec::new(), CompileOptions::default())
        .and_then(|run| run.start(Vec::new(), ResourceTracker::new(limits), PrintWriter::Disabled))
        .is_ok_and(|progress| !matches!(progress, RunProgress::NameLookup(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_before_is_not_asked_again() {
        let probe = Probe::warm();
        let known = probe.answers.borrow().len();
        assert!(probe.builtin("len") && probe.module("json") && probe.member("re", "sub"));
        assert_eq!(probe.answers.borrow().len(), known);
        assert!(!probe.builtin("eval") && probe.answers.borrow().len() > known);
    }
}
