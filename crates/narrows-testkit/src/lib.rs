//! What the tests' own programs share.

/// In the room of the worker, which also makes a static worker of it.
#[path = "../../narrows-worker/examples/broken-in/broken_in/mod.rs"]
pub mod broken_in;
