//! Narrows itself in a container, as Docker makes it by default: which walls are left there is what
//! the documents say, and they hold.

use crate::house::config;
use crate::places::{self, Inside, Maker};
use narrows_sandbox::{Config, Sandbox};
use narrows_types::Layer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tests of this binary that are run inside.
const INSIDE: [&str; 4] = [
    "contained::tells_its_walls",
    "broken_in::every_forbidden_call_kills_the_worker",
    "broken_in::processes_hold_from_outside",
    "limits::a_run_beyond_a_limit_is_told_by_its_name",
];
/// What a line of the first one begins with.
const WALL: &str = "wall:";

/// Run by the next test in a container.
#[tokio::test]
async fn tells_its_walls() {
    let cgroup = crate::together::auto();
    let sandbox = Sandbox::start(Config { cgroup, ..config("worker") }).await.unwrap();
    for state in sandbox.probe().await.unwrap() {
        writeln!(std::io::stdout(), "{WALL} {} {}", state.layer, state.reached).unwrap();
    }
    sandbox.shutdown().await;
}

#[test]
fn a_default_container_leaves_the_walls_that_the_documents_name() {
    let Some(place) = places::containers(Maker::Docker, Inside::Worker) else { return };
    let mut sockets = place.config.docker.unwrap().sockets;
    let (code, output) = run_inside(&Daemon(sockets.remove(0)));
    assert_eq!(code, 0, "{output}");
    let told = output.lines().filter_map(|line| line.split_once(WALL)?.1.trim().split_once(' '));
    let told: BTreeMap<&str, bool> =
        told.map(|(wall, holds)| (wall, holds.trim() == "true")).collect();
    assert_eq!(told.len(), Layer::ALL.len(), "{output}");
    let documented = documented();
    let documented = documented.iter().map(|(wall, holds)| (wall.as_str(), *holds));
    assert_eq!(told, documented.collect(), "docs/guide/containers.md says otherwise");
}

/// The table of the guide: walls, and whether they stand.
fn documented() -> BTreeMap<String, bool> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/containers.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let mut walls = BTreeMap::new();
    for line in guide.lines().filter(|line| line.starts_with("| `")) {
        let holds = line.contains("| stands");
        let names = line.split('`').skip(1).step_by(2);
        let names = names.filter(|name| Layer::ALL.iter().any(|layer| layer.name() == *name));
        walls.extend(names.map(|name| (name.to_owned(), holds)));
    }
    walls
}

/// Runs this binary, with all that it needs of the machine to read, and nothing else changed.
fn run_inside(daemon: &Daemon) -> (i64, String) {
    let image = daemon.image();
    let this = std::env::current_exe().unwrap();
    let folders = [
        this.parent().and_then(Path::parent).unwrap(),
        Path::new(env!("CARGO_BIN_EXE_jailed-worker")).parent().unwrap(),
        Path::new(env!("CARGO_MANIFEST_DIR")),
        Path::new("/usr"),
        Path::new("/lib"),
        Path::new("/lib64"),
    ];
    let mut binds: Vec<String> =
        folders.iter().map(|folder| format!("{0}:{0}:ro", folder.display())).collect();
    binds.sort();
    binds.dedup();
    let mut command = vec![this.display().to_string()];
    command.extend(["--exact", "--nocapture", "--test-threads", "1"].map(str::to_owned));
    command.extend(INSIDE.map(str::to_owned));
    let host = json!({"NetworkMode": "none", "Binds": binds, "Tmpfs": {"/tmp": ""}});
    let body = json!({"Image": image, "Cmd": command, "Env": ["NARROWS_LIMIT_RUNS=40"],
        "Tty": true, "HostConfig": host});
    let made = daemon.ask("POST", "/containers/create", &body);
    let id = made.get("Id").and_then(Value::as_str).unwrap_or_else(|| panic!("{made}"));
    daemon.ask("POST", &format!("/containers/{id}/start"), &Value::Null);
    let waited = daemon.ask("POST", &format!("/containers/{id}/wait"), &Value::Null);
    let output = daemon.send("GET", &format!("/containers/{id}/logs?stdout=1&stderr=1"), b"");
    daemon.ask("DELETE", &format!("/containers/{id}?force=1"), &Value::Null);
    let code = waited.get("StatusCode").and_then(Value::as_i64);
    (code.unwrap_or_else(|| panic!("{waited} {output}")), output)
}

/// A Docker daemon, asked by curl.
struct Daemon(PathBuf);

impl Daemon {
    fn send(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "280", "--request", method])
            .args(["--header", "Content-Type: application/json", "--data-binary", "@-"])
            .arg("--unix-socket")
            .arg(&self.0)
            .arg(format!("http://docker{path}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin.take().unwrap().write_all(body).unwrap();
        let output = curl.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        serde_json::from_str(&self.send(method, path, body.as_bytes())).unwrap_or_default()
    }

    /// An image of empty folders.
    fn image(&self) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        for name in ["usr", "lib", "lib64", "tmp", "proc", "dev", "sys", "etc"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let tar = Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).output();
        let create = "/images/create?fromSrc=-&repo=localhost/narrows-contained&tag=test";
        let made = self.send("POST", create, &tar.unwrap().stdout);
        assert!(made.contains("sha256"), "{made}");
        "localhost/narrows-contained:test"
    }
}
