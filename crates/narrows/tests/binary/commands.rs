//! Commands that need no engine.

use crate::Desk;
use serde_json::Value;

#[test]
fn help_teaches() {
    let desk = Desk::new();
    let said = desk.run(&["-h"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    insta::assert_snapshot!(said.out);
    let said = desk.run(&["add", "--help"]);
    assert!(said.out.contains("narrows add git -- uvx mcp-server-git"), "{}", said.out);
}

#[test]
fn wrong_usage_is_two_and_says_what_is_right() {
    let desk = Desk::new();
    for (args, words) in [
        (&["serv"][..], "similar subcommands exist: "),
        (&["run"], "<FILE>"),
        (&["run", "nowhere.ts"], "cannot read nowhere.ts: "),
        (&["run", "return f(1)"], "to run a program itself: narrows run --eval CODE"),
        (&["run", "a.ts", "-e", "1"], "cannot be used with"),
        (&["run", "-", "--input", "{"], "--input is no JSON: "),
        (&["run", "-", "--timeout-ms", "0"], "0 is not in 1.."),
        (&["call", "files"], "`files` names no tool"),
        (&["call", "files.read", "x"], "`x` is no argument"),
        (&["install", "curser"], "a similar value exists: 'cursor'"),
        (&["add", "x"], "COMMAND"),
        (&["add", "x", "--url", "ftp://y"], "--url must begin with `http://`"),
        (&["add", "narrows", "--", "y"], "is taken by Narrows itself"),
        (&["remove", "x"], "has no server `x`"),
        (&["import", "--from", "curser"], "did you mean `cursor`?"),
        (
            &["import", "--from", "cursor"],
            "Cursor has no config here; looked for ~/.cursor/mcp.json",
        ),
        (&["search", "x", "--config", "nowhere.toml"], "there is no file nowhere.toml"),
        (&["serve", "--http", "7300"], "`serve.http` must be an address with a port (--http)"),
    ] {
        let said = desk.run(args);
        assert_eq!(said.code, 2, "{args:?} {}", said.err);
        assert!(said.err.contains(words), "{args:?} {}", said.err);
        assert_eq!(said.out, "", "{args:?}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let desk = Desk::new();
    desk.write("work/narrows.toml", "[limits]\nwal_ms = 1\n");
    let said = desk.run(&["config", "check", "--json"]);
    assert_eq!(said.code, 2);
    let error: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(error.pointer("/error/kind").unwrap(), "config");
    let problem = error.pointer("/error/problems/0").unwrap();
    assert_eq!(problem, "unknown key `wal_ms` at limits (narrows.toml:2); did you mean `wall_ms`?");
}

#[test]
fn servers_are_added_and_removed() {
    let desk = Desk::new();
    let said = desk.run(&[
        "add",
        "git",
        "--env",
        "GIT_TOKEN=raw-secret",
        "--",
        "uvx",
        "mcp-server-git",
        "-v",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("set GIT_TOKEN where Narrows is started"), "{}", said.out);
    let said = desk.run(&[
        "add",
        "docs",
        "--url",
        "https://x.y/mcp",
        "-H",
        "Authorization=Bearer ${DOCS}",
    ]);
    assert_eq!(said.code, 0, "{}", said.err);
    let text = desk.read("home/.config/narrows/narrows.toml");
    assert!(!text.contains("raw-secret"), "{text}");
    insta::assert_snapshot!(text);
    assert_eq!(desk.run(&["add", "git", "--", "x"]).code, 2);
    assert_eq!(desk.run(&["add", "git", "--force", "--", "x"]).code, 0);
    let said = desk.run_with(&["config", "check", "--json"], &[("DOCS", "d")], "");
    let check: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&check["servers"], &check["enabled"]), (&3.into(), &3.into()));
    assert_eq!(desk.run(&["remove", "docs"]).code, 0);
    assert!(desk.run(&["remove", "doc"]).err.contains("its servers are time, git"));
}

#[test]
fn servers_are_imported_once_and_without_secrets() {
    let desk = Desk::new();
    desk.write(
        "home/.cursor/mcp.json",
        r#"{"mcpServers": {"gh": {"command": "npx", "args": ["gh"], "env": {"GH_TOKEN": "ghp_0123456789abcdef"}}}}"#,
    );
    desk.write(
        "work/.mcp.json",
        r#"{"mcpServers": {"t": {"command": "uvx", "args": ["mcp-server-time"]}}}"#,
    );
    let preview = desk.run(&["import"]);
    assert_eq!(preview.code, 0, "{}", preview.err);
    insta::assert_snapshot!(preview.out);
    let config = desk.home().join(".config/narrows/narrows.toml");
    assert!(!config.exists());
    assert_eq!(desk.run(&["import", "--yes"]).code, 0);
    let text = desk.read("home/.config/narrows/narrows.toml");
    assert!(!text.contains("ghp_") && text.contains("${GH_TOKEN}"), "{text}");
    let again: Value = serde_json::from_str(&desk.run(&["import", "--yes", "--json"]).out).unwrap();
    assert_eq!(again["written"], false);
    assert_eq!(again.pointer("/servers/0/action").unwrap(), "known");
}

#[test]
fn a_client_is_pointed_at_this_binary_and_back() {
    let desk = Desk::new();
    desk.write("work/narrows.toml", "[servers.a]\ncommand = \"a\"\n");
    let said = desk.run(&["install", "cursor", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let file: Value = serde_json::from_str(&desk.read("home/.cursor/mcp.json")).unwrap();
    let entry = file.pointer("/mcpServers/narrows").unwrap();
    assert_eq!(entry["command"], env!("CARGO_BIN_EXE_narrows"));
    // The config of this folder is not found from elsewhere, so the client names it.
    let config = desk.work().join("narrows.toml");
    assert_eq!(entry["args"], serde_json::json!(["--config", config, "serve"]));
    assert_eq!(desk.run(&["install", "cursor", "--undo"]).code, 0);
    assert!(!desk.home().join(".cursor/mcp.json").exists());
    let said = desk.run(&["install", "jetbrains"]);
    assert!(said.err.contains("paste it into Settings"), "{}", said.err);
    assert!(said.out.contains("\"mcpServers\""), "{}", said.out);
}

#[test]
fn the_config_is_shown_found_and_described() {
    let desk = Desk::new();
    desk.write(
        "work/mcp.json",
        r#"{"mcpServers": {"a": {"command": "x", "env": {"KEY": "raw"}}}}"#,
    );
    let said = desk.run(&["config", "show", "--config", "mcp.json"]);
    assert!(said.out.contains("servers.a.env.KEY = \"***\""), "{}", said.out);
    let said = desk.run(&["config", "show", "--config", "mcp.json", "--json"]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(shown.pointer("/servers/a/env/KEY").unwrap(), "***");
    let said = desk.run(&["config", "path"]);
    assert_eq!(
        said.out,
        "config in use: none\nuser's config: DIR/home/.config/narrows/narrows.toml\n\
         data:          DIR/home/.local/share/narrows\n"
    );
    let schema: Value = serde_json::from_str(&desk.run(&["config", "schema"]).out).unwrap();
    assert_eq!(schema["title"], "narrows.toml");
}

#[test]
fn logins_are_shown_and_forgotten() {
    let desk = Desk::new();
    let servers = "[servers.web]\nurl = \"https://mcp.example.com/mcp\"\n\
                   oauth = { client_id = \"me\", client_secret = \"s3cret-s3cret\" }\n\
                   [servers.time]\nbuiltin = \"time\"\n";
    desk.write("work/narrows.toml", servers);
    let said = desk.run(&["auth", "status", "--json"]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(shown[0]["server"], "web");
    assert_eq!(shown[0]["logged_in"], false);
    assert_eq!(shown[0]["url"], "https://mcp.example.com/mcp");
    assert_eq!(shown.as_array().unwrap().len(), 1, "a built-in server wants no login");
    for (args, code, words) in [
        (&["auth", "logout", "web"][..], 0, "there was no login at web"),
        (&["auth", "login", "time"], 5, "only such servers have a login"),
        (&["auth", "login", "wbe"], 2, "did you mean web?"),
        (&["auth", "login"], 2, "<SERVER>"),
        (&["config", "show"], 0, "client_secret = \"***\""),
    ] {
        let said = desk.run(args);
        let all = said.out + &said.err;
        assert_eq!(said.code, code, "{args:?}: {all}");
        assert!(all.contains(words) && !all.contains("s3cret-s3cret"), "{args:?}: {all}");
    }
}

#[test]
fn completions_know_the_commands() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = desk.run(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("narrows") && said.out.contains("doctor"), "{shell}");
    }
}

#[test]
fn colours_follow_the_flag() {
    let desk = Desk::new();
    desk.write("work/.mcp.json", r#"{"mcpServers": {"t": {"command": "uvx"}}}"#);
    assert!(!desk.run(&["import"]).out.contains('\u{1b}'));
    assert!(desk.run(&["import", "--color", "always"]).out.contains('\u{1b}'));
}

#[test]
fn a_command_of_this_folder_is_found_from_everywhere() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["add", "loc", "--", "./srv"]).code, 0);
    let text = desk.read("home/.config/narrows/narrows.toml");
    let path = desk.work().join("srv").display().to_string();
    assert!(text.contains(&path), "{text}");
}

#[test]
fn imported_secrets_stay_where_they_are() {
    let desk = Desk::new();
    desk.write(
        "home/.cursor/mcp.json",
        r#"{"mcpServers": {"gh": {"command": "docker",
            "args": ["run", "-e", "NAME=ghp_0123456789abcdef", "-e", "DB_PASSWORD=s3cr3t", "x"],
            "env": {"U": "postgres://h/d?password=hunter2", "DB_PASS": 98765432}}}}"#,
    );
    assert_eq!(desk.run(&["import", "--yes"]).code, 0);
    let text = desk.read("home/.config/narrows/narrows.toml");
    for secret in ["ghp_", "s3cr3t", "hunter2", "98765432"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.contains("NAME=${GH_NAME}"), "{text}");
}

#[test]
fn json_is_json_whatever_happens() {
    let desk = Desk::new();
    for (args, code, at) in [
        (&["serv", "--json"][..], 2, "/error/problems/0"),
        (&["completions", "bash", "--json"], 0, "/text"),
        (&["install", "goose", "--print", "--json"], 0, "/text"),
    ] {
        let said = desk.run(args);
        assert_eq!(said.code, code, "{args:?} {}", said.err);
        let answer: Value = serde_json::from_str(&said.out).unwrap();
        assert!(answer.pointer(at).is_some(), "{args:?} {answer}");
    }
}

#[test]
fn help_and_wrong_usage_follow_the_flag_for_colours() {
    let desk = Desk::new();
    for (when, colours) in [("--color=never", false), ("--color=always", true)] {
        assert_eq!(desk.run(&[when, "--help"]).out.contains('\u{1b}'), colours, "{when}");
        assert_eq!(desk.run(&[when, "serv"]).err.contains('\u{1b}'), colours, "{when}");
    }
}

#[test]
fn a_file_of_variables_that_is_not_read_is_told() {
    let desk = Desk::new();
    desk.write(
        "work/.vscode/mcp.json",
        r#"{"servers": {"t": {"command": "uvx", "envFile": ".env"}}}"#,
    );
    let said = desk.run(&["import"]);
    assert!(said.err.contains("t: envFile (.env) is not read"), "{}", said.err);
}
