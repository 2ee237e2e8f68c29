//! The zygote: one thread that warms an engine up, raises the walls, and from then on forks a
//! sealed worker whenever the sandbox asks for one, and buries the dead.
//!
//! It never sees a byte of any program. When the sandbox goes away the control socket ends, the
//! zygote with it, and all workers with the zygote.

use crate::evaluate::{self, Engine, Stopped};
use crate::jail::control::Control;
use crate::jail::outside::{Forked, Outside, Start};
use crate::jail::process::{self, Side};
use crate::jail::seal::{Baseline, Confined, Seal};
use crate::jail::{Report, Walls, filter, walls};
use crate::link::LinkError;
use crate::living::Living;
use crate::rehearsal::rehearse;
use crate::wire::Wire;
use narrows_types::control::{
    CONTROL_FD, Death, EXIT_LINK, EXIT_PANIC, EXIT_UNSEALED, FromZygote, SIGNALLED, ToZygote,
};
use narrows_types::frame::Program;
use narrows_types::{Layer, LayerState};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;

/// Exit code of a zygote that could not start, or whose sandbox broke the protocol.
const EXIT_FAILED: i32 = 1;

/// Why no program can have a network.
const NO_NETWORK: &str = "programs can have no network here: it takes a user, a mount and a network \
                          namespace";

/// Runs a zygote on descriptor [`CONTROL_FD`] until the sandbox closes it. Does not return; a
/// process that it forks does not either.
pub(crate) fn run<E: Engine>(prepare: impl FnOnce() -> Result<E, String>, walls: Walls) -> ! {
    let socket = process::adopt_control().map_err(|error| error.to_string());
    let clean = process::close_from(CONTROL_FD + 1);
    let (Ok(socket), Ok(())) = (socket, clean) else { process::exit(EXIT_FAILED) };
    let control = Control::new(socket);
    let outcome = match start(&control, prepare, walls) {
        Ok((zygote, engine)) => zygote.serve(engine),
        Err(reason) => control.send(&FromZygote::Failed { reason }, &[]).map_err(|e| e.to_string()),
    };
    process::exit(if outcome.is_ok() { 0 } else { EXIT_FAILED })
}

struct Zygote<'a> {
    control: &'a Control,
    seal: Seal,
    baseline: Baseline,
    ended: SignalFd,
    living: Living,
    /// What evaluators are forked from, where the engine evaluates nothing itself.
    outside: Option<Outside>,
}

/// Warm, rehearsal, walls, trial, ready.
fn start<E: Engine>(
    control: &Control,
    prepare: impl FnOnce() -> Result<E, String>,
    kind: Walls,
) -> Result<(Zygote<'_>, Option<E>), String> {
    walls::die_with_parent()?;
    process::learn_time_zone();
    let engine = prepare().map_err(|error| format!("the engine does not start: {error}"))?;
    let mut engine = Some(engine);
    let footprint = rehearse(&mut engine);
    let baseline = Baseline::measure();
    let mut report = Report::default();
    let start = engine.as_ref().and_then(Engine::outside).cloned();
    let wards = start.as_ref().is_some_and(|start| start.anew.is_some());
    let strict = filter::worker(None)?;
    let wide = filter::zygote(wards)?;
    let view = start.as_ref().map(Start::view).unwrap_or_default();
    if walls::separate(&mut report, true, &view) {
        enter_pid_namespace()?;
    }
    let mut outside = None;
    let network = start.as_ref().is_some_and(|start| start.network);
    if network && !parts(&report, kind) {
        return Err(NO_NETWORK.to_owned());
    }
    let rights = network || (view.empty.is_some() && mounts(&report, kind));
    if let Some(start) = start.as_ref().filter(|_| rights) {
        outside = Some(Outside::start(start, true, true)?.0);
    }
    walls::give_up(&mut report, view.read, outside.is_some());
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().map_err(|error| format!("signals: {error}"))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let ended = SignalFd::with_flags(&children, flags).map_err(|e| format!("signalfd: {e}"))?;
    if let Some(start) = start.as_ref().filter(|_| outside.is_none()) {
        outside = Some(beside(start, &report, kind)?);
    }
    // The filter makes no sockets.
    let pair = UnixStream::pair().map_err(|error| format!("socket: {error}"))?;
    let applied = filter::apply(&wide);
    report.note(Layer::Seccomp, applied);
    let landlock = report.reached(Layer::Landlock);
    let zygote = Some(getpid());
    let seal = Seal { filter: strict, wards, zygote, walls: kind, landlock, footprint };
    let living = Living::default();
    let zygote = Zygote { control, seal, baseline, ended, living, outside };
    let trial = zygote.trial(pair);
    for layer in Layer::FLOOR {
        report.note(layer, trial.clone());
    }
    let missing = report.missing_floor().filter(|_| kind == Walls::Floor);
    if let Some(LayerState { layer, why, .. }) = missing {
        return Err(format!("no sandbox without {layer}: {why}"));
    }
    let ready = FromZygote::Ready { layers: report.states() };
    control.send(&ready, &[]).map_err(|error| format!("control: {error}"))?;
    Ok((zygote, engine))
}

/// Forks into the new process namespace. The old process only waits for the new one; as the new
/// one's number there is 1, its end is the end of every process in the namespace.
pub(crate) fn enter_pid_namespace() -> Result<(), String> {
    match process::fork().map_err(|error| format!("fork: {error}"))? {
        Side::Child => walls::die_with_parent(),
        Side::Parent(_) => keep(),
    }
}

fn keep() -> ! {
    let sealed = process::close_from(0).map_err(|error| error.to_string()).and_then(|()| {
        let filter = filter::keeper()?;
        nix::sys::prctl::set_no_new_privs().map_err(|error| error.to_string())?;
        filter::apply(&filter)
    });
    // Its child dies with it.
    if sealed.is_err() {
        process::exit(EXIT_FAILED);
    }
    process::exit(match process::reap(true).map(|dead| dead.map(|dead| dead.how)) {
        Ok(Some(Death::Exit(code))) => code,
        // As a shell tells it.
        Ok(Some(Death::Signal(signal))) => SIGNALLED.saturating_add(signal),
        Ok(None) | Err(_) => EXIT_FAILED,
    })
}

impl Zygote<'_> {
    /// Forks a worker that seals itself, proves it and ends.
    fn trial(&self, (ours, theirs): (UnixStream, UnixStream)) -> Result<(), String> {
        match process::fork().map_err(|error| format!("fork: {error}"))? {
            Side::Child => {
                drop(ours);
                let (socket, code) = match self.seal.close(Wire::from(theirs), None) {
                    Ok(socket) => (Some(socket), 0),
                    Err(_) => (None, EXIT_UNSEALED),
                };
                drop(socket);
                process::exit(code)
            }
            Side::Parent(_) => match process::reap(true).map_err(|e| format!("wait: {e}"))? {
                Some(dead) if dead.how == Death::Exit(0) => Ok(()),
                Some(dead) => Err(format!("a trial worker could not seal itself: {:?}", dead.how)),
                None => Err("the trial worker is lost".to_owned()),
            },
        }
    }

    /// The loop. Returns when the sandbox is gone.
    fn serve<E: Engine>(mut self, mut engine: Option<E>) -> Result<(), String> {
        loop {
            let mut fds = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.ended.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(format!("poll: {error}")),
            }
            let [control, ended] = fds.map(|fd| fd.any().unwrap_or(true));
            if ended {
                self.bury()?;
            }
            if control && !self.obey(&mut engine)? {
                return Ok(());
            }
        }
    }

    /// Reports every child that has ended.
    fn bury(&mut self) -> Result<(), String> {
        while let Ok(Some(_)) = self.ended.read_signal() {}
        while let Some(dead) = process::reap(false).map_err(|error| format!("wait: {error}"))? {
            if self.outside.as_ref().is_some_and(|outside| outside.pid() == dead.pid) {
                return Err(format!("the interpreter ended: {:?}", dead.how));
            }
            if let Some(ended) = self.living.buried(dead) {
                self.control.send(&ended, &[]).map_err(|error| format!("control: {error}"))?;
            }
        }
        Ok(())
    }

    /// Forks a worker, and its evaluator before it. Gives what the sandbox gets of them: the
    /// worker's descriptor and, where there is one, what listens in the evaluator's network.
    fn fork<E: Engine>(
        &mut self,
        id: u64,
        socket: OwnedFd,
        engine: &mut Option<E>,
    ) -> io::Result<Vec<OwnedFd>> {
        let mut evaluator = self.outside.as_ref().map(Outside::fork).transpose()?;
        let door = evaluator.as_mut().and_then(|one| one.door.take());
        let pid = evaluator.as_ref().map(|one| one.pid);
        match process::fork()? {
            Side::Child => work(socket, evaluator, engine.take(), (&self.seal, self.baseline)),
            Side::Parent(worker) => {
                self.living.add(id, worker, pid);
                Ok([process::pidfd(worker)?].into_iter().chain(door).collect())
            }
        }
    }

    /// Handles one message. `false`: the sandbox is gone.
    fn obey<E: Engine>(&mut self, engine: &mut Option<E>) -> Result<bool, String> {
        let message = self.control.receive().map_err(|error| format!("control: {error}"))?;
        let Some((ToZygote::Fork { id }, socket)) = message else { return Ok(false) };
        let socket = socket.ok_or("control: fork without a socket")?;
        let reply = self.fork(id, socket, engine);
        let (message, fds) = match reply {
            Ok(fds) => (FromZygote::Forked { id }, fds),
            // A worker without a pidfd ends by itself: the sandbox closes its socket.
            Err(error) => (FromZygote::ForkFailed { id, reason: error.to_string() }, Vec::new()),
        };
        let sent = self.control.send(&message, &fds);
        sent.map(|()| true).map_err(|error| format!("control: {error}"))
    }
}

/// Whether an interpreter can mount a folder for each of its evaluators.
fn mounts(report: &Report, kind: Walls) -> bool {
    kind != Walls::None
        && report.reached(Layer::MountNamespace)
        && report.reached(Layer::UserNamespace)
}

/// Whether an interpreter can give each of its evaluators a network that nothing else is in.
fn parts(report: &Report, kind: Walls) -> bool {
    mounts(report, kind) && report.reached(Layer::NetNamespace)
}

/// What evaluators are forked from. The machine's files must be out of its sight.
pub(crate) fn beside(start: &Start, report: &Report, kind: Walls) -> Result<Outside, String> {
    let walled = report.reached(Layer::MountNamespace) || report.reached(Layer::Landlock);
    if kind == Walls::Floor && !walled {
        let why = "an interpreter of the system's needs landlock or a mount namespace";
        return Err(why.to_owned());
    }
    Outside::start(start, kind != Walls::None, false).map(|(outside, _)| outside)
}

/// A worker's whole life.
fn work<E: Engine>(
    socket: OwnedFd,
    evaluator: Option<Forked>,
    engine: Option<E>,
    (seal, baseline): (&Seal, Baseline),
) -> ! {
    let (Ok((wire, evaluator)), Some(mut engine)) =
        (seal.close(Wire::one(socket), evaluator), engine)
    else {
        process::exit(EXIT_UNSEALED)
    };
    if let Some(evaluator) = evaluator {
        engine.meet(evaluator);
    }
    live(wire, engine, baseline)
}

/// One program on a sealed worker's wire, or one after the other where the worker is kept.
pub(crate) fn live<E: Engine>(wire: Wire, engine: E, baseline: Baseline) -> ! {
    let mut limits = Confined::new(baseline);
    let confine = |program: &Program| limits.set(program);
    let run = AssertUnwindSafe(|| evaluate::live(wire, engine, confine));
    process::exit(match std::panic::catch_unwind(run) {
        Ok(Ok(())) => 0,
        Ok(Err(Stopped { .. })) => EXIT_LINK,
        Err(_panic) => EXIT_PANIC,
    })
}

impl From<LinkError> for Stopped {
    fn from(error: LinkError) -> Self {
        Self(match error {
            LinkError::Io(error) => format!("the link broke: {error}"),
            LinkError::Bad(frame) => frame.to_string(),
            LinkError::Refused => "the host refused the program".to_owned(),
        })
    }
}
