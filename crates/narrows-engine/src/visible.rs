//! The intents that each principal sees, as an upstream of its own.

use crate::Shared;
use narrows_types::{Principal, ServerListing};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long what was read counts: another replica may save an intent, too.
const FRESH: Duration = Duration::from_secs(2);
/// Principals of which it is known.
const PRINCIPALS_MAX: usize = 10_000;

/// What was read last of each principal's intents.
#[derive(Default)]
pub(crate) struct Visible(Mutex<HashMap<String, Seen>>);

#[derive(Clone)]
struct Seen {
    at: Instant,
    /// Tells whether anything changed: names and texts.
    print: String,
    listing: Option<Arc<ServerListing>>,
}

impl Shared {
    /// A principal's intents; none if there are none, or if the store does not tell.
    pub(crate) async fn intents_of(&self, principal: &Principal) -> Option<Arc<ServerListing>> {
        let seen = self.visible.get(&principal.name);
        if let Some(seen) = seen.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return seen.listing.clone();
        }
        let listing = match self.intent_listing(principal).await {
            Ok(listing) => listing,
            Err(fault) => {
                tracing::warn!("intents are not known: {fault}");
                return seen.and_then(|seen| seen.listing);
            }
        };
        let print = listing.as_ref().and_then(|listing| serde_json::to_string(listing).ok());
        let print = print.unwrap_or_default();
        let listing = match seen {
            // The same listing keeps what was built from it.
            Some(seen) if seen.print == print => seen.listing,
            _ => listing.map(Arc::new),
        };
        let seen = Seen { at: Instant::now(), print, listing: listing.clone() };
        self.visible.put(&principal.name, seen);
        listing
    }

    /// A principal changed its intents: every list that may show them is told to look again.
    pub(crate) fn intents_changed(&self, principal: &Principal) {
        self.visible.forget(&principal.name);
        self.bumps.send_modify(|count| *count += 1);
    }
}

impl Visible {
    fn get(&self, principal: &str) -> Option<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(principal).cloned()
    }

    fn put(&self, principal: &str, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= PRINCIPALS_MAX && !all.contains_key(principal) {
            all.clear();
        }
        all.insert(principal.to_owned(), seen);
    }

    /// What is known stays for comparison, but is not fresh any more.
    fn forget(&self, principal: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(principal);
    }
}
