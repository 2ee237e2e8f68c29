//! What the HTTP transport asks: which token a request carries, and what to do about a refusal.

use super::challenge::Challenge;
use super::code::{Browser, Flow};
use super::discovery::{AuthorizationServer, Found, discover};
use super::settings::{Grant, OAuth};
use super::token::{Denial, Order};
use super::vault::{Account, Identity, Record, Token, Vault};
use super::web::Web;
use super::{FLOW_WAIT, Refusal, now, registration, unite};
use crate::config::Logins;
use arc_swap::ArcSwapOption;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

/// A token is renewed so many seconds before it ends.
const SPARE_S: u64 = 30;
/// New tokens that may be refused one after the other.
const TRIES_MAX: u32 = 3;
/// Times that more scopes are asked for without a person.
const STEPS_MAX: u32 = 3;

/// The keys to one upstream at one address.
pub(crate) struct Keys {
    server: String,
    settings: OAuth,
    agent: String,
    follow: bool,
    web: Web,
    vault: Vault,
    current: ArcSwapOption<Bearer>,
    /// The vault was looked into.
    opened: AtomicBool,
    /// New tokens since the last that was accepted.
    tries: AtomicU32,
    turn: Mutex<Turn>,
    /// Logins and renewals under way.
    under_way: std::sync::Mutex<JoinSet<()>>,
}

/// Held by whoever changes something: one at a time, the others find what it found.
struct Turn {
    record: Record,
    steps: u32,
}

/// A token as a request carries it.
pub(crate) struct Bearer {
    pub(crate) value: HeaderValue,
    renew_at: Option<u64>,
}

impl Bearer {
    fn of(token: &Token) -> Option<Arc<Self>> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.access.0)).ok()?;
        value.set_sensitive(true);
        Some(Arc::new(Self {
            value,
            renew_at: token.ends.map(|ends| ends.saturating_sub(SPARE_S)),
        }))
    }

    fn is_fresh(&self) -> bool {
        self.renew_at.is_none_or(|at| now() < at)
    }
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is another token: the request is sent again.
    Retry,
    /// It is about something else than a login.
    Foreign,
    /// Only a person can go on; the text says why.
    Login(String),
}

impl Keys {
    /// The keys to `server` at `url`.
    pub(crate) fn new(
        server: &str,
        url: &str,
        settings: OAuth,
        logins: &Logins,
        agent: &str,
    ) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|e| format!("its `url` is none: {e}"))?;
        let vault = Vault::new(logins.folder.as_deref(), server, &url);
        let web = Web::new(url, agent).map_err(|e| e.to_string())?;
        let record = vault.empty();
        Ok(Self {
            server: server.to_owned(),
            settings,
            agent: agent.to_owned(),
            follow: logins.follow,
            web,
            vault,
            current: ArcSwapOption::empty(),
            opened: AtomicBool::new(false),
            tries: AtomicU32::new(0),
            turn: Mutex::new(Turn { record, steps: 0 }),
            under_way: std::sync::Mutex::default(),
        })
    }

    /// The token of the next request, renewed if it is about to end; `None` without a login.
    pub(crate) async fn bearer(self: &Arc<Self>) -> Option<Arc<Bearer>> {
        if self.opened.load(Ordering::Acquire) {
            let current = self.current.load_full();
            if current.as_ref().is_none_or(|bearer| bearer.is_fresh()) {
                return current;
            }
        }
        let keys = Arc::clone(self);
        self.to_the_end(async move { keys.freshen().await }).await;
        self.current.load_full()
    }

    /// Looks into the vault if nobody did, and renews what is about to end.
    async fn freshen(&self) {
        let mut turn = self.turn.lock().await;
        if !self.opened.load(Ordering::Acquire) {
            if let Some(record) = self.load().await {
                turn.record = record;
            }
            self.publish(&turn.record);
            self.opened.store(true, Ordering::Release);
        }
        let stale = self.current.load_full().is_some_and(|bearer| !bearer.is_fresh());
        if stale {
            match tokio::time::timeout(FLOW_WAIT, self.renew(&mut turn)).await {
                Ok(Ok(())) => {}
                // The upstream decides what the old one is still worth.
                Ok(Err(denial)) => {
                    let why = Refusal::from(denial);
                    tracing::info!(server = %self.server, "the login was not renewed: {why}");
                }
                Err(_elapsed) => tracing::info!(server = %self.server, "renewing took too long"),
            }
        }
    }

    /// Does it to the end, though the request that wants it may be given up meanwhile: a renewal is
    /// good once, and a login that is dropped half way begins anew with the next request.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            while under_way.try_join_next().is_some() {}
            under_way.spawn(async move { drop(tell.send(work.await)) });
        }
        told.await.ok()
    }

    /// The upstream let a request with a token pass.
    pub(crate) fn accepted(&self) {
        if self.tries.load(Ordering::Relaxed) != 0 {
            self.tries.store(0, Ordering::Relaxed);
        }
    }

    /// The upstream answered 401 or 403 to a request that carried `used`.
    pub(crate) async fn challenged(
        self: &Arc<Self>,
        status: u16,
        headers: &HeaderMap,
        used: Option<Arc<Bearer>>,
    ) -> Verdict {
        let challenge = Challenge::read(headers);
        if status == 403 && !challenge.wants_more_scope() {
            return Verdict::Foreign;
        }
        let keys = Arc::clone(self);
        let work = async move { keys.decide(status, &challenge, used.as_deref()).await };
        let cut_off = || Verdict::Login("logging in was cut off".to_owned());
        self.to_the_end(work).await.unwrap_or_else(cut_off)
    }

    async fn decide(&self, status: u16, challenge: &Challenge, used: Option<&Bearer>) -> Verdict {
        let mut turn = self.turn.lock().await;
        if self.has_other_than(used) {
            return Verdict::Retry;
        }
        if let Some(record) = self.load().await {
            // Another process may have logged in meanwhile.
            turn.record = record;
            self.publish(&turn.record);
            if self.has_other_than(used) {
                return Verdict::Retry;
            }
        }
        let answer = self.answer(&mut turn, status, challenge);
        match tokio::time::timeout(FLOW_WAIT, answer).await {
            Ok(Ok(())) => Verdict::Retry,
            Ok(Err(refusal)) => Verdict::Login(refusal.to_string()),
            Err(_elapsed) => {
                Verdict::Login(format!("logging in took longer than {} s", FLOW_WAIT.as_secs()))
            }
        }
    }

    /// Gets another token without a person, or says why that cannot be.
    async fn answer(
        &self,
        turn: &mut Turn,
        status: u16,
        challenge: &Challenge,
    ) -> Result<(), Refusal> {
        let by_ourselves = self.follow || self.settings.grant == Grant::Client;
        let renewable = turn.record.token().is_some_and(|token| token.refresh.is_some());
        if !(by_ourselves || renewable && status == 401) {
            return Err(self.ask_for_person(turn, status, challenge).await);
        }
        if self.tries.load(Ordering::Relaxed) >= TRIES_MAX {
            return Err(Refusal::new("it refuses every token that its login gives"));
        }
        let found = discover(&self.web, challenge).await?;
        let issuer = found.server.issuer.clone();
        let moved = turn.record.issuer.as_ref().is_some_and(|known| *known != issuer);
        if moved {
            // What the one gave is not for the other.
            turn.record.issuer = Some(issuer.clone());
            self.publish(&turn.record);
            self.save(&turn.record).await?;
            if turn.record.token().is_some() {
                return Ok(());
            }
        } else if status == 401 && renewable {
            match self.renew(turn).await {
                Ok(()) => {
                    self.tries.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(Denial::Other(refusal)) => return Err(refusal),
                Err(Denial::Ended(_)) if by_ourselves => {}
                Err(Denial::Ended(_)) => {
                    return Err(self.ask_for_person(turn, status, challenge).await);
                }
            }
        }
        let known = turn.record.accounts.get(&issuer);
        if status == 403 {
            let asked = known.map(|account| account.asked.as_slice()).unwrap_or_default();
            if turn.steps >= STEPS_MAX || challenge.scopes.iter().all(|s| asked.contains(s)) {
                return Err(Refusal::new(format!(
                    "it wants scope {}, which was asked for already and did not help",
                    challenge.scopes.join(" ")
                )));
            }
            turn.steps += 1;
        }
        let scopes = scopes(&self.settings, challenge, &found, known, &turn.record.wanted);
        let account = if self.settings.grant == Grant::Client {
            self.own(&found, scopes).await?
        } else {
            let (web, settings, found) = (&self.web, &self.settings, &found);
            let flow = Flow { web, found, settings, known, scopes };
            flow.run(Browser::Follow { agent: &self.agent }).await?
        };
        self.tries.fetch_add(1, Ordering::Relaxed);
        turn.record.keep(&issuer, account);
        self.publish(&turn.record);
        self.save(&turn.record).await
    }

    /// A login of our own.
    async fn own(&self, found: &Found, scopes: Vec<String>) -> Result<Account, Refusal> {
        let AuthorizationServer { issuer, token_endpoint, .. } = &found.server;
        let client = registration::configured(&found.server, &self.settings, None);
        let client = client.filter(|client| client.method != "none").ok_or_else(|| {
            Refusal::new(
                "`oauth.grant = \"client\"` needs `client_id` and `client_secret` or `private_key`",
            )
        })?;
        let mut account = Account {
            client,
            token_endpoint: token_endpoint.to_string(),
            resource: found.resource.clone(),
            asked: scopes,
            token: None,
        };
        let token = self.order_own(&account, issuer).await.map_err(Refusal::from)?;
        account.token = Some(token);
        Ok(account)
    }

    async fn order_own(&self, account: &Account, issuer: &str) -> Result<Token, Denial> {
        let endpoint = self.web.address(&account.token_endpoint)?;
        let scope = account.asked.join(" ");
        let mut form =
            vec![("grant_type", "client_credentials"), ("resource", account.resource.as_str())];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let order = self.order(&endpoint, issuer, &account.client, form);
        order.send(&self.web).await
    }

    fn order<'a>(
        &'a self,
        endpoint: &'a Url,
        issuer: &'a str,
        client: &'a Identity,
        form: Vec<(&'a str, &'a str)>,
    ) -> Order<'a> {
        Order { endpoint, issuer, client, settings: &self.settings, form }
    }

    /// Renews the token that counts, unless another process did it meanwhile.
    async fn renew(&self, turn: &mut Turn) -> Result<(), Denial> {
        let _lock = self.vault.lock().await;
        if let Some(record) = self.load().await {
            let access = |record: &Record| record.token().map(|token| token.access.clone());
            let newer = access(&record).is_some() && access(&record) != access(&turn.record);
            turn.record = record;
            if newer {
                self.publish(&turn.record);
                return Ok(());
            }
        }
        let nothing = || Denial::Ended(Refusal::new("there is nothing to renew it with"));
        let issuer = turn.record.issuer.clone().ok_or_else(nothing)?;
        let account = turn.record.account().ok_or_else(nothing)?;
        let old = account.token.clone().ok_or_else(nothing)?;
        let renewed = match &old.refresh {
            _ if self.settings.grant == Grant::Client => self.order_own(account, &issuer).await,
            None => return Err(nothing()),
            Some(refresh) => {
                let endpoint = self.web.address(&account.token_endpoint)?;
                let form = vec![
                    ("grant_type", "refresh_token"),
                    ("refresh_token", refresh.0.as_str()),
                    ("resource", account.resource.as_str()),
                ];
                self.order(&endpoint, &issuer, &account.client, form).send(&self.web).await
            }
        };
        let kept = match &renewed {
            Ok(token) => {
                let mut token = token.clone();
                // A server that gives no new one means the old one to be kept.
                token.refresh = token.refresh.or(old.refresh);
                if token.scopes.is_empty() {
                    token.scopes = old.scopes;
                }
                token
            }
            // It will not become good again.
            Err(Denial::Ended(_)) => Token { refresh: None, ..old },
            Err(Denial::Other(_)) => return renewed.map(drop),
        };
        if let Some(account) = turn.record.accounts.get_mut(&issuer) {
            account.token = Some(kept);
        }
        self.publish(&turn.record);
        self.save(&turn.record).await?;
        renewed.map(drop)
    }

    /// What only a person can do, with the scopes to ask for kept for when one does.
    async fn ask_for_person(&self, turn: &mut Turn, status: u16, challenge: &Challenge) -> Refusal {
        let name = &self.server;
        if status == 403 {
            unite(&mut turn.record.wanted, &challenge.scopes);
            if let Err(refusal) = self.save(&turn.record).await {
                return refusal;
            }
            let scopes = challenge.scopes.join(" ");
            return Refusal::new(format!(
                "it wants more scope ({scopes}); run: narrows auth login {name}"
            ));
        }
        let why =
            if turn.record.token().is_some() { "its login ended" } else { "it wants a login" };
        Refusal::new(format!(
            "{why}; run: narrows auth login {name} (or set its credentials in `headers`)"
        ))
    }

    fn has_other_than(&self, used: Option<&Bearer>) -> bool {
        let current = self.current.load();
        current.as_ref().is_some_and(|current| used.is_none_or(|used| used.value != current.value))
    }

    fn publish(&self, record: &Record) {
        self.current.store(record.token().and_then(Bearer::of));
    }

    async fn load(&self) -> Option<Record> {
        let vault = self.vault.clone();
        tokio::task::spawn_blocking(move || vault.load()).await.ok().flatten()
    }

    async fn save(&self, record: &Record) -> Result<(), Refusal> {
        let (vault, record) = (self.vault.clone(), record.clone());
        let saved = tokio::task::spawn_blocking(move || vault.save(&record)).await;
        saved.unwrap_or_else(|_| Err(Refusal::new("the login could not be kept")))
    }
}

/// The scopes to ask for: as configured, else as challenged, else as the resource publishes; and
/// always what was asked for before, so that a step up is none down.
pub(super) fn scopes(
    settings: &OAuth,
    challenge: &Challenge,
    found: &Found,
    known: Option<&Account>,
    wanted: &[String],
) -> Vec<String> {
    let mut scopes = Vec::new();
    let known = known.filter(|account| account.token.is_some());
    unite(&mut scopes, known.map(|account| account.asked.as_slice()).unwrap_or_default());
    unite(&mut scopes, wanted);
    if !settings.scopes.is_empty() {
        unite(&mut scopes, &settings.scopes);
        if challenge.wants_more_scope() {
            unite(&mut scopes, &challenge.scopes);
        }
    } else if !challenge.scopes.is_empty() {
        unite(&mut scopes, &challenge.scopes);
    } else if scopes.is_empty() {
        unite(&mut scopes, &found.scopes);
    }
    scopes
}
