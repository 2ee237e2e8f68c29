//! Servers of other clients, taken over: first a plan that can be shown, then the change.

use crate::clients::dialect::{self, Found};
use crate::clients::{CLIENTS, Client};
use crate::config::expand::{input_variable, variable_name};
use crate::config::hide;
use crate::config::problem::nearest;
use crate::config::tree::{Kind, Tree};
use crate::config::{Environment, Problem, check_server_name, environment, read_file};
use std::path::{Path, PathBuf};

/// One server that was found, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its name in our config.
    pub(crate) name: String,
    /// Whose file it stands in: a client's name, or a path.
    pub(crate) from: String,
    /// The file, as a person writes it.
    pub(crate) file: String,
    pub(crate) action: Action,
    /// What of the entry is not taken over.
    pub(crate) warning: Option<String>,
}

/// What becomes of a server that was found.
#[derive(Debug)]
pub(crate) enum Action {
    /// It is added.
    Add {
        server: Tree,
        /// Variables that must be set, because a secret stood in the file or a person was asked.
        variables: Vec<String>,
    },
    /// It is there already, under this name.
    Known(String),
    /// It cannot be taken over.
    Skip(String),
}

/// Where to look.
#[derive(Debug)]
struct Source {
    label: String,
    path: PathBuf,
}

/// What would be done: every server of every client (or of one client or file), each once.
/// A file that cannot be read is told in the second list and stops nothing, unless it was named.
pub(crate) fn plan<'t>(
    env: &Environment,
    from: Option<&str>,
    known: impl Iterator<Item = (&'t str, &'t Tree)>,
) -> Result<(Vec<Step>, Vec<Problem>), Problem> {
    let mut taken: Vec<(String, Tree)> =
        known.map(|(name, server)| (name.to_owned(), server.clone())).collect();
    let (mut steps, mut unread) = (Vec::new(), Vec::new());
    for source in sources(env, from)? {
        let tree = match read_file(&source.path, env) {
            Ok(tree) => tree,
            Err(problem) if from.is_some() => return Err(problem),
            Err(problem) => {
                unread.push(problem);
                continue;
            }
        };
        for found in dialect::servers(&tree, Some(&env.cwd)) {
            steps.push(step(found, &source, env, &mut taken));
        }
    }
    Ok((steps, unread))
}

fn sources(env: &Environment, from: Option<&str>) -> Result<Vec<Source>, Problem> {
    let of_client = |client: &'static Client| {
        let files = client.files(env).into_iter().filter(|path| path.is_file());
        files.map(|path| Source { label: client.name.to_owned(), path })
    };
    let Some(from) = from else {
        let mut all: Vec<Source> = Vec::new();
        for source in CLIENTS.iter().flat_map(of_client) {
            if !all.iter().any(|s| s.path == source.path) {
                all.push(source);
            }
        }
        return Ok(all);
    };
    if let Some(client) = Client::find(from) {
        let found: Vec<Source> = of_client(client).collect();
        if found.is_empty() {
            let files = client.files(env);
            let looked: Vec<String> =
                files.iter().map(|path| environment::short(path, env)).collect();
            return Err(Problem::new(format!("{} has no config here", client.name))
                .hint(format!("looked for {}", looked.join(", "))));
        }
        return Ok(found);
    }
    let path = env.cwd.join(env.tilde(Path::new(from)));
    if path.is_file() {
        return Ok(vec![Source { label: environment::short(&path, env), path }]);
    }
    let ids = CLIENTS.iter().map(|c| c.id);
    let hint = match nearest(from, ids.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the clients are {}", ids.collect::<Vec<_>>().join(", ")),
    };
    Err(Problem::new(format!("`{from}` is neither a client nor a file")).hint(hint))
}

fn step(found: Found, source: &Source, env: &Environment, taken: &mut Vec<(String, Tree)>) -> Step {
    let name = found.name.trim().to_owned();
    let warning = found.warning;
    let step = |name: String, action| Step {
        warning: warning.clone(),
        name,
        from: source.label.clone(),
        file: environment::short(&source.path, env),
        action,
    };
    let mut server = match found.entry {
        Ok(server) => server,
        Err(why) => return step(name, Action::Skip(why)),
    };
    if dialect::is_narrows(&server) {
        return step(name, Action::Skip("it is Narrows itself".to_owned()));
    }
    if let Err(problem) = check_server_name(&name) {
        return step(name, Action::Skip(problem.message));
    }
    anchor(&mut server, env);
    let variables = protect(&name, &mut server);
    if let Some((same, _)) = taken.iter().find(|(_, other)| launch(other) == launch(&server)) {
        return step(name, Action::Known(same.clone()));
    }
    let free = |name: &str| !taken.iter().any(|(known, _)| known == name);
    let client = source.label.to_lowercase().replace([' ', '/', '.'], "-");
    let candidates = [name.clone(), format!("{name}-{client}")];
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    let name = candidates.into_iter().chain(numbered.take(100)).find(|n| free(n)).unwrap_or(name);
    taken.push((name.clone(), server.clone()));
    step(name, Action::Add { server, variables })
}

/// What makes two servers the same: how they are reached, and what they are told.
fn launch(server: &Tree) -> ([Option<serde_json::Value>; 4], Vec<&str>) {
    let told = ["env", "headers"].into_iter().filter_map(|key| server.get(key));
    let mut names: Vec<&str> = told.flat_map(Tree::entries).map(|e| e.key.as_str()).collect();
    names.sort_unstable();
    (["command", "args", "url", "builtin"].map(|key| server.get(key).map(Tree::plain)), names)
}

/// Paths that start at the project must not start at our file.
fn anchor(server: &mut Tree, env: &Environment) {
    here(server, &env.cwd.display().to_string());
    let Kind::Table(entries) = &mut server.kind else { return };
    for entry in entries.iter_mut().filter(|e| matches!(e.key.as_str(), "command" | "cwd")) {
        let Kind::Text(text) = &mut entry.value.kind else { continue };
        let relative = entry.key == "cwd" && !text.starts_with(['/', '~', '$']);
        if relative || text.starts_with("./") || text.starts_with("../") {
            *text = env.cwd.join(text.trim_start_matches("./")).display().to_string();
        }
    }
}

/// `${workspaceFolder}` is the folder in which the import was asked for.
fn here(tree: &mut Tree, cwd: &str) {
    match &mut tree.kind {
        Kind::Text(text) => *text = text.replace("${workspaceFolder}", cwd),
        Kind::List(items) => items.iter_mut().for_each(|item| here(item, cwd)),
        Kind::Table(entries) => entries.iter_mut().for_each(|e| here(&mut e.value, cwd)),
        _ => {}
    }
}

/// Puts references in the place of secrets, so that none is moved into our file. Gives the
/// variables that must be set.
pub(crate) fn protect(name: &str, server: &mut Tree) -> Vec<String> {
    let mut given = Given::default();
    let prefix = variable_name(name);
    let Kind::Table(entries) = &mut server.kind else { return Vec::new() };
    for entry in entries {
        match (entry.key.as_str(), &mut entry.value.kind) {
            ("env", Kind::Table(pairs)) => {
                for pair in pairs {
                    let (key, own) = (pair.key.clone(), variable_name(&pair.key));
                    hide::scalar(&key, &mut pair.value, &mut |hint, secret| {
                        given.reference(&of_key(&key, &own, hint), secret)
                    });
                }
            }
            ("headers", Kind::Table(pairs)) => {
                for pair in pairs {
                    let key = pair.key.clone();
                    hide::scalar(&key, &mut pair.value, &mut |hint, secret| {
                        given.reference(&joined(&prefix, hint), secret)
                    });
                }
            }
            ("args", Kind::List(items)) => hide::args(items, &mut |hint, secret| {
                given.reference(&joined(&prefix, hint), secret)
            }),
            ("url" | "command", Kind::Text(text)) => {
                *text = hide::inside(text, "key", &mut |hint, secret| {
                    given.reference(&joined(&prefix, hint), secret)
                });
            }
            _ => {}
        }
    }
    let mut needed = given.0.into_iter().map(|(variable, _)| variable).collect();
    asked(server, &mut needed);
    needed
}

/// The variable for a secret in the value of a variable: its own name for the whole value.
fn of_key(key: &str, own: &str, hint: &str) -> String {
    if hint == key { own.to_owned() } else { joined(own, hint) }
}

/// The variable for `--api-key` of the server `GH`: `GH_API_KEY`.
fn joined(prefix: &str, hint: &str) -> String {
    format!("{prefix}_{}", variable_name(hint.trim_start_matches('-')))
}

/// Variables that stand for secrets, each for one.
#[derive(Default)]
struct Given(Vec<(String, String)>);

impl Given {
    /// A reference to the variable; a numbered one where it stands for another secret already.
    fn reference(&mut self, variable: &str, secret: &str) -> String {
        let numbered = (2..100).map(|n| format!("{variable}_{n}"));
        for name in std::iter::once(variable.to_owned()).chain(numbered) {
            match self.0.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if known != secret => {}
                Some(_) => return format!("${{{name}}}"),
                None => {
                    self.0.push((name.clone(), secret.to_owned()));
                    return format!("${{{name}}}");
                }
            }
        }
        format!("${{{variable}}}")
    }
}

fn reference(variable: &str, needed: &mut Vec<String>) -> String {
    if !needed.iter().any(|n| n == variable) {
        needed.push(variable.to_owned());
    }
    format!("${{{variable}}}")
}

/// Answers that VS Code asks a person for become variables too.
fn asked(tree: &mut Tree, needed: &mut Vec<String>) {
    match &mut tree.kind {
        Kind::Text(text) => {
            while let Some((before, after)) = text.split_once("${input:") {
                let Some((id, rest)) = after.split_once('}') else { break };
                let variable = reference(&input_variable(id), needed);
                *text = format!("{before}{variable}{rest}");
            }
        }
        Kind::List(items) => items.iter_mut().for_each(|item| asked(item, needed)),
        Kind::Table(entries) => entries.iter_mut().for_each(|e| asked(&mut e.value, needed)),
        _ => {}
    }
}
