//! Who may knock: `Host` and `Origin`, against pages that reach for local servers (DNS rebinding).

use super::Shared;
use crate::config::Config;
use crate::mcp::Shown;
use crate::rest::problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use narrows_types::fault::clip;
use narrows_types::{Fault, Kind, Origin, Principal};
use std::net::IpAddr;
use std::sync::Arc;

/// Start of the paths of REST that are somebody's.
const REST: &str = "/v1/";

/// Asked by orchestrators under whatever name they know; they tell nothing.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// What is allowed beside loopback names.
pub(crate) struct Guard {
    hosts: Allowed,
    origins: Allowed,
}

/// Lower-case values, or any.
enum Allowed {
    Any,
    These(Vec<String>),
}

impl Allowed {
    fn new(values: &[String]) -> Self {
        if values.iter().any(|v| v == "*") {
            return Self::Any;
        }
        Self::These(values.iter().map(|v| v.trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    fn has(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(values) => values.iter().any(|v| v == value),
        }
    }
}

/// The key that a request shows: `Authorization: Bearer KEY`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Who came in over REST.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(pub(crate) Principal);

/// The middleware.
pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    if !PROBES.contains(&request.uri().path())
        && let Err(fault) = shared.guard.check(request.headers(), request.uri())
    {
        return problem(&fault);
    }
    // MCP has its own answer to those who may not come in.
    if request.uri().path().starts_with(REST) {
        let shown = Shown::Key(bearer(request.headers()));
        match shared.front.entry(shown, None, None) {
            Ok(entry) => drop(request.extensions_mut().insert(Visitor(entry.principal))),
            Err(fault) => return problem(&fault),
        }
    }
    next.run(request).await
}

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            hosts: Allowed::new(&config.allowed_hosts),
            origins: Allowed::new(&config.allowed_origins),
        }
    }

    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Fault> {
        let host = one(headers, &header::HOST)?
            .or_else(|| uri.authority().map(ToString::to_string))
            .ok_or_else(|| Fault::invalid("the Host header is missing"))?;
        let name = name_of(&host);
        if !is_loopback(name) && !self.hosts.has(&host) && !self.hosts.has(name) {
            return Err(refused("host", &host, "allowed_hosts"));
        }
        let Some(origin) = one(headers, &header::ORIGIN)? else { return Ok(()) };
        let place = origin.split_once("://").map(|(_, place)| place);
        // Where any host is served, a page that made its name lead here names itself in both.
        let named = !matches!(self.hosts, Allowed::Any);
        let own = place.is_some_and(|p| (named && p == host) || is_loopback(name_of(p)));
        if own || self.origins.has(&origin) {
            return Ok(());
        }
        Err(refused("origin", &origin, "allowed_origins"))
    }
}

fn refused(what: &str, value: &str, setting: &str) -> Fault {
    let value = clip(value.to_owned(), 100);
    Fault::new(Kind::Forbidden, Origin::Agent, format!("{what} {value} is not allowed"))
        .hint(format!("the operator may add it to serve.{setting}"))
}

/// The one value of a header, lower case. Two values are an attempt to be read in two ways.
fn one(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(|t| Some(t.trim().to_ascii_lowercase()))
        .ok_or_else(|| Fault::invalid(format!("the {name} header is not one plain value")))
}

/// The host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => host,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(config: &Config, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        Guard::new(config).check(&headers, &Uri::from_static("/mcp")).is_ok()
    }

    #[test]
    fn loopback_names_pass_and_others_do_not() {
        let config = Config::default();
        for host in ["localhost", "LocalHost:80", "127.0.0.1:1", "127.9.9.9", "[::1]", "[::1]:7"] {
            assert!(check(&config, host, None), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127",
            "[::1].evil.example",
            "[::2]",
            "0.0.0.0",
            "localhost@evil.example",
            "",
        ] {
            assert!(!check(&config, host, None), "{host}");
        }
    }

    #[test]
    fn origins_of_this_machine_pass_and_others_do_not() {
        let config = Config::default();
        for origin in ["http://localhost:6274", "https://127.0.0.1", "http://[::1]:5"] {
            assert!(check(&config, "localhost", Some(origin)), "{origin}");
        }
        for origin in
            ["http://evil.example", "null", "http://localhost.evil.example", "localhost", ""]
        {
            assert!(!check(&config, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn what_is_configured_passes_exactly() {
        let config = Config {
            allowed_hosts: vec!["Narrows.Example".to_owned(), "other.example:8080".to_owned()],
            allowed_origins: vec!["https://App.Example/".to_owned()],
            ..Config::default()
        };
        assert!(check(&config, "narrows.example:443", Some("https://app.example")));
        assert!(check(&config, "narrows.example", Some("https://narrows.example")), "its own");
        assert!(check(&config, "other.example:8080", None));
        assert!(!check(&config, "other.example:8081", None));
        assert!(!check(&config, "narrows.example", Some("http://app.example")));
        assert!(check(&config, "localhost", None), "loopback stays");
        let any = Config {
            allowed_hosts: vec!["*".to_owned()],
            allowed_origins: vec!["*".to_owned()],
            ..Config::default()
        };
        assert!(check(&any, "anything.example", Some("null")));
    }

    #[test]
    fn any_host_is_not_any_origin() {
        let config = Config { allowed_hosts: vec!["*".to_owned()], ..Config::default() };
        assert!(check(&config, "anything.example", None));
        assert!(!check(&config, "evil.example", Some("http://evil.example")));
        assert!(check(&config, "localhost:1", Some("http://localhost:1")));
        let allowed_origins = vec!["https://app.example".to_owned()];
        let config = Config { allowed_origins, ..config };
        assert!(check(&config, "app.example", Some("https://app.example")));
    }

    #[test]
    fn two_hosts_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(Guard::new(&Config::default()).check(&headers, &Uri::from_static("/")).is_err());
    }
}
