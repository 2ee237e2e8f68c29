//! What comes in: one `Ask` for every door.

use crate::durable::{Durability, IntentsAsk, JobOptions, JobsAsk, Response, RunsAsk, SessionsAsk};
use crate::id::{ArtifactId, RunId, SessionId};
use crate::limits::Lowered;
use crate::pass::{Client, ListAsk, PassAsk, Question};
use crate::place::Engine;
use crate::tool::Language;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// A stable name, `local` for the user who started Narrows.
    pub name: String,
}

impl Principal {
    /// The user who started Narrows.
    pub fn local() -> Self {
        Self { name: "local".to_owned() }
    }
}

/// One request from one door.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Who asks.
    pub principal: Principal,
    /// With what it asks.
    pub client: Arc<Client>,
    /// How long the caller waits; `None` leaves it to the limits.
    pub deadline: Option<Duration>,
    /// What is asked.
    pub what: What,
}

/// The kinds of request.
#[derive(Debug, Clone)]
pub enum What {
    /// Execute a program.
    Run(RunAsk),
    /// Find tools.
    Search(SearchAsk),
    /// Call one tool directly.
    Call(CallAsk),
    /// Pass a request on to the upstream that it is for.
    Pass(PassAsk),
    /// A page of what there is.
    List(ListAsk),
    /// List every tool, or those of one upstream.
    Tools {
        /// Only this upstream.
        server: Option<String>,
    },
    /// State of every upstream.
    Servers,
    /// Read a part of an artifact.
    Artifact {
        /// Which.
        handle: ArtifactId,
        /// First byte.
        offset: u64,
        /// At most so many bytes.
        bytes: u64,
    },
    /// A run that was interrupted or paused goes on.
    Resume {
        /// Which.
        run: RunId,
        /// Answers to its questions; it goes on once every open question has one.
        answers: Vec<Response>,
        /// As a job: the answer comes at once.
        background: bool,
    },
    /// The record of runs.
    Runs(RunsAsk),
    /// Sessions.
    Sessions(SessionsAsk),
    /// The queue.
    Jobs(JobsAsk),
    /// Saved programs.
    Intents(IntentsAsk),
}

/// Execute a program.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunAsk {
    /// The program's text.
    pub code: String,
    /// Its language.
    pub language: Language,
    /// Bound as `input` inside the program.
    pub input: Option<Box<RawValue>>,
    /// What evaluates it; the config's choice by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Limits that it is to have lower than the config allows.
    #[serde(skip_serializing_if = "Lowered::is_empty")]
    pub limits: Box<Lowered>,
    /// Tightens `wall_ms`.
    pub timeout_ms: Option<u64>,
    /// Sets the byte budget of the reply (clamped by the config).
    pub output_bytes: Option<u64>,
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// It finds what earlier programs of its session defined, and leaves what it defines.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
    /// As a job: the answer comes at once.
    pub background: bool,
    /// The caller can follow a job: should the run outlive its time in the foreground, it becomes
    /// one.
    pub follow: bool,
    /// How surely its journal is kept; the config's by default.
    pub durability: Option<Durability>,
    /// How the job is done, where it becomes one.
    pub job: JobOptions,
}

/// How much `search` tells of each hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Names and one sentence.
    Names,
    /// A signature and one sentence.
    #[default]
    Signatures,
    /// The whole description and the schemas.
    Full,
}

/// Find tools.
#[derive(Debug, Clone)]
pub struct SearchAsk {
    /// One or several queries, merged.
    pub queries: Vec<String>,
    /// Only this upstream.
    pub server: Option<String>,
    /// At most so many hits.
    pub limit: usize,
    /// How much to tell.
    pub detail: Detail,
    /// Signatures in this language.
    pub language: Language,
}

/// Call one tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallAsk {
    /// The upstream, by its name or identifier.
    pub server: String,
    /// The tool, by its name or identifier.
    pub tool: String,
    /// The arguments: a JSON object.
    pub arguments: Box<RawValue>,
}

/// What a door hears while it waits for the answer.
#[derive(Debug)]
pub enum Event {
    /// The program or the tool reports progress.
    Progress {
        /// Done so far, from 0 to 1, strictly increasing; `None` where the total is unknown.
        fraction: Option<f64>,
        /// What it is doing.
        message: String,
    },
    /// A notification of the upstream that belongs to this request. Progress comes without its
    /// token: the door knows the client's.
    Note {
        /// Its method.
        method: String,
        /// Its parameters.
        params: Option<Box<RawValue>>,
    },
    /// The upstream asks the client something.
    Question(Question),
    /// The upstream withdrew a question; an answer to it is not heard any more.
    Withdrawn {
        /// The number of the question.
        number: u64,
    },
    /// The upstream closed the stream of this request and wants to be polled for the answer.
    Paused {
        /// After how long.
        retry_ms: Option<u64>,
    },
}
