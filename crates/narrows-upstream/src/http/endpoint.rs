//! Where an HTTP upstream is, and the headers that it gets.

use super::exchange::unsent;
use crate::oauth::{Keys, Verdict};
use crate::wire::{Failure, Letter};
use narrows_protocol::{Revision, header};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, Url};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Connections that are kept for the next request.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Redirects that are followed, all within one origin.
const REDIRECTS_MAX: usize = 3;
/// Where an upstream behind a Unix socket is asked, if its config does not say.
const SOCKET_PATH: &str = "/mcp";
/// Times that one request is sent, each with another login.
const LOGINS_MAX: u32 = 4;

/// An endpoint with what every request to it carries.
pub(crate) struct Endpoint {
    client: Client,
    url: Url,
    headers: HeaderMap,
    shown: String,
    keys: Option<Arc<Keys>>,
}

impl Endpoint {
    /// Prepares an endpoint; the error tells what is wrong with it, never a header's value.
    pub(crate) fn new(
        url: &str,
        headers: &BTreeMap<String, String>,
        agent: &str,
        keys: Option<Keys>,
    ) -> Result<Self, String> {
        let (socket, url) = match url.strip_prefix("unix:") {
            Some(rest) => {
                let (socket, path) = socket(rest)?;
                (Some(socket), format!("http://localhost{path}"))
            }
            None => (None, url.to_owned()),
        };
        let url = Url::parse(&url).map_err(|e| format!("its `url` is none: {e}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme();
            return Err(format!("its `url` has scheme {scheme}; http, https or unix is taken"));
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let parsed = HeaderName::from_bytes(name.as_bytes());
            let key = parsed.map_err(|_bad| format!("`{name}` is no name of a header"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_bad| format!("header {name} has a value that no header can carry"))?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err("no TLS provider is installed in this process".to_owned());
        }
        let mut client = Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT_WAIT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true)
            .redirect(Policy::custom(within_origin));
        let shown = match &socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => url.origin().ascii_serialization(),
        };
        if let Some(socket) = socket {
            client = client.unix_socket(socket);
        }
        let client = client.build().map_err(|e| format!("no HTTP client: {e}"))?;
        Ok(Self { client, url, headers: map, shown, keys: keys.map(Arc::new) })
    }

    /// Where it is, as far as the log may tell.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends a request, with our login if there is one; one that is refused is sent again as long
    /// as a login gives something new to show.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let Some(keys) = &self.keys else {
            return request.send().await.map_err(|e| unsent(&e));
        };
        let mut next = Some(request);
        for _ in 0..LOGINS_MAX {
            let Some(request) = next.take() else { break };
            // A body that cannot be sent twice is sent once.
            next = request.try_clone();
            let used = keys.bearer().await;
            let request = match &used {
                Some(bearer) => request.header(AUTHORIZATION, bearer.value.clone()),
                None => request,
            };
            let response = request.send().await.map_err(|e| unsent(&e))?;
            let status = response.status().as_u16();
            if !matches!(status, 401 | 403) {
                keys.accepted();
                return Ok(response);
            }
            if next.is_none() {
                return Ok(response);
            }
            match keys.challenged(status, response.headers(), used).await {
                Verdict::Retry => {}
                Verdict::Foreign => return Ok(response),
                Verdict::Login(reason) => return Err(Failure::Login { reason }),
            }
        }
        Err(Failure::Login { reason: "it refuses every login".to_owned() })
    }

    /// Where HTTP+SSE wants its messages: a place of the same origin, since they carry credentials.
    pub(super) fn beside(&self, target: &str) -> Result<Url, String> {
        let url = self.url.join(target.trim()).map_err(|e| format!("its endpoint is none: {e}"))?;
        if url.origin() != self.url.origin() {
            return Err("it wants its messages at another origin".to_owned());
        }
        Ok(url)
    }

    /// A message to another place than that of the stream.
    pub(super) fn post_to(&self, target: Url, letter: Letter) -> RequestBuilder {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        era(&mut headers, letter.revision, None);
        self.client.post(target).headers(headers).body(letter.body)
    }

    /// A message.
    pub(super) fn post(
        &self,
        letter: &Letter,
        body: String,
        session: Option<&HeaderValue>,
    ) -> RequestBuilder {
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        era(&mut headers, letter.revision, session);
        if letter.revision.is_some_and(Revision::is_modern) && !letter.method.is_empty() {
            set(&mut headers, header::METHOD, letter.method);
            if let Some(name) = &letter.name {
                set(&mut headers, header::NAME, &header::encode(name));
            }
            for (name, value) in &letter.mirrored {
                set(&mut headers, name, value);
            }
        }
        self.client.post(self.url.clone()).headers(headers).body(body)
    }

    /// The stream of a legacy server's own messages, from the event after `last`.
    pub(super) fn get(
        &self,
        revision: Option<Revision>,
        session: Option<&HeaderValue>,
        last: Option<&str>,
    ) -> RequestBuilder {
        let mut headers = self.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        era(&mut headers, revision, session);
        if let Some(last) = last {
            set(&mut headers, "last-event-id", last);
        }
        self.client.get(self.url.clone()).headers(headers)
    }

    /// The end of a legacy session.
    pub(super) fn delete(
        &self,
        revision: Option<Revision>,
        session: &HeaderValue,
    ) -> RequestBuilder {
        let mut headers = self.headers.clone();
        era(&mut headers, revision, Some(session));
        self.client.delete(self.url.clone()).headers(headers)
    }
}

/// The socket and the path of `unix:/socket`, `unix:///socket` or either with `:/path`.
fn socket(rest: &str) -> Result<(PathBuf, &str), String> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (socket, path) = match rest.split_once(":/") {
        Some((socket, _)) => (socket, rest.get(socket.len() + 1..).unwrap_or(SOCKET_PATH)),
        None => (rest, SOCKET_PATH),
    };
    if socket.starts_with('/') && socket.len() > 1 {
        return Ok((PathBuf::from(socket), path));
    }
    Err("its `url` names no socket; write unix:/path/of.sock or unix:/path/of.sock:/mcp".to_owned())
}

/// The headers that tell the revision and the session.
fn era(headers: &mut HeaderMap, revision: Option<Revision>, session: Option<&HeaderValue>) {
    if let Some(revision) = revision.filter(|r| *r >= Revision::V2025_06_18) {
        set(headers, header::PROTOCOL_VERSION, revision.as_str());
    }
    if let Some(session) = session.filter(|_| !revision.is_some_and(Revision::is_modern)) {
        headers.insert(HeaderName::from_static(header::SESSION), session.clone());
    }
}

/// Sets a header; what no header can carry is left out and refused by the server.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
    {
        headers.insert(name, value);
    }
}

/// Follows redirects that keep the method and stay where our credentials belong.
fn within_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let keeps_method = matches!(attempt.status().as_u16(), 307 | 308);
    let same =
        attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if keeps_method && same && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.stop()
    }
}
