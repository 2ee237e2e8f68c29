//! A network of a program's own, in which there is nothing but one port. Whoever runs the gateway
//! listens there, for a socket stays in the network that it was made in, whoever has it.
#![expect(unsafe_code, reason = "neither the standard library nor nix brings an interface up")]

use super::filter::{equal, number, other, rule};
use nix::sched::{CloneFlags, unshare};
use seccompiler::SeccompRule;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// Where a proxy listens.
pub(crate) const PORT: u16 = 3128;

/// System calls that speak with a peer. What of them is refused all the same: [`refused`].
pub(super) const SOCKETS: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
];

/// What may be asked of a socket, and what may be set, of sockets in general and of TCP.
const ASKED: [i32; 7] = [
    libc::SO_TYPE,
    libc::SO_ERROR,
    libc::SO_DOMAIN,
    libc::SO_PROTOCOL,
    libc::SO_SNDBUF,
    libc::SO_RCVBUF,
    libc::SO_KEEPALIVE,
];
const SET: [i32; 1] = [libc::SO_KEEPALIVE];
const TCP: [i32; 5] = [
    libc::TCP_NODELAY,
    libc::TCP_KEEPIDLE,
    libc::TCP_KEEPINTVL,
    libc::TCP_KEEPCNT,
    libc::TCP_USER_TIMEOUT,
];

/// What tells programs of the proxy. Some look for the one spelling, some for the other.
pub(crate) fn environment(network: bool) -> impl Iterator<Item = String> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
    names.into_iter().filter(move |_| network).map(|name| format!("{name}=http://127.0.0.1:{PORT}"))
}

/// What is refused of [`SOCKETS`]: everything but streams over TCP.
pub(super) fn refused() -> Result<Vec<(i64, Vec<SeccompRule>)>, String> {
    let (nonblock, cloexec) = (libc::SOCK_NONBLOCK, libc::SOCK_CLOEXEC);
    let mut no_stream = Vec::new();
    for flags in [0, nonblock, cloexec, nonblock | cloexec] {
        no_stream.push(other(1, number(libc::SOCK_STREAM | flags)?)?);
    }
    let no_inet = other(0, number(libc::AF_INET)?)?;
    let no_tcp = vec![other(2, 0)?, other(2, number(libc::IPPROTO_TCP)?)?];
    Ok(vec![
        (libc::SYS_socket, vec![rule(&[no_inet])?, rule(&no_stream)?, rule(&no_tcp)?]),
        (libc::SYS_setsockopt, beyond(&SET)?),
        (libc::SYS_getsockopt, beyond(&ASKED)?),
    ])
}

/// Options but these of sockets in general, and but [`TCP`].
fn beyond(general: &[i32]) -> Result<Vec<SeccompRule>, String> {
    let (socket, tcp) = (number(libc::SOL_SOCKET)?, number(libc::IPPROTO_TCP)?);
    let mut rules = vec![rule(&[other(1, socket)?, other(1, tcp)?])?];
    for (level, known) in [(socket, general), (tcp, &TCP)] {
        let mut unknown = vec![equal(1, level)?];
        for option in known {
            unknown.push(other(2, number(*option)?)?);
        }
        rules.push(rule(&unknown)?);
    }
    Ok(rules)
}

/// Enters a new network, in which there is nothing but this listener.
pub(super) fn door() -> Result<OwnedFd, String> {
    let text = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| text("network", &error))?;
    let any = UnixDatagram::unbound().map_err(|error| text("socket", &error))?;
    bring_up(&any).map_err(|error| text("loopback", &error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT));
    listener.map(OwnedFd::from).map_err(|error| text("listener", &error))
}

/// Brings up the interface by which a network reaches itself.
fn bring_up(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: plain numbers and characters, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = libc::c_char::try_from(from).map_err(io::Error::other)?;
    }
    let up = libc::c_short::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    request.ifr_ifru.ifru_flags = up;
    // SAFETY: the pointer is to a live local of the type that the request takes.
    let outcome =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::jail::judge::Verdict;

    /// An evaluator with a network streams over TCP, one without does not, and neither does more.
    pub(in crate::jail) fn is_tcp_alone(judge: impl Fn(bool, i64, [u64; 6]) -> Verdict) {
        let refused = Verdict::Refused(libc::EACCES);
        let (socket, stream, inet) = (libc::SYS_socket, libc::SOCK_STREAM, libc::AF_INET);
        let (set, get) = (libc::SYS_setsockopt, libc::SYS_getsockopt);
        let (general, tcp) = (libc::SOL_SOCKET, libc::IPPROTO_TCP);
        let number = |number| super::number(number).unwrap();
        for (call, [one, two, three], with) in [
            (socket, [inet, stream, 0], Verdict::Allowed),
            (
                socket,
                [inet, stream | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, tcp],
                Verdict::Allowed,
            ),
            (socket, [inet, libc::SOCK_DGRAM, 0], refused),
            (socket, [inet, libc::SOCK_RAW, 1], refused),
            (socket, [inet, stream, libc::IPPROTO_SCTP], refused),
            (socket, [inet, stream, libc::IPPROTO_MPTCP], refused),
            (socket, [libc::AF_INET6, stream, 0], refused),
            (socket, [libc::AF_UNIX, stream, 0], refused),
            (socket, [libc::AF_NETLINK, libc::SOCK_RAW, 0], refused),
            (socket, [libc::AF_PACKET, libc::SOCK_RAW, 3], refused),
            (socket, [libc::AF_VSOCK, stream, 0], refused),
            (libc::SYS_connect, [3, 0, 16], Verdict::Allowed),
            (libc::SYS_getpeername, [3, 0, 0], Verdict::Allowed),
            (libc::SYS_shutdown, [3, 2, 0], Verdict::Allowed),
            (set, [3, tcp, libc::TCP_NODELAY], Verdict::Allowed),
            (set, [3, tcp, libc::TCP_ULP], refused),
            (set, [3, general, libc::SO_ATTACH_FILTER], refused),
            (set, [3, general, libc::SO_RCVBUF], refused),
            (set, [3, libc::IPPROTO_IP, libc::TCP_NODELAY], refused),
            (get, [3, general, libc::SO_ERROR], Verdict::Allowed),
            (get, [3, general, libc::SO_PEERCRED], refused),
            // SO_PEERPIDFD, which the crate does not name.
            (get, [3, general, 77], refused),
            (get, [3, tcp, libc::TCP_INFO], refused),
            (libc::SYS_bind, [3, 0, 16], refused),
            (libc::SYS_listen, [3, 1, 0], refused),
            (libc::SYS_accept, [3, 0, 0], refused),
            (libc::SYS_accept4, [3, 0, 0], refused),
        ] {
            let arguments = [number(one), number(two), number(three), 0, 0, 0];
            assert_eq!(judge(true, call, arguments), with, "{call}: {one} {two} {three}");
            assert_ne!(judge(false, call, arguments), Verdict::Allowed, "{call}");
            // Whatever is in the upper halves, nothing more is allowed for it.
            let upper = arguments.map(|one| one | 1 << 40);
            if with != Verdict::Allowed {
                assert_eq!(judge(true, call, upper), with, "{call}: {one} {two} {three}");
            }
        }
        let arguments = [number(inet), number(stream), 0, 0, 0, 0];
        assert_eq!(judge(false, socket, arguments), refused);
    }

    #[test]
    fn without_a_network_nothing_is_told_of_one() {
        assert_eq!(environment(false).count(), 0);
        let told: Vec<String> = environment(true).collect();
        assert!(told.contains(&"https_proxy=http://127.0.0.1:3128".to_owned()), "{told:?}");
    }
}
