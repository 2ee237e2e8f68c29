use super::State as S;
use super::{State, data_dir, server};
use crate::config::{Environment, Flags, load};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn every_server_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let there = bin.join("there");
    std::fs::write(&there, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(bin.join("plain"), "no program").unwrap();
    let config = r#"
        [servers.a]
        command = "there"
        [servers.b]
        command = "npx"
        [servers.c]
        command = "plain"
        [servers.d]
        command = "there"
        cwd = "nowhere"
        [servers.e]
        builtin = "files"
        folders = ["nowhere"]
        [servers.f]
        url = "https://x.y/mcp"
        [servers.g]
        command = "./bin/there"
    "#;
    std::fs::write(dir.path().join("narrows.toml"), config).unwrap();
    let env = Environment::of(dir.path(), &[("PATH", bin.to_str().unwrap()), ("HOME", "/none")]);
    let settings = load(&env, &Flags::default()).unwrap().settings;
    let checks: Vec<_> = settings.servers.iter().map(|s| server(s, &env)).collect();
    let states: Vec<State> = checks.iter().map(|c| c.state).collect();
    assert_eq!(states, [S::Ok, S::Fail, S::Fail, S::Fail, S::Fail, S::Ok, S::Ok]);
    assert_eq!(checks[1].found, "the command `npx` is not on PATH");
    assert_eq!(checks[1].fix, "install Node.js 20 or later");
    assert!(checks[3].found.ends_with("/nowhere does not exist"), "{}", checks[3].found);
}

#[test]
fn the_data_folder_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(data_dir(&dir.path().join("a/b")).state, State::Ok);
    assert_eq!(std::fs::read_dir(dir.path().join("a/b")).unwrap().count(), 0);
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(data_dir(&file.join("b")).state, State::Fail);
}

#[tokio::test]
async fn the_store_is_named_and_tried() {
    let dir = tempfile::tempdir().unwrap();
    let env = Environment::of(dir.path(), &[("HOME", dir.path().to_str().unwrap())]);
    let check = async |url: &str| {
        let text = format!("[store]\nurl = \"{url}\"\n");
        std::fs::write(dir.path().join("narrows.toml"), text).unwrap();
        let settings = load(&env, &Flags::default()).unwrap().settings;
        crate::assembly::store_check(&settings).await.unwrap()
    };
    let file = dir.path().join("a.db");
    let check_file = check(&format!("sqlite:{}", file.display())).await;
    assert_eq!(check_file.state, S::Ok, "{check_file:?}");
    assert_eq!(check_file.found, format!("SQLite at {}; it can be reached", file.display()));
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, place) in [
        (
            format!("postgres://u:hunter2@127.0.0.1:{port}/d"),
            format!("PostgreSQL at postgres://127.0.0.1:{port}/d; it cannot be reached: "),
        ),
        (
            format!("redis://:hunter2@127.0.0.1:{port}"),
            format!("Redis at redis://127.0.0.1:{port}/0; it cannot be reached: "),
        ),
    ] {
        let found = check(&url).await;
        assert_eq!(found.state, S::Fail, "{found:?}");
        assert!(found.found.starts_with(&place), "{found:?}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}
