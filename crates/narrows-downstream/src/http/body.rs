//! Bodies of requests, each within its limit and its time, and all within one budget.

use crate::wire::Failure;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Bytes beyond the limit of a body that are taken and thrown away.
const DISCARD_MAX: usize = 64 << 20;
/// Bytes of each body that are outside the budget: the number of connections bounds them, and small
/// requests pass while others send large ones.
const FREE: usize = 64 << 10;

/// The budget of all bodies that are held at once.
pub(crate) struct Bodies {
    left: Arc<Semaphore>,
    budget: usize,
}

/// A whole body. Its part of the budget is free again when it is dropped.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new(budget: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(budget)), budget }
    }

    /// The whole body, within its limit and its time.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Whole, Failure> {
        match tokio::time::timeout(BODY_WAIT, self.collect(body, limit)).await {
            Ok(read) => read,
            Err(_elapsed) => {
                let message = format!("the body did not arrive within {} s", BODY_WAIT.as_secs());
                Err(Failure { status: 408, ..Failure::request(message) })
            }
        }
    }

    /// What is refused is thrown away, but taken for a while: a client that is still sending when
    /// the connection closes never sees the answer.
    async fn collect(&self, body: Body, limit: usize) -> Result<Whole, Failure> {
        let mut chunks = body.into_data_stream();
        let mut all = BytesMut::new();
        let mut held = None;
        let mut refused = None;
        let mut size: usize = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Failure::request(format!("the body broke off: {e}")))?;
            size = size.saturating_add(chunk.len());
            if size > limit {
                refused = Some(Failure::too_long(limit));
            } else if refused.is_none() && !self.hold(&mut held, size) {
                refused = Some(self.full());
            }
            if refused.is_none() {
                all.extend_from_slice(&chunk);
                continue;
            }
            (all, held) = (BytesMut::new(), None);
            if size > limit.saturating_add(DISCARD_MAX) {
                break;
            }
        }
        match refused {
            Some(failure) => Err(failure),
            None => Ok(Whole { bytes: all.freeze(), _held: held }),
        }
    }

    /// Takes from the budget what a body of this size needs more than it holds.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, size: usize) -> bool {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = size.saturating_sub(FREE).saturating_sub(has);
        let Ok(more) = u32::try_from(more) else { return false };
        let Ok(more) = Arc::clone(&self.left).try_acquire_many_owned(more) else { return false };
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        true
    }

    fn full(&self) -> Failure {
        let message = format!(
            "the large bodies under way hold {} bytes, which is the limit; try again in some \
             seconds, or send less than {FREE} bytes",
            self.budget
        );
        Failure { status: 503, ..Failure::busy(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bodies: &Bodies, size: usize) -> Result<Whole, Failure> {
        bodies.read(Body::from(vec![b' '; size]), 4 << 20).await
    }

    #[tokio::test]
    async fn all_bodies_share_one_budget_and_small_ones_pass() {
        let bodies = Bodies::new(1 << 20);
        let first = read(&bodies, 1 << 20).await.ok().unwrap();
        assert_eq!(first.bytes.len(), 1 << 20);
        let failure = read(&bodies, 1 << 20).await.err().unwrap();
        assert_eq!(failure.status, 503);
        assert!(failure.message.contains("1048576 bytes"), "{}", failure.message);
        assert!(read(&bodies, FREE).await.is_ok());
        drop(first);
        assert!(read(&bodies, 1 << 20).await.is_ok(), "what was refused holds nothing");
    }

    #[tokio::test]
    async fn a_body_in_pieces_counts_once() {
        let bodies = Bodies::new(4 * FREE);
        let piece = || Ok::<_, std::convert::Infallible>(Bytes::from(vec![b' '; FREE]));
        let body = Body::from_stream(futures_util::stream::iter((0..5).map(move |_| piece())));
        let whole = bodies.read(body, 5 * FREE).await.ok().unwrap();
        assert_eq!((whole.bytes.len(), bodies.left.available_permits()), (5 * FREE, 0));
        drop(whole);
        assert_eq!(bodies.left.available_permits(), 4 * FREE);
    }
}
