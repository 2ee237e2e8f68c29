//! Which way the kernel takes to an address. It is asked before each connection, so that nothing it has
//! learnt since is missed: all routes and rules count, and nothing is sent to any network.

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

/// A way that covers more than this leads to the rest of the internet, with a gateway or without one:
/// so are tunnels set up.
const NETWORK_BITS_MIN: u8 = 8;
/// The largest answer that is read: one with some hundred gateways.
const ANSWER_BYTES_MAX: usize = 8 << 10;
/// Asks for the way itself, which tells how much it covers. (Not in every `libc`, as the next.)
const FIB_MATCH: u32 = 0x2000;
/// A gateway of the other family.
const VIA: u16 = 18;
/// Bytes before a message's own, before the attributes of a way, and before those of one of several.
const HEADER_BYTES: usize = 16;
const WAY_BYTES: usize = 12;
const HOP_BYTES: usize = 8;

/// Whether an address is beyond a gateway: neither this machine's own nor of a network that it is in.
///
/// # Errors
/// There is no way to it, or the kernel does not tell.
pub(super) fn is_beyond(ip: IpAddr) -> io::Result<bool> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    send(kernel.as_raw_fd(), &question(ip), MsgFlags::empty())?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let bytes = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let unread = || io::Error::new(io::ErrorKind::InvalidData, "its answer cannot be read");
    read(answer.get(..bytes).unwrap_or_default()).unwrap_or_else(|| Err(unread()))
}

fn question(ip: IpAddr) -> Vec<u8> {
    let (family, address) = match ip {
        IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
    };
    // Neither family nor length is more than a byte.
    let (family, bytes) = (family.to_le_bytes()[0], address.len().to_le_bytes()[0]);
    let length = u32::from(bytes) + 32;
    let mut question = Vec::new();
    question.extend(length.to_ne_bytes());
    question.extend(libc::RTM_GETROUTE.to_ne_bytes());
    question.extend(1_u16.to_ne_bytes()); // A request,
    question.extend([0; 8]); // the only one.
    question.extend([family, bytes * 8, 0, 0, 0, 0, 0, 0]);
    question.extend(FIB_MATCH.to_ne_bytes());
    question.extend((u16::from(bytes) + 4).to_ne_bytes());
    question.extend(libc::RTA_DST.to_ne_bytes());
    question.extend(address);
    question
}

/// `None`: it is no answer.
fn read(answer: &[u8]) -> Option<io::Result<bool>> {
    let length = usize::try_from(u32::from_ne_bytes(*answer.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let body = answer.get(HEADER_BYTES..length)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let errno = i32::from_ne_bytes(*body.first_chunk()?);
        return Some(Err(io::Error::from_raw_os_error(errno.checked_neg()?)));
    }
    let [_family, bits, _, _, _, _, _, way] = *body.first_chunk()?;
    let attributes = body.get(WAY_BYTES..)?;
    let is_way = kind == libc::RTM_NEWROUTE && way == libc::RTN_UNICAST;
    Some(Ok(is_way && (bits < NETWORK_BITS_MIN || has_gateway(attributes))))
}

/// Of several ways each has to have one: any may be taken.
fn has_gateway(mut attributes: &[u8]) -> bool {
    while let Some((kind, value, rest)) = part(attributes, 4) {
        match kind {
            libc::RTA_GATEWAY | VIA => return true,
            libc::RTA_MULTIPATH => return hops_have_gateways(value),
            _ => attributes = rest,
        }
    }
    false
}

fn hops_have_gateways(mut hops: &[u8]) -> bool {
    while let Some((_flags, attributes, rest)) = part(hops, HOP_BYTES) {
        if !has_gateway(attributes) || rest.is_empty() {
            return has_gateway(attributes);
        }
        hops = rest;
    }
    false
}

/// What begins with its length: its second number, what is behind its head, and what follows.
fn part(bytes: &[u8], head: usize) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
    let value = bytes.get(head..length)?;
    Some((kind, value, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::dial::Undialled;
    use super::super::dial::tests::dialled;
    use super::*;
    use std::process::Command;
    use tokio::net::TcpListener;

    /// Two interfaces that are one cable, with two addresses of one network and a way out of it; and
    /// names for addresses on it.
    const NETWORK: &str = "
        ip link set lo up
        ip link add narrows0 type veth peer name narrows1
        ip link set narrows0 up
        ip link set narrows1 up
        ip addr add 93.184.0.5/24 dev narrows0
        ip addr add 93.184.0.6/24 dev narrows0
        ip addr add 2a00:1:2:3::5/64 dev narrows0 nodad
        ip route add default via 93.184.0.1
        ip route add default via 2a00:1:2:3::1
        ip route add 8.0.0.0/7 dev narrows0
        ip route add 20.0.0.0/24 nexthop via 93.184.0.1 nexthop via 93.184.0.2
        ip route add 20.0.1.0/24 nexthop via 93.184.0.1 nexthop dev narrows0
        ip route add 20.0.2.0/24 via inet6 2a00:1:2:3::1 dev narrows0
        ip route add unreachable 21.0.0.0/24
        printf '93.184.0.6 own.test\\n93.184.0.7 near.test\\n' > \"$1\"
        mount --bind \"$1\" /etc/hosts
        exec \"$0\" --ignored --exact proxy::way::tests::in_a_network_of_its_own";

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a network can only be changed by who has it alone"
    )]
    fn what_no_gateway_leads_to_is_inside() {
        let alone = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "--net", "--mount", "sh", "-euc", script]);
            command
        };
        if !alone("true").status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: this machine gives no network of one's own to this user");
            return;
        }
        let hosts = tempfile::NamedTempFile::new().unwrap();
        let own = std::env::current_exe().unwrap();
        let ran = alone(NETWORK).arg(own).arg(hosts.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said} {ran:?}");
    }

    #[tokio::test]
    #[ignore = "takes a network of its own; `what_no_gateway_leads_to_is_inside` starts it there"]
    async fn in_a_network_of_its_own() {
        for (ip, beyond) in [
            ("93.184.0.5", false),
            // Whoever connects to it comes from the other one.
            ("93.184.0.6", false),
            ("93.184.0.7", false),
            ("93.184.0.255", false),
            ("93.184.1.7", true),
            ("8.8.8.8", true),
            ("20.0.0.1", true),
            ("20.0.1.1", false),
            ("20.0.2.1", true),
            ("2a00:1:2:3::5", false),
            ("2a00:1:2:3::7", false),
            ("2a00:1:2:4::7", true),
        ] {
            assert_eq!(is_beyond(ip.parse().unwrap()).unwrap(), beyond, "{ip}");
        }
        assert!(is_beyond("21.0.0.1".parse().unwrap()).is_err());

        let listener = TcpListener::bind("93.184.0.6:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let list = ["own.test", "near.test", "93.184.0.6"].map(|host| format!("{host}:{port}"));
        for (host, ip) in [("own.test", "93.184.0.6"), ("near.test", "93.184.0.7")] {
            let inside = Err(Undialled::Inside(ip.parse().unwrap()));
            assert_eq!(dialled(&list[..2], host, port).await, inside, "{host}");
        }
        assert_eq!(dialled(&list, "own.test", port).await, Ok(()));
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        let answer = |length: u32, kind: u16, body: &[u8]| {
            let mut answer = length.to_ne_bytes().to_vec();
            answer.extend(kind.to_ne_bytes());
            answer.extend([0; 10]);
            answer.extend(body);
            answer
        };
        let way = [2, 24, 0, 0, 0, 0, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        let gateway = [&way[..], &[8, 0, 5, 0, 1, 2, 3, 4]].concat();
        let taken = |bytes: &[u8]| read(bytes).map(Result::unwrap);
        assert_eq!(taken(&answer(36, libc::RTM_NEWROUTE, &gateway)), Some(true));
        assert_eq!(taken(&answer(28, libc::RTM_NEWROUTE, &way)), Some(false));
        assert_eq!(taken(&answer(36, libc::RTM_GETROUTE, &gateway)), Some(false));
        assert_eq!(taken(&answer(37, libc::RTM_NEWROUTE, &gateway)), None);
        assert_eq!(taken(&answer(3, libc::RTM_NEWROUTE, &gateway)), None);
        assert_eq!(taken(&answer(36, libc::RTM_NEWROUTE, &gateway)[..30]), None);
        for length in [0, 3, 9] {
            let short = [&way[..], &[length, 0, 5, 0, 1, 2, 3, 4]].concat();
            assert_eq!(taken(&answer(36, libc::RTM_NEWROUTE, &short)), Some(false), "{length}");
        }
        assert_eq!(taken(&[]), None);
    }
}
