//! Where the browser comes back to: a listener on the loopback address that lives as long as one
//! login and answers nobody else.

use super::Refusal;
use reqwest::Url;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes of a request that are read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long one connection may take.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// Connections at once; browsers open some to spare.
const CONNECTIONS_MAX: usize = 16;
const PATH: &str = "/callback";

/// The address that the browser is sent back to.
pub(super) fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}{PATH}")
}

/// The port of such an address.
pub(super) fn port(address: &str) -> Option<u16> {
    let url = Url::parse(address).ok()?;
    url.port().filter(|port| self::address(*port) == address)
}

/// Waits for the browser.
pub(super) struct Listener {
    socket: TcpListener,
    port: u16,
}

impl Listener {
    /// On the configured port, else on the one that is registered, else on any.
    pub(super) async fn bind(fixed: Option<u16>, known: Option<u16>) -> Result<Self, Refusal> {
        let wishes = match fixed {
            Some(port) => vec![port],
            None => known.into_iter().chain([0]).collect(),
        };
        let mut why = Refusal::new("no port is free");
        for wish in wishes {
            match TcpListener::bind(("127.0.0.1", wish)).await {
                Ok(socket) => {
                    let port = socket.local_addr().map_or(wish, |address| address.port());
                    return Ok(Self { socket, port });
                }
                Err(e) => why = Refusal::new(format!("cannot listen on 127.0.0.1:{wish}: {e}")),
            }
        }
        Err(why)
    }

    pub(super) fn address(&self) -> String {
        address(self.port)
    }

    /// The address that the browser came back with, once it carries our state. Anything else is
    /// turned away and waited past.
    pub(super) async fn answer(self, state: &str) -> Result<Url, Refusal> {
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.socket.accept(), if visits.len() < CONNECTIONS_MAX => {
                    let (stream, _from) =
                        accepted.map_err(|e| Refusal::new(format!("the listener broke: {e}")))?;
                    let (state, port) = (state.to_owned(), self.port);
                    visits.spawn(async move {
                        timeout(CONNECTION_WAIT, visit(stream, &state, port)).await.ok().flatten()
                    });
                }
                Some(visit) = visits.join_next(), if !visits.is_empty() => {
                    if let Ok(Some(url)) = visit {
                        return Ok(url);
                    }
                }
            }
        }
    }
}

/// One request; the address that it asks for, if it is the one that we wait for.
async fn visit(mut stream: TcpStream, state: &str, port: u16) -> Option<Url> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 2048];
        let read = stream.read(&mut chunk).await.ok()?;
        head.extend_from_slice(chunk.get(..read)?);
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let host = head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    // A page elsewhere whose name was pointed here calls us by that name.
    let ours = host.is_some_and(|host| host == format!("127.0.0.1:{port}"));
    let url = Url::parse(&format!("http://127.0.0.1:{port}{target}")).ok();
    let url = url.filter(|url| ours && method == "GET" && url.path() == PATH);
    let (status, text, url) = match url {
        None => ("404 Not Found", "Nothing is here.", None),
        Some(url) if value(&url, "state").as_deref() != Some(state) => {
            ("400 Bad Request", "This is not the login that Narrows waits for.", None)
        }
        Some(url) if value(&url, "code").is_none() => {
            ("200 OK", "The login was refused. You can close this page.", Some(url))
        }
        Some(url) => ("200 OK", "Narrows has what it needs. You can close this page.", Some(url)),
    };
    let page = format!("<!doctype html><meta charset=utf-8><title>Narrows</title><p>{text}</p>\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{page}",
        page.len()
    );
    // The browser may be gone; its address is what counts.
    let _told = stream.write_all(answer.as_bytes()).await;
    let _ended = stream.shutdown().await;
    url
}

/// A member of the query; a name that stands there twice has no value.
pub(super) fn value(url: &Url, name: &str) -> Option<String> {
    let mut values = url.query_pairs().filter(|(key, _)| key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then(|| value.into_owned())
}
