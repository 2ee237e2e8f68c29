//! narrows-catalog
