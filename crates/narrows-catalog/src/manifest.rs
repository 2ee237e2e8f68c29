//! What an agent sees at once in code mode: two tools and a few lines. Its price does not depend on
//! what stands behind it.

use serde_json::Value;
use std::sync::LazyLock;

static TOOLS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [include_str!("manifest/search.json"), include_str!("manifest/run.json")]
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
});

/// The definitions of `search` and `run`.
pub fn tools() -> &'static [Value] {
    &TOOLS
}

/// What the agent is told of them.
pub fn instructions() -> &'static str {
    include_str!("manifest/instructions.md").trim_end()
}

#[cfg(test)]
mod tests {
    use super::{instructions, tools};
    use serde_json::json;

    const TOKENS_MAX: usize = 350;

    #[test]
    fn the_manifest_stays_within_its_tokens() {
        assert_eq!(tools().len(), 2);
        let text = format!("{}{}", json!({"tools": tools()}), instructions());
        let tokens = crate::tokens::count(&text);
        assert!(tokens <= TOKENS_MAX, "{tokens} tokens");
        insta::assert_snapshot!(tokens.to_string(), @"295");
    }
}
