//! QEMU's control socket: one JSON object a line, one answer to each command, events in between.
//! A machine may be in the hands of a hostile program, so its answers are bounded too.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, Interest};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::UnixStream;

/// The longest answer or event.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Lines before an answer; there are a handful.
const EVENTS_MAX: usize = 100;

/// Between two questions of the same kind.
const POLL: Duration = Duration::from_millis(1);

/// The control socket of one machine. Every call is to be made under a deadline.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Waits for the greeting and answers it.
    pub(crate) async fn open(stream: UnixStream) -> Result<Self, String> {
        let mut qmp = Self { stream: BufReader::new(stream) };
        let greeting = qmp.line().await?;
        if greeting.get("QMP").is_none() {
            return Err("it is no QEMU".to_owned());
        }
        qmp.call("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Gives one command and waits for its answer.
    pub(crate) async fn call(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        self.call_with(command, arguments, None).await
    }

    /// The same, with a descriptor beside it.
    pub(crate) async fn call_with(
        &mut self,
        command: &str,
        arguments: Value,
        fd: Option<&OwnedFd>,
    ) -> Result<Value, String> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        let sent = self.send(line.as_bytes(), fd).await;
        sent.map_err(|error| format!("{command}: {error}"))?;
        for _ in 0..EVENTS_MAX {
            let mut answer = self.line().await.map_err(|why| format!("{command}: {why}"))?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("it failed");
                return Err(format!("{command}: {}", why.escape_debug()));
            }
        }
        Err(format!("{command}: no answer among {EVENTS_MAX} events"))
    }

    /// Asks until the `status` in the answer is the one that is waited for.
    pub(crate) async fn until(&mut self, question: &str, status: &str) -> Result<(), String> {
        loop {
            let answer = self.call(question, json!({})).await?;
            match answer.get("status").and_then(Value::as_str) {
                Some(now) if now == status => return Ok(()),
                Some("failed") => return Err(format!("{question}: it failed")),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Commands are far shorter than what a socket takes at once.
    async fn send(&self, line: &[u8], fd: Option<&OwnedFd>) -> io::Result<()> {
        let stream = self.stream.get_ref();
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_raw_fd()).collect();
        let beside: Vec<_> =
            if fds.is_empty() { Vec::new() } else { vec![ControlMessage::ScmRights(&fds)] };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            stream.writable().await?;
            let sent = stream.try_io(Interest::WRITABLE, || {
                let (socket, parts) = (stream.as_raw_fd(), [IoSlice::new(line)]);
                Ok(sendmsg::<()>(socket, &parts, &beside, flags, None)?)
            });
            match sent {
                Ok(length) if length == line.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn line(&mut self) -> Result<Value, String> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) => Err("it is gone".to_owned()),
            Ok(_) if line.last() != Some(&b'\n') => Err("it said half a line".to_owned()),
            Ok(_) => serde_json::from_slice(&line).map_err(|error| format!("no JSON: {error}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// A machine that says these lines, whatever it is told.
    async fn answered(lines: String) -> Result<Value, String> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let greeting = "{\"QMP\": {}}\n{\"return\": {}}\n".to_owned() + &lines;
        theirs.write_all(greeting.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        Qmp::open(ours).await?.call("query-status", json!({})).await
    }

    #[tokio::test]
    async fn events_are_passed_over_and_errors_are_told() {
        let value = answered("{\"event\": \"STOP\"}\n{\"return\": 7}\n".to_owned()).await;
        assert_eq!(value, Ok(json!(7)));
        let error = answered("{\"error\": {\"desc\": \"no such\\n\"}}\n".to_owned()).await;
        assert_eq!(error, Err("query-status: no such\\n".to_owned()));
    }

    #[tokio::test]
    async fn a_machine_that_talks_too_much_is_not_listened_to() {
        let events = "{\"event\": \"STOP\"}\n".repeat(EVENTS_MAX + 1);
        assert!(answered(events).await.unwrap_err().contains("no answer among"));
        let long = format!("{{\"event\": \"{}\"}}\n", "x".repeat(70_000));
        assert!(answered(long).await.unwrap_err().contains("half a line"));
        assert!(answered("nonsense\n".to_owned()).await.unwrap_err().contains("no JSON"));
        assert!(answered(String::new()).await.unwrap_err().contains("gone"));
    }
}
