//! narrows-sandbox
