//! The dictionary of Narrows: the words that every other crate speaks.
//!
//! Nothing here does IO, waits, or knows a wire format other than the frames spoken through the
//! jail wall. A type belongs here when two crates that must not see each other both need it.

pub mod answer;
pub mod ask;
pub mod content;
pub mod control;
pub mod durable;
pub mod fault;
pub mod frame;
pub mod guest;
pub mod id;
pub mod limits;
mod nearest;
mod network;
pub mod pass;
pub mod place;
pub mod raw;
pub mod report;
mod response;
pub mod tool;
pub mod uses;
pub mod wildcard;

pub use answer::{Answer, ArtifactPart, SearchAnswer, SearchHit, ServerState, ServerStatus};
pub use ask::{Ask, CallAsk, Detail, Event, Principal, RunAsk, SearchAsk, What};
pub use content::{Content, ToolResult};
pub use control::{Layer, LayerState};
pub use durable::{
    Action, Asked, AskedKind, Budget, CallView, Durability, Intent, IntentInfo, IntentTest,
    IntentsAsk, JobInfo, JobOptions, JobWork, JobsAsk, Replayed, Response, RunInfo, RunState,
    RunView, RunsAsk, SessionInfo, SessionsAsk,
};
pub use fault::{Fault, Kind, Origin, Retry};
pub use id::{ArtifactId, JobId, RunId, SessionId};
pub use limits::{Limit, Limits, Lowered, ReadOnly};
pub use nearest::nearest;
pub use network::{Host, Network};
pub use pass::{
    AnswerBack, Back, Changes, Client, ClientSession, ListAsk, ListKind, Listed, Method, Mode,
    Offering, PassAsk, Passed, Question, Update, WireError,
};
pub use place::{BackendKind, BackendState, Engine};
pub use report::{
    Bill, CallRecord, LogLevel, LogLine, ProgramError, RunEnd, RunReport, Shaped, Usage,
};
pub use tool::{Annotations, Language, ServerListing, ToolSpec};
pub use uses::{Argument, Finding, Literal, Position, Reference, Uses};
