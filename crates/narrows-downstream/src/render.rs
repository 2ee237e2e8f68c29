//! Answers as MCP results.

pub(crate) mod kept;

use crate::fault::FaultBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use narrows_types::{
    ArtifactPart, Bill, Content, Fault, LogLine, RunEnd, RunId, RunReport, SearchAnswer, SearchHit,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// The scheme and place of artifacts among MCP resources.
pub(crate) const ARTIFACT_URI: &str = "narrows://artifact/";

/// What every result of revision 2026-07-28 carries; nothing for earlier ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal<'a> {
    /// The server's own introduction, for the modern era.
    pub(crate) modern: Option<&'a RawValue>,
    /// The client knows structured content (from 2025-06-18).
    pub(crate) structured: bool,
}

#[derive(Serialize)]
struct Sealed<'a, T: Serialize> {
    #[serde(flatten)]
    body: T,
    #[serde(rename = "resultType", skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    #[serde(rename = "_meta", skip_serializing_if = "Option::is_none")]
    meta: Option<Meta<'a>>,
}

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    server: &'a RawValue,
}

/// How long and by whom a modern client may keep a result.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keep {
    pub(crate) ttl_ms: u64,
    pub(crate) cache_scope: &'static str,
}

impl Seal<'_> {
    /// The result as text, sealed.
    pub(crate) fn close<T: Serialize>(&self, body: T) -> Result<Box<RawValue>, Fault> {
        let result_type = self.modern.map(|_| "complete");
        let meta = self.modern.map(|server| Meta { server });
        serde_json::value::to_raw_value(&Sealed { body, result_type, meta })
            .map_err(|e| Fault::bug(format!("a result could not be encoded: {e}")))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolReply<'a, S: Serialize> {
    content: Vec<&'a Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<S>,
    is_error: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunBrief<'a> {
    run: &'a RunId,
    #[serde(flatten)]
    end: &'a RunEnd,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logs: &'a [LogLine],
    #[serde(skip_serializing_if = "is_zero")]
    logs_dropped: u64,
    bill: Bill,
}

#[derive(Serialize)]
struct SearchBrief<'a> {
    results: &'a [SearchHit],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A run's report: its text first, then what the program showed.
pub(crate) fn run(report: &RunReport, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    let text = Content::text(report.text.as_str());
    let content = std::iter::once(&text).chain(&report.shown).collect();
    let structured_content = seal.structured.then_some(RunBrief {
        run: &report.run,
        end: &report.end,
        logs: &report.logs,
        logs_dropped: report.logs_dropped,
        bill: report.bill,
    });
    let is_error = !matches!(report.end, RunEnd::Returned(_));
    seal.close(ToolReply { content, structured_content, is_error })
}

/// Tools that were found.
pub(crate) fn search(answer: &SearchAnswer, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    let text = Content::text(answer.text.as_str());
    let structured_content = seal.structured.then_some(SearchBrief { results: &answer.results });
    seal.close(ToolReply { content: vec![&text], structured_content, is_error: false })
}

/// A fault that the model should read and act on.
pub(crate) fn tool_fault(fault: &Fault, seal: Seal<'_>) -> Result<Box<RawValue>, Fault> {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: FaultBody<'a>,
    }
    let text = Content::text(fault.to_string());
    let structured_content = seal.structured.then_some(Failed { error: fault.into() });
    seal.close(ToolReply { content: vec![&text], structured_content, is_error: true })
}

/// An artifact as a resource: text where it is text, else base64.
pub(crate) fn resource(
    part: ArtifactPart,
    keep: Option<Keep>,
    seal: Seal<'_>,
) -> Result<Box<RawValue>, Fault> {
    #[derive(Serialize)]
    struct Read {
        contents: [serde_json::Value; 1],
        #[serde(flatten)]
        keep: Option<Keep>,
    }
    let uri = format!("{ARTIFACT_URI}{}", part.handle);
    let mime = part.mime;
    let entry = match String::from_utf8(part.bytes) {
        Ok(text) if is_text(&mime) => json!({"uri": uri, "mimeType": mime, "text": text}),
        Ok(text) => json!({"uri": uri, "mimeType": mime, "blob": STANDARD.encode(text)}),
        Err(binary) => {
            json!({"uri": uri, "mimeType": mime, "blob": STANDARD.encode(binary.as_bytes())})
        }
    };
    seal.close(Read { contents: [entry], keep })
}

fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || mime == "application/json" || mime.ends_with("+json")
}

#[cfg(test)]
mod tests;
