//! `narrows import`, `add`, `remove`.

use super::Desk;
use super::args::{AddArgs, ImportArgs, RemoveArgs};
use super::exit::{Fail, OK};
use super::output::Tone;
use crate::config::problem::nearest;
use crate::config::secret::is_reference;
use crate::config::tree::{Entry, Kind, Place, Tree};
use crate::config::{Problem, check_server_name, check_url, environment, mask_url};
use crate::import::{Action, Step, plan, protect};
use crate::own_file::OwnFile;
use serde_json::{Value, json};

impl Desk {
    fn own_file(&self, project: bool) -> Result<OwnFile, Fail> {
        OwnFile::open(&self.env, self.flags.file.as_deref(), project).map_err(Fail::Usage)
    }

    pub(super) fn import(&self, args: &ImportArgs) -> Result<u8, Fail> {
        let mut file = self.own_file(args.project)?;
        let (steps, unread) =
            plan(&self.env, args.from.as_deref(), file.servers()).map_err(Fail::Usage)?;
        for problem in &unread {
            self.out.warn(&problem.to_string());
        }
        for step in steps.iter().filter(|s| matches!(s.action, Action::Add { .. })) {
            if let Some(warning) = &step.warning {
                self.out.warn(&format!("{}: {warning}", step.name));
            }
        }
        let target = environment::short(&file.path, &self.env);
        let adds = steps.iter().filter(|s| matches!(s.action, Action::Add { .. })).count();
        if args.yes && adds > 0 {
            for step in &steps {
                if let Action::Add { server, .. } = &step.action {
                    file.put(&step.name, server).map_err(Fail::Usage)?;
                }
            }
            file.save().map_err(Fail::Usage)?;
        }
        let json = json!({
            "file": file.path, "written": args.yes && adds > 0,
            "servers": steps.iter().map(as_json).collect::<Vec<_>>(),
        });
        self.out.either(&json, || self.preview(&steps, adds, args.yes, &target))?;
        Ok(OK)
    }

    fn preview(&self, steps: &[Step], adds: usize, written: bool, target: &str) -> String {
        if steps.is_empty() {
            return "no client here has a server configured; `narrows add` connects one".to_owned();
        }
        let rows = steps.iter().map(|step| {
            let (what, tone) = match &step.action {
                Action::Add { .. } if written => ("added".to_owned(), Tone::Good),
                Action::Add { .. } => ("add".to_owned(), Tone::Good),
                Action::Known(name) => (format!("known as {name}"), Tone::Dim),
                Action::Skip(_) => ("left out".to_owned(), Tone::Warn),
            };
            let how = match &step.action {
                Action::Add { server, .. } => how(server),
                Action::Known(_) => String::new(),
                Action::Skip(why) => why.clone(),
            };
            vec![
                (step.name.clone(), Some(Tone::Strong)),
                (what, Some(tone)),
                (format!("{} ({})", step.from, step.file), None),
                (how, None),
            ]
        });
        let mut text = self.out.table(&["SERVER", "", "FROM", "HOW"], rows.collect());
        text.push_str(&variables(steps));
        text.push('\n');
        let last = match (adds, written) {
            (0, _) => "nothing to add\n".to_owned(),
            (n, true) => format!("{n} added to {target}; `narrows servers` tries them\n"),
            (n, false) => format!("{n} to add to {target}; `narrows import --yes` does it\n"),
        };
        text.push_str(&last);
        text
    }

    pub(super) fn add(&self, args: AddArgs) -> Result<u8, Fail> {
        check_server_name(&args.name).map_err(Fail::Usage)?;
        let mut file = self.own_file(args.project)?;
        if !args.force && file.servers().any(|(name, _)| name == args.name) {
            return Err(Fail::Usage(
                Problem::new(format!("there is a server `{}` already", args.name))
                    .hint("--force replaces it"),
            ));
        }
        let name = args.name.clone();
        let mut server = entry(args)?;
        let variables = protect(&name, &mut server);
        file.put(&name, &server).map_err(Fail::Usage)?;
        file.save().map_err(Fail::Usage)?;
        let target = environment::short(&file.path, &self.env);
        let json = json!({"file": file.path, "name": name, "server": server.plain(), "variables": variables});
        self.out.either(&json, || {
            let needed = variables.iter().map(|v| {
                format!("\nthe secret was not written down: set {v} where Narrows is started")
            });
            format!("added {name} to {target}: {}{}", how(&server), needed.collect::<String>())
        })?;
        Ok(OK)
    }

    pub(super) fn remove(&self, args: &RemoveArgs) -> Result<u8, Fail> {
        let mut file = self.own_file(args.project)?;
        let target = environment::short(&file.path, &self.env);
        if !file.remove(&args.name).map_err(Fail::Usage)? {
            let names: Vec<&str> = file.servers().map(|(name, _)| name).collect();
            let hint = match nearest(&args.name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its servers are {}", names.join(", ")),
            };
            let shown = args.name.escape_debug();
            return Err(Fail::Usage(
                Problem::new(format!("{target} has no server `{shown}`")).hint(hint),
            ));
        }
        file.save().map_err(Fail::Usage)?;
        let json = json!({"file": file.path, "removed": args.name});
        self.out.either(&json, || format!("removed {} from {target}", args.name))?;
        Ok(OK)
    }
}

fn as_json(step: &Step) -> Value {
    let mut value = json!({"name": step.name, "from": step.from, "file": step.file});
    if let Some(warning) = &step.warning
        && let Some(map) = value.as_object_mut()
    {
        map.insert("warning".to_owned(), json!(warning));
    }
    let more = match &step.action {
        Action::Add { server, variables } => {
            json!({"action": "add", "server": server.plain(), "variables": variables})
        }
        Action::Known(name) => json!({"action": "known", "as": name}),
        Action::Skip(why) => json!({"action": "skip", "reason": why}),
    };
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
    value
}

/// Which variables to set, and where their values stand now.
fn variables(steps: &[Step]) -> String {
    let lines = steps.iter().filter_map(|step| match &step.action {
        Action::Add { variables, .. } if !variables.is_empty() => {
            Some(format!("  {}: {} (see {})\n", step.name, variables.join(", "), step.file))
        }
        _ => None,
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        return lines;
    }
    format!("\nSecrets are not copied. Set these variables where Narrows is started:\n{lines}")
}

/// How a server is reached, on one line, secrets masked.
fn how(server: &Tree) -> String {
    let text = |key: &str| server.get(key).and_then(Tree::as_text);
    if let Some(url) = text("url") {
        return mask_url(url);
    }
    let args = server.get("args").map_or(&[][..], Tree::items);
    let words = text("command").into_iter().chain(args.iter().filter_map(Tree::as_text));
    let line = words.map(mask_url).collect::<Vec<_>>().join(" ");
    super::render::first_line(&line)
}

/// What `add` was told, as an entry of the config.
fn entry(args: AddArgs) -> Result<Tree, Fail> {
    let place = Place::whole("narrows add");
    let mut entries: Vec<Entry> = Vec::new();
    let mut put = |key: &str, kind: Kind| {
        entries.push(Entry::new(key, Tree::new(kind, place.clone())));
    };
    if let Some(url) = args.url {
        // A url with references is checked when they are replaced.
        if !url.contains("${") {
            check_url(&url).map_err(|why| Fail::usage(format!("--url {why}")))?;
        }
        put("url", Kind::Text(url));
        let headers = pairs(&args.header, "--header", &place)?;
        if !headers.is_empty() {
            put("headers", Kind::Table(headers));
        }
    } else {
        let mut words = args.command.into_iter();
        let mut command = words.next().unwrap_or_default();
        if command.starts_with("./") || command.starts_with("../") {
            // The file starts it from its own folder, which is another one than this.
            let here = command.trim_start_matches("./");
            let path = std::path::absolute(here).unwrap_or_else(|_| here.into());
            command = path.display().to_string();
        }
        put("command", Kind::Text(command));
        let rest: Vec<Tree> = words.map(|word| Tree::text(word, &place)).collect();
        if !rest.is_empty() {
            put("args", Kind::List(rest));
        }
        let env = pairs(&args.env, "--env", &place)?;
        if !env.is_empty() {
            put("env", Kind::Table(env));
        }
        if let Some(cwd) = args.cwd {
            let cwd = std::path::absolute(&cwd).unwrap_or(cwd);
            put("cwd", Kind::Text(cwd.display().to_string()));
        }
    }
    Ok(Tree::new(Kind::Table(entries), place))
}

fn pairs(words: &[String], flag: &str, place: &Place) -> Result<Vec<Entry>, Fail> {
    let pair = |word: &String| {
        // `Name: value`, as headers are written elsewhere, is understood too.
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if !name.contains(':') => (name, value),
            _ => word
                .split_once(':')
                .filter(|_| flag == "--header")
                .ok_or_else(|| Fail::usage(format!("{flag} takes NAME=VALUE")))?,
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() {
            return Err(Fail::usage(format!("{flag} takes NAME=VALUE")));
        }
        let value = if is_reference(value) || !value.is_empty() { value } else { "" };
        Ok(Entry::new(name, Tree::text(value, place)))
    };
    words.iter().map(pair).collect()
}
