//! The books of one execution: which calls were made before, what came of them, what is heard when.
//!
//! A program is a function of what it hears, in the order in which it hears it. So what the journal
//! has is heard first and in its order, and everything new after that. A call is known again by what
//! it is and how often it was made, not by when.

use crate::entry::{AskedCall, Entry, Outcome};
use crate::journal::{Journal, Safe};
use crate::past::{Past, about};
use crate::seal::Seal;
use narrows_catalog::shape;
use narrows_types::fault::clip;
use narrows_types::frame::Call;
use narrows_types::{Asked, Fault, Kind, LogLine, Origin, Response};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::{HashMap, HashSet, VecDeque};

/// Progress that one run writes down.
const PROGRESS_MAX: u64 = 1_000;
/// Bytes of arguments that are kept whole.
const ARGS_BYTES: usize = 16 << 10;
/// Bytes of a call in an explanation.
const SHOWN_BYTES: usize = 120;

/// What is to be done with a call.
pub(crate) enum Turn {
    /// Nothing: the journal has its outcome, which is heard in its turn.
    Recorded,
    /// It is made, once its entry is safe.
    Make(Safe),
    /// It was made before, and its outcome is not in the journal: what somebody was asked about it,
    /// and whether it was made after an answer.
    Before(Vec<Answer>, bool),
    /// The journal does not fit.
    Diverged(String),
}

/// A question about a call, and what somebody said; none while nobody did.
pub(crate) type Answer = (Asked, Option<Response>);

/// The books of one execution.
pub(crate) struct Ledger {
    journal: Journal,
    /// Calls of the journal by what they are; each list in the order in which they were made.
    known: HashMap<String, VecDeque<AskedCall>>,
    /// The journal's calls that this execution has made, with the worker's numbers.
    made: HashMap<u32, u32>,
    /// How many calls of the journal it has not.
    unmade: usize,
    /// What the journal says that the program heard and this execution has not heard yet.
    outcomes: VecDeque<Outcome>,
    /// The journal's calls that have an outcome.
    answered: HashSet<u32>,
    responses: HashMap<String, Response>,
    /// The journal's number of each call of this execution, by the worker's.
    numbers: HashMap<u32, u32>,
    next_number: u32,
    /// Lines and progress that are in the journal already.
    logs_known: usize,
    progress_known: u64,
    progress: u64,
    /// Questions that are in the journal already.
    asked_before: Vec<Asked>,
    rounds: HashMap<u32, Box<RawValue>>,
    retried: HashSet<u32>,
    /// Of a replay: what it did otherwise than the run.
    pub(crate) differences: Vec<String>,
    /// What waits for a person.
    pub(crate) parked: Vec<Asked>,
}

impl Ledger {
    pub(crate) fn new(journal: Journal, mut past: Past) -> Self {
        if journal.is_dry() {
            // A replay asks nobody: it has what there is.
            past.outcomes.iter_mut().for_each(|outcome| outcome.gone = false);
        }
        // What is not whole is asked for anew, and heard in its old place.
        let whole = past.outcomes.iter().filter(|outcome| !outcome.gone);
        let answered = whole.map(|outcome| outcome.number).collect();
        let next_number = past.asked.iter().map(|call| call.number).max().unwrap_or(0) + 1;
        let unmade = past.asked.len();
        let mut known: HashMap<String, VecDeque<AskedCall>> = HashMap::new();
        for call in past.asked {
            known.entry(call.digest.clone()).or_default().push_back(call);
        }
        Self {
            journal,
            known,
            made: HashMap::new(),
            unmade,
            outcomes: past.outcomes,
            answered,
            responses: past.responses,
            numbers: HashMap::new(),
            next_number,
            logs_known: past.logs.len(),
            progress_known: past.progress,
            progress: 0,
            asked_before: past.questions,
            rounds: past.rounds,
            retried: past.retried,
            differences: Vec::new(),
            parked: Vec::new(),
        }
    }

    /// The journal, when the execution is over.
    pub(crate) fn close(self) -> Journal {
        self.journal
    }

    pub(crate) fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The number that the journal knows a call of this execution by.
    pub(crate) fn number(&self, id: u32) -> u32 {
        self.numbers.get(&id).copied().unwrap_or(id)
    }

    /// What the journal would say of a call.
    pub(crate) fn known(&self, seal: &Seal, call: &Call, start_us: u64) -> AskedCall {
        let kept = self.journal.kept();
        AskedCall {
            number: 0,
            server: call.server.clone(),
            tool: call.tool.clone(),
            args: if kept { cut(&call.args) } else { RawValue::NULL.to_owned() },
            digest: if kept { digest(seal, call) } else { String::new() },
            start_us,
        }
    }

    /// The program makes a call, which the worker knows by `id`; it is `sure` to be known again only
    /// once its entry is safe.
    pub(crate) async fn call(
        &mut self,
        id: u32,
        mut asked: AskedCall,
        sure: bool,
    ) -> Result<Turn, Fault> {
        if !self.journal.kept() {
            return Ok(Turn::Make(Safe::now()));
        }
        if let Some(known) = self.known.get_mut(&asked.digest).and_then(VecDeque::pop_front) {
            self.numbers.insert(id, known.number);
            self.made.insert(known.number, id);
            self.unmade = self.unmade.saturating_sub(1);
            if self.answered.contains(&known.number) {
                return Ok(Turn::Recorded);
            }
            let asked = self.asked_before.iter().filter(|asked| about(&asked.id) == known.number);
            let answer = |asked: &Asked| (asked.clone(), self.responses.get(&asked.id).cloned());
            let retried = self.retried.contains(&known.number);
            return Ok(Turn::Before(asked.map(answer).collect(), retried));
        }
        if self.journal.is_dry() {
            let line = shown(&asked.server, &asked.tool, &asked.args);
            self.differences.push(format!("+ {line}"));
        } else if self.unmade > 0 {
            return Ok(Turn::Diverged(self.unexpected(&asked)));
        }
        asked.number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(id, asked.number);
        Ok(Turn::Make(self.journal.write(&Entry::Asked(asked), sure).await?))
    }

    /// A call of unknown outcome is made once more.
    pub(crate) async fn retry(&mut self, id: u32) -> Result<Safe, Fault> {
        let number = self.number(id);
        self.journal.write(&Entry::Retried { number }, true).await
    }

    /// What an upstream that asked wants back.
    pub(crate) fn round(&self, id: u32) -> Option<Box<RawValue>> {
        self.rounds.get(&self.number(id)).cloned()
    }

    /// An upstream asks, and wants this back.
    pub(crate) async fn asks(&mut self, id: u32, state: Box<RawValue>) -> Result<(), Fault> {
        let number = self.number(id);
        self.journal.write(&Entry::Round { number, state }, false).await.map(drop)
    }

    /// Whether the journal still has something for the program to hear.
    pub(crate) fn replaying(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// What the program hears next from the journal, if it has made that call.
    pub(crate) fn next_recorded(&mut self) -> Option<(u32, Outcome)> {
        let outcome = self.outcomes.front().filter(|outcome| !outcome.gone)?;
        let id = *self.made.get(&outcome.number)?;
        self.outcomes.pop_front().map(|outcome| (id, outcome))
    }

    /// The call that the program hears of next, if the journal does not have all of its outcome: it
    /// is made once more.
    pub(crate) fn next_anew(&self) -> Option<u32> {
        let outcome = self.outcomes.front().filter(|outcome| outcome.gone)?;
        self.made.get(&outcome.number).copied()
    }

    /// A call has an outcome again. Gives what the program's clock showed at the first.
    pub(crate) fn take_anew(&mut self, number: u32) -> Option<u64> {
        let anew = |outcome: &&Outcome| outcome.gone && outcome.number == number;
        let at_us = self.outcomes.iter().find(anew)?.at_us;
        self.outcomes.pop_front_if(|outcome| anew(&&*outcome));
        Some(at_us)
    }

    /// The program hears something new.
    pub(crate) async fn heard(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        if !self.journal.kept() {
            return Ok(());
        }
        // Nobody waits: the next entry cannot be safe before this one is.
        self.journal.write(&Entry::Answered(Box::new(outcome.clone())), false).await.map(drop)
    }

    /// The program logs; what an earlier execution logged is in the journal already.
    pub(crate) async fn log(&mut self, line: &LogLine) -> Result<(), Fault> {
        if self.logs_known > 0 {
            self.logs_known -= 1;
            return Ok(());
        }
        self.journal.write(&Entry::Log(line.clone()), false).await.map(drop)
    }

    /// The program tells of its progress.
    pub(crate) async fn progress(
        &mut self,
        fraction: Option<f64>,
        message: &str,
    ) -> Result<(), Fault> {
        self.progress += 1;
        if self.progress <= self.progress_known || self.progress > PROGRESS_MAX {
            return Ok(());
        }
        let message = message.to_owned();
        self.journal.write(&Entry::Progress { fraction, message }, false).await.map(drop)
    }

    /// The run pauses: its questions are written down.
    pub(crate) async fn pause(&mut self) -> Result<Vec<Asked>, Fault> {
        if !self.journal.kept() {
            let message = "the run cannot pause: it has no journal";
            let fault = Fault::new(Kind::Limit, Origin::Program, message);
            return Err(
                fault.hint("its durability is off, or its journal became too long to be kept")
            );
        }
        let questions = std::mem::take(&mut self.parked);
        for asked in &questions {
            if !self.asked_before.iter().any(|known| known.id == asked.id) {
                self.journal.write(&Entry::Question(asked.clone()), false).await.map(drop)?;
            }
        }
        Ok(questions)
    }

    /// In a replay: goes on without the call that the program does not make. `false` if this is none.
    pub(crate) fn skip(&mut self) -> bool {
        if !self.journal.is_dry() {
            return false;
        }
        self.outcomes.pop_front();
        true
    }

    /// Of a replay that is over: the calls that it did not make.
    pub(crate) fn unmade(&mut self) {
        let mut left: Vec<&AskedCall> = self.known.values().flatten().collect();
        left.sort_by_key(|call| call.number);
        let lines = left.iter().filter(|call| call.tool != crate::own::WAIT);
        let lines = lines.map(|call| format!("- {}", shown(&call.server, &call.tool, &call.args)));
        let lines: Vec<String> = lines.collect();
        self.differences.extend(lines);
    }

    /// Why the program, which waits, cannot go on with this journal.
    pub(crate) fn missing(&self) -> String {
        let next = self.outcomes.front().map(|outcome| outcome.number);
        let calls = self.known.values().flatten();
        let call = calls.min_by_key(|call| (Some(call.number) != next, call.number));
        let what = call.map_or_else(String::new, |call| {
            format!(" {}", shown(&call.server, &call.tool, &call.args))
        });
        format!(
            "the journal has a call that the program no longer makes:{what}; its program or what \
             it depends on changed; start it anew"
        )
    }

    fn unexpected(&self, call: &AskedCall) -> String {
        let made = shown(&call.server, &call.tool, &call.args);
        let next = self.known.values().flatten().min_by_key(|call| call.number);
        let next = next.map_or_else(String::new, |call| {
            format!(", where its journal has {}", shown(&call.server, &call.tool, &call.args))
        });
        format!(
            "the program now calls {made}{next}; its program or what it depends on changed; start \
             it anew"
        )
    }
}

/// Arguments as the journal keeps them: long ones only to be looked at, for the digest knows them.
fn cut(args: &RawValue) -> Box<RawValue> {
    let bytes = args.get().len();
    if bytes <= ARGS_BYTES {
        return args.to_owned();
    }
    let cut = serde_json::json!({"$shape": shape::describe(args), "$bytes": bytes});
    to_raw_value(&cut).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn shown(server: &str, tool: &str, args: &RawValue) -> String {
    clip(format!("{server}.{tool}({})", args.get()), SHOWN_BYTES)
}

/// Knows the same call again.
fn digest(seal: &Seal, call: &Call) -> String {
    let parts = [call.server.as_bytes(), call.tool.as_bytes(), call.args.get().as_bytes()];
    let digest = seal.digest(&parts);
    crate::seal::hex(digest.get(..16).unwrap_or(&digest))
}
