//! Clients over HTTP that vanish without a word: nothing of them is left.

use crate::ground::{Ground, Visitor, memory_kb, status, until};
use crate::house::{House, Http};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const CLIENTS: usize = 1_000;
/// Clients that are there at once, and how many of them call. There are 64 lanes, and who finds none
/// is refused: two waves have to find theirs, for the gateway hears of the end of one while the next
/// one comes.
const AT_ONCE: usize = 100;
const CALLERS: usize = 25;
const ROUNDS: usize = 4;
/// After so long without a word a session is over. A busy machine must not take so long between two
/// words of one client.
const TTL: Duration = Duration::from_secs(3);
/// Revision by revision: one whose calls end with their connection, one that may come back for
/// its answers.
const PLAIN: &str = "2025-06-18";
const RESUMES: &str = "2025-11-25";

/// A client that can be asked, so that its calls get a lane; dropping it is vanishing.
struct Client {
    posts: BufReader<TcpStream>,
    address: String,
    session: String,
    revision: &'static str,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn open(http: &Http, revision: &'static str) -> Self {
        let address = http.address.clone();
        let posts = connect(&address);
        let mut client = Self { posts, address, session: String::new(), revision, stream: None };
        let capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        client.post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": revision, "capabilities": capabilities,
            "clientInfo": {"name": "passer-by", "version": "1"}}}));
        let head = answer(&mut client.posts);
        client.session = header(&head, "mcp-session-id").unwrap();
        client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert!(answer(&mut client.posts).starts_with("HTTP/1.1 202"));
        client
    }

    fn head(&self, method: &str) -> String {
        let Self { address, session, revision, .. } = self;
        let known = if session.is_empty() {
            String::new()
        } else {
            format!("Mcp-Session-Id: {session}\r\nMcp-Protocol-Version: {revision}\r\n")
        };
        format!("{method} /mcp HTTP/1.1\r\nHost: {address}\r\n{known}")
    }

    fn post(&mut self, message: &Value) {
        let body = message.to_string();
        let head = self.head("POST");
        let request = format!(
            "{head}Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.posts.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn listen(&mut self) {
        let mut stream = connect(&self.address);
        let request = format!("{}Accept: text/event-stream\r\n\r\n", self.head("GET"));
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        self.stream = Some(stream);
    }

    fn call(&mut self, tool: &str, arguments: &Value) {
        let params = json!({"name": tool, "arguments": arguments});
        self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    }
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    BufReader::new(stream)
}

fn read_head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "it hung up: {head}");
    }
    head
}

/// Reads an answer whose length is told; gives its head.
fn answer(stream: &mut BufReader<TcpStream>) -> String {
    let head = read_head(stream);
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn house(ground: &Ground) -> House {
    House::with(&json!({
        "serve": {"mode": "mcp", "session_ttl_s": TTL.as_secs()},
        "servers": {"one": ground.faulty("one")},
    }))
}

/// A thousand clients come in waves, and half of them call; all vanish.
fn round(ground: &Ground, http: &Http) -> Vec<String> {
    let mut sessions = Vec::new();
    for _ in 0..CLIENTS / AT_ONCE {
        let before = ground.arrived("one", "act").len();
        let mut clients = Vec::with_capacity(AT_ONCE);
        for n in 0..AT_ONCE {
            let calls = n % (AT_ONCE / CALLERS) == 0;
            let mut client = Client::open(http, if calls { PLAIN } else { RESUMES });
            client.listen();
            if calls {
                client.call("one.act", &json!({"until": ground.path("never")}));
            }
            sessions.push(client.session.clone());
            clients.push(client);
        }
        ground.until_arrived("one", "act", before + CALLERS);
    }
    sessions
}

fn descriptors(http: &Http) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", http.child.id())).unwrap().count()
}

fn lanes_are_gone(ground: &Ground) {
    // One process is for all.
    until("the lanes of those who vanished end", || ground.processes("one").len() <= 1);
}

/// KiB in use once they do not change any more.
fn settled_kb(http: &Http) -> u64 {
    let mut last = 0;
    until("memory settles", || {
        let now = memory_kb(http.child.id(), "VmRSS:");
        std::thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut last, now) == now
    });
    last
}

#[test]
fn a_thousand_clients_that_vanish_leave_nothing() {
    let ground = Ground::new();
    let house = house(&ground);
    let http = house.http();
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let sessions = round(&ground, &http);
        // A look at a session would keep it.
        std::thread::sleep(2 * TTL);
        lanes_are_gone(&ground);
        // What is not the binary's own is told too.
        let (kb, anon) = (settled_kb(&http), memory_kb(http.child.id(), "RssAnon:"));
        figures.push((kb, descriptors(&http), anon));
        for session in [&sessions[0], &sessions[CLIENTS - 1]] {
            let head = format!(
                "POST /mcp HTTP/1.1\nAccept: application/json, text/event-stream\nMcp-Session-Id: {session}"
            );
            let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
            let (head, _) = http.send(&head, &ping.to_string());
            assert!(head.starts_with("HTTP/1.1 404"), "the session ended: {head}");
        }
    }
    println!("after each {CLIENTS} clients, KiB, descriptors, KiB without files: {figures:?}");
    let (first_kb, first_open, _) = figures[0];
    for (kb, open, _) in &figures[1..] {
        assert!(*kb <= first_kb + first_kb / 20, "{figures:?}");
        assert!(*open <= first_open + 3, "{figures:?}");
    }
}

#[test]
fn clients_that_end_their_sessions_in_calls_harm_nobody() {
    let ground = Ground::new();
    let house = house(&ground);
    let http = house.http();
    for n in 1..=20 {
        let mut client = Client::open(&http, PLAIN);
        client.call("one.act", &json!({"until": ground.path("never")}));
        ground.until_arrived("one", "act", n);
        let head = format!("DELETE /mcp HTTP/1.1\nMcp-Session-Id: {}", client.session);
        assert!(http.send(&head, "").0.starts_with("HTTP/1.1 2"));
    }
    lanes_are_gone(&ground);
    Visitor::open(&http).echo("one", "as ever");
    let told = status(&http, "one");
    assert!(told["lastError"].is_null(), "it is well: {told}");
}

#[test]
fn a_call_of_a_client_that_may_come_back_ends_with_its_lane_when_it_does_not() {
    let ground = Ground::new();
    let house = house(&ground);
    let http = house.http();
    let mut clients: Vec<_> = (0..20).map(|_| Client::open(&http, RESUMES)).collect();
    for client in &mut clients {
        client.listen();
        client.call("one.act", &json!({"until": ground.path("never")}));
    }
    ground.until_arrived("one", "act", clients.len());
    assert!(ground.processes("one").len() >= clients.len(), "each has a lane");
    drop(clients);
    lanes_are_gone(&ground);
}
