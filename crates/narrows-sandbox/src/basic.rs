//! Workers without walls: plain child processes, for development.

use crate::backend::{Backend, Ender, Fresh, Launched};
use crate::spawn::{Launch, Walls, plain};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use narrows_types::{Engine, LayerState};
use std::path::PathBuf;

/// Starts them.
#[derive(Debug)]
pub(crate) struct Basic {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
}

impl Backend for Basic {
    fn prepare(&self, engine: Engine) -> BoxFuture<'_, Result<Vec<LayerState>, String>> {
        async move { self.start(engine).await.map(|(_, layers)| layers) }.boxed()
    }

    fn launch(&self, engine: Engine) -> BoxFuture<'_, Result<Launched, String>> {
        self.start(engine).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

impl Basic {
    async fn start(&self, engine: Engine) -> Result<Launched, String> {
        let launch = Launch {
            program: self.program.clone(),
            args: self.args.clone(),
            engine,
            walls: Walls::None,
            network: None,
        };
        let path = launch.program.clone();
        let started = plain(launch)
            .await
            .map_err(|error| format!("cannot start {}: {error}", path.display()))?;
        let (read, write) = started.stream.into_split();
        let mut fresh = Fresh {
            read: Box::new(read),
            write: Box::new(write),
            worker: Ender::Process(started.running.process),
            ended: started.running.ended,
            door: None,
        };
        let layers = fresh.hello().await?;
        Ok((fresh, layers))
    }
}
