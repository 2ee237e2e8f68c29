//! From a method and its parameters to what is asked.

use super::asking::takes_task;
use super::params::{Params, is_object, string, text};
use super::{Body, FIXED, Front, RESOURCE_BYTES_MAX, Rules, RunCall, TaskCall};
use crate::arguments::{self, nearest};
use crate::caller::Caller;
use crate::conversation::severity;
use crate::listen::Filter;
use crate::parking::Lot;
use crate::render::{self, ARTIFACT_URI, Keep};
use crate::tasks::EXTENSION;
use crate::wire::{Failure, clipped};
use narrows_protocol::Revision;
use narrows_types::{
    ArtifactId, Fault, Kind, ListAsk, ListKind, Method, Mode, Origin, PassAsk, What,
};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Methods that both eras know, in every mode.
const SHARED: [&str; 5] =
    ["tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read"];
/// Those that are passed on only.
const PASSED: [&str; 6] = [
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "tasks/get",
    "tasks/cancel",
    "tasks/update",
];
const TOOLS: [&str; 2] = ["search", "run"];

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It is answered.
    Ready(Body),
    /// The client wants to know who we are.
    Introduce,
    /// The engine is to be asked.
    Ask(Box<Pending>),
    /// The client brings answers for a request that waits.
    Resume(Box<Pending>),
    /// The client wants to know of a task of ours.
    Task(TaskCall),
    /// The client wants to hear of changes.
    Listen(Filter),
}

/// A request for the engine.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) what: What,
    pub(crate) purpose: Purpose,
    /// The client wants progress under this token.
    pub(crate) token: Option<Box<RawValue>>,
}

/// What the answer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The result of a call of `search`.
    Tool,
    /// The result of a call of `run`.
    Run(RunCall),
    /// The content of a resource of ours, by its URI.
    Resource(String),
    /// A request passed on, about this.
    Passed(Method, String),
    /// A page of a list.
    Listed(ListKind),
}

impl Front {
    /// Decides what a request asks for. Pure, but for a level that a conversation keeps.
    pub(crate) fn plan(
        &self,
        caller: &Caller,
        method: &str,
        params: &Params<'_>,
        whole: Option<&RawValue>,
    ) -> Result<Plan, Failure> {
        let rules = caller.rules;
        if let Some(plan) = Self::plan_task(caller, method, params, whole) {
            return plan;
        }
        match (rules, method) {
            (Rules::Modern, "server/discover") | (Rules::Legacy(_), "initialize") => {
                Ok(Plan::Introduce)
            }
            (Rules::Legacy(_), "ping") => self.close(rules, json!({})),
            (Rules::Legacy(_), "logging/setLevel") if caller.mode != Mode::Code => {
                let level = text(params.level, "level")?;
                if severity(&level).is_none() {
                    let message = format!("there is no log level {}", clipped(&level));
                    return Err(Failure::params(message));
                }
                if let Some(conversation) = &caller.conversation {
                    conversation.set_log_level(&level);
                }
                self.close(rules, json!({}))
            }
            (Rules::Modern, "subscriptions/listen") => {
                Filter::read(params.notifications).map(Plan::Listen)
            }
            (_, "tools/call") => self.call(caller, params, whole),
            (_, "resources/read") => read_resource(caller, params, whole),
            _ => match (list_kind(method), caller.mode) {
                (Some(kind), Mode::Code) if kind != ListKind::Prompts => {
                    no_cursor(params)?;
                    self.close(rules, self.own_list(rules, kind))
                }
                (Some(kind), Mode::Hybrid | Mode::Mcp) => list(caller, kind, params),
                (None, Mode::Hybrid | Mode::Mcp) => pass(caller, method, params, whole),
                _ => Err(unknown_method(caller, method)),
            },
        }
    }

    fn close<T: Serialize>(&self, rules: Rules, body: T) -> Result<Plan, Failure> {
        let sealed = self.seal(rules).close(body);
        sealed.map(Plan::Ready).map_err(|fault| Failure::internal(&fault))
    }

    /// The lists of code mode, which never change.
    fn own_list(&self, rules: Rules, kind: ListKind) -> Value {
        let entries = match kind {
            ListKind::Tools => self.config.tools.clone(),
            ListKind::Templates => vec![template()],
            ListKind::Prompts | ListKind::Resources => Vec::new(),
        };
        let mut list = json!({kind.member(): entries});
        if let (Some(keep), Some(members)) = (Self::keep(rules, FIXED), list.as_object_mut()) {
            let Keep { ttl_ms, cache_scope } = keep;
            members.insert("ttlMs".to_owned(), ttl_ms.into());
            members.insert("cacheScope".to_owned(), cache_scope.into());
        }
        list
    }

    fn call(
        &self,
        caller: &Caller,
        params: &Params<'_>,
        whole: Option<&RawValue>,
    ) -> Result<Plan, Failure> {
        let name = text(params.name, "name")?;
        let what = match (name.as_ref(), caller.mode) {
            ("run", Mode::Code | Mode::Hybrid) => return self.plan_run(caller, params, whole),
            ("search", Mode::Code | Mode::Hybrid) => {
                takes_task(caller, params)?;
                arguments::search(params.arguments)
            }
            (other, Mode::Code) => return Err(unknown_tool(other)),
            (_, Mode::Hybrid | Mode::Mcp) => {
                return passed(caller, Method::CallTool, name.into_owned(), (params, whole));
            }
        };
        match what {
            Ok(what) => asked(what, Purpose::Tool, params),
            // Wrong arguments are the model's to mend, so they go where the model looks.
            Err(fault) => render::tool_fault(&fault, self.seal(caller.rules))
                .map(Plan::Ready)
                .map_err(|fault| Failure::internal(&fault)),
        }
    }
}

/// The revision that a client of the legacy era gets: the one that it names, else the latest.
pub(crate) fn negotiate(params: &Params<'_>) -> Result<Revision, Failure> {
    let named = text(params.protocol_version, "protocolVersion")?;
    let known = Revision::parse(&named).filter(|r| !r.is_modern());
    Ok(known.unwrap_or(Revision::LATEST_LEGACY))
}

pub(super) fn asked(what: What, purpose: Purpose, params: &Params<'_>) -> Result<Plan, Failure> {
    let token = params.token()?;
    Ok(Plan::Ask(Box::new(Pending { what, purpose, token })))
}

/// Passes the parameters on as they came.
fn passed(
    caller: &Caller,
    method: Method,
    about: String,
    (params, whole): (&Params<'_>, Option<&RawValue>),
) -> Result<Plan, Failure> {
    let purpose = Purpose::Passed(method, about.clone());
    let whole = whole.map(ToOwned::to_owned);
    let params_text = match whole {
        Some(whole) => whole,
        None => super::raw(&json!({})),
    };
    let what = PassAsk { mode: caller.mode, method, about, params: params_text };
    let token = params.token()?;
    let pending = Box::new(Pending { what: What::Pass(what), purpose, token });
    let state = params.request_state.filter(|_| caller.rules == Rules::Modern).and_then(string);
    let resumes = state.is_some_and(|state| Lot::knows(&state));
    Ok(if resumes { Plan::Resume(pending) } else { Plan::Ask(pending) })
}

fn pass(
    caller: &Caller,
    method: &str,
    params: &Params<'_>,
    whole: Option<&RawValue>,
) -> Result<Plan, Failure> {
    let legacy = caller.rules != Rules::Modern;
    let of_tasks = matches!(method, "tasks/get" | "tasks/cancel" | "tasks/update");
    if of_tasks && !legacy && !caller.extends(EXTENSION) {
        return Err(Failure::lacks_extension(EXTENSION));
    }
    let (method, about) = match method {
        "prompts/get" => (Method::GetPrompt, text(params.name, "name")?.into_owned()),
        "completion/complete" => completed(params.reference)?,
        "resources/subscribe" if legacy => {
            (Method::Subscribe, text(params.uri, "uri")?.into_owned())
        }
        "resources/unsubscribe" if legacy => {
            (Method::Unsubscribe, text(params.uri, "uri")?.into_owned())
        }
        "tasks/get" => (Method::GetTask, text(params.task_id, "taskId")?.into_owned()),
        "tasks/cancel" => (Method::CancelTask, text(params.task_id, "taskId")?.into_owned()),
        "tasks/update" if !legacy => {
            (Method::UpdateTask, text(params.task_id, "taskId")?.into_owned())
        }
        "tasks/result" if legacy => {
            (Method::TaskResult, text(params.task_id, "taskId")?.into_owned())
        }
        _ => return Err(unknown_method(caller, method)),
    };
    passed(caller, method, about, (params, whole))
}

/// What is to be completed: an argument of a prompt or of a resource template.
fn completed(reference: Option<&RawValue>) -> Result<(Method, String), Failure> {
    #[derive(serde::Deserialize)]
    struct Reference {
        r#type: String,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        uri: Option<String>,
    }
    let wrong = || {
        let message = "`params.ref` must be {type: \"ref/prompt\", name} or {type: \
                       \"ref/resource\", uri}";
        Failure::params(message.to_owned())
    };
    let reference = reference.filter(|raw| is_object(raw)).ok_or_else(wrong)?;
    let read: Reference = serde_json::from_str(reference.get()).map_err(|_wrong| wrong())?;
    match (read.r#type.as_str(), read.name, read.uri) {
        ("ref/prompt", Some(name), _) => Ok((Method::CompletePrompt, name)),
        ("ref/resource", _, Some(uri)) => Ok((Method::CompleteResource, uri)),
        _ => Err(wrong()),
    }
}

fn list_kind(method: &str) -> Option<ListKind> {
    use ListKind::{Prompts, Resources, Templates, Tools};
    [Tools, Prompts, Resources, Templates].into_iter().find(|kind| kind.method() == method)
}

fn list(caller: &Caller, kind: ListKind, params: &Params<'_>) -> Result<Plan, Failure> {
    let cursor = match params.cursor {
        None => None,
        Some(raw) => {
            let wrong = || Failure::params("`params.cursor` is not a string".to_owned());
            Some(string(raw).ok_or_else(wrong)?.into_owned())
        }
    };
    let what = ListAsk { mode: caller.mode, kind, cursor };
    asked(What::List(what), Purpose::Listed(kind), params)
}

fn read_resource(
    caller: &Caller,
    params: &Params<'_>,
    whole: Option<&RawValue>,
) -> Result<Plan, Failure> {
    let uri = text(params.uri, "uri")?;
    let id = uri.strip_prefix(ARTIFACT_URI).filter(|id| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    match id {
        Some(id) => {
            let handle = ArtifactId(id.to_owned());
            let what = What::Artifact { handle, offset: 0, bytes: RESOURCE_BYTES_MAX };
            asked(what, Purpose::Resource(uri.into_owned()), params)
        }
        None if caller.mode == Mode::Code || uri.starts_with(ARTIFACT_URI) => {
            let message = format!("unknown resource {}", clipped(&uri));
            let fault = Fault::new(Kind::NotFound, Origin::Agent, message)
                .hint(format!("resources are {ARTIFACT_URI}ID"));
            Err(super::failure(&fault, &Purpose::Resource(uri.into_owned()), caller.rules))
        }
        None => passed(caller, Method::ReadResource, uri.into_owned(), (params, whole)),
    }
}

/// The lists of code mode have one page, so there is no cursor that we gave.
fn no_cursor(params: &Params<'_>) -> Result<(), Failure> {
    match params.cursor {
        None => Ok(()),
        Some(_) => Err(Failure::params("unknown cursor; the list has one page".to_owned())),
    }
}

fn template() -> Value {
    json!({
        "uriTemplate": format!("{ARTIFACT_URI}{{id}}"),
        "name": "artifact",
        "title": "Kept result",
        "description": "A result of a program that did not fit its reply, by its handle.",
    })
}

pub(crate) fn unknown_method(caller: &Caller, method: &str) -> Failure {
    let own: &[&str] = match caller.rules {
        Rules::Modern => &["server/discover", "subscriptions/listen"],
        Rules::Legacy(_) => &["initialize", "ping"],
    };
    let passed: &[&str] = if caller.mode == Mode::Code { &[] } else { &PASSED };
    let known: Vec<&str> = SHARED.iter().chain(own).chain(passed).copied().collect();
    let hint = match nearest(method, &known) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    };
    Failure {
        code: narrows_protocol::code::METHOD_NOT_FOUND,
        message: format!("unknown method {}{hint}", clipped(method)),
        data: None,
        // The stateless era tells it by the status too; earlier clients expect 200.
        status: if caller.rules == Rules::Modern { 404 } else { 200 },
    }
}

fn unknown_tool(name: &str) -> Failure {
    let hint = match nearest(name, &TOOLS) {
        Some(near) => format!("did you mean {near}?"),
        None => "there are search and run; every other tool is a function inside a program given \
                 to run"
            .to_owned(),
    };
    Failure::params(format!("unknown tool {}; {hint}", clipped(name)))
}
