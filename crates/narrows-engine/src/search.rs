//! Finding tools.

use crate::snapshot::Snapshot;
use narrows_catalog::ToolRef;
use narrows_catalog::shape::{first_sentence, render_search};
use narrows_types::fault::clip;
use narrows_types::{Detail, Fault, SearchAnswer, SearchAsk, SearchHit};

/// Hits when the caller does not say how many.
pub(crate) const LIMIT_DEFAULT: usize = 8;
/// The most hits of one search.
const LIMIT_MAX: usize = 50;
/// The most queries of one search.
const QUERIES_MAX: usize = 16;
/// Bytes of one query.
const QUERY_BYTES_MAX: usize = 4_096;

/// Bytes of whole definitions in one answer.
const RESULTS_BYTES_MAX: usize = 64 << 10;
/// Bytes of the description of a tool whose definition does not fit.
const ABOUT_BYTES_MAX: usize = 400;

/// Finds the tools that fit best.
pub(crate) fn search(snapshot: &Snapshot, ask: &SearchAsk) -> Result<SearchAnswer, Fault> {
    check(ask)?;
    let catalog = &snapshot.catalog;
    let tools: Vec<ToolRef<'_>> = catalog.tools().collect();
    let only = match &ask.server {
        Some(name) => Some(catalog.server(name)?.name.clone()),
        None => None,
    };
    let wanted = |doc: u32| {
        let found = tools.get(doc as usize);
        found.is_some_and(|t| only.as_ref().is_none_or(|name| *name == t.server.name))
    };
    let hits = snapshot.index.search(&ask.queries, wanted, ask.limit.clamp(1, LIMIT_MAX));
    let mut room = RESULTS_BYTES_MAX;
    let results: Vec<SearchHit> = hits
        .iter()
        .filter_map(|hit| tools.get(hit.doc as usize))
        .map(|tool| fitting(describe(snapshot, *tool, ask), &mut room))
        .collect();
    let text = render_search(&results, ask.detail, ask.language);
    Ok(SearchAnswer { results, text })
}

fn check(ask: &SearchAsk) -> Result<(), Fault> {
    if ask.queries.iter().all(|q| q.trim().is_empty()) {
        let fault = Fault::invalid("`query` is empty");
        return Err(fault.hint("say in a sentence what you want to do"));
    }
    if ask.queries.len() > QUERIES_MAX {
        let count = ask.queries.len();
        return Err(Fault::invalid(format!("{count} queries at once; at most {QUERIES_MAX}")));
    }
    if let Some(long) = ask.queries.iter().find(|q| q.len() > QUERY_BYTES_MAX) {
        let bytes = long.len();
        return Err(Fault::invalid(format!("a query of {bytes} bytes; at most {QUERY_BYTES_MAX}")));
    }
    Ok(())
}

/// Leaves out the schemas that there is no room for: an upstream decides how large they are.
fn fitting(mut hit: SearchHit, room: &mut usize) -> SearchHit {
    let schemas = [&hit.input_schema, &hit.output_schema].into_iter().flatten();
    let schemas: usize = schemas.map(|schema| schema.to_string().len()).sum();
    let bytes = schemas + hit.description.as_ref().map_or(0, String::len);
    if let Some(left) = room.checked_sub(bytes) {
        *room = left;
        return hit;
    }
    hit.input_schema = None;
    hit.output_schema = None;
    hit.description = hit.description.map(|about| clip(about, ABOUT_BYTES_MAX));
    hit
}

fn describe(snapshot: &Snapshot, tool: ToolRef<'_>, ask: &SearchAsk) -> SearchHit {
    let spec = &tool.tool.spec;
    let description = spec.description.as_deref().or(spec.title.as_deref()).unwrap_or_default();
    let full = ask.detail == Detail::Full;
    SearchHit {
        server: tool.server.name.clone(),
        tool: spec.name.clone(),
        call: format!("{}.{}", tool.server.ident, tool.tool.ident),
        signature: (ask.detail != Detail::Names)
            .then(|| snapshot.catalog.signature(tool, ask.language)),
        description: Some(if full { description.to_owned() } else { first_sentence(description) }),
        input_schema: full.then(|| spec.input_schema.clone()),
        output_schema: if full { spec.output_schema.clone() } else { None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn definitions_beyond_the_room_lose_their_schemas_only() {
        let hit = || SearchHit {
            server: "s".to_owned(),
            tool: "t".to_owned(),
            call: "s.t".to_owned(),
            signature: Some("s.t()".to_owned()),
            description: Some("x".repeat(1_000)),
            input_schema: Some(json!({"description": "y".repeat(40_000)})),
            output_schema: None,
        };
        let mut room = RESULTS_BYTES_MAX;
        let (first, second) = (fitting(hit(), &mut room), fitting(hit(), &mut room));
        assert!(first.input_schema.is_some() && second.input_schema.is_none());
        assert_eq!(second.description.map(|about| about.len()), Some(ABOUT_BYTES_MAX));
        assert!(second.signature.is_some());
    }
}
