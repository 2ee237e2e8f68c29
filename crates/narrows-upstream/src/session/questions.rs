//! Requests of an upstream to the client that a connection is for.
//!
//! Each is answered exactly once: by the client, or, if the question is dropped, with a refusal.

use narrows_protocol::{Id, RpcError, envelope};
use narrows_types::{Event, Question, WireError};
use serde_json::value::RawValue;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

/// Questions of one connection that are open.
const OPEN_MAX: usize = 64;
/// How long a question waits for somebody who can be asked.
const KEPT_WAIT: Duration = Duration::from_secs(5);
/// How often somebody is looked for.
const KEPT_STEP: Duration = Duration::from_millis(50);
/// A request was declined (the number is that of the examples of the specification).
const DECLINED: i64 = -1;

/// What came of a question.
pub(crate) type Outcome = Result<Box<RawValue>, WireError>;

/// An answer on its way to the upstream.
pub(super) struct Answered {
    number: u64,
    outcome: Outcome,
    #[expect(dead_code, reason = "held for what its end does: there is room for a question again")]
    place: OwnedSemaphorePermit,
}

/// A question that was asked.
pub(super) struct Open {
    theirs: Id,
    /// The request of ours that it belongs to.
    pub(super) owner: Option<i64>,
}

/// A question that nobody could be asked yet.
pub(super) struct Kept {
    pub(super) question: Question,
    pub(super) via: Option<i64>,
    pub(super) until: Instant,
}

/// All of one connection.
pub(super) struct Questions {
    open: HashMap<u64, Open>,
    kept: VecDeque<Kept>,
    places: Arc<Semaphore>,
    answers: mpsc::Sender<Answered>,
    answered: mpsc::Receiver<Answered>,
}

/// Answers a question once; dropped, it declines.
struct Once {
    number: u64,
    method: String,
    answers: mpsc::Sender<Answered>,
    place: Option<OwnedSemaphorePermit>,
}

impl Once {
    fn answer(&mut self, outcome: Outcome) {
        if let Some(place) = self.place.take() {
            // There is room for as many as can be open; a session that is gone needs none.
            let _gone = self.answers.try_send(Answered { number: self.number, outcome, place });
        }
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        if self.place.is_some() {
            let outcome = declined(&self.method);
            self.answer(outcome);
        }
    }
}

/// Tells one question of all of them apart.
pub(crate) fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// What a question is answered with that nobody wants to answer.
pub(crate) fn declined(method: &str) -> Outcome {
    let cancelled = || RawValue::from_string(r#"{"action":"cancel"}"#.to_owned()).ok();
    match cancelled().filter(|_| method == "elicitation/create") {
        Some(result) => Ok(result),
        None => Err(WireError {
            code: DECLINED,
            message: "the client did not answer".to_owned(),
            data: None,
        }),
    }
}

impl Questions {
    pub(super) fn new() -> Self {
        let (answers, answered) = mpsc::channel(OPEN_MAX);
        let places = Arc::new(Semaphore::new(OPEN_MAX));
        Self { open: HashMap::new(), kept: VecDeque::new(), places, answers, answered }
    }

    /// A question of the upstream; `None` if too many are open.
    pub(super) fn ask(
        &mut self,
        theirs: Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Option<Question> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let number = next_number();
        self.open.insert(number, Open { theirs, owner: None });
        let mut once = Once {
            number,
            method: method.to_owned(),
            answers: self.answers.clone(),
            place: Some(place),
        };
        Some(Question {
            number,
            method: method.to_owned(),
            params: params.map(RawValue::to_owned),
            answer: Box::new(move |outcome| once.answer(outcome)),
        })
    }

    /// It belongs to this request of ours.
    pub(super) fn belongs(&mut self, number: u64, owner: i64) {
        if let Some(open) = self.open.get_mut(&number) {
            open.owner = Some(owner);
        }
    }

    /// Keeps a question until there is somebody to be asked.
    pub(super) fn keep(&mut self, question: Question, via: Option<i64>) {
        self.kept.push_back(Kept { question, via, until: Instant::now() + KEPT_WAIT });
    }

    /// Those that were kept. Whoever waited too long is declined by being dropped.
    pub(super) fn kept(&mut self) -> Vec<Kept> {
        let now = Instant::now();
        self.kept.retain(|kept| kept.until > now);
        self.kept.drain(..).collect()
    }

    /// Puts one back.
    pub(super) fn put_back(&mut self, kept: Kept) {
        self.kept.push_back(kept);
    }

    /// When to look for somebody again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.kept.front().map(|_| Instant::now() + KEPT_STEP)
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        self.answered.recv().await
    }

    /// The message of an answer, and the request that it belonged to; none if the upstream does
    /// not wait for it any more.
    pub(super) fn message(&mut self, answered: Answered) -> Option<(String, Option<i64>)> {
        let Open { theirs, owner } = self.open.remove(&answered.number)?;
        let body = match answered.outcome {
            Ok(result) => envelope::response(&theirs, &result),
            Err(WireError { code, message, data }) => {
                envelope::failure(&theirs, &RpcError { code, message, data })
            }
        };
        body.ok().map(|body| (body, owner))
    }

    /// The upstream withdrew a question: its number, and the request that it belonged to.
    pub(super) fn withdraw(&mut self, theirs: &Id) -> Option<(u64, Option<i64>)> {
        let number = self.open.iter().find(|(_, open)| open.theirs == *theirs).map(|(n, _)| *n)?;
        self.kept.retain(|kept| kept.question.number != number);
        self.open.remove(&number).map(|open| (number, open.owner))
    }

    /// A request of ours is over: its questions are forgotten. Gives the messages that say so.
    pub(super) fn forget(&mut self, owner: i64) -> Vec<String> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let over: Vec<u64> =
            self.open.iter().filter(|(_, o)| o.owner == Some(owner)).map(|(n, _)| *n).collect();
        let declined = over.iter().filter_map(|number| {
            let open = self.open.remove(number)?;
            let message = "the request that it belongs to is over".to_owned();
            envelope::failure(&open.theirs, &RpcError { code: DECLINED, message, data: None }).ok()
        });
        declined.collect()
    }
}

/// What is told of a question that was withdrawn.
pub(super) fn withdrawn(number: u64) -> Event {
    Event::Withdrawn { number }
}

#[cfg(test)]
mod tests {
    use super::{OPEN_MAX, Questions};
    use narrows_protocol::Id;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn every_question_is_answered_once() {
        let mut questions = Questions::new();
        let one = questions.ask(Id::from("a"), "elicitation/create", None).unwrap();
        let two = questions.ask(Id::from(2), "sampling/createMessage", None).unwrap();
        let three = questions.ask(Id::from(3), "roots/list", None).unwrap();
        questions.belongs(three.number, 9);
        (three.answer)(Ok(RawValue::from_string(r#"{"roots":[]}"#.to_owned()).unwrap()));
        drop((one, two));
        let mut told = Vec::new();
        for _ in 0..3 {
            let answered = questions.next().await.unwrap();
            let (body, owner) = questions.message(answered).unwrap();
            told.push((serde_json::from_str::<Value>(&body).unwrap(), owner));
        }
        assert_eq!(told[0].0, json!({"jsonrpc": "2.0", "id": 3, "result": {"roots": []}}));
        assert_eq!(told[0].1, Some(9));
        assert_eq!(told[1].0["result"]["action"], "cancel");
        assert_eq!(told[2].0["error"]["code"], -1);
    }

    #[tokio::test]
    async fn what_is_over_or_withdrawn_is_not_answered_again() {
        let mut questions = Questions::new();
        let asked: Vec<_> = (0..=OPEN_MAX)
            .map(|n| questions.ask(Id::from(i64::try_from(n).unwrap()), "roots/list", None))
            .collect();
        assert!(asked[OPEN_MAX].is_none(), "too many");
        let number = asked[0].as_ref().unwrap().number;
        questions.belongs(number, 1);
        assert_eq!(questions.forget(1).len(), 1);
        let (withdrawn, owner) = questions.withdraw(&Id::from(1)).unwrap();
        assert_eq!((withdrawn, owner), (asked[1].as_ref().unwrap().number, None));
        drop(asked);
        let mut told = 0;
        for _ in 0..OPEN_MAX {
            let answered = questions.next().await.unwrap();
            told += usize::from(questions.message(answered).is_some());
        }
        assert_eq!(told, OPEN_MAX - 2);
        assert!(questions.ask(Id::from(1), "roots/list", None).is_some(), "there is room again");
    }
}
