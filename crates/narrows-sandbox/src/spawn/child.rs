//! Children, each with a thread that starts it and waits for its end: a process dies with the *thread*
//! that started it, and a runtime's threads come and go.

use super::{Pidfd, pidfd_open};
use crate::guard::Ended;
use crate::zygote::{LINE_BYTES_MAX, log};
use narrows_types::control::Death;
use std::io::{self, Read};
use std::process::{Child, ChildStderr};
use tokio::sync::oneshot;

/// Room for a thread that only starts a process and waits for its end.
const STACK_BYTES: usize = 256 << 10;

/// A child that has been started.
#[derive(Debug)]
pub(crate) struct Running {
    /// The process.
    pub(crate) process: Pidfd,
    /// Its number.
    pub(crate) pid: u32,
    /// How it ended, when it has.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

/// Starts a child, and with it whatever else `begin` gives. What it says for people on a standard
/// error that is piped goes to the log.
pub(super) async fn on_its_own_thread<T: Send + 'static>(
    name: String,
    begin: impl FnOnce() -> io::Result<(Child, T)> + Send + 'static,
) -> io::Result<(Running, T)> {
    let (tell, told) = oneshot::channel();
    let live = move || {
        let (mut child, with) = match begin() {
            Ok(begun) => begun,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let (ended_tell, ended) = oneshot::channel();
        let (pid, stderr) = (child.id(), child.stderr.take());
        // It is our child and not reaped yet, so the number is still its own.
        let process = pidfd_open(pid).map(Pidfd::new);
        // Without anybody who knows it, it has nothing to live for.
        if process.is_err() {
            drop(child.kill());
        }
        let running = process.map(|process| (Running { process, pid, ended }, with));
        if let Err(Ok((running, _))) = tell.send(running) {
            running.process.kill();
        }
        if let Some(stderr) = stderr {
            pass_on(stderr);
        }
        // Whoever started it may be gone.
        let _unheard = ended_tell.send(wait(&child));
    };
    std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(live)?;
    told.await.map_err(|_closed| io::Error::other("the starting thread died"))?
}

/// What it says for people, bounded and escaped.
fn pass_on(mut from: ChildStderr) {
    let mut buffer = [0; LINE_BYTES_MAX];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        log(buffer.get(..length).unwrap_or_default());
    }
}

/// Waits for its end and what it used.
#[expect(unsafe_code, reason = "the standard library tells no processor time of a child")]
fn wait(child: &Child) -> Ended {
    let Ok(pid) = libc::pid_t::try_from(child.id()) else { return lost() };
    let mut status = 0;
    // SAFETY: `rusage` is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the right types.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return lost();
        }
    }
    let how = if libc::WIFSIGNALED(status) {
        Death::Signal(libc::WTERMSIG(status))
    } else {
        Death::Exit(libc::WEXITSTATUS(status))
    };
    let micros = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    let cpu_us = micros(usage.ru_utime).saturating_add(micros(usage.ru_stime));
    // The kernel's count of its memory begins with what we had when it was forked.
    Ended { how, cpu_us, memory_bytes: 0 }
}

/// Of a child that nobody could wait for.
fn lost() -> Ended {
    Ended { how: Death::Signal(libc::SIGKILL), cpu_us: 0, memory_bytes: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[expect(clippy::disallowed_methods, reason = "a test waits")]
    #[tokio::test]
    async fn a_child_that_nobody_wants_any_more_is_killed() {
        let (begins, begun) = std::sync::mpsc::channel();
        let begin = move || {
            let child = Command::new("sleep").arg("1000").spawn()?;
            begins.send(child.id()).map_err(io::Error::other)?;
            Ok((child, ()))
        };
        // Polled once, so that the thread runs, and dropped before it can have answered.
        let starting = Box::pin(on_its_own_thread("test".to_owned(), begin));
        drop(futures_util::FutureExt::now_or_never(starting));
        let pid = begun.recv().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < until, "{pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
