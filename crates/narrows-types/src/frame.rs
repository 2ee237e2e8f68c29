//! Frames: the words spoken through the jail wall, the same on every back end.
//!
//! On the wire a frame is `length: u32 LE` (of what follows), `kind: u8`, payload. Payloads are
//! JSON, but for `Reply`, whose body (a tool's result, possibly megabytes) follows its head raw:
//! `id: u32 LE`, `ok: u8`, `at_us: u64 LE`, body. Every frame from a worker is hostile: the reader caps the length
//! before it allocates, and decodes here without trusting a byte.

use crate::control::{LayerState, MESSAGE_BYTES_MAX};
use crate::limits::{Limit, Limits};
use crate::report::{LogLevel, ProgramError, Usage};
use crate::tool::Language;
use crate::uses::Uses;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes of the length prefix.
pub const PREFIX_BYTES: usize = 4;

/// A frame from the host to a worker.
#[derive(Debug, Clone)]
pub enum ToWorker {
    /// First frame: the program and its limits.
    Run(Box<Program>),
    /// The check passed; evaluate.
    Go(Go),
    /// The outcome of a call.
    Reply(Reply),
    /// Asks for `Idle`, once everything before it is worked off and the program waits.
    Ping,
    /// The check did not pass; a program that comes later may find what earlier ones defined.
    No,
}

/// A program to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Program {
    /// The program's text.
    pub code: String,
    /// Its language.
    pub language: Language,
    /// Bound as `input`; `null` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// What it may use.
    pub limits: Limits,
    /// Unix milliseconds that the program's clock starts at.
    pub now_ms: u64,
    /// Seed of the program's random numbers.
    pub seed: u64,
    /// What it defines stays for the next program, which the worker waits for after `Done`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub state: bool,
}

/// The free names that are bound.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Go {
    /// Each is bound to a namespace object whose members are tools.
    pub namespaces: Vec<String>,
}

/// The outcome of one call.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The call's id.
    pub id: u32,
    /// With `true` the body is the result's value as JSON; with `false` it is a [`CallError`].
    pub ok: bool,
    /// Microseconds from the run's begin: the program's clock shows it from now on.
    pub at_us: u64,
    /// JSON text.
    pub body: String,
}

/// Why a call failed: becomes a `ToolError` that the program can catch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// `server.tool` as a program writes it.
    pub tool: String,
    /// What went wrong.
    pub message: String,
    /// The shape of the arguments that were sent: `{owner: string, count: number}`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arguments: String,
}

/// A frame from a worker to the host.
#[derive(Debug, Clone)]
pub enum FromWorker {
    /// First frame of a worker that no zygote answers for: it is sealed and waits for its program.
    Hello(Vec<LayerState>),
    /// What the program refers to and what is wrong with it; the answer is `Go`, or the end.
    Uses(Box<Uses>),
    /// A tool call. Several may be under way.
    Call(Call),
    /// A log line.
    Log(Log),
    /// Progress for the client.
    Progress(Progress),
    /// The answer to a `Ping`: the program waits for replies and has nothing else to do.
    Idle,
    /// Content for the answer: a handle that a result carried, or any value.
    Show(Box<RawValue>),
    /// The last frame of a program.
    Done(Box<Done>),
}

/// A tool call from the program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Counts up from 1 within the run; anything else is a broken protocol.
    pub id: u32,
    /// The namespace as the program wrote it; `narrows` for what Narrows answers itself.
    pub server: String,
    /// The member as the program wrote it.
    pub tool: String,
    /// The arguments, a JSON object.
    pub args: Box<RawValue>,
}

/// A log line from the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How loud.
    pub level: LogLevel,
    /// The text.
    pub text: String,
}

/// Progress from the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Done so far, from 0 to 1.
    pub fraction: Option<f64>,
    /// What it is doing.
    #[serde(default)]
    pub message: String,
}

/// How the program ended inside the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// How.
    pub end: End,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
}

/// The ways in which a program ends inside its worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It returned this JSON value.
    Value(Box<RawValue>),
    /// It threw.
    Threw(ProgramError),
    /// The interpreter stopped it at a limit.
    Limit(Limit),
    /// It waits with no call pending.
    Deadlock,
}

/// A frame that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFrame(pub String);

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bad frame: {}", self.0)
    }
}

impl std::error::Error for BadFrame {}

mod kind {
    pub(super) const RUN: u8 = 1;
    pub(super) const GO: u8 = 2;
    pub(super) const REPLY: u8 = 3;
    pub(super) const PING: u8 = 4;
    pub(super) const NO: u8 = 5;
    pub(super) const USES: u8 = 65;
    pub(super) const CALL: u8 = 66;
    pub(super) const LOG: u8 = 67;
    pub(super) const PROGRESS: u8 = 68;
    pub(super) const SHOW: u8 = 69;
    pub(super) const DONE: u8 = 70;
    pub(super) const IDLE: u8 = 71;
    pub(super) const HELLO: u8 = 72;
}

impl ToWorker {
    /// The frame with its length prefix.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Run(program) => json_frame(kind::RUN, program),
            Self::Go(go) => json_frame(kind::GO, go),
            Self::Reply(reply) => {
                let mut out = Vec::with_capacity(PREFIX_BYTES + 14 + reply.body.len());
                out.extend_from_slice(&[0; PREFIX_BYTES]);
                out.push(kind::REPLY);
                out.extend_from_slice(&reply.id.to_le_bytes());
                out.push(u8::from(reply.ok));
                out.extend_from_slice(&reply.at_us.to_le_bytes());
                out.extend_from_slice(reply.body.as_bytes());
                seal(out)
            }
            Self::Ping => seal(vec![0, 0, 0, 0, kind::PING]),
            Self::No => seal(vec![0, 0, 0, 0, kind::NO]),
        }
    }

    /// Decodes what follows the length prefix.
    pub fn decode(frame: &[u8]) -> Result<Self, BadFrame> {
        let (kind, payload) = split(frame)?;
        match kind {
            kind::RUN => Ok(Self::Run(json(payload)?)),
            kind::GO => Ok(Self::Go(json(payload)?)),
            kind::REPLY => {
                let (id, rest) = payload
                    .split_first_chunk::<4>()
                    .ok_or_else(|| BadFrame("reply without an id".to_owned()))?;
                let (ok, body) = rest
                    .split_first()
                    .ok_or_else(|| BadFrame("reply without a flag".to_owned()))?;
                let (at_us, body) = body
                    .split_first_chunk::<8>()
                    .ok_or_else(|| BadFrame("reply without a time".to_owned()))?;
                let body = std::str::from_utf8(body)
                    .map_err(|e| BadFrame(format!("reply is not utf-8: {e}")))?;
                let id = u32::from_le_bytes(*id);
                let at_us = u64::from_le_bytes(*at_us);
                Ok(Self::Reply(Reply { id, ok: *ok == 1, at_us, body: body.to_owned() }))
            }
            kind::PING if payload.is_empty() => Ok(Self::Ping),
            kind::NO if payload.is_empty() => Ok(Self::No),
            other => Err(BadFrame(format!("kind {other} is not for a worker"))),
        }
    }
}

/// Room for a frame's head and for JSON around a value, beyond a limit on the value itself.
const SLACK_BYTES: usize = 64 << 10;

impl FromWorker {
    /// The kind byte of [`Self::Uses`].
    pub const USES: u8 = kind::USES;
    /// The kind byte of [`Self::Done`].
    pub const DONE: u8 = kind::DONE;

    /// The most bytes that may follow the length prefix of a frame whose kind byte is `kind`, in a
    /// run whose values may have `value_bytes`. `None`: no such kind comes from a worker.
    pub fn bytes_max(kind: u8, value_bytes: usize) -> Option<usize> {
        match kind {
            kind::USES => Some(4 << 20),
            kind::CALL | kind::SHOW | kind::DONE => Some(value_bytes.saturating_add(SLACK_BYTES)),
            kind::LOG => Some(SLACK_BYTES),
            kind::PROGRESS => Some(4 << 10),
            kind::IDLE => Some(1),
            kind::HELLO => Some(MESSAGE_BYTES_MAX),
            _ => None,
        }
    }

    /// Its kind, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Uses(_) => "uses",
            Self::Call(_) => "call",
            Self::Log(_) => "log",
            Self::Progress(_) => "progress",
            Self::Idle => "idle",
            Self::Show(_) => "show",
            Self::Done(_) => "done",
        }
    }

    /// The frame with its length prefix.
    pub fn encode(&self) -> Result<Vec<u8>, BadFrame> {
        match self {
            Self::Hello(layers) => json_frame(kind::HELLO, layers),
            Self::Uses(uses) => json_frame(kind::USES, uses),
            Self::Call(call) => json_frame(kind::CALL, call),
            Self::Log(log) => json_frame(kind::LOG, log),
            Self::Progress(progress) => json_frame(kind::PROGRESS, progress),
            Self::Idle => seal(vec![0, 0, 0, 0, kind::IDLE]),
            Self::Show(value) => json_frame(kind::SHOW, value),
            Self::Done(done) => json_frame(kind::DONE, done),
        }
    }

    /// Decodes what follows the length prefix.
    pub fn decode(frame: &[u8]) -> Result<Self, BadFrame> {
        let (kind, payload) = split(frame)?;
        match kind {
            kind::HELLO => Ok(Self::Hello(json(payload)?)),
            kind::USES => Ok(Self::Uses(json(payload)?)),
            kind::CALL => Ok(Self::Call(json(payload)?)),
            kind::LOG => Ok(Self::Log(json(payload)?)),
            kind::PROGRESS => Ok(Self::Progress(json(payload)?)),
            kind::IDLE if payload.is_empty() => Ok(Self::Idle),
            kind::SHOW => Ok(Self::Show(json(payload)?)),
            kind::DONE => Ok(Self::Done(json(payload)?)),
            other => Err(BadFrame(format!("kind {other} is not from a worker"))),
        }
    }
}

fn split(frame: &[u8]) -> Result<(u8, &[u8]), BadFrame> {
    frame
        .split_first()
        .map(|(kind, payload)| (*kind, payload))
        .ok_or_else(|| BadFrame("empty".to_owned()))
}

fn json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, BadFrame> {
    serde_json::from_slice(payload).map_err(|e| BadFrame(e.to_string()))
}

fn json_frame<T: Serialize>(kind: u8, payload: &T) -> Result<Vec<u8>, BadFrame> {
    let mut out = vec![0; PREFIX_BYTES];
    out.push(kind);
    serde_json::to_writer(&mut out, payload).map_err(|e| BadFrame(e.to_string()))?;
    seal(out)
}

fn seal(mut out: Vec<u8>) -> Result<Vec<u8>, BadFrame> {
    let length = u32::try_from(out.len() - PREFIX_BYTES)
        .map_err(|_too_long| BadFrame("longer than 4 GiB".to_owned()))?;
    if let Some(prefix) = out.first_chunk_mut::<PREFIX_BYTES>() {
        *prefix = length.to_le_bytes();
    }
    Ok(out)
}
