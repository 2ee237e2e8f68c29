//! Logging in, against a small authorization server that checks what a real one would.

mod guard;

use crate::house::{PATIENCE, call, options, raw, status, tools, value};
use guard::{Guard, Habits};
use narrows_types::{Fault, Kind, ServerState};
use narrows_upstream::{
    CallOptions, Config, Fleet, Grant, Launch, Logins, OAuth, ServerConfig, login, logout,
    status as logins,
};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

fn config(guard: &Guard, folder: &Path, oauth: Option<OAuth>) -> Config {
    let launch = Launch::http(guard.url());
    let server = ServerConfig { oauth, ..ServerConfig::new("web", launch) };
    let logins = Logins { folder: Some(folder.join("logins")), follow: false };
    Config { servers: vec![server], logins, ..Config::default() }
}

/// A person who is sent to `address` and clicks on yes.
fn person(address: &str) -> std::thread::JoinHandle<String> {
    let address = address.to_owned();
    std::thread::spawn(move || {
        let visit = async {
            let to_us = guard::get(&address).await.target();
            // A page elsewhere knows neither the state nor our name.
            let (host, _) = to_us.split_once("/callback").unwrap();
            let forged = guard::get(&format!("{host}/callback?code=evil&state=x")).await;
            assert_eq!(forged.status, 400);
            assert_eq!(guard::get(&format!("{host}/favicon.ico")).await.status, 404);
            guard::get(&to_us).await.body
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(visit)
    })
}

async fn log_in(config: &Config) -> Result<narrows_upstream::LoggedIn, String> {
    let show = |address: &str| drop(person(address));
    let made = login(config, "web", PATIENCE, Box::new(show)).await;
    made.map_err(|error| Fault::from(error).message)
}

#[tokio::test]
async fn who_logs_in_once_is_let_in_from_then_on() {
    let guard = Guard::start(Habits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    let fleet = Fleet::start(config.clone()).unwrap();
    fleet.list_all(PATIENCE).await;
    let told = status(&fleet, "web");
    assert_eq!(told.state, ServerState::Failed);
    let error = told.last_error.unwrap();
    assert!(error.contains("run: narrows auth login web"), "{error}");
    assert_eq!(guard.count("/register"), 0, "nobody asked for a login yet");

    let made = log_in(&config).await.unwrap();
    assert_eq!((made.issuer, made.renewable), (guard.issuer(), true));
    assert_eq!(made.scopes, ["read", "offline_access"]);
    // The one that runs finds it, once it tries again.
    while call(&fleet, "web", "echo", json!({})).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value(&fleet, "web", "echo", json!({"a": 1})).await["args"], json!({"a": 1}));
    // So does one that starts later, which asks nobody.
    let asked = guard.count("/token");
    let later = Fleet::start(config.clone()).unwrap();
    later.list_all(PATIENCE).await;
    assert_eq!(tools(&later, "web"), ["echo", "write"]);
    assert_eq!(guard.count("/token"), asked);

    // What is kept is for its owner only.
    let logins_folder = folder.path().join("logins");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&logins_folder), 0o700);
    for file in std::fs::read_dir(&logins_folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    assert!(logins(&config)[0].made.is_some());
    assert_eq!(logout(&logins_folder, "web").unwrap(), 1);
    assert!(logins(&config)[0].made.is_none());
    assert_eq!(logout(&logins_folder, "web").unwrap(), 0);
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_once_for_all_who_wait() {
    let guard = Guard::start(Habits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    log_in(&config).await.unwrap();
    // It ended for the server before we thought.
    guard.forget_tokens();
    let (one, other) =
        (Fleet::start(config.clone()).unwrap(), Fleet::start(config.clone()).unwrap());
    tokio::join!(one.list_all(PATIENCE), other.list_all(PATIENCE));
    assert_eq!(tools(&one, "web"), ["echo", "write"]);
    assert_eq!(tools(&other, "web"), ["echo", "write"]);
    assert_eq!(guard.count("/token"), 2, "the code, and one renewal: a renewal is good once");

    // Ended for good.
    guard.forget_tokens();
    guard.forget_renewals();
    let error = call(&one, "web", "echo", json!({})).await.unwrap_err();
    let fault = Fault::from(error);
    assert_eq!(fault.kind, Kind::Upstream);
    assert!(fault.message.contains("run: narrows auth login web"), "{fault:?}");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    // So short a life is always about to end.
    let guard = Guard::start(Habits { life_s: Some(5), ..Habits::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    log_in(&config).await.unwrap();
    let first = guard.bearers().len();
    let fleet = Fleet::start(config).unwrap();
    value(&fleet, "web", "echo", json!({})).await;
    let bearers = guard.bearers();
    assert!(bearers.len() > first + 1, "{bearers:?}");
    assert_ne!(bearers[first], bearers[first + 1], "each request has a new one");
}

#[tokio::test]
async fn more_scope_is_asked_for_by_the_next_login() {
    let guard = Guard::start(Habits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    log_in(&config).await.unwrap();
    let fleet = Fleet::start(config.clone()).unwrap();
    let error = call(&fleet, "web", "write", json!({})).await.unwrap_err().to_string();
    assert!(error.contains("more scope (write); run: narrows auth login web"), "{error}");
    assert_eq!(logins(&config)[0].wanted, ["write"]);
    let made = log_in(&config).await.unwrap();
    assert_eq!(made.scopes, ["read", "offline_access", "write"], "what it had, it keeps");
    assert_eq!(guard.count("/register"), 1, "it is known there");
    value(&fleet, "web", "write", json!({})).await;
    assert!(logins(&config)[0].wanted.is_empty());
}

#[tokio::test]
async fn what_is_not_safe_is_refused_before_a_code_is_shown() {
    let cases = [
        (Habits { pkce: false, ..Habits::default() }, "PKCE"),
        (Habits { issuer: Some("https://evil.example"), ..Habits::default() }, "another issuer"),
        (
            Habits { answers_as: Some("https://evil.example"), ..Habits::default() },
            "another authorization server",
        ),
        (Habits { answers_as: Some(""), ..Habits::default() }, "did not say who it is"),
        (
            Habits { resource: Some("https://evil.example/mcp"), ..Habits::default() },
            "another resource",
        ),
        (
            Habits { token_endpoint: Some("http://evil.example/token"), ..Habits::default() },
            "is not HTTPS",
        ),
        (Habits { refuses: true, ..Habits::default() }, "access_denied"),
    ];
    for (habits, why) in cases {
        let guard = Guard::start(habits).await;
        let folder = tempfile::tempdir().unwrap();
        let error = log_in(&config(&guard, folder.path(), None)).await.unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
        assert_eq!(guard.count("/token"), 0, "{why}");
    }
}

#[tokio::test]
async fn nobody_who_comes_is_waited_for_without_end() {
    let guard = Guard::start(Habits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    let made = login(&config, "web", Duration::from_millis(50), Box::new(|_| {})).await;
    let error = made.unwrap_err().to_string();
    assert!(error.contains("nobody logged in within"), "{error}");
}

#[tokio::test]
async fn a_client_logs_itself_in() {
    let habits = Habits { client: Some(("id", "s3cret-of-ours")), ..Habits::default() };
    let guard = Guard::start(habits).await;
    let folder = tempfile::tempdir().unwrap();
    let oauth = |secret: &str| OAuth {
        client_id: Some("id".to_owned()),
        client_secret: Some(secret.to_owned()),
        grant: Grant::Client,
        ..OAuth::default()
    };
    let fleet = Fleet::start(config(&guard, folder.path(), Some(oauth("s3cret-of-ours")))).unwrap();
    value(&fleet, "web", "echo", json!({})).await;
    // A step up is a matter of asking.
    value(&fleet, "web", "write", json!({})).await;
    guard.forget_tokens();
    value(&fleet, "web", "echo", json!({})).await;
    assert_eq!(guard.count("/token"), 3);
    assert_eq!(guard.count("/authorize"), 0);

    let folder = tempfile::tempdir().unwrap();
    let wrong = Fleet::start(config(&guard, folder.path(), Some(oauth("not-the-secret")))).unwrap();
    let error = call(&wrong, "web", "echo", json!({})).await.unwrap_err().to_string();
    assert!(error.contains("invalid_client"), "{error}");
    assert!(!error.contains("not-the-secret"), "{error}");
}

#[tokio::test]
async fn a_slow_login_is_neither_begun_twice_nor_taken_for_another_era() {
    let habits = Habits {
        client: Some(("id", "secret")),
        thinks: Duration::from_secs(6),
        ..Habits::default()
    };
    let guard = Guard::start(habits).await;
    let folder = tempfile::tempdir().unwrap();
    let oauth = OAuth {
        client_id: Some("id".to_owned()),
        client_secret: Some("secret".to_owned()),
        grant: Grant::Client,
        ..OAuth::default()
    };
    let mut config = config(&guard, folder.path(), Some(oauth));
    // The question that finds the era out may take half of this.
    config.servers[0].start_timeout = Duration::from_secs(10);
    let fleet = Fleet::start(config).unwrap();
    value(&fleet, "web", "echo", json!({})).await;
    assert_eq!(guard.count("/token"), 1);
}

#[tokio::test]
async fn a_renewal_goes_on_though_its_request_is_given_up() {
    let habits = Habits { life_s: Some(5), thinks: Duration::from_secs(1), ..Habits::default() };
    let guard = Guard::start(habits).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&guard, folder.path(), None);
    log_in(&config).await.unwrap();
    let fleet = Fleet::start(config).unwrap();
    value(&fleet, "web", "echo", json!({})).await;
    let hurried =
        CallOptions { deadline: Instant::now() + Duration::from_millis(300), ..options() };
    fleet.call("web", "echo", &raw(&json!({})), hurried).await.unwrap_err();
    // What the renewal gave was not lost with it, and each is good once.
    guard.forget_tokens();
    value(&fleet, "web", "echo", json!({})).await;
}

#[tokio::test]
async fn credentials_of_the_config_are_not_replaced() {
    let guard = Guard::start(Habits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&guard, folder.path(), None);
    if let Launch::Http { headers, .. } = &mut config.servers[0].launch {
        headers.insert("Authorization".to_owned(), "Bearer mine".to_owned());
    }
    let fleet = Fleet::start(config).unwrap();
    let error = call(&fleet, "web", "echo", json!({})).await.unwrap_err().to_string();
    assert!(error.contains("refused our credentials"), "{error}");
    assert!(guard.bearers().iter().all(|bearer| bearer == "Bearer mine"));
}
