//! Streamable HTTP by hand, on one thread: one JSON answer for each POST.

use crate::answer::{When, answer};
use std::io::Write as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 16 << 10;
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Serves until it is killed; prints the address on standard output first.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/mcp", listener.local_addr()?)?;
    out.flush()?;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(async move {
            // A connection that breaks concerns nobody else.
            let _broken = connection(stream).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut held: Vec<u8> = Vec::with_capacity(READ_BYTES);
    let (mut body, mut out) = (Vec::new(), Vec::new());
    loop {
        let Some((is_post, start, end)) = request(&held) else {
            if held.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut held).await? == 0 {
                return Ok(());
            }
            continue;
        };
        body.clear();
        out.clear();
        let message = held.get(start..end).unwrap_or_default();
        let when = if is_post { answer(message, &mut body) } else { None };
        match when {
            None if is_post => head("202 Accepted", 0, &mut out),
            None => head("405 Method Not Allowed", 0, &mut out),
            Some(when) => {
                match when {
                    When::Now => {}
                    When::After(pause) => tokio::time::sleep(pause).await,
                    When::Never => std::future::pending().await,
                }
                head("200 OK", body.len(), &mut out);
                out.extend_from_slice(&body);
            }
        }
        stream.write_all(&out).await?;
        held.drain(..end);
    }
}

fn head(status: &str, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// A whole request at the front: whether it is a POST, and where its body is.
fn request(bytes: &[u8]) -> Option<(bool, usize, usize)> {
    let start = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let mut length = 0;
    for line in bytes.get(..start)?.split(|b| *b == b'\n') {
        let name = line.get(..15).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"content-length:") {
            let value = std::str::from_utf8(line.get(15..)?).unwrap_or_default();
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let end = start + length;
    (bytes.len() >= end).then(|| (bytes.starts_with(b"POST"), start, end))
}
