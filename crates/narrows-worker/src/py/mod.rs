//! Python: Monty in the jail.

mod calls;
mod clock;
mod ending;
mod flow;
mod gaps;
mod guard;
mod idioms;
mod literal;
mod names;
mod output;
mod own;
mod path;
mod probe;
mod reader;
mod runtime;
mod scope;
mod scratch;
mod source;
mod uses;
mod value;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use probe::Probe;
pub(crate) use runtime::{Prepared, prepare};
pub(crate) use source::Site;
pub(crate) use uses::{Reading, read};

/// What most programs do: a call, what came of it taken apart, a value.
pub(crate) const SAMPLE: &str = include_str!("sample.py");
