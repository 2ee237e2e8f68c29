//! Tools that become tasks where the client follows them.

use crate::offer::Dialog;
use crate::rounds;
use rmcp::model::{
    CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock, CreateTaskResult,
    InputResponses, JsonObject,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// Tools that may become tasks.
const JOBS: [&str; 6] = [
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];
/// Those among them that are nothing else.
const ONLY_JOBS: [&str; 4] =
    ["failing_job", "confirm_delete", "multi_input", "test_tool_with_task"];

pub(crate) fn is_job(tool: &str) -> bool {
    JOBS.contains(&tool)
}

/// Jobs whose caller waits: what the fixture saw of them, for whoever wants to know what arrives.
pub(crate) struct Waited {
    /// Shared by the processes of a fixture on stdio, if there may be several.
    file: Option<PathBuf>,
    /// A line for each event.
    seen: Mutex<String>,
}

impl Waited {
    pub(crate) fn new(file: Option<PathBuf>) -> Self {
        Self { file, seen: Mutex::default() }
    }

    fn saw(&self, event: &str) -> std::io::Result<()> {
        if let Some(file) = &self.file {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
            return file.write_all(format!("{event}\n").as_bytes());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_str(event);
        seen.push('\n');
        Ok(())
    }

    pub(crate) fn told(&self) -> Value {
        let seen = match &self.file {
            Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
            None => self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let of = |event: &str| seen.lines().filter(|line| *line == event).count();
        json!({"begun": of("begun"), "cancelled": of("cancelled")})
    }
}

/// A job with what it was called with.
pub(crate) struct Job {
    tool: String,
    arguments: JsonObject,
    dialog: Option<Dialog>,
    /// What was asked and answered before it became a task.
    before: Option<InputResponses>,
}

impl Job {
    pub(crate) fn new(
        tool: &str,
        arguments: JsonObject,
        dialog: Option<Dialog>,
        before: Option<InputResponses>,
    ) -> Self {
        Self { tool: tool.to_owned(), arguments, dialog, before }
    }

    /// Runs it as a task where the client can follow, else to its end.
    pub(crate) async fn start(
        self,
        tasks: &TaskManager,
        follows: bool,
        waited: &Waited,
        call: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if follows {
            let task = tasks.spawn(TaskOptions::default(), move |context| {
                Box::pin(async move { self.work(Some(&context)).await })
            });
            return Ok(CreateTaskResult::new(task).into());
        }
        if ONLY_JOBS.contains(&self.tool.as_str()) {
            let needs = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(needs));
        }
        let wrong = |e: std::io::Error| ErrorData::internal_error(e.to_string(), None);
        waited.saw("begun").map_err(wrong)?;
        let done = tokio::select! {
            done = self.work(None) => done,
            () = call.ct.cancelled() => {
                waited.saw("cancelled").map_err(wrong)?;
                Err(TaskExit::Cancelled)
            }
        };
        match done {
            Ok(result) => Ok(result.into()),
            Err(TaskExit::Error(error)) => Err(error),
            Err(TaskExit::Cancelled) => Err(ErrorData::internal_error("it was cancelled", None)),
        }
    }

    async fn work(self, context: Option<&TaskContext>) -> Result<CallToolResult, TaskExit> {
        let text = |text: String| CallToolResult::success(vec![ContentBlock::text(text)]);
        match (self.tool.as_str(), context) {
            ("slow_compute", context) => {
                let seconds = self.arguments.get("seconds").and_then(Value::as_f64).unwrap_or(1.0);
                let nap = sleep(Duration::from_secs_f64(seconds.clamp(0.0, 600.0)));
                match context {
                    None => nap.await,
                    Some(context) => tokio::select! {
                        () = nap => {}
                        () = context.cancelled() => return Err(TaskExit::Cancelled),
                    },
                }
                let label = self.arguments.get("label").and_then(Value::as_str).unwrap_or("it");
                Ok(text(format!("{label} took {seconds} s")))
            }
            ("failing_job", _) => {
                sleep(Duration::from_secs(1)).await;
                let why = ContentBlock::text("this job always fails");
                Ok(CallToolResult::error(vec![why]))
            }
            ("protocol_error_job", _) => {
                sleep(Duration::from_millis(200)).await;
                let why = "this job always ends with an error of the protocol";
                Err(TaskExit::Error(ErrorData::internal_error(why, None)))
            }
            ("test_tool_with_task", _) => {
                sleep(Duration::from_millis(200)).await;
                Ok(text(self.answer(self.before.as_ref())))
            }
            (_, Some(context)) => {
                let answers = self.ask(context).await?;
                Ok(text(self.answer(Some(&answers))))
            }
            (other, None) => {
                let why = format!("{other} is a task only");
                Err(TaskExit::Error(ErrorData::internal_error(why, None)))
            }
        }
    }

    fn answer(&self, answers: Option<&InputResponses>) -> String {
        self.dialog.as_ref().map(|dialog| rounds::done(dialog, answers)).unwrap_or_default()
    }

    /// Asks everything of the first round at once.
    async fn ask(&self, context: &TaskContext) -> Result<InputResponses, TaskExit> {
        let round = self.dialog.as_ref().and_then(|dialog| dialog.rounds.first());
        let questions = round.into_iter().flat_map(|round| round.ask.clone());
        let asked = questions.map(|(key, question)| async move {
            let answer = context.request_input(key.clone(), question).await?;
            Ok::<_, TaskExit>((key, answer))
        });
        futures_util::future::try_join_all(asked).await.map(|answers| answers.into_iter().collect())
    }
}
