//! What the command line asks: log in, show what there is, log out.

use super::challenge::Challenge;
use super::code::{Browser, Flow};
use super::discovery::discover;
use super::settings::{Grant, OAuth};
use super::vault::{self, Vault};
use super::web::Web;
use super::{Refusal, keys, now};
use crate::config::{Config, Launch, ServerConfig};
use crate::error::UpstreamError;
use reqwest::Url;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A login that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Who gave it.
    pub issuer: String,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// Seconds from now until it must be renewed, if that is known.
    pub ends_in_s: Option<u64>,
    /// Whether it renews itself.
    pub renewable: bool,
}

/// What is known of one upstream's login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The upstream.
    pub server: String,
    /// Where its token is sent.
    pub url: String,
    /// The login, if there is one that may still be good.
    pub made: Option<LoggedIn>,
    /// Scopes that it asked for and that a new login would ask for.
    pub wanted: Vec<String>,
}

/// Logs a person in at an upstream: `show` gets the address to open in a browser.
pub async fn login(
    config: &Config,
    server: &str,
    patience: Duration,
    show: Box<dyn FnOnce(&str) + Send + '_>,
) -> Result<LoggedIn, UpstreamError> {
    let chosen = config.servers.iter().find(|one| one.name == server);
    let chosen = chosen.ok_or_else(|| UpstreamError::Unknown {
        server: server.to_owned(),
        nearest: narrows_types::nearest(server, config.servers.iter().map(|s| s.name.as_str()), 1)
            .first()
            .map(|name| (*name).to_owned()),
    })?;
    attempt(config, chosen, patience, show).await.map_err(|refusal| UpstreamError::Login {
        server: server.to_owned(),
        reason: refusal.to_string(),
    })
}

async fn attempt(
    config: &Config,
    server: &ServerConfig,
    patience: Duration,
    show: Box<dyn FnOnce(&str) + Send + '_>,
) -> Result<LoggedIn, Refusal> {
    let Launch::Http { url, headers, .. } = &server.launch else {
        return Err(Refusal::new("it is not reached over HTTP; only such servers have a login"));
    };
    let settings = server.oauth.clone().unwrap_or_default();
    if settings.grant == Grant::Client {
        return Err(Refusal::new("it logs in by itself (`oauth.grant = \"client\"`)"));
    }
    let url = Url::parse(url).map_err(|e| Refusal::new(format!("its `url` is none: {e}")))?;
    let vault = Vault::new(config.logins.folder.as_deref(), &server.name, &url);
    let agent = format!("{}/{}", config.client_name, config.client_version);
    let web = Web::new(url, &agent)?;
    let (status, challenge) = challenge(&web, headers).await?;
    let found = discover(&web, &challenge).await?;
    if !found.published && (200..300).contains(&status) {
        return Err(Refusal::new("it wants no login: it lets us in without one"));
    }
    let mut record = vault.load().unwrap_or_else(|| vault.empty());
    let issuer = found.server.issuer.clone();
    let known = record.accounts.get(&issuer);
    let scopes = keys::scopes(&settings, &challenge, &found, known, &record.wanted);
    let flow = Flow { web: &web, found: &found, settings: &settings, known, scopes };
    let browser = if config.logins.follow {
        Browser::Follow { agent: &agent }
    } else {
        Browser::Person { show, patience }
    };
    let account = flow.run(browser).await?;
    let _lock = vault.lock().await;
    record.keep(&issuer, account);
    vault.save(&record)?;
    made(&record).ok_or_else(|| Refusal::new("the login was not kept"))
}

/// What it says to somebody without a token.
async fn challenge(
    web: &Web,
    headers: &BTreeMap<String, String>,
) -> Result<(u16, Challenge), Refusal> {
    let (status, answered) = web.knock(headers).await?;
    Ok((status, Challenge::read(&answered)))
}

fn made(record: &vault::Record) -> Option<LoggedIn> {
    let token = record.token()?;
    let renewable = token.refresh.is_some();
    let ends_in_s = token.ends.map(|ends| ends.saturating_sub(now()));
    if ends_in_s == Some(0) && !renewable {
        return None;
    }
    let issuer = record.issuer.clone()?;
    Some(LoggedIn { issuer, scopes: token.scopes.clone(), ends_in_s, renewable })
}

/// The logins of all configured upstreams that are reached over HTTP.
pub fn status(config: &Config) -> Vec<Login> {
    let http = config.servers.iter().filter_map(|server| match &server.launch {
        Launch::Http { url, .. } => Some((server, Url::parse(url).ok()?)),
        _ => None,
    });
    http.map(|(server, url)| {
        let vault = Vault::new(config.logins.folder.as_deref(), &server.name, &url);
        let record = vault.load().unwrap_or_else(|| vault.empty());
        let (made, wanted) = (made(&record), record.wanted.clone());
        Login { server: server.name.clone(), url: record.url, made, wanted }
    })
    .collect()
}

/// Forgets what an upstream's logins gave, also one that is not configured any more. How many
/// there were.
pub fn logout(folder: &Path, server: &str) -> std::io::Result<usize> {
    let records = vault::all(folder).into_iter().filter(|(_, record)| record.server == server);
    let mut forgotten = 0;
    for (path, _) in records {
        std::fs::remove_file(path)?;
        forgotten += 1;
    }
    Ok(forgotten)
}

/// Whether requests to this upstream carry a login: it is not, where the config gives credentials
/// of its own and says nothing of OAuth.
pub(crate) fn takes_part(oauth: Option<&OAuth>, headers: &BTreeMap<String, String>) -> bool {
    oauth.is_some() || !headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"))
}
