//! Child processes: each in a process group of its own, none outliving us.
//!
//! The kernel's parent-death signal is tied to the thread that forks, so all children are started
//! by one thread that lives as long as the fleet. That signal reaches no grandchildren: for them
//! there is a [`Watch`].

mod watch;

use crate::secrets::is_secret;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use watch::Watch;

/// How long a child may take to end by itself, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a child that was killed may take to be gone.
const DEATH_WAIT: Duration = Duration::from_secs(2);
/// Children that wait to be started.
const WAITING_MAX: usize = 64;
/// How often the nursery is told of a group that is gone while it is busy, and the pause between.
const FORGET_TRIES: u32 = 50;
const FORGET_PAUSE: Duration = Duration::from_millis(20);

/// What every child inherits. Nothing else does: our environment may hold other servers' secrets.
const INHERITED: [&str; 31] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "PWD",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "NVM_DIR",
    "PYENV_ROOT",
];
/// The same, by how a name begins: locales, folders, settings of package runners.
const INHERITED_STARTS: [&str; 8] =
    ["LC_", "XDG_", "npm_config_", "NPM_CONFIG_", "UV_", "PIP_", "DOCKER_", "VOLTA_"];

/// A child to be.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<PathBuf>,
}

enum Job {
    Start {
        order: Order,
        reply: oneshot::Sender<io::Result<Child>>,
    },
    /// A group is gone.
    Forget(Pid),
}

/// The thread that starts children. When the last of it is dropped, the thread ends, and with it
/// every child that is still there.
#[derive(Clone)]
pub(crate) struct Nursery {
    jobs: SyncSender<Job>,
}

impl Nursery {
    /// Starts the thread, for children that the current runtime looks after.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (jobs, to_do) = sync_channel::<Job>(WAITING_MAX);
        std::thread::Builder::new().name("narrows-children".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            serve(&to_do);
        })?;
        Ok(Self { jobs })
    }

    /// Starts a child with pipes for its standard streams, and the group that it leads.
    pub(crate) async fn start(&self, order: Order) -> io::Result<(Child, Group)> {
        let (reply, child) = oneshot::channel();
        let job = Job::Start { order, reply };
        self.jobs.try_send(job).map_err(|_full| io::Error::other("too many children at once"))?;
        let child = child.await.map_err(io::Error::other)??;
        let group = Group { id: id(&child), nursery: self.clone() };
        Ok((child, group))
    }

    /// A group is gone: its number may come to name a stranger's.
    async fn forget(&self, group: Pid) {
        for _ in 0..FORGET_TRIES {
            match self.jobs.try_send(Job::Forget(group)) {
                Err(TrySendError::Full(_)) => tokio::time::sleep(FORGET_PAUSE).await,
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

/// Starts children until nobody wants any more.
fn serve(jobs: &Receiver<Job>) {
    // Nobody else has it: it is made of keys that are drawn for each map.
    let drawn = RandomState::new().build_hasher().finish();
    let mark = format!("{}-{drawn:016x}", std::process::id());
    let (mut watch, mut process) = match Watch::start(&mark) {
        Ok((watch, process)) => (Some(watch), Some(process)),
        Err(e) => {
            tracing::debug!("what servers start may outlive a narrows that is killed: {e}");
            (None, None)
        }
    };
    while let Ok(job) = jobs.recv() {
        let told = match (job, &mut watch) {
            (Job::Start { order, reply }, watch) => {
                let child = spawn(&order, &mark);
                let group = child.as_ref().ok().and_then(id);
                // A child that nobody waits for is killed when it is dropped.
                let _gone = reply.send(child);
                watch.as_mut().zip(group).map(|(watch, group)| watch.add(group))
            }
            (Job::Forget(group), Some(watch)) => Some(watch.forget(group)),
            (Job::Forget(_), None) => None,
        };
        if told.is_some_and(|told| told.is_err()) {
            tracing::warn!("the process that watches over servers is gone");
            watch = None;
        }
    }
    drop(watch);
    if let Some(mut process) = process.take() {
        // It has nothing left to do but to end.
        let _reaped = process.wait();
    }
}

/// The process, and process group, of a child that was not waited for yet.
fn id(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw)
}

fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let Some(name) = name.to_str() else { return false };
        // A package runner's own settings may hold its user's credentials.
        let starts = INHERITED_STARTS.iter().any(|start| name.starts_with(start));
        INHERITED.contains(&name) || (starts && !is_secret(name))
    })
}

#[expect(clippy::disallowed_methods, reason = "the one place where upstreams are started")]
fn spawn(order: &Order, mark: &str) -> io::Result<Child> {
    if let Some(cwd) = order.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        let reason = format!("its folder {} does not exist", cwd.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, reason));
    }
    let mut child = Command::new(&order.command);
    child
        .args(&order.args)
        .env_clear()
        .envs(inherited())
        .envs(&order.env)
        .env(watch::MARK, mark)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(cwd) = &order.cwd {
        child.current_dir(cwd);
    }
    die_with_us(&mut child);
    child.spawn()
}

/// The kernel kills the child when the thread that started it ends; ours ends with the fleet.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the parent-death signal must be set between fork and exec")]
fn die_with_us(child: &mut Command) {
    let us = nix::unistd::getpid();
    // SAFETY: the closure calls prctl and getppid only, which are async-signal-safe, and it
    // allocates nothing.
    unsafe {
        child.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from)?;
            // We may have died before the signal was set.
            if nix::unistd::getppid() == us {
                Ok(())
            } else {
                Err(io::Error::from(nix::errno::Errno::ESRCH))
            }
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_child: &mut Command) {}

/// The process group that a child leads.
pub(crate) struct Group {
    id: Option<Pid>,
    nursery: Nursery,
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.id {
            // An empty group is what we want.
            let _gone = killpg(group, signal);
        }
    }

    /// Ends a child whose input is closed, with its whole group: patience, SIGTERM, SIGKILL, reaped.
    pub(crate) async fn end(self, mut child: Child) {
        if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
            self.signal(Signal::SIGTERM);
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                self.signal(Signal::SIGKILL);
                if tokio::time::timeout(DEATH_WAIT, child.wait()).await.is_err() {
                    tracing::warn!("a child process was killed and is still there");
                }
            }
        }
        // What it started itself may have outlived it.
        self.signal(Signal::SIGKILL);
        if let Some(id) = self.id {
            self.nursery.forget(id).await;
        }
    }
}
