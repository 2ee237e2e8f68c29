//! What an agent sees in one mode: its tools under their names, and their list, ready to be sent.

use crate::config::Config;
use narrows_catalog::hybrid::{Usage, picked};
use narrows_catalog::{Catalog, Roster, definition, manifest};
use narrows_types::Mode;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// Names that belong to us where we list tools of our own.
pub(crate) const OWN: [&str; 2] = ["search", "run"];
/// How long a client may keep a list of which its upstreams do not say it; a change is told before.
const TTL_MS: u64 = 60_000;

/// The pages of a list, each shared by all who ask for it.
pub(crate) struct Pages {
    texts: Vec<Arc<RawValue>>,
    pub(crate) ttl_ms: u64,
    pub(crate) private: bool,
}

impl Pages {
    /// Pages of so many items. `hints` are what each part says of keeping it: the shortest time
    /// holds, and one private part makes all of it private.
    pub(crate) fn new(
        items: &[Box<RawValue>],
        page_items: usize,
        hints: impl Iterator<Item = (Option<u64>, Option<bool>)>,
    ) -> Self {
        let (mut ttl_ms, mut private, mut any) = (None::<u64>, false, false);
        for (ttl, scope) in hints {
            let ttl = ttl.unwrap_or(TTL_MS);
            ttl_ms = Some(ttl_ms.map_or(ttl, |least| least.min(ttl)));
            private |= scope.unwrap_or(true);
            any = true;
        }
        let mut texts: Vec<Arc<RawValue>> = items.chunks(page_items.max(1)).map(page).collect();
        if texts.is_empty() {
            texts.push(page(&[]));
        }
        Self { texts, ttl_ms: ttl_ms.unwrap_or(TTL_MS), private: private || !any }
    }

    /// A page, and whether one follows. A list that became shorter has empty pages behind its end.
    pub(crate) fn page(&self, at: usize) -> (Arc<RawValue>, bool) {
        let page = self.texts.get(at).cloned().unwrap_or_else(|| page(&[]));
        (page, at.saturating_add(1) < self.texts.len())
    }
}

fn page(items: &[Box<RawValue>]) -> Arc<RawValue> {
    let bytes: usize = items.iter().map(|item| item.get().len() + 1).sum();
    let mut text = String::with_capacity(bytes + 2);
    text.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(item.get());
    }
    text.push(']');
    // Items are JSON, so their list is.
    RawValue::from_string(text).unwrap_or_else(|_never| RawValue::NULL.to_owned()).into()
}

/// The tools of one mode.
pub(crate) struct Lineup {
    /// Every tool that can be called by its name.
    pub(crate) roster: Roster,
    /// The list.
    pub(crate) pages: Pages,
}

impl Lineup {
    pub(crate) fn build(catalog: &Catalog, settings: &Config, usage: &Usage, mode: Mode) -> Self {
        let reserved: &[&str] = if mode == Mode::Mcp { &[] } else { &OWN };
        let roster = Roster::build(catalog, &settings.exposure, reserved);
        for collision in &roster.collisions {
            tracing::debug!("{collision}");
        }
        let own = manifest::tools().iter().filter_map(|tool| to_raw_value(tool).ok());
        let hints = || catalog.servers().map(|server| (server.ttl_ms, server.private));
        let page_items = settings.page_items;
        let pages = match mode {
            Mode::Code => {
                let own: Vec<_> = own.collect();
                Pages::new(&own, page_items, std::iter::empty())
            }
            Mode::Hybrid => {
                let tokens = settings.hybrid_tokens;
                let mut items: Vec<_> = own.collect();
                items.extend(picked(catalog, &roster, &settings.exposure, usage, tokens));
                // What is used most is nobody else's business.
                Pages::new(&items, page_items, hints().chain([(None, Some(true))]))
            }
            Mode::Mcp => {
                let items: Vec<_> = roster
                    .tools(catalog)
                    .filter_map(|(name, tool)| definition(tool, name))
                    .collect();
                Pages::new(&items, page_items, hints())
            }
        };
        Self { roster, pages }
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;
    use serde_json::value::RawValue;

    #[test]
    fn pages_cover_the_list_and_the_least_generous_part_decides() {
        let items: Vec<Box<RawValue>> =
            (0..5).map(|n| RawValue::from_string(n.to_string()).unwrap()).collect();
        let hints = [(Some(9), Some(false)), (Some(4), Some(false))];
        let pages = Pages::new(&items, 2, hints.into_iter());
        let texts: Vec<_> = (0..4).map(|at| pages.page(at)).collect();
        let texts: Vec<_> = texts.iter().map(|(page, more)| (page.get(), *more)).collect();
        assert_eq!(texts, [("[0,1]", true), ("[2,3]", true), ("[4]", false), ("[]", false)]);
        assert_eq!((pages.ttl_ms, pages.private), (4, false));
        let silent = Pages::new(&items, 9, [(Some(9), Some(false)), (None, None)].into_iter());
        assert_eq!((silent.ttl_ms, silent.private), (9, true));
        assert!(Pages::new(&[], 9, std::iter::empty()).private);
    }
}
