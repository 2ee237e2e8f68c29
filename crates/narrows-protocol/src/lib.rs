//! narrows-protocol
