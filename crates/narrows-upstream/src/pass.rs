//! Passing requests of clients on, and what comes back as it came.

mod rounds;
mod tasks;
mod visits;
mod way;

use crate::board::{Cell, Connected};
use crate::error::UpstreamError;
use crate::fleet::{Fleet, Place, ask_tools, connect, failed, mirrored};
use crate::gate::Caller;
use crate::keeper::{Want, Wish};
use crate::lanes;
use crate::relay::{Relay, named};
use crate::session::{Clock, Hears, Listener, Reply, severity};
use crate::wire::Failure;
use narrows_protocol::{RpcError, code};
use narrows_types::{Client, Event, Method, Passed, WireError, raw};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// A request on its way to an upstream.
#[derive(Debug)]
pub struct Passing<'a> {
    /// Which request.
    pub method: Method,
    /// The upstream's own name for what it is about, where the client's is another.
    pub name: Option<&'a str>,
    /// Its parameters, as the client sent them.
    pub params: &'a RawValue,
    /// Who asks: connections of their own are not shared between principals.
    pub principal: &'a str,
    /// With what it asks.
    pub client: Arc<Client>,
    /// Where notifications and questions of the upstream go while the request is under way. A full
    /// channel loses notifications, never a question.
    pub events: Option<mpsc::Sender<Event>>,
    /// When it is given up. It waits longer while the client thinks about a question.
    pub deadline: Instant,
}

impl Fleet {
    /// Passes a request on. An error of the upstream is an answer; dropping the future cancels the
    /// request, also at the upstream.
    pub async fn pass(&self, server: &str, passing: Passing<'_>) -> Result<Passed, UpstreamError> {
        let start = Instant::now();
        let caller = Caller::of(passing.principal, passing.client.session);
        let (cell, leave) = self.enter(server, caller, passing.deadline).await?;
        let place = Place::new(leave);
        let cell = &*cell;
        let deadline = passing.deadline.min(start + cell.config.call_timeout);
        let about = match passing.name {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(named(passing.method, passing.params.get()).unwrap_or_default()),
        };
        let result_bytes = self.result_bytes();
        let call = Call { cell, about: &about, start, deadline, result_bytes, place };
        match passing.method {
            Method::Subscribe | Method::Unsubscribe => call.wish(&passing).await,
            Method::CallTool if !crate::listing::allowed(&cell.config, &about) => {
                let what = format!("tool {server}.{about}");
                Err(UpstreamError::Disabled { server: server.to_owned(), what })
            }
            Method::CallTool if cell.inside.is_some() => call.inside(passing.params).await,
            _ => call.pass(&passing).await,
        }
    }
}

/// One request to one upstream.
struct Call<'a> {
    cell: &'a Cell,
    /// The upstream's name for what it is about.
    about: &'a str,
    start: Instant,
    deadline: Instant,
    result_bytes: usize,
    place: Arc<Place>,
}

/// One message of a request.
#[derive(Clone, Copy)]
struct Shot<'a> {
    method: Method,
    params: &'a RawValue,
    /// The parameters name the thing by its own name already.
    own: bool,
    /// Members in place of those of the same name.
    added: &'a [(&'a str, &'a str)],
    /// It is told that the client knows tasks of the extension, for we translate them.
    tasks: bool,
    deadline: Instant,
}

impl<'a> Shot<'a> {
    /// What the client asked.
    fn new(passing: &Passing<'a>, deadline: Instant) -> Self {
        let (method, params) = (passing.method, passing.params);
        Self { method, params, own: false, added: &[], tasks: false, deadline }
    }
}

impl Call<'_> {
    async fn pass(&self, passing: &Passing<'_>) -> Result<Passed, UpstreamError> {
        let mut reply = Err(Failure::Timeout);
        for _ in 0..2 {
            let way = self.way(passing).await?;
            reply = self.answered(way.connected(), passing).await?;
            self.cell.judge(&reply, self.start);
            match &reply {
                // It surely never arrived.
                Err(Failure::Lost { sent: false, .. }) => {}
                Err(Failure::Lost { sent: true, .. }) if self.may_repeat(passing.method) => {}
                // Our headers follow an old definition of the tool.
                Err(Failure::Rpc(error)) if error.code == code::HEADER_MISMATCH => {
                    let listed = ask_tools(self.cell, true);
                    if tokio::time::timeout_at(self.deadline, listed).await.is_err() {
                        break;
                    }
                }
                _ => break,
            }
        }
        self.passed(reply)
    }

    /// Whether it may be asked again though it may have been carried out.
    fn may_repeat(&self, method: Method) -> bool {
        match method {
            Method::CallTool => self.cell.may_repeat(self.about),
            Method::GetPrompt
            | Method::ReadResource
            | Method::CompletePrompt
            | Method::CompleteResource
            | Method::GetTask => true,
            _ => false,
        }
    }

    /// Sends it once.
    async fn send(
        &self,
        connected: &Connected,
        passing: &Passing<'_>,
        shot: Shot<'_>,
    ) -> Result<Reply, UpstreamError> {
        let client = &passing.client;
        let revision = connected.agreed.revision;
        if let Some(level) = client.log_level.as_ref().filter(|_| !revision.is_modern()) {
            connected.log(level, shot.deadline).await;
        }
        let modern = revision.is_modern();
        let declared = match &client.capabilities {
            Some(_) if modern => Some(lanes::declared(client)),
            _ => None,
        };
        let declared = declared.as_deref().map_or("{}", RawValue::get);
        let declared: Cow<'_, str> =
            if shot.tasks { tasks::with_tasks(declared).into() } else { declared.into() };
        let own = client.info.as_deref().map(RawValue::get);
        let info = own.unwrap_or_else(|| connected.peer.introduction());
        let relay = Relay {
            method: shot.method,
            name: passing.name.filter(|_| !shot.own),
            params: shot.params,
            revision,
            capabilities: &declared,
            info,
            log_level: client.log_level.as_deref(),
            added: shot.added,
        };
        let Ok(mut letter) = relay.letter(connected.peer.next_id()) else {
            let message = "`params` are no object".to_owned();
            let error = RpcError { code: code::INVALID_PARAMS, message, data: None };
            return Ok(Err(Failure::Rpc(error)));
        };
        if shot.method == Method::CallTool
            && let Some(arguments) = raw::get(shot.params.get(), "arguments")
        {
            letter.mirrored = mirrored(self.cell, connected, self.about, arguments)?;
        }
        let hears = Hears::Client(Listener {
            events: passing.events.clone(),
            clock: Arc::new(Clock::new(Arc::clone(&self.place))),
            severity: least(client),
        });
        Ok(connected.peer.send(letter, hears, self.result_bytes, Some(shot.deadline)).await)
    }

    /// The reply as a client takes it.
    fn passed(&self, reply: Reply) -> Result<Passed, UpstreamError> {
        let waited = self.deadline.duration_since(self.start);
        let broken =
            |reason| UpstreamError::Protocol { server: self.cell.name().to_owned(), reason };
        let result = match reply {
            Ok(told) => match told.into_raw() {
                // No client could read it.
                Ok(result) if !result.get().starts_with('{') => {
                    Err(broken("a result that is no object".to_owned()))
                }
                Ok(result) => Ok(Passed::Result(result)),
                Err(e) => Err(broken(e.to_string())),
            },
            Err(Failure::Rpc(error)) => {
                let RpcError { code, message, data } = error;
                Ok(Passed::Error(WireError { code, message, data }))
            }
            Err(failure) => Err(failed(self.cell, self.about, failure, waited)),
        };
        if let Err(error) = &result
            && error.is_of_the_connection()
        {
            self.cell.complain(error.to_string());
        }
        result
    }

    /// A call of a tool inside Narrows.
    async fn inside(&self, params: &RawValue) -> Result<Passed, UpstreamError> {
        let Some(inside) = &self.cell.inside else {
            return Ok(refused("there is no such server".to_owned()));
        };
        let arguments = raw::get(params.get(), "arguments").unwrap_or("{}");
        let arguments = RawValue::from_string(arguments.to_owned());
        let broken = |e: serde_json::Error| UpstreamError::Protocol {
            server: self.cell.name().to_owned(),
            reason: e.to_string(),
        };
        let result = inside.call(self.about, &arguments.map_err(broken)?, self.deadline).await?;
        serde_json::value::to_raw_value(&result).map(Passed::Result).map_err(broken)
    }

    /// Somebody wants to hear of updates of a resource, or not any more.
    async fn wish(&self, passing: &Passing<'_>) -> Result<Passed, UpstreamError> {
        let wanted = passing.method == Method::Subscribe;
        if wanted {
            // What it is asked of is to be there, so that its refusal can be told.
            connect(self.cell, self.about, self.start, self.deadline).await?;
        }
        let waited = self.deadline.duration_since(self.start);
        let late = |failure| failed(self.cell, self.about, failure, waited);
        let stopped =
            || late(Failure::Lost { reason: "narrows is stopping".to_owned(), sent: false });
        let Some(wants) = &self.cell.wants else {
            return Ok(refused("it has no resources".to_owned()));
        };
        let (told, answer) = oneshot::channel();
        let uri = self.about.to_owned();
        let wish = Wish { uri, who: passing.client.session, wanted, told };
        let asked = async {
            wants.send(Want::Updates(wish)).await.map_err(|_gone| stopped())?;
            answer.await.map_err(|_gone| stopped())?
        };
        match tokio::time::timeout_at(self.deadline, asked).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(late(Failure::Timeout)),
        }
    }
}

fn refused(message: String) -> Passed {
    Passed::Error(WireError { code: code::INVALID_PARAMS, message, data: None })
}

/// The least severe log message that a client wants to hear.
fn least(client: &Client) -> Option<u8> {
    match (&client.log_level, client.modern) {
        (Some(level), _) => severity(level),
        // A legacy client that did not say leaves it to the upstream.
        (None, false) => Some(0),
        (None, true) => None,
    }
}
