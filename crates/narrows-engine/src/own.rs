//! What a program can ask of Narrows itself: `search(...)` and `artifact(...)`.

use crate::Shared;
use crate::admit::Grant;
use crate::snapshot::Snapshot;
use narrows_types::frame::{Call, CallError};
use narrows_types::{ArtifactId, Detail, Fault, Language, SearchAsk};
use serde::Deserialize;

/// The reserved name of the upstream that is Narrows itself.
pub(crate) const NAMESPACE: &str = "narrows";

/// One query or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Queries {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    query: Queries,
    server: Option<String>,
    limit: Option<usize>,
    #[serde(default)]
    detail: Detail,
    language: Option<Language>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactArguments {
    handle: ArtifactId,
}

impl Shared {
    /// Answers a call to the reserved namespace with JSON for the program.
    pub(crate) async fn own_call(
        &self,
        grant: &Grant,
        language: Language,
        snapshot: &Snapshot,
        call: &Call,
    ) -> Result<String, CallError> {
        let answer = match call.tool.as_str() {
            "search" => Self::own_search(language, snapshot, call),
            "artifact" => self.own_artifact(grant, call).await,
            other => Err(Fault::not_found(format!("there is no {NAMESPACE}.{other}"))
                .hint("there are search(query) and artifact(handle)")),
        };
        answer.map_err(|fault| CallError {
            tool: call.tool.clone(),
            message: fault.to_string(),
            arguments: narrows_catalog::shape::describe(&call.args),
        })
    }

    fn own_search(language: Language, snapshot: &Snapshot, call: &Call) -> Result<String, Fault> {
        let arguments: SearchArguments = serde_json::from_str(call.args.get())
            .map_err(|e| Fault::invalid(format!("search: {e}")).hint("search(\"what to find\")"))?;
        let queries = match arguments.query {
            Queries::One(query) => vec![query],
            Queries::Several(queries) => queries,
        };
        let search = SearchAsk {
            queries,
            server: arguments.server,
            limit: arguments.limit.unwrap_or(crate::search::LIMIT_DEFAULT),
            detail: arguments.detail,
            language: arguments.language.unwrap_or(language),
        };
        let answer = crate::search::search(snapshot, &search)?;
        serde_json::to_string(&answer.results).map_err(|e| Fault::bug(e.to_string()))
    }

    async fn own_artifact(&self, grant: &Grant, call: &Call) -> Result<String, Fault> {
        let arguments: ArtifactArguments = serde_json::from_str(call.args.get())
            .map_err(|e| Fault::invalid(format!("artifact: {e}")).hint("artifact(\"art_...\")"))?;
        let limit = grant.limits.result_bytes;
        let part =
            self.store.read_artifact(&grant.principal.name, &arguments.handle, 0, limit).await?;
        if part.total_bytes > limit {
            let message = format!(
                "artifact {} is {} bytes; limit result_bytes is {limit}",
                part.handle, part.total_bytes
            );
            return Err(Fault::invalid(message));
        }
        let text = String::from_utf8(part.bytes)
            .map_err(|_binary| Fault::invalid(format!("artifact {} is not text", part.handle)))?;
        if part.mime == crate::report::JSON {
            return Ok(text);
        }
        serde_json::to_string(&text).map_err(|e| Fault::bug(e.to_string()))
    }
}
