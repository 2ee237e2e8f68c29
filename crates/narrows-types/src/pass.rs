//! Passing the protocol on: what a client asks of an upstream through us, and what comes back.
//!
//! The words here carry parameters and results as the JSON text that came. Nobody between the two
//! ends looks into them but for names.

use crate::ask::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// What an agent sees of the upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Two tools: `search` and `run`.
    #[default]
    Code,
    /// Those two, and the tools worth listing.
    Hybrid,
    /// Everything passed through.
    Mcp,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "code",
            Self::Hybrid => "hybrid",
            Self::Mcp => "mcp",
        })
    }
}

/// A conversation that a legacy client opened: an HTTP session or a pair of streams. Unique while
/// Narrows runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientSession(pub u64);

/// Who is at the other end of a door, as far as upstreams are to know it.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its conversation; none where each request stands alone.
    pub session: Option<ClientSession>,
    /// It speaks a revision of the stateless era.
    pub modern: bool,
    /// The capabilities that it declared, a JSON object; none is as good as `{}`.
    pub capabilities: Option<Arc<RawValue>>,
    /// How it introduced itself (`clientInfo`, a JSON object).
    pub info: Option<Arc<RawValue>>,
    /// The least severe log messages that it wants (`debug` ... `emergency`); none wants none in the
    /// modern era, and leaves it to the upstream in the legacy era.
    pub log_level: Option<Arc<str>>,
    /// Where a legacy client hears what belongs to no request of its own.
    pub back: Option<Back>,
}

/// A way back to a client outside its requests. Gives the event back if nobody listens.
#[derive(Clone)]
pub struct Back(Arc<dyn Fn(Event) -> Result<(), Box<Event>> + Send + Sync>);

impl Back {
    /// A way back through `tell`, which must not wait.
    pub fn new(tell: impl Fn(Event) -> Result<(), Box<Event>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells the client, or gives the event back.
    pub fn tell(&self, event: Event) -> Result<(), Box<Event>> {
        (self.0)(event)
    }
}

impl fmt::Debug for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Back")
    }
}

/// The requests that are passed on to one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `tools/call`
    CallTool,
    /// `prompts/get`
    GetPrompt,
    /// `resources/read`
    ReadResource,
    /// `resources/subscribe` (legacy)
    Subscribe,
    /// `resources/unsubscribe` (legacy)
    Unsubscribe,
    /// `completion/complete` for a prompt
    CompletePrompt,
    /// `completion/complete` for a resource template
    CompleteResource,
    /// `tasks/get`
    GetTask,
    /// `tasks/update` (modern)
    UpdateTask,
    /// `tasks/cancel`
    CancelTask,
    /// `tasks/result` (2025-11-25)
    TaskResult,
}

impl Method {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "tools/call",
            Self::GetPrompt => "prompts/get",
            Self::ReadResource => "resources/read",
            Self::Subscribe => "resources/subscribe",
            Self::Unsubscribe => "resources/unsubscribe",
            Self::CompletePrompt | Self::CompleteResource => "completion/complete",
            Self::GetTask => "tasks/get",
            Self::UpdateTask => "tasks/update",
            Self::CancelTask => "tasks/cancel",
            Self::TaskResult => "tasks/result",
        }
    }
}

/// Pass a request on.
#[derive(Debug, Clone)]
pub struct PassAsk {
    /// What the client sees, and so what it may name.
    pub mode: Mode,
    /// Which request.
    pub method: Method,
    /// The tool, prompt, resource or task that it is about, in the client's words.
    pub about: String,
    /// Its parameters, a JSON object, as they came.
    pub params: Box<RawValue>,
}

/// The lists that a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/list`
    Resources,
    /// `resources/templates/list`
    Templates,
}

impl ListKind {
    /// The request on the wire.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that holds the items.
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }
}

/// A page of what there is.
#[derive(Debug, Clone)]
pub struct ListAsk {
    /// What the client sees.
    pub mode: Mode,
    /// Which list.
    pub kind: ListKind,
    /// Where the page starts, as the page before it said.
    pub cursor: Option<String>,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The items: a JSON array, each item as its upstream wrote it but for its name.
    pub items: Arc<RawValue>,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
    /// How long a client may keep it.
    pub ttl_ms: u64,
    /// Whether it may be kept for this client only.
    pub private: bool,
}

/// What an upstream answered to a request that was passed on.
#[derive(Debug, Clone)]
pub enum Passed {
    /// Its result, as it came.
    Result(Box<RawValue>),
    /// Its error, which is an answer too.
    Error(WireError),
}

/// A JSON-RPC error, as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WireError {
    /// The code.
    pub code: i64,
    /// The message (untrusted text).
    #[serde(default)]
    pub message: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// A request of an upstream to the client: `sampling/createMessage`, `elicitation/create`,
/// `roots/list`. Dropping it unanswered declines it.
pub struct Question {
    /// Tells it apart from others, so that it can be withdrawn.
    pub number: u64,
    /// The method.
    pub method: String,
    /// Its parameters, as they came.
    pub params: Option<Box<RawValue>>,
    /// Takes the client's answer.
    pub answer: AnswerBack,
}

/// Takes the answer to a [`Question`].
pub type AnswerBack = Box<dyn FnOnce(Result<Box<RawValue>, WireError>) + Send>;

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("method", &self.method).finish_non_exhaustive()
    }
}

/// How often each list changed since Narrows started: a reader that missed some still sees that
/// there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Of the tools.
    pub tools: u64,
    /// Of the prompts.
    pub prompts: u64,
    /// Of the resources and their templates.
    pub resources: u64,
}

/// A resource that somebody subscribed to was updated.
#[derive(Debug, Clone)]
pub struct Update {
    /// The upstream's configured name.
    pub server: Arc<str>,
    /// Which resource.
    pub uri: String,
    /// The parameters of the notification, as they came.
    pub params: Box<RawValue>,
}

/// What one upstream declared that it can do.
#[derive(Debug, Clone)]
pub struct Offering {
    /// The upstream's configured name.
    pub server: String,
    /// Whether the revision that was agreed on is of the stateless era.
    pub modern: bool,
    /// Its capabilities, a JSON object.
    pub capabilities: Arc<RawValue>,
    /// Its words to models.
    pub instructions: Option<String>,
}
