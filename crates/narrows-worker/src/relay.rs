//! Frames between the host and an interpreter in another process, for a program that this worker
//! has read. What the host sends is passed on as it is; what the interpreter sends is cut into
//! frames, and only its last one is looked into: the host trusts no frame of this worker's either.

use crate::jail::outside::{Anew, Forked, Start};
use crate::jail::{process, seal};
use crate::link::{Link, LinkError};
use crate::time::Began;
use narrows_types::frame::{BadFrame, Done, End, FromWorker, PREFIX_BYTES, Program};
use narrows_types::{Limit, Limits, ProgramError, Usage, Uses};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statvfs::fstatvfs;
use nix::time::ClockId;
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What is read from the interpreter at once.
const READ_BYTES: usize = 64 << 10;

/// More than any run may have: what it is started with.
const DATA_BYTES_MAX: u64 = crate::jail::launcher::DATA_BYTES_MAX;

/// How often its time on processors is looked at, at most.
const CPU_LOOK: Duration = Duration::from_millis(2);

/// How often its files are looked at, at least.
const DISK_LOOK: Duration = Duration::from_millis(20);

/// A language, as an interpreter in another process wants its programs read.
pub(crate) trait Reader {
    /// As [`crate::Engine::SAMPLE`].
    const SAMPLE: &'static str;

    /// Reads a program.
    fn read<'p>(&'p self, code: &'p str) -> Text<'p>;
}

/// Turns places of what is evaluated into the program's own.
type Own<'p> = Box<dyn Fn(&mut ProgramError) + 'p>;

/// A program that has been read.
pub(crate) struct Text<'p> {
    pub(crate) uses: Uses,
    /// What is evaluated.
    pub(crate) script: String,
    /// What else this interpreter wants to know, an object.
    pub(crate) more: Value,
    pub(crate) own: Own<'p>,
}

/// What the interpreter is told of a program that may run.
#[derive(Serialize)]
struct Begin<'p> {
    text: &'p str,
    namespaces: &'p [String],
    input: Option<&'p RawValue>,
    limits: &'p Limits,
    now_ms: u64,
    seed: u64,
    #[serde(flatten)]
    more: &'p Value,
}

/// An engine whose interpreter is a process beside this one.
pub(crate) struct Beside<R> {
    pub(crate) start: Start,
    reader: R,
    /// `None` in a rehearsal, where nothing is evaluated.
    pub(crate) evaluator: Option<Evaluator>,
}

impl<R: Reader> Beside<R> {
    pub(crate) fn new(start: Start, reader: R) -> Self {
        Self { start, reader, evaluator: None }
    }

    /// Runs one program: sends `Uses`, waits for `Go`, has it evaluated.
    ///
    /// # Errors
    /// The link broke, or somebody did not keep to the protocol.
    pub(crate) fn run<S: Read + Write + AsFd>(
        &mut self,
        link: &mut Link<S>,
        program: &Program,
    ) -> Result<Relayed, LinkError> {
        let began = Began::now();
        let Text { uses, script, more, own } = self.reader.read(&program.code);
        let namespaces = link.ask_to_go(uses)?;
        let Some(mut evaluator) = self.evaluator.take() else {
            let done = Done { end: End::Deadlock, usage: Usage::default() };
            link.send(&FromWorker::Done(Box::new(done)))?;
            return Ok(Relayed::Done);
        };
        if let Some(anew) = &self.start.anew {
            evaluator.confine(&program.limits, anew)?;
        }
        evaluator.begin(&Begin {
            text: &script,
            namespaces: &namespaces,
            input: program.input.as_deref(),
            limits: &program.limits,
            now_ms: program.now_ms,
            seed: program.seed,
            more: &more,
        })?;
        relay(link, &mut evaluator, (&program.limits, began), own.as_ref())
    }
}

/// The end of a run that another process evaluated.
pub(crate) enum Relayed {
    /// `Done` is sent.
    Done,
    /// The interpreter ended without a last word.
    Gone,
}

/// An interpreter in another process, at the other end of a socket that does not block.
#[derive(Debug)]
pub(crate) struct Evaluator {
    stream: UnixStream,
    pid: Pid,
    /// What it has sent, and how much of that has been passed on.
    arrived: Vec<u8>,
    passed: usize,
    /// What it is to get, and how much of that it has taken.
    waiting: Vec<u8>,
    taken: usize,
    /// It takes nothing any more.
    deaf: bool,
    /// The time that it has spent on processors.
    clock: ClockId,
    /// How many of its threads spend that time at once, at most.
    threads: u32,
    scratch: Option<Scratch>,
}

/// An evaluator's own files, as this process sees them. What the config allows cannot be exceeded;
/// what a run allows beneath that is watched here.
#[derive(Debug)]
struct Scratch {
    fd: OwnedFd,
    /// The most that there was at once.
    bytes: u64,
    files: u64,
}

impl Scratch {
    /// Looks. Gives the limit that is exceeded.
    fn look(&mut self, limits: &Limits) -> Option<Limit> {
        // It lives as long as the descriptor to it.
        let found = fstatvfs(&self.fd).ok()?;
        let bytes = found.blocks().saturating_sub(found.blocks_free()) * found.fragment_size();
        // The folder itself does not count.
        let files = found.files().saturating_sub(found.files_free()).saturating_sub(1);
        (self.bytes, self.files) = (self.bytes.max(bytes), self.files.max(files));
        if bytes > limits.disk_bytes {
            return Some(Limit::DiskBytes);
        }
        (files > limits.files.into()).then_some(Limit::Files)
    }
}

impl Evaluator {
    /// What speaks with a process that has been forked.
    pub(crate) fn new(forked: Forked) -> Self {
        // As the C library does, but without asking the kernel whether there is such a process.
        const PROCESS: i32 = 2;
        let clock = ClockId::from_raw((!forked.pid.as_raw() << 3) | PROCESS);
        let stream = forked.socket.into();
        let scratch = forked.scratch.map(|fd| Scratch { fd, bytes: 0, files: 0 });
        let (arrived, waiting) = (Vec::new(), Vec::new());
        let (passed, taken, deaf, threads) = (0, 0, false, 1);
        let pid = forked.pid;
        Self { stream, pid, arrived, passed, waiting, taken, deaf, clock, threads, scratch }
    }

    /// The limit that its files exceed.
    fn overfull(&mut self, limits: &Limits) -> Option<Limit> {
        self.scratch.as_mut()?.look(limits)
    }

    fn usage(&self, wall: Duration, cpu: Duration) -> Usage {
        let (disk_bytes, files) = self.scratch.as_ref().map_or((0, 0), |s| (s.bytes, s.files));
        let (wall_us, cpu_us) = (micros(wall), micros(cpu));
        Usage { wall_us, cpu_us, memory_bytes: 0, disk_bytes, files }
    }

    /// The time that it has spent on processors. Where that is not told, the kernel's own limit
    /// on it is all there is.
    fn cpu(&self) -> Duration {
        self.clock.now().map_or(Duration::ZERO, Duration::from)
    }

    /// Sets the limits of a run from outside, where an interpreter does not set them itself.
    fn confine(&mut self, limits: &Limits, anew: &Anew) -> io::Result<()> {
        self.threads = anew.threads.max(1);
        let data = anew.idle_bytes.saturating_add(seal::room(limits)).min(DATA_BYTES_MAX);
        process::lower_of(self.pid, libc::RLIMIT_DATA, data)?;
        // Whole seconds; the relay is exact, as long as it comes to look.
        let cpu = self.cpu().saturating_add(Duration::from_millis(limits.cpu_ms));
        process::lower_of(self.pid, libc::RLIMIT_CPU, cpu.as_secs().saturating_add(2))
    }

    /// Tells it of the program, framed as all else.
    fn begin(&mut self, begin: &Begin<'_>) -> Result<(), LinkError> {
        const KIND: u8 = 0;
        let text = serde_json::to_vec(begin).map_err(io::Error::from)?;
        let length = u32::try_from(text.len() + 1).map_err(io::Error::other)?;
        self.give(&length.to_le_bytes());
        self.give(&[KIND]);
        self.give(&text);
        Ok(())
    }

    /// Sends it something once it takes it.
    fn give(&mut self, bytes: &[u8]) {
        if !self.deaf {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// Has it take what it takes. One that takes nothing any more may still have said something.
    fn push(&mut self) {
        while let Some(rest) = self.waiting.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.deaf = true;
                    break;
                }
            }
        }
        self.waiting.clear();
        self.taken = 0;
    }

    /// Takes what is there. `false`: nothing will come any more.
    fn pull(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read(buffer) {
            Ok(0) => false,
            Ok(count) => {
                // What is left is less than what one such read brought.
                self.arrived.drain(..self.passed);
                self.passed = 0;
                self.arrived.extend_from_slice(buffer.get(..count).unwrap_or_default());
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// The kind of the next frame and its bytes, its prefix among them, once all of them are there.
    fn next(&mut self, limits: &Limits) -> Result<Option<(u8, &[u8])>, LinkError> {
        let rest = self.arrived.get(self.passed..).unwrap_or_default();
        let Some((prefix, after)) = rest.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let Some(kind) = after.first() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        let value_bytes = usize::try_from(limits.value_bytes).unwrap_or(usize::MAX);
        let most = FromWorker::bytes_max(*kind, value_bytes).unwrap_or(0);
        if length == 0 || length > most {
            return Err(BadFrame(format!("{length} bytes of kind {kind}")).into());
        }
        let Some(frame) = rest.get(..PREFIX_BYTES + length) else { return Ok(None) };
        self.passed += frame.len();
        Ok(Some((*kind, frame)))
    }
}

/// Passes frames until the run is over. `own` turns places of what was evaluated into the
/// program's own.
fn relay<S: Read + Write + AsFd>(
    link: &mut Link<S>,
    evaluator: &mut Evaluator,
    (limits, began): (&Limits, Began),
    own: &dyn Fn(&mut ProgramError),
) -> Result<Relayed, LinkError> {
    let mut buffer = vec![0; READ_BYTES];
    let warm = evaluator.cpu();
    let used = |evaluator: &Evaluator| evaluator.cpu().saturating_sub(warm);
    loop {
        let (wall, cpu) = (began.wall(), used(evaluator));
        let wall_left = Duration::from_millis(limits.wall_ms).saturating_sub(wall);
        let cpu_left = Duration::from_millis(limits.cpu_ms).saturating_sub(cpu);
        let overfull = evaluator.overfull(limits);
        let limit = wall_left.is_zero().then_some(Limit::WallMs);
        let limit = limit.or(cpu_left.is_zero().then_some(Limit::CpuMs)).or(overfull);
        if let Some(limit) = limit {
            let done = Done { end: End::Limit(limit), usage: evaluator.usage(wall, cpu) };
            link.send(&FromWorker::Done(Box::new(done)))?;
            return Ok(Relayed::Done);
        }
        let nap = nap(wall_left, cpu_left, evaluator.threads);
        let nap = if evaluator.scratch.is_some() { nap.min(DISK_LOOK) } else { nap };
        let (from_host, from_evaluator) = ready(link, evaluator, nap)?;
        evaluator.push();
        // What the interpreter said before it ended counts, so it is heard to its end.
        if from_evaluator {
            let more = evaluator.pull(&mut buffer);
            while let Some((kind, frame)) = evaluator.next(limits)? {
                let Some(mut done) = last(kind, frame)? else {
                    link.send_raw(frame)?;
                    continue;
                };
                if let End::Threw(error) = &mut done.end {
                    own(error);
                }
                // Nothing of what it says of itself counts where more is known.
                if let Some(limit) = evaluator.overfull(limits) {
                    done.end = End::Limit(limit);
                }
                let seen = evaluator.usage(began.wall(), used(evaluator));
                done.usage.cpu_us = done.usage.cpu_us.max(seen.cpu_us);
                (done.usage.disk_bytes, done.usage.files) = (seen.disk_bytes, seen.files);
                link.send(&FromWorker::Done(done))?;
                return Ok(Relayed::Done);
            }
            if !more {
                return Ok(Relayed::Gone);
            }
        }
        if from_host {
            evaluator.give(&link.receive_raw()?);
        }
    }
}

/// How long it may be until somebody looks at its time again: all its threads spend it at once.
fn nap(wall_left: Duration, cpu_left: Duration, threads: u32) -> Duration {
    let soonest = cpu_left.checked_div(threads).unwrap_or(cpu_left);
    wall_left.min(soonest.max(CPU_LOOK))
}

/// Waits until somebody has something to say, or takes what waits. The host is only heard while
/// nothing waits for the interpreter, so that no more than one frame ever does.
fn ready<S: Read + Write + AsFd>(
    link: &Link<S>,
    evaluator: &Evaluator,
    time: Duration,
) -> Result<(bool, bool), LinkError> {
    let (of_host, of_evaluator) = if evaluator.deaf {
        (PollFlags::empty(), PollFlags::POLLIN)
    } else if evaluator.waiting.is_empty() {
        (PollFlags::POLLIN, PollFlags::POLLIN)
    } else {
        (PollFlags::empty(), PollFlags::POLLIN | PollFlags::POLLOUT)
    };
    let mut fds =
        [PollFd::new(link.as_fd(), of_host), PollFd::new(evaluator.stream.as_fd(), of_evaluator)];
    // Whole milliseconds, rounded up: else the last one would be spent asking.
    let millis = time.saturating_add(Duration::from_micros(999)).as_millis();
    match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok((false, false)),
        Err(error) => return Err(LinkError::Io(error.into())),
    }
    let heard = |fd: &PollFd<'_>| {
        let found = fd.revents().unwrap_or(PollFlags::POLLIN);
        found.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
    };
    let [host, from_evaluator] = fds;
    Ok((heard(&host), heard(&from_evaluator)))
}

/// The last frame of a run, if this is it.
fn last(kind: u8, frame: &[u8]) -> Result<Option<Box<Done>>, LinkError> {
    match kind {
        FromWorker::DONE => {}
        FromWorker::USES => {
            return Err(BadFrame("the interpreter reads no program".to_owned()).into());
        }
        _ => return Ok(None),
    }
    match FromWorker::decode(frame.get(PREFIX_BYTES..).unwrap_or_default())? {
        FromWorker::Done(done) => Ok(Some(done)),
        _ => Ok(None),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> FromWorker {
        FromWorker::Done(Box::new(Done { end: End::Deadlock, usage: Usage::default() }))
    }

    fn said(host: &mut UnixStream) -> Vec<u8> {
        let mut kinds = Vec::new();
        loop {
            let mut prefix = [0; PREFIX_BYTES];
            if host.read_exact(&mut prefix).is_err() {
                return kinds;
            }
            let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
            host.read_exact(&mut frame).unwrap();
            kinds.push(frame[0]);
        }
    }

    /// Relays what an interpreter said that is gone by now, with so much in it still to be taken.
    fn after_its_end(words: &[FromWorker], waiting: usize) -> (Relayed, Vec<u8>) {
        let (mut host, inside) = UnixStream::pair().unwrap();
        let (mut interpreter, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        for word in words {
            interpreter.write_all(&word.encode().unwrap()).unwrap();
        }
        let mut evaluator = Evaluator::new(beside(stream));
        evaluator.give(&vec![0; waiting]);
        evaluator.push();
        drop(interpreter);
        let mut link = Link::new(inside);
        let limits = (&Limits::default(), Began::now());
        let relayed = relay(&mut link, &mut evaluator, limits, &|_| {}).unwrap();
        drop(link);
        (relayed, said(&mut host))
    }

    fn beside(stream: UnixStream) -> Forked {
        Forked { pid: Pid::this(), socket: stream.into(), scratch: None, door: None }
    }

    #[test]
    fn the_last_word_of_one_that_is_gone_counts() {
        for waiting in [0, 4, 8 << 20] {
            let (relayed, said) = after_its_end(&[FromWorker::Idle, done()], waiting);
            assert!(matches!(relayed, Relayed::Done), "{waiting}");
            assert_eq!(said, [71, FromWorker::DONE], "{waiting}");
            let (relayed, said) = after_its_end(&[FromWorker::Idle], waiting);
            assert!(matches!(relayed, Relayed::Gone), "{waiting}");
            assert_eq!(said, [71], "{waiting}");
        }
    }

    #[test]
    fn frames_are_cut_wherever_their_bytes_are_split() {
        let bytes = [FromWorker::Idle, done(), FromWorker::Idle].map(|word| word.encode().unwrap());
        let bytes = bytes.concat();
        let limits = Limits::default();
        for step in 1..bytes.len() {
            let (mut interpreter, stream) = UnixStream::pair().unwrap();
            let mut evaluator = Evaluator::new(beside(stream));
            let mut kinds = Vec::new();
            for part in bytes.chunks(step) {
                interpreter.write_all(part).unwrap();
                assert!(evaluator.pull(&mut [0; 1_024]));
                while let Some((kind, frame)) = evaluator.next(&limits).unwrap() {
                    assert_eq!(frame[PREFIX_BYTES], kind);
                    kinds.push(kind);
                }
            }
            assert_eq!(kinds, [71, FromWorker::DONE, 71], "{step}");
        }
    }

    #[test]
    fn its_time_is_looked_at_before_all_its_threads_have_spent_it() {
        let second = Duration::from_secs(1);
        assert_eq!(nap(10 * second, 2 * second, 1), 2 * second);
        assert_eq!(nap(10 * second, 2 * second, 8), second / 4);
        assert_eq!(nap(second / 10, 2 * second, 8), second / 10);
        assert_eq!(nap(10 * second, Duration::from_nanos(9), 8), CPU_LOOK);
    }
}
