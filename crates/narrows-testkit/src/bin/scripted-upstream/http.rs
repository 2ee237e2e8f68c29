//! Streamable HTTP, the smallest that is true: one JSON answer for each POST.

use crate::answer::Server;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const BODY_BYTES_MAX: usize = 64 << 20;

/// Serves until it is killed; prints the address on standard output first.
pub(crate) fn serve(server: &Arc<Server>, port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/mcp", listener.local_addr()?)?;
    out.flush()?;
    for stream in listener.incoming() {
        let (stream, server) = (stream?, Arc::clone(server));
        std::thread::spawn(move || {
            // A connection that breaks concerns nobody else.
            let _broken = connection(&server, &stream);
        });
    }
    Ok(())
}

fn connection(server: &Server, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut length = 0_usize;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length.min(BODY_BYTES_MAX)];
        reader.read_exact(&mut body)?;
        let answer = if first.starts_with("POST") {
            respond(server, &body)
        } else {
            response("405 Method Not Allowed", "")
        };
        let mut out = stream;
        out.write_all(&answer)?;
    }
}

fn respond(server: &Server, body: &[u8]) -> Vec<u8> {
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return response("400 Bad Request", "");
    };
    match server.answer(&message, &mut |_| {}) {
        Some(answer) => response("200 OK", &answer),
        None => response("202 Accepted", ""),
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
