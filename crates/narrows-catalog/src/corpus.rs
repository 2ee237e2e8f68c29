//! The whole room over real tool lists, where they are on this machine.

mod routing;

use crate::shape::{first_sentence, render_search};
use crate::{Catalog, Observations};
use narrows_types::{Detail, Language, SearchHit, ServerListing, ToolSpec};
use std::path::Path;
use std::sync::Arc;

fn listings() -> Option<Vec<ServerListing>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tools");
    let Ok(entries) = std::fs::read_dir(folder) else {
        println!("../shared/data/tools is absent: the corpus is not checked");
        return None;
    };
    let mut listings = Vec::new();
    for path in entries.map(|e| e.unwrap().path()) {
        let list: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Some(tools) = list["tools"].as_array() else { continue };
        let tools: Vec<Arc<ToolSpec>> =
            tools.iter().map(|t| Arc::new(serde_json::from_value(t.clone()).unwrap())).collect();
        let server = path.file_stem().unwrap().to_string_lossy().into_owned();
        listings.push(ServerListing { server, tools, ..ServerListing::default() });
    }
    Some(listings)
}

#[test]
fn every_tool_is_found_by_its_identifier_and_its_name() {
    let Some(listings) = listings() else { return };
    let count: usize = listings.iter().map(|l| l.tools.len()).sum();
    let catalog = Catalog::build(listings, &Observations::default());
    for found in catalog.tools() {
        let spec = &found.tool.spec;
        let by_ident = catalog.resolve(&found.server.ident, &found.tool.ident).unwrap();
        assert!(Arc::ptr_eq(&by_ident.tool.spec, spec));
        let by_name = catalog.resolve(&found.server.name, &spec.name).unwrap();
        assert_eq!(by_name.tool.spec.name, spec.name);
    }
    assert_eq!(catalog.tools().count(), count);
}

#[test]
fn the_median_tool_costs_at_most_90_tokens_in_a_search_and_the_longest_350() {
    let Some(listings) = listings() else { return };
    let catalog = Catalog::build(listings, &Observations::default());
    for language in [Language::TypeScript, Language::Python] {
        let mut tokens: Vec<usize> = catalog
            .tools()
            .map(|tool| {
                let about = tool.tool.spec.description.as_deref().unwrap_or_default();
                let hit = SearchHit {
                    server: tool.server.name.clone(),
                    tool: tool.tool.spec.name.clone(),
                    call: tool.call(),
                    signature: Some(catalog.signature(tool, language)),
                    description: Some(first_sentence(about)),
                    input_schema: None,
                    output_schema: None,
                };
                crate::tokens::count(&render_search(&[hit], Detail::Signatures, language))
            })
            .collect();
        tokens.sort_unstable();
        let (median, p90, most) =
            (tokens[tokens.len() / 2], tokens[tokens.len() * 9 / 10], tokens[tokens.len() - 1]);
        println!("{language}: median {median} tokens a tool, p90 {p90}, most {most}");
        assert!(median <= 90, "{language}: {median}");
        assert!(most <= 350, "{language}: {most}");
    }
}

#[test]
fn the_arguments_of_nearly_every_real_tool_are_judged() {
    let Some(listings) = listings() else { return };
    let specs: Vec<_> = listings.iter().flat_map(|l| &l.tools).collect();
    let left = specs.iter().filter(|s| crate::check::compile(&s.input_schema).is_none());
    let left: Vec<&str> = left.map(|s| s.name.as_str()).collect();
    println!("left to the upstream: {} of {}: {left:?}", left.len(), specs.len());
    assert!(left.len() * 100 <= specs.len(), "{left:?}");
}
