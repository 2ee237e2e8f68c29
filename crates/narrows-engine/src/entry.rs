//! What a journal consists of.

use narrows_types::{
    Asked, CallRecord, Content, Durability, Engine, Language, Limits, LogLine, Lowered, Response,
    RunState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One entry. The order in the journal is the order in which the program heard of things.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// The first: what is executed.
    Begin(Box<Begin>),
    /// The program is executed once more.
    Again {
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// The program made a call; what came of it follows, or is not known.
    Asked(AskedCall),
    /// A call of unknown outcome is made once more, as somebody said.
    Retried {
        /// Its number.
        number: u32,
    },
    /// The program heard the outcome of a call.
    Answered(Box<Outcome>),
    /// The program logged a line.
    Log(LogLine),
    /// The program told of its progress.
    Progress {
        /// From 0 to 1.
        fraction: Option<f64>,
        /// What it is doing.
        message: String,
    },
    /// An upstream asked something, and wants this back with the answers.
    Round {
        /// The call's number.
        number: u32,
        /// What it wants back.
        state: Box<RawValue>,
    },
    /// The run waits for an answer.
    Question(Asked),
    /// Somebody answered.
    Response(Response),
    /// The journal became too long: nothing more is written, and nobody can go on from it.
    Cut {
        /// Bytes that it had.
        bytes: u64,
    },
    /// It came to its end.
    End {
        /// Which.
        state: RunState,
        /// The value that it returned, if it is not large.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Box<RawValue>>,
        /// What went wrong.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
}

/// What is executed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) code: String,
    pub(crate) language: Language,
    /// What evaluates it, where somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<Engine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Box<RawValue>>,
    pub(crate) limits: Limits,
    /// Limits that whoever asked lowered: they hold for every execution.
    #[serde(default, skip_serializing_if = "Lowered::is_empty")]
    pub(crate) lowered: Lowered,
    /// Unix milliseconds that the program's clock starts at.
    pub(crate) now_ms: u64,
    /// Where its random numbers come from.
    pub(crate) seed: u64,
    pub(crate) durability: Durability,
    /// It found what earlier programs of its session had defined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) state: bool,
}

impl Begin {
    /// Whether everything that its program hears is in its journal.
    pub(crate) fn is_whole(&self) -> bool {
        self.limits.network.is_none()
    }
}

/// A call that the program made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AskedCall {
    /// Its number in the run, from 1.
    pub(crate) number: u32,
    pub(crate) server: String,
    pub(crate) tool: String,
    /// Secrets are redacted.
    pub(crate) args: Box<RawValue>,
    /// Knows the same call again: names and whole arguments, sealed.
    pub(crate) digest: String,
    /// Microseconds from the run's begin.
    pub(crate) start_us: u64,
}

/// What the program heard of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The call's number.
    pub(crate) number: u32,
    pub(crate) ok: bool,
    /// What the program's clock showed from then on.
    pub(crate) at_us: u64,
    pub(crate) body: Box<RawValue>,
    /// Content that the program may show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) handles: Vec<(String, Content)>,
    /// For the bill; none for what Narrows answers itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<CallRecord>,
    /// The body had a secret, so it is not whole: whoever needs it must ask again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

#[cfg(test)]
mod tests {
    use super::Begin;
    use narrows_types::Lowered;

    #[test]
    fn a_journal_from_before_lowered_limits_is_read() {
        let old = r#"{"code": "1", "language": "python", "limits": {}, "now_ms": 1, "seed": 2,
            "durability": "sync"}"#;
        let begin: Begin = serde_json::from_str(old).unwrap();
        assert!(begin.lowered.is_empty());
        let lowered = Lowered { cpu_ms: Some(5), ..Lowered::default() };
        let text = serde_json::to_string(&Begin { lowered: lowered.clone(), ..begin }).unwrap();
        assert_eq!(serde_json::from_str::<Begin>(&text).unwrap().lowered, lowered);
    }
}
