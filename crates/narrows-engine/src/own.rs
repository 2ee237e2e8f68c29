//! What a program can ask of Narrows itself: `search(...)`, `artifact(...)`, its session, the time.

use crate::effect::failed;
use crate::run::Run;
use crate::snapshot::Snapshot;
use narrows_store::ValueName;
use narrows_types::frame::{Call, CallError};
use narrows_types::{ArtifactId, Detail, Fault, Language, SearchAsk, SessionId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;

/// The reserved name of the upstream that is Narrows itself.
pub(crate) const NAMESPACE: &str = "narrows";
/// The call that is no more than a timer.
pub(crate) const WAIT: &str = "wait";

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

#[derive(Deserialize)]
struct WaitArguments {
    until_us: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueArguments {
    key: String,
    #[serde(default)]
    namespace: String,
    value: Option<Box<RawValue>>,
    ttl_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysArguments {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    prefix: String,
}

pub(crate) fn read<T: DeserializeOwned>(call: &Call, usage: &str) -> Result<T, Fault> {
    serde_json::from_str(call.args.get())
        .map_err(|e| Fault::invalid(format!("{}: {e}", call.tool)).hint(usage))
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::bug(e.to_string()))
}

impl Run<'_> {
    /// Answers a call to the reserved namespace with JSON for the program.
    pub(crate) async fn own(&self, call: &Call, snapshot: &Snapshot) -> Result<String, CallError> {
        let answer = match call.tool.as_str() {
            WAIT => self.wait(call).await,
            "search" => self.own_search(snapshot, call),
            "artifact" => self.own_artifact(call).await,
            "session_get" => self.session_get(call).await,
            "session_set" => self.session_set(call).await,
            "session_delete" => self.session_delete(call).await,
            "session_list" => self.session_list(call).await,
            "scratch_keep" => self.scratch_keep(call).await,
            "scratch_save" => self.scratch_save(call).await,
            "scratch_load" => self.scratch_load().await,
            other => Err(Fault::not_found(format!("there is no {NAMESPACE}.{other}"))
                .hint("there are search(query) and artifact(handle)")),
        };
        answer.map_err(|fault| failed(call, fault.to_string()))
    }

    /// The worker's timers beside calls: it hears when one is due.
    async fn wait(&self, call: &Call) -> Result<String, Fault> {
        let until: WaitArguments = read(call, "")?;
        let left = until.until_us.saturating_sub(self.elapsed_us());
        // A replay has its own time: it does not wait for what is long over.
        if !self.offline {
            tokio::time::sleep(Duration::from_micros(left)).await;
        }
        Ok("null".to_owned())
    }

    fn own_search(&self, snapshot: &Snapshot, call: &Call) -> Result<String, Fault> {
        if let Some(enough) = self.searched_enough() {
            return Err(Fault::invalid(enough));
        }
        let arguments: SearchArguments = read(call, "search(\"what to find\")")?;
        let queries = match arguments.query {
            Queries::One(query) => vec![query],
            Queries::Several(queries) => queries,
        };
        let search = SearchAsk {
            queries,
            server: arguments.server,
            limit: arguments.limit.unwrap_or(crate::search::LIMIT_DEFAULT),
            detail: arguments.detail,
            language: arguments.language.unwrap_or(self.language()),
        };
        let answer = crate::search::search(snapshot, &search)?;
        json(&answer.results)
    }

    async fn own_artifact(&self, call: &Call) -> Result<String, Fault> {
        let arguments: ArtifactArguments = read(call, "artifact(\"art_...\")")?;
        let limit = self.grant.limits.result_bytes;
        let owner = &self.grant.principal.name;
        let part = self.shared.store.read_artifact(owner, &arguments.handle, 0, limit).await?;
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
        json(&text)
    }

    /// The session that the run belongs to.
    pub(crate) fn own_session(&self) -> Result<&SessionId, Fault> {
        self.session.ok_or_else(|| {
            Fault::invalid("this run has no session")
                .hint("make one (`narrows session create`) and run with `session`")
        })
    }

    async fn session_get(&self, call: &Call) -> Result<String, Fault> {
        let ValueArguments { key, namespace, .. } = read(call, "session.get(key)")?;
        let name = ValueName { namespace, key };
        let value = self.shared.store.value(self.own_session()?, &name).await?;
        Ok(value.unwrap_or_else(|| "null".to_owned()))
    }

    async fn session_set(&self, call: &Call) -> Result<String, Fault> {
        let usage = "session.set(key, value)";
        let ValueArguments { key, namespace, value, ttl_s } = read(call, usage)?;
        let session = self.own_session()?;
        let value = value.ok_or_else(|| Fault::invalid("there is no value").hint(usage))?;
        let name = ValueName { namespace, key };
        let found = self.shared.store.session(&self.grant.principal.name, session).await?;
        let ends = match ttl_s {
            Some(seconds) => crate::effects::now_ms().saturating_add(seconds.saturating_mul(1_000)),
            None => u64::MAX,
        };
        let ends = ends.min(found.row.ends_at_ms);
        self.shared.store.set_value(session, &name, value.get(), ends).await?;
        Ok("null".to_owned())
    }

    async fn session_delete(&self, call: &Call) -> Result<String, Fault> {
        let ValueArguments { key, namespace, .. } = read(call, "session.delete(key)")?;
        let name = ValueName { namespace, key };
        json(&self.shared.store.delete_value(self.own_session()?, &name).await?)
    }

    async fn session_list(&self, call: &Call) -> Result<String, Fault> {
        let KeysArguments { namespace, prefix } = read(call, "session.list()")?;
        json(&self.shared.store.value_keys(self.own_session()?, &namespace, &prefix).await?)
    }
}
