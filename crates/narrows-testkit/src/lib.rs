//! narrows-testkit
