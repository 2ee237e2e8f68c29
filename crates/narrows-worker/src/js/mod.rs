//! TypeScript and JavaScript: oxc strips and reads, `QuickJS` runs, in the jail.

mod absent;
mod functions;
pub(crate) mod host;
mod imports;
mod literal;
mod mended;
mod names;
mod native;
mod nesting;
mod output;
mod place;
mod promises;
pub(crate) mod realm;
pub(crate) mod runtime;
pub(crate) mod session;
pub(crate) mod strip;
pub(crate) mod thrown;
mod timers;
mod unheard;
pub(crate) mod uses;

#[cfg(test)]
mod tests;

pub(crate) use runtime::{PRELUDE, Prepared, prepare};
pub(crate) use uses::{Given, Reading, read_with};

/// What most programs do: a call, what came of it taken apart, a value.
pub(crate) const SAMPLE: &str = include_str!("sample.ts");
