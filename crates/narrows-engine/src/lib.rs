//! The heart: one `Ask` in, one `Answer` out.

use narrows_types::{Answer, Ask, Event, Fault};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where a door hears of progress while it waits. A full channel drops events.
pub type Events = mpsc::Sender<Event>;

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<()>,
}

impl Engine {
    /// Answers one request. Dropping the future cancels it: its worker dies, its calls are
    /// cancelled upstream.
    pub async fn ask(&self, ask: Ask, events: Option<Events>) -> Result<Answer, Fault> {
        let _ = (ask, events, &self.inner);
        Err(Fault::bug("not built yet"))
    }
}
