//! `narrows serve`.

use super::Desk;
use super::args::ServeArgs;
use super::exit::{Fail, OK};
use super::follow::Watch;
use crate::config::load;
use narrows_types::Fault;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
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
        let watch = Watch::new(loaded.file.clone()).await;
        self.log(&loaded);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let house = self.house(&loaded).await?;
        let shutdown = CancellationToken::new();
        let address = loaded.settings.serve.http.as_deref().map(Address::parse);
        let follow = self.follow(&house, &flags, watch);
        let serve = async {
            match address {
                None => drain(Box::pin(house.serve_stdio(shutdown.clone())), &shutdown).await,
                Some(Ok(Address::Local(path))) => {
                    let bound = || {
                        self.out.note(&format!("narrows serves unix:{} at /mcp", path.display()));
                    };
                    drain(house.serve_local(&path, bound, shutdown.clone()), &shutdown).await
                }
                Some(Ok(Address::Net(address))) => {
                    let bound =
                        |at: SocketAddr| self.out.note(&format!("narrows serves http://{at}/mcp"));
                    drain(house.serve_http(address, bound, shutdown.clone()), &shutdown).await
                }
                Some(Err(e)) => Err(Fault::invalid(format!("serve.http: {e}"))),
            }
        };
        let served = tokio::select! {
            served = serve => served,
            never = follow => match never {},
        };
        house.close().await;
        served.map(|()| OK).map_err(Fail::Fault)
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

/// Serves until the other side or a signal ends it, then lets requests under way end.
async fn drain(
    serve: impl Future<Output = Result<(), Fault>>,
    shutdown: &CancellationToken,
) -> Result<(), Fault> {
    let (mut stop, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(stop), Ok(interrupt)) => (stop, interrupt),
            (Err(e), _) | (_, Err(e)) => return Err(Fault::bug(format!("no signals: {e}"))),
        };
    tokio::pin!(serve);
    tokio::select! {
        served = &mut serve => return served,
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    match tokio::time::timeout(DRAIN, serve).await {
        Ok(served) => served,
        Err(_elapsed) => {
            tracing::warn!("requests under way did not end within {} s", DRAIN.as_secs());
            Ok(())
        }
    }
}
