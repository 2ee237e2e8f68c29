//! What an agent sees at once in code mode: two tools and a few lines. Its price does not depend on
//! what stands behind it. In hybrid mode some tools of upstreams follow.

use serde_json::Value;
use std::sync::LazyLock;

static TOOLS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [include_str!("manifest/search.json"), include_str!("manifest/run.json")]
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
});

static TEMPLATES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    [include_str!("manifest/artifact.json")]
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
});

/// The resource templates of our own: kept results.
pub fn templates() -> &'static [Value] {
    &TEMPLATES
}

/// The definitions of `search` and `run`.
pub fn tools() -> &'static [Value] {
    &TOOLS
}

/// What the agent is told of them.
pub fn instructions() -> &'static str {
    include_str!("manifest/instructions.md").trim_end()
}

/// What it is told where tools of upstreams are listed too.
pub fn hybrid_instructions() -> &'static str {
    include_str!("manifest/hybrid.md").trim_end()
}

#[cfg(test)]
mod tests {
    use super::{hybrid_instructions, instructions, templates, tools};
    use serde_json::json;

    const TOKENS_MAX: usize = 350;

    #[test]
    fn the_manifest_stays_within_its_tokens() {
        assert_eq!((tools().len(), templates().len()), (2, 1));
        let text = format!("{}{}", json!({"tools": tools()}), instructions());
        let tokens = crate::tokens::count(&text);
        assert!(tokens <= TOKENS_MAX, "{tokens} tokens");
        insta::assert_snapshot!(tokens.to_string(), @"350");
    }
    #[test]
    fn hybrid_costs_a_rule_more() {
        let more =
            crate::tokens::count(hybrid_instructions()) - crate::tokens::count(instructions());
        insta::assert_snapshot!(more.to_string(), @"38");
    }
}
