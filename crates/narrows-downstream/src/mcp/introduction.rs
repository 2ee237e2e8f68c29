//! Who we are: the answers to `initialize` and `server/discover`.

use super::{Body, FIXED, Front, Rules};
use crate::caller::Caller;
use crate::render::Keep;
use crate::wire::Failure;
use narrows_protocol::Revision;
use narrows_types::{Mode, Offering};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long upstreams that are not known yet are waited for.
const OFFERS_WAIT: Duration = Duration::from_secs(10);
/// Bytes of the upstreams' instructions that are passed on.
const INSTRUCTIONS_MAX: usize = 16 << 10;

impl Front {
    /// The introduction that the caller's era wants.
    pub(crate) async fn introduce(&self, caller: &Caller) -> Result<Body, Failure> {
        let offers = match caller.mode {
            Mode::Code => Vec::new(),
            Mode::Hybrid | Mode::Mcp => self.source.offers(&caller.principal, OFFERS_WAIT).await,
        };
        let mut capabilities = match caller.mode {
            Mode::Code => json!({"tools": {}, "resources": {}}),
            Mode::Hybrid | Mode::Mcp => merged(&offers, caller),
        };
        if caller.rules == Rules::Modern
            && caller.mode != Mode::Mcp
            && let Some(capabilities) = capabilities.as_object_mut()
        {
            let extensions = capabilities.entry("extensions").or_insert_with(|| json!({}));
            if let Some(extensions) = extensions.as_object_mut() {
                extensions.entry(crate::tasks::EXTENSION).or_insert_with(|| json!({}));
            }
        }
        if let Rules::Legacy(revision) = caller.rules
            && revision >= Revision::V2025_11_25
            && caller.mode != Mode::Mcp
            && let Some(capabilities) = capabilities.as_object_mut()
        {
            let tasks = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
            capabilities.insert("tasks".to_owned(), tasks);
        }
        let told = match caller.mode {
            Mode::Mcp => instructions(&offers),
            Mode::Code => self.config.instructions.clone(),
            Mode::Hybrid => self.config.hybrid_instructions.clone(),
        };
        let sealed = match caller.rules {
            Rules::Modern => self.discovered(capabilities, &told),
            Rules::Legacy(revision) => self.initialized(revision, capabilities, &told),
        };
        sealed.map_err(|fault| Failure::internal(&fault))
    }

    fn discovered(
        &self,
        capabilities: Value,
        instructions: &str,
    ) -> Result<Body, narrows_types::Fault> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Discovered<'a> {
            supported_versions: Vec<&'static str>,
            capabilities: Value,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
            #[serde(flatten)]
            keep: Keep,
        }
        let supported_versions = Revision::modern().map(Revision::as_str).collect();
        let body = Discovered { supported_versions, capabilities, instructions, keep: FIXED };
        self.seal(Rules::Modern).close(body)
    }

    fn initialized(
        &self,
        revision: Revision,
        capabilities: Value,
        instructions: &str,
    ) -> Result<Body, narrows_types::Fault> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialized<'a> {
            protocol_version: &'static str,
            capabilities: Value,
            server_info: &'a RawValue,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
        }
        let body = Initialized {
            protocol_version: revision.as_str(),
            capabilities,
            server_info: &self.introduction,
            instructions,
        };
        self.seal(Rules::Legacy(revision)).close(body)
    }
}

/// What any of the upstreams can do, as far as we pass it on in the caller's era.
fn merged(offers: &[Offering], caller: &Caller) -> Value {
    let read = |offer: &Offering| {
        serde_json::from_str::<Map<String, Value>>(offer.capabilities.get()).unwrap_or_default()
    };
    let all: Vec<Map<String, Value>> = offers.iter().map(read).collect();
    let any = |key: &str| all.iter().any(|one| one.get(key).is_some_and(|v| !v.is_null()));
    let modern = caller.rules == Rules::Modern;
    let mut merged = Map::new();
    let mut put = |key: &str, value: Value| merged.insert(key.to_owned(), value);
    // Our own artifacts are resources; our tools or those of upstreams are tools.
    put("tools", json!({"listChanged": true}));
    let subscribes =
        all.iter().any(|one| one.get("resources").is_some_and(|r| r["subscribe"] == true));
    if subscribes {
        put("resources", json!({"subscribe": true, "listChanged": true}));
    } else {
        put("resources", json!({"listChanged": true}));
    }
    if any("prompts") {
        put("prompts", json!({"listChanged": true}));
    }
    for key in ["completions", "logging"] {
        if any(key) {
            put(key, json!({}));
        }
    }
    if !modern && let Some(tasks) = all.iter().find_map(|one| one.get("tasks")) {
        put("tasks", tasks.clone());
    }
    let mut extensions = Map::new();
    let mut experimental = Map::new();
    for one in &all {
        for (from, into) in [("extensions", &mut extensions), ("experimental", &mut experimental)] {
            let members = one.get(from).and_then(Value::as_object).into_iter().flatten();
            for (key, value) in members {
                into.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    for (key, members) in [("extensions", extensions), ("experimental", experimental)] {
        if !members.is_empty() {
            put(key, Value::Object(members));
        }
    }
    Value::Object(merged)
}

/// The upstreams' words to models, each under its name where there are several.
fn instructions(offers: &[Offering]) -> String {
    let told: Vec<(&str, &str)> = offers
        .iter()
        .filter_map(|offer| Some((offer.server.as_str(), offer.instructions.as_deref()?)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let text = match told.as_slice() {
        [(_, text)] => (*text).to_owned(),
        several => {
            let parts: Vec<String> =
                several.iter().map(|(server, text)| format!("# {server}\n{text}")).collect();
            parts.join("\n\n")
        }
    };
    narrows_types::fault::clip(text, INSTRUCTIONS_MAX)
}
