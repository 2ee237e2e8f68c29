//! One request under way: what is said to its client until its answer.

use super::results::with_member;
use super::{Body, Rules};
use crate::caller::Caller;
use crate::conversation::{Conversation, wanted};
use crate::parking::{Lot, Remembered, checked};
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

/// What a door is to do next. Doors see notes, what must arrive, and the answer; the rest is
/// between an exchange and the parking lot.
#[derive(Debug)]
pub(crate) enum Said {
    /// Send this; it may be lost where a client does not read.
    Note(String),
    /// Send this; it must arrive.
    Must(String),
    /// The client must be asked before it can go on.
    Asks,
    /// The upstream does not want the answer to this question any more.
    Withdrawn(u64),
    /// The upstream lets itself be polled, in so many milliseconds; the client may be told the same.
    Paused(Option<u64>),
    /// Send the answer; nothing comes after it.
    Last(Result<Body, Failure>),
}

/// A request under way. Dropping it cancels the request.
pub(crate) struct Exchange {
    work: Option<Work>,
    /// An earlier exchange is being taken up again.
    resuming: Option<Resuming>,
    last: Option<Result<Body, Failure>>,
    heard: mpsc::Receiver<Event>,
    voice: Voice,
    /// How it can be parked, where its client can be asked by no other way.
    parking: Option<Parking>,
}

type Resuming = Pin<Box<dyn Future<Output = Result<Exchange, Failure>> + Send>>;

/// Where an exchange is parked, and as what.
#[derive(Clone)]
pub(crate) struct Parking {
    pub(crate) lot: Arc<Lot>,
    pub(crate) request: Remembered,
    pub(crate) rounds: u32,
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
            capabilities: caller.client.capabilities.clone(),
            modern: caller.rules == Rules::Modern,
            must: false,
            mute: false,
            token,
            meter: Meter::default(),
            asked: Vec::new(),
            questions: Vec::new(),
        };
        Self { work: Some(work), resuming: None, last: None, heard, voice, parking: None }
    }

    /// With a place to be parked at.
    pub(crate) fn with_parking(self, parking: Option<Parking>) -> Self {
        Self { parking, ..self }
    }

    /// Nothing but the answer can be said: whoever asks something is not heard.
    pub(crate) fn mute(&mut self) {
        self.voice.mute = true;
    }

    /// Every notification must arrive.
    pub(crate) fn insisting(mut self) -> Self {
        self.voice.must = true;
        self
    }

    /// The exchange that a retry goes on with.
    pub(crate) fn resume(caller: Caller, parking: Parking, token: Option<Box<RawValue>>) -> Self {
        let (_events, heard) = mpsc::channel(1);
        let none: Work = Box::pin(std::future::pending());
        let this = Self::new(none, heard, &caller, None);
        let resuming: Resuming = Box::pin(async move {
            let found = parking.lot.resume(&caller, &parking.request, token).await?;
            let parking = Parking { rounds: found.rounds, ..parking };
            Ok(found.exchange.with_parking(Some(parking)))
        });
        Self { resuming: Some(resuming), ..this }
    }

    /// What comes next: never a question to a client that is asked by an answer. May be dropped and
    /// called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Said {
        if let Some(resuming) = &mut self.resuming {
            match resuming.await {
                Ok(exchange) => *self = exchange,
                Err(failure) => {
                    self.resuming = None;
                    self.work = None;
                    return Said::Last(Err(failure));
                }
            }
        }
        loop {
            match self.next_unparked().await {
                Said::Asks => match self.parking.take() {
                    Some(parking) => return Said::Last(self.park(parking)),
                    // Unanswered questions are declined.
                    None => drop(self.take_questions()),
                },
                Said::Withdrawn(_) => {}
                said => return said,
            }
        }
    }

    fn park(&mut self, parking: Parking) -> Result<Body, Failure> {
        let Parking { lot, request, rounds } = parking;
        let questions = self.take_questions();
        lot.park(self.divide(), questions, &request, rounds)
    }

    /// The part that goes on elsewhere; what stays is over.
    fn divide(&mut self) -> Self {
        let (_events, heard) = mpsc::channel(1);
        Self {
            work: self.work.take(),
            resuming: None,
            last: self.last.take(),
            heard: std::mem::replace(&mut self.heard, heard),
            voice: self.voice.divide(),
            parking: None,
        }
    }

    /// What comes next, of all that can come.
    pub(crate) async fn next_unparked(&mut self) -> Said {
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

    /// Asks again what was not answered.
    pub(crate) fn ask_again(&mut self, question: Question) {
        self.voice.questions.push(question);
    }

    /// The answer came while nobody waited for it.
    pub(crate) fn put_back(&mut self, outcome: Result<Body, Failure>) {
        self.last = Some(outcome);
    }

    /// Whom what is left is told: the client of a further request for the same.
    pub(crate) fn follow(&mut self, caller: &Caller, token: Option<Box<RawValue>>) {
        self.voice.log_level.clone_from(&caller.client.log_level);
        self.voice.capabilities.clone_from(&caller.client.capabilities);
        self.voice.token = token;
        self.voice.meter = Meter::default();
    }
}

/// Turns events into messages to one client.
struct Voice {
    conversation: Option<Arc<Conversation>>,
    log_level: Option<Arc<str>>,
    capabilities: Option<Arc<RawValue>>,
    modern: bool,
    /// Notifications must arrive.
    must: bool,
    /// Nobody reads what comes before the answer.
    mute: bool,
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
                match &self.conversation {
                    Some(conversation) => conversation.withdraw(number).map(Said::Must),
                    None => Some(Said::Withdrawn(number)),
                }
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
        Some(if self.must { Said::Must(text) } else { Said::Note(text) })
    }

    fn ask(&mut self, question: Question) -> Option<Said> {
        if self.modern {
            self.questions.extend(checked(question, self.capabilities.as_deref()));
            return None;
        }
        if self.mute {
            return None;
        }
        let (id, text) = self.conversation.as_ref()?.ask(question)?;
        self.asked.push(id);
        Some(Said::Must(text))
    }
}

impl Voice {
    /// The same voice for the part of an exchange that goes on elsewhere.
    fn divide(&mut self) -> Self {
        Self {
            conversation: None,
            log_level: self.log_level.clone(),
            capabilities: self.capabilities.clone(),
            modern: self.modern,
            must: self.must,
            mute: self.mute,
            token: None,
            meter: Meter::default(),
            asked: Vec::new(),
            questions: Vec::new(),
        }
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
