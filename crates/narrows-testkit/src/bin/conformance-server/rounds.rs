//! Questions of the modern era: a result that needs input, and the request that brings it.

use crate::offer::{Dialog, filled};
use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, InputRequest, InputRequests, InputRequiredResult, InputResponses,
    RequestStateCodec,
};
use serde_json::{Value, json};

/// A fixed key is enough for a fixture that guards nothing.
const KEY: &[u8] = b"the conformance fixture guards nothing at all";

/// What a request of a dialog leads to.
pub(crate) enum Step {
    /// More is needed.
    Ask(InputRequiredResult),
    /// All came: the answer.
    Done(String),
}

/// Where a dialog stands, given what a request brought.
pub(crate) fn step(
    dialog: &Dialog,
    can: &ClientCapabilities,
    responses: Option<&InputResponses>,
    state: Option<&str>,
) -> Result<Step, ErrorData> {
    let codec = RequestStateCodec::new_unchecked(KEY);
    let round = match state.filter(|_| dialog.state) {
        None => 0,
        Some(sealed) => {
            let opened: Value = codec.open_json(sealed).map_err(|_wrong| {
                ErrorData::invalid_params("the requestState was not made by this server", None)
            })?;
            usize::try_from(opened.get("round").and_then(Value::as_u64).unwrap_or(0)).unwrap_or(0)
        }
    };
    let begun = !dialog.state || state.is_some();
    let asked = questions(dialog, round, can);
    let next = if begun && answered(&asked, responses) { round + 1 } else { round };
    let questions = questions(dialog, next, can);
    if questions.is_empty() {
        return Ok(Step::Done(done(dialog, responses)));
    }
    let sealed = if dialog.state {
        let sealed = codec.seal_json(&json!({"round": next}));
        Some(sealed.map_err(|e| ErrorData::internal_error(e.to_string(), None))?)
    } else {
        None
    };
    Ok(Step::Ask(InputRequiredResult::new(Some(questions), sealed)))
}

/// The questions of a round that the client can answer; none after the last.
fn questions(dialog: &Dialog, round: usize, can: &ClientCapabilities) -> InputRequests {
    let Some(round) = dialog.rounds.get(round) else { return InputRequests::new() };
    let fits = |question: &InputRequest| match question {
        InputRequest::Elicitation(_) => can.elicitation.is_some(),
        InputRequest::CreateMessage(_) => can.sampling.is_some(),
        InputRequest::ListRoots(_) => can.roots.is_some(),
        _ => false,
    };
    round.ask.iter().filter(|(_, q)| fits(q)).map(|(k, q)| (k.clone(), q.clone())).collect()
}

fn answered(asked: &InputRequests, responses: Option<&InputResponses>) -> bool {
    asked.keys().all(|key| responses.and_then(|r| r.get(key)).is_some_and(Value::is_object))
}

/// The answer, with what came put in.
pub(crate) fn done(dialog: &Dialog, responses: Option<&InputResponses>) -> String {
    let came = responses.into_iter().flatten().map(|(key, value)| (key.clone(), short(value)));
    filled(&dialog.done, came)
}

/// What matters of the answer to a question.
fn short(answer: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Some(roots) = answer["roots"].as_array() {
        let uris: Vec<String> = roots.iter().map(|root| text(&root["uri"])).collect();
        return uris.join(", ");
    }
    match &answer["content"] {
        content if content["text"].is_string() => text(&content["text"]),
        Value::Object(values) => values.values().next().map(text).unwrap_or_default(),
        _ => text(&answer["action"]),
    }
}
