//! A resource and its authorization server, on one port: a fake where no real one can be had. It
//! checks redirect, PKCE, resource, client and scope, and its renewals are good once.

use crate::web::{Answer, Request, Web};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it differs from a good one.
pub(crate) struct Habits {
    /// Seconds that a token lives.
    pub(crate) life_s: Option<u64>,
    /// It knows PKCE.
    pub(crate) pkce: bool,
    /// What its metadata calls it.
    pub(crate) issuer: Option<&'static str>,
    /// What it calls itself when it sends the browser back; nothing if empty.
    pub(crate) answers_as: Option<&'static str>,
    pub(crate) resource: Option<&'static str>,
    pub(crate) token_endpoint: Option<&'static str>,
    /// The person says no.
    pub(crate) refuses: bool,
    /// The client that may log itself in.
    pub(crate) client: Option<(&'static str, &'static str)>,
    /// How long it takes to give a token.
    pub(crate) thinks: Duration,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            life_s: None,
            pkce: true,
            issuer: None,
            answers_as: None,
            resource: None,
            token_endpoint: None,
            refuses: false,
            client: None,
            thinks: Duration::ZERO,
        }
    }
}

#[derive(Default)]
struct Given {
    next: u32,
    redirects: HashMap<String, String>,
    codes: HashMap<String, HashMap<String, String>>,
    /// Scopes by token.
    tokens: HashMap<String, String>,
    renewals: HashMap<String, String>,
}

pub(crate) struct Guard {
    web: Web,
    given: Arc<Mutex<Given>>,
}

impl Guard {
    pub(crate) async fn start(habits: Habits) -> Self {
        let given = Arc::new(Mutex::new(Given::default()));
        let shared = Arc::clone(&given);
        let web = Web::serve(move |request| answer(request, &habits, &mut shared.lock().unwrap()));
        Self { web: web.await, given }
    }

    pub(crate) fn url(&self) -> String {
        self.web.url.clone()
    }

    pub(crate) fn issuer(&self) -> String {
        self.web.url.replace("/mcp", "/as")
    }

    /// How often a page of the authorization server was asked.
    pub(crate) fn count(&self, page: &str) -> usize {
        let seen = self.web.seen.lock().unwrap();
        let pages = seen.iter().map(|request| request.target.split('?').next().unwrap());
        pages.filter(|target| *target == format!("/as{page}")).count()
    }

    pub(crate) fn bearers(&self) -> Vec<String> {
        let seen = self.web.seen.lock().unwrap();
        let to_us = seen.iter().filter(|request| request.target == "/mcp");
        to_us.filter_map(|request| request.header("authorization").map(str::to_owned)).collect()
    }

    pub(crate) fn forget_tokens(&self) {
        self.given.lock().unwrap().tokens.clear();
    }

    pub(crate) fn forget_renewals(&self) {
        self.given.lock().unwrap().renewals.clear();
    }
}

fn answer(request: &Request, habits: &Habits, given: &mut Given) -> Answer {
    let origin = format!("http://{}", request.header("host").unwrap());
    let url = Url::parse(&format!("{origin}{}", request.target)).unwrap();
    match url.path() {
        "/mcp" => resource(request, &origin, given),
        "/meta" => Answer::json(
            200,
            &json!({
            "resource": habits.resource.map_or(format!("{origin}/mcp"), str::to_owned),
            "authorization_servers": [format!("{origin}/as")]}),
        ),
        "/.well-known/oauth-authorization-server/as" => {
            Answer::json(200, &metadata(&origin, habits))
        }
        "/as/register" => register(request, given),
        "/as/authorize" => authorize(&url, &origin, habits, given),
        "/as/token" => token(request, &origin, habits, given).late(habits.thinks),
        _ => Answer::empty(404),
    }
}

fn metadata(origin: &str, habits: &Habits) -> Value {
    let issuer = habits.issuer.map_or(format!("{origin}/as"), str::to_owned);
    let token = habits.token_endpoint.map_or(format!("{origin}/as/token"), str::to_owned);
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{origin}/as/authorize?kept=1"),
        "token_endpoint": token,
        "registration_endpoint": format!("{origin}/as/register"),
        "scopes_supported": ["read", "write", "offline_access"],
        "code_challenge_methods_supported": if habits.pkce { json!(["S256"]) } else { json!(["plain"]) },
        "token_endpoint_auth_methods_supported":
            if habits.client.is_some() { json!(["client_secret_basic"]) } else { json!(["none"]) },
        "authorization_response_iss_parameter_supported": true,
    })
}

fn resource(request: &Request, origin: &str, given: &Given) -> Answer {
    if request.verb != "POST" {
        return Answer::empty(405);
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let meta = format!("resource_metadata=\"{origin}/meta\"");
    let Some(scopes) = bearer.and_then(|token| given.tokens.get(token)) else {
        let challenge = format!("Bearer realm=\"x\", {meta}, scope=\"read\"");
        return Answer::empty(401).with("www-authenticate", &challenge);
    };
    let writes = request.body["params"]["name"] == "write";
    if writes && !scopes.split(' ').any(|scope| scope == "write") {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"write\", {meta}");
        return Answer::empty(403).with("www-authenticate", &challenge);
    }
    match request.method() {
        "server/discover" => request.answer(&json!({"resultType": "complete",
            "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})),
        "tools/list" => request.answer(&json!({"resultType": "complete", "tools": [
            {"name": "echo", "inputSchema": {"type": "object"}},
            {"name": "write", "inputSchema": {"type": "object"}}]})),
        "tools/call" => request.answer(&json!({"resultType": "complete", "content": [],
            "structuredContent": {"args": request.body["params"]["arguments"]}})),
        _ => request.refuse(404, -32601),
    }
}

fn register(request: &Request, given: &mut Given) -> Answer {
    assert_eq!(request.body["application_type"], "native");
    let redirect = request.body["redirect_uris"][0].as_str().unwrap().to_owned();
    given.next += 1;
    let id = format!("client-{}", given.next);
    given.redirects.insert(id.clone(), redirect);
    Answer::json(201, &json!({"client_id": id, "token_endpoint_auth_method": "none"}))
}

fn authorize(url: &Url, origin: &str, habits: &Habits, given: &mut Given) -> Answer {
    let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(asked["kept"], "1", "what the endpoint says stays there");
    assert_eq!(
        (asked["response_type"].as_str(), asked["code_challenge_method"].as_str()),
        ("code", "S256")
    );
    assert_eq!(asked["resource"], format!("{origin}/mcp"));
    assert_eq!(given.redirects[&asked["client_id"]], asked["redirect_uri"]);
    let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
    back.query_pairs_mut().append_pair("state", &asked["state"]);
    let name = habits.answers_as.map_or(format!("{origin}/as"), str::to_owned);
    if !name.is_empty() {
        back.query_pairs_mut().append_pair("iss", &name);
    }
    if habits.refuses {
        back.query_pairs_mut().append_pair("error", "access_denied");
    } else {
        given.next += 1;
        let code = format!("code-{}", given.next);
        back.query_pairs_mut().append_pair("code", &code);
        given.codes.insert(code, asked);
    }
    Answer::empty(302).with("location", back.as_str())
}

fn token(request: &Request, origin: &str, habits: &Habits, given: &mut Given) -> Answer {
    let form = Url::parse(&format!("x:/?{}", request.text)).unwrap();
    let form: HashMap<String, String> = form.query_pairs().into_owned().collect();
    let refuse = |why: &str| Answer::json(400, &json!({"error": why}));
    if form.get("resource") != Some(&format!("{origin}/mcp")) {
        return refuse("invalid_target");
    }
    let scope = match form["grant_type"].as_str() {
        "authorization_code" => {
            let Some(asked) = given.codes.remove(&form["code"]) else {
                return refuse("invalid_grant");
            };
            let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
            let same = proof == asked["code_challenge"]
                && form["redirect_uri"] == asked["redirect_uri"]
                && form["client_id"] == asked["client_id"];
            if !same {
                return refuse("invalid_grant");
            }
            asked["scope"].clone()
        }
        "refresh_token" => match given.renewals.remove(&form["refresh_token"]) {
            Some(scope) => scope,
            None => return refuse("invalid_grant"),
        },
        "client_credentials" => {
            let (id, secret) = habits.client.unwrap();
            let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            if request.header("authorization") != Some(&basic) {
                return refuse("invalid_client");
            }
            form["scope"].clone()
        }
        _ => return refuse("unsupported_grant_type"),
    };
    given.next += 1;
    let (access, renewal) = (format!("access-{}", given.next), format!("renewal-{}", given.next));
    given.tokens.insert(access.clone(), scope.clone());
    let mut answer = json!({"access_token": access, "token_type": "Bearer", "scope": scope});
    if form["grant_type"] != "client_credentials" {
        given.renewals.insert(renewal.clone(), scope);
        answer["refresh_token"] = json!(renewal);
    }
    if let Some(life) = habits.life_s {
        answer["expires_in"] = json!(life);
    }
    Answer::json(200, &answer)
}

/// What a browser sees.
pub(crate) struct Page {
    pub(crate) status: u16,
    location: Option<String>,
    pub(crate) body: String,
}

impl Page {
    /// Where it sends the browser on to.
    pub(crate) fn target(&self) -> String {
        self.location.clone().unwrap()
    }
}

pub(crate) async fn get(url: &str) -> Page {
    let policy = reqwest::redirect::Policy::none();
    let client = reqwest::Client::builder().redirect(policy).build().unwrap();
    let response = client.get(url).send().await.unwrap();
    let status = response.status().as_u16();
    let location = response.headers().get("location").map(|l| l.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap();
    Page { status, location, body }
}
