//! The zygote's end of the control socket: packets of JSON, with descriptors beside them.
#![expect(unsafe_code, reason = "a received descriptor comes as a bare number")]

use narrows_types::control::{FromZygote, MESSAGE_BYTES_MAX, ToZygote};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The control socket.
pub(crate) struct Control(OwnedFd);

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Control {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends a message, with descriptors beside it if there are any. Blocks while the socket is
    /// full.
    pub(crate) fn send(&self, message: &FromZygote, fds: &[OwnedFd]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let beside: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(&bytes)];
        loop {
            match sendmsg::<()>(self.0.as_raw_fd(), &parts, beside, MsgFlags::MSG_NOSIGNAL, None) {
                Err(nix::Error::EINTR) => {}
                outcome => return outcome.map(drop).map_err(io::Error::from),
            }
        }
    }

    /// Waits for a message and the descriptor beside it. `None`: the sandbox is gone.
    pub(crate) fn receive(&self) -> io::Result<Option<(ToZygote, Option<OwnedFd>)>> {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        let mut beside = cmsg_space!([i32; 4]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let (length, fds) = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut beside), flags) {
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(message) => {
                    let fds = message.cmsgs()?.flat_map(take_over).collect::<Vec<_>>();
                    break (message.bytes, fds);
                }
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let bytes = bytes.get(..length).unwrap_or_default();
        Ok(Some((serde_json::from_slice(bytes)?, fds.into_iter().next())))
    }
}

/// The descriptors that came with a message, now ours.
fn take_over(part: ControlMessageOwned) -> Vec<OwnedFd> {
    match part {
        ControlMessageOwned::ScmRights(raw) => {
            // SAFETY: the kernel has just made these for us; nobody else owns them.
            raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()
        }
        _ => Vec::new(),
    }
}
