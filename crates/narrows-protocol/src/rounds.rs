//! Requests that take several rounds (MRTR): questions inside a result, answers inside a retry.

use narrows_types::fault::clip;
use narrows_types::raw::{self, push_member};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// Questions of one round.
pub const QUESTIONS_MAX: usize = 64;
/// Bytes of a `requestState` that is carried to and fro.
pub const STATE_BYTES_MAX: usize = 256 << 10;
/// The requests that a server may make of a client.
pub const QUESTIONS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// Under which its answer is expected.
    pub key: Cow<'a, str>,
    /// One of [`QUESTIONS`].
    pub method: Cow<'a, str>,
    /// With what, a JSON object.
    pub params: Option<&'a str>,
}

/// A result that is no answer yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputRequired<'a> {
    /// What is asked.
    pub questions: Vec<Question<'a>>,
    /// What the retry brings back, as it is (a JSON string).
    pub state: Option<&'a str>,
}

/// Whether a result asks for input.
pub fn asks(result: &str) -> bool {
    raw::get_text(result, "resultType").as_deref() == Some("input_required")
}

impl<'a> InputRequired<'a> {
    /// Reads a result with `resultType: "input_required"`; the error says which rule is broken.
    pub fn read(result: &'a str) -> Result<Self, String> {
        let state = raw::get(result, "requestState").filter(|state| *state != "null");
        if state.is_some_and(|state| !state.starts_with('"') || state.len() > STATE_BYTES_MAX) {
            return Err(format!("requestState is no text of at most {STATE_BYTES_MAX} bytes"));
        }
        let mut questions: Vec<Question<'a>> = Vec::new();
        let requests = raw::get(result, "inputRequests").filter(|requests| *requests != "null");
        for member in requests.into_iter().flat_map(raw::members) {
            let member = member.map_err(|_broken| "inputRequests is not an object".to_owned())?;
            let method = raw::get_text(member.value, "method").unwrap_or_default();
            if !QUESTIONS.contains(&method.as_ref()) {
                let method = clip(method.into_owned(), 60);
                return Err(format!("`{method}` is not among what a server may ask"));
            }
            if questions.len() >= QUESTIONS_MAX {
                return Err(format!("more than {QUESTIONS_MAX} questions"));
            }
            if questions.iter().any(|question| question.key == member.key) {
                return Err(format!("two questions are named `{}`", clip(member.key.into(), 60)));
            }
            let params = raw::get(member.value, "params");
            questions.push(Question { key: member.key, method, params });
        }
        if questions.is_empty() && state.is_none() {
            return Err("neither inputRequests nor requestState".to_owned());
        }
        Ok(Self { questions, state })
    }

    /// The result's text.
    pub fn write(&self) -> String {
        let mut text = String::from(r#"{"resultType":"input_required""#);
        if !self.questions.is_empty() {
            let mut requests = String::from("{");
            for Question { key, method, params } in &self.questions {
                let mut request = String::from("{");
                push_member(&mut request, "method", &raw::quoted(method));
                if let Some(params) = params {
                    push_member(&mut request, "params", params);
                }
                request.push('}');
                push_member(&mut requests, key, &request);
            }
            requests.push('}');
            push_member(&mut text, "inputRequests", &requests);
        }
        if let Some(state) = self.state {
            push_member(&mut text, "requestState", state);
        }
        text.push('}');
        text
    }
}

/// What a retry brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry<'a> {
    /// The answers: key and result.
    pub answers: Vec<(Cow<'a, str>, &'a str)>,
    /// The state that came with the questions.
    pub state: Option<Cow<'a, str>>,
}

impl<'a> Retry<'a> {
    /// Reads the parameters of a request; the error says what is wrong with them.
    pub fn read(params: &'a str) -> Result<Self, String> {
        let state = match raw::get(params, "requestState").filter(|state| *state != "null") {
            None => None,
            Some(state) if state.len() > STATE_BYTES_MAX => {
                return Err(format!("requestState has more than {STATE_BYTES_MAX} bytes"));
            }
            Some(state) => {
                Some(raw::text(state).ok_or_else(|| "requestState is not a string".to_owned())?)
            }
        };
        let mut answers = Vec::new();
        let responses = raw::get(params, "inputResponses").filter(|responses| *responses != "null");
        for member in responses.into_iter().flat_map(raw::members) {
            let member = member.map_err(|_broken| "inputResponses is not an object".to_owned())?;
            if answers.len() >= QUESTIONS_MAX {
                return Err(format!("more than {QUESTIONS_MAX} inputResponses"));
            }
            answers.push((member.key, member.value));
        }
        Ok(Self { answers, state })
    }

    /// The answer under a key; of two the last counts.
    pub fn answer(&self, key: &str) -> Option<&'a str> {
        self.answers.iter().rev().find(|(name, _)| name == key).map(|(_, answer)| *answer)
    }

    /// The parameters with these answers (a JSON object) and this state (a JSON string).
    pub fn write(params: &str, answers: &str, state: Option<&str>) -> Result<String, raw::Broken> {
        let state = state.map_or(raw::Edit::Remove("requestState"), |state| {
            raw::Edit::Set("requestState", state)
        });
        let edits = [raw::Edit::Set("inputResponses", answers), state];
        raw::edit(params, &edits).map(Cow::into_owned)
    }
}

/// What a retry has in common with the request that it repeats, however its client orders members:
/// a sealed state is bound to it.
pub fn digest(method: &str, params: &str) -> Result<[u8; 32], raw::Broken> {
    let edits = ["inputResponses", "requestState", "_meta"].map(raw::Edit::Remove);
    let rest = raw::edit(params, &edits)?;
    let mut rest: Value = serde_json::from_str(&rest).map_err(|_no_json| raw::Broken)?;
    rest.sort_all_objects();
    let mut hash = Sha256::new();
    hash.update((method.len() as u64).to_be_bytes());
    hash.update(method);
    hash.update(rest.to_string());
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::{InputRequired, Question, Retry, asks, digest};

    #[test]
    fn questions_are_read_and_written_as_they_are() {
        let text = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{ "m" : 1 }},"b":{"method":"roots/list"}},"requestState":"s\u0020"}"#;
        assert!(asks(text) && !asks(r#"{"resultType":"complete"}"#) && !asks("{}"));
        let read = InputRequired::read(text).unwrap();
        assert_eq!(read.questions.len(), 2);
        assert_eq!(
            read.questions[0],
            Question {
                key: "a".into(),
                method: "elicitation/create".into(),
                params: Some(r#"{ "m" : 1 }"#)
            }
        );
        assert_eq!(read.write(), text);
        let state = InputRequired { questions: Vec::new(), state: Some("\"s\"") };
        assert_eq!(state.write(), r#"{"resultType":"input_required","requestState":"s"}"#);
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        for (members, why) in [
            ("", "neither"),
            (r#","inputRequests":{}"#, "neither"),
            (r#","inputRequests":[]"#, "not an object"),
            (r#","inputRequests":{"a":{"method":"tools/call"}}"#, "tools/call"),
            (r#","inputRequests":{"a":5}"#, "may ask"),
            (
                r#","inputRequests":{"a":{"method":"roots/list"},"\u0061":{"method":"roots/list"}}"#,
                "two questions",
            ),
            (r#","requestState":{}"#, "no text"),
        ] {
            let text = format!(r#"{{"resultType":"input_required"{members}}}"#);
            let error = InputRequired::read(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_retry_brings_answers_and_the_state() {
        let params = r#"{"name":"t","arguments":{ "x":1 }}"#;
        let retry = Retry::write(params, r#"{"a":{"action":"accept"}}"#, Some("\"s\"")).unwrap();
        let read = Retry::read(&retry).unwrap();
        assert_eq!(read.answer("a"), Some(r#"{"action":"accept"}"#));
        assert_eq!((read.answer("b"), read.state.as_deref()), (None, Some("s")));
        assert!(retry.contains(r#"{ "x":1 }"#));
        assert!(Retry::read(r#"{"requestState":5}"#).is_err());
        assert!(Retry::read(r#"{"inputResponses":[]}"#).is_err());
        assert_eq!(Retry::read("{}").unwrap(), Retry::default());
    }

    #[test]
    fn a_retry_has_the_digest_of_its_request() {
        let one =
            r#"{"name":"t","arguments":{"x":1,"y":{"b":2,"a":3}},"_meta":{"progressToken":1}}"#;
        let two = r#"{"_meta":{"progressToken":2},"inputResponses":{"a":{}},"requestState":"s",
            "arguments":{"y":{"a":3,"b":2},"x":1},"name":"t"}"#;
        let other = r#"{"name":"t","arguments":{"x":2,"y":{"b":2,"a":3}}}"#;
        assert_eq!(digest("tools/call", one), digest("tools/call", two));
        assert_ne!(digest("tools/call", one), digest("tools/call", other));
        assert_ne!(digest("tools/call", one), digest("prompts/get", one));
        assert!(digest("tools/call", "[").is_err());
    }
}
