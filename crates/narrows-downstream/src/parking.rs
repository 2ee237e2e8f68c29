//! Where requests of modern clients wait for answers that only a further request can bring.
//!
//! An upstream of the legacy era asks while it works; a client of the modern era is asked by the
//! answer to its request. So the work is parked, the client gets the questions and a sealed state,
//! and its next request with that state finds the work again. Each parked exchange has a task that
//! owns it, and keeps it going, until it is taken up again or its time is over.

use crate::caller::Caller;
use crate::conversation::askable;
use crate::mcp::{Body, Exchange, Said};
use crate::wire::Failure;
use narrows_protocol::rounds::{InputRequired, Question as Asked, Retry, digest};
use narrows_protocol::seal::{Seal, Unsealed};
use narrows_types::{AnswerBack, Fault, Question, WireError};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Exchanges that are parked at once.
const PARKED_MAX: usize = 256;
/// Those of one principal.
const PARKED_EACH_MAX: usize = 64;
/// How long an exchange waits to be taken up again.
const PARKED_WAIT: Duration = Duration::from_mins(10);
/// How often one request may be answered with questions.
const ROUNDS_MAX: u32 = 16;
/// By this a state is known to be ours and not an upstream's.
const PREFIX: &str = "narrows.";
/// What the seal is for.
const PURPOSE: &str = "parked exchange";

/// A request that can be parked: what its repetition must have in common with it.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) principal: String,
    pub(crate) method: &'static str,
    pub(crate) params: Box<RawValue>,
}

impl Remembered {
    fn digest(&self) -> Result<[u8; 32], Failure> {
        digest(self.method, self.params.get())
            .map_err(|_broken| Failure::params("`params` is not understood".to_owned()))
    }
}

/// The name of a question on the wire: unique in the life of a request.
fn key(question: &Question) -> String {
    format!("q{}", question.number)
}

/// All that is parked.
pub(crate) struct Lot {
    seal: Result<Seal, String>,
    places: Mutex<Places>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Places {
    last: u64,
    taken: HashMap<u64, Place>,
}

struct Place {
    principal: String,
    back: oneshot::Sender<oneshot::Sender<Parked>>,
}

/// An exchange beside the way.
struct Parked {
    exchange: Exchange,
    open: Vec<Question>,
    rounds: u32,
}

/// What a retry found.
pub(crate) struct Found {
    pub(crate) exchange: Exchange,
    pub(crate) rounds: u32,
}

impl Lot {
    pub(crate) fn new() -> Arc<Self> {
        let mut key = [0_u8; 32];
        let seal = getrandom::fill(&mut key).map(|()| Seal::new(key, &[]));
        let seal = seal.map_err(|e| format!("no randomness from the system: {e}"));
        Arc::new(Self { seal, places: Mutex::default(), tasks: Mutex::default() })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // No code that can panic runs under the lock.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal(&self) -> Result<&Seal, Failure> {
        self.seal.as_ref().map_err(|e| Failure::internal(&Fault::bug(e.as_str())))
    }

    /// Whether a state is one of ours.
    pub(crate) fn knows(state: &str) -> bool {
        state.starts_with(PREFIX)
    }

    /// Parks an exchange and gives the result that asks the client.
    pub(crate) fn park(
        self: &Arc<Self>,
        exchange: Exchange,
        open: Vec<Question>,
        request: &Remembered,
        rounds: u32,
    ) -> Result<Body, Failure> {
        if rounds >= ROUNDS_MAX {
            let message = format!("the request was answered with questions {ROUNDS_MAX} times");
            return Err(Failure::busy(message));
        }
        let (back, taken) = oneshot::channel();
        let number = self.enter(&request.principal, back)?;
        let state = self.state(number, request).inspect_err(|_| self.leave(number))?;
        let asks = asks(&open, &state);
        let parked = Parked { exchange, open, rounds: rounds + 1 };
        let lot = Arc::downgrade(self);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(own(parked, taken, lot, number));
        asks
    }

    fn enter(
        &self,
        principal: &str,
        back: oneshot::Sender<oneshot::Sender<Parked>>,
    ) -> Result<u64, Failure> {
        let mut places = self.places();
        let own = places.taken.values().filter(|p| p.principal == principal).count();
        if places.taken.len() >= PARKED_MAX || own >= PARKED_EACH_MAX {
            let message = format!("{} requests wait for answers already", places.taken.len());
            return Err(Failure::busy(message));
        }
        places.last += 1;
        let number = places.last;
        places.taken.insert(number, Place { principal: principal.to_owned(), back });
        Ok(number)
    }

    fn leave(&self, number: u64) {
        self.places().taken.remove(&number);
    }

    fn state(&self, number: u64, request: &Remembered) -> Result<String, Failure> {
        let digest = request.digest()?;
        let bound: [&[u8]; 2] = [request.principal.as_bytes(), &digest];
        let until = now_s() + PARKED_WAIT.as_secs();
        let sealed = self.seal()?.seal(PURPOSE, &bound, until, &number.to_be_bytes());
        let sealed = sealed.map_err(|e| Failure::internal(&Fault::bug(e.to_string())))?;
        Ok(format!("{PREFIX}{sealed}"))
    }

    /// Takes an exchange up again with the answers that a retry brings.
    pub(crate) async fn resume(
        &self,
        caller: &Caller,
        request: &Remembered,
        token: Option<Box<RawValue>>,
    ) -> Result<Found, Failure> {
        let retry = Retry::read(request.params.get()).map_err(Failure::params)?;
        let state = retry.state.as_deref().and_then(|state| state.strip_prefix(PREFIX));
        let digest = request.digest()?;
        let bound: [&[u8]; 2] = [request.principal.as_bytes(), &digest];
        let opened = self.seal()?.open(PURPOSE, &bound, now_s(), state.unwrap_or_default());
        let number = opened.map_err(unsealed)?;
        let number = <[u8; 8]>::try_from(number).map_err(|_other| unsealed(Unsealed::Invalid))?;
        let place = self.places().taken.remove(&u64::from_be_bytes(number));
        let place = place.ok_or_else(gone)?;
        let (back, parked) = oneshot::channel();
        place.back.send(back).map_err(|_ended| gone())?;
        let Parked { mut exchange, open, rounds } = parked.await.map_err(|_ended| gone())?;
        exchange.follow(caller, token);
        for question in open {
            match retry.answer(&key(&question)) {
                Some(answer) => answered(question.answer, answer),
                // What was not answered is asked again.
                None => exchange.ask_again(question),
            }
        }
        Ok(Found { exchange, rounds })
    }
}

/// Owns a parked exchange until somebody wants it back, or nobody does in time.
async fn own(
    mut parked: Parked,
    mut taken: oneshot::Receiver<oneshot::Sender<Parked>>,
    lot: Weak<Lot>,
    number: u64,
) {
    let late = tokio::time::sleep(PARKED_WAIT);
    let mut late = std::pin::pin!(late);
    let mut over = false;
    loop {
        let said = tokio::select! {
            biased;
            back = &mut taken => {
                if let Ok(back) = back {
                    // A retry that went away meanwhile takes the exchange with it.
                    drop(back.send(parked));
                }
                return;
            }
            () = &mut late => break,
            said = parked.exchange.next_unparked(), if !over => said,
        };
        match said {
            // Nobody hears what is told meanwhile.
            Said::Note(_) | Said::Must(_) | Said::Paused(_) => {}
            Said::Asks => parked.open.append(&mut parked.exchange.take_questions()),
            Said::Withdrawn(number) => parked.open.retain(|open| open.number != number),
            Said::Last(outcome) => {
                parked.exchange.put_back(outcome);
                over = true;
            }
        }
    }
    if let Some(lot) = lot.upgrade() {
        lot.leave(number);
    }
}

fn answered(back: AnswerBack, answer: &str) {
    let answer = RawValue::from_string(answer.to_owned()).map_err(|_never| WireError {
        code: narrows_protocol::code::INTERNAL_ERROR,
        message: "the answer was lost".to_owned(),
        data: None,
    });
    back(answer);
}

fn asks(open: &[Question], state: &str) -> Result<Body, Failure> {
    let state = serde_json::to_string(state).unwrap_or_default();
    let questions = open.iter().map(|question| Asked {
        key: key(question).into(),
        method: question.method.as_str().into(),
        params: question.params.as_deref().map(RawValue::get),
    });
    let asks = InputRequired { questions: questions.collect(), state: Some(&state) }.write();
    RawValue::from_string(asks).map_err(|e| Failure::internal(&Fault::bug(e.to_string())))
}

/// Declines a question that the client did not declare it can be asked.
pub(crate) fn checked(question: Question, capabilities: Option<&RawValue>) -> Option<Question> {
    match askable(&question.method, capabilities) {
        Ok(()) => Some(question),
        Err(declined) => {
            (question.answer)(Err(declined));
            None
        }
    }
}

fn unsealed(why: Unsealed) -> Failure {
    Failure::params(format!(
        "`requestState` is {why}; repeat the request without requestState and inputResponses"
    ))
}

fn gone() -> Failure {
    Failure::params(
        "what `requestState` stands for is over; repeat the request without requestState and \
         inputResponses"
            .to_owned(),
    )
}

#[expect(clippy::disallowed_methods, reason = "a sealed state tells when it expires")]
pub(crate) fn now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
