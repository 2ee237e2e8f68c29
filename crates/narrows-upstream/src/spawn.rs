//! Child processes: each in a process group of its own, none outliving us.
//!
//! The kernel's parent-death signal is tied to the thread that forks, so all children are started
//! by one thread that lives as long as the fleet.

use crate::secrets::is_secret;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// How long a child may take to end by itself, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a child that was killed may take to be gone.
const DEATH_WAIT: Duration = Duration::from_secs(2);
/// Children that wait to be started.
const WAITING_MAX: usize = 64;

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

struct Job {
    order: Order,
    reply: oneshot::Sender<io::Result<Child>>,
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
            while let Ok(Job { order, reply }) = to_do.recv() {
                // A child that nobody waits for is killed when it is dropped.
                let _gone = reply.send(spawn(&order));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Starts a child with pipes for its standard streams.
    pub(crate) async fn start(&self, order: Order) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        let job = Job { order, reply };
        self.jobs.try_send(job).map_err(|_full| io::Error::other("too many children at once"))?;
        child.await.map_err(io::Error::other)?
    }
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
fn spawn(order: &Order) -> io::Result<Child> {
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that was not waited for yet.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(self, signal: Signal) {
        if let Some(group) = self.0 {
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
    }
}
