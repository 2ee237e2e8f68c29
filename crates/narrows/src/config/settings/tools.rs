//! What can be said of a server's tools.

use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Which tools of a server are there, and under which names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tools {
    /// Only these, if any are named.
    pub(crate) allow: Vec<String>,
    /// Never these.
    pub(crate) hide: Vec<String>,
    /// Single tools, by their names on the wire.
    pub(crate) by_name: BTreeMap<String, ToolSaid>,
}

/// The same for the published schema.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is used, in the published schema")]
#[schemars(rename = "Tools")]
pub(crate) struct ToolsSchema {
    /// Only these, if any are named; `*` stands for any characters.
    #[schemars(default)]
    allow: Vec<String>,
    /// Never these.
    #[schemars(default)]
    hide: Vec<String>,
    /// Single tools, by their names on the wire.
    #[serde(flatten)]
    by_name: BTreeMap<String, ToolSaid>,
}

/// One tool.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ToolSaid {
    /// What agents call it.
    pub(crate) name: Option<String>,
    /// What agents read of it.
    pub(crate) description: Option<String>,
    /// Whether it does not exist for agents.
    pub(crate) hide: bool,
    /// Whether it is listed in hybrid mode, however seldom it is used.
    pub(crate) pin: bool,
    /// Milliseconds that its answers are kept for identical calls; 0 keeps none.
    pub(crate) cache_ttl_ms: Option<u64>,
}

impl<'de> Deserialize<'de> for Tools {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Tools;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tools, A::Error> {
                let mut tools = Tools::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "allow" => tools.allow = map.next_value()?,
                        "hide" => tools.hide = map.next_value()?,
                        _ => drop(tools.by_name.insert(key, map.next_value()?)),
                    }
                }
                Ok(tools)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// What stands before the names of a server's tools and prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// This text.
    Text(String),
    /// The server's name (`true`).
    Server,
    /// Nothing (`false`).
    Off,
}

/// The same for the published schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Prefix")]
#[expect(dead_code, reason = "only its shape is used, in the published schema")]
pub(crate) enum PrefixSchema {
    /// Another text than the server's name.
    Text(String),
    /// `false` for none.
    Switch(bool),
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Prefix;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, true or false")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Prefix, E> {
                Ok(if on { Prefix::Server } else { Prefix::Off })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Prefix, E> {
                match text {
                    "" | "false" => Ok(Prefix::Off),
                    "true" => Ok(Prefix::Server),
                    text if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                        Err(E::custom("a prefix holds no blanks"))
                    }
                    text => Ok(Prefix::Text(text.to_owned())),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
