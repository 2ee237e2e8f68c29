//! The API as Firecracker's own server speaks it: requests with a body, `204` without one, and
//! `400` with a `fault_message`.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// The longest request that the real one takes.
const REQUEST_BYTES_MAX: usize = 51_200;

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Request {
    /// Reads one. `None`: it is none.
    pub(crate) fn read(stream: &mut UnixStream) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        if length > REQUEST_BYTES_MAX {
            return None;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        Some(Self { method, path, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

/// Writes the answer.
pub(crate) fn answer(stream: &mut UnixStream, outcome: Result<(), String>) {
    let head = "Server: Firecracker API\r\nConnection: keep-alive\r\n";
    let text = match outcome {
        Ok(()) => format!("HTTP/1.1 204 \r\n{head}\r\n"),
        Err(why) => {
            let body = json!({ "fault_message": why }).to_string();
            let length = body.len();
            format!(
                "HTTP/1.1 400 \r\n{head}Content-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
        }
    };
    // Whoever asked may be gone.
    drop(stream.write_all(text.as_bytes()));
}

/// As an outcome.
pub(crate) fn refuse<T>(why: &str) -> Result<T, String> {
    Err(why.to_owned())
}

/// Refuses a body with a field that the real one does not know.
pub(crate) fn only(body: &Value, fields: &[&str]) -> Result<(), String> {
    let Some(body) = body.as_object() else { return refuse("invalid type") };
    match body.keys().find(|key| !fields.contains(&key.as_str())) {
        Some(unknown) => Err(format!("unknown field `{unknown}`")),
        None => Ok(()),
    }
}

/// A field that has to be there.
pub(crate) fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, String> {
    let found = body.get(field).and_then(Value::as_str);
    found.ok_or_else(|| format!("missing field `{field}`"))
}
