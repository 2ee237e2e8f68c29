//! Servers and sections, checked beyond their types.

use super::decode::decode;
use super::expand::Scope;
use super::problem::{Problem, dotted};
use super::secret::Secret;
use super::settings::{BuiltinKind, Era, OAuth, Pool, Prefix, Server, Tier, ToolSaid, Transport};
use super::tree::{Entry, Kind, Place, Tree};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Characters of a server's name.
const NAME_CHARS_MAX: usize = 128;

/// One server, ready to be connected.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    /// Switched off by the config, or because it could not be set up (see the warnings).
    pub(crate) enabled: bool,
    pub(crate) launch: Launch,
    pub(crate) oauth: Option<OAuth>,
    pub(crate) start_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) idle_stop: Option<Duration>,
    pub(crate) era: Era,
    pub(crate) tier: Tier,
    pub(crate) concurrency: Option<u64>,
    pub(crate) queue: Option<u64>,
    pub(crate) pool: Pool,
    /// Only these tools, if any are named.
    pub(crate) tools_allow: Vec<String>,
    /// Never these tools.
    pub(crate) tools_hide: Vec<String>,
    /// Single tools, by their names on the wire.
    pub(crate) tools: BTreeMap<String, ToolSaid>,
    /// Before the names of its tools and prompts.
    pub(crate) prefix: Prefix,
    /// How long answers of tools that change nothing are kept.
    pub(crate) cache_ttl: Option<Duration>,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub(crate) enum Launch {
    /// A program on standard input and output.
    Stdio {
        command: String,
        args: Vec<Secret>,
        env: BTreeMap<String, Secret>,
        cwd: Option<PathBuf>,
    },
    /// Streamable HTTP.
    Http { url: Secret, urls: Vec<Secret>, sse: bool, headers: BTreeMap<String, Secret> },
    /// Files under folders.
    Files { folders: Vec<PathBuf>, write: bool },
    /// The clock and time zones.
    Time,
}

/// Checks one entry of `servers`. A reference that leads nowhere switches only this server off.
pub(super) fn server(
    entry: &Entry,
    scope: &Scope<'_>,
    warnings: &mut Vec<Problem>,
) -> Result<Upstream, Vec<Problem>> {
    let path = ["servers", entry.key.as_str()];
    let at = dotted(&path);
    check_name(&entry.key).map_err(|p| vec![p.at(&entry.place)])?;
    let mut tree = entry.value.clone();
    // A server that is switched off may refer to what is not there.
    let off = tree.get("enabled").and_then(Tree::as_bool) == Some(false);
    let mut missing = Vec::new();
    scope.expand(&mut tree, &mut path.map(str::to_owned).to_vec(), &mut missing);
    anchor(&mut tree, scope);
    let server: Server = decode(&tree, &path).map_err(|p| vec![p])?;
    let launch = launch(&server, &tree, &at).map_err(|p| vec![p])?;
    let positive = |key: &str, value: Option<u64>, default: u64| match value {
        Some(0) => Err(vec![
            Problem::new(format!("`{at}.{key}` must be 1 or more, not 0")).at(&place(&tree, key)),
        ]),
        value => Ok(Duration::from_millis(value.unwrap_or(default))),
    };
    let idle_stop = match server.idle_stop_ms {
        None => None,
        some => Some(positive("idle_stop_ms", some, 0)?),
    };
    if !off {
        for problem in &mut missing {
            problem.message =
                format!("server `{}` is switched off: {}", entry.key, problem.message);
        }
        warnings.append(&mut missing.clone());
    }
    let tier = server.tier.unwrap_or_default();
    let longest = match tier {
        Tier::Fast => 15_000,
        Tier::Medium => 60_000,
        Tier::Heavy => 600_000,
    };
    let at_once = |n: u64| positive("concurrency", Some(n), 0).map(|_checked| n);
    let concurrency = server.concurrency.map(at_once).transpose()?;
    let pool = server.pool.unwrap_or_default();
    if pool.max == 0 || pool.min > pool.max {
        return Err(vec![
            Problem::new(format!("`{at}.pool` must have max 1 or more, and min at most max"))
                .at(&place(&tree, "pool")),
        ]);
    }
    let mut tools = server.tools.unwrap_or_default();
    let hidden = tools.by_name.iter().filter(|(_, said)| said.hide);
    tools.hide.extend(hidden.map(|(name, _)| name.clone()));
    Ok(Upstream {
        name: entry.key.clone(),
        enabled: server.enabled.unwrap_or(true) && missing.is_empty(),
        launch,
        oauth: server.oauth,
        start_timeout: positive("start_timeout_ms", server.start_timeout_ms, 30_000)?,
        call_timeout: positive("call_timeout_ms", server.call_timeout_ms, longest)?,
        idle_stop,
        era: server.era.unwrap_or_default(),
        tier,
        concurrency,
        queue: server.queue,
        pool,
        tools_allow: tools.allow,
        tools_hide: tools.hide,
        tools: tools.by_name,
        prefix: server.prefix.unwrap_or(Prefix::Server),
        cache_ttl: server.cache_ttl_ms.map(Duration::from_millis),
    })
}

/// Whether a server can have this name.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let shown = name.escape_debug();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(Problem::new(format!(
            "the server name `{shown}` must have 1 to {NAME_CHARS_MAX} characters"
        )));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(Problem::new(format!(
            "the server name `{shown}` must not begin or end with a blank or hold control characters"
        )));
    }
    if matches!(name, "narrows" | "intents") {
        return Err(Problem::new(format!("the server name `{name}` is taken by Narrows itself"))
            .hint("give the server another name"));
    }
    Ok(())
}

fn place(tree: &Tree, key: &str) -> Place {
    tree.entry(key).map_or_else(|| tree.place.clone(), |e| e.place.clone())
}

/// Makes paths absolute: those in a file start at the file's folder, others where we run.
fn anchor(tree: &mut Tree, scope: &Scope<'_>) {
    let Kind::Table(entries) = &mut tree.kind else { return };
    for entry in entries {
        match (entry.key.as_str(), &mut entry.value.kind) {
            ("cwd", Kind::Text(_)) => anchor_one(&mut entry.value, scope),
            ("command", Kind::Text(text)) if text.starts_with(['.', '~']) => {
                anchor_one(&mut entry.value, scope);
            }
            ("folders", Kind::List(items)) => {
                for item in items {
                    anchor_one(item, scope);
                }
            }
            _ => {}
        }
    }
}

fn anchor_one(tree: &mut Tree, scope: &Scope<'_>) {
    let base = if tree.place.line.is_some() { &scope.base } else { &scope.env.cwd };
    if let Kind::Text(text) = &mut tree.kind {
        let full = base.join(scope.env.tilde(Path::new(text.as_str())));
        let mut clean = PathBuf::new();
        for part in full.components() {
            if part != std::path::Component::CurDir {
                clean.push(part);
            }
        }
        *text = clean.display().to_string();
    }
}

fn launch(server: &Server, tree: &Tree, at: &str) -> Result<Launch, Problem> {
    let given: Vec<&str> = [
        ("command", server.command.is_some()),
        ("url", server.url.is_some()),
        ("builtin", server.builtin.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, there)| there.then_some(key))
    .collect();
    let way = match given.as_slice() {
        [] => {
            return Err(Problem::new(format!(
                "`{at}` says neither `command`, `url` nor `builtin`"
            ))
            .at(&tree.place)
            .hint("say one of them"));
        }
        [one] => *one,
        several => {
            let several = several.join("` and `");
            return Err(Problem::new(format!("`{at}` says `{several}` at once"))
                .at(&tree.place)
                .hint("say one of them"));
        }
    };
    fitting(server, tree, at, way)?;
    if let Some(command) = &server.command {
        return stdio(server, command, tree, at);
    }
    if let Some(url) = &server.url {
        check_url(url.expose())
            .map_err(|why| Problem::new(format!("`{at}.url` {why}")).at(&place(tree, "url")))?;
        let urls = server.urls.clone().unwrap_or_default();
        for one in &urls {
            check_url(one.expose()).map_err(|why| {
                Problem::new(format!("`{at}.urls` {why}")).at(&place(tree, "urls"))
            })?;
        }
        return Ok(Launch::Http {
            url: url.clone(),
            urls,
            sse: server.transport == Some(Transport::Sse),
            headers: server.headers.clone().unwrap_or_default(),
        });
    }
    if server.builtin == Some(BuiltinKind::Time) {
        return Ok(Launch::Time);
    }
    let folders = server.folders.clone().unwrap_or_default();
    if folders.is_empty() {
        return Err(Problem::new(format!("`{at}` names no folder"))
            .at(&tree.place)
            .hint("add `folders = [\"PATH\"]`"));
    }
    Ok(Launch::Files { folders, write: server.write.unwrap_or(false) })
}

fn stdio(server: &Server, command: &str, tree: &Tree, at: &str) -> Result<Launch, Problem> {
    if command.trim().is_empty() || command.contains('\0') {
        return Err(Problem::new(format!("`{at}.command` is empty")).at(&place(tree, "command")));
    }
    let env = server.env.clone().unwrap_or_default();
    if let Some(bad) = env.keys().find(|k| k.is_empty() || k.contains(['=', '\0'])) {
        let bad = bad.escape_debug();
        return Err(Problem::new(format!("`{at}.env` has the impossible name `{bad}`"))
            .at(&place(tree, "env")));
    }
    Ok(Launch::Stdio {
        command: command.to_owned(),
        args: server.args.clone().unwrap_or_default(),
        env,
        cwd: server.cwd.clone(),
    })
}

/// Keys that belong to another way of reaching a server are a mistake.
fn fitting(server: &Server, tree: &Tree, at: &str, way: &str) -> Result<(), Problem> {
    let files = server.builtin == Some(BuiltinKind::Files);
    let keys = [
        ("args", server.args.is_some(), way == "command", "`command`"),
        ("env", server.env.is_some(), way == "command", "`command`"),
        ("cwd", server.cwd.is_some(), way == "command", "`command`"),
        ("idle_stop_ms", server.idle_stop_ms.is_some(), way == "command", "`command`"),
        ("pool", server.pool.is_some(), way == "command", "`command`"),
        ("urls", server.urls.is_some(), way == "url", "`url`"),
        ("headers", server.headers.is_some(), way == "url", "`url`"),
        ("oauth", server.oauth.is_some(), way == "url", "`url`"),
        ("folders", server.folders.is_some(), files, "`builtin = \"files\"`"),
        ("write", server.write.is_some(), files, "`builtin = \"files\"`"),
    ];
    let way_told = match server.builtin {
        Some(BuiltinKind::Time) => "builtin = \"time\"",
        _ => way,
    };
    for (key, there, fits, with) in keys {
        if there && !fits {
            return Err(Problem::new(format!(
                "`{at}.{key}` goes with {with}, not with `{way_told}`"
            ))
            .at(&place(tree, key)));
        }
    }
    let told = match server.transport {
        None => return Ok(()),
        Some(Transport::Stdio) => "command",
        Some(Transport::Http | Transport::Sse) => "url",
        Some(Transport::Builtin) => "builtin",
    };
    if told == way {
        return Ok(());
    }
    Err(Problem::new(format!("`{at}.type` asks for `{told}`, but `{way}` is said"))
        .at(&place(tree, "type")))
}

/// Whether this can be an endpoint; else why not. The url itself is not repeated: it may hold a
/// secret.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    if url.strip_prefix("unix:").is_some_and(|path| path.contains('/')) {
        return Ok(());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("must begin with `http://` or `https://`".to_owned());
    };
    if !matches!(scheme, "http" | "https") {
        let scheme = scheme.escape_debug();
        return Err(format!("must begin with `http://` or `https://`, not `{scheme}://`"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err("names no host".to_owned());
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("holds a blank".to_owned());
    }
    Ok(())
}
