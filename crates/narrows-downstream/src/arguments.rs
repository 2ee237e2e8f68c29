//! The arguments of `search` and `run`, from MCP and REST alike. Every mistake is named with what
//! would be right.

use narrows_types::{Detail, Fault, Language, RunAsk, SearchAsk};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

const RUN_KEYS: [&str; 5] = ["code", "language", "input", "timeout_ms", "output_bytes"];
const SEARCH_KEYS: [&str; 5] = ["query", "server", "limit", "detail", "language"];
const RUN_SHAPE: &str = "run takes {code, language?, input?, timeout_ms?, output_bytes?}";
const SEARCH_SHAPE: &str = "search takes {query, server?, limit?, detail?, language?}";

/// Hits when the caller does not say how many; the engine has the most.
const LIMIT_DEFAULT: usize = 8;

/// One query or several, merged.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Queries {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// The arguments of `run`.
pub(crate) fn run(arguments: Option<&RawValue>) -> Result<RunAsk, Fault> {
    let fields = Fields::parse("run", arguments, &RUN_KEYS, RUN_SHAPE)?;
    let code: String = fields
        .read("code", "a string")?
        .ok_or_else(|| Fault::invalid("`code` is missing").hint(RUN_SHAPE))?;
    Ok(RunAsk {
        code,
        language: fields.language()?,
        input: fields.given("input").map(ToOwned::to_owned),
        timeout_ms: fields.positive("timeout_ms", "milliseconds")?,
        output_bytes: fields.positive("output_bytes", "bytes")?,
    })
}

/// The arguments of `search`.
pub(crate) fn search(arguments: Option<&RawValue>) -> Result<SearchAsk, Fault> {
    let fields = Fields::parse("search", arguments, &SEARCH_KEYS, SEARCH_SHAPE)?;
    let queries = queries(&fields)?;
    let limit = match fields.positive("limit", "results")? {
        None => LIMIT_DEFAULT,
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let detail: Detail =
        fields.read("detail", "one of \"names\", \"signatures\", \"full\"")?.unwrap_or_default();
    let server = fields.read("server", "a string")?;
    Ok(SearchAsk { queries, server, limit, detail, language: fields.language()? })
}

fn queries(fields: &Fields<'_>) -> Result<Vec<String>, Fault> {
    let given = fields
        .read("query", "a string or an array of strings")?
        .ok_or_else(|| Fault::invalid("`query` is missing").hint(SEARCH_SHAPE))?;
    Ok(match given {
        Queries::One(query) => vec![query],
        Queries::More(queries) => queries,
    })
}

/// An object's members, each still as text.
struct Fields<'a> {
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(
        tool: &str,
        arguments: Option<&'a RawValue>,
        known: &[&str],
        shape: &str,
    ) -> Result<Self, Fault> {
        let text = arguments.map_or("{}", RawValue::get);
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_other| {
                Fault::invalid(format!("the arguments of {tool} are not an object")).hint(shape)
            })?;
        for key in members.keys() {
            if !known.contains(&key.as_str()) {
                return Err(unknown_key(tool, key, known).hint(shape));
            }
        }
        Ok(Self { members })
    }

    /// The member's text; null counts as absent where a value is read, never for `input`.
    fn given(&self, key: &str) -> Option<&'a RawValue> {
        self.members.get(key).copied()
    }

    fn read<T: Deserialize<'a>>(&self, key: &str, expected: &str) -> Result<Option<T>, Fault> {
        match self.given(key) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map(Some).map_err(|_other| {
                let shown = narrows_types::fault::clip(raw.get().to_owned(), 60);
                Fault::invalid(format!("`{key}` must be {expected}, not {shown}"))
            }),
        }
    }

    fn positive(&self, key: &str, unit: &str) -> Result<Option<u64>, Fault> {
        let expected = format!("a whole number of {unit}, at least 1");
        match self.read::<u64>(key, &expected)? {
            Some(0) => Err(Fault::invalid(format!("`{key}` must be {expected}, not 0"))),
            other => Ok(other),
        }
    }

    fn language(&self) -> Result<Language, Fault> {
        Ok(self.read("language", "\"typescript\" or \"python\"")?.unwrap_or_default())
    }
}

fn unknown_key(tool: &str, key: &str, known: &[&str]) -> Fault {
    let shown = narrows_types::fault::clip(key.to_owned(), 60);
    match nearest(key, known) {
        Some(near) => Fault::invalid(format!("{tool} takes no `{shown}`; did you mean `{near}`?")),
        None => Fault::invalid(format!("{tool} takes no `{shown}`")),
    }
}

/// The most alike of `known`, if any is alike at all.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    narrows_types::nearest(word, known.iter().copied(), 1).into_iter().next()
}

#[cfg(test)]
mod tests;
