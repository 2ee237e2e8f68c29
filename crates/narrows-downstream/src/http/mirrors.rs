//! `Mcp-Param-*`: headers that repeat the arguments which a tool's schema annotates.

use crate::caller::Caller;
use crate::mcp::{Front, Params, string};
use crate::wire::{self, Failure, clipped};
use axum::http::HeaderMap;
use narrows_protocol::{header, mirror};
use narrows_types::Mode;
use serde::Deserialize;
use serde_json::Value;

/// The annotation, as it stands in a schema.
const ANNOTATION: &str = "\"x-mcp-header\"";

/// Checks that each annotated argument of a tool call and its header say the same.
pub(super) async fn check(
    front: &Front,
    caller: &Caller,
    (method, params): (&str, &Params<'_>),
    headers: &HeaderMap,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Definition {
        input_schema: Value,
    }
    if method != "tools/call" || caller.mode == Mode::Code {
        return Ok(());
    }
    let Some(name) = params.name.and_then(string) else { return Ok(()) };
    let definition = front.source.definition(&caller.principal, caller.mode, &name).await;
    let Some(definition) = definition else { return Ok(()) };
    if !definition.get().contains(ANNOTATION) {
        return Ok(());
    }
    let Ok(Definition { input_schema }) = serde_json::from_str(definition.get()) else {
        return Ok(());
    };
    // A tool whose annotations are wrong is not listed by whoever checks them.
    let Ok(mirrors) = mirror::mirrors(&input_schema) else { return Ok(()) };
    let arguments = params.arguments.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let arguments: Value = arguments.unwrap_or_default();
    let expected = mirror::headers(&mirrors, &arguments).map_err(Failure::mismatch)?;
    for mirror in &mirrors {
        let name = &mirror.header;
        let expected = expected.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let given = wire::header(headers, name)?;
        same(name, given, expected.map(String::as_str))?;
    }
    Ok(())
}

fn same(name: &str, given: Option<&str>, expected: Option<&str>) -> Result<(), Failure> {
    let decoded = |value: &str| {
        header::decode(value).ok_or_else(|| {
            let value = clipped(value);
            Failure::mismatch(format!("header {name} is not rightly encoded: {value}"))
        })
    };
    match (given, expected) {
        (None, None) => Ok(()),
        (Some(given), Some(expected)) if decoded(given)? == decoded(expected)? => Ok(()),
        (Some(given), Some(_)) => {
            let given = clipped(given);
            Err(Failure::mismatch(format!("header {name} says {given}, the argument does not")))
        }
        (None, Some(_)) => Err(Failure::mismatch(format!("header {name} is missing"))),
        (Some(_), None) => {
            Err(Failure::mismatch(format!("header {name} repeats an argument that is not there")))
        }
    }
}
