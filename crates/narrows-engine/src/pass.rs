//! Requests of the protocol that are passed on, and the lists that say what can be.

use crate::{Events, Shared};
use narrows_types::{
    Client, Fault, ListAsk, ListKind, Listed, Method, PassAsk, Passed, Principal, fault,
};
use narrows_upstream::Passing;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Between an upstream's name and that of its tool.
const SEPARATOR: char = '.';
/// How long a modern client may keep a list; a change is told before.
const LIST_TTL_MS: u64 = 60_000;

impl Shared {
    /// Passes a request on to the upstream that it is for.
    pub(crate) async fn pass(
        &self,
        principal: &Principal,
        client: Arc<Client>,
        wait: Option<Duration>,
        ask: PassAsk,
        events: Option<Events>,
    ) -> Result<Passed, Fault> {
        let wait = wait.unwrap_or(self.config.call_wait).min(self.config.call_wait);
        let deadline = Instant::now() + wait;
        let _place = self.gate.place(deadline).await?;
        let (server, name) = ask.about.split_once(SEPARATOR).ok_or_else(|| unknown(&ask.about))?;
        let snapshot = self.knowing([server], deadline).await;
        let (server, name) = match ask.method {
            Method::CallTool => {
                let found = snapshot.catalog.resolve(server, name)?;
                (found.server.name.as_str(), Some(found.tool.spec.name.as_str()))
            }
            _ => return Err(unknown(&ask.about)),
        };
        let passing = Passing {
            method: ask.method,
            name,
            params: &ask.params,
            principal: &principal.name,
            client,
            events,
            deadline,
        };
        Ok(self.fleet.pass(server, passing).await?)
    }

    /// A page of a list.
    pub(crate) async fn list(&self, ask: &ListAsk) -> Result<Listed, Fault> {
        let snapshot = self.settle(Instant::now() + self.config.list_wait).await;
        let mut items: Vec<Box<RawValue>> = Vec::new();
        if ask.kind == ListKind::Tools {
            for server in snapshot.catalog.servers() {
                items.extend(server.tools.iter().filter_map(|tool| tool.spec.definition.clone()));
            }
        }
        let items =
            serde_json::value::to_raw_value(&items).map_err(|e| Fault::bug(e.to_string()))?;
        Ok(Listed { items: items.into(), next_cursor: None, ttl_ms: LIST_TTL_MS, private: true })
    }
}

fn unknown(about: &str) -> Fault {
    let about = fault::clip(about.to_owned(), 64);
    Fault::not_found(format!("there is no {about}"))
}
