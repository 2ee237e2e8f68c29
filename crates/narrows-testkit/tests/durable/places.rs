//! Stores on real servers: those that `cargo xtask test` started, or private ones of this process.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// `PostgreSQL` on the port `$1`, until standard input ends, however this process does.
const POSTGRES: &str = r#"
folder=$(mktemp -d) && bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1) || exit 1
"$bin/initdb" -D "$folder/data" -U narrows -A trust -E UTF8 --no-sync >"$folder/log" 2>&1 || exit 1
"$bin/postgres" -D "$folder/data" -h 127.0.0.1 -p "$1" -k '' -F -c max_connections=400 \
    >>"$folder/log" 2>&1 &
pid=$!
until "$bin/pg_isready" -q -h 127.0.0.1 -p "$1"; do kill -0 $pid || exit 1; sleep 0.1; done
echo ready
cat >/dev/null
kill -INT $pid
wait $pid
rm -rf "$folder"
"#;
/// The same for Redis.
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

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Redis,
}

impl Kind {
    /// A store that nobody has used; in this folder, if it is a file.
    pub(crate) fn fresh(self, folder: &Path) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("durable_{}_{number}", std::process::id());
        match self {
            Self::Sqlite => format!("sqlite:{}", folder.join("narrows.db").display()),
            Self::Postgres => {
                let server = server(&POSTGRES_SERVER, "NARROWS_TEST_POSTGRES", || {
                    let (port, child) = start(POSTGRES, true);
                    (format!("postgres://narrows@127.0.0.1:{port}/postgres"), child)
                });
                // A process before us may have had our id.
                let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
                let made = Command::new("psql").args([server, "-qc", &sql]).output().unwrap();
                assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
                format!("{server}?options=-c%20search_path%3D{name}")
            }
            Self::Redis => {
                let server = server(&REDIS_SERVER, "NARROWS_TEST_REDIS", || {
                    let (port, child) = start(REDIS, false);
                    (format!("redis://127.0.0.1:{port}"), child)
                });
                format!("{server}?prefix={name}")
            }
        }
    }
}

type Place = OnceLock<(String, Option<Child>)>;
static POSTGRES_SERVER: Place = OnceLock::new();
static REDIS_SERVER: Place = OnceLock::new();

fn server(
    place: &'static Place,
    told: &str,
    begin: impl FnOnce() -> (String, Child),
) -> &'static str {
    let find = || {
        let told = std::env::var(told).ok().map(|url| (url, None));
        told.unwrap_or_else(|| {
            let (url, child) = begin();
            (url, Some(child))
        })
    };
    let (url, _child) = place.get_or_init(find);
    url
}

fn start(script: &str, never_root: bool) -> (u16, Child) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shell = ["sh", "-c", script, "sh"];
    // PostgreSQL refuses to be root.
    let words: Vec<&str> = if never_root && tempfile::tempfile_in("/usr/bin").is_ok() {
        ["runuser", "-u", "postgres", "--"].into_iter().chain(shell).collect()
    } else {
        shell.to_vec()
    };
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .arg(port.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "install the Debian packages postgresql and redis-server");
    (port, child)
}
