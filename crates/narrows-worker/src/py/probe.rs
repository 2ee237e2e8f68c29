//! Asks Monty itself what it has, instead of keeping lists that go stale.

use monty::{MontyRun, RunProgress};
use monty_types::{CompileOptions, PrintWriter, ResourceLimits, ResourceTracker};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// The most different questions that one program may raise; more are taken for answered yes, and
/// the run tells.
const QUESTIONS_MAX: usize = 1_000;

/// Remembers the answers of one program's check.
#[derive(Debug, Default)]
pub(super) struct Probe {
    answers: RefCell<HashMap<String, bool>>,
}

impl Probe {
    /// This name is a builtin of Monty's.
    pub(super) fn builtin(&self, name: &str) -> bool {
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
        if answers.len() >= QUESTIONS_MAX {
            return true;
        }
        let answer = ask(question);
        answers.insert(question.to_owned(), answer);
        answer
    }
}

fn ask(code: &str) -> bool {
    let limits = ResourceLimits::default().max_duration(Duration::from_millis(50));
    MontyRun::new(code.to_owned(), "probe.py", Vec::new(), CompileOptions::default())
        .and_then(|run| run.start(Vec::new(), ResourceTracker::new(limits), PrintWriter::Disabled))
        .is_ok_and(|progress| !matches!(progress, RunProgress::NameLookup(_)))
}
