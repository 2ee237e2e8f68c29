//! What an upstream says by itself: notifications, and requests to the client.
//!
//! Over HTTP a message belongs to the request on whose stream it came. On a pipe nobody says which:
//! it belongs to the only request under way, or, on a client's own connection, to the last one.

use super::questions::{Answered, Kept, withdrawn};
use super::{Hears, Listener, Session, number};
use crate::news::Lists;
use narrows_protocol::{Id, RpcError, code, envelope, views};
use narrows_types::fault::clip;
use narrows_types::raw::{self, Edit};
use narrows_types::{Event, ListKind, Question};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of a progress message.
const PROGRESS_BYTES_MAX: usize = 200;
/// What a client can be asked.
const QUESTIONS: [&str; 3] = ["sampling/createMessage", "elicitation/create", "roots/list"];
/// Log levels, least severe first.
const SEVERITIES: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The rank of a log level.
pub(crate) fn severity(level: &str) -> Option<u8> {
    SEVERITIES.iter().position(|known| *known == level).and_then(|rank| u8::try_from(rank).ok())
}

impl Session {
    /// A request of the upstream.
    pub(super) fn asked(
        &mut self,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
        via: Option<i64>,
    ) {
        let (code, message) = if method == "ping" {
            if let Ok(body) = envelope::response(id, &serde_json::json!({})) {
                self.post("", body, self.revision);
            }
            return;
        } else if self.terms.voice.capabilities.is_none() || !QUESTIONS.contains(&method) {
            let method = clip(method.to_owned(), 64);
            tracing::debug!(server = self.terms.server, method, "asks for what is not offered");
            (code::METHOD_NOT_FOUND, format!("{method} is not offered"))
        } else if let Some(question) = self.questions.ask(id.clone(), method, params) {
            if let Some(question) = self.ask_client(question, via) {
                self.questions.keep(question, via);
            }
            return;
        } else {
            (code::INTERNAL_ERROR, "too many questions are open".to_owned())
        };
        if let Ok(body) = envelope::failure(id, &RpcError { code, message, data: None }) {
            self.post("", body, self.revision);
        }
    }

    /// Asks the client; gives the question back if nobody can be asked now.
    fn ask_client(&mut self, question: Question, via: Option<i64>) -> Option<Question> {
        let number = question.number;
        let mut event = Event::Question(question);
        if let Some(owner) = self.owner(via)
            && let Some(listener) = self.listener(owner)
        {
            match listener.tell(event) {
                Ok(()) => {
                    listener.clock.asked();
                    self.questions.belongs(number, owner);
                    return None;
                }
                // It reads what it was told before.
                Err(Event::Question(question)) if listener.is_full() => return Some(question),
                Err(unheard) => event = unheard,
            }
        }
        if let Some(back) = &self.terms.back {
            match back.tell(event) {
                Ok(()) => return None,
                Err(unheard) => event = *unheard,
            }
        }
        match event {
            Event::Question(question) => Some(question),
            _ => None,
        }
    }

    /// Looks again for somebody to be asked.
    pub(super) fn ask_kept(&mut self) {
        for Kept { question, via, until } in self.questions.kept() {
            if let Some(question) = self.ask_client(question, via) {
                self.questions.put_back(Kept { question, via, until });
            }
        }
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, answered: Answered) {
        let Some((body, owner)) = self.questions.message(answered) else { return };
        if let Some(listener) = owner.and_then(|owner| self.listener(owner)) {
            listener.clock.answered();
        }
        self.last_used = tokio::time::Instant::now();
        self.post("", body, self.revision);
    }

    /// A notification of the upstream.
    pub(super) fn note(&mut self, method: &str, params: Option<&RawValue>, via: Option<i64>) {
        let news = &self.terms.news;
        match method {
            "notifications/tools/list_changed" => news.raise(Lists::of(ListKind::Tools)),
            "notifications/prompts/list_changed" => news.raise(Lists::of(ListKind::Prompts)),
            "notifications/resources/list_changed" => news.raise(Lists::of(ListKind::Resources)),
            "notifications/resources/updated" => {
                if let Some(params) = params {
                    news.updated(params);
                }
            }
            "notifications/subscriptions/acknowledged" => self.begun(params, via),
            "notifications/progress" => {
                if let Some(params) = params {
                    self.progress(params);
                }
            }
            "notifications/cancelled" => self.withdrawn(params),
            _ => self.pass_on(method, params, via),
        }
    }

    /// A subscription was acknowledged.
    fn begun(&mut self, params: Option<&RawValue>, via: Option<i64>) {
        let named = || {
            let meta = raw::get(params?.get(), "_meta")?;
            raw::get(meta, "io.modelcontextprotocol/subscriptionId")?.trim_matches('"').parse().ok()
        };
        let waiting = via.or_else(named).and_then(|id: i64| self.pending.get_mut(&id));
        if let Some(Hears::Begun(begun)) = waiting.map(|waiting| &mut waiting.hears)
            && let Some(begun) = begun.take()
        {
            let _gone = begun.send(());
        }
    }

    /// The upstream closed the stream of a request and wants to be polled.
    pub(super) fn paused(&self, id: i64, retry_ms: u64) {
        if let Some(listener) = self.listener(id) {
            let _full = listener.tell(Event::Paused { retry_ms: Some(retry_ms) });
        }
    }

    /// The upstream does not want an answer any more.
    fn withdrawn(&mut self, params: Option<&RawValue>) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled {
            request_id: Id,
        }
        let cancelled = params.and_then(|p| serde_json::from_str::<Cancelled>(p.get()).ok());
        let Some(Cancelled { request_id }) = cancelled else { return };
        let Some((number, owner)) = self.questions.withdraw(&request_id) else { return };
        if let Some(listener) = owner.and_then(|owner| self.listener(owner)) {
            listener.clock.answered();
            let _full = listener.tell(withdrawn(number));
        } else if let Some(back) = &self.terms.back {
            let _unheard = back.tell(withdrawn(number));
        }
    }

    /// Passes a notification on to the request that it belongs to, or to the client.
    fn pass_on(&self, method: &str, params: Option<&RawValue>, via: Option<i64>) {
        let note =
            || Event::Note { method: method.to_owned(), params: params.map(RawValue::to_owned) };
        if let Some(listener) = self.owner(via).and_then(|owner| self.listener(owner)) {
            if method != "notifications/message" || wants(listener.severity, params) {
                // A client that is slow misses some.
                let _full = listener.tell(note());
            }
        } else if let Some(back) = &self.terms.back {
            let _unheard = back.tell(note());
        } else {
            tracing::trace!(server = self.terms.server, "notification {method}");
        }
    }

    /// The request of a client that a message belongs to.
    fn owner(&self, via: Option<i64>) -> Option<i64> {
        if let Some(via) = via {
            return Some(via).filter(|via| self.listener(*via).is_some());
        }
        let mut hearing = self
            .pending
            .iter()
            .filter(|(_, waiting)| matches!(waiting.hears, Hears::Client(_)))
            .map(|(id, _)| *id);
        let first = hearing.next()?;
        let last = hearing.fold(first, i64::max);
        let own = self.terms.voice.capabilities.is_some();
        // With many clients on one connection it may be anybody's.
        let only = last == first && self.pending.len() == self.subscribed + 1;
        Some(last).filter(|_| own || only)
    }

    fn listener(&self, id: i64) -> Option<&Listener> {
        match &self.pending.get(&id)?.hears {
            Hears::Client(listener) => Some(listener),
            Hears::Nobody | Hears::Program(_) | Hears::Begun(_) => None,
        }
    }

    fn progress(&mut self, params: &RawValue) {
        let Ok(told) = serde_json::from_str::<views::Progress>(params.get()) else { return };
        let waiting = number(&told.progress_token).and_then(|id| self.pending.get_mut(&id));
        let Some(waiting) = waiting else { return };
        match &waiting.hears {
            Hears::Nobody | Hears::Begun(_) => {}
            Hears::Program(listener) => {
                let Some(event) = fraction(told, &mut waiting.fraction) else { return };
                // A caller that is slow misses some.
                let _full = listener.try_send(event);
            }
            Hears::Client(listener) => {
                let params = raw::edit(params.get(), &[Edit::Remove("progressToken")]).ok();
                let params = params.and_then(|p| RawValue::from_string(p.into_owned()).ok());
                let method = "notifications/progress".to_owned();
                let _full = listener.tell(Event::Note { method, params });
            }
        }
    }
}

/// Progress as a fraction that only grows.
fn fraction(told: views::Progress, last: &mut f64) -> Option<Event> {
    let total = told.total.filter(|total| total.is_finite() && *total > 0.0);
    let fraction = total.map(|total| (told.progress / total).clamp(0.0, 1.0));
    if let Some(fraction) = fraction {
        if fraction <= *last || fraction.is_nan() {
            return None;
        }
        *last = fraction;
    }
    let message = clip(told.message.unwrap_or_default(), PROGRESS_BYTES_MAX);
    Some(Event::Progress { fraction, message })
}

/// Whether a log message is severe enough.
fn wants(least: Option<u8>, params: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Logged {
        level: String,
    }
    let Some(least) = least else { return false };
    let logged = params.and_then(|p| serde_json::from_str::<Logged>(p.get()).ok());
    logged.and_then(|logged| severity(&logged.level)).is_none_or(|rank| rank >= least)
}
