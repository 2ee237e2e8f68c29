//! One request under way: what is said to its client until its answer.

use super::results::with_member;
use super::{Body, Rules};
use crate::caller::Caller;
use crate::conversation::{Conversation, wanted};
use crate::progress::Meter;
use crate::wire::{self, Failure, notification};
use narrows_types::{Event, Question};
use serde::Serialize;
use serde_json::value::RawValue;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long further questions are waited for, so that they are asked together.
const TOGETHER: Duration = Duration::from_millis(30);

/// The answer in the making.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<Body, Failure>> + Send>>;

/// What a door is to do next.
#[derive(Debug)]
pub(crate) enum Said {
    /// Send this; it may be lost where a client does not read.
    Note(String),
    /// Send this; it must arrive.
    Must(String),
    /// The client must be asked before it can go on, and only its next request can carry the
    /// answers: the exchange is to be parked.
    Asks,
    /// The upstream lets itself be polled, in so many milliseconds; the client may be told the same.
    Paused(Option<u64>),
    /// Send the answer; nothing comes after it.
    Last(Result<Body, Failure>),
}

/// A request under way. Dropping it cancels the request.
pub(crate) struct Exchange {
    work: Option<Work>,
    last: Option<Result<Body, Failure>>,
    heard: mpsc::Receiver<Event>,
    voice: Voice,
}

impl Exchange {
    pub(crate) fn new(
        work: Work,
        heard: mpsc::Receiver<Event>,
        caller: &Caller,
        token: Option<Box<RawValue>>,
    ) -> Self {
        let voice = Voice {
            conversation: caller.conversation.clone(),
            log_level: caller.client.log_level.clone(),
            modern: caller.rules == Rules::Modern,
            token,
            meter: Meter::default(),
            asked: Vec::new(),
            questions: Vec::new(),
        };
        Self { work: Some(work), last: None, heard, voice }
    }

    /// What comes next. May be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Said {
        loop {
            let Some(work) = &mut self.work else { return self.rest() };
            let event = tokio::select! {
                biased;
                Some(event) = self.heard.recv() => event,
                last = work => {
                    self.last = Some(last);
                    self.work = None;
                    continue;
                }
                () = tokio::time::sleep(TOGETHER), if !self.voice.questions.is_empty() => {
                    return Said::Asks;
                }
            };
            if let Some(said) = self.voice.say(event) {
                return said;
            }
        }
    }

    /// What was told just before the answer, then the answer.
    fn rest(&mut self) -> Said {
        while let Ok(event) = self.heard.try_recv() {
            // Whoever answered does not wait for an answer any more.
            if !matches!(event, Event::Question(_))
                && let Some(said) = self.voice.say(event)
            {
                return said;
            }
        }
        let over = || Err(Failure::internal(&narrows_types::Fault::bug("the answer was given")));
        Said::Last(self.last.take().unwrap_or_else(over))
    }

    /// The questions that a client of the modern era is to answer.
    pub(crate) fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.voice.questions)
    }
}

/// Turns events into messages to one client.
struct Voice {
    conversation: Option<Arc<Conversation>>,
    log_level: Option<Arc<str>>,
    modern: bool,
    token: Option<Box<RawValue>>,
    meter: Meter,
    /// The ids under which a client of the legacy era was asked.
    asked: Vec<i64>,
    questions: Vec<Question>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress<'a> {
    progress_token: &'a RawValue,
    #[serde(flatten)]
    reading: crate::progress::Reading,
}

impl Voice {
    fn say(&mut self, event: Event) -> Option<Said> {
        match event {
            Event::Progress { fraction, message } => {
                let progress_token = self.token.as_deref()?;
                let reading = self.meter.read(fraction, message);
                let params = Progress { progress_token, reading };
                Some(Said::Note(notification("notifications/progress", &params)))
            }
            Event::Note { method, params } => self.note(&method, params.as_deref()),
            Event::Question(question) => self.ask(question),
            Event::Withdrawn { number } => {
                self.questions.retain(|question| question.number != number);
                self.conversation.as_ref()?.withdraw(number).map(Said::Must)
            }
            Event::Paused { retry_ms } => Some(Said::Paused(retry_ms)),
        }
    }

    fn note(&self, method: &str, params: Option<&RawValue>) -> Option<Said> {
        let text = match method {
            "notifications/progress" => {
                let token = self.token.as_deref()?;
                let params = with_member(params, "progressToken", token.get())?;
                wire::note(method, Some(&params))
            }
            // A modern request that names no level wants none.
            "notifications/message" if self.modern && self.log_level.is_none() => return None,
            _ if !wanted(method, params, self.log_level.as_deref()) => return None,
            _ => wire::note(method, params),
        };
        Some(Said::Note(text))
    }

    fn ask(&mut self, question: Question) -> Option<Said> {
        if self.modern {
            self.questions.push(question);
            return None;
        }
        let (id, text) = self.conversation.as_ref()?.ask(question)?;
        self.asked.push(id);
        Some(Said::Must(text))
    }
}

/// A question ends with the request that it was asked for.
impl Drop for Voice {
    fn drop(&mut self) {
        if let Some(conversation) = &self.conversation
            && !self.asked.is_empty()
        {
            conversation.give_up(&self.asked);
        }
    }
}
