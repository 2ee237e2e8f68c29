//! The prompts, resources and templates of all upstreams as one list, and who owns what.

use crate::Shared;
use crate::config::Config;
use crate::lineup::Pages;
use crate::snapshot::Snapshot;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use narrows_catalog::raw;
use narrows_types::ListKind;
use narrows_types::raw::get_text;
use narrows_upstream::Items;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// Merged lists that are kept: three kinds for everybody and for some principals.
const KEPT_MAX: usize = 48;

/// What several upstreams offer of one kind.
pub(crate) struct Merged {
    kind: ListKind,
    /// By what it was named and cut into pages.
    settings: Arc<Config>,
    /// The upstreams with what each lists; it is the same list while these are the same.
    sources: Vec<(Arc<str>, Arc<Items>)>,
    pub(crate) pages: Pages,
    /// By the name or URI that an agent sees: the place of the upstream, and its own name.
    by_name: HashMap<String, (usize, Arc<str>)>,
    templates: Vec<(Template, usize)>,
}

impl Merged {
    fn build(kind: ListKind, sources: Vec<(Arc<str>, Arc<Items>)>, snapshot: &Snapshot) -> Self {
        let key = if kind == ListKind::Templates { "uriTemplate" } else { "uri" };
        let settings = &snapshot.settings;
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut by_name = HashMap::new();
        let mut templates = Vec::new();
        if kind == ListKind::Prompts {
            let named: Vec<(usize, String, &RawValue)> = all(&sources, "name").collect();
            let things = named.iter().map(|(at, name, _)| {
                (sources.get(*at).map_or("", |(server, _)| &**server), name.as_str())
            });
            let names = settings.exposure.assign(things, &[]).names;
            for ((at, own, item), name) in named.iter().zip(names) {
                let shown = if *own == *name {
                    Some((*item).to_owned())
                } else {
                    raw::replaced(item, "name", &name)
                };
                items.extend(shown);
                by_name.insert(name.to_string(), (*at, Arc::from(own.as_str())));
            }
        } else {
            for (at, uri, item) in all(&sources, key) {
                // Of two that say the same, the first in the order of the config is meant.
                if by_name.contains_key(&uri) {
                    continue;
                }
                items.push(item.to_owned());
                if kind == ListKind::Templates {
                    templates.push((Template::new(&uri), at));
                }
                by_name.insert(uri.clone(), (at, Arc::from(uri)));
            }
        }
        let hints = sources.iter().filter(|(_, said)| !said.items.is_empty());
        let hints = hints.map(|(_, said)| (said.ttl_ms, Some(said.private)));
        let pages = Pages::new(&items, settings.page_items, hints);
        Self { kind, settings: Arc::clone(settings), sources, pages, by_name, templates }
    }

    fn same(
        &self,
        kind: ListKind,
        settings: &Arc<Config>,
        sources: &[(Arc<str>, Arc<Items>)],
    ) -> bool {
        let items = |one: &Arc<Items>, two: &Arc<Items>| {
            Arc::ptr_eq(one, two) || (one.items.is_empty() && two.items.is_empty())
        };
        self.kind == kind
            && Arc::ptr_eq(&self.settings, settings)
            && self.sources.len() == sources.len()
            && self.sources.iter().zip(sources).all(|(a, b)| a.0 == b.0 && items(&a.1, &b.1))
    }

    /// The upstream that owns it, and how that calls it.
    pub(crate) fn owner(&self, name: &str) -> Option<(&Arc<str>, &str)> {
        let (at, own) = self.by_name.get(name)?;
        Some((&self.sources.get(*at)?.0, own))
    }

    /// The first upstream with a template that this URI can be made of.
    pub(crate) fn maker(&self, uri: &str) -> Option<&Arc<str>> {
        let (_, at) = self.templates.iter().find(|(template, _)| template.makes(uri))?;
        self.sources.get(*at).map(|(server, _)| server)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Every item that has its key, with the place of its upstream.
fn all<'a>(
    sources: &'a [(Arc<str>, Arc<Items>)],
    key: &'static str,
) -> impl Iterator<Item = (usize, String, &'a RawValue)> {
    sources.iter().enumerate().flat_map(move |(at, (_, said))| {
        said.items
            .iter()
            .filter_map(move |item| Some((at, get_text(item.get(), key)?.into_owned(), &**item)))
    })
}

/// Merged lists that were made.
#[derive(Default)]
pub(crate) struct Offers {
    kept: ArcSwap<Vec<Arc<Merged>>>,
}

impl Shared {
    /// What the upstreams of a snapshot offer now. One that cannot say it in time offers nothing.
    pub(crate) async fn merged(
        &self,
        kind: ListKind,
        snapshot: &Snapshot,
        deadline: Instant,
    ) -> Arc<Merged> {
        let deadline = deadline.min(Instant::now() + snapshot.settings.list_wait);
        let asked = snapshot.catalog.servers().map(|server| async {
            let told = self.fleet.items(&server.name, kind, deadline).await;
            let told = told.unwrap_or_else(|e| {
                tracing::debug!(server = server.name, "{}: {e}", kind.method());
                Arc::default()
            });
            (Arc::<str>::from(server.name.as_str()), told)
        });
        let sources = join_all(asked).await;
        let kept = self.offers.kept.load();
        if let Some(known) =
            kept.iter().find(|known| known.same(kind, &snapshot.settings, &sources))
        {
            return Arc::clone(known);
        }
        let merged = Arc::new(Merged::build(kind, sources, snapshot));
        self.offers.kept.rcu(|kept| {
            let servers =
                |m: &Merged| m.sources.iter().map(|s| Arc::clone(&s.0)).collect::<Vec<_>>();
            let of = servers(&merged);
            let others = kept.iter().filter(|m| m.kind != kind || servers(m) != of);
            // The oldest go first.
            let others = others.take(KEPT_MAX - 1).cloned();
            [Arc::clone(&merged)].into_iter().chain(others).collect::<Vec<_>>()
        });
        merged
    }
}

/// A URI template (RFC 6570), as far as needed to know what can be made of it.
struct Template {
    parts: Vec<Part>,
}

enum Part {
    Literal(String),
    /// An expression; `false` if its values hold no `/`.
    Expression(bool),
}

impl Template {
    fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((expression, after)) = after.split_once('}') else { break };
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Expression(
                expression.starts_with(['+', '#', '/', '?', '&', ';', '.']),
            ));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Self { parts }
    }

    /// Whether this URI can be made of it. Each expression takes as little as it can.
    fn makes(&self, uri: &str) -> bool {
        let mut rest = uri;
        let mut open: Option<bool> = None;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Expression(any) => open = Some(open.unwrap_or(false) || *any),
                Part::Literal(literal) => {
                    let last = at + 1 == self.parts.len();
                    let found = match open {
                        None => rest.strip_prefix(literal.as_str()).map(|after| ("", after)),
                        Some(_) if last => rest.strip_suffix(literal.as_str()).map(|v| (v, "")),
                        Some(_) => rest.split_once(literal.as_str()),
                    };
                    let Some((value, after)) = found else { return false };
                    if open == Some(false) && (value.is_empty() || value.contains('/')) {
                        return false;
                    }
                    (rest, open) = (after, None);
                }
            }
        }
        match open {
            None => rest.is_empty(),
            Some(true) => true,
            Some(false) => !rest.is_empty() && !rest.contains('/'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn a_template_knows_what_is_made_of_it() {
        for (template, uri, expected) in [
            ("test://template/{id}/data", "test://template/7/data", true),
            ("test://template/{id}/data", "test://template/7/8/data", false),
            ("test://template/{id}/data", "test://template//data", false),
            ("file:///{+path}", "file:///a/b.txt", true),
            ("db://{table}/{row}", "db://users/3", true),
            ("db://{table}/{row}", "db://users", false),
            ("q://x{?a,b}", "q://x?a=1", true),
            ("q://x{?a,b}", "q://x", true),
            ("plain://x", "plain://x", true),
            ("plain://x", "plain://xy", false),
            ("odd://{", "odd://{", true),
        ] {
            assert_eq!(Template::new(template).makes(uri), expected, "{template} {uri}");
        }
    }
}
