use super::OwnFile;
use crate::config::tree::{Place, Tree};
use crate::config::{Environment, Problem};
use serde_json::json;
use std::path::Path;

fn server() -> Tree {
    let value = json!({
        "command": "npx", "args": ["-y", "x"], "env": {"A": "${A}"}, "enabled": false,
        "call_timeout_ms": 5000,
    });
    Tree::of(value, &Place::whole("test"))
}

fn opened(dir: &Path, name: &str, text: &str) -> Result<OwnFile, Problem> {
    std::fs::write(dir.join(name), text).unwrap();
    OwnFile::open(&Environment::of(dir, &[("HOME", "/none")]), Some(Path::new(name)), false)
}

#[test]
fn toml_keeps_its_comments_and_order() {
    let dir = tempfile::tempdir().unwrap();
    let text = "# mine\n[log]\nlevel = \"info\" # loud\n\n[servers.a] # first\ncommand = 'a'\n\n# last words\n";
    let mut file = opened(dir.path(), "narrows.toml", text).unwrap();
    file.put("new one", &server()).unwrap();
    insta::assert_snapshot!(file.text);
    assert!(file.remove("new one").unwrap());
    assert_eq!(file.text, text);
    assert!(!file.remove("new one").unwrap());
    assert!(file.remove("a").unwrap());
    assert!(file.text.contains("# mine") && file.text.contains("# loud"), "{}", file.text);
    file.save().unwrap();
    assert_eq!(std::fs::read_to_string(&file.path).unwrap(), file.text);
}

#[test]
fn json_is_edited_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = opened(dir.path(), "narrows.json", "{\"log\": {} /* kept */}").unwrap();
    file.put("a", &server()).unwrap();
    file.put("b", &server()).unwrap();
    assert!(file.remove("a").unwrap());
    assert_eq!(file.servers().map(|(name, _)| name).collect::<Vec<_>>(), ["b"]);
    assert!(file.text.contains("/* kept */"), "{}", file.text);
}

#[test]
fn a_new_file_is_a_good_config() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let env = Environment::of(dir.path(), &[("HOME", home.to_str().unwrap())]);
    let mut file = OwnFile::open(&env, None, false).unwrap();
    assert_eq!(file.path, home.join(".config/narrows/narrows.toml"));
    file.put("a", &server()).unwrap();
    file.save().unwrap();
    let loaded = crate::config::load(&env, &crate::config::Flags::default()).unwrap();
    assert_eq!(loaded.file.as_deref(), Some(file.path.as_path()));
    assert_eq!(loaded.settings.servers.len(), 2);
    let project = OwnFile::open(&env, None, true).unwrap();
    assert_eq!(project.path, dir.path().join("narrows.toml"));
}

#[test]
fn what_is_not_ours_to_edit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let told = |name: &str, text: &str| {
        let problem = opened(dir.path(), name, text).map(|_| ()).unwrap_err();
        problem.to_string().replace(dir.path().to_str().unwrap(), "DIR")
    };
    let lines = [
        told("narrows.yaml", "servers: {}\n"),
        told("mcp.json", "{\"mcpServers\": {}}"),
        told("narrows.toml", "servers = [\n"),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    let mut odd = opened(dir.path(), "odd.toml", "servers = 3\n").unwrap();
    assert!(odd.put("a", &server()).unwrap_err().to_string().ends_with("`servers` is no table"));
}

#[test]
fn the_file_of_this_folder_is_changed_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("narrows.toml"), "").unwrap();
    let home = dir.path().join("home").display().to_string();
    let env = Environment::of(dir.path(), &[("HOME", &home)]);
    let path = |project| OwnFile::open(&env, None, project).map(|file| file.path).unwrap();
    assert!(path(false).starts_with(&home), "{:?}", path(false));
    assert_eq!(path(true), dir.path().join("narrows.toml"));
}
