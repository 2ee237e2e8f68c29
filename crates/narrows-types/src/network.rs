//! What a run reaches of the network by itself: nothing, or the hosts that somebody named.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// The ports of a host for which none is named.
const PORTS: [u16; 2] = [443, 80];
/// Hosts in one list.
const HOSTS_MAX: usize = 64;
/// Characters of a name in the DNS, and of one of its labels.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// `none`, or a list of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network(Arc<[Host]>);

/// One entry of the list: `example.com`, `*.example.com`, `10.0.0.7` or `[::1]`, each with a port or
/// without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    name: Name,
    /// `None`: those of [`PORTS`].
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Exact(String),
    /// Every name that ends in a dot and this one.
    Below(String),
    Address(IpAddr),
}

impl Network {
    /// How it is written that nothing is reached.
    pub const NONE: &str = "none";
    /// What it may be.
    pub const SHAPE: &str = "network is \"none\" or a list of hosts, as in [\"example.com\", \
                             \"*.example.com\", \"example.com:8443\"]";

    /// These hosts.
    ///
    /// # Errors
    /// There are too many, or one of them is none: why, and what to write.
    pub fn of<T: AsRef<str>>(hosts: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let hosts = hosts.into_iter().map(|host| host.as_ref().parse());
        let hosts: Vec<Host> = hosts.take(HOSTS_MAX + 1).collect::<Result<_, _>>()?;
        if hosts.len() > HOSTS_MAX {
            return Err(format!("network has more than {HOSTS_MAX} hosts: use `*.example.com`"));
        }
        Ok(Self(hosts.into()))
    }

    /// Whether it is `none`.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts, as they are written.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.0.iter()
    }

    /// Whether this host may be reached at this port. It is as somebody wrote it: a name or an
    /// address, in brackets or without.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let Some(name) = Name::read(host).filter(|name| !matches!(name, Name::Below(_))) else {
            return false;
        };
        self.0.iter().any(|one| one.name.covers(&name) && one.has(port))
    }

    /// Whether this very address is in the list.
    pub fn names(&self, address: IpAddr, port: u16) -> bool {
        let name = Name::Address(address.to_canonical());
        self.0.iter().any(|one| one.name == name && one.has(port))
    }

    /// What both allow. No list is longer than may be read again: of two long ones that cross, what
    /// is beyond it is left out, which allows less.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |two| (one, two)));
        let mut both: Vec<Host> = pairs.filter_map(|(one, two)| one.meet(two)).collect();
        both.sort();
        both.dedup();
        both.truncate(HOSTS_MAX);
        Self(both.into())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str(Self::NONE);
        }
        for (index, host) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_none() {
            return serializer.serialize_str(Self::NONE);
        }
        serializer.collect_seq(self.0.iter().map(Host::to_string))
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = serde_json::Value::deserialize(deserializer)?;
        if said == Self::NONE {
            return Ok(Self::default());
        }
        let hosts: Option<Vec<&str>> =
            said.as_array().and_then(|hosts| hosts.iter().map(serde_json::Value::as_str).collect());
        let hosts = hosts.ok_or_else(|| D::Error::custom(Self::SHAPE))?;
        Self::of(hosts).map_err(D::Error::custom)
    }
}

impl Host {
    /// The same, written with each of its ports.
    pub fn with_ports(&self) -> Vec<String> {
        let ports = self.port.map_or_else(|| PORTS.to_vec(), |port| vec![port]);
        let written = |port| Self { name: self.name.clone(), port: Some(port) }.to_string();
        ports.into_iter().map(written).collect()
    }

    fn has(&self, port: u16) -> bool {
        self.port.map_or_else(|| PORTS.contains(&port), |own| own == port)
    }

    fn meet(&self, other: &Self) -> Option<Self> {
        let name = if self.name.covers(&other.name) {
            &other.name
        } else if other.name.covers(&self.name) {
            &self.name
        } else {
            return None;
        };
        let port = match (self.port, other.port) {
            (None, None) => None,
            (Some(port), None) | (None, Some(port)) if PORTS.contains(&port) => Some(port),
            (Some(one), Some(two)) if one == two => Some(one),
            _ => return None,
        };
        Some(Self { name: name.clone(), port })
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            let text = crate::fault::clip(text.to_owned(), 80);
            format!(
                "`{text}` is no host: write example.com, *.example.com or an address, and a port \
                 behind a colon if it is not 443 or 80"
            )
        };
        let bare = text.parse::<IpAddr>().is_ok();
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !bare && !text.ends_with(']') => {
                let port: u16 = port.parse().map_err(|_bad| wrong())?;
                (name, (port > 0).then_some(port).ok_or_else(wrong)?.into())
            }
            _ => (text, None),
        };
        Ok(Self { name: Name::read(name).ok_or_else(wrong)?, port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Exact(name) => f.write_str(name)?,
            Name::Below(name) => write!(f, "*.{name}")?,
            Name::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Name::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Name {
    fn read(text: &str) -> Option<Self> {
        let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = inside.unwrap_or(text).parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, below) = match name.strip_prefix("*.") {
            Some(rest) => (rest.to_owned(), true),
            None => (name, false),
        };
        is_name(&name).then_some(name).map(if below { Self::Below } else { Self::Exact })
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(own), Self::Exact(name)) => is_below(name, own),
            (Self::Below(own), Self::Below(name)) => own == name || is_below(name, own),
            (own, other) => own == other,
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|head| head.ends_with('.'))
}

/// Whether it is a name and nothing that anybody could take for an address: `127.1`, `0x7f.1`.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(known)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && !number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(hosts: &[&str]) -> Network {
        Network::of(hosts).unwrap()
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let list = network(&["Example.com", "*.b.org:8443", "127.0.0.1:8080", "[::1]", "10.0.0.7"]);
        for (host, port, allowed) in [
            ("example.com", 443, true),
            ("EXAMPLE.com.", 80, true),
            ("example.com", 8443, false),
            ("a.example.com", 443, false),
            ("badexample.com", 443, false),
            ("example.com.evil.org", 443, false),
            ("x.b.org", 8443, true),
            ("x.y.b.org", 8443, true),
            ("x.b.org", 443, false),
            ("b.org", 8443, false),
            (".b.org", 8443, false),
            ("*.b.org", 8443, false),
            ("127.0.0.1", 8080, true),
            ("127.0.0.1", 80, false),
            ("127.1", 8080, false),
            ("2130706433", 8080, false),
            ("0x7f000001", 8080, false),
            ("[::ffff:127.0.0.1]", 8080, true),
            ("::1", 443, true),
            ("[::1]", 80, true),
            ("10.0.0.7", 443, true),
            ("", 443, false),
            ("example.com\0.b.org", 8443, false),
            ("example.com@x.b.org", 8443, false),
        ] {
            assert_eq!(list.allows(host, port), allowed, "{host}:{port}");
        }
        assert!(!Network::default().allows("example.com", 443));
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(list.names(address, 8080) && !list.names(address, 443));
    }

    #[test]
    fn a_list_only_ever_gets_shorter() {
        let config = network(&["*.a.com", "b.com", "c.com:8443", "127.0.0.1:9"]);
        for (asked, left) in [
            (&["x.a.com"][..], "x.a.com"),
            (&["*.x.a.com", "a.com"], "*.x.a.com"),
            (&["*.com"], "b.com, *.a.com"),
            (&["b.com:443", "b.com:8443"], "b.com:443"),
            (&["c.com"], "none"),
            (&["c.com:8443", "127.0.0.1"], "c.com:8443"),
            (&["evil.com"], "none"),
            (&[], "none"),
        ] {
            assert_eq!(config.meet(&network(asked)).to_string(), left, "{asked:?}");
            assert_eq!(network(asked).meet(&config).to_string(), left, "{asked:?}");
        }
    }

    #[test]
    fn what_two_long_lists_allow_can_be_read_again() {
        let of = |wide: &str, narrow: &str| {
            let narrow = (1..HOSTS_MAX).map(|index| format!("x{index}.{narrow}"));
            Network::of(narrow.chain([format!("*.{wide}")])).unwrap()
        };
        let (one, two) = (of("a.com", "b.com"), of("b.com", "a.com"));
        let both = one.meet(&two);
        assert!(both.allows("x1.a.com", 443) && !both.allows("y.a.com", 443), "{both}");
        assert!(
            both.hosts().all(|host| one.meet(&network(&[&host.to_string()])).hosts().eq([host]))
        );
        let text = serde_json::to_string(&both).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), both);
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for (text, again) in [
            (r#""none""#, r#""none""#),
            ("[]", r#""none""#),
            (r#"["B.com:8443","*.a.com","[::1]:9"]"#, r#"["b.com:8443","*.a.com","[::1]:9"]"#),
            (r#"["::1"]"#, r#"["[::1]"]"#),
        ] {
            let read: Network = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), again);
        }
        for wrong in [
            r#""all""#,
            r#"["*"]"#,
            r#"["https://a.com"]"#,
            r#"["a.com/x"]"#,
            r#"["a.com:0"]"#,
            r#"["a.com:70000"]"#,
            r#"["a..com"]"#,
            r#"["a.*.com"]"#,
            r#"["127.1"]"#,
            r#"["b\u00fccher.de"]"#,
            r#"[""]"#,
            "[1]",
            "true",
        ] {
            assert!(serde_json::from_str::<Network>(wrong).is_err(), "{wrong}");
        }
        assert!(Network::of(vec!["a.com"; HOSTS_MAX + 1]).is_err());
        let told = "a b".parse::<Host>().unwrap_err();
        assert!(told.starts_with("`a b` is no host: write example.com"), "{told}");
    }
}
