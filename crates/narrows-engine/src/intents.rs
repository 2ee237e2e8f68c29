//! Intents: programs that are saved, checked, versioned and called by name.

use crate::call::no_consent;
use crate::effect::{Heard, How, failed};
use crate::entry::Begin;
use crate::life::Belongs;
use crate::past::{Past, question_id};
use crate::run::Run;
use crate::runs::alike;
use crate::{Events, Shared};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use narrows_store::IntentHead;
use narrows_types::frame::Call;
use narrows_types::{
    Answer, Asked, CallAsk, Client, Durability, Fault, Intent, IntentInfo, IntentTest, IntentsAsk,
    Kind, Limits, Network, Origin, Principal, RunAsk, RunEnd, RunId, RunReport, RunState,
    ServerListing, ToolSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The upstream that the catalog shows intents as.
pub(crate) const NAMESPACE: &str = "intents";
/// How deep intents may call intents.
const DEPTH_MAX: usize = 8;
/// Characters of a name.
const NAME_MAX: usize = 64;
/// Bytes of a description.
const DESCRIPTION_MAX: usize = 1_024;
/// Bytes of a schema.
const SCHEMA_MAX: usize = 64 << 10;
/// Tests of one intent.
const TESTS_MAX: usize = 50;
/// Bytes of all of them.
const TESTS_BYTES_MAX: usize = 1 << 20;

/// A version as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Saved {
    intent: Intent,
    saved_at_ms: u64,
}

impl Shared {
    pub(crate) async fn intents(
        self: &Arc<Self>,
        principal: &Principal,
        ask: IntentsAsk,
        wait: Option<Duration>,
        events: Option<Events>,
    ) -> Result<Answer, Fault> {
        let owner = &principal.name;
        let told = |head| Ok(Answer::Intent(Box::new(info(head)?)));
        match ask {
            IntentsAsk::Save(intent) => self.save(principal, *intent).await,
            IntentsAsk::Promote { run, name, description, input_schema } => {
                let intent =
                    self.promoted(principal, &run, (name, description, input_schema)).await?;
                self.save(principal, intent).await
            }
            IntentsAsk::List => {
                let heads = self.store.intents(owner).await?;
                let infos = heads.into_iter().map(info).collect::<Result<_, _>>()?;
                Ok(Answer::Intents(infos))
            }
            IntentsAsk::Show { name, version } => {
                let mut head = self.store.intent(owner, &name).await?;
                if let Some(version) = version {
                    head.body = self.store.version(owner, &name, version).await?;
                    head.version = version;
                }
                told(head)
            }
            IntentsAsk::Rollback { name, version } => {
                let head = self.store.use_version(owner, &name, version).await?;
                self.intents_changed(principal);
                told(head)
            }
            IntentsAsk::Delete { name } => {
                self.store.delete_intent(owner, &name).await?;
                self.intents_changed(principal);
                Ok(Answer::Done)
            }
            IntentsAsk::Test { name } => {
                let info = info(self.store.intent(owner, &name).await?)?;
                self.check(principal, &info.intent).await?;
                Ok(Answer::Intent(Box::new(info)))
            }
            IntentsAsk::Call { name, input } => {
                if self.settings.borrow().wants_consent(NAMESPACE, &name) {
                    let refused = no_consent(NAMESPACE, &name);
                    self.denied((None, principal), (NAMESPACE, &name), &refused);
                    return Err(refused);
                }
                let info = info(self.store.intent(owner, &name).await?)?;
                if let (Some(direct), Some(arguments)) = (&info.direct, &input)
                    && let Some((server, tool)) = direct.split_once('.')
                    && self.callable(principal, server, tool).await
                {
                    fits(&info.intent, input.as_deref())?;
                    let (server, tool) = (server.to_owned(), tool.to_owned());
                    let call = CallAsk { server, tool, arguments: arguments.clone() };
                    let client = Client::default();
                    let called = self.call_directly(principal, (wait, &client), call, events);
                    return Ok(Answer::Call(called.await?));
                }
                let ask = program(info.intent, input)?;
                let ask = RunAsk { follow: false, ..ask };
                let report = self.run(principal.clone(), wait, ask, events).await?;
                Ok(Answer::Run(Box::new(report)))
            }
        }
    }

    /// Whether a tool can be called without a program; where not, the program says what is wrong or
    /// waits for consent.
    async fn callable(&self, principal: &Principal, server: &str, tool: &str) -> bool {
        let snapshot = self.current(principal).await;
        snapshot.catalog.resolve(server, tool).is_ok_and(|found| {
            !snapshot.settings.wants_consent(&found.server.name, &found.tool.spec.name)
        })
    }

    async fn save(
        self: &Arc<Self>,
        principal: &Principal,
        intent: Intent,
    ) -> Result<Answer, Fault> {
        sound(&intent, self.settings.borrow().limits.code_bytes)?;
        if let Some(engine) = intent.engine {
            self.sandbox.offers(engine, intent.language)?;
        }
        self.check(principal, &intent).await?;
        let name = intent.name.clone();
        let saved = Saved { intent, saved_at_ms: crate::effects::now_ms() };
        let body = serde_json::to_string(&saved).map_err(|e| Fault::bug(e.to_string()))?;
        let head = self.store.save_intent(&principal.name, &name, &body).await?;
        self.intents_changed(principal);
        Ok(Answer::Intent(Box::new(info(head)?)))
    }

    /// The intent that a finished run becomes.
    async fn promoted(
        &self,
        principal: &Principal,
        run: &RunId,
        (name, description, schema): (String, String, Option<Box<RawValue>>),
    ) -> Result<Intent, Fault> {
        let past = self.past(principal, run).await?;
        let begin = past.begun()?.clone();
        if !begin.is_whole() {
            return Err(crate::life::reached_out(run).hint("save its program from a file"));
        }
        crate::state::executes_again(run, &begin)?;
        let Some((RunState::Returned, value, _)) = past.end else {
            let message = format!("{run} has not returned a value");
            return Err(Fault::new(Kind::Conflict, Origin::Agent, message)
                .hint("only a run that ended well becomes an intent"));
        };
        let input = begin.input.unwrap_or_else(|| RawValue::NULL.to_owned());
        let drawn = || {
            let value: Value = serde_json::from_str(input.get()).unwrap_or_default();
            let schema = drawn_schema(&value);
            to_raw_value(&schema).map_err(|e| Fault::bug(e.to_string()))
        };
        let input_schema = schema.map_or_else(drawn, Ok)?;
        // The run itself is the first test, if its value was kept.
        let test = value.map(|expected| IntentTest { input, expected, run: Some(run.clone()) });
        let Begin { code, language, engine, lowered: limits, .. } = begin;
        let tests = test.into_iter().collect();
        Ok(Intent { name, description, code, language, engine, limits, input_schema, tests })
    }

    /// Carries an intent's tests out, without a call to anybody.
    async fn check(self: &Arc<Self>, principal: &Principal, intent: &Intent) -> Result<(), Fault> {
        for (at, test) in intent.tests.iter().enumerate() {
            let failed = |why: String| {
                let message = format!("test {} of intent {}: {why}", at + 1, intent.name);
                Err(Fault::invalid(message).hint("mend the program or the test"))
            };
            if let Err(fault) = fits(intent, Some(&test.input)) {
                return failed(fault.message);
            }
            let past = match &test.run {
                Some(run) => self.past(principal, run).await?,
                None => Past::default(),
            };
            let known = past.begin.clone();
            let begin = Begin {
                code: intent.code.clone(),
                language: intent.language,
                engine: intent.engine,
                input: Some(test.input.clone()),
                limits: Limits {
                    network: Network::default(),
                    ..self.settings.borrow().limits.clone()
                },
                lowered: intent.limits.clone(),
                now_ms: known.as_ref().map_or_else(crate::effects::now_ms, |b| b.now_ms),
                seed: known.map_or(0, |b| b.seed),
                durability: Durability::Off,
                state: false,
            };
            let run = test.run.clone().unwrap_or_else(|| RunId("run_test".to_owned()));
            let replay = self.replay(principal, &run, begin, past).await?;
            match &replay.value {
                Some(value) if alike(value, &test.expected) => {}
                _ => return failed(format!("it ended otherwise: {}", replay.text)),
            }
        }
        Ok(())
    }

    /// The program of an intent with its input.
    pub(crate) async fn intent_program(
        &self,
        principal: &Principal,
        name: &str,
        input: Option<Box<RawValue>>,
    ) -> Result<RunAsk, Fault> {
        let info = info(self.store.intent(&principal.name, name).await?)?;
        program(info.intent, input)
    }

    /// A principal's intents as an upstream lists tools; none if there are none.
    pub(crate) async fn intent_listing(
        &self,
        principal: &Principal,
    ) -> Result<Option<ServerListing>, Fault> {
        let heads = self.store.intents(&principal.name).await?;
        let tools: Vec<Arc<ToolSpec>> = heads.into_iter().filter_map(|h| spec(h).ok()).collect();
        let listing = ServerListing { server: NAMESPACE.to_owned(), tools, ..Default::default() };
        Ok((!listing.tools.is_empty()).then_some(listing))
    }
}

pub(crate) fn is_intent(call: &Call) -> bool {
    call.server == NAMESPACE
}

impl Run<'_> {
    /// A call to an intent: a run of its own, which goes on where it was if this one is executed
    /// again.
    pub(crate) async fn intent(&self, call: &Call) -> Result<How, Fault> {
        let error = |why: String| Ok(How::Outcome(Heard::own(Err(failed(call, why)))));
        let nested = RunId(format!("{}.{}", self.id, call.id));
        if nested.as_str().matches('.').count() > DEPTH_MAX {
            return error(format!("intents call intents deeper than {DEPTH_MAX}"));
        }
        if self.offline {
            return error("a replay runs no intents".to_owned());
        }
        let report = match self.nested(&nested, call).await {
            Ok(report) => report,
            Err(fault) if fault.kind == Kind::Conflict => return Err(fault),
            Err(fault) => return error(fault.to_string()),
        };
        match report.end {
            RunEnd::Returned(shaped) => match shaped.value {
                Some(value) => Ok(How::Outcome(Heard::own(Ok(value.get().to_owned())))),
                None => error("its value is too large".to_owned()),
            },
            RunEnd::Paused { questions } => {
                let outer = question_id(call.id);
                let inner = |asked: Asked| Asked { id: format!("{outer}.{}", asked.id), ..asked };
                Ok(How::Park(questions.into_iter().map(inner).collect(), None))
            }
            _ => error(report.text),
        }
    }

    /// A run within a run: boxed, for it may go on for ever.
    fn nested<'a>(
        &'a self,
        run: &'a RunId,
        call: &'a Call,
    ) -> BoxFuture<'a, Result<RunReport, Fault>> {
        async move {
            let (shared, principal) = (self.shared, &self.grant.principal);
            let output_bytes = self.grant.limits.result_bytes;
            if shared.store.run(&principal.name, run).await.is_ok() {
                return match shared.found_again(principal, run).await? {
                    Ok(found) => {
                        let grant = self.grant.inside(output_bytes, found.lowered());
                        shared.carry_out(found.go_on(grant, None)).await
                    }
                    Err(open) => Ok(crate::resume::still_paused(run.clone(), open)),
                };
            }
            let ask = shared.intent_program(principal, &call.tool, Some(call.args.clone())).await?;
            let grant = self.grant.inside(output_bytes, &ask.limits);
            let belongs = Belongs { job: None, session: self.session.cloned() };
            let life = Shared::begin(run.clone(), grant, ask, self.durability, belongs)?;
            shared.carry_out(life).await
        }
        .boxed()
    }
}

fn program(intent: Intent, input: Option<Box<RawValue>>) -> Result<RunAsk, Fault> {
    fits(&intent, input.as_deref())?;
    let Intent { code, language, engine, limits, .. } = intent;
    let limits = Box::new(limits);
    Ok(RunAsk { code, language, engine, limits, input, ..RunAsk::default() })
}

fn fits(intent: &Intent, input: Option<&RawValue>) -> Result<(), Fault> {
    let input = input.map_or("{}", RawValue::get);
    narrows_catalog::fits_schema(&intent.input_schema, input)
        .map_err(|why| Fault::invalid(format!("the input of intent {}: {why}", intent.name)))
}

fn info(head: IntentHead) -> Result<IntentInfo, Fault> {
    let IntentHead { name, version, versions, body } = head;
    let Saved { intent, saved_at_ms } = serde_json::from_str(&body)
        .map_err(|e| Fault::bug(format!("intent {name} is unreadable: {e}")))?;
    // A call without a program keeps to no limits of a run.
    let direct = direct(&intent.code).filter(|_| intent.limits.is_empty());
    Ok(IntentInfo { intent, version, versions, saved_at_ms, direct })
}

/// The one tool that a program hands its input to, if it does nothing else.
fn direct(code: &str) -> Option<String> {
    let call = code.trim().trim_end_matches(';').strip_prefix("return await ")?;
    let path = call.strip_suffix("(input)")?;
    let (server, tool) = path.split_once('.')?;
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
    };
    (plain(server) && plain(tool)).then(|| path.to_owned())
}

fn spec(head: IntentHead) -> Result<Arc<ToolSpec>, Fault> {
    let info = info(head)?;
    let input_schema = serde_json::from_str(info.intent.input_schema.get()).unwrap_or_default();
    Ok(Arc::new(ToolSpec {
        name: info.intent.name,
        title: None,
        description: Some(info.intent.description),
        input_schema,
        output_schema: None,
        annotations: narrows_types::Annotations::default(),
        definition: None,
    }))
}

/// A schema that an input of this kind fits.
fn drawn_schema(input: &Value) -> Value {
    let Some(members) = input.as_object() else { return json!({"type": "object"}) };
    let kind = |value: &Value| match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(_) => json!({"type": "array"}),
        Value::Object(_) => json!({"type": "object"}),
    };
    let properties: serde_json::Map<String, Value> =
        members.iter().map(|(name, value)| (name.clone(), kind(value))).collect();
    let required: Vec<&String> = members.keys().collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// Whether an intent can be saved.
fn sound(intent: &Intent, code_bytes: u64) -> Result<(), Fault> {
    let name = &intent.name;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !begins || !plain || name.len() > NAME_MAX {
        let message =
            format!("`{}` is no name of an intent", narrows_types::fault::clip(name.clone(), 64));
        return Err(Fault::invalid(message)
            .hint("a letter, then at most 63 letters, digits or underscores"));
    }
    if intent.code.trim().is_empty() {
        return Err(Fault::invalid("the intent has no program"));
    }
    crate::admit::leaves_something(&intent.limits)?;
    let code_max = usize::try_from(code_bytes).unwrap_or(usize::MAX);
    let tested = |test: &IntentTest| test.input.get().len() + test.expected.get().len();
    for (what, bytes, max) in [
        ("the program", intent.code.len(), code_max),
        ("the tests together", intent.tests.iter().map(tested).sum(), TESTS_BYTES_MAX),
        ("the description", intent.description.len(), DESCRIPTION_MAX),
        ("the input schema", intent.input_schema.get().len(), SCHEMA_MAX),
        ("the number of tests", intent.tests.len(), TESTS_MAX),
    ] {
        if bytes > max {
            return Err(Fault::invalid(format!("{what} is {bytes}; the most is {max}")));
        }
    }
    let schema: Value = serde_json::from_str(intent.input_schema.get()).unwrap_or_default();
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(Fault::invalid("the input schema is no object schema")
            .hint("{\"type\": \"object\", \"properties\": {...}}"));
    }
    Ok(())
}
