//! Token counts. The vocabulary takes tens of megabytes: only for commands and tests that count.

/// Tokens of a text in `o200k_base`.
pub fn count(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}
