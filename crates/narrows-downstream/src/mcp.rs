//! MCP's words to the engine's and back; the same for every transport.
//!
//! A request is first planned (pure: which rules apply, what is asked), then performed. Both eras
//! of the protocol are served side by side: modern requests carry their revision in `_meta`,
//! legacy ones belong to a session opened by `initialize`.

mod asking;
mod exchange;
mod introduction;
mod params;
mod plan;
mod results;
mod source;
mod tasking;

pub(crate) use asking::{RunCall, elicitation};
pub(crate) use exchange::{Exchange, Parking, Said, Work};
pub(crate) use params::{Params, is_object, string};
pub(crate) use plan::{Pending, Plan, Purpose, negotiate};
pub(crate) use results::with_member;
pub(crate) use source::Source;
pub(crate) use tasking::{TaskCall, watch};

use crate::caller::Caller;
use crate::config::Config;
use crate::conversation::{Conversation, Opening};
use crate::fault::{FaultBody, wire};
use crate::letters::{Letters, Lists, Round};
use crate::parking::{Lot, Remembered};
use crate::render::{self, Keep, Seal};
use crate::wire::Failure;
use narrows_engine::{Entry, Knock};
use narrows_protocol::{Id, Revision};
use narrows_types::{
    Answer, Ask, Event, Fault, JobInfo, Kind, Method, Mode, Passed, Principal, What, WireError,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Events of one request that wait for its door; further ones are dropped.
const EVENTS_MAX: usize = 64;
/// Bytes of an artifact that one `resources/read` returns.
pub(crate) const RESOURCE_BYTES_MAX: u64 = 16 << 20;
/// How long a modern client may keep what never changes while we run.
const FIXED: Keep = Keep { ttl_ms: 3_600_000, cache_scope: "private" };
/// How long it may keep an artifact.
const ARTIFACT: Keep = Keep { ttl_ms: 60_000, cache_scope: "private" };
/// How long it may keep a resource of an upstream that does not say.
const UNSAID: Keep = Keep { ttl_ms: 0, cache_scope: "private" };

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

/// What whoever knocks shows of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown<'a> {
    /// It is whoever started us: the other end of our own streams.
    Streams,
    /// It came over the network, with this key if with any.
    Key(Option<&'a str>),
}

/// What all doors share.
pub(crate) struct Front {
    pub(crate) source: Source,
    pub(crate) config: Arc<Config>,
    /// Name and version, as they introduce us.
    introduction: Body,
    /// Who hears of changes.
    round: Arc<Round>,
    /// Requests that wait for answers.
    lot: Arc<Lot>,
    /// Streams of changes that may still be opened.
    pub(crate) listens: Arc<Semaphore>,
    carried: AtomicBool,
    /// What runs beside requests; it ends with the front.
    chores: Mutex<JoinSet<()>>,
}

impl Front {
    pub(crate) fn new(source: Source, config: Arc<Config>) -> Self {
        let introduction = raw(&json!({
            "name": config.server_name,
            "version": config.server_version,
        }));
        let listens = Arc::new(Semaphore::new(crate::listen::LISTENS_MAX));
        let (round, lot, chores) = (Arc::default(), Lot::new(), Mutex::default());
        let carried = AtomicBool::new(false);
        Self { source, config, introduction, round, lot, listens, carried, chores }
    }

    /// Whether somebody comes in, as whom, and what it sees.
    pub(crate) fn entry(
        &self,
        shown: Shown<'_>,
        client: Option<&str>,
        mode: Option<Mode>,
    ) -> Result<Entry, Fault> {
        match &self.source {
            Source::Engine(engine) => match shown {
                // Keys are for those who come over the network.
                Shown::Streams if engine.has_keys() => {
                    let mode = mode.unwrap_or_else(|| engine.mode());
                    Ok(Entry { principal: Principal::local(), mode })
                }
                Shown::Streams => engine.enter(&Knock { bearer: None, client, mode }),
                Shown::Key(bearer) => engine.enter(&Knock { bearer, client, mode }),
            },
            #[cfg(test)]
            Source::Script(_) => {
                let mode = mode.unwrap_or(self.config.mode);
                Ok(Entry { principal: Principal::local(), mode })
            }
        }
    }

    /// The same in the words of MCP.
    pub(crate) fn enter(
        &self,
        shown: Shown<'_>,
        client: Option<&RawValue>,
        mode: Option<Mode>,
    ) -> Result<Entry, Failure> {
        let name = client.and_then(|info| narrows_types::raw::get_text(info.get(), "name"));
        self.entry(shown, name.as_deref(), mode).map_err(|fault| Failure::refused(&fault))
    }

    /// Opens a conversation with a client of the legacy era.
    pub(crate) fn converse(
        &self,
        revision: Revision,
        principal: Principal,
        params: &Params<'_>,
    ) -> Arc<Conversation> {
        let owned = |raw: Option<&RawValue>| raw.map(|raw| Arc::from(raw.to_owned()));
        let (capabilities, info) = (owned(params.capabilities), owned(params.client_info));
        let letters = Letters::new(Lists::ALL);
        self.deliver_to(&letters);
        let opening = Opening { revision, principal, capabilities, info };
        Conversation::open(self.source.clone(), letters, opening)
    }

    /// Sees to it that letters come to this box.
    pub(crate) fn deliver_to(&self, letters: &Arc<Letters>) {
        self.round.enter(letters);
        if !self.carried.swap(true, Ordering::AcqRel) {
            let (changes, updates) = self.source.news();
            self.chore(Arc::clone(&self.round).carry(changes, updates));
        }
    }

    /// Runs something beside the requests.
    pub(crate) fn chore(&self, chore: impl Future<Output = ()> + Send + 'static) {
        let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        while chores.try_join_next().is_some() {}
        chores.spawn(chore);
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

    /// Starts what was planned. Dropping the exchange cancels it.
    pub(crate) fn start(self: &Arc<Self>, caller: &Caller, id: &Id, plan: Plan) -> Exchange {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let (front, client) = (Arc::clone(self), caller.clone());
        let mut parking = None;
        let (work, token): (Work, _) = match plan {
            Plan::Listen(filter) => {
                let work = Box::pin(crate::listen::hear(front, client, id.clone(), filter, events));
                return Exchange::new(work, heard, caller, None).insisting();
            }
            Plan::Resume(pending) => {
                let Pending { what, token, .. } = *pending;
                let Some(parking) = self.parking(caller, &what, true) else {
                    let failure = Failure::params("`requestState` is of no use here".to_owned());
                    let work = Box::pin(std::future::ready(Err(failure)));
                    return Exchange::new(work, heard, caller, None);
                };
                return Exchange::resume(client, parking, token);
            }
            Plan::Ready(body) => (Box::pin(std::future::ready(Ok(body))), None),
            Plan::Introduce => (Box::pin(async move { front.introduce(&client).await }), None),
            Plan::Ask(pending) => {
                let Pending { what, purpose, token } = *pending;
                parking = self.parking(caller, &what, false);
                // Questions and log messages come without a token too.
                let asks = matches!(purpose, Purpose::Run(_)) && caller.conversation.is_some();
                let listens = token.is_some() || asks || matches!(what, What::Pass(_));
                let events = listens.then_some(events);
                let work = async move {
                    match &purpose {
                        Purpose::Run(call) => front.run(client, what, call, events).await,
                        _ => front.perform(client, what, &purpose, events).await,
                    }
                };
                (Box::pin(work), token)
            }
            Plan::Task(call) => {
                let work = async move { front.task(&client, call, Some(events)).await };
                (Box::pin(work), None)
            }
        };
        Exchange::new(work, heard, caller, token).with_parking(parking)
    }

    /// A place to wait at for a request whose client may be asked by an answer only.
    fn parking(&self, caller: &Caller, what: &What, resumes: bool) -> Option<Parking> {
        const ASKING: [Method; 3] = [Method::CallTool, Method::GetPrompt, Method::ReadResource];
        let What::Pass(ask) = what else { return None };
        let asked = ["elicitation", "sampling", "roots"].iter().any(|c| caller.declares(c));
        let may = caller.rules == Rules::Modern && ASKING.contains(&ask.method);
        (may && (asked || resumes)).then(|| Parking {
            lot: Arc::clone(&self.lot),
            request: Remembered {
                principal: caller.principal.name.clone(),
                method: ask.method.as_str(),
                params: ask.params.clone(),
            },
            rounds: 0,
        })
    }

    async fn perform(
        &self,
        caller: Caller,
        what: What,
        purpose: &Purpose,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Body, Failure> {
        let deadline = Some(self.config.request_timeout);
        let (principal, client) = (caller.principal.clone(), Arc::clone(&caller.client));
        let new = subscription(&caller, purpose)?;
        let answer = self.asked(Ask { principal, client, deadline, what }, events).await;
        if let Some((letters, uri)) = new
            && !matches!(answer, Ok(Answer::Passed(Passed::Result(_))))
        {
            letters.unsubscribe(uri);
        }
        self.body(purpose, &caller, answer)
    }

    /// The engine keeps the deadline; this one only catches an engine that does not.
    pub(crate) async fn asked(
        &self,
        ask: Ask,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, Fault> {
        // While a question is open the deadline of a passed request does not run.
        let wait = match &ask.what {
            What::Pass(_) => self.config.request_timeout + QUESTION_WAIT,
            _ => self.config.request_timeout,
        };
        match tokio::time::timeout(wait + GRACE, self.source.ask(ask, events)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let message = format!("no answer within {} s", wait.as_secs());
                Err(Fault::new(Kind::Timeout, narrows_types::Origin::Narrows, message))
            }
        }
    }

    fn body(
        &self,
        purpose: &Purpose,
        caller: &Caller,
        answer: Result<Answer, Fault>,
    ) -> Result<Body, Failure> {
        let rules = caller.rules;
        let seal = self.seal(rules);
        let encoded = match (purpose, answer) {
            (Purpose::Run(_), Ok(Answer::Run(report))) => render::run(&report, seal),
            (Purpose::Run(call), Ok(Answer::Job(job))) => return self.became(caller, call, &job),
            (Purpose::Tool, Ok(Answer::Search(found))) => render::search(&found, seal),
            (Purpose::Tool, Ok(Answer::Job(job))) => render::kept::job(&job, seal),
            (Purpose::Tool, Ok(Answer::RunShown(view))) => render::kept::run(&view, seal),
            (Purpose::Tool | Purpose::Run(_), Err(fault)) if for_the_model(&fault) => {
                render::tool_fault(&fault, seal)
            }
            (Purpose::Resource(_), Ok(Answer::Artifact(part))) => {
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
            (Purpose::Passed(method, _), Ok(Answer::Passed(passed))) => {
                return self.passed(*method, rules, passed);
            }
            (Purpose::Passed(Method::CallTool, _), Err(fault))
                if for_the_model(&fault) && fault.kind != Kind::NotFound =>
            {
                render::tool_fault(&fault, seal)
            }
            (Purpose::Listed(kind), Ok(Answer::Listed(page))) => {
                results::listed(&page, *kind, rules, &self.introduction)
                    .ok_or_else(|| Fault::bug("a list could not be encoded"))
            }
            (_, Err(fault)) => Err(fault),
            (_, Ok(_)) => Err(Fault::bug("the engine gave an answer to another question")),
        };
        encoded.map_err(|fault| failure(&fault, purpose, rules))
    }

    /// A run that became a job: a task where its client knows tasks, else a handle in words.
    fn became(&self, caller: &Caller, call: &RunCall, job: &JobInfo) -> Result<Body, Failure> {
        let seal = self.seal(caller.rules);
        if call.task {
            return crate::tasks::legacy_created(job);
        }
        if caller.rules == Rules::Modern && caller.extends(crate::tasks::EXTENSION) {
            return crate::tasks::modern(job, Some("task"), caller.can_be_asked(), seal);
        }
        render::kept::job(job, seal).map_err(|fault| Failure::internal(&fault))
    }

    /// What an upstream answered, in the words of the client's era.
    fn passed(&self, method: Method, rules: Rules, passed: Passed) -> Result<Body, Failure> {
        match passed {
            Passed::Result(result) => {
                let keep = (method == Method::ReadResource).then_some(UNSAID);
                Ok(results::passed(result, rules, keep, &self.introduction))
            }
            Passed::Error(WireError { code, message, data }) => {
                let code = match (rules, code) {
                    (Rules::Modern, narrows_protocol::code::RESOURCE_NOT_FOUND) => {
                        narrows_protocol::code::INVALID_PARAMS
                    }
                    (_, code) => code,
                };
                let status = if rules == Rules::Modern { status(code) } else { 200 };
                Err(Failure { code, message, data, status })
            }
        }
    }
}

/// The HTTP status that goes with an error of the stateless era.
fn status(code: i64) -> u16 {
    match code {
        narrows_protocol::code::METHOD_NOT_FOUND => 404,
        code if narrows_protocol::code::is_modern(code) => 400,
        _ => 200,
    }
}

/// How much longer than its deadline the engine is waited for.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a request may wait for a person beside its own time.
const QUESTION_WAIT: std::time::Duration = std::time::Duration::from_mins(30);

/// Faults that the model can do something about go into the tool's result; the rest is for the
/// client.
fn for_the_model(fault: &Fault) -> bool {
    !matches!(fault.kind, Kind::Unauthenticated | Kind::Cancelled | Kind::Bug)
}

fn failure(fault: &Fault, purpose: &Purpose, rules: Rules) -> Failure {
    /// Which resource there is not, beside the fault.
    #[derive(Serialize)]
    struct Missing<'a> {
        uri: &'a str,
        #[serde(flatten)]
        fault: FaultBody<'a>,
    }
    let missing = match purpose {
        Purpose::Resource(uri) | Purpose::Passed(Method::ReadResource, uri) => {
            Some(uri).filter(|_| fault.kind == Kind::NotFound)
        }
        _ => None,
    };
    let code = match (missing, rules) {
        // Before 2026-07-28 a missing resource had a code of its own.
        (Some(_), Rules::Legacy(_)) => narrows_protocol::code::RESOURCE_NOT_FOUND,
        _ => wire(fault.kind).rpc,
    };
    let body = FaultBody::from(fault);
    let data = match missing {
        Some(uri) => to_raw_value(&Missing { uri, fault: body }),
        None => to_raw_value(&body),
    };
    Failure { code, message: fault.to_string(), data: data.ok(), status: 200 }
}

/// A value as text. Encoding a `Value` cannot fail.
fn raw(value: &Value) -> Body {
    to_raw_value(value).unwrap_or_else(|_never| RawValue::NULL.to_owned())
}

/// Notes what a conversation subscribes to, before anybody is asked: updates from the first moment
/// count. Gives what is to be taken back if the answer is no.
fn subscription<'a>(
    caller: &'a Caller,
    purpose: &'a Purpose,
) -> Result<Option<(&'a Letters, &'a str)>, Failure> {
    let Some(conversation) = &caller.conversation else { return Ok(None) };
    let letters = &conversation.letters;
    match purpose {
        Purpose::Passed(Method::Subscribe, uri) => {
            let max = crate::letters::SUBSCRIPTIONS_MAX;
            let full = || Failure::busy(format!("{max} resources are subscribed to already"));
            let new = letters.subscribe(uri).ok_or_else(full)?;
            Ok(new.then_some((letters, uri.as_str())))
        }
        Purpose::Passed(Method::Unsubscribe, uri) => {
            letters.unsubscribe(uri);
            Ok(None)
        }
        _ => Ok(None),
    }
}
