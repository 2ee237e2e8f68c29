//! narrows-worker

mod link;
mod py;

/// The global allocator of every process that runs Python: without it memory cannot be limited.
pub use monty_alloc::LimitedAllocator as Allocator;
