//! Python by the system's own interpreter, for programs that need the standard library or
//! installed packages.
//!
//! This worker reads the program as Monty's does; a process beside it, which is as jailed, evaluates
//! it. That one is forked from a warm interpreter, see `zygote.py`.
//!
//! What differs from the embedded engine: `time`, `datetime`, `random` and `os.urandom` are the
//! run's own as long as they are asked by their Python names, native code sees the real ones; a
//! program has one thread and no process; what it imports beside the modules that are warm is read
//! from files, during the run.

mod interpreter;

#[cfg(test)]
mod tests;

pub(crate) use interpreter::{Settings, find};

use crate::jail::outside::Start;
use crate::link::{Link, LinkError};
use crate::py::{self, Probe, Reading, Rewritten};
use crate::relay::{Evaluator, Relayed, relay};
use crate::time::Began;
use narrows_types::frame::{BadFrame, Done, End, FromWorker, Go, Program, ToWorker};
use narrows_types::{Limits, Usage};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{Read, Write};
use std::os::fd::AsFd;

/// What the interpreter is told of a program that may run.
#[derive(Serialize)]
struct Begin<'p> {
    text: &'p str,
    /// The names that it binds at its outermost level.
    names: &'p [String],
    sites: Vec<Site<'p>>,
    plain: bool,
    namespaces: &'p [String],
    input: Option<&'p RawValue>,
    limits: &'p Limits,
    now_ms: u64,
    seed: u64,
}

#[derive(Serialize)]
struct Site<'p> {
    name: &'p str,
    wait: bool,
}

/// What reads programs is warm; the interpreter is found.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) start: Start,
    /// `None` in a rehearsal, where nothing is evaluated.
    pub(crate) evaluator: Option<Evaluator>,
}

/// Finds the interpreter.
///
/// # Errors
/// It is not there: why, one line.
pub(crate) fn prepare(settings: &Settings, sealed: bool, once: bool) -> Result<Prepared, String> {
    Ok(Prepared { start: find(settings, sealed, once)?, evaluator: None })
}

impl Prepared {
    /// Runs one program: sends `Uses`, waits for `Go`, has it evaluated.
    ///
    /// # Errors
    /// The link broke, or somebody did not keep to the protocol.
    pub(crate) fn run<S: Read + Write + AsFd>(
        self,
        link: &mut Link<S>,
        program: &Program,
    ) -> Result<Relayed, LinkError> {
        let began = Began::now();
        let reading = py::read(&program.code, &Probe::complete());
        let good = reading.uses.findings.is_empty();
        let Reading { uses, rewritten, sites, plain, names } = reading;
        link.send(&FromWorker::Uses(Box::new(uses)))?;
        let ToWorker::Go(Go { namespaces }) = link.receive()? else {
            return Err(BadFrame("the host sent anything but go".to_owned()).into());
        };
        // With findings the host has nothing to say but the end of the link.
        if !good {
            return Err(BadFrame("the host sent go for a program with findings".to_owned()).into());
        }
        let Some(mut evaluator) = self.evaluator else {
            let done = Done { end: End::Deadlock, usage: Usage::default() };
            link.send(&FromWorker::Done(Box::new(done)))?;
            return Ok(Relayed::Done);
        };
        let sites = sites.iter().map(|site| Site { name: &site.name, wait: site.wait }).collect();
        evaluator.begin(&Begin {
            text: &rewritten.text,
            names: &names,
            sites,
            plain,
            namespaces: &namespaces,
            input: program.input.as_deref(),
            limits: &program.limits,
            now_ms: program.now_ms,
            seed: program.seed,
        })?;
        relay(link, &mut evaluator, (&program.limits, began), |done| own(done, &rewritten))
    }
}

/// Places in the text that was evaluated become the program's own.
fn own(done: &mut Done, rewritten: &Rewritten) {
    if let End::Threw(error) = &mut done.end {
        error.at = error.at.iter().filter_map(|at| rewritten.back(at.line, at.column)).collect();
    }
}
