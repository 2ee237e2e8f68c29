//! Workers, each a process, started again whenever one ends.

use crate::diary::Diary;
use nix::sys::signal::Signal;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many there are.
pub(crate) const WORKERS: usize = 4;
/// Jobs that each does at once.
pub(crate) const HANDS: usize = 4;
/// How long a claim lasts.
const LEASE_MS: u64 = 1_500;
/// How often they look for jobs.
const LOOK_MS: u64 = 500;

/// The workers of one queue.
pub(crate) struct Crowd {
    store: String,
    wakes: Option<String>,
    /// How often they look for jobs without being woken.
    look_ms: u64,
    folder: TempDir,
    children: Vec<Child>,
    /// How often one ended by its own hand.
    pub(crate) aborted: usize,
    /// How often we ended one.
    pub(crate) killed: usize,
}

impl Crowd {
    pub(crate) fn start(store: &str, wakes: Option<&str>) -> Self {
        Self::looking(store, wakes, LOOK_MS)
    }

    /// Workers that look for jobs that seldom, if nobody wakes them.
    pub(crate) fn looking(store: &str, wakes: Option<&str>, look_ms: u64) -> Self {
        let mut crowd = Self {
            store: store.to_owned(),
            wakes: wakes.map(ToOwned::to_owned),
            look_ms,
            folder: TempDir::new().unwrap(),
            children: Vec::new(),
            aborted: 0,
            killed: 0,
        };
        crowd.children = (0..WORKERS).map(|n| crowd.launch(n)).collect();
        crowd
    }

    pub(crate) fn diary(&self) -> Diary {
        Diary(self.folder.path().join("diary"))
    }

    fn launch(&self, n: usize) -> Child {
        let mut command = Command::new(binary());
        command.args(["--store", &self.store, "--name", &format!("w{n}"), "--diary"]);
        command.arg(self.diary().0);
        command.args(["--lease-ms", &LEASE_MS.to_string(), "--hands", &HANDS.to_string()]);
        command.args(["--look-ms", &self.look_ms.to_string()]);
        if let Some(wakes) = &self.wakes {
            command.args(["--wakes", wakes]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    /// Kills one of them, no matter which, as a crash would.
    pub(crate) fn kill_one(&mut self) {
        let n = usize::try_from(RandomState::new().hash_one(0_u8) % WORKERS as u64).unwrap();
        self.children[n].kill().unwrap();
        self.children[n].wait().unwrap();
        self.killed += 1;
        self.children[n] = self.launch(n);
    }

    /// Starts those again that ended themselves; they do so by `abort` only.
    pub(crate) fn mend(&mut self) {
        for n in 0..self.children.len() {
            let Some(status) = self.children[n].try_wait().unwrap() else { continue };
            assert_eq!(status.signal(), Some(Signal::SIGABRT as i32), "worker {n}: {status}");
            self.aborted += 1;
            self.children[n] = self.launch(n);
        }
    }

    /// Keeps them alive for so long, killing one now and then.
    pub(crate) async fn storm(&mut self, length: Duration, kill_every: Duration) {
        let end = Instant::now() + length;
        let mut next = Instant::now() + kill_every;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.mend();
            if Instant::now() >= next {
                self.kill_one();
                next += kill_every;
            }
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_queue-worker"))
}
