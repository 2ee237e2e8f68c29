//! Python by the system's own interpreter, for programs that need the standard library or
//! installed packages.
//!
//! This worker reads the program as Monty's does; a process beside it, which is as jailed, evaluates
//! it. That one is forked from a warm interpreter, see `zygote.py`.
//!
//! What differs from the embedded engine: `time`, `datetime`, `random` and `os.urandom` are the
//! run's own as long as they are asked by their Python names, native code sees the real ones; a
//! program has threads, as many as its limit allows, and no process; its own files are in memory and
//! go with it, see `settle` in `zygote.py`; what it imports beside the modules that are warm is read
//! from files, during the run.

mod interpreter;

#[cfg(test)]
mod tests;

pub(crate) use interpreter::{Settings, find};

use crate::py::{self, Probe, Reading};
use crate::relay::{Beside, Reader, Text};
use serde_json::json;

/// What reads programs is warm; the interpreter is found.
pub(crate) type Prepared = Beside<Python>;

/// Reads programs for an interpreter that lacks nothing.
pub(crate) struct Python;

/// Finds the interpreter.
///
/// # Errors
/// It is not there: why, one line.
pub(crate) fn prepare(settings: &Settings, sealed: bool, once: bool) -> Result<Prepared, String> {
    Ok(Beside::new(find(settings, sealed, once)?, Python))
}

impl Reader for Python {
    const SAMPLE: &'static str = py::SAMPLE;

    fn read<'p>(&'p self, code: &'p str) -> Text<'p> {
        let Reading { uses, rewritten, sites, plain, names } = py::read(code, &Probe::complete());
        let site = |site: &py::Site| json!({ "name": site.name, "wait": site.wait });
        let sites: Vec<_> = sites.iter().map(site).collect();
        // The names are those that it binds at its outermost level.
        let more = json!({ "names": names, "sites": sites, "plain": plain });
        let script = rewritten.text.clone();
        let own = move |error: &mut narrows_types::ProgramError| {
            error.at =
                error.at.iter().filter_map(|at| rewritten.back(at.line, at.column)).collect();
        };
        Text { uses, script, more, own: Box::new(own) }
    }
}
