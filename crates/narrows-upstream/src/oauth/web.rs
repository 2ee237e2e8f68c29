//! The requests of the flow: bounded, to addresses that a token may be fetched from.

use super::Refusal;
use narrows_protocol::{Revision, header};
use narrows_types::fault::clip;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one request may take.
const WAIT: Duration = Duration::from_secs(15);
/// Bytes of one answer.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Redirects that are followed, all within one origin.
const REDIRECTS_MAX: usize = 3;

/// Asks metadata documents and authorization servers.
pub(super) struct Web {
    client: Client,
    resource: Url,
}

/// An answer: its status and its JSON, null if it has none.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error that the server names, in a form that can be repeated.
    pub(super) fn said(&self) -> String {
        let text = |key| self.body.get(key).and_then(Value::as_str).unwrap_or_default();
        let plain = |text: &str| clip(text.replace(|c: char| c.is_control(), " "), 120);
        match (plain(text("error")), plain(text("error_description"))) {
            (code, _) if code.is_empty() => format!("HTTP {}", self.status),
            (code, why) if why.is_empty() => code,
            (code, why) => format!("{code} ({why})"),
        }
    }
}

impl Web {
    /// For logging in at `resource`.
    pub(super) fn new(resource: Url, agent: &str) -> Result<Self, Refusal> {
        let client = Client::builder()
            .user_agent(agent)
            .timeout(WAIT)
            .redirect(Policy::custom(within_origin))
            .build()
            .map_err(|e| Refusal::new(format!("no HTTP client: {e}")))?;
        Ok(Self { client, resource })
    }

    pub(super) fn resource(&self) -> &Url {
        &self.resource
    }

    /// An address that the flow may use: TLS, or plain HTTP where the resource itself is reached
    /// so, on the same host. A resource far away cannot send us to the services of this machine.
    pub(super) fn address(&self, text: &str) -> Result<Url, Refusal> {
        let url = Url::parse(text).map_err(|_bad| refused(text, "is no address"))?;
        let local = |url: &Url| {
            matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
                || url.host_str().is_some_and(|host| host.ends_with(".localhost"))
        };
        let near = url.host_str() == self.resource.host_str();
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err(refused(text, "names a user"))
            }
            "https" if local(&url) && !local(&self.resource) => {
                Err(refused(text, "is on this machine"))
            }
            "https" => Ok(url),
            "http" if local(&url) && local(&self.resource) => Ok(url),
            "http" if near && self.resource.scheme() == "http" => Ok(url),
            _ => Err(refused(text, "is not HTTPS")),
        }
    }

    /// A document, if there is one.
    pub(super) async fn document(&self, url: &Url) -> Result<Option<Value>, Refusal> {
        let request = self.client.get(url.clone()).header(ACCEPT, "application/json");
        let reply = exchange(request, url).await?;
        match reply.status {
            200..=299 if reply.body.is_object() => Ok(Some(reply.body)),
            200..=299 | 400..=499 => Ok(None),
            status => Err(Refusal::new(format!("{} answered HTTP {status}", shown(url)))),
        }
    }

    /// Sends a form, as the token endpoint wants it.
    pub(super) async fn form(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, Refusal> {
        let mut request = self
            .client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encoded(form));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        exchange(request, url).await
    }

    /// Sends JSON.
    pub(super) async fn json(&self, url: &Url, body: &Value) -> Result<Reply, Refusal> {
        let request = self
            .client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        exchange(request, url).await
    }

    /// What the resource says to somebody without a token: a list is asked for, which hardly any
    /// server gives to everybody that it does not give all to.
    pub(super) async fn knock(
        &self,
        headers: &BTreeMap<String, String>,
    ) -> Result<(u16, HeaderMap), Refusal> {
        let revision = Revision::LATEST.as_str();
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": revision,
            "io.modelcontextprotocol/clientCapabilities": {},
        }}});
        let mut request = self.client.post(self.resource.clone()).body(body.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream")
            .header(header::PROTOCOL_VERSION, revision)
            .header(header::METHOD, "tools/list");
        let response = request.send().await.map_err(|e| unreached(&self.resource, &e))?;
        Ok((response.status().as_u16(), response.headers().clone()))
    }

    /// Where a page sends the browser on to; for logins without a person.
    pub(super) async fn follow(&self, url: &Url, agent: &str) -> Result<String, Refusal> {
        let client = Client::builder().user_agent(agent).timeout(WAIT).redirect(Policy::none());
        let client = client.build().map_err(|e| Refusal::new(format!("no HTTP client: {e}")))?;
        let response = client.get(url.clone()).send().await.map_err(|e| unreached(url, &e))?;
        let target = response.headers().get(reqwest::header::LOCATION);
        let target = target.and_then(|target| target.to_str().ok()).map(str::to_owned);
        target.ok_or_else(|| {
            Refusal::new(format!("{} wants a person: it redirects nowhere", shown(url)))
        })
    }
}

/// The pairs as a query or a form.
pub(super) fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut url = Url::parse("x:/").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

/// An address without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    clip(format!("{}://{host}{port}{}", url.scheme(), url.path()), 200)
}

fn refused(text: &str, why: &str) -> Refusal {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_user, rest)| rest);
    let text = clip(text.replace(|c: char| c.is_control(), " "), 120);
    Refusal::new(format!("the login's address {text} {why}"))
}

fn unreached(url: &Url, error: &reqwest::Error) -> Refusal {
    let why = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
    Refusal::new(format!("{} {why}", shown(url)))
}

async fn exchange(request: RequestBuilder, url: &Url) -> Result<Reply, Refusal> {
    let response = request.send().await.map_err(|e| unreached(url, &e))?;
    let status = response.status().as_u16();
    let bytes = bounded(response, url).await?;
    Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or_default() })
}

async fn bounded(mut response: Response, url: &Url) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreached(url, &e))? {
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            let text = format!("{} answered more than {BODY_BYTES_MAX} bytes", shown(url));
            return Err(Refusal::new(text));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn within_origin(attempt: Attempt<'_>) -> Action {
    let first = attempt.previous().first();
    let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.stop()
    }
}
