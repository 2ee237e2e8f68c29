//! Lists: one page of what an agent sees.

use crate::Shared;
use crate::lineup::Pages;
use narrows_catalog::manifest;
use narrows_types::{Fault, ListAsk, ListKind, Listed, Mode, Principal};
use serde_json::value::to_raw_value;
use std::time::Duration;
use tokio::time::Instant;

/// How long a client may keep a list of ours alone.
const OWN_TTL_MS: u64 = 3_600_000;

impl Shared {
    /// A page of a list.
    pub(crate) async fn list(
        &self,
        principal: &Principal,
        wait: Option<Duration>,
        ask: &ListAsk,
    ) -> Result<Listed, Fault> {
        let mode = ask.mode.to_string();
        let about = [principal.name.as_bytes(), mode.as_bytes(), ask.kind.method().as_bytes()];
        let at = match &ask.cursor {
            None => 0,
            Some(cursor) => self.seal.page(cursor, &about).ok_or_else(|| {
                Fault::invalid("unknown cursor").hint("start again without a cursor")
            })?,
        };
        let told = |pages: &Pages| {
            let (items, more) = pages.page(at);
            let next_cursor = more.then(|| self.seal.cursor(at.saturating_add(1), &about));
            // Who has which key sees which list.
            let private = pages.private || self.doorman.load().has_keys();
            Listed { items, next_cursor, ttl_ms: pages.ttl_ms, private }
        };
        if ask.mode == Mode::Code {
            return Ok(told(&Self::own(ask.kind)));
        }
        let mut snapshot = self.current(principal).await;
        let deadline = Instant::now() + wait.unwrap_or(snapshot.settings.list_wait);
        if !self.unlisted().is_empty() {
            self.settle(deadline).await;
            snapshot = self.current(principal).await;
        }
        if ask.kind == ListKind::Tools {
            return Ok(told(&snapshot.lineup(ask.mode).pages));
        }
        let merged = self.merged(ask.kind, &snapshot, deadline).await;
        if ask.mode == Mode::Hybrid && ask.kind == ListKind::Templates && at == 0 {
            let (items, more) = merged.pages.page(0);
            let ours = manifest::templates().iter().map(ToString::to_string);
            let theirs = narrows_types::raw::elements(items.get()).flatten().map(str::to_owned);
            let all = format!("[{}]", ours.chain(theirs).collect::<Vec<_>>().join(","));
            let items = serde_json::value::RawValue::from_string(all)
                .map_err(|e| Fault::bug(e.to_string()))?;
            let next_cursor = more.then(|| self.seal.cursor(1, &about));
            let ttl_ms = merged.pages.ttl_ms;
            return Ok(Listed { items: items.into(), next_cursor, ttl_ms, private: true });
        }
        Ok(told(&merged.pages))
    }

    /// What is there in code mode: our own.
    fn own(kind: ListKind) -> Pages {
        let items = match kind {
            ListKind::Tools => manifest::tools(),
            ListKind::Templates => manifest::templates(),
            ListKind::Prompts | ListKind::Resources => &[],
        };
        let items: Vec<_> = items.iter().filter_map(|item| to_raw_value(item).ok()).collect();
        Pages::new(&items, usize::MAX, [(Some(OWN_TTL_MS), Some(true))].into_iter())
    }
}
