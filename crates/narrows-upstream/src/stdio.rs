//! The stdio transport: a child process, one message a line.

use crate::secrets::Secrets;
use crate::spawn::{Nursery, Order};
use crate::wire::{Budget, Incoming, MESSAGE_BYTES_MAX, Outgoing, Packet, Wire};
use futures_util::FutureExt as _;
use narrows_types::fault::clip;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, watch};

/// How long a child may leave its input unread.
const WRITE_WAIT: Duration = Duration::from_secs(30);
/// How long we wait to hear why a child that closed a stream died.
const DEATH_WAIT: Duration = Duration::from_millis(300);
/// How long the last words of a child that died may take to arrive.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(50);
/// Bytes of the last words on standard error that an error repeats.
const LAST_WORDS_BYTES: usize = 200;
/// Bytes of a line of standard error that reaches the log.
const LOG_LINE_BYTES: usize = 4_096;
/// Messages that are written at once.
const WRITES_MAX: usize = 32;

/// Starts the child and its pumps.
pub(crate) async fn start(server: &str, order: Order, nursery: &Nursery) -> Result<Wire, String> {
    let command = order.command.clone();
    let secrets = Secrets::of(&order);
    let (mut child, group) = nursery.start(order).await.map_err(|e| missing(&command, &e))?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("its standard streams are not piped".to_owned());
    };
    let (last_words, heard) = watch::channel(String::new());
    let server = server.to_owned();
    Ok(Wire::new(false, |to_send, received| async move {
        let mut listen = pin!(drain(&server, stderr, &secrets, last_words).fuse());
        let mut talk = Box::pin(talk((&server, &secrets), stdin, stdout, to_send, received));
        let mut over = None;
        let (mut status, mut dead_at) = (None, None);
        while over.is_none() {
            tokio::select! {
                reason = &mut talk => over = Some(reason),
                () = &mut listen => {}
                // What it started may hold its output open, so we do not wait for the end of it.
                died = child.wait(), if dead_at.is_none() => {
                    status = died.ok();
                    dead_at = Some(tokio::time::Instant::now() + DEATH_WAIT);
                }
                () = passed(dead_at) => over = Some(Over::Ended("it exited".to_owned())),
            }
        }
        drop(talk);
        if status.is_none() {
            let mut death = pin!(tokio::time::timeout(DEATH_WAIT, child.wait()));
            status = loop {
                tokio::select! {
                    died = &mut death => break died.ok().and_then(Result::ok),
                    () = &mut listen => {}
                }
            };
        }
        // What it said last may still be on its way.
        let _more = tokio::time::timeout(LAST_WORDS_WAIT, listen).await;
        let over = over.unwrap_or_else(|| Over::Ended("it exited".to_owned()));
        let reason = explain(status, over, &heard);
        group.end(child).await;
        reason
    }))
}

/// Why nothing more is said to a child, or heard of it.
enum Over {
    /// It ended that, most likely because it ends itself: how it does tells more.
    Ended(String),
    /// We did, for this reason: its end is what follows.
    GivenUp(String),
}

fn missing(command: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("command `{command}` was not found on PATH; install it or give its full path")
        }
        io::ErrorKind::PermissionDenied => format!("command `{command}` may not be executed"),
        io::ErrorKind::NotADirectory => error.to_string(),
        _ => format!("command `{command}`: {error}"),
    }
}

/// Writes and reads until either side ends. What the child said before it closed its input is
/// still read.
async fn talk(
    who: (&str, &Secrets),
    stdin: ChildStdin,
    stdout: ChildStdout,
    to_send: mpsc::Receiver<Outgoing>,
    received: mpsc::Sender<Incoming>,
) -> Over {
    let mut reading = Box::pin(read(who, stdout, received));
    tokio::select! {
        reason = &mut reading => reason,
        stopped = write(stdin, to_send) => match stopped {
            None => Over::GivenUp("it was stopped".to_owned()),
            Some(over) => {
                let _more = tokio::time::timeout(DEATH_WAIT, reading).await;
                over
            }
        },
    }
}

/// Writes messages; `None` once there are no more, else what went wrong.
async fn write(mut stdin: ChildStdin, mut messages: mpsc::Receiver<Outgoing>) -> Option<Over> {
    let mut waiting = Vec::with_capacity(WRITES_MAX);
    let mut bytes = Vec::new();
    while messages.recv_many(&mut waiting, WRITES_MAX).await > 0 {
        bytes.clear();
        for message in &waiting {
            if let Outgoing::Message(letter) = message {
                bytes.extend_from_slice(letter.body.as_bytes());
                bytes.push(b'\n');
            }
        }
        match tokio::time::timeout(WRITE_WAIT, stdin.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            // Its exit tells why, if it exits.
            Ok(Err(_closed)) => return Some(Over::Ended("it closed its input".to_owned())),
            Err(_elapsed) => {
                let seconds = WRITE_WAIT.as_secs();
                return Some(Over::GivenUp(format!("it did not read its input for {seconds} s")));
            }
        }
        // Only now: what waits to be written takes room.
        waiting.clear();
        bytes.shrink_to(1 << 20);
    }
    None
}

async fn read(
    (server, secrets): (&str, &Secrets),
    stdout: ChildStdout,
    received: mpsc::Sender<Incoming>,
) -> Over {
    let budget = Budget::incoming();
    let mut reader = BufReader::with_capacity(64 << 10, stdout);
    loop {
        let line = match line(&mut reader).await {
            Ok(Some(line)) => line,
            Ok(None) => return Over::Ended("it closed its output".to_owned()),
            Err(e) => return Over::GivenUp(e.to_string()),
        };
        let first = line.trim_ascii_start().first().copied();
        if matches!(first, Some(b'{' | b'[')) {
            // What we hold is bounded: the upstream waits until some of it was read.
            let room = budget.room(line.len()).await;
            let packet = Packet { bytes: line, room };
            let message = Incoming::Message { packet, only_answer_to: None, via: None };
            if received.send(message).await.is_err() {
                return Over::GivenUp("it was stopped".to_owned());
            }
        } else if first.is_some() {
            // Blotted before it is cut, so that no half of a secret is left over.
            let start = line.get(..LOG_LINE_BYTES).unwrap_or(&line);
            let text = clip(secrets.blot(String::from_utf8_lossy(start).into_owned()), 200);
            tracing::debug!(server, "not a message on standard output: {}", text.trim_end());
        }
    }
}

/// One line, bounded; `None` at the end.
async fn line(reader: &mut BufReader<ChildStdout>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MESSAGE_BYTES_MAX as u64 + 1;
    let read = reader.take(limit).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.len() > MESSAGE_BYTES_MAX {
        let reason = format!("it sent a message of more than {MESSAGE_BYTES_MAX} bytes");
        return Err(io::Error::other(reason));
    }
    Ok(Some(line))
}

/// Standard error goes to the log, line by line; the last line is kept for the error. Values of
/// the configured environment are blotted out of both.
async fn drain(
    server: &str,
    stderr: ChildStderr,
    secrets: &Secrets,
    last_words: watch::Sender<String>,
) {
    let mut reader = BufReader::new(stderr);
    while let Some(text) = words(&mut reader).await {
        let text = secrets.blot(text);
        if !text.is_empty() {
            tracing::debug!(server, "{text}");
            last_words.send_replace(clip(text, LAST_WORDS_BYTES));
        }
    }
}

async fn words(reader: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = Vec::new();
    match reader.take(LOG_LINE_BYTES as u64).read_until(b'\n', &mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&line).trim_end().to_owned()),
    }
}

async fn passed(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn explain(status: Option<ExitStatus>, over: Over, heard: &watch::Receiver<String>) -> String {
    let mut told = match over {
        Over::Ended(reason) => status.map_or(reason, died),
        Over::GivenUp(reason) => reason,
    };
    let words = heard.borrow();
    if !words.is_empty() {
        told.push_str("; it said last: ");
        told.push_str(&words);
    }
    told
}

fn died(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with code {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it exited".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Over, explain};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;
    use tokio::sync::watch;

    #[test]
    fn what_we_end_a_child_for_is_not_hidden_by_how_it_ends() {
        let (_words, silent) = watch::channel(String::new());
        let told = |over, status: Option<i32>| {
            explain(status.map(|code| ExitStatus::from_raw(code << 8)), over, &silent)
        };
        let closed = || Over::Ended("it closed its output".to_owned());
        assert_eq!(told(closed(), Some(7)), "it exited with code 7");
        assert_eq!(told(closed(), None), "it closed its output");
        let given_up = Over::GivenUp("it sent too much".to_owned());
        assert_eq!(told(given_up, Some(0)), "it sent too much");
        let (_words, heard) = watch::channel("cannot go on".to_owned());
        assert_eq!(
            explain(None, closed(), &heard),
            "it closed its output; it said last: cannot go on"
        );
    }
}
