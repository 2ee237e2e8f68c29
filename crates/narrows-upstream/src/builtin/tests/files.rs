use super::House;
use crate::config::Builtin;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A folder with something in it, and a secret beside it.
fn ground() -> TempDir {
    let ground = tempfile::tempdir().unwrap();
    let root = ground.path().join("root");
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    fs::write(root.join("readme.md"), "# Title\nsecond line\nthird Line\n").unwrap();
    fs::write(root.join("src/main.rs"), "fn main() {}\n// needle here\n").unwrap();
    fs::write(root.join("src/deep/lib.rs"), "// Needle there\n").unwrap();
    fs::write(root.join(".git/config"), "needle\n").unwrap();
    fs::write(root.join("pixel.png"), b"\x89PNG\0\0").unwrap();
    fs::write(root.join("data.bin"), b"\0\x01needle").unwrap();
    fs::write(ground.path().join("secret.txt"), "needle: secret\n").unwrap();
    symlink("../secret.txt", root.join("escape")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("src", root.join("inner")).unwrap();
    ground
}

fn house(ground: &TempDir) -> House {
    House::files(&ground.path().join("root"), true)
}

fn paths(value: &Value, list: &str) -> Vec<String> {
    let items = value[list].as_array().unwrap();
    items.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn folders_are_listed_in_order() {
    let ground = ground();
    let house = house(&ground);
    let value = house.value("list", &json!({}));
    let expected = [".git", "data.bin", "escape", "inner", "pixel.png", "readme.md", "src", "up"];
    assert_eq!(paths(&value, "entries"), expected);
    assert_eq!(value["entries"][2]["kind"], "link");
    assert_eq!(value["entries"][5]["bytes"], 31);
    let value = house.value("list", &json!({"pattern": "*.rs"}));
    assert_eq!(paths(&value, "entries"), ["src/deep/lib.rs", "src/main.rs"]);
    let value = house.value("list", &json!({"path": "src", "depth": 2, "limit": 2}));
    assert_eq!(paths(&value, "entries"), ["src/deep", "src/deep/lib.rs"]);
    assert_eq!(value["truncated"], true);
}

#[test]
fn files_are_read_whole_and_in_part() {
    let ground = ground();
    let house = house(&ground);
    let value = house.value("read", &json!({"path": "src/main.rs"}));
    assert_eq!(value["text"], "fn main() {}\n// needle here\n");
    assert_eq!(value["truncated"], false);
    let value = house.value("read", &json!({"path": "readme.md", "from_line": 2, "lines": 1}));
    assert_eq!(value["text"], "second line\n");
    assert_eq!(value["truncated"], true);
    let value = house.value("read", &json!({"path": "readme.md", "offset": 2, "bytes": 5}));
    assert_eq!(value["text"], "Title");
    let value = house.value("read", &json!({"path": "inner/main.rs"}));
    assert_eq!(value["path"], "src/main.rs");
    let root = ground.path().join("root");
    let value = house.value("read", &json!({"path": root.join("readme.md")}));
    assert_eq!(value["path"], "readme.md");
    fs::write(root.join("cut.txt"), "a\u{e4}\u{e4}").unwrap();
    let value = house.value("read", &json!({"path": "cut.txt", "bytes": 4}));
    assert_eq!((&value["text"], &value["bytes"]), (&json!("a\u{e4}"), &json!(3)));
    let value = house.value("read", &json!({"path": "readme.md", "from_line": 99}));
    assert_eq!(value["text"], "");
}

#[test]
fn what_is_no_text_comes_as_binary_content() {
    let ground = ground();
    let house = house(&ground);
    let image = house.call("read", &json!({"path": "pixel.png"}));
    assert_eq!(image.content[0].kind(), "image");
    assert_eq!(image.content[0].0["mimeType"], "image/png");
    let blob = house.call("read", &json!({"path": "data.bin"}));
    assert_eq!(blob.content[0].0["resource"]["blob"], "AAFuZWVkbGU=");
    let value: Value = serde_json::from_str(blob.structured_content.unwrap().get()).unwrap();
    assert!(value.get("text").is_none());
}

#[test]
fn searches_find_lines_and_names() {
    let ground = ground();
    let house = house(&ground);
    let value = house.value("search", &json!({"query": "needle"}));
    assert_eq!(paths(&value, "matches"), ["src/deep/lib.rs", "src/main.rs"]);
    assert_eq!(value["matches"][1]["line"], 2);
    assert_eq!(value["matches"][1]["text"], "// needle here");
    assert_eq!(value["files_skipped"], 2, "the two binary files");
    let value = house.value("search", &json!({"query": "needle", "case_sensitive": true}));
    assert_eq!(paths(&value, "matches"), ["src/main.rs"]);
    let value = house.value("search", &json!({"pattern": "*.md"}));
    assert_eq!(paths(&value, "matches"), ["readme.md"]);
    let value = house.value("search", &json!({"query": "line", "limit": 1}));
    assert_eq!(value["truncated"], true);
    let value = house.value("search", &json!({"query": "needle", "path": "src/main.rs"}));
    assert_eq!(paths(&value, "matches"), ["src/main.rs"]);
    house.refused("search", &json!({}));
}

#[test]
fn nothing_outside_is_reached() {
    let ground = ground();
    let house = house(&ground);
    let outside = ground.path().join("secret.txt");
    let sneaky = ground.path().join("root/../secret.txt");
    let beside = format!("{}-beside/x", ground.path().join("root").display());
    for path in [
        json!("../secret.txt"),
        json!("src/../../secret.txt"),
        json!(outside),
        json!(sneaky),
        json!(beside),
        json!("escape"),
        json!("up/secret.txt"),
        json!("up"),
        json!("/etc/passwd"),
        json!("/proc/self/environ"),
        json!("a\u{0}b"),
        json!("x".repeat(5_000)),
    ] {
        for tool in ["read", "stat", "list", "search"] {
            let mut ask = json!({"path": path});
            if tool == "search" {
                ask["query"] = json!("needle");
            }
            let why = house.refused(tool, &ask);
            assert!(!why.contains("secret\n") && why.len() < 500, "{tool} {path}: {why}");
        }
        house.refused("write", &json!({"path": path, "text": "x", "mode": "overwrite"}));
        house.refused("write", &json!({"path": path, "text": "x", "make_folders": true}));
    }
    assert_eq!(fs::read_to_string(outside).unwrap(), "needle: secret\n");
    let why = house.refused("read", &json!({"path": "/no/such/place"}));
    assert!(why.contains("outside the allowed folders"), "does not tell what exists: {why}");
}

#[test]
fn files_are_written_only_where_it_is_on() {
    let ground = ground();
    let house = house(&ground);
    let root = ground.path().join("root");
    let value = house.value("write", &json!({"path": "new.txt", "text": "one"}));
    assert_eq!(value["total_bytes"], 3);
    let why = house.refused("write", &json!({"path": "new.txt", "text": "two"}));
    assert!(why.contains("use mode overwrite or append"), "{why}");
    house.value("write", &json!({"path": "new.txt", "text": "2", "mode": "append"}));
    assert_eq!(fs::read_to_string(root.join("new.txt")).unwrap(), "one2");
    house.value("write", &json!({"path": "new.txt", "base64": "YQ==", "mode": "overwrite"}));
    assert_eq!(fs::read_to_string(root.join("new.txt")).unwrap(), "a");
    let why = house.refused("write", &json!({"path": "a/b/c.txt", "text": "x"}));
    assert!(why.contains("make_folders"), "{why}");
    house.value("write", &json!({"path": "a/b/c.txt", "text": "x", "make_folders": true}));
    assert_eq!(fs::read_to_string(root.join("a/b/c.txt")).unwrap(), "x");
    house.refused("write", &json!({"path": "src", "text": "x", "mode": "overwrite"}));
    house.refused("write", &json!({"path": "x", "text": "x", "base64": "YQ=="}));

    let read_only = House::files(&root, false);
    assert!(read_only.inside.listing().tools.iter().all(|t| t.name != "write"));
}

#[test]
fn pipes_and_missing_folders_do_not_hang() {
    let ground = ground();
    let house = house(&ground);
    let pipe = ground.path().join("root/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let why = house.refused("read", &json!({"path": "pipe"}));
    assert!(why.contains("no ordinary file"), "{why}");
    house.value("search", &json!({"query": "needle"}));
    let missing = House::files(&ground.path().join("nowhere"), false);
    let why = missing.refused("list", &json!({}));
    assert!(why.contains("no allowed folder exists"), "{why}");
    let why = house.refused("read", &json!({"path": "src"}));
    assert!(why.contains("is a folder"), "{why}");
}

#[test]
fn several_folders_are_told_apart_by_whole_paths() {
    let ground = ground();
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("only-here.txt"), "x").unwrap();
    let folders = vec![ground.path().join("root"), other.path().to_owned()];
    let house = House::new(&Builtin::Files { folders, write: false });
    let value = house.value("read", &json!({"path": "only-here.txt"}));
    let shown = value["path"].as_str().unwrap().to_owned();
    assert!(shown.starts_with('/'), "{shown}");
    assert_eq!(house.value("stat", &json!({"path": shown}))["mime"], "text/plain");
    assert!(paths(&house.value("list", &json!({})), "entries").contains(&shown));
}

#[test]
fn a_line_without_an_end_is_not_skipped_for_ever() {
    let ground = ground();
    let house = house(&ground);
    let endless = fs::File::create(ground.path().join("root/endless.log")).unwrap();
    // A hole takes no room on the disk, and days to read.
    endless.set_len(1 << 42).unwrap();
    let arguments = json!({"path": "endless.log", "from_line": 2}).to_string();
    let arguments = serde_json::value::RawValue::from_string(arguments).unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(100);
    let call = house.inside.call("read", &arguments, deadline);
    assert!(house.runtime.block_on(call).unwrap().is_error);
    // The runtime waits for the thread, which would read on without end.
    drop(house);
}
