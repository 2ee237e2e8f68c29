//! A conversation of the legacy era: what its client declared, and what we asked it.

use crate::caller::declares;
use crate::letters::Letters;
use crate::mcp::Source;
use crate::wire;
use arc_swap::ArcSwap;
use narrows_protocol::{Id, Revision, RpcError, code};
use narrows_types::{
    AnswerBack, Back, Client, ClientSession, Event, Principal, Question, WireError,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::mpsc;

/// Questions of one client that wait for its answer at once; further ones are declined.
const ASKED_MAX: usize = 64;

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// An HTTP session or a pair of streams. The locks are held for a look-up only.
pub(crate) struct Conversation {
    pub(crate) session: ClientSession,
    pub(crate) revision: Revision,
    pub(crate) principal: Principal,
    /// What it hears of changes.
    pub(crate) letters: Arc<Letters>,
    client: ArcSwap<Client>,
    asked: Mutex<Asked>,
    /// Where it hears what belongs to no request.
    standing: Mutex<Vec<mpsc::Sender<String>>>,
    source: Source,
}

/// Who opens a conversation, and how.
pub(crate) struct Opening {
    pub(crate) revision: Revision,
    pub(crate) principal: Principal,
    pub(crate) capabilities: Option<Arc<RawValue>>,
    pub(crate) info: Option<Arc<RawValue>>,
}

#[derive(Default)]
struct Asked {
    last: i64,
    open: HashMap<i64, Open>,
}

/// A question that waits for the client.
struct Open {
    number: u64,
    answer: AnswerBack,
}

impl Conversation {
    pub(crate) fn open(source: Source, letters: Arc<Letters>, opening: Opening) -> Arc<Self> {
        let Opening { revision, principal, capabilities, info } = opening;
        let session = ClientSession(SESSIONS.fetch_add(1, Ordering::Relaxed));
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = Weak::clone(this);
            let back = Back::new(move |event| match this.upgrade() {
                Some(conversation) => conversation.tell(event),
                None => Err(Box::new(event)),
            });
            let session = Some(session);
            let client = Client {
                session,
                modern: false,
                capabilities,
                info,
                log_level: None,
                back: Some(back),
            };
            Self {
                session: client.session.unwrap_or(ClientSession(0)),
                revision,
                principal,
                letters,
                client: ArcSwap::from_pointee(client),
                asked: Mutex::default(),
                standing: Mutex::default(),
                source,
            }
        })
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client.load_full()
    }

    /// The least severe log messages that the client wants from now on.
    pub(crate) fn set_log_level(&self, level: &str) {
        let client = self.client.load_full();
        let log_level = Some(Arc::from(level));
        self.client.store(Arc::new(Client { log_level, ..Client::clone(&client) }));
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        // No code that can panic runs under the lock.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears a notification of the client that upstreams are to hear too.
    pub(crate) async fn notified(&self, method: &str) {
        if method == "notifications/roots/list_changed" {
            self.source.roots_changed(self.session).await;
        }
    }

    /// Enters a question and gives the request to send for it; one that the client cannot be asked
    /// is declined.
    pub(crate) fn ask(&self, question: Question) -> Option<(i64, String)> {
        let Question { number, method, params, answer } = question;
        let client = self.client.load();
        if let Err(declined) = askable(&method, client.capabilities.as_deref()) {
            answer(Err(declined));
            return None;
        }
        let mut asked = self.asked();
        if asked.open.len() >= ASKED_MAX {
            drop(asked);
            let message = format!("{ASKED_MAX} questions wait for the client already");
            answer(Err(declined(code::INTERNAL_ERROR, message)));
            return None;
        }
        asked.last += 1;
        let id = asked.last;
        asked.open.insert(id, Open { number, answer });
        drop(asked);
        Some((id, wire::request(&Id::from(id), &method, params.as_deref())))
    }

    /// Takes the client's answer to a question; false if none with that id waits.
    pub(crate) fn answered(&self, id: &Id, outcome: Result<&RawValue, RpcError>) -> bool {
        let Id::Number(id) = id else { return false };
        let Some(open) = self.asked().open.remove(id) else { return false };
        (open.answer)(outcome.map(ToOwned::to_owned).map_err(|error| {
            let RpcError { code, message, data } = error;
            WireError { code, message, data }
        }));
        true
    }

    /// Takes a question back that the upstream withdrew, and gives what the client is to be told.
    pub(crate) fn withdraw(&self, number: u64) -> Option<String> {
        let mut asked = self.asked();
        let id = asked.open.iter().find(|(_, open)| open.number == number).map(|(id, _)| *id)?;
        asked.open.remove(&id);
        Some(cancelled(id))
    }

    /// Declines what is still open of these, and gives what the client is to be told.
    pub(crate) fn give_up(&self, ids: &[i64]) -> Vec<String> {
        let mut asked = self.asked();
        ids.iter().filter(|id| asked.open.remove(id).is_some()).map(|id| cancelled(*id)).collect()
    }

    /// Opens a way to tell the client what belongs to no request. It is forgotten once its receiver
    /// is dropped.
    pub(crate) fn stand(&self, sender: mpsc::Sender<String>) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.retain(|sender| !sender.is_closed());
        standing.push(sender);
    }

    fn say(&self, message: &str) -> bool {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.iter().any(|sender| sender.try_send(message.to_owned()).is_ok())
    }

    fn is_listening(&self) -> bool {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.iter().any(|sender| !sender.is_closed())
    }

    fn tell(&self, event: Event) -> Result<(), Box<Event>> {
        if !self.is_listening() {
            return Err(Box::new(event));
        }
        match event {
            Event::Note { method, params } => {
                let level = self.client.load().log_level.clone();
                if wanted(&method, params.as_deref(), level.as_deref()) {
                    self.say(&wire::note(&method, params.as_deref()));
                }
            }
            Event::Question(question) => {
                if let Some((id, message)) = self.ask(question)
                    && !self.say(&message)
                {
                    self.give_up(&[id]);
                }
            }
            Event::Withdrawn { number } => {
                if let Some(message) = self.withdraw(number) {
                    self.say(&message);
                }
            }
            Event::Progress { .. } | Event::Paused { .. } => return Err(Box::new(event)),
        }
        Ok(())
    }
}

/// However a conversation ends, upstreams hear of it.
impl Drop for Conversation {
    fn drop(&mut self) {
        self.source.farewell(self.session);
    }
}

fn cancelled(id: i64) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: i64,
        reason: &'static str,
    }
    let params = Cancelled { request_id: id, reason: "the answer is not needed any more" };
    wire::notification("notifications/cancelled", &params)
}

fn declined(code: i64, message: String) -> WireError {
    WireError { code, message, data: None }
}

/// Whether a client can be asked this: it declared what belongs to the method.
pub(crate) fn askable(method: &str, capabilities: Option<&RawValue>) -> Result<(), WireError> {
    let Some(capability) = capability(method) else {
        let message = format!("clients are not asked {}", wire::clipped(method));
        return Err(declined(code::METHOD_NOT_FOUND, message));
    };
    if declares(capabilities, capability) {
        return Ok(());
    }
    let message = format!("the client did not declare {capability}");
    let data = serde_json::value::to_raw_value(&json!({"requiredCapabilities": {capability: {}}}));
    Err(WireError { data: data.ok(), ..declined(code::METHOD_NOT_FOUND, message) })
}

/// The capability that a question needs.
pub(crate) fn capability(method: &str) -> Option<&'static str> {
    match method {
        "sampling/createMessage" => Some("sampling"),
        "elicitation/create" => Some("elicitation"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

const LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// How severe a level is; `None` if there is no such level.
pub(crate) fn severity(level: &str) -> Option<usize> {
    LEVELS.iter().position(|known| *known == level)
}

/// Whether a notification is one that the client wants; only log messages may be unwanted.
pub(crate) fn wanted(method: &str, params: Option<&RawValue>, level: Option<&str>) -> bool {
    #[derive(serde::Deserialize)]
    struct Logged<'a> {
        #[serde(borrow)]
        level: std::borrow::Cow<'a, str>,
    }
    let Some(least) = level.and_then(severity) else { return true };
    if method != "notifications/message" {
        return true;
    }
    let logged = params.and_then(|p| serde_json::from_str::<Logged<'_>>(p.get()).ok());
    logged.and_then(|l| severity(&l.level)).is_none_or(|severity| severity >= least)
}
