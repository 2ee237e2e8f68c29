//! Daemons of the tests' own, started by the scripts that `cargo xtask test` starts them with.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// One daemon: the one that all tests share, or the test's own.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    own: Option<Own>,
}

struct Own {
    script: Child,
    _folder: TempDir,
}

impl Daemon {
    /// Docker's, shared where somebody has started one.
    pub(crate) fn docker() -> Self {
        shared("NARROWS_TEST_DOCKER").unwrap_or_else(Self::own_docker)
    }

    /// Podman's service, shared where somebody has started one.
    pub(crate) fn podman() -> Self {
        shared("NARROWS_TEST_PODMAN").unwrap_or_else(|| own("podman.sh"))
    }

    /// Docker's, for this test only.
    pub(crate) fn own_docker() -> Self {
        own("dockerd.sh")
    }

    /// Podman's service, for this test only.
    pub(crate) fn own_podman() -> Self {
        own("podman.sh")
    }

    /// As if the machine had run out of memory.
    pub(crate) fn kill(&self) {
        assert!(self.own.is_some(), "others use it too");
        let pid = std::fs::read_to_string(self.socket.with_added_extension("pid")).unwrap();
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    }
}

/// A daemon in front of another one: it makes containers, and goes away before it says so. Gives how
/// many it has made.
pub(crate) fn forgetful(daemon: &Path, at: &Path) -> Arc<AtomicUsize> {
    let (listener, daemon) = (UnixListener::bind(at).unwrap(), daemon.to_owned());
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = UnixStream::connect(&daemon).await.unwrap();
            tokio::spawn(pass(client, server, Arc::clone(&counted)));
        }
    });
    made
}

async fn pass(client: UnixStream, server: UnixStream, made: Arc<AtomicUsize>) {
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) =
        (client.into_split(), server.into_split());
    let makes = AtomicBool::new(false);
    let up = async {
        let mut piece = Vec::with_capacity(64 << 10);
        while let Ok(1..) = client_read.read_buf(&mut piece).await {
            let asks = piece.starts_with(b"POST ");
            let asks = asks && String::from_utf8_lossy(&piece).contains("/containers/create");
            makes.fetch_or(asks, Ordering::SeqCst);
            server_write.write_all(&piece).await.unwrap();
            piece.clear();
        }
    };
    let down = async {
        let mut piece = Vec::with_capacity(64 << 10);
        while let Ok(1..) = server_read.read_buf(&mut piece).await {
            if makes.load(Ordering::SeqCst) {
                made.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if client_write.write_all(&piece).await.is_err() {
                return;
            }
            piece.clear();
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        self.script.wait().unwrap();
    }
}

fn shared(name: &str) -> Option<Daemon> {
    Some(Daemon { socket: std::env::var_os(name)?.into(), own: None })
}

fn own(script: &str) -> Daemon {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../narrows-testkit/external/daemons");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("daemon.sock");
    let mut child = Command::new("sh")
        .arg(scripts.join(script))
        .arg(&socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(
        line, "ready\n",
        "no daemon: it needs root and the Debian packages docker.io, podman, runc, runsc"
    );
    Daemon { socket, own: Some(Own { script: child, _folder: folder }) }
}
