//! What a program that gets out would find first: each tells when it was touched.

use crate::house::terminate;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The variable that the secret stands in, of the canary's and of the gateway's environment.
pub(crate) const VARIABLE: &str = "NARROWS_TEST_CANARY";

/// A file, two sockets and a process of the gateway's own user, and the secret that is in them.
pub(crate) struct Bait {
    pub(crate) secret: String,
    folder: TempDir,
    written: (i64, i64, u64),
    socket: UnixListener,
    port: TcpListener,
    process: Child,
}

impl Bait {
    pub(crate) fn lay() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut random = [0; 16];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut random)
            .unwrap();
        let secret =
            random.iter().fold("canary".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        let file = folder.path().join("secret");
        fs::write(&file, &secret).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let socket = UnixListener::bind(folder.path().join("socket")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        port.set_nonblocking(true).unwrap();
        let process = Command::new("sleep")
            .arg("100000")
            .env(VARIABLE, &secret)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut bait = Self { secret, folder, written: (0, 0, 0), socket, port, process };
        bait.written = bait.stamp();
        bait
    }

    /// Where everything is: attackers are told.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.local_addr().unwrap().port()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    fn stamp(&self) -> (i64, i64, u64) {
        let found = fs::metadata(self.file()).unwrap();
        (found.mtime(), found.mtime_nsec(), found.ino())
    }

    /// What was touched. `None`: nothing.
    pub(crate) fn touched(&mut self) -> Option<String> {
        if fs::read_to_string(self.file()).ok().as_ref() != Some(&self.secret) {
            return Some("the canary file has changed".to_owned());
        }
        if self.stamp() != self.written {
            return Some("the canary file was written".to_owned());
        }
        let entries = fs::read_dir(self.folder.path()).unwrap().count();
        if entries != 2 {
            return Some(format!("the canary's folder has {entries} entries"));
        }
        match (self.socket.accept(), self.port.accept()) {
            (Err(one), Err(other)) if [one.kind(), other.kind()] == [ErrorKind::WouldBlock; 2] => {}
            found => return Some(format!("somebody came to a canary socket: {found:?}")),
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        let (state, tracer) = (field("State:"), field("TracerPid:"));
        if !state.starts_with('S') || tracer != "0" {
            return Some(format!("the canary process: state {state:?}, traced by {tracer:?}"));
        }
        None
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        terminate(&mut self.process);
    }
}
