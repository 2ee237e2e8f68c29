//! One request of a program's: refused, passed on, or a tunnel opened for it.

use super::dial::{Undialled, dial};
use super::{CONNECTIONS_ALL, Counted, Denied, HEAD_BYTES_MAX, Run};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Uri};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use narrows_types::fault::clip;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_util::task::AbortOnDropHandle;

/// The port of a page for which none is named.
const HTTP: u16 = 80;
/// Bytes of a list of hosts, and of one that is not in it, that are told.
const LIST_BYTES_MAX: usize = 500;
const HOST_BYTES_MAX: usize = 300;
/// Fields that are for the next hop alone, beside those that `Connection` names.
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const HOP_UNNAMED: [HeaderName; 2] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection")];

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Two connections that are to become one.
pub(super) struct Tunnel {
    /// To the program, once it has its answer.
    pub(super) near: OnUpgrade,
    /// To the host.
    pub(super) far: Counted,
}

/// Why a request is not passed on.
struct Refused(StatusCode, String);

impl Refused {
    fn bad(why: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, why.to_owned())
    }
}

/// Answers one request, with the tunnel that is open then.
pub(super) async fn exchange(request: Request<Incoming>, run: &Run) -> (Answer, Option<Tunnel>) {
    let outcome = if request.method() == Method::CONNECT {
        connect(request, run).await
    } else {
        pass(request, run).await.map(|answer| (answer, None))
    };
    outcome.unwrap_or_else(|refused| (refused.answer(), None))
}

async fn connect(
    mut request: Request<Incoming>,
    run: &Run,
) -> Result<(Answer, Option<Tunnel>), Refused> {
    let authority = request.uri().authority().cloned();
    let authority = authority.ok_or_else(|| Refused::bad("CONNECT takes host:port"))?;
    let port = authority.port_u16().ok_or_else(|| Refused::bad("CONNECT takes host:port"))?;
    let far = reach(run, &authority, port).await?;
    let near = hyper::upgrade::on(&mut request);
    let answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    Ok((answer, Some(Tunnel { near, far })))
}

async fn pass(request: Request<Incoming>, run: &Run) -> Result<Answer, Refused> {
    let (mut head, body) = request.into_parts();
    let uri = std::mem::take(&mut head.uri).into_parts();
    let (Some(scheme), Some(authority)) = (uri.scheme, uri.authority) else {
        return Err(Refused::bad("this is a proxy: it takes http://host/path, and CONNECT"));
    };
    if scheme.as_str() != "http" {
        return Err(Refused::bad("this proxy takes http://; https goes through CONNECT"));
    }
    let port = authority.port_u16().unwrap_or(HTTP);
    let far = reach(run, &authority, port).await?;
    head.uri = Uri::from(uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.version = Version::HTTP_11;
    for_one_hop(&mut head.headers);
    let host = HeaderValue::from_str(authority.as_str());
    head.headers.insert(header::HOST, host.map_err(|_bad| Refused::bad("no such host"))?);
    head.extensions.clear();
    let away = |error: hyper::Error| {
        Refused(StatusCode::BAD_GATEWAY, format!("{authority} broke off: {error}"))
    };
    let (mut sender, driver) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(far))
        .await
        .map_err(away)?;
    let driver = AbortOnDropHandle::new(run.tasks.spawn(async move {
        // The request and its answer tell of whatever breaks.
        let _over = driver.await;
    }));
    let answer = sender.send_request(Request::from_parts(head, body)).await.map_err(away)?;
    let (mut head, body) = answer.into_parts();
    if head.status.is_informational() {
        return Err(Refused(
            StatusCode::BAD_GATEWAY,
            format!("{authority} wants another protocol"),
        ));
    }
    for_one_hop(&mut head.headers);
    head.extensions.clear();
    // The connection lasts as long as what comes over it.
    let body = body.map_frame(move |frame| {
        let _lives = (&driver, &sender);
        frame
    });
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

/// Answers whatever is asked on a connection for which there is no place.
pub(super) fn busy() -> Answer {
    let why = format!(
        "the programs of this machine have as many connections as they may, {CONNECTIONS_ALL} in \
         all: close those that are not needed, and try again later"
    );
    Refused(StatusCode::SERVICE_UNAVAILABLE, why).answer()
}

/// Takes away what is not for whoever is behind.
fn for_one_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP).chain(&HOP_UNNAMED) {
        fields.remove(name);
    }
}

/// A connection to a host that the run may reach.
async fn reach(run: &Run, authority: &Authority, port: u16) -> Result<Counted, Refused> {
    let host = authority.host();
    if authority.as_str().contains('@') {
        return Err(Refused::bad("a name before the host is not passed on"));
    }
    if run.left.load(Ordering::Relaxed) == 0 {
        let why = format!("this run has moved {} bytes, as many as it may", super::BYTES_MAX);
        return Err(deny(run, host, port, why));
    }
    let Err(why) = (match dial(&run.network, (host, port), &run.lookups).await {
        Ok(stream) => return Ok(Counted::new(stream, Arc::clone(&run.left))),
        error => error,
    }) else {
        return Err(Refused::bad("no such host"));
    };
    Err(match why {
        Undialled::NotListed => {
            let why = format!(
                "limits.network of this run has {}: reach one of these, or have this host added \
                 to limits.network in the config",
                clip(run.network.to_string(), LIST_BYTES_MAX)
            );
            deny(run, host, port, why)
        }
        Undialled::Inside(ip) => {
            let why = format!(
                "its address {ip} is of this machine or of its own network: have that very address \
                 added to limits.network in the config, with its port"
            );
            deny(run, host, port, why)
        }
        Undialled::Away(why) => Refused(StatusCode::BAD_GATEWAY, format!("{host}:{port}: {why}")),
        Undialled::Late => {
            let why = format!("{host}:{port}: it did not answer in time");
            Refused(StatusCode::GATEWAY_TIMEOUT, why)
        }
    })
}

fn deny(run: &Run, host: &str, port: u16, why: String) -> Refused {
    let host = clip(format!("{host}:{port}"), HOST_BYTES_MAX);
    let message = format!("{host} may not be reached: {why}");
    // Whoever counts them has seen enough of them.
    let _full = run.tell.try_send(Denied { host, why });
    Refused(StatusCode::FORBIDDEN, message)
}

impl Refused {
    /// What is wrong stands in the status line too: a client whose tunnel is refused shows no more.
    fn answer(self) -> Answer {
        let Self(status, why) = self;
        let text = Full::from(format!("{why}\n")).map_err(|never| match never {});
        let mut answer = Response::new(text.boxed_unsync());
        *answer.status_mut() = status;
        if let Ok(reason) = ReasonPhrase::try_from(why) {
            answer.extensions_mut().insert(reason);
        }
        let fields = answer.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}
