//! Writes typings of saved tool lists: `cargo run --example typings -- FOLDER typescript|python`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example for the terminal")]

use narrows_catalog::{Catalog, Observations};
use narrows_types::{Language, ServerListing, ToolSpec};
use std::sync::Arc;

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap();
    let language: Language =
        serde_json::from_value(args.next().unwrap_or_default().into()).unwrap_or_default();
    let mut listings = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let Some(tools) = list.get("tools").and_then(|t| t.as_array()) else { continue };
        let tools = tools
            .iter()
            .filter_map(|t| serde_json::from_value::<ToolSpec>(t.clone()).ok())
            .map(Arc::new)
            .collect();
        let server = path.file_stem().unwrap().to_string_lossy().into_owned();
        listings.push(ServerListing { server, tools, ..ServerListing::default() });
    }
    listings.sort_by(|a, b| a.server.cmp(&b.server));
    let catalog = Catalog::build(listings, &Observations::default());
    if args.next().is_some() {
        for tool in catalog.tools() {
            println!("{}", catalog.signature(tool, language));
        }
        return;
    }
    println!("{}", catalog.typings(language));
}
