//! `run`: a program that may wait for somebody, and how its client is asked.
//!
//! The engine answers with a paused run that nobody holds. A modern client is asked by the answer:
//! its sealed state names the run, so that any replica takes the retry. A legacy client is asked on
//! the stream of its request. Whoever can be asked by neither reads in the report how to go on.

use super::params::text;
use super::plan::asked;
use super::{Body, Front, Params, Plan, Purpose, QUESTION_WAIT, Rules};
use crate::arguments;
use crate::caller::Caller;
use crate::render;
use crate::wire::Failure;
use narrows_protocol::rounds::{InputRequired, Question as Open, Retry, digest};
use narrows_protocol::{Revision, code};
use narrows_types::{
    Answer, Ask, Asked, Event, Fault, Kind, Question, Response, RunEnd, RunId, What,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// By this a state is known to stand for a paused run.
const PREFIX: &str = "narrows_run.";
/// How long such a state holds; the run can be answered for longer.
const STATE_HOLDS: Duration = Duration::from_hours(7 * 24);
/// The request that asks a person.
const ELICIT: &str = "elicitation/create";

/// A call of `run`, as far as its answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunCall {
    /// What a retry must have in common with it, where the client is asked by the answer.
    digest: Option<[u8; 32]>,
    /// The client wants a task of the 2025-11-25 form.
    pub(super) task: bool,
}

/// What a sealed state says.
#[derive(Serialize, Deserialize)]
struct State {
    run: RunId,
    /// The questions that the client was asked.
    asked: Vec<String>,
    digest: [u8; 32],
    /// Unix seconds.
    until: u64,
}

/// An answer to `elicitation/create`.
#[derive(Deserialize)]
struct Elicited {
    action: narrows_types::Action,
    #[serde(default)]
    content: Option<Box<RawValue>>,
}

/// The answer of a client to one question.
pub(super) fn response(id: &str, result: &str) -> Result<Response, Failure> {
    let Elicited { action, content } = serde_json::from_str(result).map_err(|e| {
        Failure::params(format!("the answer to {id} is no result of {ELICIT}: {e}"))
    })?;
    Ok(Response { id: id.to_owned(), action, content, by_agent: false })
}

/// The parameters that ask a client this.
pub(crate) fn elicitation(question: &Asked) -> Body {
    // Who asks belongs to the question: a server must not pass for us.
    let message = match question.about.as_str() {
        about if question.kind == narrows_types::AskedKind::Elicit => {
            format!("[{about}] {}", question.message)
        }
        _ => question.message.clone(),
    };
    let empty = || super::raw(&json!({"type": "object", "properties": {}}));
    let schema = question.schema.clone().unwrap_or_else(empty);
    super::raw(&json!({"message": message, "requestedSchema": schema}))
}

impl Front {
    /// Plans a call of `run`.
    pub(super) fn plan_run(
        &self,
        caller: &Caller,
        params: &Params<'_>,
        whole: Option<&RawValue>,
    ) -> Result<Plan, Failure> {
        let task = takes_task(caller, params)?;
        let digest =
            match caller.rules {
                Rules::Modern if caller.can_be_asked() => {
                    let request = whole.map_or("{}", RawValue::get);
                    Some(digest("tools/call", request).map_err(|_broken| {
                        Failure::params("`params` is not understood".to_owned())
                    })?)
                }
                _ => None,
            };
        let purpose = |digest| Purpose::Run(RunCall { digest, task });
        if let (Some(digest), Some(_)) = (digest, params.request_state) {
            let what = self.taken_up(caller, &digest, whole)?;
            return asked(what, purpose(Some(digest)), params);
        }
        match arguments::run(params.arguments) {
            Ok(What::Run(mut ask)) => {
                // Whatever becomes a job can be asked for with `search` at least.
                ask.follow = true;
                ask.background |= task;
                asked(What::Run(ask), purpose(digest), params)
            }
            Ok(What::Resume { run, answers, background }) => {
                let background = background || task;
                asked(What::Resume { run, answers, background }, purpose(digest), params)
            }
            Ok(what) => asked(what, purpose(digest), params),
            // Wrong arguments are the model's to mend, so they go where the model looks.
            Err(fault) => render::tool_fault(&fault, self.seal(caller.rules))
                .map(Plan::Ready)
                .map_err(|fault| Failure::internal(&fault)),
        }
    }

    /// The run that a retry goes on with, and the answers that it brings.
    fn taken_up(
        &self,
        caller: &Caller,
        digest: &[u8; 32],
        whole: Option<&RawValue>,
    ) -> Result<What, Failure> {
        let retry = Retry::read(whole.map_or("{}", RawValue::get)).map_err(Failure::params)?;
        let sealed = retry.state.as_deref().and_then(|state| state.strip_prefix(PREFIX));
        let opened = sealed.and_then(|s| self.source.open_state(&caller.principal, s));
        let state = opened.and_then(|state| serde_json::from_slice::<State>(&state).ok());
        let valid = |why: &str| {
            Failure::params(format!(
                "`requestState` is {why}; repeat the request without requestState and \
                 inputResponses, or go on with the run by its handle"
            ))
        };
        let Some(state) = state.filter(|state| state.digest == *digest) else {
            return Err(valid("not valid here"));
        };
        if state.until <= crate::parking::now_s() {
            return Err(valid("expired"));
        }
        let answers = state.asked.iter().filter_map(|id| Some((id, retry.answer(id)?)));
        let answers = answers.map(|(id, result)| response(id, result));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        Ok(What::Resume { run: state.run, answers, background: false })
    }

    /// Executes, and asks the client what the run waits for, where it can be asked.
    pub(super) async fn run(
        &self,
        caller: Caller,
        mut what: What,
        call: &RunCall,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Body, Failure> {
        let deadline = Some(self.config.request_timeout);
        let purpose = Purpose::Run(call.clone());
        let mut asks = caller.rules != Rules::Modern && caller.can_be_asked();
        loop {
            let (principal, client) = (caller.principal.clone(), Arc::clone(&caller.client));
            let again = retried(&what).filter(|_| call.digest.is_some());
            let ask = Ask { principal, client, deadline, what };
            let answer = self.asked(ask, events.clone()).await;
            if let (Err(fault), Some(again)) = (&answer, again)
                && matches!(fault.kind, Kind::NotFound | Kind::Conflict)
            {
                what = again;
                continue;
            }
            let Ok(Answer::Run(report)) = &answer else {
                return self.body(&purpose, &caller, answer);
            };
            let RunEnd::Paused { questions } = &report.end else {
                return self.body(&purpose, &caller, answer);
            };
            if let Some(digest) = call.digest.filter(|_| !questions.is_empty()) {
                return self.input_required(&caller, &report.run, questions, digest);
            }
            let Some(events) = events.as_ref().filter(|_| asks) else {
                return self.body(&purpose, &caller, answer);
            };
            let answers = put(questions, events).await;
            if answers.is_empty() {
                return self.body(&purpose, &caller, answer);
            }
            // What the client did not answer it is not asked twice.
            asks = answers.len() == questions.len();
            what = What::Resume { run: report.run.clone(), answers, background: false };
        }
    }

    fn input_required(
        &self,
        caller: &Caller,
        run: &RunId,
        questions: &[Asked],
        digest: [u8; 32],
    ) -> Result<Body, Failure> {
        let bug = |why: String| Failure::internal(&Fault::bug(why));
        let asked = questions.iter().map(|asked| asked.id.clone()).collect();
        let until = crate::parking::now_s() + STATE_HOLDS.as_secs();
        let state = State { run: run.clone(), asked, digest, until };
        let state = serde_json::to_vec(&state).map_err(|e| bug(e.to_string()))?;
        let sealed = self.source.seal_state(&caller.principal, &state);
        let state = narrows_types::raw::quoted(&format!("{PREFIX}{sealed}"));
        let params: Vec<Body> = questions.iter().map(elicitation).collect();
        let open = questions.iter().zip(&params).map(|(asked, params)| Open {
            key: asked.id.as_str().into(),
            method: ELICIT.into(),
            params: Some(params.get()),
        });
        let asks = InputRequired { questions: open.collect(), state: Some(&state) }.write();
        RawValue::from_string(asks).map_err(|e| bug(e.to_string()))
    }
}

/// What is tried where answers come too late: somebody else gave them, over another door or with
/// the same retry. The run goes on or tells how it stands.
fn retried(what: &What) -> Option<What> {
    match what {
        What::Resume { run, answers, background } if !answers.is_empty() => {
            let (run, background) = (run.clone(), *background);
            Some(What::Resume { run, answers: Vec::new(), background })
        }
        _ => None,
    }
}

/// Whether the client wants a task of the 2025-11-25 form.
pub(super) fn takes_task(caller: &Caller, params: &Params<'_>) -> Result<bool, Failure> {
    let Rules::Legacy(revision) = caller.rules else { return Ok(false) };
    let Some(task) = params.task.filter(|_| revision >= Revision::V2025_11_25) else {
        return Ok(false);
    };
    if !super::is_object(task) {
        return Err(Failure::params("`params.task` is not an object".to_owned()));
    }
    if text(params.name, "name")? != "run" {
        let message = "only run can be called as a task".to_owned();
        let code = code::METHOD_NOT_FOUND;
        return Err(Failure { code, ..Failure::params(message) });
    }
    Ok(true)
}

/// Asks a client on its stream, all at once, and gives what it answered.
pub(super) async fn put(questions: &[Asked], events: &mpsc::Sender<Event>) -> Vec<Response> {
    let each = questions.iter().enumerate().map(|(at, asked)| async move {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            number: at as u64,
            method: ELICIT.to_owned(),
            params: Some(elicitation(asked)),
            answer: Box::new(move |outcome| drop(answer.send(outcome))),
        };
        events.send(Event::Question(question)).await.ok()?;
        let result = answered.await.ok()?.ok()?;
        response(&asked.id, result.get()).ok()
    });
    let all = futures_util::future::join_all(each);
    let answers = tokio::time::timeout(QUESTION_WAIT, all).await.unwrap_or_default();
    answers.into_iter().flatten().collect()
}
