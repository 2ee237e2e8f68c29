//! The worker's end of the one descriptor: blocking frames over a socket.

use crate::evaluate::Stopped;
use narrows_types::Uses;
use narrows_types::frame::{BadFrame, FromWorker, Go, PREFIX_BYTES, Program, ToWorker};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A frame from the host larger than this is refused before it is read.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// Frames to and from the host.
pub(crate) struct Link<S> {
    stream: S,
}

/// The link broke: nothing is left to do but end.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// The socket failed or the host closed it.
    Io(io::Error),
    /// The host sent what is no frame.
    Bad(BadFrame),
    /// The host refused the program: there is nothing to say of it, and another may come.
    Refused,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<BadFrame> for LinkError {
    fn from(error: BadFrame) -> Self {
        Self::Bad(error)
    }
}

impl<S: AsFd> AsFd for Link<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: AsFd> Link<S> {
    /// Waits for the host to say something, so long at most. An interrupted wait is over.
    pub(crate) fn ready(&self, time: Duration) -> Result<bool, LinkError> {
        let mut descriptors = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        // Whole milliseconds, rounded up: else the last one would be spent asking.
        let milliseconds = time.saturating_add(Duration::from_micros(999)).as_millis();
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut descriptors, timeout) {
            Ok(count) => Ok(count > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(LinkError::Io(error.into())),
        }
    }
}

impl<S: Read + Write> Link<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }

    /// What carries the frames.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Has one program speak over a stream, and gives that back. A program that the host refused is
    /// over like any other.
    pub(crate) fn lend(
        stream: S,
        speak: impl FnOnce(&mut Self) -> Result<(), LinkError>,
    ) -> Result<S, Stopped> {
        let mut link = Self::new(stream);
        match speak(&mut link) {
            Ok(()) | Err(LinkError::Refused) => Ok(link.into_stream()),
            Err(broken) => Err(broken.into()),
        }
    }

    /// Waits for the next program of a worker that is kept. What the host said to the last one
    /// before it heard of its end is of no interest any more.
    pub(crate) fn next_program(&mut self) -> Result<Box<Program>, LinkError> {
        loop {
            match self.receive()? {
                ToWorker::Run(program) => return Ok(program),
                ToWorker::Reply(_) | ToWorker::Ping => {}
                ToWorker::Go(_) | ToWorker::No => return Err(unexpected("no program")),
            }
        }
    }

    /// Sends one frame, blocking.
    pub(crate) fn send(&mut self, frame: &FromWorker) -> Result<(), LinkError> {
        self.stream.write_all(&frame.encode()?)?;
        Ok(())
    }

    /// Sends bytes that are frames already.
    pub(crate) fn send_raw(&mut self, frames: &[u8]) -> Result<(), LinkError> {
        Ok(self.stream.write_all(frames)?)
    }

    /// Waits for one frame. An end of file is an error: the host ends a worker by closing.
    pub(crate) fn receive(&mut self) -> Result<ToWorker, LinkError> {
        let frame = self.receive_raw()?;
        Ok(ToWorker::decode(frame.get(PREFIX_BYTES..).unwrap_or_default())?)
    }

    /// Waits for one frame and gives its bytes, its prefix among them.
    pub(crate) fn receive_raw(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut prefix = [0; PREFIX_BYTES];
        self.stream.read_exact(&mut prefix)?;
        let length = u32::from_le_bytes(prefix) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(BadFrame(format!("{length} bytes, at most {FRAME_BYTES_MAX}")).into());
        }
        let mut frame = vec![0; PREFIX_BYTES + length];
        let (head, payload) = frame.split_at_mut(PREFIX_BYTES);
        head.copy_from_slice(&prefix);
        self.stream.read_exact(payload)?;
        Ok(frame)
    }

    /// Says what the program uses, and waits for the word to evaluate it: the names to bind.
    pub(crate) fn ask_to_go(&mut self, uses: Uses) -> Result<Vec<String>, LinkError> {
        let good = uses.findings.is_empty();
        self.send(&FromWorker::Uses(Box::new(uses)))?;
        match self.receive()? {
            ToWorker::Go(Go { namespaces }) if good => Ok(namespaces),
            ToWorker::No => Err(LinkError::Refused),
            // With findings the host has nothing else to say but the end of the link.
            ToWorker::Go(_) => Err(unexpected("go for a program with findings")),
            _ => Err(unexpected("anything but go")),
        }
    }
}

/// The end of a worker that cannot be kept, although it is wanted for another program.
pub(crate) fn restless() -> LinkError {
    LinkError::Io(io::Error::other("the program does not come to its end"))
}

/// The host did not keep to the protocol.
pub(crate) fn unexpected(what: &str) -> LinkError {
    BadFrame(format!("the host sent {what}")).into()
}
