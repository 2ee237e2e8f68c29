//! TypeScript and JavaScript: oxc strips and reads, `QuickJS` runs, in the jail.

mod absent;
mod host;
mod literal;
mod mended;
mod names;
mod nesting;
mod output;
mod place;
mod promises;
mod runtime;
mod session;
mod strip;
mod thrown;
mod timers;
mod unheard;
mod uses;

#[cfg(test)]
mod tests;

pub(crate) use runtime::{Prepared, prepare};

/// What most programs do: a call, what came of it taken apart, a value.
pub(crate) const SAMPLE: &str = include_str!("sample.ts");
