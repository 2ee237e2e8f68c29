//! A login of a person: the authorization code flow with PKCE.

use super::discovery::{AuthorizationServer, Found};
use super::redirect::{self, Listener, value};
use super::registration;
use super::settings::OAuth;
use super::token::Order;
use super::vault::{Account, Identity};
use super::web::Web;
use super::{Refusal, random_text, unite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use narrows_types::fault::clip;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// The port in the address of a login without a person; nobody listens there.
const NOBODYS_PORT: u16 = 33_418;
/// Asks for a token that renews.
const OFFLINE: &str = "offline_access";

/// Who follows the authorization server's pages.
pub(super) enum Browser<'a> {
    /// Nobody: the server sends us on at once. For tests.
    Follow { agent: &'a str },
    /// A person, to whom the address is shown and who may take so long.
    Person { show: Box<dyn FnOnce(&str) + Send + 'a>, patience: Duration },
}

/// What one login needs to know.
pub(super) struct Flow<'a> {
    pub(super) web: &'a Web,
    pub(super) found: &'a Found,
    pub(super) settings: &'a OAuth,
    /// What is known of this authorization server from before.
    pub(super) known: Option<&'a Account>,
    pub(super) scopes: Vec<String>,
}

impl Flow<'_> {
    /// Logs in; what comes back belongs to the authorization server's issuer.
    pub(super) async fn run(mut self, browser: Browser<'_>) -> Result<Account, Refusal> {
        let Self { web, found, settings, known, .. } = self;
        let server = &found.server;
        let Some(endpoint) = &server.authorization_endpoint else {
            return Err(Refusal::new(
                "its authorization server logs no persons in; \
                 set `oauth.grant = \"client\"` with a client's credentials",
            ));
        };
        if server.scopes.iter().any(|scope| scope == OFFLINE) {
            unite(&mut self.scopes, &[OFFLINE.to_owned()]);
        }
        let registered = known.and_then(|account| account.client.redirect.as_deref());
        let registered = registered.and_then(redirect::port);
        let listener = match browser {
            Browser::Follow { .. } => None,
            Browser::Person { .. } => {
                Some(Listener::bind(settings.redirect_port, registered).await?)
            }
        };
        let redirect = match &listener {
            Some(listener) => listener.address(),
            None => redirect::address(settings.redirect_port.unwrap_or(NOBODYS_PORT)),
        };
        let client = registration::identity(web, server, settings, known, &redirect).await?;
        let (state, verifier) = (random_text()?, random_text()?);
        let url = self.address(endpoint, &client, &redirect, (&state, &verifier));
        let back = match (browser, listener) {
            (Browser::Person { show, patience }, Some(listener)) => {
                show(url.as_str());
                let answer = tokio::time::timeout(patience, listener.answer(&state)).await;
                answer.map_err(|_elapsed| {
                    Refusal::new(format!("nobody logged in within {} s", patience.as_secs()))
                })??
            }
            (Browser::Follow { agent }, _) => {
                let target = web.follow(&url, agent).await?;
                let target = target.strip_prefix(&redirect).map(|rest| format!("{redirect}{rest}"));
                let target = target.and_then(|target| Url::parse(&target).ok());
                target.ok_or_else(|| Refusal::new("the login did not come back to us"))?
            }
            (Browser::Person { .. }, None) => return Err(Refusal::new("nobody listens")),
        };
        let code = code(&back, server, &state)?;
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", verifier.as_str()),
            ("resource", found.resource.as_str()),
        ];
        let (endpoint, issuer) = (&server.token_endpoint, server.issuer.as_str());
        let order = Order { endpoint, issuer, client: &client, settings, form };
        let mut token = order.send(web).await.map_err(Refusal::from)?;
        if token.scopes.is_empty() {
            // Without a word, it granted what was asked for.
            token.scopes.clone_from(&self.scopes);
        }
        Ok(Account {
            client,
            token_endpoint: server.token_endpoint.to_string(),
            resource: found.resource.clone(),
            asked: self.scopes,
            token: Some(token),
        })
    }

    /// Where the browser is sent.
    fn address(
        &self,
        endpoint: &Url,
        client: &Identity,
        redirect: &str,
        (state, verifier): (&str, &str),
    ) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = endpoint.clone();
        let mut query = url.query_pairs_mut();
        query.extend_pairs([
            ("response_type", "code"),
            ("client_id", &client.id),
            ("redirect_uri", redirect),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &self.found.resource),
        ]);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        if self.scopes.iter().any(|scope| scope == OFFLINE) {
            // OpenID Connect gives no such token without it.
            query.append_pair("prompt", "consent");
        }
        drop(query);
        url
    }
}

/// The code that the browser brought, if it is ours and of that server.
fn code(back: &Url, server: &AuthorizationServer, state: &str) -> Result<String, Refusal> {
    if value(back, "state").as_deref() != Some(state) {
        return Err(Refusal::new("the login that came back is not the one that was begun"));
    }
    // RFC 9207: compared as it stands, before anything else in the answer is believed.
    match value(back, "iss") {
        Some(issuer) if issuer != server.issuer => {
            return Err(Refusal::new("another authorization server answered the login"));
        }
        None if server.names_itself => {
            let text =
                "the authorization server did not say who it is, although it says that it does";
            return Err(Refusal::new(text));
        }
        _ => {}
    }
    if let Some(error) = value(back, "error") {
        let plain = |text: String| clip(text.replace(|c: char| c.is_control(), " "), 120);
        let why = value(back, "error_description").map(plain);
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        return Err(Refusal::new(format!("the login was refused: {}{why}", plain(error))));
    }
    value(back, "code").ok_or_else(|| Refusal::new("the login came back without a code"))
}
