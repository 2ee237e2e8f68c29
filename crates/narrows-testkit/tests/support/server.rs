//! The servers that `cargo xtask test` started, or private ones: for more than one test binary.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

const POSTGRES: &str = include_str!("../../external/daemons/postgres.sh");
const REDIS: &str = include_str!("../../external/daemons/redis.sh");

/// A private server, which ends with this, and with this process however that ends.
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _gone = self.0.wait();
    }
}

/// The url of a `PostgreSQL` server.
pub(crate) fn postgres() -> (String, Option<Server>) {
    given("NARROWS_TEST_POSTGRES").unwrap_or_else(|| {
        let (port, own) = start(POSTGRES, "-F", true);
        (format!("postgres://narrows@127.0.0.1:{port}/postgres"), Some(own))
    })
}

/// The url of a Redis server.
pub(crate) fn redis() -> (String, Option<Server>) {
    given("NARROWS_TEST_REDIS").unwrap_or_else(|| {
        let (port, own) = start(REDIS, "no", false);
        (format!("redis://127.0.0.1:{port}"), Some(own))
    })
}

fn given(name: &str) -> Option<(String, Option<Server>)> {
    Some((std::env::var(name).ok()?, None))
}

fn start(script: &str, flag: &str, never_root: bool) -> (u16, Server) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut words = vec!["sh", "-c", script, "sh"];
    if never_root && tempfile::tempfile_in("/usr/bin").is_ok() {
        words.splice(0..0, ["runuser", "-u", "postgres", "--"]);
    }
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args([&port.to_string(), flag])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let server = Server(child);
    assert_eq!(line, "ready\n", "install the Debian packages postgresql and redis-server");
    (port, server)
}
