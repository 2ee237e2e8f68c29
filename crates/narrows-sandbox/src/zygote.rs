//! One zygote as its owner sees it, and the task that listens to it.

use crate::backend::{Ender, Fresh};
use crate::cgroup::Cgroup;
use crate::guard::Ended;
use crate::owner::Event;
use crate::spawn::{self, Control, Launch, Pidfd, Running};
use narrows_types::control::{Death, ToZygote};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a zygote whose socket has closed may take to be buried.
const BURIAL: Duration = Duration::from_secs(1);
/// The longest piece of a zygote's standard error that becomes one line of the log.
pub(crate) const LINE_BYTES_MAX: usize = 1_024;

/// Where a zygote is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not said that it is ready.
    Starting,
    /// It forks.
    Ready,
    /// It forks no more and lives for its workers.
    Retired,
    /// Its last worker is gone; it has been told to end.
    Ending,
}

/// A zygote's process, which has not spoken yet.
pub(crate) struct Born {
    pub(crate) control: Arc<Control>,
    pub(crate) process: Pidfd,
    pub(crate) pid: u32,
    /// As [`Zygote::bounded`].
    pub(crate) bounded: Result<(), String>,
}

/// One zygote.
pub(crate) struct Zygote {
    pub(crate) stage: Stage,
    /// When it was started, or told to end.
    pub(crate) born: Instant,
    pub(crate) forks: u32,
    pub(crate) pid: Option<u32>,
    /// Whether it is in the group of all workers, or why not.
    pub(crate) bounded: Result<(), String>,
    process: Option<Pidfd>,
    control: Option<Arc<Control>>,
    /// Workers that have been asked for.
    asked: HashMap<u64, (UnixStream, Instant)>,
    /// Workers that live, each with whom its end is told.
    living: HashMap<u64, oneshot::Sender<Ended>>,
    _listener: DropGuard,
}

impl Zygote {
    /// A zygote that is being started, whose listener ends with this token.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            stage: Stage::Starting,
            born: Instant::now(),
            forks: 0,
            pid: None,
            bounded: Ok(()),
            process: None,
            control: None,
            asked: HashMap::new(),
            living: HashMap::new(),
            _listener: stop.drop_guard(),
        }
    }

    pub(crate) fn started(&mut self, born: Born) {
        let Born { control, process, pid, bounded } = born;
        self.control = Some(control);
        self.bounded = bounded;
        self.process = Some(process);
        self.pid = Some(pid);
    }

    /// Asks for a worker.
    pub(crate) fn fork(&mut self, id: u64) -> io::Result<()> {
        let control = self.control.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let ours = UnixStream::from_std(ours)?;
        control.send(&ToZygote::Fork { id }, &theirs)?;
        self.forks = self.forks.saturating_add(1);
        self.asked.insert(id, (ours, Instant::now()));
        Ok(())
    }

    /// The worker exists, with what came beside the word of it: its pidfd, and what listens in its
    /// network if it has one. `None`: it was not asked for, or its pidfd is missing.
    pub(crate) fn forked(&mut self, id: u64, fds: Vec<OwnedFd>) -> Option<Fresh> {
        let (stream, _) = self.asked.remove(&id)?;
        let (tell, ended) = oneshot::channel();
        self.living.insert(id, tell);
        let (read, write) = stream.into_split();
        let mut fds = fds.into_iter();
        let worker = Ender::Process(Pidfd::new(fds.next()?));
        let door = fds.next();
        Some(Fresh { read: Box::new(read), write: Box::new(write), worker, ended, door })
    }

    pub(crate) fn fork_failed(&mut self, id: u64) {
        self.asked.remove(&id);
    }

    /// Tells whom it concerns that a worker is gone.
    pub(crate) fn ended(&mut self, id: u64, ended: Ended) {
        if let Some(tell) = self.living.remove(&id) {
            // Whoever held it may be gone too.
            let _unheard = tell.send(ended);
        }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.len()
    }

    pub(crate) fn living(&self) -> usize {
        self.living.len()
    }

    /// Since when it owes an answer.
    pub(crate) fn owes_since(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|(_, since)| *since).min();
        if matches!(self.stage, Stage::Starting | Stage::Ending) { Some(self.born) } else { asked }
    }

    /// Lets it end by itself, so that what it started is buried by it.
    pub(crate) fn dismiss(&mut self) {
        self.stage = Stage::Ending;
        self.born = Instant::now();
        if let Some(control) = &self.control {
            control.close();
        }
    }

    /// Ends it with all its workers.
    pub(crate) fn kill(self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }
}

/// Starts a zygote and passes on everything that it says until it is gone or nobody listens.
pub(crate) async fn listen(
    generation: u64,
    (launch, cgroup): (Launch, Arc<Cgroup>),
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) {
    let listening = async {
        let why = match speak(generation, launch, cgroup, &events).await {
            Ok(why) => why,
            Err(error) => error.to_string(),
        };
        drop(events.send(Event::Gone { generation, why }).await);
    };
    stop.run_until_cancelled(listening).await;
}

async fn speak(
    generation: u64,
    launch: Launch,
    cgroup: Arc<Cgroup>,
    events: &mpsc::Sender<Event>,
) -> io::Result<String> {
    let path = launch.program.clone();
    let started = spawn::start(launch, cgroup)
        .await
        .map_err(|error| io::Error::other(format!("cannot start {}: {error}", path.display())))?;
    let control = Arc::new(started.control);
    let Running { process, pid, ended } = started.running;
    let born = Born { control: Arc::clone(&control), process, pid, bounded: started.bounded };
    drop(events.send(Event::Started { generation, born }).await);
    let why = loop {
        match control.receive().await {
            Ok(Some((message, fds))) => {
                drop(events.send(Event::Said { generation, message, fds }).await);
            }
            Ok(None) => break "its control socket closed".to_owned(),
            Err(error) => break format!("its control socket broke: {error}"),
        }
    };
    let ended = timeout(BURIAL, ended).await.ok().and_then(Result::ok);
    Ok(match ended.map(|ended| ended.how) {
        Some(Death::Exit(code)) => format!("{why} (exit code {code})"),
        Some(Death::Signal(signal)) => format!("{why} (signal {signal})"),
        None => why,
    })
}

/// Puts a piece of text for people into the log.
pub(crate) fn log(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        tracing::warn!(target: "narrows::worker", "{}", line.escape_debug());
    }
}
