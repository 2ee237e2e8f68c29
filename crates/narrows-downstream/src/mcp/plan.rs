//! From a method and its parameters to what is asked.

use super::{Body, FIXED, Front, RESOURCE_BYTES_MAX, Rules};
use crate::arguments::{self, nearest};
use crate::render::{self, ARTIFACT_URI, Keep};
use crate::wire::{Failure, clipped};
use narrows_protocol::Revision;
use narrows_types::{ArtifactId, What};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Methods that both eras know.
const SHARED: [&str; 5] =
    ["tools/list", "tools/call", "resources/list", "resources/templates/list", "resources/read"];
const TOOLS: [&str; 2] = ["search", "run"];
/// Bytes of a progress token, which is repeated in each notification.
const TOKEN_BYTES_MAX: usize = 256;

/// What is to be done with a request.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It is answered.
    Ready(Body),
    /// The engine is to be asked.
    Ask(Box<Pending>),
}

/// A request for the engine.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) what: What,
    pub(crate) purpose: Purpose,
    /// The client wants progress under this token.
    pub(crate) token: Option<Value>,
}

/// What the answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The result of a tool call.
    Tool,
    /// The content of a resource.
    Resource,
}

/// The parameters that we look at, of any method.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    #[serde(rename = "_meta", default)]
    meta: Option<Meta>,
    #[serde(default)]
    name: Option<Value>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(default)]
    uri: Option<Value>,
    #[serde(default)]
    cursor: Option<Value>,
    #[serde(default)]
    protocol_version: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    progress_token: Option<Value>,
}

impl Front {
    /// Decides what a request asks for. Pure.
    pub(crate) fn plan(
        &self,
        rules: Rules,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Plan, Failure> {
        let params = read(params)?;
        match (rules, method) {
            (Rules::Modern, "server/discover") => self.discover().map(Plan::Ready),
            (Rules::Legacy(revision), "initialize") => self.initialized(revision).map(Plan::Ready),
            (Rules::Legacy(_), "ping") => self.close(rules, json!({})),
            (_, "tools/list") => {
                no_cursor(&params)?;
                self.close(rules, Self::list(rules, "tools", &self.config.tools))
            }
            (_, "resources/list") => {
                no_cursor(&params)?;
                self.close(rules, Self::list(rules, "resources", &[]))
            }
            (_, "resources/templates/list") => {
                no_cursor(&params)?;
                self.close(rules, Self::list(rules, "resourceTemplates", &[template()]))
            }
            (_, "tools/call") => self.call(rules, &params),
            (_, "resources/read") => read_resource(&params),
            _ => Err(unknown_method(rules, method)),
        }
    }

    fn close<T: Serialize>(&self, rules: Rules, body: T) -> Result<Plan, Failure> {
        let sealed = self.seal(rules).close(body);
        sealed.map(Plan::Ready).map_err(|fault| Failure::internal(&fault))
    }

    fn list(rules: Rules, key: &str, entries: &[Value]) -> Value {
        let mut list = json!({key: entries});
        if let (Some(keep), Some(members)) = (Self::keep(rules, FIXED), list.as_object_mut()) {
            members.insert("ttlMs".to_owned(), keep.ttl_ms.into());
            members.insert("cacheScope".to_owned(), keep.cache_scope.into());
        }
        list
    }

    fn discover(&self) -> Result<Body, Failure> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Discovered<'a> {
            supported_versions: Vec<&'static str>,
            capabilities: Value,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
            #[serde(flatten)]
            keep: Keep,
        }
        let body = Discovered {
            supported_versions: Revision::modern().map(Revision::as_str).collect(),
            capabilities: capabilities(),
            instructions: &self.config.instructions,
            keep: FIXED,
        };
        self.seal(Rules::Modern).close(body).map_err(|fault| Failure::internal(&fault))
    }

    fn initialized(&self, revision: Revision) -> Result<Body, Failure> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Initialized<'a> {
            protocol_version: &'static str,
            capabilities: Value,
            server_info: &'a RawValue,
            #[serde(skip_serializing_if = "str::is_empty")]
            instructions: &'a str,
        }
        let body = Initialized {
            protocol_version: revision.as_str(),
            capabilities: capabilities(),
            server_info: &self.introduction,
            instructions: &self.config.instructions,
        };
        let sealed = self.seal(Rules::Legacy(revision)).close(body);
        sealed.map_err(|fault| Failure::internal(&fault))
    }

    fn call(&self, rules: Rules, params: &Params<'_>) -> Result<Plan, Failure> {
        let name = text(params.name.as_ref(), "name")?;
        let what = match name {
            "run" => arguments::run(params.arguments).map(What::Run),
            "search" => arguments::search(params.arguments).map(What::Search),
            other => return Err(unknown_tool(other)),
        };
        match what {
            Ok(what) => pending(what, Purpose::Tool, params),
            // Wrong arguments are the model's to mend, so they go where the model looks.
            Err(fault) => render::tool_fault(&fault, self.seal(rules))
                .map(Plan::Ready)
                .map_err(|fault| Failure::internal(&fault)),
        }
    }
}

/// The revision that a client of the legacy era gets: the one that it names, else the latest.
pub(crate) fn negotiate(params: Option<&RawValue>) -> Result<Revision, Failure> {
    let params = read(params)?;
    let named = text(params.protocol_version.as_ref(), "protocolVersion")?;
    let known = Revision::parse(named).filter(|r| !r.is_modern());
    Ok(known.unwrap_or(Revision::LATEST_LEGACY))
}

fn pending(what: What, purpose: Purpose, params: &Params<'_>) -> Result<Plan, Failure> {
    let token = params.meta.as_ref().and_then(|m| m.progress_token.clone());
    match &token {
        None | Some(Value::Number(_)) => {}
        Some(Value::String(text)) if text.len() <= TOKEN_BYTES_MAX => {}
        Some(_) => {
            return Err(Failure::params(format!(
                "`_meta.progressToken` must be a number or a string of at most {TOKEN_BYTES_MAX} bytes"
            )));
        }
    }
    Ok(Plan::Ask(Box::new(Pending { what, purpose, token })))
}

fn read_resource(params: &Params<'_>) -> Result<Plan, Failure> {
    let uri = text(params.uri.as_ref(), "uri")?;
    let id = uri.strip_prefix(ARTIFACT_URI).filter(|id| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    let Some(id) = id else {
        let message = format!("unknown resource {}; resources are {ARTIFACT_URI}ID", clipped(uri));
        return Err(Failure::params(message));
    };
    let handle = ArtifactId(id.to_owned());
    let what = What::Artifact { handle, offset: 0, bytes: RESOURCE_BYTES_MAX };
    pending(what, Purpose::Resource, params)
}

fn read(params: Option<&RawValue>) -> Result<Params<'_>, Failure> {
    match params {
        None => Ok(Params::default()),
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|e| Failure::params(format!("`params` is not understood: {e}"))),
    }
}

fn text<'a>(value: Option<&'a Value>, key: &str) -> Result<&'a str, Failure> {
    value
        .and_then(Value::as_str)
        .ok_or_else(|| Failure::params(format!("`params.{key}` is missing or not a string")))
}

/// All lists have one page, so there is no cursor that we gave.
fn no_cursor(params: &Params<'_>) -> Result<(), Failure> {
    match params.cursor {
        None => Ok(()),
        Some(_) => Err(Failure::params("unknown cursor; the list has one page".to_owned())),
    }
}

fn capabilities() -> Value {
    json!({"tools": {}, "resources": {}})
}

fn template() -> Value {
    json!({
        "uriTemplate": format!("{ARTIFACT_URI}{{id}}"),
        "name": "artifact",
        "title": "Kept result",
        "description": "A result of a program that did not fit its reply, by its handle.",
    })
}

fn unknown_method(rules: Rules, method: &str) -> Failure {
    let own: &[&str] = match rules {
        Rules::Modern => &["server/discover"],
        Rules::Legacy(_) => &["initialize", "ping"],
    };
    let known: Vec<&str> = SHARED.iter().chain(own).copied().collect();
    let hint = match nearest(method, &known) {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    };
    Failure {
        code: narrows_protocol::code::METHOD_NOT_FOUND,
        message: format!("unknown method {}{hint}", clipped(method)),
        data: None,
        // The stateless era tells it by the status too; earlier clients expect 200.
        status: if rules == Rules::Modern { 404 } else { 200 },
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
