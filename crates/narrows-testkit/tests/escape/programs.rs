//! placeholder until next write
