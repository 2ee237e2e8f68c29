//! Prompts, resources and templates of an upstream: all pages, each item as it was written.

use crate::board::{Cell, Connected};
use crate::error::UpstreamError;
use crate::fleet::{Fleet, connect, failed};
use crate::session::Body;
use crate::wire::Failure;
use narrows_protocol::code;
use narrows_types::{ListKind, raw};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Pages of one list.
const PAGES_MAX: usize = 1_000;
/// Items of one list.
const ITEMS_MAX: usize = 20_000;
/// Bytes of one item.
const ITEM_BYTES_MAX: usize = 256 << 10;
/// Bytes of one list.
const LIST_BYTES_MAX: usize = 32 << 20;
/// How long a list is kept that the upstream tells changes of.
const ANNOUNCED_KEPT: Duration = Duration::from_mins(10);
/// And one that it tells nothing of.
const SILENT_KEPT: Duration = Duration::from_secs(10);
/// The longest that an upstream may want a list to be kept.
const KEPT_MAX: Duration = Duration::from_hours(24);

/// A whole list of one upstream.
#[derive(Debug, Default)]
pub struct Items {
    /// Its items, each a JSON object as the upstream wrote it.
    pub items: Vec<Box<RawValue>>,
    /// How long it may be kept, if the upstream says so.
    pub ttl_ms: Option<u64>,
    /// The upstream says that it is for us only.
    pub private: bool,
}

/// The lists of one upstream that are kept.
#[derive(Default)]
pub(crate) struct Shelf {
    prompts: Place,
    resources: Place,
    templates: Place,
}

#[derive(Default)]
struct Place {
    stale: AtomicBool,
    /// Held while it is read, so that it is read once for all who wait.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    items: Arc<Items>,
    until: Instant,
}

impl Shelf {
    fn place(&self, kind: ListKind) -> Option<&Place> {
        match kind {
            ListKind::Tools => None,
            ListKind::Prompts => Some(&self.prompts),
            ListKind::Resources => Some(&self.resources),
            ListKind::Templates => Some(&self.templates),
        }
    }

    /// What is kept of this list is not so any more.
    pub(crate) fn forget(&self, kind: ListKind) {
        if kind == ListKind::Resources {
            self.templates.stale.store(true, Ordering::Release);
        }
        if let Some(place) = self.place(kind) {
            place.stale.store(true, Ordering::Release);
        }
    }
}

impl Fleet {
    /// A list of an upstream, which is started if there is need. Tools are told by `listings`.
    /// The same list is the same `Arc` while nothing in it changed.
    pub async fn items(
        &self,
        server: &str,
        kind: ListKind,
        deadline: Instant,
    ) -> Result<Arc<Items>, UpstreamError> {
        let cell = self.cell(server)?;
        let cell = &*cell;
        let nothing = || Ok(Arc::new(Items::default()));
        let (Some(place), None) = (cell.shelf.place(kind), &cell.inside) else { return nothing() };
        if cell.offers().is_some_and(|offers| !offers.has(kind)) {
            return Ok(Arc::clone(&cell.nothing));
        }
        let start = Instant::now();
        let deadline = deadline.min(start + cell.config.start_timeout);
        let late = |failure| failed(cell, kind.method(), failure, start.elapsed());
        let kept = tokio::time::timeout_at(deadline, place.kept.lock()).await;
        let mut kept = kept.map_err(|_elapsed| late(Failure::Timeout))?;
        if let Some(known) = kept.as_ref()
            && !place.stale.load(Ordering::Acquire)
            && known.until > Instant::now()
        {
            return Ok(Arc::clone(&known.items));
        }
        let connected = connect(cell, kind.method(), start, deadline).await?;
        // A change that is told from now on makes it stale again.
        place.stale.store(false, Ordering::Release);
        let read = read(cell, &connected, kind, deadline).await.map_err(late)?;
        let told = read.ttl_ms.map(|ms| Duration::from_millis(ms).min(KEPT_MAX));
        let announced = connected.agreed.offers.announces(kind);
        let silent = if announced { ANNOUNCED_KEPT } else { SILENT_KEPT };
        let until = Instant::now() + told.unwrap_or(silent);
        let items = match kept.take() {
            Some(known) if same(&known.items, &read) => known.items,
            _ => Arc::new(read),
        };
        *kept = Some(Kept { items: Arc::clone(&items), until });
        Ok(items)
    }
}

fn same(one: &Items, two: &Items) -> bool {
    let texts = |items: &Items| items.items.iter().map(|i| i.get().len()).sum::<usize>();
    (one.ttl_ms, one.private, one.items.len()) == (two.ttl_ms, two.private, two.items.len())
        && texts(one) == texts(two)
        && one.items.iter().zip(&two.items).all(|(one, two)| one.get() == two.get())
}

/// Reads all pages. A broken item costs only itself.
async fn read(
    cell: &Cell,
    connected: &Connected,
    kind: ListKind,
    deadline: Instant,
) -> Result<Items, Failure> {
    let mut list = Items::default();
    let (mut cursor, mut bytes) = (None, 0);
    for _ in 0..PAGES_MAX {
        let body = Body::Page { kind, cursor: cursor.clone() };
        let revision = Some(connected.agreed.revision);
        let reply = match connected.peer.ask(body, revision, Some(deadline)).await {
            // Many servers have resources and no templates, and say so only this way.
            Err(Failure::Rpc(error)) if error.code == code::METHOD_NOT_FOUND => break,
            reply => reply?,
        };
        bytes += reply.get().len();
        let page = page(reply.get(), kind, &mut list)?;
        if page.is_none() || page == cursor {
            break;
        }
        if list.items.len() >= ITEMS_MAX || bytes > LIST_BYTES_MAX {
            let server = cell.name();
            tracing::warn!(server, "only {} of its {}", list.items.len(), kind.member());
            break;
        }
        cursor = page;
    }
    Ok(list)
}

/// Takes one page; gives where the next one starts.
fn page(text: &str, kind: ListKind, list: &mut Items) -> Result<Option<String>, Failure> {
    let not_understood = |e: serde_json::Error| {
        Failure::Protocol(format!("its list of {} is not understood: {e}", kind.member()))
    };
    if !text.trim_start().starts_with('{') {
        let not = "it is no object".to_owned();
        return Err(Failure::Protocol(format!("its list of {}: {not}", kind.member())));
    }
    let items: Vec<Box<RawValue>> = match raw::get(text, kind.member()) {
        Some(items) => serde_json::from_str(items).map_err(not_understood)?,
        None => Vec::new(),
    };
    let room = ITEMS_MAX.saturating_sub(list.items.len());
    let sound = |item: &RawValue| item.get().len() <= ITEM_BYTES_MAX && is_named(kind, item);
    list.items.extend(items.into_iter().filter(|item| sound(item)).take(room));
    let ttl = raw::get(text, "ttlMs").and_then(|ms| ms.parse::<u64>().ok());
    list.ttl_ms = match (list.ttl_ms, ttl) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    };
    list.private |= raw::get_text(text, "cacheScope").as_deref() == Some("private");
    Ok(raw::get_text(text, "nextCursor").map(Cow::into_owned))
}

/// Whether an item says what it is asked for by.
fn is_named(kind: ListKind, item: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Located {
        uri: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Patterned {
        uri_template: String,
    }
    let text = item.get();
    let name = match kind {
        ListKind::Tools | ListKind::Prompts => {
            serde_json::from_str(text).map(|Named { name }| name)
        }
        ListKind::Resources => serde_json::from_str(text).map(|Located { uri }| uri),
        ListKind::Templates => {
            serde_json::from_str(text).map(|Patterned { uri_template }| uri_template)
        }
    };
    name.is_ok_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{Items, page};
    use narrows_types::ListKind;

    #[test]
    fn a_broken_item_costs_only_itself() {
        let mut list = Items::default();
        let text = r#"{"prompts":[{"name":"a", "x" : 1.0},{"name":5},{},{"name":"b"}],
            "nextCursor":"","ttlMs":500,"cacheScope":"private"}"#;
        assert_eq!(page(text, ListKind::Prompts, &mut list).unwrap().as_deref(), Some(""));
        let more = r#"{"prompts":[{"name":"c"}],"ttlMs":200,"cacheScope":"public"}"#;
        assert_eq!(page(more, ListKind::Prompts, &mut list).unwrap(), None);
        let texts: Vec<_> = list.items.iter().map(|item| item.get()).collect();
        assert_eq!(texts, [r#"{"name":"a", "x" : 1.0}"#, r#"{"name":"b"}"#, r#"{"name":"c"}"#]);
        assert_eq!((list.ttl_ms, list.private), (Some(200), true));
        assert!(page("[]", ListKind::Prompts, &mut list).is_err());
        assert!(page(r#"{"prompts":{}}"#, ListKind::Prompts, &mut list).is_err());
    }
}
