//! Requests of the protocol that are passed on, each to the upstream that it is for.

use crate::call::no_consent;
use crate::snapshot::Snapshot;
use crate::{Events, Shared};
use narrows_catalog::{Catalog, ToolRef, raw};
use narrows_types::raw::{get, get_text};
use narrows_types::{
    Answer, Client, Fault, IntentsAsk, Language, ListKind, Method, Mode, PassAsk, Passed,
    Principal, RunEnd, WireError, fault, nearest,
};
use narrows_upstream::Passing;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// JSON-RPC's code for wrong parameters.
const INVALID_PARAMS: i64 = -32_602;
/// Codes by which an upstream says that it has no such resource.
const NOT_THERE: [i64; 4] = [-32_002, INVALID_PARAMS, -32_601, -32_600];
/// Results larger than this are not searched for the URIs that they name.
const LINKS_BYTES_MAX: usize = 64 << 10;

/// A request on its way.
struct Way<'a> {
    shared: &'a Arc<Shared>,
    snapshot: &'a Snapshot,
    ask: &'a PassAsk,
    principal: &'a Principal,
    client: Arc<Client>,
    events: Option<Events>,
    deadline: Instant,
}

impl Shared {
    /// Passes a request on to the upstream that it is for.
    pub(crate) async fn pass(
        self: &Arc<Self>,
        principal: &Principal,
        client: Arc<Client>,
        wait: Option<Duration>,
        ask: PassAsk,
        events: Option<Events>,
    ) -> Result<Passed, Fault> {
        let snapshot = self.current(principal).await;
        let deadline = Instant::now() + wait.unwrap_or(snapshot.settings.call_wait);
        let _place = self.passes.place(deadline).await?;
        if ask.mode == Mode::Code {
            let about = fault::clip(ask.about, 64);
            return Err(Fault::not_found(format!("there is no {about} in code mode"))
                .hint("find tools with search, call them in a program given to run"));
        }
        let (snapshot, ask) = (&*snapshot, &ask);
        let way = Way { shared: self, snapshot, ask, principal, client, events, deadline };
        match ask.method {
            Method::CallTool => way.tool().await.inspect_err(|fault| way.denied(fault)),
            Method::GetPrompt | Method::CompletePrompt => way.prompt().await,
            Method::ReadResource
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::CompleteResource => way.resource().await,
            Method::GetTask | Method::UpdateTask | Method::CancelTask | Method::TaskResult => {
                way.task().await
            }
        }
    }
}

impl Way<'_> {
    /// Records a call that was refused. The tool is known by the name that agents see.
    fn denied(&self, fault: &Fault) {
        let settings = Arc::clone(&self.shared.settings.borrow());
        let states = self.shared.fleet.status();
        let named = states.iter().find_map(|state| {
            let prefix = settings.exposure.name(&state.server, "");
            let tool = self.ask.about.strip_prefix(&prefix).filter(|_| !prefix.is_empty())?;
            Some((state.server.as_str(), tool))
        });
        let named = named.unwrap_or(("", &self.ask.about));
        self.shared.denied((None, self.principal), named, fault);
    }

    async fn to(&self, server: &str, name: Option<&str>) -> Result<Passed, Fault> {
        let passing = Passing {
            method: self.ask.method,
            name,
            params: &self.ask.params,
            principal: &self.principal.name,
            client: Arc::clone(&self.client),
            events: self.events.clone(),
            deadline: self.deadline,
        };
        Ok(self.shared.fleet.pass(server, passing).await?)
    }

    async fn tool(&self) -> Result<Passed, Fault> {
        let lineup = self.snapshot.lineup(self.ask.mode);
        if let Some(found) = lineup.roster.find(&self.snapshot.catalog, &self.ask.about) {
            return self.call(found).await;
        }
        // Its upstream may not be listed yet.
        let snapshot = self.shared.told(self.principal, &self.ask.about, self.deadline).await;
        let lineup = snapshot.lineup(self.ask.mode);
        match lineup.roster.find(&snapshot.catalog, &self.ask.about) {
            Some(found) => self.call(found).await,
            None => Err(self.down(&snapshot).unwrap_or_else(|| {
                unknown("tool", &self.ask.about, &lineup.roster.nearest(&self.ask.about))
            })),
        }
    }

    /// Why the server that a tool's name begins with has no such tool, if it has none at all.
    fn down(&self, snapshot: &Snapshot) -> Option<Fault> {
        let exposure = Arc::clone(&self.shared.settings.borrow());
        let mut servers = snapshot.catalog.servers().filter(|server| {
            let prefix = exposure.exposure.name(&server.name, "");
            !prefix.is_empty() && self.ask.about.starts_with(&prefix)
        });
        servers.find_map(|server| self.shared.down(&snapshot.catalog, &server.name))
    }

    async fn call(&self, found: ToolRef<'_>) -> Result<Passed, Fault> {
        let hybrid = self.ask.mode == Mode::Hybrid;
        if hybrid && let Some(refused) = self.refused(found) {
            return refused;
        }
        let (server, tool) = (&found.server.name, &found.tool.spec.name);
        if self.snapshot.settings.wants_consent(server, tool) {
            return Err(no_consent(server, tool));
        }
        found.tool.called();
        if found.server.name == crate::intents::NAMESPACE {
            return self.intent(&found.tool.spec.name).await;
        }
        let (server, tool) = (found.server.name.as_str(), found.tool.spec.name.as_str());
        let started = Instant::now();
        let arguments = get(self.ask.params.get(), "arguments").unwrap_or("{}");
        let kept = self.shared.cached(self.snapshot, self.principal, found, arguments);
        let (passed, age) = match kept {
            Some(flight) => flight.wait(self.deadline).await?,
            None => (self.to(server, Some(tool)).await?, None),
        };
        self.note(&passed, server).await;
        let passed = match passed {
            Passed::Error(error) if hybrid && error.code == INVALID_PARAMS => {
                return self.mended(found, &error);
            }
            passed => passed,
        };
        let passed = if hybrid { billed(passed, started) } else { passed };
        Ok(match age {
            Some(age) => marked(passed, age),
            None => passed,
        })
    }

    /// An intent is a tool of ours: its run is the answer.
    async fn intent(&self, name: &str) -> Result<Passed, Fault> {
        let input = get(self.ask.params.get(), "arguments").unwrap_or("{}");
        let input = RawValue::from_string(input.to_owned()).ok();
        let ask = IntentsAsk::Call { name: name.to_owned(), input };
        let wait = Some(self.deadline.saturating_duration_since(Instant::now()));
        let called = self.shared.intents(self.principal, ask, wait, self.events.clone());
        let result = match Box::pin(called).await? {
            Answer::Call(result) => to_raw_value(&result),
            Answer::Run(report) => {
                let failed = !matches!(report.end, RunEnd::Returned(_));
                let content = json!([{"type": "text", "text": report.text}]);
                let mut result = json!({"content": content, "isError": failed});
                if let (RunEnd::Returned(shaped), Some(members)) =
                    (&report.end, result.as_object_mut())
                    && let Some(value) = &shaped.value
                    && value.get().starts_with('{')
                {
                    let value = serde_json::from_str::<Value>(value.get()).unwrap_or_default();
                    members.insert("structuredContent".to_owned(), value);
                }
                to_raw_value(&result)
            }
            _ => return Err(Fault::bug("an intent answered with something else")),
        };
        result.map(Passed::Result).map_err(|e| Fault::bug(e.to_string()))
    }

    /// In hybrid mode a model calls with what it remembers: wrong arguments come back at once, with
    /// how it should have been.
    fn refused(&self, found: ToolRef<'_>) -> Option<Result<Passed, Fault>> {
        let arguments = get(self.ask.params.get(), "arguments").unwrap_or("{}");
        let limit = self.snapshot.settings.arguments_bytes;
        if arguments.len() > limit {
            let bytes = arguments.len();
            let message = format!("the arguments are {bytes} bytes; the limit is {limit}");
            return Some(Err(Fault::invalid(message).hint("send less at once")));
        }
        let arguments: &RawValue = serde_json::from_str(arguments).ok()?;
        let fault = self.snapshot.catalog.validate(found, arguments).err()?;
        Some(Self::told(&self.snapshot.catalog, found, &fault.message))
    }

    fn mended(&self, found: ToolRef<'_>, error: &WireError) -> Result<Passed, Fault> {
        Self::told(
            &self.snapshot.catalog,
            found,
            &format!("error {}: {}", error.code, error.message),
        )
    }

    fn told(catalog: &Catalog, found: ToolRef<'_>, wrong: &str) -> Result<Passed, Fault> {
        let signature = catalog.signature(found, Language::TypeScript);
        let text =
            format!("{}\nnot called; it is: {signature}", fault::clip(wrong.to_owned(), 1_000));
        let result = json!({"content": [{"type": "text", "text": text}], "isError": true});
        to_raw_value(&result).map(Passed::Result).map_err(|e| Fault::bug(e.to_string()))
    }

    /// Remembers what a result names: a task to be asked for, resources to be read.
    async fn note(&self, passed: &Passed, server: &str) {
        let Passed::Result(result) = passed else { return };
        let text = result.get();
        if text.len() > LINKS_BYTES_MAX {
            return;
        }
        if text.contains("\"taskId\"") {
            // A modern task is the result itself, one of 2025-11-25 stands in it.
            let task = get(text, "task").unwrap_or(text);
            if let Some(id) = get_text(task, "taskId") {
                let ttl = get(task, "ttlMs").or_else(|| get(task, "ttl"));
                let ttl = ttl.and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
                self.shared.hold_task(&id, server, self.principal, ttl).await;
            }
        }
        if text.contains("\"resource_link\"") {
            let server: Arc<str> = server.into();
            let content = get(text, "content").unwrap_or("[]");
            for block in narrows_types::raw::elements(content).flatten() {
                if let Some(uri) = get_text(block, "uri") {
                    self.shared.owners.claim(&uri, &server);
                }
            }
        }
    }

    async fn prompt(&self) -> Result<Passed, Fault> {
        let (shared, about) = (self.shared, self.ask.about.as_str());
        let merged = shared.merged(ListKind::Prompts, self.snapshot, self.deadline).await;
        match merged.owner(about) {
            Some((server, own)) => self.to(server, Some(own)).await,
            None => Err(unknown("prompt", about, &nearest(about, merged.names(), 2))),
        }
    }

    async fn resource(&self) -> Result<Passed, Fault> {
        let uri = self.ask.about.as_str();
        let kind = match self.ask.method {
            Method::CompleteResource => ListKind::Templates,
            _ => ListKind::Resources,
        };
        if let Some(server) = self.owner(uri, kind).await {
            return self.to(&server, None).await;
        }
        self.anybody(uri).await
    }

    /// Who owns a URI: who lists it, who named or knew it first, whose template makes it. What a
    /// server says in a result takes nothing from one that lists it.
    async fn owner(&self, uri: &str, kind: ListKind) -> Option<Arc<str>> {
        let catalog = &self.snapshot.catalog;
        let view = catalog.tools().find(|t| t.tool.ui.as_deref() == Some(uri));
        if let Some(view) = view {
            return Some(view.server.name.as_str().into());
        }
        let merged = self.shared.merged(kind, self.snapshot, self.deadline).await;
        if let Some((server, _)) = merged.owner(uri) {
            return Some(Arc::clone(server));
        }
        if let Some(server) = self.shared.owners.get(uri)
            && catalog.servers().any(|known| known.name == *server)
        {
            return Some(server);
        }
        let templates = ListKind::Templates;
        let made = self.shared.merged(templates, self.snapshot, self.deadline).await;
        made.owner(uri).map(|(server, _)| server).or_else(|| made.maker(uri)).cloned()
    }

    /// Asks one upstream after the other, in the order of the config, and remembers who knew it.
    async fn anybody(&self, uri: &str) -> Result<Passed, Fault> {
        let offering: Vec<String> = self
            .shared
            .fleet
            .offers()
            .into_iter()
            .filter(|o| get(o.capabilities.get(), "resources").is_some())
            .map(|offer| offer.server)
            .collect();
        let (mut refused, mut failed) = (None, None);
        for server in self.snapshot.catalog.servers().filter(|s| offering.contains(&s.name)) {
            match self.to(&server.name, None).await {
                Ok(Passed::Error(error)) if NOT_THERE.contains(&error.code) => {
                    refused.get_or_insert(error);
                }
                Ok(known) => {
                    // Some take a subscription to anything.
                    let read = self.ask.method == Method::ReadResource;
                    if read && matches!(known, Passed::Result(_)) {
                        self.shared.owners.claim(uri, &server.name.as_str().into());
                    }
                    return Ok(known);
                }
                // Another one may have it.
                Err(fault) => {
                    failed.get_or_insert(fault);
                }
            }
        }
        match (failed, refused) {
            (Some(fault), _) => Err(fault),
            (None, Some(error)) => Ok(Passed::Error(error)),
            (None, None) => Err(unknown("resource", uri, &[])),
        }
    }

    async fn task(&self) -> Result<Passed, Fault> {
        let id = self.ask.about.as_str();
        let known = self.shared.find_task(id, self.principal).await;
        let there = known.filter(|s| self.snapshot.catalog.servers().any(|k| k.name == **s));
        match there {
            Some(server) => self.to(&server, None).await,
            None => Err(unknown("task", id, &[])),
        }
    }
}

/// What a direct call cost, told where the agent weighs it against a program.
fn billed(passed: Passed, started: Instant) -> Passed {
    let Passed::Result(result) = passed else { return passed };
    let ms = started.elapsed().as_millis();
    let bytes = result.get().len();
    let bill = format!(r#"{{"route":"direct","calls":1,"ms":{ms},"bytes":{bytes}}}"#);
    Passed::Result(raw::with_meta(&result, "narrows/bill", &bill).unwrap_or(result))
}

/// Says that the answer was not asked for anew.
fn marked(passed: Passed, age: Duration) -> Passed {
    let Passed::Result(result) = passed else { return passed };
    let entry = format!(r#"{{"ageMs":{}}}"#, age.as_millis());
    Passed::Result(raw::with_meta(&result, "narrows/cached", &entry).unwrap_or(result))
}

fn unknown(what: &str, about: &str, near: &[&str]) -> Fault {
    let about = fault::clip(about.to_owned(), 128);
    let fault = Fault::not_found(format!("unknown {what}: {about}"));
    if near.is_empty() { fault } else { fault.hint(format!("did you mean {}?", near.join(" or "))) }
}
