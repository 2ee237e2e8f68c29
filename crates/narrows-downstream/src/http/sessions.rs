//! Sessions of the legacy era: what `initialize` agreed on, and what is under way in each.

use super::streams::{Shelf, Streams};
use crate::conversation::Conversation;
use crate::wire::{self, Failure, clipped};
use narrows_protocol::{Id, Revision};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests and streams of one session at once.
const UNDER_WAY_MAX: usize = 256;
/// Streams of one session at once.
const STREAMS_MAX: usize = 4;
/// Streams of all sessions at once: each holds a connection, and half are left for requests.
const STREAMS_TOTAL_MAX: usize = 512;

/// The longest time between two looks for sessions that expired.
const SWEEP_PAUSE: Duration = Duration::from_secs(30);

/// How long a session that was used is left alone when there are too many. It stops a flood of
/// `initialize` from ending what others work in.
const IDLE_MIN: Duration = Duration::from_mins(5);

/// All sessions. The lock is held for a look-up only, never across a wait.
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Session>>,
    max: usize,
    ttl: Duration,
    shelf: Shelf,
}

struct Session {
    conversation: Arc<Conversation>,
    kept: Arc<Streams>,
    seen: Instant,
    /// Whether anything came after `initialize`.
    used: bool,
    streams: usize,
    under_way: HashMap<Id, CancellationToken>,
    /// Cancelled when the session ends, and with it all that is under way.
    ended: CancellationToken,
}

impl Session {
    fn idle(&self) -> bool {
        self.streams == 0 && self.under_way.is_empty()
    }

    /// Whether it may make room for another.
    fn spare(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.seen);
        self.idle() && (!self.used || idle >= IDLE_MIN)
    }

    fn expired(&self, ttl: Duration, now: Instant) -> bool {
        self.idle() && now.saturating_duration_since(self.seen) >= ttl
    }
}

/// A stream or a request of a session; dropping it ends its entry.
pub(crate) struct Ticket {
    sessions: Arc<Sessions>,
    session: String,
    request: Option<Id>,
    /// Cancelled when the client cancels, or the session ends.
    pub(crate) cancel: CancellationToken,
}

impl Sessions {
    pub(crate) fn new(max: usize, ttl: Duration) -> Self {
        Self { all: Mutex::default(), max: max.max(1), ttl, shelf: Shelf::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        // No code that can panic runs under the lock; a poisoned map is still whole.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session and gives its unguessable id. Expired ones end first; if it is still one
    /// too many, the one that was idle longest of
    /// those that were never used, or not for a while.
    pub(crate) fn open(&self, conversation: Arc<Conversation>) -> Result<String, Failure> {
        self.open_at(conversation, Instant::now())
    }

    fn open_at(&self, conversation: Arc<Conversation>, now: Instant) -> Result<String, Failure> {
        let id = wire::unguessable()?;
        let mut all = self.lock();
        if all.len() >= self.max {
            all.retain(|_, session| !session.expired(self.ttl, now));
        }
        if all.len() >= self.max {
            let oldest = all.iter().filter(|(_, s)| s.spare(now)).min_by_key(|(_, s)| s.seen);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                let message =
                    format!("{} sessions are in use; try again in some minutes", self.max);
                return Err(Failure { status: 503, ..Failure::busy(message) });
            };
            all.remove(&oldest);
        }
        let session = Session {
            conversation,
            kept: Arc::new(Streams::new(self.shelf.clone())),
            seen: now,
            used: false,
            streams: 0,
            under_way: HashMap::new(),
            ended: CancellationToken::new(),
        };
        all.insert(id.clone(), session);
        Ok(id)
    }

    /// Ends the sessions that expired, now and from time to time, as long as there are any to come.
    pub(crate) async fn sweep(sessions: Weak<Self>) {
        loop {
            let Some(pause) = sessions.upgrade().map(|sessions| sessions.ttl.min(SWEEP_PAUSE))
            else {
                return;
            };
            tokio::time::sleep(pause).await;
            let Some(sessions) = sessions.upgrade() else { return };
            sessions.sweep_at(Instant::now());
        }
    }

    fn sweep_at(&self, now: Instant) {
        self.lock().retain(|_, session| !session.expired(self.ttl, now));
    }

    /// The session's conversation, if it lives. Counts as use.
    pub(crate) fn visit(&self, id: &str) -> Option<Arc<Conversation>> {
        self.visit_at(id, Instant::now())
    }

    fn visit_at(&self, id: &str, now: Instant) -> Option<Arc<Conversation>> {
        let mut all = self.lock();
        if all.get(id)?.expired(self.ttl, now) {
            all.remove(id);
            return None;
        }
        let session = all.get_mut(id)?;
        session.seen = session.seen.max(now);
        session.used = true;
        Some(Arc::clone(&session.conversation))
    }

    /// The streams that a session's client can come back to; none where its revision has no such.
    pub(crate) fn kept(&self, id: &str) -> Option<Arc<Streams>> {
        let all = self.lock();
        let session = all.get(id)?;
        let may = session.conversation.revision >= Revision::V2025_11_25;
        may.then(|| Arc::clone(&session.kept))
    }

    /// Enters a request.
    pub(crate) fn begin(self: &Arc<Self>, id: &str, request: &Id) -> Result<Ticket, Failure> {
        let mut all = self.lock();
        let session = all.get_mut(id).ok_or_else(gone)?;
        if session.under_way.contains_key(request) {
            let message =
                format!("a request with id {} is under way already", clipped(&request.to_string()));
            return Err(Failure::request(message));
        }
        if session.under_way.len() >= UNDER_WAY_MAX {
            let message = format!("{UNDER_WAY_MAX} requests are under way; wait for answers");
            return Err(Failure { status: 429, ..Failure::busy(message) });
        }
        let cancel = session.ended.child_token();
        session.under_way.insert(request.clone(), cancel.clone());
        Ok(self.ticket(id, Some(request.clone()), cancel))
    }

    /// Enters a stream of messages that belong to no request.
    pub(crate) fn listen(self: &Arc<Self>, id: &str) -> Result<Ticket, Failure> {
        let mut all = self.lock();
        let total: usize = all.values().map(|s| s.streams).sum();
        let session = all.get_mut(id).ok_or_else(gone)?;
        if total >= STREAMS_TOTAL_MAX {
            let message = format!("{STREAMS_TOTAL_MAX} streams are open; POST works without one");
            return Err(Failure { status: 503, ..Failure::busy(message) });
        }
        if session.streams >= STREAMS_MAX {
            let message = format!("the session has {STREAMS_MAX} streams already");
            return Err(Failure { status: 409, ..Failure::busy(message) });
        }
        session.streams += 1;
        let cancel = session.ended.child_token();
        Ok(self.ticket(id, None, cancel))
    }

    fn ticket(
        self: &Arc<Self>,
        session: &str,
        request: Option<Id>,
        cancel: CancellationToken,
    ) -> Ticket {
        Ticket { sessions: Arc::clone(self), session: session.to_owned(), request, cancel }
    }

    /// Hears a notification of a session's client.
    pub(crate) fn notified(&self, id: &str, method: &str, params: Option<&RawValue>) {
        if method == "notifications/cancelled"
            && let Some(request) = wire::cancelled(params)
        {
            self.cancel(id, &request);
        }
    }

    /// Cancels a request of a session; an unknown one is ignored.
    fn cancel(&self, id: &str, request: &Id) {
        if let Some(token) = self.lock().get(id).and_then(|s| s.under_way.get(request)) {
            token.cancel();
        }
    }

    /// Ends a session and all that is under way in it; false if there is none.
    pub(crate) fn close(&self, id: &str) -> bool {
        let session = self.lock().remove(id);
        if let Some(session) = &session {
            session.ended.cancel();
        }
        session.is_some()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut all = self.sessions.lock();
        let Some(session) = all.get_mut(&self.session) else { return };
        session.seen = Instant::now();
        match &self.request {
            Some(request) => drop(session.under_way.remove(request)),
            None => session.streams = session.streams.saturating_sub(1),
        }
    }
}

/// What is said of a session that is not there: the client is to initialize anew.
pub(crate) fn gone() -> Failure {
    Failure {
        status: 404,
        ..Failure::request("unknown or ended session; send initialize again".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(max: usize) -> Arc<Sessions> {
        Arc::new(Sessions::new(max, TTL))
    }

    fn open(sessions: &Sessions) -> String {
        sessions.open(conversation()).unwrap()
    }

    fn conversation() -> Arc<Conversation> {
        crate::tests::conversation(&Arc::default())
    }

    const TTL: Duration = Duration::from_mins(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_session_lives_as_long_as_it_is_used() {
        let sessions = sessions(9);
        let id = open(&sessions);
        let mut now = Instant::now();
        for _ in 0..5 {
            now += TTL / 2;
            assert!(sessions.visit_at(&id, now).is_some());
        }
        assert!(sessions.visit_at(&id, now + TTL).is_none());
        assert!(!sessions.close(&id));
    }

    #[test]
    fn upstreams_hear_of_sessions_that_expired() {
        let sessions = sessions(9);
        let script: crate::tests::Script = Arc::default();
        sessions.open(crate::tests::conversation(&script)).unwrap();
        let now = Instant::now();
        sessions.sweep_at(now);
        assert_eq!(script.farewells.lock().unwrap().len(), 0);
        sessions.sweep_at(now + 2 * TTL);
        assert_eq!(script.farewells.lock().unwrap().len(), 1);
        assert!(sessions.lock().is_empty());
    }

    #[tokio::test]
    async fn a_short_life_is_looked_after_as_often() {
        let sessions = Arc::new(Sessions::new(3, Duration::from_millis(20)));
        open(&sessions);
        let ended = async {
            while !sessions.lock().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = Sessions::sweep(Arc::downgrade(&sessions)) => unreachable!("there may be more"),
            ended = tokio::time::timeout(SWEEP_PAUSE / 2, ended) => assert!(ended.is_ok()),
        }
    }

    #[test]
    fn a_session_with_something_under_way_does_not_expire() {
        let sessions = sessions(9);
        let id = open(&sessions);
        let late = Instant::now() + 9 * TTL;
        let ticket = sessions.listen(&id).unwrap();
        assert!(sessions.visit_at(&id, late).is_some());
        drop(ticket);
        assert!(sessions.visit_at(&id, late + 9 * TTL).is_none());
    }

    #[test]
    fn beyond_the_bound_the_expired_and_then_the_longest_idle_end() {
        let sessions = sessions(2);
        let (first, second) = (open(&sessions), open(&sessions));
        let now = Instant::now() + SECOND;
        assert!(sessions.visit_at(&first, now).is_some());
        let third = sessions.open_at(conversation(), now).unwrap();
        assert!(sessions.visit(&second).is_none());
        let busy = (sessions.listen(&first).unwrap(), sessions.listen(&third).unwrap());
        assert_eq!(sessions.open(conversation()).unwrap_err().status, 503);
        drop(busy);
        sessions.open_at(conversation(), now + 9 * TTL).unwrap();
        assert!(sessions.visit(&first).is_none() && sessions.visit(&third).is_none());
    }

    #[test]
    fn a_flood_of_new_sessions_ends_none_that_is_used() {
        let sessions = Arc::new(Sessions::new(3, 9 * IDLE_MIN));
        let used = open(&sessions);
        let now = Instant::now();
        assert!(sessions.visit_at(&used, now).is_some());
        for _ in 0..9 {
            open(&sessions);
        }
        let ids: Vec<_> = sessions.lock().keys().cloned().collect();
        for id in ids {
            assert!(sessions.visit_at(&id, now).is_some());
        }
        let open_at = |at| sessions.open_at(conversation(), at);
        assert_eq!(open_at(now + IDLE_MIN / 2).unwrap_err().status, 503);
        assert!(sessions.visit_at(&used, now).is_some());
        assert!(open_at(now + IDLE_MIN + SECOND).is_ok());
    }

    #[test]
    fn requests_are_cancelled_alone_or_with_their_session() {
        let sessions = sessions(2);
        let id = open(&sessions);
        let one = sessions.begin(&id, &Id::from(1)).unwrap();
        let two = sessions.begin(&id, &Id::from(2)).unwrap();
        assert!(sessions.begin(&id, &Id::from(1)).is_err(), "one id, one request");
        sessions.cancel(&id, &Id::from(1));
        sessions.cancel(&id, &Id::from(77));
        assert!(one.cancel.is_cancelled() && !two.cancel.is_cancelled());
        drop(one);
        assert!(sessions.begin(&id, &Id::from(1)).is_ok(), "its place is free again");
        assert!(sessions.close(&id));
        assert!(two.cancel.is_cancelled());
        assert_eq!(sessions.begin(&id, &Id::from(3)).err().unwrap().status, 404);
    }

    #[test]
    fn streams_are_bounded() {
        let sessions = sessions(2);
        let id = open(&sessions);
        let held: Vec<_> = (0..STREAMS_MAX).map(|_| sessions.listen(&id).unwrap()).collect();
        assert_eq!(sessions.listen(&id).err().unwrap().status, 409);
        drop(held);
        assert!(sessions.listen(&id).is_ok());
    }

    #[test]
    fn streams_leave_connections_for_requests() {
        let sessions = sessions(STREAMS_TOTAL_MAX);
        let ids: Vec<_> = (0..STREAMS_TOTAL_MAX / STREAMS_MAX).map(|_| open(&sessions)).collect();
        let held: Vec<_> = ids
            .iter()
            .flat_map(|id| (0..STREAMS_MAX).map(|_| sessions.listen(id).unwrap()))
            .collect();
        let late = open(&sessions);
        assert_eq!(sessions.listen(&late).err().unwrap().status, 503);
        drop(held);
        assert!(sessions.listen(&late).is_ok());
    }
}
