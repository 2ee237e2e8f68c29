//! The wire of a container: its standard input and output, as the daemon carries them.

use bollard::container::{AttachContainerResults, LogOutput};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use crate::backend::Write;

/// What a worker may write for people in its life; more is no accident.
const STDERR_BYTES_MAX: usize = 64 << 10;
/// What of it is written to the log.
const LOGGED_BYTES_MAX: usize = 4 << 10;
/// The largest piece of a stream that daemons send is 32 KiB; the worker has no say in it.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// Both directions of it.
pub(super) fn wire(attached: AttachContainerResults) -> (impl AsyncRead + Send + Unpin, Write) {
    (StreamReader::new(Box::pin(frames(attached.output))), Box::new(attached.input))
}

/// What comes out of the standard output. The standard error goes to the log, a little of it.
fn frames<S, E>(output: S) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = Result<LogOutput, E>> + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut said = 0_usize;
    output.filter_map(move |piece| {
        let out = match piece {
            Ok(LogOutput::StdOut { message }) if message.len() <= PIECE_BYTES_MAX => {
                Some(Ok(message))
            }
            Ok(LogOutput::StdErr { message }) => {
                log(&message, LOGGED_BYTES_MAX.saturating_sub(said));
                said = said.saturating_add(message.len());
                let flood = said > STDERR_BYTES_MAX;
                flood.then(|| Err(io::Error::other("the worker floods its standard error")))
            }
            Ok(_) => Some(Err(io::Error::other("the daemon mixed up the worker's streams"))),
            Err(error) => Some(Err(io::Error::other(error))),
        };
        std::future::ready(out)
    })
}

/// Text for people, from nobody who is trusted: bounded and escaped.
fn log(message: &[u8], room: usize) {
    let text = String::from_utf8_lossy(message.get(..room.min(message.len())).unwrap_or_default());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        tracing::warn!(target: "narrows::worker", "{}", line.escape_debug());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::io::AsyncReadExt;

    fn out(bytes: &[u8]) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(bytes) }
    }

    fn err(bytes: &[u8]) -> LogOutput {
        LogOutput::StdErr { message: Bytes::copy_from_slice(bytes) }
    }

    async fn read(pieces: Vec<LogOutput>) -> (Vec<u8>, io::Result<usize>) {
        let mut bytes = Vec::new();
        let mut reader = StreamReader::new(Box::pin(frames(stream::iter(
            pieces.into_iter().map(io::Result::Ok),
        ))));
        let end = reader.read_to_end(&mut bytes).await;
        (bytes, end)
    }

    #[tokio::test]
    async fn only_the_standard_output_carries_frames() {
        let (bytes, end) = read(vec![out(b"ab"), err(b"a word\nfor people"), out(b"c")]).await;
        assert_eq!((bytes.as_slice(), end.unwrap()), (&b"abc"[..], 3));
    }

    #[tokio::test]
    async fn a_flood_for_people_ends_the_wire() {
        let piece = vec![b'x'; STDERR_BYTES_MAX / 2 + 1];
        let (bytes, end) = read(vec![out(b"ab"), err(&piece), err(&piece), out(b"c")]).await;
        assert_eq!(bytes, b"ab");
        assert!(end.unwrap_err().to_string().contains("floods"));
    }

    #[tokio::test]
    async fn what_is_no_stream_of_the_worker_ends_the_wire() {
        let foreign = LogOutput::Console { message: Bytes::from_static(b"x") };
        let (_, end) = read(vec![foreign]).await;
        assert!(end.unwrap_err().to_string().contains("mixed up"));
        let (_, end) = read(vec![out(&vec![0; PIECE_BYTES_MAX + 1])]).await;
        assert!(end.is_err());
    }
}
