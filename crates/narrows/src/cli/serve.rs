//! `narrows serve`.

use super::Desk;
use super::args::ServeArgs;
use super::exit::Fail;
use crate::assembly::House;
use crate::config::load;
use narrows_types::Fault;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take to end after a signal.
const DRAIN: Duration = Duration::from_secs(10);

impl Desk {
    pub(super) async fn serve(&self, args: ServeArgs) -> Result<u8, Fail> {
        let mut flags = self.flags.clone();
        if let Some(addr) = args.http {
            flags.set.push((&["serve", "http"], addr, "--http"));
        }
        let loaded = load(&self.env, &flags).map_err(Fail::Config)?;
        self.log(&loaded);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let address = loaded.settings.serve.http.as_deref().map(Address::parse).transpose();
        let address =
            address.map_err(|e| Fail::Fault(Fault::invalid(format!("serve.http: {e}"))))?;
        let doors = async |house: &House, stop| self.doors(house, address, stop).await;
        Box::pin(self.on_duty(&loaded, &flags, doors)).await
    }

    /// Opens the door that the config names until `stop`.
    async fn doors(
        &self,
        house: &House,
        address: Option<Address>,
        stop: CancellationToken,
    ) -> Result<(), Fault> {
        let until = stop.clone();
        match address {
            None => drain(Box::pin(house.serve_stdio(until)), &stop).await,
            Some(Address::Local(path)) => {
                let told = format!("narrows serves unix:{} at /mcp", path.display());
                drain(house.serve_local(&path, || self.out.note(&told), until), &stop).await
            }
            Some(Address::Net(address)) => {
                let bound =
                    |at: SocketAddr| self.out.note(&format!("narrows serves http://{at}/mcp"));
                drain(house.serve_http(address, bound, until), &stop).await
            }
        }
    }
}

/// Where HTTP is served.
enum Address {
    Net(SocketAddr),
    /// A Unix socket: `unix:PATH`.
    Local(PathBuf),
}

impl Address {
    fn parse(text: &str) -> Result<Self, AddrParseError> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Local(PathBuf::from(path))),
            None => text.parse().map(Self::Net),
        }
    }
}

/// Serves until the other side or `stop` ends it, then lets requests under way end.
async fn drain(
    serve: impl Future<Output = Result<(), Fault>>,
    stop: &CancellationToken,
) -> Result<(), Fault> {
    let mut serve = std::pin::pin!(serve);
    tokio::select! {
        served = &mut serve => return served,
        () = stop.cancelled() => {}
    }
    match tokio::time::timeout(DRAIN, serve).await {
        Ok(served) => served,
        Err(_elapsed) => {
            tracing::warn!("requests under way did not end within {} s", DRAIN.as_secs());
            Ok(())
        }
    }
}
