//! A byte proxy that keeps what passes: the wire of a conformance run, to lay one run beside another.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What one connection carried, each way.
#[derive(Default)]
struct Carried {
    up: Mutex<Vec<u8>>,
    down: Mutex<Vec<u8>>,
}

/// One request and all that came back for it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) verb: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) status: u16,
    /// The JSON messages of the answer, of a JSON body or of an event stream alike.
    pub(crate) messages: Vec<Value>,
}

/// A proxy on a port of its own, until the test ends.
pub(crate) struct Tap {
    address: String,
    connections: Arc<Mutex<Vec<Arc<Carried>>>>,
}

impl Tap {
    /// Stands in front of `target` (`host:port`).
    pub(crate) fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::<Mutex<Vec<Arc<Carried>>>>::default();
        let (kept, target) = (Arc::clone(&connections), target.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(near), Ok(far)) = (stream, TcpStream::connect(&target)) else { continue };
                let carried = Arc::<Carried>::default();
                kept.lock().unwrap().push(Arc::clone(&carried));
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let up = Arc::clone(&carried);
                thread::spawn(move || carry(near, far, &up.up));
                thread::spawn(move || carry(far_too, near_too, &carried.down));
            }
        });
        Self { address, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Everything that passed, in the order in which the connections were opened.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        let connections = self.connections.lock().unwrap();
        connections
            .iter()
            .flat_map(|carried| {
                let (up, down) = (carried.up.lock().unwrap(), carried.down.lock().unwrap());
                exchanges(&up, &down)
            })
            .collect()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, keep: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        keep.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Half of the connection stays open: the answer may still be under way.
    let _gone = to.shutdown(Shutdown::Write);
    let _gone = from.shutdown(Shutdown::Read);
}

fn exchanges(up: &[u8], down: &[u8]) -> Vec<Exchange> {
    let (mut requests, mut answers) = (up, down);
    let mut found = Vec::new();
    while let Some((line, headers, body)) = message(&mut requests) {
        let verb = line.split(' ').next().unwrap_or_default().to_owned();
        let (status, answer_headers, answer) = message(&mut answers).unwrap_or_default();
        let status = status.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let events = header(&answer_headers, "content-type").contains("event-stream");
        let messages = if events {
            events_of(&answer)
        } else {
            serde_json::from_str(&answer).into_iter().collect()
        };
        found.push(Exchange { verb, headers, body, status, messages });
    }
    found
}

/// The start line, the headers and the body of an HTTP message.
type Message = (String, Vec<(String, String)>, String);

/// The next message.
fn message(rest: &mut &[u8]) -> Option<Message> {
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end + 4..];
    let mut lines = head.split("\r\n");
    let start = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let body = if header(&headers, "transfer-encoding") == "chunked" {
        chunks(rest)
    } else {
        let length = header(&headers, "content-length").parse().unwrap_or(0);
        let (body, after) = rest.split_at(rest.len().min(length));
        *rest = after;
        body.to_vec()
    };
    Some((start, headers, String::from_utf8_lossy(&body).into_owned()))
}

/// A chunked body, or what had come of it when the connection ended.
fn chunks(rest: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let start = end + 2;
        let stop = rest.len().min(start + size);
        body.extend_from_slice(&rest[start..stop]);
        *rest = &rest[rest.len().min(stop + 2)..];
        if size == 0 {
            break;
        }
    }
    body
}

pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// The JSON of each event that has some (an event that only primes a stream has none).
fn events_of(stream: &str) -> Vec<Value> {
    let stream = stream.replace("\r\n", "\n");
    let data = |event: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
    };
    stream.split("\n\n").filter_map(|event| serde_json::from_str(&data(event)).ok()).collect()
}
