//! `subscriptions/listen`: a stream of changes for a client of the modern era.

use crate::caller::Caller;
use crate::letters::{Letters, Lists};
use crate::mcp::{Body, Front, is_object, watch, with_member};
use crate::tasks::EXTENSION;
use crate::wire::Failure;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use narrows_protocol::{Id, meta};
use narrows_types::{Answer, Ask, Event, Fault, Method, Mode, PassAsk, Passed, What};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Streams that are open at once.
pub(crate) const LISTENS_MAX: usize = 512;
/// Resources of one stream.
const RESOURCES_MAX: usize = 256;
/// Tasks of one stream: each is looked at for itself.
const TASKS_MAX: usize = 64;

/// What a client wants to hear of; as it was agreed to when we answer.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Filter {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tools_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prompts_list_changed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resources_list_changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_subscriptions: Vec<String>,
    /// Of the tasks extension.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    task_ids: Vec<String>,
}

impl Filter {
    pub(crate) fn read(notifications: Option<&RawValue>) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::params(format!("`params.notifications` {why}"));
        let Some(raw) = notifications.filter(|raw| is_object(raw)) else {
            return Err(wrong("is missing or not an object"));
        };
        let mut filter: Self = serde_json::from_str(raw.get())
            .map_err(|e| wrong(&format!("is not understood: {e}")))?;
        // One that is named twice would be told twice.
        for names in [&mut filter.resource_subscriptions, &mut filter.task_ids] {
            let mut known = HashSet::new();
            names.retain(|name| known.insert(name.clone()));
        }
        if filter.resource_subscriptions.len() > RESOURCES_MAX {
            return Err(wrong(&format!("names more than {RESOURCES_MAX} resources")));
        }
        if filter.task_ids.len() > TASKS_MAX {
            return Err(wrong(&format!("names more than {TASKS_MAX} tasks")));
        }
        Ok(filter)
    }
}

/// Tells one stream of changes; what it says names the stream.
#[derive(Clone)]
pub(crate) struct Teller {
    events: mpsc::Sender<Event>,
    id: Arc<RawValue>,
}

impl Teller {
    /// Tells one thing. Whoever does not listen any more is not told.
    pub(crate) async fn tell(&self, method: &str, params: Option<&RawValue>) {
        let note = Event::Note { method: method.to_owned(), params: marked(params, &self.id) };
        drop(self.events.send(note).await);
    }
}

/// Tells what changes until the server ends, or the client goes away and drops this.
pub(crate) async fn hear(
    front: Arc<Front>,
    caller: Caller,
    id: Id,
    filter: Filter,
    events: mpsc::Sender<Event>,
) -> Result<Body, Failure> {
    let Ok(_place) = Arc::clone(&front.listens).try_acquire_owned() else {
        return Err(Failure::busy(format!("{LISTENS_MAX} streams of changes are open")));
    };
    let id = to_raw_value(&id).map_err(|e| Failure::internal(&Fault::bug(e.to_string())))?;
    // In code mode the lists never change, and nothing is subscribed to.
    let mut tasks = Vec::new();
    if caller.extends(EXTENSION) {
        tasks = known(&front, &caller, &filter.task_ids).await;
    }
    let filter = if caller.mode == Mode::Code { Filter::default() } else { filter };
    let letters = Letters::new(Lists {
        tools: filter.tools_list_changed,
        prompts: filter.prompts_list_changed,
        resources: filter.resources_list_changed,
    });
    front.deliver_to(&letters);
    let mut held = Held { front: Arc::clone(&front), caller: caller.clone(), uris: Vec::new() };
    let wanted = join_all(filter.resource_subscriptions.iter().map(|uri| {
        // Updates from the first moment count.
        let _full = letters.subscribe(uri);
        passed(&front, &caller, Method::Subscribe, uri)
    }));
    for (uri, is_subscribed) in filter.resource_subscriptions.iter().zip(wanted.await) {
        if is_subscribed {
            held.uris.push(uri.clone());
        } else {
            letters.unsubscribe(uri);
        }
    }
    let (resource_subscriptions, task_ids) = (held.uris.clone(), tasks.clone());
    let agreed = Filter { resource_subscriptions, task_ids, ..filter };
    let acknowledged = to_raw_value(&json!({ "notifications": agreed }));
    let acknowledged = acknowledged.map_err(|e| Failure::internal(&Fault::bug(e.to_string())))?;
    let teller = Teller { events, id: Arc::from(id) };
    // The receiver is dropped together with this.
    teller.tell("notifications/subscriptions/acknowledged", Some(&acknowledged)).await;
    let watched = |id: String| watch(Arc::clone(&front), caller.clone(), id, teller.clone());
    let mut watches: FuturesUnordered<_> = tasks.into_iter().map(watched).collect();
    loop {
        let post = tokio::select! {
            biased;
            () = caller.ending.cancelled() => break,
            post = letters.fetch() => post,
            Some(()) = watches.next(), if !watches.is_empty() => continue,
        };
        for (method, params) in post.notes() {
            teller.tell(method, params.as_deref()).await;
        }
    }
    let key = meta::SUBSCRIPTION_ID;
    let end = format!(r#"{{"resultType":"complete","_meta":{{"{key}":{}}}}}"#, teller.id);
    RawValue::from_string(end).map_err(|e| Failure::internal(&Fault::bug(e.to_string())))
}

/// Which of these tasks are the caller's.
async fn known(front: &Front, caller: &Caller, ids: &[String]) -> Vec<String> {
    let looks = ids.iter().map(|id| front.job(caller, id, Duration::ZERO));
    let found = join_all(looks).await;
    ids.iter().zip(found).filter(|(_, job)| job.is_ok()).map(|(id, _)| id.clone()).collect()
}

/// Parameters that tell of which stream they are.
fn marked(params: Option<&RawValue>, id: &RawValue) -> Option<Box<RawValue>> {
    let key = meta::SUBSCRIPTION_ID;
    let whole = params.map_or("{}", RawValue::get);
    let given = narrows_types::raw::get(whole, "_meta").filter(|meta| meta.starts_with('{'));
    let edits = [narrows_types::raw::Edit::Set(key, id.get())];
    let marked = narrows_types::raw::edit(given.unwrap_or("{}"), &edits).ok()?;
    if given.is_none() {
        return with_member(params, "_meta", &marked);
    }
    let edits = [narrows_types::raw::Edit::Set("_meta", &marked)];
    let whole = narrows_types::raw::edit(whole, &edits).ok()?;
    RawValue::from_string(whole.into_owned()).ok()
}

async fn passed(front: &Front, caller: &Caller, method: Method, uri: &str) -> bool {
    let Ok(params) = to_raw_value(&json!({ "uri": uri })) else { return false };
    let what = PassAsk { mode: caller.mode, method, about: uri.to_owned(), params };
    let ask = Ask {
        principal: caller.principal.clone(),
        client: Arc::clone(&caller.client),
        deadline: Some(front.config.request_timeout),
        what: What::Pass(what),
    };
    match front.asked(ask, None).await {
        Ok(Answer::Passed(Passed::Result(_))) => true,
        Ok(Answer::Passed(Passed::Error(error))) => {
            tracing::debug!("a subscription was refused: {}", error.message);
            false
        }
        Ok(_) => false,
        Err(fault) => {
            tracing::debug!("a subscription failed: {fault}");
            false
        }
    }
}

/// Subscriptions that are given back when the stream ends, however it does.
struct Held {
    front: Arc<Front>,
    caller: Caller,
    uris: Vec<String>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let uris = std::mem::take(&mut self.uris);
        if uris.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (source, caller) = (Arc::downgrade(&self.front), self.caller.clone());
        self.front.chore(async move {
            for uri in uris {
                let Some(front) = source.upgrade() else { return };
                passed(&front, &caller, Method::Unsubscribe, &uri).await;
            }
        });
    }
}
