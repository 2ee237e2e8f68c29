//! What a journal says of the executions before this one.

use crate::entry::{AskedCall, Begin, Entry, Outcome};
use narrows_types::{Asked, Fault, Kind, LogLine, Origin, Response, RunState};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet, VecDeque};

/// What earlier executions of a run left behind.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// What is executed.
    pub(crate) begin: Option<Begin>,
    /// Calls that were made, by their number.
    pub(crate) asked: Vec<AskedCall>,
    /// What the program heard, in its order.
    pub(crate) outcomes: VecDeque<Outcome>,
    /// Answers to questions that the program has not heard yet, by the question's id.
    pub(crate) responses: HashMap<String, Response>,
    /// Questions that were asked, by their id; some may be answered.
    pub(crate) questions: Vec<Asked>,
    /// What upstreams that asked want back, by the call's number.
    pub(crate) rounds: HashMap<u32, Box<RawValue>>,
    /// Calls that were made after somebody had answered.
    pub(crate) retried: HashSet<u32>,
    /// Its log lines.
    pub(crate) logs: Vec<LogLine>,
    /// How often it told of its progress.
    pub(crate) progress: u64,
    /// How often it was executed.
    pub(crate) executions: u32,
    /// The last end, if it came to one.
    pub(crate) end: Option<(RunState, Option<Box<RawValue>>, String)>,
    /// Where among the outcomes is what was not written down whole, by the call's number.
    gone: HashMap<u32, usize>,
    /// It was too long to be kept.
    cut: bool,
    /// The number of the next entry, and the bytes of those before.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The last time that the program's clock showed.
    pub(crate) at_us: u64,
}

impl Past {
    /// Reads entries, which come in their order.
    pub(crate) fn read(entries: &[Vec<u8>]) -> Result<Self, Fault> {
        let mut past = Self::default();
        for bytes in entries {
            let entry = serde_json::from_slice(bytes).map_err(|e| {
                Fault::bug(format!("entry {} of the journal is unreadable: {e}", past.entries))
                    .hint("it was written by another version of narrows; start the run anew")
            })?;
            past.bytes = past.bytes.saturating_add(bytes.len() as u64);
            past.take(entry);
        }
        Ok(past)
    }

    fn take(&mut self, entry: Entry) {
        self.entries += 1;
        match entry {
            Entry::Begin(begin) => {
                self.begin = Some(*begin);
                self.executions = 1;
            }
            Entry::Again { .. } => {
                self.executions = self.executions.saturating_add(1);
                self.end = None;
            }
            Entry::Asked(call) => {
                self.at_us = self.at_us.max(call.start_us);
                self.asked.push(call);
            }
            Entry::Retried { number } => {
                self.rounds.remove(&number);
                self.retried.insert(number);
                self.settle(number);
            }
            Entry::Answered(outcome) => {
                self.settle(outcome.number);
                self.at_us = self.at_us.max(outcome.at_us);
                self.answered(*outcome);
            }
            Entry::Log(line) => self.logs.push(line),
            Entry::Progress { .. } => self.progress += 1,
            Entry::Round { number, state } => {
                self.rounds.insert(number, state);
            }
            Entry::Question(asked) => {
                self.questions.retain(|known| known.id != asked.id);
                self.questions.push(asked);
            }
            Entry::Response(response) => {
                self.responses.insert(response.id.clone(), response);
            }
            Entry::Cut { .. } => self.cut = true,
            Entry::End { state, value, why } => self.end = Some((state, value, why)),
        }
    }

    /// The questions about a call are settled.
    fn settle(&mut self, number: u32) {
        self.responses.retain(|id, _| about(id) != number);
        self.questions.retain(|asked| about(&asked.id) != number);
    }

    /// What was not written down whole was asked for once more by the next execution, and heard in
    /// its old place.
    fn answered(&mut self, outcome: Outcome) {
        match self.gone.get(&outcome.number).copied() {
            None => {
                if outcome.gone {
                    self.gone.insert(outcome.number, self.outcomes.len());
                }
                self.outcomes.push_back(outcome);
            }
            Some(_) if outcome.gone => {}
            Some(at) => {
                self.gone.remove(&outcome.number);
                if let Some(place) = self.outcomes.get_mut(at) {
                    *place = outcome;
                }
            }
        }
    }

    /// Questions that nobody has answered.
    pub(crate) fn open_questions(&self) -> Vec<Asked> {
        let open = |asked: &&Asked| !self.responses.contains_key(&asked.id);
        self.questions.iter().filter(open).cloned().collect()
    }

    /// What is executed; a journal without it is none.
    pub(crate) fn begun(&self) -> Result<&Begin, Fault> {
        if self.cut {
            let message = "the run's journal became too long to be kept";
            let fault = Fault::new(Kind::Limit, Origin::Program, message);
            return Err(fault.hint("start it anew; `runs.journal_bytes_max` is the limit"));
        }
        self.begin.as_ref().ok_or_else(|| {
            Fault::new(Kind::NotFound, Origin::Agent, "the run has no journal to go on from")
                .hint("its durability was off, or it was lost before anything was written")
        })
    }
}

/// The number of the call that a question is about: `q3`, `q3/key` of an upstream, `q3.q1` of a run
/// within.
pub(crate) fn about(id: &str) -> u32 {
    let digits = id.strip_prefix('q').unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The id of the question that a call waits for.
pub(crate) fn question_id(number: u32) -> String {
    format!("q{number}")
}
