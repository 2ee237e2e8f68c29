//! Whole runs of Python.

mod gaps;
mod hostile;
mod idioms;
mod own;
pub(crate) mod runs;
mod scratch;
mod state;
mod time;
mod uses;

use super::prepare;
use super::probe::Probe;
use super::uses::Reading;
use crate::scripted::{Evaluator, Script, Seen, failed, kept, ok};
use narrows_types::Language;
use serde_json::json;

/// Reads a program with nothing known before.
fn read(code: &str) -> Reading {
    super::uses::read(code, &Probe::default())
}

fn evaluator() -> Evaluator {
    let mut prepared = prepare().unwrap();
    Box::new(move |link, program| prepared.run(link, program))
}

pub(crate) fn script<'h>(code: &str) -> Script<'h> {
    Script::new(Language::Python, code, evaluator)
}

fn run(code: &str) -> Seen {
    script(code).run()
}

#[test]
fn a_program_gives_its_value() {
    assert_eq!(run("1 + 1").value(), json!(2));
}
