//! From a host's name to a connection. The address that is judged is the one that is dialled.

use super::{BUFFER_BYTES, way};
use narrows_types::Network;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// How long it may take to find a host, and to reach it.
const WAIT: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried.
const ADDRESSES_MAX: u32 = 4;
/// Names that one run looks up at once; further ones wait.
const LOOKUPS_MAX: usize = 4;
/// The same for all runs together.
const LOOKUPS_ALL: usize = 32;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undialled {
    /// The list does not have it.
    NotListed,
    /// It is an address inside, which the list does not have.
    Inside(IpAddr),
    /// It cannot be found or reached.
    Away(String),
    /// It took too long.
    Late,
}

/// Places to look names up in.
#[derive(Debug, Clone)]
pub(super) struct Lookups {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Default for Lookups {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { own: places(LOOKUPS_MAX), all: places(LOOKUPS_ALL) }
    }
}

impl Lookups {
    /// Those of one more run.
    pub(super) fn of_a_run(&self) -> Self {
        Self { own: Self::default().own, all: Arc::clone(&self.all) }
    }

    /// A run's own first: one that waits for itself keeps nobody else waiting.
    async fn place(&self) -> Result<[OwnedSemaphorePermit; 2], AcquireError> {
        let own = Arc::clone(&self.own).acquire_owned().await?;
        Ok([own, Arc::clone(&self.all).acquire_owned().await?])
    }
}

/// Dials a host that the list allows.
pub(super) async fn dial(
    network: &Network,
    (host, port): (&str, u16),
    lookups: &Lookups,
) -> Result<TcpStream, Undialled> {
    if !network.allows(host, port) {
        return Err(Undialled::NotListed);
    }
    let until = Instant::now() + WAIT;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_name) => timeout_at(until, addresses(bare, lookups))
            .await
            .map_err(|_late| Undialled::Late)?
            .map_err(Undialled::Away)?,
    };
    first(network, (in_turn(found), port), until).await
}

/// The system's look-up goes on where whoever asked has gone: its place is free when it has ended.
async fn addresses(name: &str, lookups: &Lookups) -> Result<Vec<IpAddr>, String> {
    let away = |error: &dyn std::fmt::Display| format!("it is not found: {error}");
    let place = lookups.place().await.map_err(|error| away(&error))?;
    let name = name.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        drop(place);
        found.map(|found| found.map(|address| address.ip()).collect())
    });
    looked_up.await.map_err(|error| away(&error))?.map_err(|error| away(&error))
}

/// Both families in turn, each in the system's order: many addresses of the one do not hide the other.
fn in_turn(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut of_v4, mut of_v6) = (0..ADDRESSES_MAX, 0..ADDRESSES_MAX);
    let turn = |ip: IpAddr| {
        let turns = if ip.is_ipv4() { &mut of_v4 } else { &mut of_v6 };
        turns.next().map(|turn| (turn, ip))
    };
    let mut turns: Vec<(u32, IpAddr)> =
        found.into_iter().map(|ip| ip.to_canonical()).filter_map(turn).collect();
    turns.sort_by_key(|(turn, _ip)| *turn);
    turns.into_iter().map(|(_turn, ip)| ip).collect()
}

/// The first that answers. Each has its part of the time that is left: one that never answers leaves
/// some to the next.
async fn first(
    network: &Network,
    (found, port): (Vec<IpAddr>, u16),
    until: Instant,
) -> Result<TcpStream, Undialled> {
    let mut last = Undialled::Away("it is not found: it has no address".to_owned());
    let left = (1..=ADDRESSES_MAX.min(u32::try_from(found.len()).unwrap_or(u32::MAX))).rev();
    for (ip, left) in found.into_iter().zip(left) {
        let time = until.saturating_duration_since(Instant::now()) / left;
        match timeout(time, reach(network, ip, port)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => last = why,
            Err(_late) => last = Undialled::Late,
        }
    }
    Err(last)
}

async fn reach(network: &Network, ip: IpAddr, port: u16) -> Result<TcpStream, Undialled> {
    let away = |error: io::Error| Undialled::Away(format!("it is not reached: {error}"));
    if !network.names(ip, port) {
        if !is_outside(ip) {
            return Err(Undialled::Inside(ip));
        }
        // Whoever changes routes keeps the kernel from telling them.
        let beyond = tokio::task::spawn_blocking(move || way::is_beyond(ip)).await;
        if !beyond.map_err(io::Error::other).flatten().map_err(away)? {
            return Err(Undialled::Inside(ip));
        }
    }
    connected(SocketAddr::new(ip, port)).await.map_err(away)
}

/// A connection whose buffers are as bounded as the program's own.
async fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let bytes = u32::try_from(BUFFER_BYTES).unwrap_or(u32::MAX);
    socket.set_recv_buffer_size(bytes)?;
    socket.set_send_buffer_size(bytes)?;
    socket.connect(address).await
}

/// Whether an address can be one of the open internet: not of networks of one's own, of a machine's
/// neighbours, of those who watch over it, nor one that stands for another one.
fn is_outside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !INSIDE_V4.iter().any(|(net, bits)| is_in_v4(ip, *net, *bits)),
        IpAddr::V6(ip) => {
            is_in_v6(ip, GLOBAL_V6) && !INSIDE_V6.iter().any(|net| is_in_v6(ip, *net))
        }
    }
}

/// What is no open internet, by IANA's registry of special addresses.
const INSIDE_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Where clouds tell their machines what they are, too.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    // What watches over machines in Azure.
    ([168, 63, 129, 16], 32),
];

/// All that is given out, and what of that is for documents or carries addresses of another kind.
const GLOBAL_V6: ([u16; 2], u32) = ([0x2000, 0], 3);
const INSIDE_V6: [([u16; 2], u32); 4] =
    [([0x2001, 0], 23), ([0x2001, 0xdb8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

fn is_in_v4(ip: Ipv4Addr, net: [u8; 4], bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    ip.to_bits() & mask == Ipv4Addr::from(net).to_bits()
}

fn is_in_v6(ip: Ipv6Addr, (net, bits): ([u16; 2], u32)) -> bool {
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    let [first, second] = net;
    ip.to_bits() & mask == Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0).to_bits()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn only_the_open_internet_is_outside() {
        for (ip, outside) in [
            ("1.1.1.1", true),
            ("93.184.216.34", true),
            ("172.32.0.1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.100.100.200", false),
            ("127.0.0.1", false),
            ("127.255.0.9", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("169.254.169.254", false),
            ("172.31.255.255", false),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2606:4700::1111", true),
            ("::", false),
            ("::1", false),
            ("64:ff9b::a00:1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_outside(ip.parse().unwrap()), outside, "{ip}");
        }
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(!is_outside(mapped.to_canonical()) && !is_outside(mapped));
    }

    pub(in super::super) async fn dialled(
        list: &[String],
        host: &str,
        port: u16,
    ) -> Result<(), Undialled> {
        let lookups = Lookups::default();
        dial(&Network::of(list).unwrap(), (host, port), &lookups).await.map(drop)
    }

    #[test]
    fn no_family_hides_the_other() {
        let turns = |found: &[&str]| {
            let found = found.iter().map(|ip| ip.parse().unwrap()).collect();
            let turns = in_turn(found).into_iter().map(|ip| ip.to_string());
            turns.take(4).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            turns(&["2a00::1", "2a00::2", "2a00::3", "2a00::4", "2a00::5", "1.1.1.1"]),
            "2a00::1 1.1.1.1 2a00::2 2a00::3"
        );
        assert_eq!(turns(&["1.1.1.1", "::ffff:1.1.1.2", "1.1.1.3"]), "1.1.1.1 1.1.1.2 1.1.1.3");
    }

    /// One that takes connections and one that is full, so that it answers nobody.
    #[tokio::test]
    async fn an_address_that_never_answers_leaves_time_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let full = SocketAddr::from(([127, 0, 0, 2], own.port()));
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(full).unwrap();
        let _full = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        let short = Duration::from_millis(300);
        while let Ok(stream) = timeout(short, TcpStream::connect(full)).await {
            waiting.push(stream.unwrap());
        }
        let network = Network::of([own.to_string(), full.to_string()]).unwrap();
        let tried = |ips: Vec<IpAddr>, wait| {
            let until = Instant::now() + Duration::from_millis(wait);
            let (network, port) = (network.clone(), own.port());
            async move { first(&network, (ips, port), until).await.map(drop) }
        };
        let begun = Instant::now();
        assert_eq!(tried(vec![full.ip(), own.ip()], 1600).await, Ok(()));
        assert!(begun.elapsed() < Duration::from_millis(1300), "{:?}", begun.elapsed());
        assert_eq!(tried(vec![full.ip(), full.ip()], 200).await, Err(Undialled::Late));
    }

    #[tokio::test]
    async fn no_run_takes_all_look_ups() {
        let all = Lookups { all: Arc::new(Semaphore::new(LOOKUPS_MAX + 1)), ..Lookups::default() };
        let (greedy, other) = (all.of_a_run(), all.of_a_run());
        let (short, mut taken) = (Duration::from_millis(20), Vec::new());
        for _ in 0..LOOKUPS_MAX {
            taken.push(timeout(short, greedy.place()).await.unwrap().unwrap());
        }
        let mut waits = std::pin::pin!(greedy.place());
        assert!(timeout(short, &mut waits).await.is_err());
        let others = timeout(short, other.place()).await;
        assert!(others.is_ok(), "one that waits has nothing yet");
        assert!(timeout(short, other.place()).await.is_err(), "all together have a bound too");
        drop(taken);
        assert!(timeout(short, waits).await.is_ok());
    }

    /// A name that leads inside is what a rebound one is.
    #[tokio::test]
    async fn an_address_inside_is_only_dialled_where_the_list_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (name, own) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
        let inside = |ended| matches!(ended, Err(Undialled::Inside(ip)) if ip.is_loopback());
        assert!(inside(dialled(std::slice::from_ref(&name), "localhost", port).await));
        assert!(inside(dialled(&[name.clone(), "127.0.0.1".to_owned()], "localhost", port).await));
        assert_eq!(dialled(&[name, own.clone()], "localhost", port).await, Ok(()));
        for host in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
            assert_eq!(dialled(std::slice::from_ref(&own), host, port).await, Ok(()), "{host}");
        }
        for host in ["localhost", "127.0.0.2", "127.1", "example.com"] {
            let ended = dialled(std::slice::from_ref(&own), host, port).await;
            assert_eq!(ended, Err(Undialled::NotListed), "{host}");
        }
    }
}
