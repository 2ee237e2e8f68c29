//! narrows-downstream
