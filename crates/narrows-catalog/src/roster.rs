//! Every tool under the name that an agent sees, and its definition as that agent reads it.

use crate::exposure::Exposure;
use crate::raw;
use crate::snapshot::{Catalog, ToolRef};
use narrows_types::{ToolSpec, nearest};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::sync::Arc;

/// The tools of a catalog by the names that agents see.
pub struct Roster {
    /// In the order of the catalog.
    names: Vec<Arc<str>>,
    /// The upstream and the tool, by place.
    by_name: HashMap<Arc<str>, (usize, usize)>,
    /// Each tool that could not have its name, with why.
    pub collisions: Vec<String>,
}

impl Roster {
    /// Names every tool. `reserved` names are given to none.
    pub fn build(catalog: &Catalog, exposure: &Exposure, reserved: &[&str]) -> Self {
        let things = catalog.tools().map(|t| (t.server.name.as_str(), t.tool.name.as_str()));
        let named = exposure.assign(things, reserved);
        let places = catalog
            .servers()
            .enumerate()
            .flat_map(|(at, server)| (0..server.tools.len()).map(move |tool| (at, tool)));
        let by_name = named.names.iter().cloned().zip(places).collect();
        Self { names: named.names, by_name, collisions: named.collisions }
    }

    /// The tool of that name.
    pub fn find<'a>(&self, catalog: &'a Catalog, name: &str) -> Option<ToolRef<'a>> {
        let (server, tool) = *self.by_name.get(name)?;
        let server = catalog.server_at(server)?;
        Some(ToolRef { server, tool: server.tools.get(tool)? })
    }

    /// Every tool with its name, in the order of the catalog.
    pub fn tools<'a>(
        &'a self,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = (&'a str, ToolRef<'a>)> {
        self.names.iter().map(|name| &**name).zip(catalog.tools())
    }

    /// The names most like one that does not exist.
    pub fn nearest(&self, name: &str) -> Vec<&str> {
        nearest(name, self.names.iter().map(|name| &**name), 2)
    }
}

/// A tool's definition under another name. What the upstream wrote stays as it wrote it.
pub fn definition(tool: ToolRef<'_>, name: &str) -> Option<Box<RawValue>> {
    let spec: &ToolSpec = &tool.tool.spec;
    match &spec.definition {
        Some(told) if spec.name == name => Some(told.clone()),
        Some(told) => raw::replaced(told, "name", name),
        None => ours(spec, name),
    }
}

/// The definition of a tool of which only what we read of it is known.
fn ours(spec: &ToolSpec, name: &str) -> Option<Box<RawValue>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Definition<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        output_schema: Option<&'a Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        annotations: Option<Value>,
    }
    let hints = serde_json::to_value(spec.annotations).ok().map(|mut hints| {
        if let Value::Object(members) = &mut hints {
            members.retain(|_, hint| !hint.is_null());
        }
        hints
    });
    let definition = Definition {
        name,
        title: spec.title.as_deref(),
        description: spec.description.as_deref(),
        input_schema: &spec.input_schema,
        output_schema: spec.output_schema.as_ref(),
        annotations: hints.filter(|hints| hints.as_object().is_some_and(|hints| !hints.is_empty())),
    };
    to_raw_value(&definition).ok()
}
