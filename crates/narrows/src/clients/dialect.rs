//! How clients write down their servers: many names for few things.
//!
//! Reading is generous: every known spelling is understood wherever it stands, because people copy
//! entries from one client's file into another's.

use crate::config::tree::{Entry, Kind, Place, Tree};
use serde_json::Number;
use std::path::Path;

/// How a client's file is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `mcpServers: {name: {command, args, env}}`.
    Servers,
    /// The same with `type`.
    TypedServers,
    /// `servers`, `inputs`, comments.
    VsCode,
    /// TOML, `[mcp_servers.name]`.
    Codex,
    /// YAML, `extensions`, `cmd`, `envs`.
    Goose,
    /// `mcp: {name: {type: local, command: [..]}}`.
    OpenCode,
    /// `context_servers`.
    Zed,
    /// YAML, `mcpServers` is a list.
    Continue,
    /// `amp.mcpServers` is one key.
    Amp,
}

/// The path of keys to a client's servers; the first that is there counts.
const CONTAINERS: [&[&str]; 8] = [
    &["mcpServers"],
    &["mcp_servers"],
    &["mcp", "servers"],
    &["servers"],
    &["extensions"],
    &["context_servers"],
    &["amp.mcpServers"],
    &["mcp"],
];

impl Dialect {
    /// The path of keys to the servers.
    pub(crate) fn container(self) -> &'static [&'static str] {
        match self {
            Self::Servers | Self::TypedServers | Self::Continue => &["mcpServers"],
            Self::VsCode => &["servers"],
            Self::Codex => &["mcp_servers"],
            Self::Goose => &["extensions"],
            Self::OpenCode => &["mcp"],
            Self::Zed => &["context_servers"],
            Self::Amp => &["amp.mcpServers"],
        }
    }
}

/// A server in a client's file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) place: Place,
    /// The entry in our own words, or why it cannot be taken over.
    pub(crate) entry: Result<Tree, String>,
    /// What of the entry is lost.
    pub(crate) warning: Option<String>,
}

/// What a file of our name may hold in the words of clients, beside our own sections.
pub(crate) const OURS_TOO: [&str; 2] = ["mcpServers", "inputs"];

/// The servers of a file if a client wrote it; `None` if it is our own.
pub(crate) fn client_file(tree: &Tree, path: &Path) -> Option<Vec<Found>> {
    let ours = !tree.entries().iter().any(|e| {
        matches!(
            e.key.as_str(),
            "mcpServers"
                | "mcp_servers"
                | "inputs"
                | "context_servers"
                | "extensions"
                | "mcp"
                | "amp.mcpServers"
        )
    });
    let vscode = path.file_name().is_some_and(|name| name == "mcp.json");
    if ours && !vscode { None } else { Some(servers(tree, None)) }
}

/// Every server in a client's file. With a project, also those that Claude Code keeps for it.
pub(crate) fn servers(tree: &Tree, project: Option<&Path>) -> Vec<Found> {
    let mut found = Vec::new();
    if let Some(container) = CONTAINERS.iter().find_map(|path| tree.at(path)) {
        collect(container, &mut found);
    }
    let own = project.and_then(|p| p.to_str());
    if let Some(container) = own.and_then(|p| tree.at(&["projects", p, "mcpServers"])) {
        collect(container, &mut found);
    }
    found
}

fn collect(container: &Tree, found: &mut Vec<Found>) {
    for entry in container.entries() {
        if entry.value.is_table() {
            let place = entry.place.clone();
            let (warning, entry, name) =
                (lost(&entry.value), server(&entry.value), entry.key.clone());
            found.push(Found { name, place, entry, warning });
        }
    }
    // Continue keeps a list of servers that each name themselves.
    for item in container.items() {
        let Some(name) = item.get("name").and_then(Tree::as_text) else { continue };
        let place = item.place.clone();
        let (name, warning) = (name.to_owned(), lost(item));
        found.push(Found { name, place, entry: server(item), warning });
    }
}

/// The questions of a VS Code file: id and description.
pub(crate) fn inputs(tree: &Tree) -> Vec<(String, String)> {
    let input = |item: &Tree| {
        let text = |key| item.get(key).and_then(Tree::as_text).unwrap_or_default().to_owned();
        (text("id"), text("description"))
    };
    tree.get("inputs").map_or_else(Vec::new, |list| list.items().iter().map(input).collect())
}

/// What an entry says that we have no words for.
fn lost(theirs: &Tree) -> Option<String> {
    let file = theirs.get("envFile").and_then(Tree::as_text)?;
    Some(format!(
        "envFile ({file}) is not read: set its variables where Narrows is started, and name those \
         that the server needs under `env`"
    ))
}

/// One entry in our own words.
fn server(theirs: &Tree) -> Result<Tree, String> {
    let told = theirs.get("type").and_then(Tree::as_text).unwrap_or_default();
    match told {
        "sse" => {
            return Err(
                "it speaks the old HTTP+SSE transport; `narrows add --url` takes its Streamable \
                        HTTP endpoint, if it has one"
                    .to_owned(),
            );
        }
        "builtin" | "platform" | "frontend" | "inline_python" => {
            return Err(format!("it is a part of the client itself (type `{told}`)"));
        }
        "ws" | "websocket" => return Err("it speaks WebSocket, which MCP does not know".to_owned()),
        _ => {}
    }
    let mut ours = Ours { place: &theirs.place, entries: Vec::new() };
    let url = first(theirs, &["url", "serverUrl", "httpUrl", "uri"]);
    let command = first(theirs, &["command", "cmd"]);
    match (command, url) {
        (Some(command), _) => ours.command(theirs, command)?,
        (None, Some(url)) => ours.url(theirs, url),
        (None, None) => return Err("it has neither a command nor a url".to_owned()),
    }
    ours.rest(theirs);
    Ok(Tree::new(Kind::Table(ours.entries), theirs.place.clone()))
}

fn first<'t>(tree: &'t Tree, keys: &[&str]) -> Option<&'t Tree> {
    keys.iter().find_map(|key| tree.get(key).filter(|t| !matches!(t.kind, Kind::Null)))
}

struct Ours<'t> {
    place: &'t Place,
    entries: Vec<Entry>,
}

impl Ours<'_> {
    fn put(&mut self, key: &str, value: Tree) {
        self.entries.push(Entry::new(key, value));
    }

    fn command(&mut self, theirs: &Tree, command: &Tree) -> Result<(), String> {
        let mut args: Vec<Tree> = Vec::new();
        match &command.kind {
            Kind::Text(text) => self.put("command", Tree::text(references(text), &command.place)),
            // OpenCode: program and arguments in one list.
            Kind::List(items) => {
                let Some((program, rest)) = items.split_first() else {
                    return Err("its command is empty".to_owned());
                };
                self.put("command", rewritten(program));
                args.extend(rest.iter().map(rewritten));
            }
            // Zed, formerly: `command: {path, args, env}`.
            Kind::Table(_) => {
                let Some(path) = command.get("path") else {
                    return Err("its command is empty".to_owned());
                };
                self.put("command", rewritten(path));
                args.extend(command.get("args").map_or(&[][..], Tree::items).iter().map(rewritten));
                if let Some(env) = command.get("env").filter(|env| !env.entries().is_empty()) {
                    self.put("env", rewritten(env));
                }
            }
            other => return Err(format!("its command is {other}")),
        }
        args.extend(theirs.get("args").map_or(&[][..], Tree::items).iter().map(rewritten));
        if !args.is_empty() {
            self.put("args", Tree::new(Kind::List(args), self.place.clone()));
        }
        self.env(theirs);
        if let Some(cwd) = first(theirs, &["cwd", "workingDirectory"]) {
            self.put("cwd", rewritten(cwd));
        }
        Ok(())
    }

    fn env(&mut self, theirs: &Tree) {
        let mut pairs: Vec<Entry> = Vec::new();
        if let Some(env) = first(theirs, &["env", "envs", "environment"]) {
            pairs.extend(env.entries().iter().map(rewritten_entry));
        }
        // Names whose values the client takes from its own environment or its key ring.
        for key in ["env_vars", "env_keys"] {
            for name in theirs.get(key).map_or(&[][..], Tree::items) {
                let Some(text) = name.as_text() else { continue };
                if !pairs.iter().any(|e| e.key == text) {
                    pairs.push(Entry::new(text, Tree::text(format!("${{{text}}}"), &name.place)));
                }
            }
        }
        if !pairs.is_empty() {
            self.put("env", Tree::new(Kind::Table(pairs), self.place.clone()));
        }
    }

    fn url(&mut self, theirs: &Tree, url: &Tree) {
        self.put("url", rewritten(url));
        let mut pairs: Vec<Entry> = Vec::new();
        let nested = theirs.at(&["requestOptions", "headers"]);
        if let Some(headers) = first(theirs, &["headers", "http_headers"]).or(nested) {
            pairs.extend(headers.entries().iter().map(rewritten_entry));
        }
        // Codex names the variables that hold the values.
        for entry in theirs.get("env_http_headers").map_or(&[][..], Tree::entries) {
            if let Some(variable) = entry.value.as_text() {
                let value = Tree::text(format!("${{{variable}}}"), &entry.value.place);
                pairs.push(Entry::new(entry.key.clone(), value));
            }
        }
        if let Some(variable) = theirs.get("bearer_token_env_var")
            && let Some(name) = variable.as_text()
        {
            let value = Tree::text(format!("Bearer ${{{name}}}"), &variable.place);
            pairs.push(Entry::new("Authorization", value));
        }
        if !pairs.is_empty() {
            self.put("headers", Tree::new(Kind::Table(pairs), self.place.clone()));
        }
    }

    /// What holds for every kind of server.
    fn rest(&mut self, theirs: &Tree) {
        let flag = |key| theirs.get(key).and_then(Tree::as_bool);
        if flag("disabled") == Some(true) || flag("enabled") == Some(false) {
            self.put("enabled", Tree::new(Kind::Bool(false), self.place.clone()));
        }
        let seconds = |key: &str| theirs.get(key).and_then(Tree::as_f64).map(|s| s * 1_000.0);
        let millis = |key: &str| theirs.get(key).and_then(Tree::as_f64);
        self.number(
            "start_timeout_ms",
            seconds("startup_timeout_sec").or(millis("startup_timeout_ms")),
        );
        self.number("call_timeout_ms", seconds("tool_timeout_sec"));
        let mut tools = Vec::new();
        for (key, names) in [
            ("allow", first(theirs, &["includeTools", "enabled_tools", "available_tools"])),
            ("hide", first(theirs, &["excludeTools", "disabled_tools", "disabledTools"])),
        ] {
            if let Some(names) = names.filter(|n| !n.items().is_empty()) {
                tools.push(Entry::new(key, names.clone()));
            }
        }
        if !tools.is_empty() {
            self.put("tools", Tree::new(Kind::Table(tools), self.place.clone()));
        }
    }

    fn number(&mut self, key: &str, value: Option<f64>) {
        let Some(value) = value.filter(|v| v.is_finite() && *v >= 1.0) else { return };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive and finite; a cast from float saturates"
        )]
        let whole = value.min(86_400_000.0) as u64;
        self.put(key, Tree::new(Kind::Number(Number::from(whole)), self.place.clone()));
    }
}

fn rewritten_entry(entry: &Entry) -> Entry {
    Entry { value: rewritten(&entry.value), ..entry.clone() }
}

/// A value whose references are written in our way.
fn rewritten(tree: &Tree) -> Tree {
    let mut out = tree.clone();
    match &mut out.kind {
        Kind::Text(text) => *text = references(text),
        Kind::List(items) => {
            for item in items {
                *item = rewritten(item);
            }
        }
        Kind::Table(entries) => {
            for entry in entries {
                entry.value = rewritten(&entry.value);
            }
        }
        _ => {}
    }
    out
}

/// `{env:X}` and `{file:p}` (`OpenCode`) and `${{ secrets.X }}` (Continue) in our way.
///
/// Gemini also takes `$NAME`, where it is the whole text.
fn references(text: &str) -> String {
    let word = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(name) = text.strip_prefix('$').filter(|name| !name.is_empty() && word(name)) {
        return format!("${{{name}}}");
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let secret =
            tail.strip_prefix("{{").and_then(|t| t.split_once("}}")).and_then(|(name, after)| {
                let name = name.trim().strip_prefix("secrets.")?;
                out.ends_with('$').then(|| (format!("{{{}}}", name.trim()), after))
            });
        let braced =
            tail.strip_prefix('{').and_then(|t| t.split_once('}')).and_then(|(name, after)| {
                let known = name.starts_with("env:") || name.starts_with("file:");
                (known && !out.ends_with('$')).then(|| {
                    let name = name.strip_prefix("env:").unwrap_or(name);
                    (format!("${{{name}}}"), after)
                })
            });
        if let Some((reference, after)) = secret.or(braced) {
            out.push_str(&reference);
            rest = after;
        } else {
            out.push('{');
            rest = tail.strip_prefix('{').unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// Whether an entry starts Narrows itself: taken over, it would call itself for ever.
pub(crate) fn is_narrows(server: &Tree) -> bool {
    let command = server.get("command").and_then(Tree::as_text).unwrap_or_default();
    let program = Path::new(command).file_name().is_some_and(|name| name == "narrows");
    let serves = server.get("args").map_or(&[][..], Tree::items);
    program && serves.iter().any(|arg| arg.as_text() == Some("serve"))
}
