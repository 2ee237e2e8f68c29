//! Everything known of every tool: names, typings, the check, search, shaping. Pure.
//!
//! A [`Catalog`] is an immutable snapshot. Nothing here does IO or waits; all text that comes from
//! upstreams is untrusted and is neutralised where it is rendered.

mod check;
#[cfg(test)]
mod corpus;
mod exposure;
pub mod hybrid;
pub mod manifest;
mod naming;
mod observe;
pub mod raw;
mod roster;
pub mod search;
pub mod shape;
mod snapshot;
pub mod tokens;
mod typing;

pub use check::{Checked, fits_schema};
pub use exposure::{Exposure, Named, Prefix, ServerExposure, ToolExposure};
pub use observe::{Observations, Shape};
pub use roster::{Roster, definition};
pub use snapshot::{Catalog, Server, Tool, ToolRef};
