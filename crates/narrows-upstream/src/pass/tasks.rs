//! Tasks between the eras: those of 2025-11-25, which a client asks for, and the extension
//! `io.modelcontextprotocol/tasks`, which a server answers with. Within one era they pass as they
//! are.

use super::rounds::ask;
use super::{Call, Passing, Shot};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::session::Reply;
use crate::wire::{Failure, Room, Told};
use narrows_protocol::RpcError;
use narrows_protocol::code;
use narrows_protocol::rounds::InputRequired;
use narrows_types::raw::{self, Edit};
use narrows_types::{Client, Method, WireError};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::Instant;

/// The extension's name.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// How often a task is asked for, if its server does not say.
const POLL: Duration = Duration::from_millis(500);
/// At most and at least so often, whatever it says.
const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_secs(5);

/// Which way a request about tasks crosses the eras.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crossing {
    /// A legacy client asks for tasks of a modern server.
    ToModern,
    /// A modern client of a legacy server may be answered with a task.
    ToLegacy,
    /// The tool is called as a task only, and the client knows of none.
    Alone,
}

impl Call<'_> {
    /// Sends a request until it is answered, in the words of its client.
    pub(super) async fn answered(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
    ) -> Result<Reply, UpstreamError> {
        let shot = Shot::new(passing, self.deadline);
        match (self.crossing(connected, passing), passing.method) {
            (None, _) => self.rounds(connected, passing, shot).await,
            (Some(Crossing::ToModern), Method::CallTool) => {
                let params = edited(passing.params, &[Edit::Remove("task")]);
                let shot = Shot { params: &params, tasks: true, ..shot };
                let reply = self.rounds(connected, passing, shot).await?;
                Ok(reply.map(|told| match kind(told.get()) {
                    Some("task") => said(format!(r#"{{"task":{}}}"#, legacy(told.get()))),
                    _ => told,
                }))
            }
            (Some(Crossing::ToModern), Method::TaskResult) => {
                self.outcome(connected, passing, shot).await
            }
            (Some(Crossing::ToModern), method) => {
                let shot = Shot { tasks: true, ..shot };
                let reply = self.send(connected, passing, shot).await?;
                let reply = match (reply, method) {
                    // Its acknowledgement does not say how the task is now.
                    (Ok(_), Method::CancelTask) => {
                        let shot = Shot { method: Method::GetTask, ..shot };
                        self.send(connected, passing, shot).await?
                    }
                    (reply, _) => reply,
                };
                Ok(reply.map(|told| said(legacy(told.get()))))
            }
            (Some(Crossing::ToLegacy), Method::CallTool) => {
                let reply = self.as_task(connected, passing, shot).await?;
                Ok(reply.map(|told| match raw::get(told.get(), "task") {
                    Some(task) => said(modern(task, &[("resultType", r#""task""#)])),
                    None => told,
                }))
            }
            (Some(Crossing::ToLegacy), Method::GetTask) => {
                self.detailed(connected, passing, shot).await
            }
            (Some(Crossing::ToLegacy), Method::CancelTask) => {
                let reply = self.send(connected, passing, shot).await?;
                Ok(reply.map(|_| said(r#"{"resultType":"complete"}"#.to_owned())))
            }
            (Some(Crossing::ToLegacy), _) => {
                let message = "its tasks take no input".to_owned();
                let error = RpcError { code: code::METHOD_NOT_FOUND, message, data: None };
                Ok(Err(Failure::Rpc(error)))
            }
            (Some(Crossing::Alone), _) => {
                let reply = self.as_task(connected, passing, shot).await?;
                let id = reply.as_ref().ok().and_then(|told| {
                    raw::get(raw::get(told.get(), "task")?, "taskId").map(str::to_owned)
                });
                let Some(id) = id else { return Ok(reply) };
                let params = object(&[("taskId", &id)]);
                let shot = Shot { method: Method::TaskResult, params: &params, own: true, ..shot };
                self.send(connected, passing, shot).await
            }
        }
    }

    fn crossing(&self, connected: &Connected, passing: &Passing<'_>) -> Option<Crossing> {
        let client = &passing.client;
        let modern = connected.agreed.revision.is_modern();
        let asks_for_one = || {
            let params = passing.params.get();
            params.contains("\"task\"") && raw::get(params, "task").is_some()
        };
        match passing.method {
            Method::CallTool if modern => {
                (!client.modern && asks_for_one()).then_some(Crossing::ToModern)
            }
            Method::CallTool if self.cell.needs_task(self.about) && !asks_for_one() => {
                Some(if client.modern && knows_tasks(client) {
                    Crossing::ToLegacy
                } else {
                    Crossing::Alone
                })
            }
            Method::GetTask | Method::UpdateTask | Method::CancelTask | Method::TaskResult => {
                match (client.modern, modern) {
                    (false, true) => Some(Crossing::ToModern),
                    (true, false) => Some(Crossing::ToLegacy),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Calls a tool of a legacy server as a task.
    async fn as_task(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        let shot = Shot { added: &[("task", "{}")], ..shot };
        self.send(connected, passing, shot).await
    }

    /// The state of a legacy task, with what came of it.
    async fn detailed(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        let reply = self.send(connected, passing, shot).await?;
        let Ok(told) = reply else { return Ok(reply) };
        let complete = ("resultType", r#""complete""#);
        if !matches!(raw::get(told.get(), "status"), Some(r#""completed""# | r#""failed""#)) {
            return Ok(Ok(said(modern(told.get(), &[complete]))));
        }
        let shot = Shot { method: Method::TaskResult, ..shot };
        Ok(match self.send(connected, passing, shot).await? {
            Ok(result) => {
                let members = [complete, ("status", r#""completed""#), ("result", result.get())];
                Ok(said(modern(told.get(), &members)))
            }
            Err(Failure::Rpc(error)) => {
                let error = serde_json::to_string(&error).unwrap_or_default();
                let members = [complete, ("status", r#""failed""#), ("error", error.as_str())];
                Ok(said(modern(told.get(), &members)))
            }
            Err(failure) => Err(failure),
        })
    }

    /// Waits for what comes of a modern task; asks the client what it needs.
    async fn outcome(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        let mut shot = Shot { method: Method::GetTask, tasks: true, ..shot };
        loop {
            let reply = self.send(connected, passing, shot).await?;
            let Ok(told) = reply else { return Ok(reply) };
            let task = told.get();
            match raw::get_text(task, "status").as_deref() {
                Some("completed") => {
                    let result = raw::get(task, "result").unwrap_or("{}");
                    return Ok(Ok(said(result.to_owned())));
                }
                Some("failed") => {
                    let error = raw::get(task, "error").and_then(|e| serde_json::from_str(e).ok());
                    return Ok(Err(Failure::Rpc(error.unwrap_or_else(|| over("failed")))));
                }
                Some("cancelled") => return Ok(Err(Failure::Rpc(over("was cancelled")))),
                Some("input_required") => {
                    let asked = Instant::now();
                    if let Err(failure) = self.input(connected, passing, shot, task).await? {
                        return Ok(Err(failure));
                    }
                    shot.deadline += asked.elapsed();
                }
                _ => {}
            }
            let pause = raw::get(task, "pollIntervalMs").and_then(|ms| ms.parse().ok());
            let pause = pause.map_or(POLL, Duration::from_millis).clamp(POLL_MIN, POLL_MAX);
            if Instant::now() + pause >= shot.deadline {
                return Ok(Err(Failure::Timeout));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks the client what a task needs and tells the task.
    async fn input(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        shot: Shot<'_>,
        task: &str,
    ) -> Result<Result<(), Failure>, UpstreamError> {
        let asked = match InputRequired::read(task) {
            Ok(asked) => asked,
            Err(why) => return Ok(Err(Failure::Protocol(why))),
        };
        let Some(events) = &passing.events else {
            return Ok(Err(Failure::Rpc(over("needs input, and nobody can be asked"))));
        };
        self.place.step_aside();
        let inputs = match ask(&asked.questions, events).await {
            Ok(inputs) => inputs.unwrap_or_else(|| "{}".to_owned()),
            Err(WireError { code, message, data }) => {
                return Ok(Err(Failure::Rpc(RpcError { code, message, data })));
            }
        };
        let added = [("inputResponses", inputs.as_str())];
        let shot = Shot { method: Method::UpdateTask, added: &added, ..shot };
        Ok(self.send(connected, passing, shot).await?.map(|_told| ()))
    }
}

/// Whether a modern client declared the extension.
pub(super) fn knows_tasks(client: &Client) -> bool {
    let declared = client.capabilities.as_deref().map_or("{}", RawValue::get);
    declared.contains(EXTENSION)
        && raw::get(declared, "extensions").is_some_and(|e| raw::get(e, EXTENSION).is_some())
}

/// Capabilities with the extension.
pub(super) fn with_tasks(declared: &str) -> String {
    let extensions = raw::get(declared, "extensions").unwrap_or("{}");
    let extensions = raw::edit(extensions, &[Edit::Default(EXTENSION, "{}")]).unwrap_or_default();
    let edited = raw::edit(declared, &[Edit::Set("extensions", &extensions)]);
    edited.map_or_else(|_broken| declared.to_owned(), std::borrow::Cow::into_owned)
}

fn kind(result: &str) -> Option<&'static str> {
    let kind = raw::get_text(result, "resultType")?;
    (kind == "task").then_some("task")
}

fn over(how: &str) -> RpcError {
    RpcError { code: code::INTERNAL_ERROR, message: format!("the task {how}"), data: None }
}

fn said(text: String) -> Told {
    match RawValue::from_string(text) {
        Ok(text) => Told::own(text, Room::default()),
        Err(_broken) => Told::text("{}"),
    }
}

fn edited(params: &RawValue, edits: &[Edit<'_>]) -> Box<RawValue> {
    let text = raw::edit(params.get(), edits).ok().map(std::borrow::Cow::into_owned);
    text.and_then(|text| RawValue::from_string(text).ok()).unwrap_or_else(|| params.to_owned())
}

fn object(members: &[(&str, &str)]) -> Box<RawValue> {
    let edits: Vec<_> = members.iter().map(|(key, value)| Edit::Set(key, value)).collect();
    edited(&nothing(), &edits)
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_e| RawValue::NULL.to_owned())
}

/// A task of the extension as one of 2025-11-25.
fn legacy(task: &str) -> String {
    let mut edits =
        ["resultType", "ttlMs", "pollIntervalMs", "inputRequests", "result", "error", "_meta"]
            .map(Edit::Remove)
            .to_vec();
    edits.push(Edit::Set("ttl", raw::get(task, "ttlMs").unwrap_or("null")));
    if let Some(poll) = raw::get(task, "pollIntervalMs") {
        edits.push(Edit::Set("pollInterval", poll));
    }
    raw::edit(task, &edits).map_or_else(|_broken| "{}".to_owned(), std::borrow::Cow::into_owned)
}

/// A task of 2025-11-25 as one of the extension.
fn modern(task: &str, members: &[(&str, &str)]) -> String {
    let mut edits: Vec<_> = members.iter().map(|(key, value)| Edit::Set(key, value)).collect();
    // A task that waits inside a call of the legacy server is at work, as far as anybody can help.
    if raw::get(task, "status") == Some(r#""input_required""#) {
        edits.push(Edit::Set("status", r#""working""#));
    }
    edits.push(Edit::Set("ttlMs", raw::get(task, "ttl").unwrap_or("null")));
    if let Some(poll) = raw::get(task, "pollInterval") {
        edits.push(Edit::Set("pollIntervalMs", poll));
    }
    edits.extend(["ttl", "pollInterval", "_meta"].map(Edit::Remove));
    raw::edit(task, &edits).map_or_else(|_broken| "{}".to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::{legacy, modern, with_tasks};
    use serde_json::{Value, json};

    #[test]
    fn a_task_is_told_in_the_words_of_each_era() {
        let told = r#"{"taskId":"t","status":"working","createdAt":"c","ttl":5,"pollInterval":7}"#;
        let expected = json!({"resultType": "task", "taskId": "t", "status": "working",
            "createdAt": "c", "ttlMs": 5, "pollIntervalMs": 7});
        let there = modern(told, &[("resultType", r#""task""#)]);
        assert_eq!(serde_json::from_str::<Value>(&there).unwrap(), expected);
        let back: Value = serde_json::from_str(&legacy(&there)).unwrap();
        assert_eq!(back, serde_json::from_str::<Value>(told).unwrap());
        let open: Value = serde_json::from_str(&legacy(r#"{"taskId":"t"}"#)).unwrap();
        assert_eq!(open, json!({"taskId": "t", "ttl": null}));
    }

    #[test]
    fn the_extension_is_added_to_what_is_declared() {
        for (declared, expected) in [
            ("{}", r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#),
            (
                r#"{"roots":{},"extensions":{"a":{}}}"#,
                r#"{"roots":{},"extensions":{"a":{},"io.modelcontextprotocol/tasks":{}}}"#,
            ),
        ] {
            assert_eq!(with_tasks(declared), expected);
        }
    }
}
