//! The built-in tools over real files and the real clock.

mod files;
mod time;

use super::Inside;
use crate::config::Builtin;
use narrows_types::ToolResult;
use serde_json::Value;
use serde_json::value::RawValue;
use std::path::Path;
use std::time::Duration;

/// A built-in upstream and a runtime to call it in.
struct House {
    inside: Inside,
    runtime: tokio::runtime::Runtime,
}

impl House {
    fn new(builtin: &Builtin) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { inside: Inside::open("inside", builtin).unwrap(), runtime }
    }

    fn files(folder: &Path, write: bool) -> Self {
        Self::new(&Builtin::Files { folders: vec![folder.to_owned()], write })
    }

    fn call(&self, tool: &str, arguments: &Value) -> ToolResult {
        let arguments = RawValue::from_string(arguments.to_string()).unwrap();
        self.runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            self.inside.call(tool, &arguments, deadline).await.unwrap()
        })
    }

    /// The structured result of a call that succeeds.
    fn value(&self, tool: &str, arguments: &Value) -> Value {
        let result = self.call(tool, arguments);
        assert!(!result.is_error, "{tool} {arguments}: {}", result.joined_text());
        serde_json::from_str(result.structured_content.unwrap().get()).unwrap()
    }

    /// The words of a call that fails.
    fn refused(&self, tool: &str, arguments: &Value) -> String {
        let result = self.call(tool, arguments);
        assert!(result.is_error, "{tool} {arguments}: {}", result.joined_text());
        result.joined_text()
    }
}

#[test]
fn every_tool_is_described_and_typed() {
    let folders = vec!["/tmp".into()];
    for builtin in [Builtin::Files { folders, write: true }, Builtin::Time] {
        for tool in Inside::open("x", &builtin).unwrap().listing().tools {
            assert!(tool.description.is_some(), "{}", tool.name);
            assert!(tool.output_schema.is_some(), "{}", tool.name);
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            assert_eq!(tool.annotations.read_only_hint, Some(tool.name != "write"));
        }
    }
}

#[test]
fn an_unknown_tool_or_argument_is_named() {
    let house = House::new(&Builtin::Time);
    let none = RawValue::from_string("{}".to_owned()).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let error = house.runtime.block_on(house.inside.call("noww", &none, deadline)).unwrap_err();
    assert!(error.to_string().contains("now, convert, difference"), "{error}");
    let why = house.refused("now", &serde_json::json!({"zon": "UTC"}));
    assert_eq!(why, "the arguments are wrong: unknown field `zon`, expected `zone`");
}
