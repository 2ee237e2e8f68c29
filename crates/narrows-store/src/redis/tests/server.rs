//! A Redis server of the test's own, or a part of the one that `NARROWS_TEST_REDIS` names.

use redis::{Client, Cmd, FromRedisValue, Value};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

/// Ends with this, if it is the test's own.
pub(crate) struct Server {
    url: String,
    prefix: String,
    own: Option<Own>,
}

struct Own {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// One that answers.
    pub(crate) async fn start() -> Self {
        match given() {
            Some(url) => Self { url, prefix: fresh_prefix(), own: None },
            None => Self::private().await,
        }
    }

    /// One of the test's own, which it may end and start again.
    pub(crate) async fn private() -> Self {
        // Somebody else may take the free port first.
        for _ in 0..20 {
            let port = free_port();
            let folder = tempfile::tempdir().unwrap();
            let own = Own { child: launch(port, &folder), port, folder };
            let url = format!("redis://127.0.0.1:{port}/");
            let mut server = Self { url, prefix: fresh_prefix(), own: Some(own) };
            if server.answers().await {
                return server;
            }
        }
        panic!("no redis-server could be started");
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?prefix={}", self.url, self.prefix)
    }

    /// What every name of the test begins with.
    pub(crate) fn tag(&self) -> String {
        format!("{{{}}}:", self.prefix)
    }

    /// Says something to it, past the back end.
    pub(crate) async fn say(&self, words: &[&str]) -> Value {
        let client = Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await.unwrap()
    }

    /// Every name of the test.
    pub(crate) async fn names(&self) -> Vec<String> {
        let names = self.say(&["KEYS", &format!("{}*", self.tag())]).await;
        let mut names = Vec::<String>::from_redis_value(names).unwrap();
        names.sort();
        names
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let own = self.own.as_mut().unwrap();
        own.child.kill().unwrap();
        own.child.wait().unwrap();
    }

    /// Starts it again with what it wrote down.
    pub(crate) async fn restart(&mut self) {
        let own = self.own.as_mut().unwrap();
        own.child = launch(own.port, &own.folder);
        assert!(self.answers().await);
    }

    async fn answers(&mut self) -> bool {
        let own = self.own.as_mut().unwrap();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if own.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", own.port)).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It is gone already after a `kill`.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn fresh_prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let random = getrandom::u64().unwrap();
    format!("test-{random:x}-{count}")
}

#[expect(clippy::disallowed_methods, reason = "a test's setting")]
fn given() -> Option<String> {
    std::env::var("NARROWS_TEST_REDIS").ok()
}

#[expect(clippy::disallowed_methods, reason = "the test ends it by itself")]
fn launch(port: u16, folder: &TempDir) -> Child {
    std::process::Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
