//! What each way to a tool costs, counted over the real tools: the figures of docs/guide/modes.md.

use crate::hybrid::{Usage, picked};
use crate::search::Index;
use crate::shape::{first_sentence, render_search};
use crate::tokens::count;
use crate::{Catalog, Exposure, Observations, Roster, ToolRef, definition, manifest};
use narrows_types::{Detail, Language, SearchHit};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Every so many tools one is called.
const STEP: usize = 16;
/// Hits of a search.
const LIMIT: usize = 8;

fn median(mut numbers: Vec<usize>) -> usize {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

/// A number as people read it.
fn grouped(number: usize) -> String {
    let (thousands, rest) = (number / 1_000, number % 1_000);
    if thousands == 0 { rest.to_string() } else { format!("{},{rest:03}", grouped(thousands)) }
}

fn guide_says(figures: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/modes.md");
    let guide = std::fs::read_to_string(path).unwrap();
    for told in figures {
        assert!(guide.contains(told.as_str()), "docs/guide/modes.md does not say: {told}");
    }
}

fn hit(catalog: &Catalog, tool: ToolRef<'_>) -> SearchHit {
    let about = tool.tool.spec.description.as_deref().unwrap_or_default();
    SearchHit {
        server: tool.server.name.clone(),
        tool: tool.tool.spec.name.clone(),
        call: tool.call(),
        signature: Some(catalog.signature(tool, Language::TypeScript)),
        description: Some(first_sentence(about)),
        input_schema: None,
        output_schema: None,
    }
}

/// Each required argument, with a short value.
fn arguments(tool: ToolRef<'_>) -> Value {
    let required = tool.tool.spec.input_schema["required"].as_array().cloned().unwrap_or_default();
    let pairs = required.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), json!("x")));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[test]
fn what_each_way_to_a_tool_costs() {
    let Some(mut listings) = super::listings() else { return };
    listings.sort_by(|a, b| a.server.cmp(&b.server));
    let catalog = Catalog::build(listings, &Observations::default());
    let exposure = Exposure::default();
    let roster = Roster::build(&catalog, &exposure, &["search", "run"]);
    let tools: Vec<ToolRef<'_>> = catalog.tools().collect();
    let index = Index::build(catalog.tools().map(ToolRef::doc));

    let whole: Vec<String> = roster
        .tools(&catalog)
        .filter_map(|(name, tool)| definition(tool, name))
        .map(|text| text.get().to_owned())
        .collect();
    let mcp = count(&format!("{{\"tools\":[{}]}}", whole.join(",")));
    let code =
        count(&format!("{}{}", json!({"tools": manifest::tools()}), manifest::instructions()));
    // As if every tool had been used equally often: the budget is full.
    let usage: Usage =
        tools.iter().map(|t| ((t.server.name.clone(), t.tool.spec.name.clone()), 1)).collect();
    let listed = picked(&catalog, &roster, &exposure, &usage, 4_000);
    let texts: Vec<&str> = listed.iter().map(|text| text.get()).collect();
    let more = count(manifest::hybrid_instructions()) - count(manifest::instructions());
    let hybrid = code + more + count(&texts.join(","));

    let (mut direct, mut found, mut asked, mut run) = (Vec::new(), 0, Vec::new(), Vec::new());
    for (name, tool) in roster.tools(&catalog).step_by(STEP) {
        let arguments = arguments(tool);
        direct.push(count(&json!({"name": name, "arguments": arguments}).to_string()));
        let about = tool.tool.spec.description.as_deref().unwrap_or(&tool.tool.spec.name);
        let query = first_sentence(about);
        let hits = index.search(std::slice::from_ref(&query), |_| true, LIMIT);
        let hits: Vec<ToolRef<'_>> = hits.iter().map(|hit| tools[hit.doc as usize]).collect();
        found += usize::from(hits.iter().any(|hit| hit.call() == tool.call()));
        let hits: Vec<SearchHit> = hits.into_iter().map(|tool| hit(&catalog, tool)).collect();
        let answer = render_search(&hits, Detail::Signatures, Language::TypeScript);
        let question = json!({"name": "search", "arguments": {"query": query}}).to_string();
        asked.push(count(&question) + count(&answer));
        let program = format!("return await {}({arguments})", tool.call());
        let program = json!({"name": "run", "arguments": {"code": program}}).to_string();
        run.push(count(&program) + count("[1 call, 12 ms]"));
    }
    let sample = direct.len();
    let (direct, asked, run) = (median(direct), median(asked), median(run));
    println!("tools {}, listed whole (mcp) {mcp} tokens", tools.len());
    println!("code {code} tokens, hybrid {hybrid} tokens with {} tools of upstreams", listed.len());
    println!("sample of {sample} tools: found by their first sentence {found}");
    println!("median tokens: direct call {direct}, search {asked}, run {run}");
    println!("one call: direct {direct} in 1 round trip, search and run {} in 2", asked + run);
    println!("even at an answer of {} tokens that a program makes none of", asked + run - direct);

    let figures = format!("{mcp} {hybrid} {code}; {direct} {asked} {run}; {found}/{sample}");
    insta::assert_snapshot!(figures, @"500922 3993 350; 19 454 35; 99/99");
    let (all, listed) = (tools.len(), listed.len());
    guide_says(&[
        format!("over {} tools of", grouped(all)),
        format!("| {code} tokens |"),
        format!("| {} tokens ({listed} tools of servers among them) |", grouped(hybrid)),
        format!("| {} tokens |", grouped(mcp)),
    ]);
    // The rule of the guide: one small answer is cheaper directly, a large one through a program.
    assert!(direct < asked + run);
    assert!(code < hybrid && hybrid < code + more + 4_500, "{hybrid}");
    assert!(found * 10 >= sample * 9, "{found} of {sample}");
}
