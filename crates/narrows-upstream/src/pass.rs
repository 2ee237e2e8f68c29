//! Passing requests of clients on, and what comes back as it came.

use crate::error::UpstreamError;
use crate::fleet::{Fleet, connect, failed, mirrored};
use crate::session::Body;
use crate::wire::Failure;
use narrows_types::{Client, Event, Method, Passed, WireError};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::mpsc;
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
    /// When it is given up.
    pub deadline: Instant,
}

impl Fleet {
    /// Passes a request on. An error of the upstream is an answer; dropping the future cancels the
    /// request, also at the upstream.
    pub async fn pass(&self, server: &str, passing: Passing<'_>) -> Result<Passed, UpstreamError> {
        let Passing { method, name, params, events, deadline, .. } = passing;
        let cell = self.cell(server)?;
        let start = Instant::now();
        let deadline = deadline.min(start + cell.config.call_timeout);
        let about = name.unwrap_or_default();
        let connected = connect(cell, about, start, deadline).await?;
        let arguments = arguments(params);
        let mirrored = match (method, &arguments) {
            (Method::CallTool, Some(arguments)) => mirrored(cell, &connected, about, arguments)?,
            _ => Vec::new(),
        };
        let arguments = arguments.unwrap_or_else(|| RawValue::NULL.to_owned());
        let body = Body::Call { tool: about.to_owned(), arguments, mirrored };
        let revision = Some(connected.agreed.revision);
        let limit = self.result_bytes();
        let reply = connected.peer.ask_for(limit, body, revision, Some(deadline), events).await;
        match reply {
            Ok(told) => {
                RawValue::from_string(told.get().to_owned()).map(Passed::Result).map_err(|e| {
                    UpstreamError::Protocol { server: server.to_owned(), reason: e.to_string() }
                })
            }
            Err(Failure::Rpc(error)) => {
                let narrows_protocol::RpcError { code, message, data } = error;
                Ok(Passed::Error(WireError { code, message, data }))
            }
            Err(failure) => Err(failed(cell, about, failure, deadline.duration_since(start))),
        }
    }
}

fn arguments(params: &RawValue) -> Option<Box<RawValue>> {
    #[derive(serde::Deserialize)]
    struct Arguments {
        arguments: Option<Box<RawValue>>,
    }
    serde_json::from_str::<Arguments>(params.get()).ok()?.arguments
}
