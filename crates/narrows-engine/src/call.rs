//! The one way to call a tool, for programs and for direct calls.

use crate::Shared;
use crate::audit::Running;
use crate::config::Config;
use crate::snapshot::{Lesson, Snapshot};
use narrows_catalog::{Catalog, Shape, ToolRef};
use narrows_types::wildcard::fits;
use narrows_types::{
    Event, Fault, Kind, Origin, Passed, Principal, Retry, ServerState, ToolResult,
};
use narrows_upstream::{Answered, Asks, CallOptions, Caller, Rounds};
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Results larger than this teach nothing: their shape costs more than it is worth.
const LESSON_BYTES_MAX: usize = 256 << 10;
/// When to call a tool of a server again that is still starting.
const START_RETRY_MS: u64 = 1_000;

/// One call, resolved and answered.
pub(crate) struct Called {
    /// The upstream's configured name.
    pub(crate) server: String,
    /// The tool's name on the wire.
    pub(crate) tool: String,
    /// What it answered.
    pub(crate) result: ToolResult,
    /// The upstream was not asked for it.
    pub(crate) cached: bool,
    /// What the upstream wants first; the result is empty then.
    pub(crate) asks: Option<Asks>,
}

/// Where and until when a call is made.
pub(crate) struct CallContext<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) principal: &'a Principal,
    /// The run that makes it, if one does.
    pub(crate) running: Option<Running<'a>>,
    pub(crate) deadline: Instant,
    pub(crate) progress: Option<mpsc::Sender<Event>>,
    /// Who asks, for turns at an upstream to be fair.
    pub(crate) caller: Caller,
    /// A person can be asked, and this is what was answered.
    pub(crate) rounds: Option<Rounds>,
    /// Whoever must consent to it has.
    pub(crate) consented: bool,
}

impl Config {
    /// Whether a person must consent to a call, by the names that its upstream gave.
    pub(crate) fn wants_consent(&self, server: &str, tool: &str) -> bool {
        let name = format!("{server}.{tool}");
        self.approve.iter().any(|pattern| fits(pattern, &name))
    }
}

/// A call without a program cannot wait for a person.
pub(crate) fn no_consent(server: &str, tool: &str) -> Fault {
    let message = format!("{server}.{tool} needs a person's consent");
    Fault::new(Kind::Forbidden, Origin::Agent, message)
        .hint("call it in a program given to `run`: that waits for the answer")
}

impl Shared {
    /// Resolves the names, checks the arguments against the tool's schema, asks the upstream.
    /// A result with `is_error` is `Ok` here. What is refused is recorded.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        context: CallContext<'_>,
        server: &str,
        tool: &str,
        arguments: &RawValue,
    ) -> Result<Called, Fault> {
        let who = (context.running, context.principal);
        let called = self.called(context, server, tool, arguments).await;
        called.inspect_err(|fault| self.denied(who, (server, tool), fault))
    }

    async fn called(
        self: &Arc<Self>,
        context: CallContext<'_>,
        server: &str,
        tool: &str,
        arguments: &RawValue,
    ) -> Result<Called, Fault> {
        let catalog = &context.snapshot.catalog;
        let found = match catalog.resolve(server, tool) {
            Ok(found) => found,
            Err(unknown) => return Err(self.down(catalog, server).unwrap_or(unknown)),
        };
        let size = arguments.get().len();
        let limit = context.snapshot.settings.arguments_bytes;
        if size > limit {
            let message = format!("the arguments are {size} bytes; the limit is {limit}");
            return Err(Fault::new(Kind::Limit, Origin::Agent, message).hint("send less at once"));
        }
        catalog.validate(found, arguments)?;
        let server = found.server.name.clone();
        let tool = found.tool.spec.name.clone();
        if !context.consented && context.snapshot.settings.wants_consent(&server, &tool) {
            return Err(no_consent(&server, &tool));
        }
        found.tool.called();
        let kept = self.cached(context.snapshot, context.principal, found, arguments.get());
        let mut asks = None;
        let (result, cached) = if let Some(flight) = kept {
            let (passed, age) = flight.wait(context.deadline).await?;
            (read(passed, &server)?, age.is_some())
        } else {
            let options = CallOptions {
                deadline: context.deadline,
                progress: context.progress,
                caller: context.caller,
                rounds: context.rounds,
            };
            match self.fleet.call_in_rounds(&server, &tool, arguments, options).await? {
                Answered::Result(result) => (result, false),
                Answered::Asks(questions) => {
                    asks = Some(questions);
                    (ToolResult::text(""), false)
                }
            }
        };
        if !cached && !result.is_error && asks.is_none() {
            self.learn(found, &result);
        }
        Ok(Called { server, tool, result, cached, asks })
    }

    /// Why nothing is known of a server's tools: it did not start, or not yet.
    pub(crate) fn down(&self, catalog: &Catalog, server: &str) -> Option<Fault> {
        let server = catalog.server(server).ok().filter(|server| server.tools.is_empty())?;
        let status = self.fleet.status().into_iter().find(|s| s.server == server.name)?;
        let fault = |why| Fault::new(Kind::Unavailable, Origin::Upstream(server.name.clone()), why);
        if status.state == ServerState::Failed {
            let why = fault(status.last_error?);
            return Some(why.hint("`narrows servers` shows its state"));
        }
        let late = self.unlisted().contains(&server.name);
        late.then(|| {
            let why = format!("server {} is still starting: its tools are not known", server.name);
            fault(why).retry(Retry::AfterMs(START_RETRY_MS))
        })
    }

    /// Remembers the shape of a result, never its values; a full queue drops the lesson.
    fn learn(&self, found: ToolRef<'_>, result: &ToolResult) {
        if found.tool.spec.output_schema.is_some() {
            return;
        }
        let text: Cow<'_, str> = match &result.structured_content {
            Some(structured) => structured.get().into(),
            None => result.joined_text().into(),
        };
        if text.len() > LESSON_BYTES_MAX || !text.trim_start().starts_with(['{', '[']) {
            return;
        }
        let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
        let shape = Shape::of(&value);
        if found.knows(&shape) {
            return;
        }
        let (server, tool) = (found.server.name.clone(), found.tool.spec.name.clone());
        let lesson = Lesson { server, tool, shape };
        if let Err(dropped) = self.library.lessons.try_send(lesson) {
            let Lesson { server, tool, .. } = dropped.into_inner();
            tracing::debug!(server, tool, "too many results at once to learn this one's shape");
        }
    }
}

/// A result that was passed on, as programs take it.
fn read(passed: Passed, server: &str) -> Result<ToolResult, Fault> {
    let broken =
        |message: String| Fault::new(Kind::Upstream, Origin::Upstream(server.to_owned()), message);
    match passed {
        Passed::Result(result) => serde_json::from_str(result.get())
            .map_err(|e| broken(format!("{server}: its result is not understood: {e}"))),
        Passed::Error(error) => Err(broken(format!("error {}: {}", error.code, error.message))),
    }
}
