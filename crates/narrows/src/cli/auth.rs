//! `narrows auth`: logins at servers that want them.

use super::Desk;
use super::args::AuthWhat;
use super::exit::{Fail, OK};
use super::output::{Tone, safe};
use crate::compose;
use narrows_upstream::{Config, LoggedIn, Login};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::process::Stdio;
use std::time::Duration;

impl Desk {
    pub(super) async fn auth(&self, what: AuthWhat) -> Result<u8, Fail> {
        let loaded = self.loaded()?;
        self.log(&loaded);
        let config = compose::upstream(&loaded.settings, &self.env);
        match what {
            AuthWhat::Login { server, no_browser, wait_s } => {
                self.login(&config, &server, !no_browser, Duration::from_secs(wait_s)).await
            }
            AuthWhat::Status => self.logins(&config),
            AuthWhat::Logout { server } => self.logout(&config, &server),
        }
    }

    async fn login(
        &self,
        config: &Config,
        server: &str,
        browser: bool,
        patience: Duration,
    ) -> Result<u8, Fail> {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let show = |address: &str| {
            let opened = browser && std::io::stderr().is_terminal() && self.open(address);
            let how = if opened { "a browser opens; if not, open" } else { "open in a browser" };
            self.out.note(&format!("{how}:\n{}", safe(address)));
        };
        let made = narrows_upstream::login(config, server, patience, Box::new(show)).await;
        let made = made.map_err(|error| Fail::Fault(error.into()))?;
        let shown = made_json(server, Some(&made));
        self.out.either(&shown, || {
            let scopes = if made.scopes.is_empty() {
                String::new()
            } else {
                format!(" for {}", made.scopes.join(" "))
            };
            safe(&format!("logged in at {server} by {}{scopes}", made.issuer))
        })?;
        Ok(OK)
    }

    /// Starts the user's browser; whether that could be done.
    fn open(&self, address: &str) -> bool {
        let opener = if self.env.mac { "open" } else { "xdg-open" };
        let seen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| self.env.var(name).is_some());
        let Some(opener) = self.env.find_command(opener).filter(|_| self.env.mac || seen) else {
            return false;
        };
        #[expect(clippy::disallowed_methods, reason = "the browser is the user's and outlives us")]
        let mut command = std::process::Command::new(opener);
        command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().is_ok()
    }

    fn logins(&self, config: &Config) -> Result<u8, Fail> {
        let logins = narrows_upstream::status(config);
        let shown: Vec<Value> = logins.iter().map(login_json).collect();
        self.out.either(&shown, || {
            if logins.is_empty() {
                return "no configured server is reached over HTTP".to_owned();
            }
            let rows = logins.iter().map(row).collect();
            self.out.table(&["SERVER", "LOGIN", "UNTIL", "SCOPES", "BY"], rows)
        })?;
        Ok(OK)
    }

    fn logout(&self, config: &Config, server: &str) -> Result<u8, Fail> {
        let folder = config.logins.folder.as_deref();
        let forgotten = folder.map_or(Ok(0), |folder| narrows_upstream::logout(folder, server))?;
        self.out.either(&json!({"server": server, "forgotten": forgotten}), || {
            let there = if forgotten == 0 { "there was no login" } else { "logged out" };
            safe(&format!("{there} at {server}"))
        })?;
        Ok(OK)
    }
}

fn row(login: &Login) -> Vec<(String, Option<Tone>)> {
    let (state, tone) = match (&login.made, login.wanted.is_empty()) {
        (None, _) => ("none", Tone::Dim),
        (Some(_), true) => ("yes", Tone::Good),
        (Some(_), false) => ("wants more scope", Tone::Warn),
    };
    let made = login.made.as_ref();
    let until = made.map_or_else(String::new, |made| match (made.renewable, made.ends_in_s) {
        (true, _) => "renews itself".to_owned(),
        (false, Some(seconds)) => format!("{} min", seconds / 60),
        (false, None) => "not told".to_owned(),
    });
    let scopes = made.map(|made| made.scopes.join(" ")).unwrap_or_default();
    let issuer = made.map(|made| made.issuer.clone()).unwrap_or_default();
    vec![
        (login.server.clone(), Some(Tone::Strong)),
        (state.to_owned(), Some(tone)),
        (until, None),
        (scopes, None),
        (issuer, Some(Tone::Dim)),
    ]
}

fn login_json(login: &Login) -> Value {
    let mut value = made_json(&login.server, login.made.as_ref());
    if let Value::Object(members) = &mut value {
        members.insert("url".to_owned(), json!(login.url));
        members.insert("wanted_scopes".to_owned(), json!(login.wanted));
    }
    value
}

fn made_json(server: &str, made: Option<&LoggedIn>) -> Value {
    json!({
        "server": server,
        "logged_in": made.is_some(),
        "issuer": made.map(|made| &made.issuer),
        "scopes": made.map(|made| &made.scopes),
        "ends_in_s": made.and_then(|made| made.ends_in_s),
        "renewable": made.map(|made| made.renewable),
    })
}
