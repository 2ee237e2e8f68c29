//! `narrows answer`: a paused run hears what somebody says.

use super::args::AnswerArgs;
use super::exit::Fail;
use super::output::safe;
use super::run::{BEGUN, Remedy};
use super::{Desk, mismatch};
use crate::config::Problem;
use narrows_types::{Action, Answer, Asked, Response, RunId, RunView, RunsAsk, What};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Bytes of one typed line.
const LINE_BYTES_MAX: usize = 64 << 10;

impl Desk {
    pub(super) async fn answer(&self, args: AnswerArgs) -> Result<u8, Fail> {
        let run = RunId(args.run);
        let loaded = self.loaded()?;
        let house = self.house(&loaded).await?;
        let shown = house.ask(What::Runs(RunsAsk::Show { run: run.clone() }), None).await;
        let answers = match shown {
            Ok(Answer::RunShown(view)) if args.decline || args.cancel => {
                refusals(&view.info.questions, &args.answers, args.decline)
            }
            Ok(Answer::RunShown(view)) if args.answers.is_empty() => self.dialogue(&view),
            Ok(Answer::RunShown(view)) => given(&view.info.questions, &args.answers),
            Ok(_) => Err(mismatch()),
            Err(fault) => Err(Fail::Fault(fault)),
        };
        let answer = match answers {
            Ok(answers) => {
                let what = What::Resume { run, answers, background: args.background };
                self.watched(&house, what).await.map_err(Fail::Fault)
            }
            Err(fail) => Err(fail),
        };
        house.close().await;
        self.ran(answer?, &Remedy::of(&loaded, BEGUN))
    }

    /// Asks whoever sits at the terminal.
    fn dialogue(&self, view: &RunView) -> Result<Vec<Response>, Fail> {
        let (run, questions) = (&view.info.run, &view.info.questions);
        if questions.is_empty() {
            // Nothing is open: the run just goes on.
            return Ok(Vec::new());
        }
        if self.out.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            let open: Vec<String> =
                questions.iter().map(|q| format!("{} ({})", q.id, safe(&q.message))).collect();
            let problem = Problem::new(format!("{run} waits for answers: {}", open.join(", ")));
            let first = questions.first().map_or("q1", |q| q.id.as_str());
            return Err(Fail::Usage(problem.hint(format!("narrows answer {run} {first}=VALUE"))));
        }
        let mut answers = Vec::new();
        for question in questions {
            self.out.note(&format!("{}  {}", question.id, safe(&headline(question))));
            answers.push(self.typed(question)?);
        }
        Ok(answers)
    }

    fn typed(&self, question: &Asked) -> Result<Response, Fail> {
        let fields = Field::all(question);
        if fields.is_empty() && question.schema.is_some() {
            return self.consent(question);
        }
        let mut content = Map::new();
        for field in &fields {
            if let Some(value) = self.asked(field)? {
                content.insert(field.name.clone(), value);
            }
        }
        response(&question.id, &Value::Object(content))
    }

    /// Yes or no to a question that asks for nothing more.
    fn consent(&self, question: &Asked) -> Result<Response, Fail> {
        let field = Field::consent();
        if self.asked(&field)? == Some(Value::Bool(true)) {
            return response(&question.id, &Value::Object(Map::new()));
        }
        let (id, action) = (question.id.clone(), Action::Decline);
        Ok(Response { id, action, content: None, by_agent: false })
    }

    /// What is typed for one member; none where it may be left out and is.
    fn asked(&self, field: &Field) -> Result<Option<Value>, Fail> {
        loop {
            prompt(&field.prompt());
            let Some(line) = line()? else {
                return Err(Fail::usage("nothing was answered; the run still waits"));
            };
            if line.is_empty() && (!field.required || field.default.is_some()) {
                return Ok(field.default.clone());
            }
            match field.read(&line) {
                Ok(value) => return Ok(Some(value)),
                Err(why) => self.out.warn(&why),
            }
        }
    }
}

fn headline(question: &Asked) -> String {
    match question.about.as_str() {
        "" => question.message.clone(),
        about => format!("({about}) {}", question.message),
    }
}

fn prompt(text: &str) {
    let mut err = std::io::stderr().lock();
    // Nobody can be told that standard error is gone.
    drop(write!(err, "  {}: ", safe(text)));
    drop(err.flush());
}

/// One line without its break; none at the end of the input.
fn line() -> Result<Option<String>, Fail> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.map_err(|e| Fail::usage(format!("cannot read standard input: {e}")))? == 0 {
        return Ok(None);
    }
    if line.len() > LINE_BYTES_MAX {
        return Err(Fail::usage(format!("an answer has more than {LINE_BYTES_MAX} bytes")));
    }
    Ok(Some(line.trim().to_owned()))
}

/// One member of an answer, as its question's schema has it.
struct Field {
    name: String,
    kind: String,
    title: String,
    choices: Vec<String>,
    default: Option<Value>,
    required: bool,
}

impl Field {
    fn consent() -> Self {
        Self {
            name: "answer".to_owned(),
            kind: "boolean".to_owned(),
            title: "agreed?".to_owned(),
            choices: Vec::new(),
            default: None,
            required: true,
        }
    }

    fn all(question: &Asked) -> Vec<Self> {
        let schema = question.schema.as_ref().map(|schema| schema.get());
        let schema: Value = schema.and_then(|s| serde_json::from_str(s).ok()).unwrap_or_default();
        let required = |name: &str| {
            schema
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| one == name))
        };
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let field = |(name, property): (&String, &Value)| {
            let text = |key: &str| property.get(key).and_then(Value::as_str);
            Self {
                name: name.clone(),
                kind: text("type").unwrap_or_default().to_owned(),
                title: property["title"]
                    .as_str()
                    .or(property["description"].as_str())
                    .map_or_else(|| name.clone(), str::to_owned),
                choices: choices(property),
                default: property.get("default").cloned(),
                required: required(name),
            }
        };
        properties.map(field).collect()
    }

    fn prompt(&self) -> String {
        let mut text = self.title.clone();
        if !self.choices.is_empty() {
            let _infallible = write!(text, " ({})", self.choices.join(", "));
        } else if self.kind == "boolean" {
            text.push_str(" (yes, no)");
        }
        if let Some(default) = &self.default {
            let _infallible = write!(text, " [{default}]");
        }
        text
    }

    /// What a word stands for, by the member's type.
    fn read(&self, word: &str) -> Result<Value, String> {
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == word) {
            return Err(format!("{} must be one of {}", self.name, self.choices.join(", ")));
        }
        match self.kind.as_str() {
            "string" => Ok(Value::String(word.to_owned())),
            "boolean" => match word.to_ascii_lowercase().as_str() {
                "y" | "yes" | "true" => Ok(Value::Bool(true)),
                "n" | "no" | "false" => Ok(Value::Bool(false)),
                _ => Err(format!("{} must be yes or no", self.name)),
            },
            "number" | "integer" => serde_json::from_str(word)
                .ok()
                .filter(|value: &Value| {
                    value.is_number()
                        && (self.kind == "number"
                            || value.as_f64().is_some_and(|n| n.fract() == 0.0))
                })
                .ok_or_else(|| format!("{} must be a number ({})", self.name, self.kind)),
            _ => Ok(loose(word)),
        }
    }
}

fn choices(property: &Value) -> Vec<String> {
    let list = |key: &str| property.get(key).and_then(Value::as_array).into_iter().flatten();
    let plain = list("enum").filter_map(Value::as_str);
    let titled = list("oneOf").filter_map(|one| one.get("const").and_then(Value::as_str));
    plain.chain(titled).map(str::to_owned).collect()
}

/// JSON where it reads as JSON, else text.
fn loose(word: &str) -> Value {
    serde_json::from_str(word).unwrap_or_else(|_text| Value::String(word.to_owned()))
}

/// Answers from the command line.
fn given(questions: &[Asked], words: &[String]) -> Result<Vec<Response>, Fail> {
    let mut contents: Vec<(&Asked, Value)> = Vec::new();
    for word in words {
        let (question, member, value) = addressed(questions, word)?;
        let fields = Field::all(question);
        let (name, value) = match (member, fields.as_slice()) {
            (Some(member), _) => {
                let field = fields.iter().find(|field| field.name == member);
                let field = field.ok_or_else(|| {
                    Fail::usage(format!("{} asks for no `{}`", question.id, safe(member)))
                })?;
                (Some(member), field.read(value).map_err(Fail::usage)?)
            }
            (None, [field]) => match loose(value) {
                object @ Value::Object(_) => (None, object),
                _ => (Some(field.name.as_str()), field.read(value).map_err(Fail::usage)?),
            },
            (None, _) => (None, loose(value)),
        };
        let value = match name {
            Some(name) => Value::Object(Map::from_iter([(name.to_owned(), value)])),
            None => value,
        };
        match (contents.iter_mut().find(|(asked, _)| asked.id == question.id), value) {
            (None, value) => contents.push((question, value)),
            (Some((_, Value::Object(members))), Value::Object(more)) if member.is_some() => {
                members.extend(more);
            }
            _ => return Err(Fail::usage(format!("{} is answered twice", question.id))),
        }
    }
    let settled = |(question, content): &(&Asked, Value)| {
        let mut response = response(&question.id, content)?;
        response.settle(question);
        Ok(response)
    };
    contents.iter().map(settled).collect()
}

/// The question that a word answers, which member of it, and with what.
fn addressed<'a>(
    questions: &'a [Asked],
    word: &'a str,
) -> Result<(&'a Asked, Option<&'a str>, &'a str), Fail> {
    if let Some((key, value)) = word.split_once('=') {
        let (id, member) = match key.split_once('.') {
            Some((id, member)) => (id, Some(member)),
            None => (key, None),
        };
        if let Some(question) = questions.iter().find(|question| question.id == id) {
            return Ok((question, member, value));
        }
    }
    match questions {
        [question] => Ok((question, None, word)),
        [] => Err(Fail::usage("the run waits for no answer; `narrows resume` lets it go on")),
        several => {
            let ids: Vec<&str> = several.iter().map(|q| q.id.as_str()).collect();
            let problem = Problem::new(format!("`{}` answers no question", safe(word)));
            Err(Fail::Usage(
                problem.hint(format!("open are {}; the form is ID=VALUE", ids.join(", "))),
            ))
        }
    }
}

/// No to these questions, or to all.
fn refusals(questions: &[Asked], ids: &[String], decline: bool) -> Result<Vec<Response>, Fail> {
    let action = if decline { Action::Decline } else { Action::Cancel };
    if let Some(unknown) = ids.iter().find(|id| !questions.iter().any(|q| q.id == **id)) {
        return Err(Fail::usage(format!("no question {} is open", safe(unknown))));
    }
    let meant = questions.iter().filter(|q| ids.is_empty() || ids.contains(&q.id));
    Ok(meant
        .map(|q| Response { id: q.id.clone(), action, content: None, by_agent: false })
        .collect())
}

fn response(id: &str, content: &Value) -> Result<Response, Fail> {
    let content = RawValue::from_string(content.to_string())
        .map_err(|e| Fail::usage(format!("{id}: {e}")))?;
    Ok(Response {
        id: id.to_owned(),
        action: Action::Accept,
        content: Some(content),
        by_agent: false,
    })
}

#[cfg(test)]
mod tests;
