//! Who we are to an authorization server: registered by hand, else by a document that it can read,
//! else registered by ourselves.

use super::discovery::AuthorizationServer;
use super::settings::OAuth;
use super::vault::{Account, Hidden, Identity};
use super::web::Web;
use super::{Refusal, now};
use serde_json::{Value, json};

/// A registration whose secret ends so soon, in seconds, is made again.
const SECRET_SPARE_S: u64 = 300;

const NONE: &str = "none";
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
const KEY: &str = "private_key_jwt";

/// Who we are there: what is configured, or was registered before, or is registered now.
pub(super) async fn identity(
    web: &Web,
    server: &AuthorizationServer,
    settings: &OAuth,
    known: Option<&Account>,
    redirect: &str,
) -> Result<Identity, Refusal> {
    if let Some(configured) = configured(server, settings, Some(redirect)) {
        return Ok(configured);
    }
    if let Some(document) = settings.client_metadata_url.as_ref().filter(|_| server.reads_documents)
    {
        return Ok(Identity {
            id: document.clone(),
            secret: None,
            method: NONE.to_owned(),
            redirect: Some(redirect.to_owned()),
            secret_ends: None,
        });
    }
    let fit = |identity: &&Identity| {
        let lives = identity.secret_ends.is_none_or(|ends| ends > now() + SECRET_SPARE_S);
        lives && identity.redirect.as_deref() == Some(redirect)
    };
    match known.map(|account| &account.client).filter(fit) {
        Some(known) => Ok(known.clone()),
        None => register(web, server, redirect).await,
    }
}

/// The client that was registered by hand.
pub(super) fn configured(
    server: &AuthorizationServer,
    settings: &OAuth,
    redirect: Option<&str>,
) -> Option<Identity> {
    let id = settings.client_id.clone()?;
    let method = match (&settings.private_key, &settings.client_secret) {
        (Some(_), _) => KEY,
        (None, Some(_)) => with_secret(server),
        (None, None) => NONE,
    };
    let secret = settings.client_secret.clone().map(Hidden).filter(|_| method != KEY);
    let redirect = redirect.map(str::to_owned);
    Some(Identity { id, secret, method: method.to_owned(), redirect, secret_ends: None })
}

/// How a secret is shown: as the server likes it, else as every server must accept it.
fn with_secret(server: &AuthorizationServer) -> &'static str {
    let takes = |method: &str| {
        server.auth_methods.as_ref().is_none_or(|methods| methods.iter().any(|m| m == method))
    };
    if takes(BASIC) {
        BASIC
    } else if takes(POST) {
        POST
    } else if takes(NONE) {
        NONE
    } else {
        BASIC
    }
}

async fn register(
    web: &Web,
    server: &AuthorizationServer,
    redirect: &str,
) -> Result<Identity, Refusal> {
    let Some(endpoint) = &server.registration_endpoint else {
        return Err(Refusal::new(
            "the authorization server takes no new clients; \
             register one by hand and set `oauth.client_id` in the config",
        ));
    };
    let open = server.auth_methods.as_ref().is_none_or(|methods| methods.iter().any(|m| m == NONE));
    let wish = if open { NONE } else { with_secret(server) };
    let request = json!({
        "client_name": "Narrows",
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wish,
        "application_type": "native",
    });
    let reply = web.json(endpoint, &request).await?;
    let text = |key| reply.body.get(key).and_then(Value::as_str);
    let Some(id) = text("client_id").filter(|_| reply.is_success()) else {
        return Err(Refusal::new(format!(
            "the authorization server did not register us: {}",
            reply.said()
        )));
    };
    let secret = text("client_secret");
    let method = match (text("token_endpoint_auth_method"), secret) {
        (Some(method @ (NONE | BASIC | POST)), _) => method,
        (_, Some(_)) if wish == NONE && server.auth_methods.is_none() => BASIC,
        (_, Some(_)) => with_secret(server),
        (_, None) => NONE,
    };
    let ends = reply.body.get("client_secret_expires_at").and_then(Value::as_u64);
    Ok(Identity {
        id: id.to_owned(),
        secret: secret.filter(|_| method != NONE).map(|secret| Hidden(secret.to_owned())),
        method: method.to_owned(),
        redirect: Some(redirect.to_owned()),
        secret_ends: ends.filter(|ends| *ends > 0),
    })
}
