//! Whole runs of TypeScript and JavaScript.

mod hostile;
mod left;
mod locale;
mod models;
mod own;
mod runs;
mod scratch;
mod state;
mod time;
mod web;

use super::prepare;
use crate::scripted::{Evaluator, Script, Seen, failed, kept, ok};
use narrows_types::Language;
use serde_json::json;
use std::mem::ManuallyDrop;

fn evaluator() -> Evaluator {
    let mut prepared = ManuallyDrop::new(prepare().unwrap());
    Box::new(move |link, program| prepared.run(link, program))
}

fn script<'h>(code: &str) -> Script<'h> {
    Script::new(Language::TypeScript, code, evaluator)
}

fn run(code: &str) -> Seen {
    script(code).run()
}

#[test]
fn a_program_gives_its_value() {
    assert_eq!(run("1 + 1").value(), json!(2));
}
