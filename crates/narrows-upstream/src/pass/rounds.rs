//! A legacy client and a modern upstream: the upstream answers that it needs input, the client is
//! asked for it, and the request is sent again with what it said.

use super::{Call, Passing};
use crate::board::Connected;
use crate::error::UpstreamError;
use crate::relay::{Members, quoted};
use crate::session::{Reply, THINKING_MAX, declined, next_number};
use crate::wire::Failure;
use narrows_protocol::RpcError;
use narrows_types::{Event, Method, Question, WireError};
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How often one request is sent.
const ROUNDS_MAX: usize = 16;
/// Questions of one round.
const QUESTIONS_MAX: usize = 64;
/// The pause before a request is sent again that nothing was asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// What an upstream needs before it answers.
struct Needs {
    /// Its questions: key, method, parameters.
    questions: Vec<(String, String, Option<Box<RawValue>>)>,
    /// What it wants back.
    state: Option<Box<RawValue>>,
}

impl Call<'_> {
    /// Sends a request until it is answered.
    pub(super) async fn rounds(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        result_bytes: usize,
    ) -> Result<Reply, UpstreamError> {
        let mut deadline = self.deadline;
        let mut reply = self.send(connected, passing, &[], (deadline, result_bytes)).await?;
        let relayed = passing.client.modern || !connected.agreed.revision.is_modern();
        let may_ask =
            matches!(passing.method, Method::CallTool | Method::GetPrompt | Method::ReadResource);
        let Some(events) = passing.events.as_ref().filter(|_| !relayed && may_ask) else {
            return Ok(reply);
        };
        for _ in 1..ROUNDS_MAX {
            let needs = match &reply {
                Ok(told) => needs(told.get()),
                Err(_) => None,
            };
            let Some(needs) = needs else { return Ok(reply) };
            let asked = Instant::now();
            let inputs = match ask(needs.questions, events).await {
                Ok(inputs) => inputs,
                Err(WireError { code, message, data }) => {
                    return Ok(Err(Failure::Rpc(RpcError { code, message, data })));
                }
            };
            // The client's time is not the upstream's.
            deadline += asked.elapsed();
            let mut added = Vec::with_capacity(2);
            added.extend(inputs.as_deref().map(|inputs| ("inputResponses", inputs)));
            added.extend(needs.state.as_deref().map(|state| ("requestState", state.get())));
            reply = self.send(connected, passing, &added, (deadline, result_bytes)).await?;
        }
        let reason = format!("it asked for input in {ROUNDS_MAX} answers in a row");
        Ok(match reply {
            Ok(told) if needs(told.get()).is_some() => Err(Failure::Protocol(reason)),
            reply => reply,
        })
    }
}

/// What a result asks for, if it is no answer yet.
fn needs(text: &str) -> Option<Needs> {
    // Few are, and a result can be long.
    if !text.contains("input_required") {
        return None;
    }
    let result: Members<'_> = serde_json::from_str(text).ok()?;
    if result.text("resultType").as_deref() != Some("input_required") {
        return None;
    }
    let mut questions = Vec::new();
    if let Some(asked) = result.get("inputRequests") {
        let asked = Members::of(asked).ok()?;
        for (key, request) in asked.iter().take(QUESTIONS_MAX) {
            let request = Members::of(request).ok()?;
            let params = request.get("params").map(RawValue::to_owned);
            questions.push((key.to_owned(), request.text("method")?, params));
        }
    }
    Some(Needs { questions, state: result.get("requestState").map(RawValue::to_owned) })
}

/// Asks all questions at once; gives the answers as the members of an object. The error is that of
/// the client that refused one of them.
async fn ask(
    questions: Vec<(String, String, Option<Box<RawValue>>)>,
    events: &mpsc::Sender<Event>,
) -> Result<Option<String>, WireError> {
    if questions.is_empty() {
        tokio::time::sleep(PAUSE).await;
        return Ok(None);
    }
    let until = Instant::now() + THINKING_MAX;
    let mut waiting = Vec::with_capacity(questions.len());
    for (key, method, params) in questions {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            number: next_number(),
            method: method.clone(),
            params,
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
            Ok(Err(_dropped)) => declined(&method),
            Err(_elapsed) => declined(&method),
        };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(&key));
        text.push(':');
        text.push_str(outcome?.get());
    }
    text.push('}');
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::{ask, needs};
    use narrows_types::Event;
    use serde_json::value::RawValue;
    use tokio::sync::mpsc;

    #[test]
    fn only_a_result_that_says_so_asks() {
        assert!(needs(r#"{"content":[{"type":"text","text":"input_required"}]}"#).is_none());
        let text = r#"{"resultType":"input_required","requestState":"s",
            "inputRequests":{"a":{"method":"roots/list"},"b":{"method":"x","params":{ }}}}"#;
        let needs = needs(text).unwrap();
        assert_eq!(needs.state.unwrap().get(), "\"s\"");
        assert_eq!(needs.questions[0].0, "a");
        assert_eq!(needs.questions[1].2.as_ref().unwrap().get(), "{ }");
    }

    #[tokio::test]
    async fn all_are_asked_at_once_and_a_dropped_one_is_declined() {
        let (events, mut heard) = mpsc::channel(4);
        let questions = vec![
            ("a".to_owned(), "elicitation/create".to_owned(), None),
            ("b".to_owned(), "roots/list".to_owned(), None),
        ];
        let client = async {
            let Some(Event::Question(one)) = heard.recv().await else { panic!() };
            let Some(Event::Question(two)) = heard.recv().await else { panic!() };
            drop(one);
            (two.answer)(Ok(RawValue::from_string(r#"{"roots":[]}"#.to_owned()).unwrap()));
        };
        let (inputs, ()) = tokio::join!(ask(questions, &events), client);
        assert_eq!(inputs.unwrap().unwrap(), r#"{"a":{"action":"cancel"},"b":{"roots":[]}}"#);
    }
}
