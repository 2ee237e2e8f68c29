//! narrows-worker
