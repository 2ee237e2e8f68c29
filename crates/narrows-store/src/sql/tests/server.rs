//! A `PostgreSQL` server: the one that `cargo xtask test` started, or a private one of this process.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// Ends when its standard input does, however this process ends.
const SCRIPT: &str = include_str!("../../../../narrows-testkit/external/daemons/postgres.sh");

/// The url of a fresh schema, with more options.
pub(super) async fn fresh(more: &str) -> String {
    static SERVER: OnceCell<(String, Option<Child>)> = OnceCell::const_new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (server, _child) = SERVER.get_or_init(find).await;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let schema = format!("store_{}_{number}", std::process::id());
    let mut connection = PgConnection::connect(server).await.unwrap();
    // A process before us may have had our id.
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}?options=-c%20search_path%3D{schema}{more}")
}

/// Cuts all connections of this name.
pub(super) async fn cut(url: &str, name: &str) {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{name}' AND pid <> pg_backend_pid()"
    );
    run(&url.replace(name, "cutter"), &sql).await;
}

/// Runs something in a connection of its own.
pub(super) async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test runner says where the server is")]
async fn find() -> (String, Option<Child>) {
    match std::env::var("NARROWS_TEST_POSTGRES") {
        Ok(url) => (url, None),
        Err(_) => tokio::task::spawn_blocking(start).await.unwrap(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own server")]
fn start() -> (String, Option<Child>) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shell = ["sh", "-c", SCRIPT, "sh"];
    // The server refuses to be root.
    let words: Vec<&str> = if writable("/usr/bin") {
        ["runuser", "-u", "postgres", "--"].into_iter().chain(shell).collect()
    } else {
        shell.to_vec()
    };
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .args([&port.to_string(), "-F"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "no PostgreSQL: install the Debian package postgresql");
    (format!("postgres://narrows@127.0.0.1:{port}/postgres"), Some(child))
}

fn writable(folder: &str) -> bool {
    tempfile::tempfile_in(folder).is_ok()
}
