//! Server-sent events: an incremental, bounded reader and a writer.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The kind; empty means `message`.
    pub kind: String,
    /// The data, lines joined.
    pub data: String,
    /// The id, if one was given.
    pub id: Option<String>,
    /// How long to wait before connecting again, in milliseconds, if that was said.
    pub retry_ms: Option<u64>,
}

/// Reads events from chunks of bytes as they come.
#[derive(Debug)]
pub struct Reader {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    bytes_max: usize,
}

/// An event or a line is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// The bound in bytes.
    pub bytes_max: usize,
}

impl Reader {
    /// A reader that refuses events of more than so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), event: Event::default(), has_data: false, bytes_max }
    }

    /// Takes a chunk and gives the events that it completes.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for piece in chunk.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.len() + self.event.data.len() > self.bytes_max {
                return Err(TooLong { bytes_max: self.bytes_max });
            }
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                events.extend(self.take(&line));
            }
        }
        Ok(events)
    }

    fn take(&mut self, line: &[u8]) -> Option<Event> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            let event = std::mem::take(&mut self.event);
            let has_data = std::mem::take(&mut self.has_data);
            // An id or a pause without data counts too: it tells from where to go on.
            let counts = has_data || event.id.is_some() || event.retry_ms.is_some();
            return counts.then_some(event);
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry_ms = value.parse().ok(),
            _ => {}
        }
        None
    }
}

/// An event's text.
pub fn write(kind: &str, data: &str) -> String {
    let mut text = String::with_capacity(data.len() + 32);
    if !kind.is_empty() {
        text.push_str("event: ");
        text.push_str(kind);
        text.push('\n');
    }
    for line in data.split('\n') {
        text.push_str("data: ");
        text.push_str(line);
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::{Reader, write};

    #[test]
    fn events_survive_any_chunking() {
        let text = format!("{}: comment\n\n{}", write("message", "{\"a\":1}"), write("", "x\ny"));
        for size in 1..text.len() {
            let mut reader = Reader::new(1_000);
            let events: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|c| reader.feed(c).unwrap()).collect();
            assert_eq!(events.len(), 2, "chunks of {size}");
            assert_eq!(events[0].data, "{\"a\":1}");
            assert_eq!(events[1].data, "x\ny");
        }
    }

    #[test]
    fn an_event_tells_its_id_and_when_to_come_back() {
        let mut reader = Reader::new(1_000);
        let events = reader.feed(b"id: 7\r\nretry: 250\r\ndata:\r\n\r\n").unwrap();
        assert_eq!(events[0].id.as_deref(), Some("7"));
        assert_eq!(events[0].retry_ms, Some(250));
        assert_eq!(events[0].data, "");
        let events = reader.feed(b"retry: 9\n\nevent: x\n\n").unwrap();
        assert_eq!(events.len(), 1, "what says nothing is no event: {events:?}");
        assert_eq!(events[0].retry_ms, Some(9));
    }

    #[test]
    fn a_flood_is_refused() {
        let mut reader = Reader::new(10);
        assert!(reader.feed(b"data: 0123456789").is_err());
    }
}
