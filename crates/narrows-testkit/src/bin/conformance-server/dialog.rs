//! Questions of the legacy era: requests to the client in the middle of a call.

use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolResult, ContentBlock, CreateMessageRequestParams, ElicitRequestParams, SamplingMessage,
};
use rmcp::service::{Peer, ServiceError};
use serde_json::Value;

fn told(outcome: Result<String, ServiceError>) -> CallToolResult {
    match outcome {
        Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
        Err(e) => CallToolResult::error(vec![ContentBlock::text(format!("no answer: {e}"))]),
    }
}

pub(crate) async fn sample(peer: &Peer<RoleServer>, prompt: &str) -> CallToolResult {
    let question = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    let answer = peer.create_message(question).await.map(|answer| {
        let text = answer.message.content.first().and_then(|c| c.as_text()).map(|t| &*t.text);
        format!("LLM response: {}", text.unwrap_or_default())
    });
    told(answer)
}

pub(crate) async fn elicit(
    peer: &Peer<RoleServer>,
    message: &str,
    schema: &Value,
) -> Result<CallToolResult, ErrorData> {
    let requested_schema = serde_json::from_value(schema.clone())
        .map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
    let question = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema,
    };
    let answer = peer.create_elicitation(question).await.map(|answer| {
        let action = serde_json::to_value(&answer.action).unwrap_or_default();
        let content = answer.content.map(|c| c.to_string()).unwrap_or_default();
        format!("User response: action={}, content={content}", action.as_str().unwrap_or_default())
    });
    Ok(told(answer))
}

pub(crate) async fn roots(peer: &Peer<RoleServer>) -> CallToolResult {
    let answer = peer.list_roots().await.map(|answer| {
        let uris: Vec<String> = answer.roots.iter().map(|root| root.uri.clone()).collect();
        format!("Roots: {}", uris.join(", "))
    });
    told(answer)
}
