//! Any JSON as a tool's schema: typings, signatures and the check end, and stay within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrows_catalog::{Catalog, Observations, Shape};
use narrows_types::{Language, ServerListing, ToolSpec};
use serde_json::Value;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let Ok(schema) = serde_json::from_slice::<Value>(data) else { return };
    let shape = Shape::of(&schema);
    assert_eq!(shape.clone().merge(shape.clone()), shape);
    let spec = ToolSpec {
        name: "tool".to_owned(),
        title: None,
        description: schema.as_str().map(str::to_owned),
        input_schema: schema.clone(),
        output_schema: Some(schema.clone()),
        annotations: Default::default(),
    };
    let listing =
        ServerListing { server: "server".to_owned(), instructions: None, tools: vec![Arc::new(spec)] };
    let catalog = Catalog::build(vec![listing], &Observations::default());
    for language in [Language::TypeScript, Language::Python] {
        let typings = catalog.typings(language);
        assert!(!typings.contains('\u{202e}'));
        for tool in catalog.tools() {
            assert!(!catalog.signature(tool, language).contains('\n'));
            let _either = catalog.validate(tool, &schema);
        }
    }
});
