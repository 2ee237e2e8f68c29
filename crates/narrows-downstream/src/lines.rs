//! Lines in, with a bound on their length.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line without its end.
    Whole(Vec<u8>),
    /// A line beyond the bound; it was skipped.
    TooLong,
    /// There are no more lines. An unfinished last line counts as a line.
    End,
}

/// Reads lines. `next` may be dropped and called again at any time: nothing is lost.
pub(crate) struct Lines<R> {
    reader: R,
    bytes_max: usize,
    line: Vec<u8>,
    skipping: bool,
}

/// What a look into the buffer said.
enum Step {
    More,
    Finished,
    End,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, bytes_max: usize) -> Self {
        Self { reader, bytes_max, line: Vec::new(), skipping: false }
    }

    pub(crate) async fn next(&mut self) -> io::Result<Line> {
        loop {
            match self.step().await? {
                Step::More => {}
                Step::End if self.line.is_empty() && !self.skipping => return Ok(Line::End),
                Step::Finished | Step::End => return Ok(self.take()),
            }
        }
    }

    /// Takes what is buffered, to the end of the line at most. The only wait is for the buffer to
    /// fill, before anything is taken.
    async fn step(&mut self) -> io::Result<Step> {
        let buffered = self.reader.fill_buf().await?;
        if buffered.is_empty() {
            return Ok(Step::End);
        }
        let end = buffered.iter().position(|b| *b == b'\n');
        let part = end.and_then(|end| buffered.get(..end)).unwrap_or(buffered);
        let used = part.len() + usize::from(end.is_some());
        if self.line.len() + part.len() > self.bytes_max {
            self.skipping = true;
            self.line = Vec::new();
        }
        if !self.skipping {
            self.line.extend_from_slice(part);
        }
        self.reader.consume(used);
        Ok(if end.is_some() { Step::Finished } else { Step::More })
    }

    fn take(&mut self) -> Line {
        if std::mem::take(&mut self.skipping) {
            return Line::TooLong;
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Whole(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    async fn lines(text: &[u8], bytes_max: usize) -> Vec<Line> {
        // A small buffer, so that lines come in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(3, text), bytes_max);
        let mut all = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Line::End => return all,
                line => all.push(line),
            }
        }
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_are_split_and_long_ones_skipped() {
        let got = lines(b"one\r\n\ntoo long a line\ntwo\nunfinished", 10).await;
        assert_eq!(
            got,
            [whole("one"), whole(""), Line::TooLong, whole("two"), whole("unfinished")]
        );
    }

    #[tokio::test]
    async fn the_bound_is_exact() {
        assert_eq!(lines(b"12345\n", 5).await, [whole("12345")]);
        assert_eq!(lines(b"123456\n", 5).await, [Line::TooLong]);
        assert_eq!(lines(b"123456", 5).await, [Line::TooLong]);
        assert_eq!(lines(b"", 5).await, []);
    }
}
