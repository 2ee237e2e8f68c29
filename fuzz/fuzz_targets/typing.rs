//! Any JSON as a tool's schema: typings, signatures and the check end, and stay within bounds.
//!
//! A pair `[schema, arguments]` tells them apart; anything else is both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narrows_catalog::{Catalog, Observations, Shape};
use narrows_types::{Argument, Language, Literal, Position, Reference, ServerListing, ToolSpec, Uses};
use serde_json::Value;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let (schema, arguments) = match value.as_array().map(Vec::as_slice) {
        Some([schema, arguments]) => (schema.clone(), arguments.clone()),
        _ => (value.clone(), value),
    };
    let shape = Shape::of(&arguments);
    assert_eq!(shape.clone().merge(shape.clone()), shape);
    for observed in [false, true] {
        whole(&schema, &arguments, observed.then(|| shape.clone()));
    }
});

/// One tool with that schema, in every way that the catalog is asked about it.
fn whole(schema: &Value, arguments: &Value, observed: Option<Shape>) {
    let spec = ToolSpec {
        name: schema["title"].as_str().filter(|n| !n.is_empty()).unwrap_or("tool").to_owned(),
        title: None,
        description: schema.as_str().or(schema["description"].as_str()).map(str::to_owned),
        input_schema: schema.clone(),
        output_schema: observed.is_none().then(|| schema.clone()),
        definition: None,
        annotations: Default::default(),
    };
    let mut seen = Observations::default();
    if let Some(shape) = observed {
        let news = seen.merge("server", &spec.name, shape.clone()).is_some();
        assert!(news);
        assert!(seen.merge("server", &spec.name, shape).is_none());
    }
    let listing = ServerListing {
        server: "server".to_owned(),
        instructions: None,
        tools: vec![Arc::new(spec)],
        ttl_ms: None,
        private: None,
    };
    let catalog = Catalog::build(vec![listing], &seen);
    let tool = catalog.tools().next().unwrap();
    let uses = Uses { references: vec![call(&tool.tool.ident, arguments)], findings: Vec::new() };
    for language in [Language::TypeScript, Language::Python] {
        let typings = catalog.typings(language);
        assert!(!typings.contains(['\u{202e}', '\u{200b}', '\r', '\u{7}', '\u{2028}']));
        // A schema cannot leave its line, so it cannot declare anything of its own.
        let lines = if language == Language::TypeScript { 6 } else { 11 };
        assert!(typings.lines().count() <= lines, "{typings}");
        let signature = catalog.signature(tool, language);
        assert!(!signature.contains(['\n', '\r', '\u{202e}', '\u{2028}']), "{signature}");
        for finding in catalog.check(&uses, language).findings {
            assert!(!finding.message.contains(['\n', '\u{202e}']), "{}", finding.message);
            assert!(finding.message.len() < 4_096, "{}", finding.message);
        }
    }
    let arguments = serde_json::value::to_raw_value(arguments).unwrap();
    if let Err(fault) = catalog.validate(tool, &arguments) {
        assert!(!fault.message.contains(['\n', '\u{202e}']), "{}", fault.message);
        assert!(fault.message.len() < 4_096, "{}", fault.message);
    }
}

fn call(tool: &str, arguments: &Value) -> Reference {
    let at = Position { line: 1, column: 1 };
    let argument = Argument { keyword: None, value: Literal::Known(arguments.clone()), at };
    Reference {
        root: "server".to_owned(),
        path: vec![tool.to_owned()],
        at,
        arguments: Some(vec![argument]),
        guarded: false,
    }
}
