//! Firecracker's API: small JSON requests over a Unix socket, each with a connection of its own.

use serde_json::Value;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// More than any answer has.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Between two looks for a socket that is about to be there.
const POLL: Duration = Duration::from_millis(1);

/// Makes one request and waits until it has been carried out. To be called under a deadline.
pub(crate) async fn request(
    socket: &Path,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<(), String> {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let failed = |why: String| format!("firecracker: {method} {path}: {why}");
    let mut stream = connect(socket).await.map_err(|error| failed(error.to_string()))?;
    let sent = stream.write_all([head, body].concat().as_bytes()).await;
    sent.map_err(|error| failed(error.to_string()))?;
    match answer(&mut stream).await.map_err(|error| failed(error.to_string()))? {
        (200..=299, _) => Ok(()),
        (status, body) => {
            let fault = serde_json::from_str::<Value>(&body).unwrap_or_default();
            let fault = fault.get("fault_message").and_then(Value::as_str).unwrap_or(&body);
            Err(failed(format!("{status}: {}", fault.escape_debug())))
        }
    }
}

/// Connects to a socket that is about to be there. To be called under a deadline.
pub(crate) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                tokio::time::sleep(POLL).await;
            }
            connected => return connected,
        }
    }
}

/// The status and the body.
async fn answer(stream: &mut UnixStream) -> io::Result<(u16, String)> {
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = whole(&bytes) {
            return Ok(answer);
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::other("it answers with half a message"));
        }
    }
}

/// What has arrived, if it is all there.
fn whole(bytes: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (body.len() >= length.unwrap_or(0)).then(|| (status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_firecracker_writes_them() {
        let done = "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(whole(done.as_bytes()), Some((204, String::new())));
        let refused = "HTTP/1.1 400 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\
                       Content-Type: application/json\r\nContent-Length: 22\r\n\r\n\
                       {\"fault_message\":\"no\"}";
        assert_eq!(whole(refused.as_bytes()).unwrap().0, 400);
        assert_eq!(whole(&refused.as_bytes()[..refused.len() - 1]), None);
        assert_eq!(whole(b"HTTP/1.1 204"), None);
    }
}
