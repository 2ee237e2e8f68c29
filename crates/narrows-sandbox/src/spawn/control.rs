//! The sandbox's end of a control socket: packets of JSON, with descriptors beside them.

use super::{raw, take_over};
use narrows_types::control::{FromZygote, MESSAGE_BYTES_MAX, ToZygote};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The control socket of one zygote.
#[derive(Debug)]
pub(crate) struct Control(AsyncFd<OwnedFd>);

impl Control {
    /// Takes the socket into the runtime that this is called in.
    #[expect(unsafe_code, reason = "the registration must not outlive the descriptor")]
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` always gives the same descriptor and keeps it open; nothing here
        // takes it out of the `AsyncFd` or mutates it.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        registered.map(Self).map_err(io::Error::other)
    }

    /// Sends a message with a descriptor, without waiting: the socket holds many more messages
    /// than are ever under way, so a full one means that the zygote hangs.
    pub(crate) fn send(&self, message: &ToZygote, fd: &impl AsFd) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let fds = [raw(fd.as_fd())];
        let beside = [ControlMessage::ScmRights(&fds)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let socket = self.0.as_raw_fd();
        sendmsg::<()>(socket, &[IoSlice::new(&bytes)], &beside, flags, None)?;
        Ok(())
    }

    /// Tells the zygote that nobody needs it any more.
    pub(crate) fn close(&self) {
        // It may be gone already.
        let _ = nix::sys::socket::shutdown(self.0.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    /// Waits for a message and the descriptors beside it. `None`: the zygote is gone. Can be
    /// dropped at any await without losing a message.
    pub(crate) async fn receive(&self) -> io::Result<Option<(FromZygote, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(outcome) = ready.try_io(|socket| receive_now(socket.get_ref())) {
                return outcome;
            }
        }
    }
}

fn receive_now(socket: &OwnedFd) -> io::Result<Option<(FromZygote, Vec<OwnedFd>)>> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let mut beside = cmsg_space!([i32; 4]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(beside.as_mut_slice()), flags)?;
    let fds: Vec<OwnedFd> = message.cmsgs()?.flat_map(descriptors).collect();
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(io::Error::other("a message is too long"));
    }
    let length = message.bytes;
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(bytes.get(..length).unwrap_or_default())?;
    Ok(Some((message, fds)))
}

fn descriptors(part: ControlMessageOwned) -> Vec<OwnedFd> {
    match part {
        ControlMessageOwned::ScmRights(raw) => raw.into_iter().map(take_over).collect(),
        _ => Vec::new(),
    }
}
