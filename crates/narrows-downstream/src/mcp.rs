//! MCP's words to the engine's and back; the same for every transport.
//!
//! A request is first planned (pure: which rules apply, what is asked), then performed. Both eras
//! of the protocol are served side by side: modern requests carry their revision in `_meta`,
//! legacy ones belong to a session opened by `initialize`.

mod plan;

pub(crate) use plan::{Pending, Plan, Purpose, negotiate};

use crate::config::Config;
use crate::fault::{FaultBody, wire};
use crate::progress::Meter;
use crate::render::{self, Keep, Seal};
use crate::wire::{Failure, notification};
use narrows_engine::Engine;
use narrows_protocol::Revision;
use narrows_types::{Answer, Ask, Event, Fault, Kind, Principal};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events of one request that wait for its door; further ones are dropped.
const EVENTS_MAX: usize = 64;
/// Bytes of an artifact that one `resources/read` returns.
pub(crate) const RESOURCE_BYTES_MAX: u64 = 16 << 20;
/// How long a modern client may keep what never changes while we run.
const FIXED: Keep = Keep { ttl_ms: 3_600_000, cache_scope: "private" };
/// How long it may keep an artifact.
const ARTIFACT: Keep = Keep { ttl_ms: 60_000, cache_scope: "private" };

/// A finished result as JSON text.
pub(crate) type Body = Box<RawValue>;

/// The rules that a request plays by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// A session of a revision up to 2025-11-25.
    Legacy(Revision),
    /// The stateless revisions from 2026-07-28.
    Modern,
}

/// Who answers.
pub(crate) enum Source {
    Engine(Engine),
    /// A test's own answers.
    #[cfg(test)]
    Script(crate::tests::Script),
}

/// What all doors share.
pub(crate) struct Front {
    source: Source,
    pub(crate) config: Arc<Config>,
    /// Name and version, as they introduce us.
    introduction: Body,
}

impl Front {
    pub(crate) fn new(source: Source, config: Arc<Config>) -> Self {
        let introduction = raw(&json!({
            "name": config.server_name,
            "version": config.server_version,
        }));
        Self { source, config, introduction }
    }

    pub(crate) fn seal(&self, rules: Rules) -> Seal<'_> {
        match rules {
            Rules::Modern => Seal { modern: Some(&self.introduction), structured: true },
            Rules::Legacy(revision) => {
                Seal { modern: None, structured: revision >= Revision::V2025_06_18 }
            }
        }
    }

    fn keep(rules: Rules, keep: Keep) -> Option<Keep> {
        (rules == Rules::Modern).then_some(keep)
    }

    /// Asks the engine. Each event becomes a progress notification handed to `notify`, if the
    /// request gave a token. Dropping the future cancels the request.
    pub(crate) async fn perform(
        &self,
        pending: Pending,
        rules: Rules,
        principal: Principal,
        notify: impl Fn(String),
    ) -> Result<Body, Failure> {
        let Pending { what, purpose, token } = pending;
        let wait = self.config.request_timeout;
        let client = Arc::default();
        let ask = Ask { principal, client, deadline: Some(wait), what };
        let answer = match token {
            None => self.asked(ask, None).await,
            Some(token) => {
                let (events, heard) = mpsc::channel(EVENTS_MAX);
                relay(self.asked(ask, Some(events)), heard, &token, notify).await
            }
        };
        self.body(purpose, rules, answer)
    }

    /// The engine keeps the deadline; this one only catches an engine that does not.
    pub(crate) async fn asked(
        &self,
        ask: Ask,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        let wait = self.config.request_timeout;
        let answer = match &self.source {
            Source::Engine(engine) => tokio::time::timeout(wait + GRACE, engine.ask(ask, events)),
            #[cfg(test)]
            Source::Script(script) => return script(ask, events).await,
        };
        match answer.await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let message = format!("no answer within {} s", wait.as_secs());
                Err(Fault::new(Kind::Timeout, narrows_types::Origin::Narrows, message))
            }
        }
    }

    fn body(
        &self,
        purpose: Purpose,
        rules: Rules,
        answer: Result<Answer, Fault>,
    ) -> Result<Body, Failure> {
        let seal = self.seal(rules);
        let encoded = match (purpose, answer) {
            (Purpose::Tool, Ok(Answer::Run(report))) => render::run(&report, seal),
            (Purpose::Tool, Ok(Answer::Search(found))) => render::search(&found, seal),
            (Purpose::Tool, Err(fault)) if for_the_model(&fault) => {
                render::tool_fault(&fault, seal)
            }
            (Purpose::Resource, Ok(Answer::Artifact(part))) => {
                let whole = part.total_bytes;
                if whole > RESOURCE_BYTES_MAX {
                    let message = format!(
                        "artifact {} is {whole} bytes; the limit of a read is {RESOURCE_BYTES_MAX}",
                        part.handle
                    );
                    Err(Fault::new(Kind::Limit, narrows_types::Origin::Agent, message)
                        .hint("read it in a program with artifact(handle)"))
                } else {
                    render::resource(part, Self::keep(rules, ARTIFACT), seal)
                }
            }
            (_, Err(fault)) => Err(fault),
            (_, Ok(_)) => Err(Fault::bug("the engine gave an answer to another question")),
        };
        encoded.map_err(|fault| failure(&fault, purpose, rules))
    }
}

/// How much longer than its deadline the engine is waited for.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Passes events on while the answer is awaited, and those that came just before it.
async fn relay(
    asked: impl Future<Output = Result<Answer, Fault>>,
    mut heard: mpsc::Receiver<Event>,
    token: &Value,
    notify: impl Fn(String),
) -> Result<Answer, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Progress<'a> {
        progress_token: &'a Value,
        #[serde(flatten)]
        reading: crate::progress::Reading,
    }
    let mut meter = Meter::default();
    let mut pass = |event| {
        let Event::Progress { fraction, message } = event else { return };
        let reading = meter.read(fraction, message);
        let params = Progress { progress_token: token, reading };
        notify(notification("notifications/progress", &params));
    };
    let mut asked = std::pin::pin!(asked);
    let answer = loop {
        tokio::select! {
            biased;
            Some(event) = heard.recv() => pass(event),
            answer = &mut asked => break answer,
        }
    };
    while let Ok(event) = heard.try_recv() {
        pass(event);
    }
    answer
}

/// Faults that the model can do something about go into the tool's result; the rest is for the
/// client.
fn for_the_model(fault: &Fault) -> bool {
    !matches!(fault.kind, Kind::Unauthenticated | Kind::Cancelled | Kind::Bug)
}

fn failure(fault: &Fault, purpose: Purpose, rules: Rules) -> Failure {
    let code = match (purpose, fault.kind, rules) {
        // Before 2026-07-28 a missing resource had a code of its own.
        (Purpose::Resource, Kind::NotFound, Rules::Legacy(_)) => {
            narrows_protocol::code::RESOURCE_NOT_FOUND
        }
        _ => wire(fault.kind).rpc,
    };
    let data = serde_json::to_value(FaultBody::from(fault)).ok();
    Failure { code, message: fault.to_string(), data, status: 200 }
}

/// A value as text. Encoding a `Value` cannot fail.
fn raw(value: &Value) -> Body {
    serde_json::value::to_raw_value(value).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}
