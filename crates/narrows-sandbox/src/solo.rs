//! The owner of workers that a back end launches one by one: one task, which keeps some ready.

use crate::backend::{Backend, Fresh};
use crate::cgroup::Cgroup;
use crate::owner::{Ask, Health};
use crate::shelf::{self, Shelf, wait};
use crate::{Config, SandboxError};
use narrows_types::{BackendKind, Engine, LayerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Workers that are launched at the same time: more only slow each other down.
const LAUNCHES_MAX: usize = 4;
/// So many launches in a row may fail before those who wait are told.
const PATIENCE: u32 = 2;
/// How long workers that waited ready may take to be buried when the sandbox shuts down.
const BURIAL: Duration = Duration::from_secs(2);

/// What came of a step.
enum Came {
    Prepared(Result<Vec<LayerState>, SandboxError>),
    Launched(Result<(Fresh, Vec<LayerState>), SandboxError>),
}

/// The owner's state.
pub(crate) struct Pool {
    config: Config,
    kind: BackendKind,
    engine: Engine,
    backend: Arc<dyn Backend>,
    tell: watch::Sender<Health>,
    layers: Option<Arc<[LayerState]>>,
    steps: JoinSet<Came>,
    preparing: bool,
    launching: usize,
    launched: u64,
    shelf: Shelf,
}

impl Pool {
    pub(crate) fn new(
        (kind, engine): (BackendKind, Engine),
        config: Config,
        (backend, cgroup): (Arc<dyn Backend>, Option<Arc<Cgroup>>),
        tell: watch::Sender<Health>,
    ) -> Self {
        Self {
            shelf: Shelf::new(config.warm, PATIENCE, cgroup),
            config,
            kind,
            engine,
            backend,
            tell,
            layers: None,
            steps: JoinSet::new(),
            preparing: false,
            launching: 0,
            launched: 0,
        }
    }

    /// The loop. Ends with the sandbox, and everything that waits ready with it.
    pub(crate) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, stop: CancellationToken) {
        loop {
            let pause = self.shelf.due();
            tokio::select! {
                () = stop.cancelled() => break,
                ask = asked.recv() => match ask {
                    Some(ask) => self.shelf.ask(ask),
                    None => break,
                },
                Some(came) = self.steps.join_next() => match came {
                    Ok(came) => self.hear(came),
                    Err(broken) => self.broke(&broken.to_string()),
                },
                () = self.shelf.loss() => self.fail("a worker that waited ready is gone".to_owned()),
                () = wait(pause) => {}
            }
            self.tend();
            self.publish();
        }
        asked.close();
        // All at once: each has its wire closed and is told to end.
        let ends = self.shelf.close().into_iter().map(|fresh| fresh.ended);
        let ends = futures_util::future::join_all(ends);
        tokio::join!(self.steps.shutdown(), async { drop(timeout(BURIAL, ends).await) });
        self.backend.close().await;
        self.publish();
    }

    fn hear(&mut self, came: Came) {
        match came {
            Came::Prepared(Ok(layers)) => {
                self.preparing = false;
                self.prepared(layers);
            }
            Came::Prepared(Err(error)) => {
                self.preparing = false;
                if !error.passes() {
                    // It says why it does not work here; asking again would not change that.
                    self.shelf.lose_patience();
                }
                self.refuse(error);
            }
            Came::Launched(Ok((fresh, layers))) => {
                self.launching = self.launching.saturating_sub(1);
                self.launched += 1;
                match shelf::missing(&layers, &self.config.require) {
                    None => self.shelf.put(fresh),
                    Some(error) => self.refuse(error),
                }
            }
            Came::Launched(Err(error)) => {
                self.launching = self.launching.saturating_sub(1);
                self.refuse(error);
                if self.shelf.is_hopeless() {
                    // What was found out and made once may not be there any more.
                    self.layers = None;
                }
            }
        }
    }

    /// A step ended without a word: a defect of ours. What was under way is counted anew.
    fn broke(&mut self, why: &str) {
        self.preparing = false;
        self.launching = self.steps.len();
        self.fail(format!("{why}; this is a bug"));
    }

    fn prepared(&mut self, layers: Vec<LayerState>) {
        if let Some(error) = shelf::missing(&layers, &self.config.require) {
            self.shelf.lose_patience();
            return self.refuse(error);
        }
        self.layers = Some(layers.into());
        self.shelf.works();
    }

    fn fail(&mut self, why: String) {
        self.refuse(broken(self.kind, why));
    }

    fn refuse(&mut self, error: SandboxError) {
        tracing::warn!(backend = %self.kind, engine = %self.engine, "no worker: {error}");
        self.shelf.fail(error);
    }

    /// Brings everything to where it should be.
    fn tend(&mut self) {
        self.shelf.hand_out();
        if !self.shelf.wants() {
            return;
        }
        let (kind, engine, ms) = (self.kind, self.engine, self.config.start_ms);
        if self.layers.is_none() {
            if !self.preparing {
                self.preparing = true;
                let backend = Arc::clone(&self.backend);
                self.steps.spawn(async move {
                    Came::Prepared(step(kind, ms, backend.prepare(engine)).await)
                });
            }
            return;
        }
        let missing = self.shelf.missing(self.launching);
        for _ in 0..missing.min(LAUNCHES_MAX.saturating_sub(self.launching)) {
            self.launching += 1;
            let backend = Arc::clone(&self.backend);
            self.steps
                .spawn(async move { Came::Launched(step(kind, ms, backend.launch(engine)).await) });
        }
        self.shelf.tell_ready();
    }

    fn publish(&self) {
        let health = Health {
            ready: self.layers.is_some(),
            started: self.launched,
            idle: self.shelf.idle(),
            layers: self.layers.clone().unwrap_or_default(),
            error: self.shelf.error(),
            ..Health::new(self.kind, self.engine)
        };
        shelf::publish(&self.tell, health);
    }
}

/// What a back end does, under the deadline for it.
async fn step<T>(
    kind: BackendKind,
    ms: u64,
    done: impl Future<Output = Result<T, String>>,
) -> Result<T, SandboxError> {
    let done = timeout(Duration::from_millis(ms), done).await;
    let done = done.map_err(|_late| SandboxError::Slow { backend: kind, ms })?;
    done.map_err(|why| broken(kind, why))
}

fn broken(backend: BackendKind, why: String) -> SandboxError {
    SandboxError::Backend { backend, why: narrows_types::fault::clip(why, 300) }
}
