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
