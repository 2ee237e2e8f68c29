//! Right configs: layers, references, paths, clients' files, what is shown.

use super::{environment, folder, loaded, problems};
use crate::config::secret::Secret;
use crate::config::settings::{Era, LimitsSection};
use crate::config::{Flags, Launch, Settings, Upstream, load, show};
use narrows_types::{Layer, Limits};
use std::path::Path;
use std::time::Duration;

fn server<'s>(settings: &'s Settings, name: &str) -> &'s Upstream {
    settings.servers.iter().find(|s| s.name == name).unwrap()
}

/// The words of a program's command line.
fn words(server: &Upstream) -> Vec<&str> {
    let Launch::Stdio { command, args, .. } = &server.launch else { panic!("{server:?}") };
    std::iter::once(command.as_str()).chain(args.iter().map(Secret::expose)).collect()
}

fn env_of<'s>(server: &'s Upstream, name: &str) -> &'s str {
    let Launch::Stdio { env, .. } = &server.launch else { panic!("{server:?}") };
    env[name].expose()
}

const FULL: &str = r#"
[servers.git]
command = "uvx"
args = ["mcp-server-git", "--repository", "${REPO:-/repo}"]
env = { TOKEN = "${TOKEN}", PORT = 8080, PLAIN = "$${TOKEN}" }
cwd = "sub/./folder"
start_timeout_ms = 5000
era = "legacy"
tools = { allow = ["log"], hide = ["push"] }

[servers.docs]
url = "https://example.com/mcp"
headers = { Authorization = "Bearer ${file:key.txt}" }
enabled = false

[servers.files]
builtin = "files"
folders = ["~/notes", "here"]
write = true

[limits]
wall_ms = 5_000

[sandbox]
require = ["landlock", "user_namespace"]
"#;

#[test]
fn every_key_arrives() {
    let dir = folder("narrows.toml", FULL);
    std::fs::write(dir.path().join("key.txt"), "k3y\n").unwrap();
    let env = environment(dir.path(), &[("TOKEN", "t0ken")]);
    let loaded = load(&env, &Flags::default()).unwrap();
    assert_eq!(loaded.warnings, []);
    let settings = loaded.settings;
    let git = server(&settings, "git");
    assert_eq!(words(git), ["uvx", "mcp-server-git", "--repository", "/repo"]);
    assert_eq!(env_of(git, "TOKEN"), "t0ken");
    assert_eq!(env_of(git, "PORT"), "8080");
    assert_eq!(env_of(git, "PLAIN"), "${TOKEN}");
    assert_eq!((git.era, git.start_timeout), (Era::Legacy, Duration::from_secs(5)));
    assert_eq!((git.tools_allow.len(), git.tools_hide.len()), (1, 1));
    let Launch::Stdio { cwd: Some(cwd), .. } = &git.launch else { panic!() };
    assert_eq!(cwd, &dir.path().join("sub/folder"));
    let docs = server(&settings, "docs");
    assert!(!docs.enabled);
    let Launch::Http { headers, .. } = &docs.launch else { panic!() };
    assert_eq!(headers["Authorization"].expose(), "Bearer k3y");
    let Launch::Files { folders, write: true } = &server(&settings, "files").launch else {
        panic!()
    };
    assert_eq!(folders, &[dir.path().join("home/notes"), dir.path().join("here")]);
    assert_eq!(settings.limits.wall_ms, 5_000);
    assert_eq!(settings.limits.cpu_ms, Limits::default().cpu_ms);
    assert_eq!(settings.sandbox.require, [Layer::Landlock, Layer::UserNamespace]);
    // Secrets do not appear where settings are printed.
    let printed = format!("{settings:?}");
    assert!(!printed.contains("t0ken") && !printed.contains("k3y"), "{printed}");
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = r#"{"servers": {"git": {"command": "uvx", "args": ["a"]}}, "limits": {"calls": 7}}"#;
    let yaml = "servers:\n  git:\n    command: uvx\n    args: [a]\nlimits:\n  calls: 7\n";
    for (name, text) in [("narrows.json", json), ("narrows.yaml", yaml), ("narrows.yml", yaml)] {
        let settings = loaded(name, text, &[]).settings;
        assert_eq!(words(server(&settings, "git")), ["uvx", "a"], "{name}");
        assert_eq!(settings.limits.calls, 7, "{name}");
    }
}

#[test]
fn variables_win_over_the_file_and_flags_over_variables() {
    let text = "[servers.my-git]\ncommand = \"a\"\n[log]\nlevel = \"info\"\n[serve]\nhttp = \"127.0.0.1:1\"\n";
    let dir = folder("narrows.toml", text);
    let vars = [
        ("NARROWS__LOG__LEVEL", "debug"),
        ("NARROWS__SERVERS__MY_GIT__COMMAND", "b"),
        ("NARROWS__SERVERS__MY_GIT__ARGS", "[\"x\", \"y z\"]"),
        ("NARROWS__SERVERS__MY_GIT__ENV__TOKEN", "t"),
        ("NARROWS__SERVERS__NEW__URL", "https://x.y/mcp"),
        ("NARROWS__SERVERS__NEW__HEADERS__X_API_KEY", "k"),
        ("NARROWS__SERVE__ALLOWED_HOSTS", "a.example, b.example"),
        ("NARROWS__SERVE__HTTP", "127.0.0.1:2"),
        ("NARROWS__LIMITS", "{\"calls\": 3}"),
        ("NARROWS__UPSTREAM__CACHE", "off"),
    ];
    let set = vec![(&["serve", "http"][..], "127.0.0.1:3".to_owned(), "--http")];
    let flags = Flags { file: None, set };
    let settings = load(&environment(dir.path(), &vars), &flags).unwrap().settings;
    assert_eq!(settings.log.level, "debug");
    assert_eq!(words(server(&settings, "my-git")), ["b", "x", "y z"]);
    assert_eq!(env_of(server(&settings, "my-git"), "TOKEN"), "t");
    let Launch::Http { headers, .. } = &server(&settings, "new").launch else { panic!() };
    assert_eq!(headers["x-api-key"].expose(), "k");
    assert_eq!(settings.serve.allowed_hosts, ["a.example", "b.example"]);
    assert_eq!(settings.serve.http.as_deref(), Some("127.0.0.1:3"));
    assert_eq!(settings.limits.calls, 3);
    assert!(!settings.upstream.cache);
}

#[test]
fn a_reference_that_leads_nowhere_switches_one_server_off() {
    let text = "[servers.a]\ncommand = \"x\"\nenv = { T = \"${NOT_SET}\" }\n[servers.b]\ncommand = \"y\"\n\
                [servers.c]\ncommand = \"z\"\nargs = [\"${NOT_SET}\"]\nenabled = false\n";
    let loaded = loaded("narrows.toml", text, &[]);
    assert!(!server(&loaded.settings, "a").enabled);
    assert!(server(&loaded.settings, "b").enabled);
    let told: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["server `a` is switched off: `servers.a.env.T` needs the environment variable NOT_SET, \
          which is not set (narrows.toml:3); set it, or write ${NOT_SET:-default}"]
    );
}

#[test]
fn without_a_config_the_built_in_servers_serve() {
    let dir = tempfile::tempdir().unwrap();
    let env = environment(dir.path(), &[]);
    let loaded = load(&env, &Flags::default()).unwrap();
    let Launch::Files { folders, write: false } = &server(&loaded.settings, "files").launch else {
        panic!()
    };
    assert_eq!(folders, &[dir.path()]);
    assert!(matches!(server(&loaded.settings, "time").launch, Launch::Time));
    assert!(loaded.settings.store.url.expose().ends_with("/home/.local/share/narrows/narrows.db"));
    // The root and the home folder are never opened unasked.
    for cwd in [Path::new("/"), &dir.path().join("home")] {
        let env = crate::config::Environment::of(cwd, &[("HOME", env.home().to_str().unwrap())]);
        let loaded = load(&env, &Flags::default()).unwrap();
        assert_eq!(loaded.settings.servers.len(), 1, "{cwd:?}");
        assert_eq!(loaded.warnings.len(), 1, "{cwd:?}");
    }
}

#[test]
fn the_users_file_counts_where_the_folder_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("xdg/narrows");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("narrows.toml"), "[servers.u]\ncommand = \"u\"\n").unwrap();
    let xdg = dir.path().join("xdg");
    let env = environment(dir.path(), &[("XDG_CONFIG_HOME", xdg.to_str().unwrap())]);
    let settings = load(&env, &Flags::default()).unwrap().settings;
    assert_eq!(words(server(&settings, "u")), ["u"]);
    std::fs::write(dir.path().join("narrows.json"), r#"{"servers":{"p":{"command":"p"}}}"#)
        .unwrap();
    let settings = load(&env, &Flags::default()).unwrap().settings;
    assert_eq!(settings.servers.len(), 1);
    assert_eq!(words(server(&settings, "p")), ["p"]);
}

#[test]
fn a_file_of_our_name_may_list_its_servers_as_clients_do() {
    let text = r#"{"mcpServers": {"a": {"command": "x"}}, "serve": {"mode": "mcp"}}"#;
    let own = loaded("narrows.json", text, &[]).settings;
    assert_eq!(
        (format!("{:?}", own.serve.mode).as_str(), words(server(&own, "a"))),
        ("Mcp", vec!["x"])
    );
    // A client's file has no sections of ours.
    let theirs = loaded("other.json", text, &[]).settings;
    assert_eq!(
        (format!("{:?}", theirs.serve.mode).as_str(), words(server(&theirs, "a"))),
        ("Code", vec!["x"])
    );
    let wrong = problems("narrows.json", r#"{"mcpServers": {}, "serv": {}}"#, &[]);
    assert!(wrong[0].contains("unknown section `serv`"), "{wrong:?}");
}

#[test]
fn a_clients_file_is_taken_as_it_is() {
    let text = r#"{
      // from VS Code
      "inputs": [{"id": "gh-token", "description": "GitHub token"}],
      "servers": {
        "gh": {"type": "stdio", "command": "npx", "args": ["gh"], "env": {"T": "${input:gh-token}"}, "dev": {"watch": 1}},
        "old": {"type": "sse", "url": "https://x.y/sse"},
      },
    }"#;
    let with = loaded("mcp.json", text, &[("GH_TOKEN", "t0p")]);
    assert_eq!(env_of(server(&with.settings, "gh"), "T"), "t0p");
    assert_eq!(with.warnings.len(), 1, "{:?}", with.warnings);
    let without = loaded("mcp.json", text, &[]);
    assert!(!server(&without.settings, "gh").enabled);
    let told = without.warnings[1].to_string();
    assert!(
        told.contains("(\"GitHub token\")")
            && told.contains("set the environment variable GH_TOKEN"),
        "{told}"
    );
}

#[test]
fn what_is_shown_has_places_and_no_secrets() {
    let text = "[servers.a]\ncommand = \"x\"\nargs = [\"--api-key\", \"hunter22\", \"--token=abc\", \"postgres://u:pw@h/d\", \"-v\"]\n\
                env = { API_TOKEN = \"raw\", KEPT = \"${KEPT}\", MODE = \"fast\" }\n\
                [servers.b]\nurl = \"https://h/mcp?key=raw&x=1\"\nheaders = { Authorization = \"Bearer raw\", X-Team = \"blue\" }\n";
    let loaded = loaded(
        "narrows.toml",
        text,
        &[("KEPT", "hidden-by-reference"), ("NARROWS__LOG__LEVEL", "info")],
    );
    let shown = show(&loaded.written);
    let own: Vec<&str> = shown.lines().filter(|l| !l.ends_with("# default")).collect();
    insta::assert_snapshot!(own.join("\n"));
    let back: toml_edit::DocumentMut = shown.parse().unwrap();
    assert_eq!(back["log"]["level"].as_str(), Some("info"));
}

#[test]
fn our_limits_are_those_of_the_dictionary() {
    let section = serde_json::to_value(LimitsSection::default()).unwrap();
    let limits = serde_json::to_value(Limits::default()).unwrap();
    for (key, value) in limits.as_object().unwrap() {
        assert_eq!(section.get(key), Some(value), "{key}");
    }
    assert_eq!(LimitsSection::default().run(), Limits::default());
}

#[test]
fn every_wall_is_in_the_schema() {
    let schema = crate::cli::schema();
    for layer in Layer::ALL {
        assert!(schema.contains(&format!("\"{}\"", layer.name())), "{layer}");
    }
}

/// Every block of TOML in the guide is a good config; at most it names what is only on the reader's
/// machine, or in another block.
#[test]
fn the_guides_examples_are_right() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide");
    let texts = std::fs::read_dir(guide).unwrap();
    let texts = texts.map(|page| std::fs::read_to_string(page.unwrap().path()).unwrap());
    let blocks = |text: String| {
        let after =
            text.split("```toml\n").skip(1).map(|b| b.split("```").next().unwrap().to_owned());
        after.collect::<Vec<_>>()
    };
    let blocks: Vec<String> = texts.flat_map(blocks).collect();
    assert!(blocks.len() >= 14, "{}", blocks.len());
    let names = ["GIT_TOKEN", "GUEST_KEY", "ANN_KEY", "CRM_SECRET", "BROKER_PASSWORD"];
    let keys = names.map(|name| (name, "key-of-more-than-thirty-two-letters"));
    for block in blocks {
        let dir = folder("narrows.toml", &block);
        let flags = Flags { file: Some("narrows.toml".into()), ..Flags::default() };
        let found = load(&environment(dir.path(), &keys), &flags).err().unwrap_or_default();
        let wrong: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            wrong.iter().all(|why| why.contains("which does not exist")),
            "{block}\n{wrong:#?}"
        );
    }
}
