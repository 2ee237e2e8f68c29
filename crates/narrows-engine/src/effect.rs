//! One call of a program: made, repeated, put before a person, or answered by Narrows itself.

use crate::call::{CallContext, Called};
use crate::intents::is_intent;
use crate::ledger::{Answer, Turn};
use crate::past::question_id;
use crate::redact::redacted;
use crate::run::{Run, micros};
use crate::snapshot::Snapshot;
use narrows_catalog::shape;
use narrows_types::fault::clip;
use narrows_types::frame::{Call, CallError};
use narrows_types::wildcard;
use narrows_types::{
    Action, Asked, AskedKind, CallRecord, Content, Durability, Fault, Kind, Response, Retry,
};
use narrows_upstream::{Asks, Caller, Rounds};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// The member of an answer that stands for the whole where the question's schema is no object.
const ANSWER: &str = "answer";
/// Bytes of an upstream's question.
const MESSAGE_BYTES: usize = 4 << 10;
/// Bytes of a question's schema.
const SCHEMA_BYTES: usize = 16 << 10;
/// How long an upstream is left alone that wants to be asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// What came of a call.
pub(crate) struct Finished {
    /// The worker's number of it.
    pub(crate) id: u32,
    pub(crate) how: How,
    /// Its place among the parallel calls; free once the program has heard.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// What came of a call.
pub(crate) enum How {
    /// The program hears of it.
    Outcome(Heard),
    /// Somebody must answer first; an upstream that asked wants this back with the answers.
    Park(Vec<Asked>, Option<Box<RawValue>>),
    /// The run cannot go on.
    Broken(Fault),
}

/// What the program hears.
pub(crate) struct Heard {
    pub(crate) ok: bool,
    pub(crate) body: Box<RawValue>,
    pub(crate) handles: Vec<(String, Content)>,
    pub(crate) record: Option<CallRecord>,
    /// What the journal holds instead of the body, if that has a secret.
    pub(crate) kept: Option<Box<RawValue>>,
}

impl Heard {
    /// Something that no upstream was asked for.
    pub(crate) fn own(answer: Result<String, CallError>) -> Self {
        let (ok, text) = match answer {
            Ok(json) => (true, json),
            Err(error) => (false, serde_json::to_string(&error).unwrap_or_default()),
        };
        Self { ok, body: raw(text), handles: Vec::new(), record: None, kept: None }
    }
}

fn raw(json: String) -> Box<RawValue> {
    // What is no JSON becomes a text.
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What a tool answered, or why the call waits.
enum Made {
    Heard(Heard),
    Asks(Vec<Asked>, Option<Box<RawValue>>),
    Unsure(String),
}

impl Run<'_> {
    /// Sees a call through.
    pub(crate) async fn perform(
        &self,
        id: u32,
        call: Call,
        turn: (Turn, Option<Box<RawValue>>),
        snapshot: &Snapshot,
    ) -> Finished {
        let place = self.place().await;
        let how = match self.settle(&call, turn, snapshot).await.unwrap_or_else(How::Broken) {
            // Whoever went on with it would not hear again what it got over the network.
            How::Park(..) if !self.begin.is_whole() => {
                let why = "this run cannot pause: it has a network (limits.network)";
                How::Outcome(Heard::own(Err(failed(&call, why))))
            }
            how => how,
        };
        let how = self.unwaiting(&call, how);
        Finished { id, how, place: Some(place) }
    }

    async fn settle(
        &self,
        call: &Call,
        (turn, state): (Turn, Option<Box<RawValue>>),
        snapshot: &Snapshot,
    ) -> Result<How, Fault> {
        let own = call.server == crate::own::NAMESPACE;
        if own && call.tool == "ask" {
            return Ok(self.ask(call, turn));
        }
        let (answers, retried) = match turn {
            Turn::Make(safe) => {
                safe.wait().await?;
                if let Some(asked) = Self::needs_consent(call, snapshot) {
                    return Ok(How::Park(vec![asked], None));
                }
                return self.make(call, snapshot, Rounds::default()).await;
            }
            Turn::Before(answers, retried) => (answers, retried),
            Turn::Recorded | Turn::Diverged(_) => {
                return Err(Fault::bug("a call of the journal was made again"));
            }
        };
        // It may have ended before anybody was asked.
        let consent = answers.iter().any(|(asked, _)| asked.kind == AskedKind::Approve);
        if !consent
            && !retried
            && let Some(asked) = Self::needs_consent(call, snapshot)
        {
            return Ok(How::Park(vec![asked], None));
        }
        // What an intent asks is asked of its own run.
        if own || is_intent(call) && !consent {
            return self.make(call, snapshot, Rounds::default()).await;
        }
        let Some((first, response)) = answers.first() else {
            if Self::repeatable(call, snapshot) {
                return self.make(call, snapshot, Rounds::default()).await;
            }
            return Ok(How::Park(vec![Self::unsure(call)], None));
        };
        if answers.iter().any(|(_, response)| response.is_none()) {
            // Those that are answered stay so, whatever is asked beside them.
            let open = answers.iter().filter(|(_, response)| response.is_none());
            return Ok(How::Park(open.map(|(asked, _)| asked.clone()).collect(), None));
        }
        if first.kind == AskedKind::Elicit {
            let rounds = Rounds { responses: responses(&answers), state };
            return self.make(call, snapshot, rounds).await;
        }
        let decided = response.as_ref().and_then(|r| Self::decided(call, first.kind, r));
        if decided.is_some() && first.kind == AskedKind::Approve && !self.offline {
            let who = (Some(self.running()), &self.grant.principal);
            let tool = format!("{}.{}", call.server, call.tool);
            self.shared.audit.denied(who, &tool, "a person declined it");
        }
        match decided {
            Some(heard) => Ok(How::Outcome(heard)),
            None => self.make(call, snapshot, Rounds::default()).await,
        }
    }

    async fn make(&self, call: &Call, snapshot: &Snapshot, rounds: Rounds) -> Result<How, Fault> {
        if call.server == crate::own::NAMESPACE {
            return Ok(How::Outcome(Heard::own(self.own(call, snapshot).await)));
        }
        if is_intent(call) {
            return self.intent(call).await;
        }
        if self.offline {
            let error = failed(call, "a replay asks no upstream, and the journal has no such call");
            return Ok(How::Outcome(Heard::own(Err(error))));
        }
        Ok(match self.tool(call, snapshot, rounds).await {
            Made::Heard(heard) => How::Outcome(heard),
            Made::Asks(asked, state) => How::Park(asked, state),
            Made::Unsure(why) => {
                tracing::info!(run = %self.id, "paused: {why}");
                How::Park(vec![Self::unsure(call)], None)
            }
        })
    }

    /// What somebody decided about a call that is not made then; none if it is.
    fn decided(call: &Call, kind: AskedKind, response: &Response) -> Option<Heard> {
        let declined = response.action != Action::Accept;
        if kind == AskedKind::Approve {
            let error = || failed(call, "a person declined this call; do not try again");
            return declined.then(|| Heard::own(Err(error())));
        }
        let content: Value = response
            .content
            .as_ref()
            .and_then(|content| serde_json::from_str(content.get()).ok())
            .unwrap_or_default();
        match content.get("choice").and_then(Value::as_str) {
            Some("retry") if !declined => None,
            Some("done") if !declined => {
                let value = content.get("value").cloned().unwrap_or_default();
                // A form can only give text: what is JSON counts as such.
                let text = value.as_str().map(ToOwned::to_owned);
                let json = text.map_or_else(
                    || value.to_string(),
                    |text| match serde_json::from_str::<Value>(&text) {
                        Ok(_) => text,
                        Err(_) => Value::String(text).to_string(),
                    },
                );
                Some(Heard::own(Ok(json)))
            }
            _ => {
                let why = "whether it was carried out is unknown, and a person let it fail";
                Some(Heard::own(Err(failed(call, why))))
            }
        }
    }

    /// `ask(question, schema)`.
    fn ask(&self, call: &Call, turn: Turn) -> How {
        let refused = |why: &str| How::Outcome(Heard::own(Err(failed(call, why))));
        if self.durability == Durability::Off {
            return refused("this run cannot pause: its durability is off");
        }
        let arguments: Value = serde_json::from_str(call.args.get()).unwrap_or_default();
        let Some(message) = arguments.get("question").and_then(Value::as_str) else {
            return refused("give a question: ask(\"...\", schema)");
        };
        let given = arguments.get("schema").filter(|schema| !schema.is_null());
        if given.is_some_and(|schema| !schema.is_object()) {
            return refused("the schema is a JSON Schema object, or left out");
        }
        let whole = given.is_some_and(|schema| schema["type"] == "object");
        let said = match turn {
            Turn::Before(answers, _) => answers.into_iter().find_map(|(_, response)| response),
            _ => None,
        };
        if let Some(response) = said {
            if response.action != Action::Accept {
                return refused("nobody answered: the question was declined");
            }
            let content: Value = response
                .content
                .and_then(|content| serde_json::from_str(content.get()).ok())
                .unwrap_or_default();
            let value =
                if whole { content } else { content.get(ANSWER).cloned().unwrap_or_default() };
            return How::Outcome(Heard::own(Ok(value.to_string())));
        }
        let schema = if whole {
            given.cloned().unwrap_or_default()
        } else {
            let answer = given.cloned().unwrap_or_else(|| json!({"type": "string"}));
            json!({"type": "object", "properties": {ANSWER: answer}, "required": [ANSWER]})
        };
        let asked = Asked {
            id: question_id(call.id),
            kind: AskedKind::Ask,
            about: String::new(),
            message: clip(message.to_owned(), MESSAGE_BYTES),
            schema: to_raw_value(&schema).ok().filter(|s| s.get().len() <= SCHEMA_BYTES),
        };
        if asked.schema.is_none() {
            return refused(&format!("the schema is longer than {SCHEMA_BYTES} bytes"));
        }
        How::Park(vec![asked], None)
    }

    /// The question whether a call may be made, if the config wants a person's consent.
    fn needs_consent(call: &Call, snapshot: &Snapshot) -> Option<Asked> {
        let settings = &snapshot.settings;
        if settings.approve.is_empty() || call.server == crate::own::NAMESPACE {
            return None;
        }
        let found = snapshot.catalog.resolve(&call.server, &call.tool);
        let (server, tool) = match &found {
            Ok(found) => (&found.server.name, &found.tool.spec.name),
            Err(_unknown) => (&call.server, &call.tool),
        };
        settings.wants_consent(server, tool).then(|| Asked {
            id: question_id(call.id),
            kind: AskedKind::Approve,
            about: format!("{}.{}", call.server, call.tool),
            message: format!("may {server}.{tool} be called with {}?", shape::describe(&call.args)),
            schema: to_raw_value(&json!({"type": "object", "properties": {}})).ok(),
        })
    }

    fn unsure(call: &Call) -> Asked {
        let name = format!("{}.{}", call.server, call.tool);
        let schema = json!({
            "type": "object",
            "properties": {
                "choice": {"type": "string", "enum": ["retry", "done", "fail"]},
                "value": {"type": "string", "description": "with done: the result, as JSON"}
            },
            "required": ["choice"]
        });
        Asked {
            id: question_id(call.id),
            kind: AskedKind::Unknown,
            message: format!(
                "it is unknown whether {name} with {} was carried out: retry it, treat it as \
                 done, or let it fail?",
                // What stands in them may be secret.
                shape::describe(&call.args)
            ),
            about: name,
            schema: to_raw_value(&schema).ok(),
        }
    }

    /// Whether making a call twice does no more than making it once, as its tool or the config says.
    pub(crate) fn repeatable(call: &Call, snapshot: &Snapshot) -> bool {
        if is_intent(call) || call.server == crate::own::NAMESPACE {
            return true;
        }
        // Of a tool that is not known nobody knows.
        let Ok(found) = snapshot.catalog.resolve(&call.server, &call.tool) else { return false };
        let name = format!("{}.{}", found.server.name, found.tool.spec.name);
        let said = |patterns: &[String]| patterns.iter().any(|p| wildcard::fits(p, &name));
        if said(&snapshot.settings.never_repeat) {
            return false;
        }
        let hints = found.tool.spec.annotations;
        hints.read_only_hint == Some(true)
            || hints.idempotent_hint == Some(true)
            || said(&snapshot.settings.repeat)
    }

    async fn tool(&self, call: &Call, snapshot: &Snapshot, mut rounds: Rounds) -> Made {
        let start = Instant::now();
        let start_us = self.elapsed_us();
        let (principal, deadline) = (&self.grant.principal, self.grant.deadline);
        let called = loop {
            let context = CallContext {
                snapshot,
                principal,
                running: Some(self.running()),
                deadline,
                progress: None,
                caller: Caller::of(&principal.name, None),
                rounds: (self.durability != Durability::Off).then(|| rounds.clone()),
                consented: true,
            };
            let called = self.shared.invoke(context, &call.server, &call.tool, &call.args).await;
            let Ok(Called { asks: Some(asks), .. }) = called else { break called };
            if asks.questions.is_empty() {
                // It only wants to be asked again.
                rounds = Rounds { responses: None, state: asks.state };
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            match elicited(call, &asks) {
                Ok(asked) => return Made::Asks(asked, asks.state),
                Err(why) => return Made::Heard(Heard::own(Err(failed(call, why)))),
            }
        };
        let mut record = CallRecord {
            server: call.server.clone(),
            tool: call.tool.clone(),
            start_us,
            took_us: micros(start.elapsed()),
            sent_bytes: call.args.get().len() as u64,
            received_bytes: 0,
            ok: false,
            cached: false,
        };
        let answer = match called {
            Ok(called) => self.value(call, called, &mut record),
            Err(fault) if self.unknown(&fault) => return Made::Unsure(fault.to_string()),
            Err(fault) => Err(failed(call, fault.to_string())),
        };
        Made::Heard(match answer {
            Ok((json, handles)) => {
                record.received_bytes = json.len() as u64;
                record.ok = true;
                let body = raw(json);
                let kept = self.without_secrets(call, &body, snapshot);
                Heard { ok: true, body, handles, record: Some(record), kept }
            }
            Err(error) => Heard { record: Some(record), ..Heard::own(Err(error)) },
        })
    }

    /// A result without what its tool's schema says is secret.
    fn without_secrets(
        &self,
        call: &Call,
        body: &RawValue,
        snapshot: &Snapshot,
    ) -> Option<Box<RawValue>> {
        if self.durability == Durability::Off {
            return None;
        }
        let found = snapshot.catalog.resolve(&call.server, &call.tool).ok()?;
        redacted(body, found.tool.spec.output_schema.as_ref(), &snapshot.settings.redact)
    }

    /// Whether a run that must not lose anything stops here: the call may have been carried out.
    fn unknown(&self, fault: &Fault) -> bool {
        self.durability == Durability::Sync
            && fault.kind == Kind::Lost
            && fault.retry == Retry::Never
    }

    fn value(
        &self,
        call: &Call,
        called: Called,
        record: &mut CallRecord,
    ) -> Result<(String, Vec<(String, Content)>), CallError> {
        let Called { server, tool, cached, result, .. } = called;
        (record.server, record.tool, record.cached) = (server, tool, cached);
        if result.is_error {
            return Err(failed(call, shape::error_text(&result.joined_text())));
        }
        let (json, handles) = shape::program_value(&result, call.id);
        let limit = self.grant.limits.result_bytes;
        if json.len() as u64 > limit {
            let bytes = json.len();
            return Err(failed(
                call,
                format!(
                    "the result is {bytes} bytes; limit result_bytes is {limit}; ask the tool for \
                     less"
                ),
            ));
        }
        Ok((json, handles))
    }
}

/// What an upstream asks a person, as questions of the run.
fn elicited(call: &Call, asks: &Asks) -> Result<Vec<Asked>, String> {
    let name = format!("{}.{}", call.server, call.tool);
    let question = |(key, method, params): &(String, String, Option<Box<RawValue>>)| {
        let params: Value = params
            .as_ref()
            .and_then(|params| serde_json::from_str(params.get()).ok())
            .unwrap_or_default();
        let text = |name: &str| params.get(name).and_then(Value::as_str);
        if method != "elicitation/create" || text("mode").is_some_and(|mode| mode != "form") {
            return Err(format!("it asks the client for {method}, which a program cannot give"));
        }
        Ok(Asked {
            id: format!("{}/{key}", question_id(call.id)),
            kind: AskedKind::Elicit,
            about: name.clone(),
            message: clip(text("message").unwrap_or_default().to_owned(), MESSAGE_BYTES),
            schema: params.get("requestedSchema").and_then(|schema| to_raw_value(schema).ok()),
        })
    };
    asks.questions.iter().map(question).collect()
}

/// What somebody answered, as an upstream that asked expects it.
fn responses(answers: &[Answer]) -> Option<Box<RawValue>> {
    let mut all = serde_json::Map::new();
    for (asked, response) in answers {
        let (_, key) = asked.id.split_once('/')?;
        let response = response.as_ref()?;
        let mut said = json!({"action": response.action});
        if let (Some(content), Some(said)) = (&response.content, said.as_object_mut())
            && response.action == Action::Accept
        {
            let content: Value = serde_json::from_str(content.get()).unwrap_or_default();
            said.insert("content".to_owned(), content);
        }
        all.insert(key.to_owned(), said);
    }
    to_raw_value(&all).ok()
}

/// Why a call failed.
pub(crate) fn failed(call: &Call, why: impl Into<String>) -> CallError {
    let tool = if call.server == crate::own::NAMESPACE {
        call.tool.clone()
    } else {
        format!("{}.{}", call.server, call.tool)
    };
    CallError { tool, message: why.into(), arguments: shape::describe(&call.args) }
}
