//! Who guards a resource: RFC 9728 for the resource, then RFC 8414 or `OpenID` Connect for its
//! authorization server; servers of revision 2025-03-26 know the second only, or neither.

use super::Refusal;
use super::challenge::Challenge;
use super::web::{Web, shown};
use reqwest::Url;
use serde::Deserialize;

/// Authorization servers of one resource that are looked at.
const SERVERS_MAX: usize = 8;

/// A resource and who guards it.
#[derive(Debug)]
pub(super) struct Found {
    /// The resource's name for itself, exactly as it writes it.
    pub(super) resource: String,
    /// The scopes that it knows.
    pub(super) scopes: Vec<String>,
    pub(super) server: AuthorizationServer,
    /// It was published, not guessed.
    pub(super) published: bool,
}

/// An authorization server.
#[derive(Debug, Clone)]
pub(super) struct AuthorizationServer {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    pub(super) scopes: Vec<String>,
    /// How clients prove who they are; `None` if it does not say.
    pub(super) auth_methods: Option<Vec<String>>,
    /// It reads client metadata documents.
    pub(super) reads_documents: bool,
    /// It says who it is when it sends the browser back.
    pub(super) names_itself: bool,
}

#[derive(Deserialize)]
struct ResourceDocument {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

#[derive(Deserialize)]
struct ServerDocument {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    grant_types_supported: Vec<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Finds out who guards the resource.
pub(super) async fn discover(web: &Web, challenge: &Challenge) -> Result<Found, Refusal> {
    let Some(document) = resource_document(web, challenge).await? else {
        return guess(web).await;
    };
    if !covers(&document.resource, web.resource()) {
        return Err(Refusal::new(format!(
            "it says that it is another resource than {}; its login is not trusted",
            shown(web.resource())
        )));
    }
    let issuers: Vec<&String> = document.authorization_servers.iter().take(SERVERS_MAX).collect();
    let mut why = Refusal::new("it names no authorization server");
    for issuer in issuers {
        match server(web, issuer, Trust::Named).await {
            Ok(Some(server)) => {
                let (resource, scopes) = (document.resource, document.scopes_supported);
                return Ok(Found { resource, scopes, server, published: true });
            }
            Ok(None) => {
                let issuer = web.address(issuer)?;
                why = Refusal::new(format!("{} publishes no metadata", shown(&issuer)));
            }
            Err(refusal) => why = refusal,
        }
    }
    Err(why)
}

/// What the resource says about itself: where the challenge points, else at the usual places.
async fn resource_document(
    web: &Web,
    challenge: &Challenge,
) -> Result<Option<ResourceDocument>, Refusal> {
    if let Some(place) = &challenge.metadata {
        let resolved = web.resource().join(place).map(String::from);
        let url = web.address(resolved.as_deref().unwrap_or(place))?;
        let document = web.document(&url).await?.and_then(|d| serde_json::from_value(d).ok());
        let text = || format!("{} is no metadata of a protected resource", shown(&url));
        return document.map(Some).ok_or_else(|| Refusal::new(text()));
    }
    for url in well_known(web.resource(), "oauth-protected-resource", false) {
        let document = web.document(&url).await?.and_then(|d| serde_json::from_value(d).ok());
        if document.is_some() {
            return Ok(document);
        }
    }
    Ok(None)
}

/// Revision 2025-03-26: the resource's origin is the authorization server.
async fn guess(web: &Web) -> Result<Found, Refusal> {
    let origin = web.resource().origin().ascii_serialization();
    let told = server(web, &origin, Trust::Origin).await?;
    let published = told.is_some();
    let found = match told {
        Some(server) => server,
        None => AuthorizationServer {
            authorization_endpoint: Some(web.address(&format!("{origin}/authorize"))?),
            token_endpoint: web.address(&format!("{origin}/token"))?,
            registration_endpoint: Some(web.address(&format!("{origin}/register"))?),
            issuer: origin,
            scopes: Vec::new(),
            auth_methods: None,
            reads_documents: false,
            names_itself: false,
        },
    };
    let mut resource = web.resource().clone();
    resource.set_fragment(None);
    // A query may hold a key.
    resource.set_query(None);
    Ok(Found { resource: resource.into(), scopes: Vec::new(), server: found, published })
}

/// Which issuer a document may name.
#[derive(Clone, Copy)]
enum Trust {
    /// The one that it was asked as.
    Named,
    /// Any at the resource's own origin, which publishes the document itself.
    Origin,
}

/// The metadata of an authorization server, which must call itself what it was called.
async fn server(
    web: &Web,
    issuer: &str,
    trust: Trust,
) -> Result<Option<AuthorizationServer>, Refusal> {
    let base = web.address(issuer)?;
    let mut places = well_known(&base, "oauth-authorization-server", true);
    places.extend(well_known(&base, "openid-configuration", true));
    let path = base.path().trim_end_matches('/');
    if !path.is_empty() {
        let mut inside = base.clone();
        inside.set_path(&format!("{path}/.well-known/openid-configuration"));
        places.push(inside);
    }
    for url in places {
        let Some(document) = web.document(&url).await? else { continue };
        let Ok(document) = serde_json::from_value::<ServerDocument>(document) else { continue };
        return accept(web, document, issuer, trust).map(Some);
    }
    Ok(None)
}

fn accept(
    web: &Web,
    document: ServerDocument,
    issuer: &str,
    trust: Trust,
) -> Result<AuthorizationServer, Refusal> {
    let strip = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
    // An address without a path is written with and without its slash.
    let bare = Url::parse(issuer).is_ok_and(|url| url.path() == "/");
    let same = match trust {
        Trust::Named => {
            document.issuer == issuer || (bare && strip(&document.issuer) == strip(issuer))
        }
        Trust::Origin => {
            Url::parse(&document.issuer).is_ok_and(|url| url.origin() == web.resource().origin())
        }
    };
    if !same {
        let text = "the authorization server's metadata names another issuer; it is not trusted";
        return Err(Refusal::new(text));
    }
    let codes = document.grant_types_supported.is_empty()
        || document.grant_types_supported.iter().any(|grant| grant == "authorization_code");
    let pkce = document.code_challenge_methods_supported.iter().any(|method| method == "S256");
    let authorization_endpoint = match &document.authorization_endpoint {
        Some(_) if codes && !pkce => {
            let text = "the authorization server does not support PKCE with S256; \
                        logging in there is not safe";
            return Err(Refusal::new(text));
        }
        Some(endpoint) if codes => Some(web.address(endpoint)?),
        _ => None,
    };
    let registration = document.registration_endpoint.as_deref();
    Ok(AuthorizationServer {
        authorization_endpoint,
        token_endpoint: web.address(&document.token_endpoint)?,
        registration_endpoint: registration.map(|url| web.address(url)).transpose()?,
        scopes: document.scopes_supported,
        auth_methods: document.token_endpoint_auth_methods_supported,
        reads_documents: document.client_id_metadata_document_supported,
        names_itself: document.authorization_response_iss_parameter_supported,
        issuer: document.issuer,
    })
}

/// `/.well-known/NAME` for an address with a path: before the path and, if only for the origin is
/// asked too, without it.
fn well_known(base: &Url, name: &str, only_with_path: bool) -> Vec<Url> {
    let path = base.path().trim_end_matches('/');
    let mut places = Vec::new();
    let mut add = |path: String| {
        let mut url = base.clone();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        places.push(url);
    };
    if !path.is_empty() {
        add(format!("/.well-known/{name}{path}"));
    }
    if path.is_empty() || !only_with_path {
        add(format!("/.well-known/{name}"));
    }
    places
}

/// Whether what the resource calls itself is the address, or a part of the site that holds it.
fn covers(resource: &str, address: &Url) -> bool {
    let Ok(named) = Url::parse(resource) else { return false };
    if named.origin() != address.origin() || named.fragment().is_some() {
        return false;
    }
    let part = named.path().trim_end_matches('/');
    let rest = address.path().strip_prefix(part);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{covers, well_known};
    use reqwest::Url;

    #[test]
    fn a_resource_is_itself_or_holds_the_address() {
        let address = Url::parse("https://x.example/a/mcp").unwrap();
        for good in [
            "https://x.example/a/mcp",
            "https://x.example/a/",
            "https://x.example",
            "https://X.example:443/a",
        ] {
            assert!(covers(good, &address), "{good}");
        }
        for bad in [
            "http://x.example/a/mcp",
            "https://y.example/a/mcp",
            "https://x.example/a/mc",
            "https://x.example/a/mcp/b",
            "https://x.example/a#b",
            "x",
        ] {
            assert!(!covers(bad, &address), "{bad}");
        }
    }

    #[test]
    fn metadata_stands_at_the_usual_places() {
        let places = |base: &str, only| {
            let base = Url::parse(base).unwrap();
            well_known(&base, "n", only).iter().map(Url::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            places("https://x/a/?q=1", false),
            ["https://x/.well-known/n/a", "https://x/.well-known/n"]
        );
        assert_eq!(places("https://x/a", true), ["https://x/.well-known/n/a"]);
        assert_eq!(places("https://x/", true), ["https://x/.well-known/n"]);
    }
}
