//! From a host's name to a connection. The address that is judged is the one that is dialled.

use super::BUFFER_BYTES;
use narrows_types::Network;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long it may take to find a host, and to reach it.
const WAIT: Duration = Duration::from_secs(10);
/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;

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

/// Dials a host that the list allows. `lookups` are places to look a name up.
pub(super) async fn dial(
    network: &Network,
    (host, port): (&str, u16),
    lookups: &Arc<Semaphore>,
) -> Result<TcpStream, Undialled> {
    if !network.allows(host, port) {
        return Err(Undialled::NotListed);
    }
    let reached = timeout(WAIT, reach(network, (host, port), lookups)).await;
    reached.unwrap_or(Err(Undialled::Late))
}

async fn reach(
    network: &Network,
    (host, port): (&str, u16),
    lookups: &Arc<Semaphore>,
) -> Result<TcpStream, Undialled> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_name) => addresses(bare, lookups).await.map_err(Undialled::Away)?,
    };
    let mut last = Undialled::Away("it is not found: it has no address".to_owned());
    for address in found.into_iter().take(ADDRESSES_MAX) {
        let ip = address.to_canonical();
        if (!is_outside(ip) || is_own(ip, port).await) && !network.names(ip, port) {
            last = Undialled::Inside(ip);
            continue;
        }
        match connected(SocketAddr::new(ip, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Undialled::Away(format!("it is not reached: {error}")),
        }
    }
    Err(last)
}

/// The system's look-up goes on where whoever asked has gone: its place is free when it has ended.
async fn addresses(name: &str, lookups: &Arc<Semaphore>) -> Result<Vec<IpAddr>, String> {
    let away = |error: &dyn std::fmt::Display| format!("it is not found: {error}");
    let place = Arc::clone(lookups).acquire_owned().await.map_err(|error| away(&error))?;
    let name = name.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        drop(place);
        found.map(|found| found.map(|address| address.ip()).collect())
    });
    looked_up.await.map_err(|error| away(&error))?.map_err(|error| away(&error))
}

/// A connection whose buffers are as bounded as the program's own.
async fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let bytes = u32::try_from(BUFFER_BYTES).unwrap_or(u32::MAX);
    socket.set_recv_buffer_size(bytes)?;
    socket.set_send_buffer_size(bytes)?;
    socket.connect(address).await
}

/// Whether an address is this machine's own. The kernel is asked which one would be used to reach it;
/// nothing is sent.
async fn is_own(ip: IpAddr, port: u16) -> bool {
    let any: IpAddr =
        if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let Ok(probe) = UdpSocket::bind((any, 0)).await else { return true };
    let reached = probe.connect((ip, port)).await.is_ok();
    reached && probe.local_addr().is_ok_and(|own| own.ip() == ip)
}

/// Whether an address is one of the open internet: not of this machine, of networks of one's own, of
/// a machine's neighbours, of those who watch over it, nor one that stands for another one.
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
mod tests {
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

    async fn dialled(list: &[String], host: &str, port: u16) -> Result<(), Undialled> {
        let lookups = Arc::new(Semaphore::new(1));
        dial(&Network::of(list).unwrap(), (host, port), &lookups).await.map(drop)
    }

    /// What reaches an address from that very address is this machine.
    #[tokio::test]
    async fn an_address_of_this_machine_is_known() {
        assert!(is_own("127.0.0.1".parse().unwrap(), 9).await);
        assert!(!is_own("192.0.2.1".parse().unwrap(), 9).await);
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
