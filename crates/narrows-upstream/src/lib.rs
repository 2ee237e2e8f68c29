//! narrows-upstream
