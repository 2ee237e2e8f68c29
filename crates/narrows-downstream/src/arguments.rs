//! The arguments of `search` and `run`, from MCP and REST alike. Every mistake is named with what
//! would be right.

use narrows_types::durable::{Durability, JobsAsk, Response, RunsAsk};
use narrows_types::{
    Detail, Fault, JobId, Language, RunAsk, RunId, SearchAsk, SessionId, What, fault::clip,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

const RUN_KEYS: [&str; 14] = [
    "code",
    "language",
    "engine",
    "limits",
    "input",
    "timeout_ms",
    "output_bytes",
    "session",
    "state",
    "background",
    "durability",
    "resume",
    "answers",
    "answer",
];
/// What goes with `resume`.
const RESUME_KEYS: [&str; 4] = ["resume", "answers", "answer", "background"];
const SEARCH_KEYS: [&str; 6] = ["query", "server", "limit", "detail", "language", "job"];
const RUN_SHAPE: &str = "run takes {code, language?, engine?, input?, timeout_ms?, limits?, \
                         output_bytes?, session?, state?, background?} or {resume, answers?}";
const RESUME_SHAPE: &str = "to go on: {resume: \"run_...\", answers: [{id, action?, content}]}, or \
                            `answer` for the one open question";
const SEARCH_SHAPE: &str = "search takes {query, server?, limit?, detail?, language?} or {job}";

/// What `engine` can be.
const ENGINES: &str = "one of \"quickjs\", \"wasm\", \"deno\", \"monty\", \"cpython\"";
/// What `limits` can hold.
const LIMITS: &str = "{wall_ms?, cpu_ms?, memory_bytes?, disk_bytes?, files?, processes?, read_only?, \
                      network?, calls?, calls_parallel?, result_bytes?, value_bytes?, log_bytes?}";

/// How long a search for a job waits for its end: a model looks less often.
pub(crate) const JOB_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a handle.
const HANDLE_BYTES_MAX: usize = 64;
/// Characters of a handle behind its prefix.
const HANDLE_CHARS: usize = 20;
/// Answers in one request.
const ANSWERS_MAX: usize = 256;

/// Hits when the caller does not say how many; the engine has the most.
const LIMIT_DEFAULT: usize = 8;

/// One query or several, merged.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Queries {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// What a call of `run` asks for: a program, or that a run goes on.
pub(crate) fn run(arguments: Option<&RawValue>) -> Result<What, Fault> {
    let fields = Fields::parse("run", arguments, &RUN_KEYS, RUN_SHAPE)?;
    match fields.handle("resume", "the handle of a run, run_...")? {
        Some(run) => resume(&fields, RunId(run)),
        None if fields.given("answers").or(fields.given("answer")).is_some() => {
            Err(Fault::invalid("answers without `resume`").hint(RESUME_SHAPE))
        }
        None => program(&fields).map(What::Run),
    }
}

/// The arguments of a program alone.
pub(crate) fn run_alone(arguments: Option<&RawValue>) -> Result<RunAsk, Fault> {
    match run(arguments)? {
        What::Run(ask) => Ok(ask),
        _ => {
            Err(Fault::invalid("`resume` is not for here").hint("it is a kind of work of its own"))
        }
    }
}

fn program(fields: &Fields<'_>) -> Result<RunAsk, Fault> {
    let code: String = fields
        .read("code", "a string")?
        .ok_or_else(|| Fault::invalid("`code` is missing").hint(RUN_SHAPE))?;
    let durability: Option<Durability> =
        fields.read("durability", "one of \"off\", \"async\", \"sync\"")?;
    Ok(RunAsk {
        code,
        language: fields.language()?,
        engine: fields.read("engine", ENGINES)?,
        limits: fields.read("limits", LIMITS)?.unwrap_or_default(),
        input: fields.given("input").map(ToOwned::to_owned),
        timeout_ms: fields.positive("timeout_ms", "milliseconds")?,
        output_bytes: fields.positive("output_bytes", "bytes")?,
        session: fields.handle("session", "the handle of a session, ses_...")?.map(SessionId),
        state: fields.flag("state")?,
        background: fields.flag("background")?,
        durability,
        ..RunAsk::default()
    })
}

fn resume(fields: &Fields<'_>, run: RunId) -> Result<What, Fault> {
    if let Some(key) = fields.members.keys().find(|key| !RESUME_KEYS.contains(&key.as_str())) {
        let message = format!("`{key}` does not go with `resume`; the run has its own");
        return Err(Fault::invalid(message).hint(RESUME_SHAPE));
    }
    let mut answers = fields.answers()?;
    for answer in &mut answers {
        answer.by_agent = true;
    }
    Ok(What::Resume { run, answers, background: fields.flag("background")? })
}

/// The body that lets a run go on: `{answers?, answer?, background?}`.
pub(crate) fn resume_body(body: Option<&RawValue>, run: RunId) -> Result<What, Fault> {
    let known = ["answers", "answer", "background"];
    let fields =
        Fields::parse("resume", body, &known, "resume takes {answers?, answer?, background?}")?;
    resume(&fields, run)
}

/// What a call of `search` asks for: tools, or how a job or a run is.
pub(crate) fn search(arguments: Option<&RawValue>) -> Result<What, Fault> {
    let fields = Fields::parse("search", arguments, &SEARCH_KEYS, SEARCH_SHAPE)?;
    if let Some(handle) = fields.handle("job", "a handle, job_... or run_...")? {
        return status(handle).ok_or_else(|| {
            Fault::invalid("`job` must be a handle, job_... or run_...").hint(SEARCH_SHAPE)
        });
    }
    let queries = queries(&fields)?;
    if let [query] = queries.as_slice()
        && is_handle(query.trim())
        && let Some(what) = status(query.trim().to_owned())
    {
        return Ok(what);
    }
    let limit = match fields.positive("limit", "results")? {
        None => LIMIT_DEFAULT,
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let detail: Detail =
        fields.read("detail", "one of \"names\", \"signatures\", \"full\"")?.unwrap_or_default();
    let server = fields.read("server", "a string")?;
    let ask = SearchAsk { queries, server, limit, detail, language: fields.language()? };
    Ok(What::Search(ask))
}

/// Whether a text has the form of a job's or a run's handle.
fn is_handle(text: &str) -> bool {
    let rest = text.strip_prefix("job_").or_else(|| text.strip_prefix("run_"));
    rest.is_some_and(|r| r.len() == HANDLE_CHARS && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The question how a handle is.
fn status(handle: String) -> Option<What> {
    if handle.starts_with("job_") {
        let wait_ms = u64::try_from(JOB_WAIT.as_millis()).unwrap_or(u64::MAX);
        return Some(What::Jobs(JobsAsk::Show { job: JobId(handle), wait_ms }));
    }
    let is_run = handle.starts_with("run_");
    is_run.then_some(What::Runs(RunsAsk::Show { run: RunId(handle) }))
}

fn queries(fields: &Fields<'_>) -> Result<Vec<String>, Fault> {
    let given = fields
        .read("query", "a string or an array of strings")?
        .ok_or_else(|| Fault::invalid("`query` is missing").hint(SEARCH_SHAPE))?;
    Ok(match given {
        Queries::One(query) => vec![query],
        Queries::More(queries) => queries,
    })
}

/// An object's members, each still as text.
struct Fields<'a> {
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(
        tool: &str,
        arguments: Option<&'a RawValue>,
        known: &[&str],
        shape: &str,
    ) -> Result<Self, Fault> {
        let text = arguments.map_or("{}", RawValue::get);
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_other| {
                Fault::invalid(format!("the arguments of {tool} are not an object")).hint(shape)
            })?;
        for key in members.keys() {
            if !known.contains(&key.as_str()) {
                return Err(unknown_key(tool, key, known).hint(shape));
            }
        }
        Ok(Self { members })
    }

    /// The member's text; null counts as absent where a value is read, never for `input`.
    fn given(&self, key: &str) -> Option<&'a RawValue> {
        self.members.get(key).copied()
    }

    fn read<T: Deserialize<'a>>(&self, key: &str, expected: &str) -> Result<Option<T>, Fault> {
        match self.given(key) {
            None => Ok(None),
            Some(raw) if raw.get() == "null" => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map(Some).map_err(|_other| {
                let shown = clip(raw.get().to_owned(), 60);
                Fault::invalid(format!("`{key}` must be {expected}, not {shown}"))
            }),
        }
    }

    fn positive(&self, key: &str, unit: &str) -> Result<Option<u64>, Fault> {
        let expected = format!("a whole number of {unit}, at least 1");
        match self.read::<u64>(key, &expected)? {
            Some(0) => Err(Fault::invalid(format!("`{key}` must be {expected}, not 0"))),
            other => Ok(other),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.read(key, "true or false")?.unwrap_or_default())
    }

    fn handle(&self, key: &str, expected: &str) -> Result<Option<String>, Fault> {
        let handle: Option<String> = self.read(key, expected)?;
        Ok(handle.map(|handle| clip(handle, HANDLE_BYTES_MAX)))
    }

    /// `answers`, or the one `answer`.
    fn answers(&self) -> Result<Vec<Response>, Fault> {
        let expected = "an array of {id, action?, content}";
        let many: Option<Vec<Response>> = self.read("answers", expected)?;
        match (many, self.given("answer")) {
            (Some(_), Some(_)) => {
                Err(Fault::invalid("`answers` and `answer` exclude each other").hint(RESUME_SHAPE))
            }
            (Some(many), None) if many.len() > ANSWERS_MAX => {
                let message = format!("{} answers; the limit is {ANSWERS_MAX}", many.len());
                Err(Fault::invalid(message))
            }
            (Some(many), None) => Ok(many),
            (None, Some(one)) => Ok(vec![Response {
                by_agent: true,
                id: String::new(),
                action: narrows_types::durable::Action::Accept,
                content: Some(one.to_owned()),
            }]),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn language(&self) -> Result<Language, Fault> {
        Ok(self.read("language", "\"typescript\" or \"python\"")?.unwrap_or_default())
    }
}

fn unknown_key(tool: &str, key: &str, known: &[&str]) -> Fault {
    let shown = clip(key.to_owned(), 60);
    match nearest(key, known) {
        Some(near) => Fault::invalid(format!("{tool} takes no `{shown}`; did you mean `{near}`?")),
        None => Fault::invalid(format!("{tool} takes no `{shown}`")),
    }
}

/// The most alike of `known`, if any is alike at all.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    narrows_types::nearest(word, known.iter().copied(), 1).into_iter().next()
}

#[cfg(test)]
mod tests;
