//! Where the server is, as the config names it.

use crate::error::StoreError;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use std::time::Duration;

/// Without one in the url.
const PREFIX: &str = "narrows";
const PREFIX_BYTES_MAX: usize = 64;
/// A server that acknowledges nothing for so long is not there any more.
const SILENCE: Duration = Duration::from_secs(10);

/// A server and the part of it that is ours.
pub(super) struct Address {
    /// For commands. Its protocol tells at once when the connection breaks.
    pub(super) commands: Client,
    /// For news.
    pub(super) news: Client,
    /// What errors and logs call it; without a password.
    pub(super) place: String,
    /// What every name begins with.
    pub(super) prefix: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let scheme = base.split_once("://").map_or("", |(scheme, _)| scheme);
        let unknown = || StoreError::Url { url: format!("{scheme}://...") };
        if !matches!(scheme, "redis" | "rediss") {
            return Err(unknown());
        }
        let prefix = match query.split_once('=') {
            None if query.is_empty() => PREFIX,
            Some(("prefix", prefix)) if good(prefix) => prefix,
            _ => return Err(unknown()),
        };
        let info = base.into_connection_info().map_err(|_why| unknown())?;
        let info = info.set_tcp_settings(tcp());
        let place = format!("{scheme}://{}/{}", info.addr(), info.redis_settings().db());
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = |info: ConnectionInfo| Client::open(info).map_err(|_why| unknown());
        Ok(Self {
            commands: client(info.clone().set_redis_settings(settings))?,
            news: client(info)?,
            place,
            prefix: format!("{{{prefix}}}:"),
        })
    }

    pub(super) fn channel(&self) -> String {
        format!("{}wake", self.prefix)
    }
}

fn good(prefix: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.:".contains(&b);
    !prefix.is_empty() && prefix.len() <= PREFIX_BYTES_MAX && prefix.bytes().all(known)
}

fn tcp() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}
