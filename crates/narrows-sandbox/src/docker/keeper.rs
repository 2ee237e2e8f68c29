//! The task that owns one container: makes it, starts it, waits for its end, removes it.

use super::attach;
use crate::backend::{Read, Write};
use crate::guard::Ended;
use bollard::Docker as Daemon;
use bollard::container::AttachContainerResults;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;
use narrows_types::control::{Death, EXIT_MEMORY};
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Exit codes above this are signals, as shells and container runtimes have it.
const SIGNALLED: i64 = 128;
/// How often and when a removal that failed is tried again.
const REMOVALS_MAX: u32 = 3;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(200);
/// The same for one of which nobody knows whether it was made.
const REMOVALS_OF_UNKNOWN: u32 = 10;
const BETWEEN_REMOVALS_OF_UNKNOWN: Duration = Duration::from_secs(1);
/// How often and when a container that cannot be looked at is looked at again.
const LOOKS_MAX: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// The longest reason of a daemon that is passed on.
const REASON_BYTES_MAX: usize = 300;

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unstarted {
    /// The image that it is made of is gone.
    #[error("the worker's image is gone")]
    NoImage,
    /// The back end is closing.
    #[error("the sandbox is shutting down")]
    Stopped,
    /// The daemon refuses: one line why.
    #[error("{0}")]
    Refused(String),
}

/// Its end of one container.
pub(super) struct Keeper {
    pub(super) daemon: Daemon,
    /// Ends the container.
    pub(super) kill: CancellationToken,
    /// Who is told how it ended; if nobody is left to hear it, nobody uses the container.
    pub(super) tell: oneshot::Sender<Ended>,
}

type Wire = (Read, Write);

impl Keeper {
    /// The whole life of a container.
    pub(super) async fn keep(
        mut self,
        request: ContainerCreateBody,
        answer: oneshot::Sender<Result<Wire, Unstarted>>,
    ) {
        let name = match name() {
            Ok(name) => name,
            Err(error) => return drop(answer.send(Err(Unstarted::Refused(error.to_string())))),
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let id = match self.daemon.create_container(Some(options), request).await {
            Ok(made) => made.id,
            Err(error) => {
                let refused = matches!(error, Error::DockerResponseServerError { .. });
                drop(answer.send(Err(unstarted("make", error))));
                // The daemon may have made it all the same, or may be about to.
                if !refused {
                    remove_once_made(&self.daemon, &name).await;
                }
                return;
            }
        };
        match self.start(&id).await {
            Ok(wire) => {
                // If nobody waits any more, `tell` is closed too.
                drop(answer.send(Ok(wire)));
                if let Some(ended) = self.watch(&id).await {
                    let _unheard = self.tell.send(ended);
                }
            }
            Err(error) => {
                drop(answer.send(Err(unstarted("start", error))));
                kill(&self.daemon, &id).await;
            }
        }
        remove(&self.daemon, &id).await;
    }

    /// Attaches before it starts: what it says first must not be lost.
    async fn start(&self, id: &str) -> Result<Wire, Error> {
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            // Else Podman takes two bytes in a row for the wish to detach.
            .detach_keys("")
            .build();
        let attached: AttachContainerResults =
            self.daemon.attach_container(id, Some(options)).await?;
        self.daemon.start_container(id, None).await?;
        let (read, write) = attach::wire(attached);
        Ok((Box::new(read), write))
    }

    /// Waits until it has ended by itself or is to be ended. `None`: the daemon does not say.
    async fn watch(&mut self, id: &str) -> Option<Ended> {
        let code = tokio::select! {
            biased;
            code = exit_code(&self.daemon, id) => code?,
            () = self.kill.cancelled() => return self.end(id).await,
            () = self.tell.closed() => return self.end(id).await,
        };
        // Only a failure can have to do with memory.
        let oom = code != 0 && self.ended(id).await.is_some_and(|(_, oom)| oom);
        Some(Ended { how: death(code, oom), cpu_us: 0, memory_bytes: 0 })
    }

    /// Kills it, unless it has ended: Podman is a quarter of a second late to say so.
    async fn end(&self, id: &str) -> Option<Ended> {
        kill(&self.daemon, id).await;
        let how = match self.ended(id).await {
            Some((code, oom)) => death(code, oom),
            None if remove(&self.daemon, id).await => Death::Signal(libc::SIGKILL),
            None => return None,
        };
        Some(Ended { how, cpu_us: 0, memory_bytes: 0 })
    }

    /// The exit code of one that has ended, and whether that was for lack of memory.
    async fn ended(&self, id: &str) -> Option<(i64, bool)> {
        let mut left = LOOKS_MAX;
        loop {
            let found = self.daemon.inspect_container(id, None::<InspectContainerOptions>).await;
            match found {
                Ok(found) => {
                    let state = found.state.filter(|state| state.running == Some(false))?;
                    return Some((state.exit_code?, state.oom_killed.unwrap_or(false)));
                }
                // Podman calls `stopped` for a moment what the API has no word for.
                Err(Error::JsonDataError { .. } | Error::JsonSerdeError { .. }) if left > 0 => {
                    left -= 1;
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                Err(_) => return None,
            }
        }
    }
}

/// Waits for the end of its process.
async fn exit_code(daemon: &Daemon, id: &str) -> Option<i64> {
    let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
    loop {
        let mut ends = pin!(daemon.wait_container(id, Some(options.clone())));
        match ends.next().await? {
            Ok(ended) => return Some(ended.status_code),
            Err(Error::DockerContainerWaitError { code, .. }) => return Some(code),
            // Some daemons say nothing at all until then.
            Err(Error::RequestTimeoutError) => {}
            Err(error) => {
                tracing::warn!(container = id, %error, "lost a container");
                return None;
            }
        }
    }
}

/// Nobody else has this name, whichever gateways share the daemon.
fn name() -> io::Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(format!("narrows-{}", id.trim()))
}

/// Sends `SIGKILL` to one that runs. Left to a removal, Podman asks nicely first, for ten seconds.
async fn kill(daemon: &Daemon, id: &str) {
    let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    // It may have ended by itself; if it lives on, its removal says so.
    drop(daemon.kill_container(id, Some(options)).await);
}

/// Takes away a container that a daemon was asked for and did not speak of.
async fn remove_once_made(daemon: &Daemon, name: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    for _ in 0..REMOVALS_OF_UNKNOWN {
        tokio::time::sleep(BETWEEN_REMOVALS_OF_UNKNOWN).await;
        kill(daemon, name).await;
        if daemon.remove_container(name, Some(options.clone())).await.is_ok() {
            tracing::warn!(container = name, "removed a container that was made too late");
            return;
        }
    }
}

/// Takes it away, and ends what is left of it. `false`: the daemon does not do it, or not any more.
async fn remove(daemon: &Daemon, id: &str) -> bool {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let mut left = REMOVALS_MAX;
    loop {
        match daemon.remove_container(id, Some(options.clone())).await {
            // It is gone, or going.
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                return true;
            }
            // Podman trips over one that ends by itself in that moment; daemons start anew.
            Err(error) if left > 0 => {
                tracing::debug!(container = id, %error, "a container is not removed yet");
                left -= 1;
                tokio::time::sleep(BETWEEN_REMOVALS).await;
            }
            Err(error) => {
                tracing::warn!(container = id, %error, "a container is not removed");
                return false;
            }
        }
    }
}

/// An end by a signal is told as a shell tells it.
fn death(code: i64, out_of_memory: bool) -> Death {
    if out_of_memory {
        return Death::Exit(EXIT_MEMORY);
    }
    let number = |code| i32::try_from(code).unwrap_or(i32::MAX);
    if code > SIGNALLED {
        Death::Signal(number(code - SIGNALLED))
    } else {
        Death::Exit(number(code))
    }
}

fn unstarted(what: &str, error: Error) -> Unstarted {
    let why = match error {
        Error::DockerResponseServerError { status_code: 404, message }
            if message.to_ascii_lowercase().contains("no such image") =>
        {
            return Unstarted::NoImage;
        }
        Error::DockerResponseServerError { message, .. } => message,
        error => error.to_string(),
    };
    let line: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut = line.floor_char_boundary(REASON_BYTES_MAX);
    let line = line.get(..cut).unwrap_or_default();
    Unstarted::Refused(format!("the container daemon does not {what} a container: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_a_death() {
        assert_eq!(death(0, false), Death::Exit(0));
        assert_eq!(death(67, false), Death::Exit(67));
        assert_eq!(death(137, false), Death::Signal(libc::SIGKILL));
        assert_eq!(death(159, false), Death::Signal(libc::SIGSYS));
        assert_eq!(death(137, true), Death::Exit(EXIT_MEMORY));
    }

    #[test]
    fn a_refusal_is_one_short_line() {
        let error = |status_code, message: String| {
            unstarted("start", Error::DockerResponseServerError { status_code, message })
        };
        let long = error(500, format!("no\nroom {}", "x".repeat(2_000))).to_string();
        assert!(long.contains("does not start a container: no room x"), "{long}");
        assert!(long.len() < 400);
        let missing = error(404, "No such image: a:b".to_owned());
        assert!(matches!(missing, Unstarted::NoImage));
    }
}
