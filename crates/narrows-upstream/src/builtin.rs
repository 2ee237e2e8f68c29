//! Upstreams inside Narrows: files under allowed folders, the clock, and tools of the application
//! that Narrows is part of.
//!
//! They do something real with nothing installed. What a tool refuses is a result with `is_error`,
//! as from any other upstream; an `Err` means that it could not be asked.

mod files;
mod native;
#[cfg(test)]
mod tests;
mod time;

pub use native::NativeTool;

use crate::config::Builtin;
use crate::error::UpstreamError;
use files::Files;
use narrows_types::{Content, ServerListing, ToolResult, ToolSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Calls that read or write files at once; each holds a thread.
const BLOCKING_MAX: usize = 8;

/// What a tool does: a result, or why not.
type Outcome = Result<ToolResult, String>;

/// A built-in upstream.
pub(crate) struct Inside {
    server: String,
    tools: Vec<Arc<ToolSpec>>,
    instructions: Option<String>,
    kind: Kind,
}

enum Kind {
    Files { files: Arc<Files>, turns: Arc<Semaphore> },
    Time,
    Native(Vec<NativeTool>),
}

impl Inside {
    /// Opens the built-in upstream under its configured name.
    pub(crate) fn open(server: &str, builtin: &Builtin) -> Result<Self, UpstreamError> {
        let wrong = |e: serde_json::Error| UpstreamError::Config {
            reason: format!("server {server}: {e}"),
        };
        let (kind, text, instructions) = match builtin {
            Builtin::Files { folders, write } => {
                let files = Arc::new(Files::new(folders.clone(), *write));
                let instructions = Some(files.instructions());
                let turns = Arc::new(Semaphore::new(BLOCKING_MAX));
                (Kind::Files { files, turns }, include_str!("builtin/files.json"), instructions)
            }
            Builtin::Time => (Kind::Time, include_str!("builtin/time.json"), None),
            Builtin::Native(tools) => (Kind::Native(tools.clone()), "[]", None),
        };
        let mut tools: Vec<ToolSpec> = serde_json::from_str(text).map_err(wrong)?;
        if let Kind::Native(native) = &kind {
            tools.extend(native.iter().map(|tool| tool.spec.clone()));
        }
        if let Kind::Files { files, .. } = &kind
            && !files.can_write()
        {
            tools.retain(|tool| tool.name != "write");
        }
        for tool in &mut tools {
            tool.definition = Some(serde_json::value::to_raw_value(tool).map_err(wrong)?);
        }
        let tools = tools.into_iter().map(Arc::new).collect();
        Ok(Self { server: server.to_owned(), tools, instructions, kind })
    }

    /// Its tools.
    pub(crate) fn listing(&self) -> ServerListing {
        ServerListing {
            server: self.server.clone(),
            instructions: self.instructions.clone(),
            tools: self.tools.clone(),
            ..ServerListing::default()
        }
    }

    /// Calls a tool; the deadline bounds the wait and the work.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: &RawValue,
        deadline: tokio::time::Instant,
    ) -> Result<ToolResult, UpstreamError> {
        if !self.tools.iter().any(|t| t.name == tool) {
            let names: Vec<&str> = self.tools.iter().map(|t| t.name.as_str()).collect();
            let message = format!("no such tool; there are: {}", names.join(", "));
            return Err(self.answered(tool, message));
        }
        let outcome = match &self.kind {
            Kind::Time => time::call(tool, arguments),
            Kind::Native(tools) => {
                let work = native::call(tools, tool, arguments);
                let late = || Err("the deadline passed; ask for less at once".to_owned());
                tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_elapsed| late())
            }
            Kind::Files { files, turns } => {
                let (files, turns) = (Arc::clone(files), Arc::clone(turns));
                let work = on_a_thread(files, turns, tool, arguments, deadline);
                match tokio::time::timeout_at(deadline, work).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(broken)) => return Err(self.answered(tool, broken)),
                    Err(_elapsed) => Err("the deadline passed; ask for less at once".to_owned()),
                }
            }
        };
        Ok(outcome.unwrap_or_else(|why| ToolResult { is_error: true, ..ToolResult::text(why) }))
    }

    fn answered(&self, tool: &str, message: String) -> UpstreamError {
        UpstreamError::Answered { server: self.server.clone(), tool: tool.to_owned(), message }
    }
}

/// Runs a file tool where it may block; it stops by itself when nobody waits any more.
async fn on_a_thread(
    files: Arc<Files>,
    turns: Arc<Semaphore>,
    tool: &str,
    arguments: &RawValue,
    deadline: tokio::time::Instant,
) -> Result<Outcome, String> {
    let turn = turns.acquire_owned().await.map_err(|e| e.to_string())?;
    let stop = CancellationToken::new();
    let _dropped = stop.clone().drop_guard();
    let patience = Patience { deadline: deadline.into_std(), stop };
    let (tool, arguments) = (tool.to_owned(), arguments.to_owned());
    tokio::task::spawn_blocking(move || {
        // The thread is taken until the work ends, also when nobody waits for it any more.
        let _turn = turn;
        files.call(&tool, &arguments, &patience)
    })
    .await
    .map_err(|e| format!("the tool broke: {e}"))
}

/// How long work that blocks may go on.
struct Patience {
    deadline: Instant,
    stop: CancellationToken,
}

impl Patience {
    /// An error once the deadline passed or the caller went away.
    fn check(&self) -> Result<(), String> {
        if self.stop.is_cancelled() || Instant::now() >= self.deadline {
            return Err("the deadline passed; ask for less at once".to_owned());
        }
        Ok(())
    }
}

/// Reads a tool's arguments; the error names what is wrong.
fn read<T: DeserializeOwned>(arguments: &RawValue) -> Result<T, String> {
    serde_json::from_str(arguments.get()).map_err(|e| {
        let text = e.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _place)| text);
        format!("the arguments are wrong: {text}")
    })
}

/// A structured result, which is also its text.
fn structured<T: Serialize>(value: &T) -> Outcome {
    let json = serde_json::to_string(value).map_err(|e| e.to_string())?;
    with_content(vec![Content::text(json.clone())], json)
}

/// A structured result with content of its own.
fn with_content(content: Vec<Content>, json: String) -> Outcome {
    let structured = RawValue::from_string(json).map_err(|e| e.to_string())?;
    Ok(ToolResult { content, structured_content: Some(structured), is_error: false })
}
