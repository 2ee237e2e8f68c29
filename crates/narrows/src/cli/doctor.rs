//! `narrows doctor`: what works here and what does not, with the fix.

use super::Desk;
use super::exit::{FAILED, Fail, OK};
use super::output::Tone;
use crate::assembly;
use crate::config::{Environment, Launch, Loaded, Settings, Upstream, load};
use serde::Serialize;
use std::path::Path;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was checked.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) state: State,
    pub(crate) found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) fix: String,
}

impl Check {
    pub(crate) fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), state: State::Ok, found: found.into(), fix: String::new() }
    }

    pub(crate) fn warn(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { state: State::Warn, fix: fix.into(), ..Self::ok(what, found) }
    }

    pub(crate) fn fail(
        what: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { state: State::Fail, fix: fix.into(), ..Self::ok(what, found) }
    }
}

impl Desk {
    pub(super) async fn doctor(&self) -> Result<u8, Fail> {
        let mut checks = Vec::new();
        let settings = match load(&self.env, &self.flags) {
            Ok(loaded) => {
                config(&loaded, &mut checks);
                loaded.settings
            }
            Err(problems) => {
                for problem in problems {
                    let fix = if problem.hint.is_empty() {
                        "mend the config; `narrows config schema` says what it can hold".to_owned()
                    } else {
                        problem.hint.clone()
                    };
                    let bare = crate::config::Problem { hint: String::new(), ..problem };
                    checks.push(Check::fail("config", bare.to_string(), fix));
                }
                Settings::default()
            }
        };
        checks.push(data_dir(&self.env.data_dir()));
        checks.extend(assembly::store_check(&settings).await);
        checks.extend(settings.servers.iter().filter(|s| s.enabled).map(|s| server(s, &self.env)));
        checks.extend(runtimes(&settings, &self.env));
        checks.extend(assembly::sandbox_checks(&settings, &self.env).await);
        let failed = checks.iter().any(|c| c.state == State::Fail);
        self.out.either(&checks, || self.checks_text(&checks))?;
        Ok(if failed { FAILED } else { OK })
    }

    fn checks_text(&self, checks: &[Check]) -> String {
        let rows = checks.iter().map(|c| {
            let (word, tone) = match c.state {
                State::Ok => ("ok", Tone::Good),
                State::Warn => ("warn", Tone::Warn),
                State::Fail => ("FAIL", Tone::Bad),
            };
            vec![
                (word.to_owned(), Some(tone)),
                (c.what.clone(), Some(Tone::Strong)),
                (c.found.clone(), None),
                (c.fix.clone(), None),
            ]
        });
        self.out.table(&["", "WHAT", "FOUND", "FIX"], rows.collect())
    }
}

fn config(loaded: &Loaded, checks: &mut Vec<Check>) {
    let on = loaded.settings.servers.iter().filter(|s| s.enabled).count();
    let servers = if on == 1 { "1 server".to_owned() } else { format!("{on} servers") };
    checks.push(match &loaded.file {
        Some(file) => Check::ok("config", format!("{} ({servers})", file.display())),
        None => Check::warn(
            "config",
            format!("none; built in: {servers}"),
            "`narrows import` takes over your clients' servers, `narrows add` adds one",
        ),
    });
    for warning in &loaded.warnings {
        let bare = crate::config::Problem { hint: String::new(), ..warning.clone() };
        checks.push(Check::warn("config", bare.to_string(), warning.hint.clone()));
    }
}

fn data_dir(folder: &Path) -> Check {
    let what = "data folder";
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let tried = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b"x"));
    drop(std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Check::ok(what, format!("{} can be written", folder.display())),
        Err(e) => Check::fail(
            what,
            format!("{} cannot be written: {e}", folder.display()),
            "set XDG_DATA_HOME, or `store.url` to a file in another folder",
        ),
    }
}

fn server(server: &Upstream, env: &Environment) -> Check {
    let what = format!("server {}", server.name);
    match &server.launch {
        Launch::Stdio { command, cwd, .. } => {
            if let Some(cwd) = cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
                let found = format!("the folder {} does not exist", cwd.display());
                return Check::fail(what, found, "mend `cwd`");
            }
            match env.find_command(command) {
                Some(path) => Check::ok(what, path.display().to_string()),
                None => Check::fail(
                    what,
                    format!("the command `{command}` is not on PATH"),
                    install_hint(command),
                ),
            }
        }
        Launch::Files { folders, .. } => match folders.iter().find(|f| !f.is_dir()) {
            Some(folder) => {
                let found = format!("the folder {} does not exist", folder.display());
                Check::fail(what, found, "mend `folders`")
            }
            None => Check::ok(what, "built in"),
        },
        Launch::Http { .. } => Check::ok(what, "over HTTP; `narrows servers` tries it"),
        Launch::Time => Check::ok(what, "built in"),
    }
}

fn install_hint(command: &str) -> &'static str {
    match command {
        "npx" | "node" | "npm" => "install Node.js 20 or later",
        "uvx" | "uv" => "install uv, or `pip install uv`",
        "python" | "python3" | "pip" | "pipx" => "install Python 3.10 or later",
        "docker" | "podman" => "install Docker or Podman",
        "bunx" | "bun" => "install Bun",
        "deno" => "install Deno",
        _ => "install it, or write its whole path",
    }
}

/// What most servers are started by: worth knowing before one is added.
fn runtimes(settings: &Settings, env: &Environment) -> Vec<Check> {
    let needed = |program: &str| {
        settings.servers.iter().any(|s| {
            s.enabled && matches!(&s.launch, Launch::Stdio { command, .. } if command == program)
        })
    };
    [("npx", "Node.js"), ("uvx", "uv"), ("python3", "Python")]
        .into_iter()
        // A server that needs it says so by itself.
        .filter(|(program, _)| !needed(program))
        .map(|(program, name)| match env.find_command(program) {
            Some(path) => Check::ok(name, path.display().to_string()),
            None => Check::warn(
                name,
                format!("`{program}` is not on PATH; no configured server needs it"),
                install_hint(program),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests;
