//! Which tools are worth their place in front of an agent that also has `search` and `run`.

use crate::exposure::Exposure;
use crate::roster::{Roster, definition};
use crate::snapshot::{Catalog, ToolRef};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

/// How often each tool was called: upstream and tool, by their configured and wire names.
pub type Usage = BTreeMap<(String, String), u64>;

/// Bytes of JSON that make about one token; counting exactly takes a vocabulary of tens of
/// megabytes.
const BYTES_A_TOKEN: usize = 4;

/// The definitions that are listed, in the order of the catalog: pinned tools, tools with a user
/// interface of their own (MCP Apps), and of the rest those used most, while they fit the budget.
pub fn picked(
    catalog: &Catalog,
    roster: &Roster,
    exposure: &Exposure,
    usage: &Usage,
    tokens: usize,
) -> Vec<Box<RawValue>> {
    let room = tokens.saturating_mul(BYTES_A_TOKEN);
    let always = |tool: ToolRef<'_>| {
        let said = exposure.tool(&tool.server.name, &tool.tool.spec.name);
        tool.tool.ui.is_some() || said.is_some_and(|said| said.pin)
    };
    let mut left = room;
    let mut chosen: HashSet<usize> = HashSet::new();
    let mut used: Vec<(u64, usize)> = Vec::new();
    let mut definitions: BTreeMap<usize, Box<RawValue>> = BTreeMap::new();
    for (at, (name, tool)) in roster.tools(catalog).enumerate() {
        let key = (tool.server.name.clone(), tool.tool.spec.name.clone());
        let calls = usage.get(&key).copied().unwrap_or(0);
        let always = always(tool);
        if !always && calls == 0 {
            continue;
        }
        let Some(text) = definition(tool, name) else { continue };
        if always {
            left = left.saturating_sub(text.get().len());
            chosen.insert(at);
        } else {
            used.push((calls, at));
        }
        definitions.insert(at, text);
    }
    used.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, at) in used {
        let bytes = definitions.get(&at).map_or(0, |text| text.get().len());
        if let Some(rest) = left.checked_sub(bytes) {
            left = rest;
            chosen.insert(at);
        }
    }
    definitions.retain(|at, _| chosen.contains(at));
    definitions.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::{Usage, picked};
    use crate::{Catalog, Exposure, Observations, Roster, ServerExposure, ToolExposure};
    use narrows_types::ServerListing;
    use serde_json::json;
    use std::sync::Arc;

    fn catalog() -> Catalog {
        let tool = |name: &str, meta: Option<serde_json::Value>| {
            let mut told = json!({"name": name, "inputSchema": {"type": "object"}});
            if let Some(meta) = meta {
                told["_meta"] = meta;
            }
            let mut spec = told.clone();
            spec["definition"] = told;
            Arc::new(serde_json::from_value(spec).unwrap())
        };
        let apps = json!({"ui": {"resourceUri": "ui://a/board"}});
        let tools = vec![
            tool("one", None),
            tool("two", None),
            tool("board", Some(apps)),
            tool("rare", None),
        ];
        let listing = ServerListing { server: "a".to_owned(), tools, ..ServerListing::default() };
        Catalog::build(vec![listing], &Observations::default())
    }

    fn names(exposure: &Exposure, usage: &Usage, tokens: usize) -> Vec<String> {
        let catalog = catalog();
        let roster = Roster::build(&catalog, exposure, &["search", "run"]);
        let listed = picked(&catalog, &roster, exposure, usage, tokens);
        let name = |text: &serde_json::value::RawValue| {
            let name = narrows_types::raw::get_text(text.get(), "name")?;
            Some(name.into_owned())
        };
        listed.iter().filter_map(|text| name(text)).collect()
    }

    fn usage(calls: &[(&str, u64)]) -> Usage {
        calls.iter().map(|(tool, n)| (("a".to_owned(), (*tool).to_owned()), *n)).collect()
    }

    #[test]
    fn what_was_never_used_is_not_listed_but_apps_and_pins_are() {
        assert_eq!(names(&Exposure::default(), &Usage::new(), 4_000), ["a.board"]);
        let pinned = ToolExposure { pin: true, ..ToolExposure::default() };
        let mut said = ServerExposure::default();
        said.tools.insert("two".to_owned(), pinned);
        let mut exposure = Exposure::default();
        exposure.servers.insert("a".to_owned(), said);
        assert_eq!(names(&exposure, &Usage::new(), 0), ["a.two", "a.board"]);
    }

    #[test]
    fn the_most_used_come_first_and_keep_to_the_budget() {
        let usage = usage(&[("one", 3), ("two", 9), ("gone", 99)]);
        let none = Exposure::default();
        assert_eq!(names(&none, &usage, 4_000), ["a.one", "a.two", "a.board"]);
        assert_eq!(names(&none, &usage, 40), ["a.two", "a.board"]);
        assert_eq!(names(&none, &usage, 20), ["a.board"]);
    }
}
