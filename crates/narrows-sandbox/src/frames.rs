//! Reads frames off a worker's socket: each capped by its kind before a byte of it is kept, in the
//! only order that the protocol knows.

use narrows_types::control::MESSAGE_BYTES_MAX;
use narrows_types::frame::{FromWorker, PREFIX_BYTES};
use narrows_types::uses::REFERENCES_MAX;
use narrows_types::{Layer, LayerState};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is read at once; also the most that is kept beyond the frame that is being read.
const CHUNK_BYTES: usize = 64 << 10;

/// A buffer larger than this is given back once it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// The longest name of a server or a tool that a worker may say: it is kept with the run.
const NAME_BYTES_MAX: usize = 1_024;

/// Findings of one program; a worker tells fewer.
const FINDINGS_MAX: usize = 4 * REFERENCES_MAX;

/// Why no more frames come.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The worker is gone, or closed its end.
    Closed,
    /// It broke the protocol: one line how.
    Protocol(String),
}

/// Reads the one frame that a worker says before it has a program, and not a byte more.
pub(crate) async fn hello(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Vec<LayerState>, String> {
    let gone = |_closed| "it ended before it was ready".to_owned();
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.map_err(gone)?;
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length == 0 || length > MESSAGE_BYTES_MAX {
        return Err(format!("its first frame has {length} bytes"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.map_err(gone)?;
    match FromWorker::decode(&frame) {
        Ok(FromWorker::Hello(layers)) if layers.len() <= Layer::ALL.len() => Ok(layers),
        Ok(other) => Err(format!("its first frame is {}", other.name())),
        Err(error) => Err(error.to_string()),
    }
}

/// Where in the protocol a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has the program, or not even that.
    Start,
    /// It has said what the program uses.
    Evaluating,
    /// It has said its last.
    Done,
}

/// Frames of one worker, decoded.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Bytes at the start of the buffer that have been handed out. They leave it before the next
    /// read, not frame by frame: a flood of small frames must not move the rest each time.
    taken: usize,
    phase: Phase,
    calls: u32,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), taken: 0, phase: Phase::Start, calls: 0 }
    }

    /// Waits for a frame. Can be dropped at any await and called again: what has been read is kept.
    /// Nothing is read unless this is called, so a flood only blocks the worker.
    pub(crate) async fn next(&mut self, value_bytes: usize) -> Result<FromWorker, Broken> {
        loop {
            let whole = self.whole(value_bytes)?;
            if let Some(length) = whole {
                return self.take(length);
            }
            self.make_room();
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken::Closed),
            }
        }
    }

    /// The worker is to get another program: what it says from now on is about that one.
    pub(crate) fn begin(&mut self) -> Result<(), Broken> {
        (self.phase, self.calls) = (Phase::Start, 0);
        if self.taken < self.buffer.len() { Err(between()) } else { Ok(()) }
    }

    /// Waits for a word of a worker that has no program, and so nothing to say: why it is over. Can
    /// be dropped at any await and called again.
    pub(crate) async fn silence(&mut self) -> Broken {
        if self.taken < self.buffer.len() {
            return between();
        }
        self.make_room();
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Broken::Closed,
            Ok(_) => between(),
        }
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.taken.min(self.buffer.len()));
        self.taken = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
        self.buffer.reserve(CHUNK_BYTES);
    }

    /// The length of the frame that is first in the buffer, if all of it is there.
    fn whole(&self, value_bytes: usize) -> Result<Option<usize>, Broken> {
        let unread = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((prefix, rest)) = unread.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(Broken::Protocol("an empty frame".to_owned()));
        }
        let Some(kind) = rest.first() else { return Ok(None) };
        let Some(max) = FromWorker::bytes_max(*kind, value_bytes) else {
            return Err(Broken::Protocol(format!("a frame of unknown kind {kind}")));
        };
        if length > max {
            let name = format!("a frame of kind {kind} with {length} bytes, at most {max}");
            return Err(Broken::Protocol(name));
        }
        Ok((rest.len() >= length).then_some(length))
    }

    fn take(&mut self, length: usize) -> Result<FromWorker, Broken> {
        let start = self.taken.saturating_add(PREFIX_BYTES);
        let end = start.saturating_add(length);
        let bytes = self.buffer.get(start..end).unwrap_or_default();
        let frame =
            FromWorker::decode(bytes).map_err(|error| Broken::Protocol(error.to_string()))?;
        self.taken = end;
        self.admit(&frame)?;
        Ok(frame)
    }

    /// Checks the order of frames.
    fn admit(&mut self, frame: &FromWorker) -> Result<(), Broken> {
        let out_of_turn = |name: &str| Broken::Protocol(format!("a {name} frame out of turn"));
        match (self.phase, frame) {
            (Phase::Start, FromWorker::Uses(uses)) => {
                if uses.references.len() > REFERENCES_MAX || uses.findings.len() > FINDINGS_MAX {
                    return Err(Broken::Protocol("a uses frame with too many entries".to_owned()));
                }
                self.phase = Phase::Evaluating;
            }
            (Phase::Start | Phase::Evaluating, FromWorker::Done(_)) => self.phase = Phase::Done,
            (Phase::Evaluating, FromWorker::Call(call)) => {
                let expected = self.calls.saturating_add(1);
                if call.id != expected {
                    let text = format!("call {} out of order, expected {expected}", call.id);
                    return Err(Broken::Protocol(text));
                }
                if call.server.len() > NAME_BYTES_MAX || call.tool.len() > NAME_BYTES_MAX {
                    let text = format!("a call of a name beyond {NAME_BYTES_MAX} bytes");
                    return Err(Broken::Protocol(text));
                }
                self.calls = expected;
            }
            (
                Phase::Evaluating,
                FromWorker::Log(_)
                | FromWorker::Progress(_)
                | FromWorker::Show(_)
                | FromWorker::Idle,
            ) => {}
            (_, frame) => return Err(out_of_turn(frame.name())),
        }
        Ok(())
    }
}

fn between() -> Broken {
    Broken::Protocol("it spoke while it had no program".to_owned())
}

#[cfg(test)]
mod tests;
