//! Every client with a file as it writes one: read, pointed at us, put back.

use super::edit::Start;
use super::install::{Done, install, snippet, undo};
use super::{CLIENTS, Client, Reach, dialect, edit, edit_json};
use crate::config::Environment;
use crate::config::tree::Tree;
use crate::import::{Action, plan};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A home and a project with the files of every client.
struct Machine {
    dir: tempfile::TempDir,
    env: Environment,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clients/fixtures");
        copy(&fixtures, dir.path());
        let (home, project) = (dir.path().join("home"), dir.path().join("project"));
        let claude = home.join(".claude.json");
        let text = fs::read_to_string(&claude).unwrap();
        fs::write(&claude, text.replace("PROJECT", project.to_str().unwrap())).unwrap();
        let env = Environment::of(&project, &[("HOME", home.to_str().unwrap())]);
        Self { dir, env }
    }

    fn text(&self, path: &Path) -> String {
        fs::read_to_string(path).unwrap().replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// The plan for one client or file, or for all, as text.
    fn plan(&self, from: Option<&str>) -> String {
        let (steps, unread) = plan(&self.env, from, std::iter::empty()).unwrap();
        assert!(unread.is_empty(), "{unread:?}");
        let mut text = String::new();
        for step in steps {
            let what = match &step.action {
                Action::Add { server, variables } => {
                    format!("{} needs {variables:?}", server.plain())
                }
                Action::Known(name) => format!("known as {name}"),
                Action::Skip(why) => format!("left out: {why}"),
            };
            writeln!(text, "{} [{}] {what}", step.name, step.file).unwrap();
        }
        text.replace(self.dir.path().to_str().unwrap(), "DIR")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn start() -> Start {
    Start { command: "/opt/narrows".to_owned(), args: vec!["serve".to_owned()] }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_240_473 + seconds)
}

#[test]
fn every_client_is_read() {
    let machine = Machine::new();
    let mut text = String::new();
    for client in CLIENTS.iter().filter(|c| c.id != "jetbrains") {
        let plan = machine.plan(Some(client.id));
        assert!(client.id == "roo" || !plan.is_empty(), "{}", client.id);
        write!(text, "# {}\n{plan}\n", client.id).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn all_together_each_server_stands_once() {
    let text = Machine::new().plan(None);
    let added =
        text.lines().filter(|l| l.contains(" needs [")).map(|l| l.split(' ').next().unwrap());
    let mut names: Vec<&str> = added.collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(text.contains("figma [.cursor/mcp.json] known as figma"), "{text}");
    // No secret that stands in a client's file is in the plan.
    for secret in ["s3cr3t", "BSAabc", "hunter2", "abcdef0123456789", "sk-live", "hf_abc"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn every_client_is_pointed_at_us_and_back() {
    let machine = Machine::new();
    let mut text = String::new();
    for client in CLIENTS.iter().filter(|c| c.id != "jetbrains" && c.id != "claude-desktop") {
        for reach in [Reach::User, Reach::Project] {
            let Some(file) = client.file(reach, &machine.env) else { continue };
            let before = fs::read_to_string(&file).ok();
            let done = install(client, reach, &start(), &machine.env, at(0)).unwrap();
            let Done::Written { backup, .. } = done else { panic!("{}", client.id) };
            let name = file.strip_prefix(machine.dir.path()).unwrap().display();
            write!(text, "# {name}\n{}\n", machine.text(&file)).unwrap();
            let again = install(client, reach, &start(), &machine.env, at(1)).unwrap();
            assert_eq!(again, Done::Unchanged { file: file.clone() }, "{}", client.id);
            assert_eq!(undo(client, reach, &machine.env, false).unwrap(), file);
            assert_eq!(fs::read_to_string(&file).ok(), before, "{}", client.id);
            assert!(!backup.exists());
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_client_has_something_to_paste() {
    let mut text = String::new();
    for client in &CLIENTS {
        let snippet = snippet(client, &start());
        assert!(snippet.contains("/opt/narrows"), "{}", client.id);
        write!(text, "# {}\n{snippet}\n", client.id).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_entry_of_ours_is_replaced() {
    let machine = Machine::new();
    let client = Client::find("claude-desktop").unwrap();
    install(
        client,
        Reach::User,
        &Start { args: vec!["serve".into(), "-q".into()], ..start() },
        &machine.env,
        at(0),
    )
    .unwrap();
    let text = machine.text(&client.file(Reach::User, &machine.env).unwrap());
    assert_eq!(text.matches("\"narrows\"").count(), 1, "{text}");
    assert!(text.contains("\"-q\""), "{text}");
}

#[test]
fn a_file_that_changed_since_is_put_back_by_force_only() {
    let machine = Machine::new();
    let client = Client::find("cursor").unwrap();
    let file = client.file(Reach::User, &machine.env).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    install(client, Reach::User, &start(), &machine.env, at(0)).unwrap();
    let changed = fs::read_to_string(&file).unwrap().replace("figma", "figma2");
    fs::write(&file, &changed).unwrap();
    let why = undo(client, Reach::User, &machine.env, false).unwrap_err();
    assert_eq!(
        why,
        "~/.cursor/mcp.json has changed since; --force puts it back to \
         ~/.cursor/mcp.json.narrows-backup-20261121T055433Z all the same"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), changed);
    undo(client, Reach::User, &machine.env, true).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let why = undo(client, Reach::User, &machine.env, true).unwrap_err();
    assert_eq!(why, "there is no backup of ~/.cursor/mcp.json to go back to");
}

#[test]
fn what_cannot_be_edited_safely_is_left_as_it_is() {
    let machine = Machine::new();
    let cases: [(&str, &str); 5] = [
        ("cursor", "{\"mcpServers\": [1]}"),
        ("cursor", "{\"mcpServers\": "),
        ("codex", "mcp_servers = 3\n"),
        ("goose", "extensions: {a: {enabled: true}}\n"),
        ("goose", "extensions:\n\tx: 1\n"),
    ];
    for (id, text) in cases {
        let client = Client::find(id).unwrap();
        let file = client.file(Reach::User, &machine.env).unwrap();
        fs::write(&file, text).unwrap();
        let why = install(client, Reach::User, &start(), &machine.env, at(0)).unwrap_err();
        assert!(why.contains("was not changed: "), "{why}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn a_link_stays_a_link_and_modes_are_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::new();
    let client = Client::find("cursor").unwrap();
    let file = client.file(Reach::User, &machine.env).unwrap();
    let real: PathBuf = machine.dir.path().join("dotfiles.json");
    fs::rename(&file, &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &file).unwrap();
    install(client, Reach::User, &start(), &machine.env, at(0)).unwrap();
    assert!(fs::symlink_metadata(&file).unwrap().file_type().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read_to_string(&real).unwrap().contains("/opt/narrows"));
}

#[test]
fn json_is_edited_in_every_layout() {
    let cases = [
        "",
        "{}",
        "{ }",
        "{\n}\n",
        "{\n  // nothing yet\n}\n",
        "{\"mcpServers\": {}}",
        "{\"mcpServers\": {\"a\": {\"command\": \"x\"}}}",
        "{\n\t\"mcpServers\": {\n\t\t\"a\": 1, // first\n\t\t\"b\": 2, // last\n\t},\n\t\"z\": null\n}\n",
        "\u{feff}{\n    \"x\": [\n        1\n    ]\n}",
    ];
    let value = edit::entry(dialect::Dialect::Servers, &start());
    let mut all = String::new();
    for text in cases {
        let new = edit_json::put(text, &["mcpServers", "narrows"], &value).unwrap();
        let tree = crate::config::parse_json(&new, &"x".into()).unwrap();
        assert_eq!(
            tree.at(&["mcpServers", "narrows"]).map(Tree::plain),
            Some(value.clone()),
            "{new}"
        );
        write!(all, "{}\n---\n", new.replace('\u{feff}', "BOM")).unwrap();
        let gone = edit_json::remove(&new, &["mcpServers", "narrows"]).unwrap();
        let tree = crate::config::parse_json(&gone, &"x".into()).unwrap();
        assert!(tree.at(&["mcpServers", "narrows"]).is_none(), "{gone}");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_the_user_wrote_into_our_entry_stays() {
    use crate::config::formats::Format;
    let json = r#"{"mcpServers": {"narrows": {"command": "old", "url": "http://x", "args": [], "env": {"A": "b"}, "disabled": true}}}"#;
    let new = edit::put(json, dialect::Dialect::Servers, Format::Json, &start()).unwrap();
    assert!(new.contains("/opt/narrows") && !new.contains("old") && !new.contains("url"), "{new}");
    assert!(new.contains("disabled") && new.contains("\"A\""), "{new}");
    let toml = "[mcp_servers.narrows]\ncommand = \"old\"\nargs = []\nstartup_timeout_sec = 20 # slow\n\n[mcp_servers.narrows.env]\nA = \"b\"\n";
    let new = edit::put(toml, dialect::Dialect::Codex, Format::Toml, &start()).unwrap();
    assert!(new.contains("/opt/narrows") && !new.contains("old"), "{new}");
    assert!(new.contains("startup_timeout_sec = 20 # slow") && new.contains("A = \"b\""), "{new}");
    let yaml = "extensions:\n  narrows:\n    name: narrows\n    cmd: old\n    args: []\n    timeout: 9\n    envs:\n      A: b\n";
    let new = edit::put(yaml, dialect::Dialect::Goose, Format::Yaml, &start()).unwrap();
    assert!(new.contains("/opt/narrows") && new.contains("timeout: 9"), "{new}");
    assert!(new.contains("\"A\""), "{new}");
}
