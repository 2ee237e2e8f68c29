//! The tools of one upstream: all pages, each tool read alone.

use crate::config::ServerConfig;
use crate::session::{Body, Peer};
use crate::wire::Failure;
use narrows_protocol::{Revision, code, views};
use narrows_types::fault::clip;
use narrows_types::{ListKind, ServerListing, ToolSpec, raw, wildcard};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::Instant;

/// Pages of one list.
const PAGES_MAX: usize = 1_000;
/// Tools of one upstream.
const TOOLS_MAX: usize = 20_000;
/// Bytes of one tool's definition.
const TOOL_BYTES_MAX: usize = 256 << 10;
/// Bytes of all definitions of one upstream.
const LIST_BYTES_MAX: usize = 64 << 20;
/// Skipped tools that are told one by one.
const SKIPPED_MAX: usize = 50;
/// Bytes of the reason why a tool was skipped.
pub(crate) const REASON_BYTES_MAX: usize = 200;

/// Everything that is known of an upstream's offer, before the config's filters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The protocol revision that it was listed with.
    pub(crate) revision: String,
    /// The upstream's own version.
    pub(crate) version: String,
    /// Its words to models.
    pub(crate) instructions: Option<String>,
    /// What it declared, a JSON object.
    #[serde(default)]
    pub(crate) capabilities: Option<Arc<RawValue>>,
    /// It was found out that it does not speak the legacy era besides the modern one.
    #[serde(default)]
    pub(crate) modern_only: bool,
    /// Its tools, in its order.
    pub(crate) tools: Vec<Arc<ToolSpec>>,
    /// Tools that were skipped, each with why.
    pub(crate) skipped: Vec<String>,
    /// How long the list may be kept, if the upstream says so.
    #[serde(default)]
    pub(crate) ttl_ms: Option<u64>,
    /// Whether it is for us only, if the upstream says so.
    #[serde(default)]
    pub(crate) private: Option<bool>,
}

/// Tools read so far.
#[derive(Default)]
pub(crate) struct Reading {
    pub(crate) tools: Vec<Arc<ToolSpec>>,
    pub(crate) skipped: Vec<String>,
    /// How long the list may be kept, if the upstream says so.
    pub(crate) ttl_ms: Option<u64>,
    /// Whether it is for us only, if the upstream says so.
    pub(crate) private: Option<bool>,
    names: HashSet<String>,
    bytes: usize,
}

impl Reading {
    fn skip(&mut self, why: String) {
        if self.skipped.len() < SKIPPED_MAX {
            self.skipped.push(clip(why, REASON_BYTES_MAX));
        } else if self.skipped.len() == SKIPPED_MAX {
            self.skipped.push("and more".to_owned());
        }
    }

    /// Takes what a page says of how to keep it: the shortest time, private if one is.
    fn hints(&mut self, page: &str) {
        if let Some(ttl) = raw::get(page, "ttlMs").and_then(|ms| ms.parse().ok()) {
            self.ttl_ms = Some(self.ttl_ms.map_or(ttl, |before| before.min(ttl)));
        }
        if let Some(scope) = raw::get_text(page, "cacheScope") {
            self.private = Some(self.private == Some(true) || scope != "public");
        }
    }

    /// Takes a page; false once there is no room for more.
    fn take(&mut self, page: &views::ToolPage<'_>) -> bool {
        for raw in &page.tools {
            let size = raw.get().len();
            self.bytes += size;
            if self.tools.len() >= TOOLS_MAX || self.bytes > LIST_BYTES_MAX {
                self.skip(format!("tools beyond {TOOLS_MAX} or {LIST_BYTES_MAX} bytes"));
                return false;
            }
            // Before it is parsed: a parsed definition takes many times its size.
            if size > TOOL_BYTES_MAX {
                let start = raw.get().get(..80).unwrap_or_default();
                self.skip(format!(
                    "a definition of {size} bytes, at most {TOOL_BYTES_MAX}: {start}"
                ));
                continue;
            }
            match views::tool(raw) {
                Ok(spec) if !self.names.insert(spec.name.clone()) => {
                    self.skip(format!("{}: listed twice", spec.name));
                }
                Ok(spec) => self.tools.push(Arc::new(spec)),
                Err(why) => self.skip(why),
            }
        }
        true
    }
}

/// Reads the whole list. A broken tool costs only itself.
pub(crate) async fn tools(
    peer: &Peer,
    revision: Revision,
    has_tools: bool,
    deadline: Instant,
) -> Result<Reading, Failure> {
    let mut reading = Reading::default();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let body = Body::Page { kind: ListKind::Tools, cursor: cursor.clone() };
        let reply = match peer.ask(body, Some(revision), Some(deadline)).await {
            // Some servers without tools say so only this way.
            Err(Failure::Rpc(e)) if e.code == code::METHOD_NOT_FOUND && !has_tools => break,
            reply => reply?,
        };
        let page: views::ToolPage<'_> = serde_json::from_str(reply.get())
            .map_err(|e| Failure::Protocol(format!("its list of tools is not understood: {e}")))?;
        let room = reading.take(&page);
        reading.hints(reply.get());
        if !room || page.next_cursor.is_none() {
            return Ok(reading);
        }
        if page.next_cursor == cursor {
            reading.skip("the rest of the list: its pages repeat".to_owned());
            break;
        }
        cursor = page.next_cursor;
    }
    Ok(reading)
}

impl Offer {
    /// What the config lets through.
    pub(crate) fn listing(&self, config: &ServerConfig) -> ServerListing {
        let tools = self.tools.iter().filter(|tool| allowed(config, &tool.name)).cloned().collect();
        ServerListing {
            server: config.name.clone(),
            instructions: self.instructions.clone(),
            tools,
            ttl_ms: self.ttl_ms,
            private: self.private,
        }
    }
}

/// Whether the config lets a tool through. `*` in its patterns stands for any characters.
pub(crate) fn allowed(config: &ServerConfig, tool: &str) -> bool {
    let named = |patterns: &[String]| patterns.iter().any(|pattern| wildcard::fits(pattern, tool));
    (config.tools_allow.is_empty() || named(&config.tools_allow)) && !named(&config.tools_hide)
}

#[cfg(test)]
mod tests {
    use super::Reading;
    use narrows_protocol::views::ToolPage;

    #[test]
    fn what_is_skipped_is_told_within_bounds() {
        let mut text =
            r#"{"tools":[{"name":"a","inputSchema":{}},{"name":"a","inputSchema":{}}"#.to_owned();
        text.push_str(&",{}".repeat(100));
        text.push_str("]}");
        let page: ToolPage<'_> = serde_json::from_str(&text).unwrap();
        let mut reading = Reading::default();
        assert!(reading.take(&page));
        assert_eq!(reading.tools.len(), 1);
        assert_eq!(reading.skipped.len(), 51);
        assert_eq!(reading.skipped[0], "a: listed twice");
        assert_eq!(reading.skipped[50], "and more");
    }
}
