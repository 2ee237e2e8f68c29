//! What we ask of upstreams by ourselves, written for the revision that was agreed on.

use crate::relay::on_one_line;
use crate::rounds::Rounds;
use crate::wire::{Letter, Room};
use narrows_protocol::views::Implementation;
use narrows_protocol::{Id, Revision, envelope};
use narrows_types::ListKind;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// How we introduce ourselves.
pub(crate) type Introduction = Implementation;

/// Whose voice a connection has: ours, or that of the client that it is for.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) us: Arc<Introduction>,
    /// The client's introduction, if the connection is for one client.
    pub(crate) info: Option<Arc<RawValue>>,
    /// What is declared, a JSON object; none declares nothing.
    pub(crate) capabilities: Option<Arc<RawValue>>,
}

impl Voice {
    /// Ours: nothing is declared.
    pub(crate) fn ours(us: Arc<Introduction>) -> Self {
        Self { us, info: None, capabilities: None }
    }
}

/// What we want to be told by a modern server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wanted {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_subscriptions: Vec<String>,
}

/// The requests and notifications that we send.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// What a modern server is.
    Discover,
    /// Whether it lives (legacy).
    Ping,
    /// The opening of the legacy era.
    Initialize,
    /// Its end.
    Initialized,
    /// A page of a list.
    Page { kind: ListKind, cursor: Option<String> },
    /// A call, with the arguments that are repeated in headers.
    Call {
        tool: String,
        arguments: Box<RawValue>,
        mirrored: Vec<(String, String)>,
        /// A modern server may ask a person, and this is what was answered.
        rounds: Option<Rounds>,
    },
    /// Tell us when something changes.
    Listen(Wanted),
    /// Tell us when a resource is updated (legacy).
    Subscribe { uri: String },
    /// Or no more.
    Unsubscribe { uri: String },
    /// The least severe log messages that we want (legacy).
    SetLevel(Arc<str>),
    /// The client's roots changed (legacy).
    RootsChanged,
}

/// What is declared where a person can be asked.
const ELICITATION: &str = r#"{"elicitation":{}}"#;

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_responses: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_state: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<&'a Wanted>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Who<'a> {
    Us(&'a Introduction),
    Them(&'a RawValue),
}

#[derive(Serialize, Default)]
struct Meta<'a> {
    #[serde(
        rename = "io.modelcontextprotocol/protocolVersion",
        skip_serializing_if = "Option::is_none"
    )]
    protocol_version: Option<&'a str>,
    #[serde(
        rename = "io.modelcontextprotocol/clientCapabilities",
        skip_serializing_if = "Option::is_none"
    )]
    capabilities: Option<&'a RawValue>,
    #[serde(
        rename = "io.modelcontextprotocol/clientInfo",
        skip_serializing_if = "Option::is_none"
    )]
    client_info: Option<Who<'a>>,
    #[serde(rename = "progressToken", skip_serializing_if = "Option::is_none")]
    progress_token: Option<i64>,
}

impl Voice {
    fn who(&self) -> Who<'_> {
        self.info.as_ref().map_or(Who::Us(&self.us), |info| Who::Them(info))
    }
}

impl Body {
    fn method(&self) -> &'static str {
        match self {
            Self::Discover => "server/discover",
            Self::Ping => "ping",
            Self::Initialize => "initialize",
            Self::Initialized => "notifications/initialized",
            Self::Page { kind, .. } => kind.method(),
            Self::Call { .. } => "tools/call",
            Self::Listen(_) => "subscriptions/listen",
            Self::Subscribe { .. } => "resources/subscribe",
            Self::Unsubscribe { .. } => "resources/unsubscribe",
            Self::SetLevel(_) => "logging/setLevel",
            Self::RootsChanged => "notifications/roots/list_changed",
        }
    }

    /// The message. Modern revisions tell with every request who asks and how.
    pub(super) fn letter(
        self,
        id: i64,
        revision: Option<Revision>,
        wants_progress: bool,
        voice: &Voice,
    ) -> serde_json::Result<Letter> {
        let method = self.method();
        let modern = revision.filter(|r| r.is_modern());
        let rounds = match &self {
            Self::Call { rounds, .. } => rounds.as_ref().filter(|_| modern.is_some()),
            _ => None,
        };
        let nothing = if rounds.is_some() { ELICITATION } else { "{}" };
        let nothing = RawValue::from_string(nothing.to_owned())?;
        let declared = voice.capabilities.as_deref().unwrap_or(&nothing);
        let mut params = Params::default();
        match &self {
            Self::Discover | Self::Ping | Self::Initialized | Self::RootsChanged => {}
            Self::Initialize => {
                params.protocol_version = Some(Revision::LATEST_LEGACY.as_str());
                params.capabilities = Some(declared);
                params.client_info = Some(voice.who());
            }
            Self::Page { cursor, .. } => params.cursor = cursor.as_deref(),
            Self::Call { tool, arguments, .. } => {
                params.name = Some(tool);
                params.arguments = Some(arguments);
                params.input_responses = rounds.and_then(|r| r.responses.as_deref());
                params.request_state = rounds.and_then(|r| r.state.as_deref());
            }
            Self::Listen(wanted) => params.notifications = Some(wanted),
            Self::Subscribe { uri } | Self::Unsubscribe { uri } => params.uri = Some(uri),
            Self::SetLevel(level) => params.level = Some(level),
        }
        let progress_token = wants_progress.then_some(id);
        if let Some(modern) = modern {
            params.meta = Some(Meta {
                protocol_version: Some(modern.as_str()),
                capabilities: Some(declared),
                client_info: Some(voice.who()),
                progress_token,
            });
        } else if wants_progress {
            params.meta = Some(Meta { progress_token, ..Meta::default() });
        }
        let room = Room::default();
        if matches!(self, Self::Initialized | Self::RootsChanged) {
            let body = on_one_line(envelope::notification(method, &params)?);
            let mirrored = Vec::new();
            return Ok(Letter { body, id: None, method, name: None, revision, mirrored, room });
        }
        let body = envelope::request(&Id::from(id), method, &params)?;
        let (name, mirrored) = match self {
            Self::Call { tool, mirrored, .. } => (Some(tool), mirrored),
            Self::Subscribe { uri } | Self::Unsubscribe { uri } => (Some(uri), Vec::new()),
            _ => (None, Vec::new()),
        };
        Ok(Letter { body, id: Some(id), method, name, revision, mirrored, room })
    }
}
