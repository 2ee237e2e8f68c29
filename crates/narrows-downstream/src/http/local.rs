//! The HTTP door at a Unix socket, for clients of the same user on the same machine.

use super::serve;
use axum::Router;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixSocket};
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Only its owner may connect.
const MODE: u32 = 0o600;

/// A Unix socket that is bound and not served yet.
#[derive(Debug)]
pub struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whether the file is still ours when we end.
    file: (u64, u64),
}

impl LocalDoor {
    /// Binds a socket that only its owner can open. One that a dead process left is replaced; where
    /// somebody listens, or where a file of another kind is, it fails.
    pub fn bind(path: &Path) -> io::Result<Self> {
        clear(path)?;
        let socket = UnixSocket::new_stream()?;
        // The file is made with the mode of its socket, so at no time can others open it.
        let file = File::from(socket.as_fd().try_clone_to_owned()?);
        file.set_permissions(Permissions::from_mode(MODE))?;
        socket.bind(path)?;
        let listener = socket.listen(BACKLOG)?;
        fs::set_permissions(path, Permissions::from_mode(MODE))?;
        Ok(Self { listener, path: path.to_owned(), file: identity(path)? })
    }

    /// Serves as [`serve_http`](super::serve_http) does, then removes the socket's file.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> io::Result<()> {
        let served = serve(self.listener, router, shutdown).await;
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            fs::remove_file(&self.path)?;
        }
        served
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes a socket at which nobody listens.
fn clear(path: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !file.file_type().is_socket() {
        let message = "a file that is no socket is there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(_somebody) => {
            let message = "another process listens there";
            Err(io::Error::new(io::ErrorKind::AddrInUse, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LocalDoor;
    use axum::Router;
    use axum::routing::get;
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn a_socket_is_served_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("narrows.sock");
        // What a process that was killed leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let door = LocalDoor::bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(LocalDoor::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);

        let shutdown = CancellationToken::new();
        let router = Router::new().route("/", get(|| async { "served" }));
        let serving = door.serve(router, shutdown.clone());
        let asking = async {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            shutdown.cancel();
            reply
        };
        let (served, reply) = tokio::join!(serving, asking);
        served.unwrap();
        assert!(reply.ends_with("served"), "{reply}");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn no_other_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(LocalDoor::bind(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        // A socket that somebody else put in the place of ours stays.
        let path = folder.path().join("narrows.sock");
        let door = LocalDoor::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        door.serve(Router::new(), shutdown).await.unwrap();
        assert!(path.exists());
    }
}
