//! narrows-store
