//! `narrows tokens`: the bill, counted.

use super::exit::{Fail, OK};
use super::output::Tone;
use super::{Desk, mismatch};
use narrows_catalog::{manifest, tokens};
use narrows_types::{Answer, ServerListing, ToolSpec, What};
use serde::Serialize;
use serde_json::{Value, json};

/// What the definitions of one server cost an agent that loads them.
#[derive(Debug, Serialize)]
struct Line {
    server: String,
    tools: usize,
    tokens: usize,
}

/// The bill.
#[derive(Debug, Serialize)]
pub(super) struct Bill {
    /// The vocabulary that was counted with.
    encoding: &'static str,
    servers: Vec<Line>,
    tools: usize,
    /// All definitions, as an agent that is connected to every server loads them.
    pub(super) direct: usize,
    /// What an agent behind Narrows loads: two tools and the instructions.
    narrows: usize,
}

impl Desk {
    pub(super) async fn tokens(&self) -> Result<u8, Fail> {
        let Answer::Tools(listings) = self.ask(What::Tools { server: None }).await? else {
            return Err(mismatch());
        };
        let bill = bill(&listings);
        self.out.either(&bill, || self.bill_text(&bill))?;
        Ok(OK)
    }

    fn bill_text(&self, bill: &Bill) -> String {
        let rows = bill.servers.iter().map(|line| {
            vec![
                (line.server.clone(), Some(Tone::Strong)),
                (line.tools.to_string(), None),
                (line.tokens.to_string(), None),
            ]
        });
        let mut text = self.out.table(&["SERVER", "TOOLS", "TOKENS"], rows.collect());
        text.push_str(&summary(bill));
        text
    }
}

fn summary(bill: &Bill) -> String {
    let saved = if bill.direct > bill.narrows {
        #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
        let share = bill.narrows as f64 / bill.direct as f64;
        format!(", {:.1} % less", (1.0 - share) * 100.0)
    } else {
        String::new()
    };
    format!(
        "\ndirect: {} tokens for {} tools, before the first word is said\nnarrows: {} tokens for two{saved}\n({})\n",
        bill.direct, bill.tools, bill.narrows, bill.encoding
    )
}

/// Counts.
pub(super) fn bill(listings: &[ServerListing]) -> Bill {
    let mut servers: Vec<Line> = listings
        .iter()
        .map(|listing| {
            let tools: Vec<Value> = listing.tools.iter().map(|tool| definition(tool)).collect();
            let tokens = tokens::count(&json!({ "tools": tools }).to_string());
            Line { server: listing.server.clone(), tools: listing.tools.len(), tokens }
        })
        .collect();
    servers.sort_by_key(|line| std::cmp::Reverse(line.tokens));
    Bill {
        encoding: "o200k_base over compact JSON",
        tools: servers.iter().map(|line| line.tools).sum(),
        direct: servers.iter().map(|line| line.tokens).sum(),
        servers,
        narrows: narrows(),
    }
}

/// What an agent behind Narrows loads.
pub(super) fn narrows() -> usize {
    let tools = json!({ "tools": manifest::tools() }).to_string();
    tokens::count(&tools) + tokens::count(manifest::instructions())
}

/// A tool as it stands on the wire: nothing that its server did not say.
pub(super) fn definition(tool: &ToolSpec) -> Value {
    let mut value = json!(tool);
    let Some(map) = value.as_object_mut() else { return value };
    if let Some(Value::Object(hints)) = map.get_mut("annotations") {
        hints.retain(|_, hint| !hint.is_null());
        if hints.is_empty() {
            map.remove("annotations");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::{bill, definition, summary};
    use narrows_types::{ServerListing, ToolSpec};
    use serde_json::json;
    use std::sync::Arc;

    fn tool(name: &str) -> ToolSpec {
        serde_json::from_value(json!({
            "name": name, "description": "Does it.", "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": true}
        }))
        .unwrap()
    }

    #[test]
    fn only_what_the_server_said_is_counted() {
        let said = definition(&tool("x"));
        assert_eq!(said["annotations"], json!({"readOnlyHint": true}));
        let silent = ToolSpec { annotations: narrows_types::Annotations::default(), ..tool("x") };
        assert_eq!(
            definition(&silent).to_string(),
            r#"{"name":"x","description":"Does it.","inputSchema":{"type":"object"}}"#
        );
    }

    #[test]
    fn the_bill_grows_with_the_tools_and_ours_does_not() {
        let listing = |server: &str, tools: usize| ServerListing {
            server: server.to_owned(),
            instructions: None,
            tools: (0..tools).map(|n| Arc::new(tool(&format!("tool_{n}")))).collect(),
            ..ServerListing::default()
        };
        let small = bill(&[listing("a", 1)]);
        let large = bill(&[listing("a", 1), listing("b", 400)]);
        assert_eq!(small.narrows, large.narrows);
        assert!(large.direct > 100 * small.direct, "{} {}", large.direct, small.direct);
        assert_eq!(large.servers[0].server, "b");
        assert!(summary(&large).contains("% less"));
        assert!(!summary(&small).contains("% less"));
    }
}
