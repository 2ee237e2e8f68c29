//! A legacy client and a modern upstream: the upstream answers that it needs input, the client is
//! asked for it, and the request is sent again with what it said.

use super::{Call, Passing, Shot};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::session::{Reply, THINKING_MAX, declined, next_number};
use crate::wire::Failure;
use narrows_protocol::RpcError;
use narrows_protocol::rounds::{self, InputRequired, asks};
use narrows_types::{Event, Method, Question, WireError, raw};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How often one request is sent.
const ROUNDS_MAX: usize = 16;
/// The pause before a request is sent again that nothing was asked for.
const PAUSE: Duration = Duration::from_millis(200);

impl Call<'_> {
    /// Sends a request until it is answered.
    pub(super) async fn rounds(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        mut shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        let modern = connected.agreed.revision.is_modern();
        if passing.client.modern && !modern {
            return self.visits(connected, passing, shot).await;
        }
        let mut reply = self.send(connected, passing, shot).await?;
        let relayed = passing.client.modern == modern;
        let may_ask =
            matches!(passing.method, Method::CallTool | Method::GetPrompt | Method::ReadResource);
        let Some(events) = passing.events.as_ref().filter(|_| !relayed && may_ask) else {
            return Ok(reply);
        };
        for _ in 1..ROUNDS_MAX {
            let Some(told) = reply.as_ref().ok().filter(|told| needs(told.get())) else {
                return Ok(reply);
            };
            let asked_for = match InputRequired::read(told.get()) {
                Ok(asked_for) => asked_for,
                Err(why) => return Ok(Err(Failure::Protocol(why))),
            };
            self.place.step_aside();
            let asked = Instant::now();
            let inputs = match ask(&asked_for.questions, events).await {
                Ok(inputs) => inputs,
                Err(WireError { code, message, data }) => {
                    return Ok(Err(Failure::Rpc(RpcError { code, message, data })));
                }
            };
            // The client's time is not the upstream's.
            shot.deadline += asked.elapsed();
            let mut added = Vec::with_capacity(2);
            added.extend(inputs.as_deref().map(|inputs| ("inputResponses", inputs)));
            added.extend(asked_for.state.map(|state| ("requestState", state)));
            let next = self.send(connected, passing, Shot { added: &added, ..shot }).await?;
            reply = next;
        }
        let reason = format!("it asked for input in {ROUNDS_MAX} answers in a row");
        Ok(match reply {
            Ok(told) if needs(told.get()) => Err(Failure::Protocol(reason)),
            reply => reply,
        })
    }
}

/// Whether a result is no answer yet.
fn needs(text: &str) -> bool {
    // Few are, and a result can be long.
    text.contains("input_required") && asks(text)
}

/// Asks all questions at once; gives the answers as the members of an object. The error is that of
/// the client that refused one of them.
pub(super) async fn ask(
    questions: &[rounds::Question<'_>],
    events: &mpsc::Sender<Event>,
) -> Result<Option<String>, WireError> {
    if questions.is_empty() {
        tokio::time::sleep(PAUSE).await;
        return Ok(None);
    }
    let until = Instant::now() + THINKING_MAX;
    let mut waiting = Vec::with_capacity(questions.len());
    for rounds::Question { key, method, params } in questions {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            number: next_number(),
            method: method.to_string(),
            params: params.and_then(|params| RawValue::from_string(params.to_owned()).ok()),
            answer: Box::new(move |outcome| {
                // Whoever does not wait any more needs no answer.
                let _gone = answer.send(outcome);
            }),
        };
        // A door that is gone drops the question, which declines it.
        let _gone = tokio::time::timeout_at(until, events.send(Event::Question(question))).await;
        waiting.push((key, method, answered));
    }
    let mut text = String::from("{");
    for (key, method, answered) in waiting {
        let outcome = match tokio::time::timeout_at(until, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_dropped)) => declined(method),
            Err(_elapsed) => declined(method),
        };
        raw::push_member(&mut text, key, outcome?.get());
    }
    text.push('}');
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::ask;
    use narrows_protocol::rounds::Question;
    use narrows_types::Event;
    use serde_json::value::RawValue;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn all_are_asked_at_once_and_a_dropped_one_is_declined() {
        let (events, mut heard) = mpsc::channel(4);
        let questions = [
            Question { key: "a".into(), method: "elicitation/create".into(), params: None },
            Question { key: "b".into(), method: "roots/list".into(), params: None },
        ];
        let client = async {
            let Some(Event::Question(one)) = heard.recv().await else { unreachable!() };
            let Some(Event::Question(two)) = heard.recv().await else { unreachable!() };
            drop(one);
            (two.answer)(Ok(RawValue::from_string(r#"{"roots":[]}"#.to_owned()).unwrap()));
        };
        let (inputs, ()) = tokio::join!(ask(&questions, &events), client);
        assert_eq!(inputs.unwrap().unwrap(), r#"{"a":{"action":"cancel"},"b":{"roots":[]}}"#);
    }
}
