//! Where the queue lies: the servers that `cargo xtask test` started, or private ones.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Each ends when its standard input does, however this process ends.
const POSTGRES: &str = r#"
folder=$(mktemp -d) && bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1) || exit 1
"$bin/initdb" -D "$folder/data" -U narrows -A trust -E UTF8 --no-sync >"$folder/log" 2>&1 || exit 1
"$bin/postgres" -D "$folder/data" -h 127.0.0.1 -p "$1" -k '' -F >>"$folder/log" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h 127.0.0.1 -p "$1"; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
cat >/dev/null
kill -INT $pid
wait $pid
rm -rf "$folder"
"#;
const REDIS: &str = r#"
folder=$(mktemp -d) && cd "$folder" || exit 1
redis-server --bind 127.0.0.1 --port "$1" --dir "$folder" --save '' --appendonly no >log 2>&1 &
pid=$!
until [ "$(redis-cli -p "$1" ping 2>&1)" = PONG ]; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
cat >/dev/null
kill $pid
wait $pid
rm -rf "$folder"
"#;
/// Makes a database `$2` on the server `$1`.
const CREATE: &str = r#"
"$(ls -d /usr/lib/postgresql/*/bin | tail -1)/createdb" --maintenance-db="$1" "$2"
"#;

/// A store of the test's own; what it lies in is gone with this.
pub(crate) struct Place {
    pub(crate) url: String,
    _folder: Option<TempDir>,
    _server: Option<Server>,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _gone = self.0.wait();
    }
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("queue.db").display());
        Self { url, _folder: Some(folder), _server: None }
    }

    pub(crate) fn postgres() -> Self {
        let (server, own) = given("NARROWS_TEST_POSTGRES").unwrap_or_else(|| {
            let (port, own) = start(&as_postgres(), POSTGRES);
            (format!("postgres://narrows@127.0.0.1:{port}/postgres"), Some(own))
        });
        let name = unique();
        let made = Command::new("sh").args(["-c", CREATE, "sh", &server, &name]).status().unwrap();
        assert!(made.success(), "no database could be made on {server}");
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}"), _folder: None, _server: own }
    }

    pub(crate) fn redis() -> Self {
        let (server, own) = given("NARROWS_TEST_REDIS").unwrap_or_else(|| {
            let (port, own) = start(&["sh"], REDIS);
            (format!("redis://127.0.0.1:{port}"), Some(own))
        });
        Self { url: format!("{server}?prefix={}", unique()), _folder: None, _server: own }
    }
}

fn given(name: &str) -> Option<(String, Option<Server>)> {
    Some((std::env::var(name).ok()?, None))
}

/// A name that no other test has, this one's earlier runs included.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("queue_{}_{}", std::process::id(), now.as_nanos())
}

/// The server refuses to be root.
fn as_postgres() -> Vec<&'static str> {
    match tempfile::tempfile_in("/usr/bin") {
        Ok(_root) => vec!["runuser", "-u", "postgres", "--", "sh"],
        Err(_) => vec!["sh"],
    }
}

fn start(shell: &[&str], script: &str) -> (u16, Server) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", script, "sh", &port.to_string()])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let server = Server(child);
    assert_eq!(line, "ready\n", "no server: install the Debian packages postgresql, redis-server");
    (port, server)
}
