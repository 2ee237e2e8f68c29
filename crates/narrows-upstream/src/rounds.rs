//! Calls of programs that take several rounds: a modern server asks a person before it answers.

use narrows_protocol::rounds::InputRequired;
use narrows_types::ToolResult;
use serde_json::value::RawValue;

/// A call that may take several rounds: what the last one brought back. Empty at first.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    /// The answers, a JSON object by the questions' keys.
    pub responses: Option<Box<RawValue>>,
    /// What the server wants back, as it gave it.
    pub state: Option<Box<RawValue>>,
}

/// What came of a call.
#[derive(Debug)]
pub enum Answered {
    /// Its result.
    Result(ToolResult),
    /// The server wants input first; only where a person can be asked.
    Asks(Asks),
}

/// What a server wants before it answers.
#[derive(Debug, Clone)]
pub struct Asks {
    /// Its questions: key, method, parameters.
    pub questions: Vec<(String, String, Option<Box<RawValue>>)>,
    /// What it wants back.
    pub state: Option<Box<RawValue>>,
}

impl Asks {
    /// Reads a result that asks.
    pub(crate) fn read(result: &str) -> Result<Self, String> {
        let asks = InputRequired::read(result)?;
        let raw = |text: &str| RawValue::from_string(text.to_owned()).map_err(|e| e.to_string());
        let mut questions = Vec::with_capacity(asks.questions.len());
        for question in asks.questions {
            let params = question.params.map(raw).transpose()?;
            questions.push((question.key.into_owned(), question.method.into_owned(), params));
        }
        Ok(Asks { questions, state: asks.state.map(raw).transpose()? })
    }
}
