//! The events of one response, one after the other.

use super::exchange::{lost, root};
use crate::wire::{Budget, Failure, MESSAGE_BYTES_MAX, Room};
use narrows_protocol::sse::{Event, Reader};
use reqwest::Response;
use std::collections::VecDeque;

/// A stream of events.
pub(super) struct Stream<'a> {
    response: Response,
    reader: Reader,
    budget: &'a Budget,
    /// What the bytes that came take; it goes with the next event.
    room: Room,
    ready: VecDeque<Event>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(response: Response, budget: &'a Budget) -> Self {
        let reader = Reader::new(MESSAGE_BYTES_MAX);
        Self { response, reader, budget, room: Room::default(), ready: VecDeque::new() }
    }

    /// The next event with the room that it takes; `None` at the end. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Result<Option<(Event, Room)>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                let room = std::mem::take(&mut self.room);
                return Ok(Some((event, room)));
            }
            let chunk = match self.response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(None),
                Err(e) => return Err(lost(format!("its stream broke off: {}", root(&e)), true)),
            };
            self.room.join(room(self.budget, chunk.len())?);
            let events = self.reader.feed(&chunk).map_err(|long| {
                Failure::Protocol(format!("it sent an event of more than {} bytes", long.bytes_max))
            })?;
            self.ready.extend(events);
            let whole = chunk.ends_with(b"\n\n") || chunk.ends_with(b"\r\n\r\n");
            if self.ready.is_empty() && whole {
                // Nothing of an event is left over: it was a sign of life only.
                self.room = Room::default();
            }
        }
    }
}

/// Room for bytes that came.
pub(super) fn room(budget: &Budget, bytes: usize) -> Result<Room, Failure> {
    let full = || lost("narrows holds too many bytes of its answers already".to_owned(), true);
    budget.room_now(bytes).ok_or_else(full)
}
