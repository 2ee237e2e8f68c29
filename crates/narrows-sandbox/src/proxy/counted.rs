//! A connection whose bytes count towards what its run may move.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection to a host.
#[derive(Debug)]
pub(super) struct Counted {
    stream: TcpStream,
    left: Arc<AtomicU64>,
}

impl Counted {
    pub(super) fn new(stream: TcpStream, left: Arc<AtomicU64>) -> Self {
        Self { stream, left }
    }

    /// Counts bytes. Those that are one too many break the connection off.
    fn count(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let taken = |left: u64| Some(left.saturating_sub(bytes));
        let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        if before.is_ok_and(|before| before >= bytes) {
            return Ok(());
        }
        Err(io::Error::other("the run has moved as many bytes as it may"))
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.count(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        Poll::Ready(self.count(written).map(|()| written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn both_directions_count_and_what_is_too_much_breaks_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let left = Arc::new(AtomicU64::new(10));
        let mut counted = Counted::new(near, Arc::clone(&left));
        counted.write_all(b"123456").await.unwrap();
        far.write_all(b"12").await.unwrap();
        counted.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(left.load(Ordering::Relaxed), 2);
        far.write_all(b"123").await.unwrap();
        assert!(counted.read(&mut [0; 3]).await.is_err());
        assert!(counted.write(b"1").await.is_err());
        assert_eq!(left.load(Ordering::Relaxed), 0);
    }
}
