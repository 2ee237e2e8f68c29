//! Python: Monty in the jail.

mod calls;
mod clock;
mod flow;
mod gaps;
mod guard;
mod literal;
mod names;
mod output;
mod probe;
mod runtime;
mod scope;
mod source;
mod uses;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use runtime::{Prepared, prepare};
