//! Workers in virtual machines of their own: each is restored from one that was booted once, and
//! runs one program. Two hypervisors, behind one trait.

mod api;
mod console;
mod firecracker;
pub(crate) mod image;
mod qemu;
mod qmp;
mod walls;

use crate::backend::{Backend, Ender, Fresh, Launched};
use crate::cgroup::Cgroup;
use crate::guard::Ended;
use crate::spawn::Machine;
use console::Console;
use firecracker::Firecracker;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use image::Image;
use narrows_types::{Engine, LayerState, Limits};
use qemu::Qemu;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// How long machines that have been killed may take to be buried.
const BURIAL: Duration = Duration::from_secs(2);

/// Settings of virtual machines.
#[derive(Debug, Clone)]
pub struct MicrovmConfig {
    /// What the hypervisor is.
    pub driver: MicrovmDriver,
    /// Its program.
    pub program: PathBuf,
    /// A folder with the guest's kernel and drivers, as `cargo xtask microvm` makes it.
    pub image: PathBuf,
    /// The static worker, as `cargo xtask worker` makes it.
    pub worker: PathBuf,
    /// Memory of one guest, in MiB. What it does not touch costs nothing.
    pub memory_mib: u32,
    /// What of it one run may use at most, in bytes.
    pub run_bytes: u64,
    /// Milliseconds that a guest may take to boot.
    pub boot_ms: u64,
    /// As whom a hypervisor runs: user and group. `None`: each as somebody of its own where
    /// we are root, else as we.
    pub user: Option<(u32, u32)>,
    /// Where private folders are made for machines that want any.
    pub folder: PathBuf,
}

/// A hypervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MicrovmDriver {
    /// QEMU, with or without the processor's help.
    Qemu,
    /// Firecracker, which needs it.
    Firecracker {
        /// The program that locks it up, where it is to be.
        jailer: Option<PathBuf>,
    },
}

impl MicrovmConfig {
    /// Usual settings for QEMU with these parts.
    pub fn qemu(image: PathBuf, worker: PathBuf) -> Self {
        Self {
            driver: MicrovmDriver::Qemu,
            program: PathBuf::from("qemu-system-x86_64"),
            image,
            worker,
            memory_mib: 256,
            run_bytes: Limits::default().memory_bytes,
            boot_ms: 30_000,
            user: None,
            folder: PathBuf::from("/tmp"),
        }
    }

    fn image(&self) -> Image {
        Image { folder: self.image.clone(), worker: self.worker.clone() }
    }

    fn memory_bytes(&self) -> u64 {
        u64::from(self.memory_mib) << 20
    }
}

/// A guest whose worker waits for its program.
#[derive(Debug)]
pub(crate) struct Guest {
    machine: Machine,
    console: Console,
    wire: UnixStream,
    layers: Vec<LayerState>,
}

/// A hypervisor. Every call is made under a deadline, and dropping what it gives ends the machine.
pub(crate) trait Driver: Send + Sync + 'static {
    /// A guest that has booted.
    type Booted: Send;
    /// A guest that was saved.
    type Saved: Send + Sync;

    /// Boots a guest and waits until its worker is warm.
    fn boot(&self, engine: Engine) -> impl Future<Output = Result<Self::Booted, String>> + Send;

    /// Saves it and ends it.
    fn save(
        &self,
        booted: Self::Booted,
    ) -> impl Future<Output = Result<Self::Saved, String>> + Send;

    /// Starts a guest from what was saved and connects to its worker.
    fn restore(&self, saved: &Self::Saved) -> impl Future<Output = Result<Guest, String>> + Send;
}

/// The back end.
pub(crate) struct Microvm<D: Driver> {
    driver: D,
    saved: Mutex<BTreeMap<Engine, Arc<D::Saved>>>,
    tasks: TaskTracker,
}

/// The back end that the config wants.
pub(crate) fn backend(config: MicrovmConfig, cgroup: Arc<Cgroup>) -> Arc<dyn Backend> {
    match config.driver.clone() {
        MicrovmDriver::Qemu => Arc::new(Microvm::new(Qemu::new(config, cgroup))),
        MicrovmDriver::Firecracker { jailer } => {
            Arc::new(Microvm::new(Firecracker::new(config, jailer, cgroup)))
        }
    }
}

impl<D: Driver> Microvm<D> {
    fn new(driver: D) -> Self {
        Self { driver, saved: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Boots, saves, and proves what was saved by restoring it.
    async fn begin(&self, engine: Engine) -> Result<Vec<LayerState>, String> {
        if matches!(engine, Engine::Deno | Engine::Cpython) {
            return Err(format!("a guest has no {engine}: use an embedded engine"));
        }
        let booted = self.driver.boot(engine).await?;
        let saved = self.driver.save(booted).await?;
        let guest = self.driver.restore(&saved).await?;
        let mut all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(engine, Arc::new(saved));
        Ok(guest.layers)
    }

    async fn start(&self, engine: Engine) -> Result<Launched, String> {
        let saved = {
            let all = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&engine).map(Arc::clone).ok_or("no guest was booted yet")?
        };
        let Guest { mut machine, console, wire, layers } = self.driver.restore(&saved).await?;
        let gone = || "the machine is gone already".to_owned();
        let (process, died) = (machine.release(), machine.ended.take());
        let (process, died): (_, oneshot::Receiver<Ended>) =
            (process.ok_or_else(gone)?, died.ok_or_else(gone)?);
        let (tell, ended) = oneshot::channel();
        self.tasks.spawn(console::bury(console, died, tell));
        let (read, write) = wire.into_split();
        let (read, write) = (Box::new(read), Box::new(write));
        Ok((Fresh { read, write, worker: Ender::Process(process), ended, door: None }, layers))
    }
}

impl<D: Driver> Backend for Microvm<D> {
    fn prepare(&self, engine: Engine) -> BoxFuture<'_, Result<Vec<LayerState>, String>> {
        self.begin(engine).boxed()
    }

    fn launch(&self, engine: Engine) -> BoxFuture<'_, Result<Launched, String>> {
        self.start(engine).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.saved.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.tasks.close();
            if timeout(BURIAL, self.tasks.wait()).await.is_err() {
                tracing::warn!("{} virtual machines do not end", self.tasks.len());
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
