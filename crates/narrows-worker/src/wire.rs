//! What carries frames: one socket or device, or a pair of pipes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A worker's only way to the host.
#[derive(Debug)]
pub struct Wire {
    read: File,
    /// Where it is not the same descriptor.
    write: Option<File>,
}

impl Wire {
    /// Both ways over one descriptor.
    pub(crate) fn one(fd: OwnedFd) -> Self {
        Self { read: fd.into(), write: None }
    }

    /// In by one, out by the other.
    pub(crate) fn pair(read: OwnedFd, write: OwnedFd) -> Self {
        Self { read: read.into(), write: Some(write.into()) }
    }

    /// How many descriptors it has.
    pub(crate) fn width(&self) -> u64 {
        if self.write.is_some() { 2 } else { 1 }
    }

    /// The descriptors, to be moved.
    pub(crate) fn into_parts(self) -> (OwnedFd, Option<OwnedFd>) {
        (self.read.into(), self.write.map(OwnedFd::from))
    }
}

impl From<UnixStream> for Wire {
    fn from(socket: UnixStream) -> Self {
        Self::one(socket.into())
    }
}

impl AsFd for Wire {
    /// Where frames arrive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write.as_mut().unwrap_or(&mut self.read).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
