//! Who sent a request: by which rules it plays, what it sees, and who it is to upstreams.

use crate::conversation::Conversation;
use crate::mcp::{Params, Rules, string};
use narrows_types::{Client, Mode, Principal};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The sender of one request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) rules: Rules,
    pub(crate) principal: Principal,
    pub(crate) mode: Mode,
    pub(crate) client: Arc<Client>,
    /// The conversation that the request belongs to, in the legacy era.
    pub(crate) conversation: Option<Arc<Conversation>>,
    /// Cancelled when the server is about to end: what has no end of its own ends then.
    pub(crate) ending: CancellationToken,
}

impl Caller {
    /// The sender of a request that stands alone: what is known of it stands in the request.
    pub(crate) fn alone(principal: Principal, mode: Mode, params: &Params<'_>) -> Self {
        let owned = |raw: Option<&RawValue>| raw.map(|raw| Arc::from(raw.to_owned()));
        let meta = params.meta.as_ref();
        let client = Client {
            session: None,
            modern: true,
            capabilities: owned(meta.and_then(|m| m.capabilities)),
            info: owned(meta.and_then(|m| m.info)),
            log_level: meta.and_then(|m| m.log_level).and_then(string).map(Arc::from),
            back: None,
        };
        let client = Arc::new(client);
        let (conversation, ending) = (None, CancellationToken::new());
        Self { rules: Rules::Modern, principal, mode, client, conversation, ending }
    }

    /// A party to a conversation.
    pub(crate) fn party(conversation: &Arc<Conversation>, mode: Mode) -> Self {
        Self {
            rules: Rules::Legacy(conversation.revision),
            principal: conversation.principal.clone(),
            mode,
            client: conversation.client(),
            conversation: Some(Arc::clone(conversation)),
            ending: CancellationToken::new(),
        }
    }

    /// Whether the client declared an extension.
    pub(crate) fn extends(&self, extension: &str) -> bool {
        #[derive(Deserialize)]
        struct Declared<'a> {
            #[serde(borrow, default)]
            extensions: Option<&'a RawValue>,
        }
        let Some(capabilities) = &self.client.capabilities else { return false };
        serde_json::from_str::<Declared<'_>>(capabilities.get())
            .is_ok_and(|declared| declares(declared.extensions, extension))
    }

    /// Whether the client declared that it can show a person a form.
    pub(crate) fn can_be_asked(&self) -> bool {
        let capabilities = self.client.capabilities.as_deref().map_or("{}", RawValue::get);
        let elicitation = narrows_types::raw::get(capabilities, "elicitation");
        // Before there were addresses to send a person to, an empty object meant forms.
        elicitation
            .filter(|said| said.starts_with('{'))
            .is_some_and(|said| declares_within(said, "form") || !declares_within(said, "url"))
    }

    /// Whether the client declared that it can be asked this.
    pub(crate) fn declares(&self, capability: &str) -> bool {
        declares(self.client.capabilities.as_deref(), capability)
    }
}

fn declares_within(object: &str, key: &str) -> bool {
    narrows_types::raw::get(object, key).is_some_and(|value| value != "null")
}

/// Whether a capability is declared in a JSON object of them.
pub(crate) fn declares(capabilities: Option<&RawValue>, capability: &str) -> bool {
    type Members<'a> = std::collections::BTreeMap<std::borrow::Cow<'a, str>, &'a RawValue>;
    let Some(capabilities) = capabilities else { return false };
    serde_json::from_str::<Members<'_>>(capabilities.get())
        .is_ok_and(|members| members.get(capability).is_some_and(|raw| raw.get() != "null"))
}
