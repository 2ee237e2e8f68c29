//! What we ask of upstreams, written for the revision that was agreed on.

use crate::wire::{Letter, Room};
use narrows_protocol::views::Implementation;
use narrows_protocol::{Id, Revision, envelope};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// How we introduce ourselves.
pub(crate) type Introduction = Implementation;

/// The requests and notifications that we send.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// What a modern server is.
    Discover,
    /// The opening of the legacy era.
    Initialize,
    /// Its end.
    Initialized,
    /// A page of the list of tools.
    Tools { cursor: Option<String> },
    /// A call, with the arguments that are repeated in headers.
    Call { tool: String, arguments: Box<RawValue>, mirrored: Vec<(String, String)> },
    /// Tell us when the tools change.
    Listen,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<&'a Introduction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notifications: Option<Wanted>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    tools_list_changed: bool,
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
    capabilities: Option<Map<String, Value>>,
    #[serde(
        rename = "io.modelcontextprotocol/clientInfo",
        skip_serializing_if = "Option::is_none"
    )]
    client_info: Option<&'a Introduction>,
    #[serde(rename = "progressToken", skip_serializing_if = "Option::is_none")]
    progress_token: Option<i64>,
}

impl Body {
    fn method(&self) -> &'static str {
        match self {
            Self::Discover => "server/discover",
            Self::Initialize => "initialize",
            Self::Initialized => "notifications/initialized",
            Self::Tools { .. } => "tools/list",
            Self::Call { .. } => "tools/call",
            Self::Listen => "subscriptions/listen",
        }
    }

    /// The message. Modern revisions tell with every request who asks and how.
    pub(super) fn letter(
        self,
        id: i64,
        revision: Option<Revision>,
        wants_progress: bool,
        us: &Introduction,
    ) -> serde_json::Result<Letter> {
        let method = self.method();
        let mut params = Params::default();
        match &self {
            Self::Discover | Self::Initialized => {}
            Self::Initialize => {
                params.protocol_version = Some(Revision::LATEST_LEGACY.as_str());
                params.capabilities = Some(Map::new());
                params.client_info = Some(us);
            }
            Self::Tools { cursor } => params.cursor = cursor.as_deref(),
            Self::Call { tool, arguments, .. } => {
                params.name = Some(tool);
                params.arguments = Some(arguments);
            }
            Self::Listen => params.notifications = Some(Wanted { tools_list_changed: true }),
        }
        let progress_token = wants_progress.then_some(id);
        if let Some(modern) = revision.filter(|r| r.is_modern()) {
            params.meta = Some(Meta {
                protocol_version: Some(modern.as_str()),
                capabilities: Some(Map::new()),
                client_info: Some(us),
                progress_token,
            });
        } else if wants_progress {
            params.meta = Some(Meta { progress_token, ..Meta::default() });
        }
        if matches!(self, Self::Initialized) {
            let body = envelope::notification(method, &params)?;
            let mirrored = Vec::new();
            let room = Room::default();
            return Ok(Letter { body, id: None, method, name: None, revision, mirrored, room });
        }
        let body = envelope::request(&Id::from(id), method, &params)?;
        let (name, mirrored) = match self {
            Self::Call { tool, mirrored, .. } => (Some(tool), mirrored),
            _ => (None, Vec::new()),
        };
        let room = Room::default();
        Ok(Letter { body, id: Some(id), method, name, revision, mirrored, room })
    }
}
