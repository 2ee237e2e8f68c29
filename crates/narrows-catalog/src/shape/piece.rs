//! The beginning of a JSON value of any size, read in one pass into little memory.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Nesting that is read; what is deeper is only counted.
const DEPTH_MAX: usize = 6;
/// Members of one object that are read.
const KEYS_MAX: usize = 32;
/// Items of one array that are read while there is room.
const ITEMS_MAX: usize = 200;
/// Items of every array that are read even where other parts took the room.
const ITEMS_SURE: usize = 3;
/// Bytes of a text that are read even where other parts took the room.
const TEXT_SURE: usize = 64;
/// What a piece itself takes of the room.
const PIECE_BYTES: usize = 8;
/// Bytes of a key that are read.
const KEY_BYTES: usize = 60;

/// A part of a value: what was read of it, and how large it is.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Null,
    Boolean(bool),
    Number(String),
    /// The beginning of a text, and the bytes of all of it.
    Text(String, usize),
    /// The first items, and how many there are.
    Array(Vec<Piece>, usize),
    /// The first members, and how many there are.
    Object(Vec<(String, Piece)>, usize),
}

/// What may still be read.
struct Room {
    /// Bytes for what may be left out.
    wide: Cell<usize>,
    /// Bytes for anything.
    hard: Cell<usize>,
}

impl Room {
    fn take(&self, bytes: usize) {
        self.wide.set(self.wide.get().saturating_sub(bytes));
        self.hard.set(self.hard.get().saturating_sub(bytes));
    }
}

/// Reads a value, keeping about as many bytes as fill a preview of `budget` bytes; none if it
/// is no JSON that can be read.
pub(super) fn read(json: &str, budget: usize) -> Option<Piece> {
    let wide = budget.saturating_mul(2).saturating_add(1_024);
    let room = Room { wide: Cell::new(wide), hard: Cell::new(wide.saturating_mul(8)) };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Reader { room: &room, depth: 0 }.deserialize(&mut deserializer).ok()
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    room: &'a Room,
    depth: usize,
}

impl Reader<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn text(&self, text: &str) -> Piece {
        let kept = text.len().min(self.room.wide.get().max(TEXT_SURE)).min(self.room.hard.get());
        let head = text.get(..text.floor_char_boundary(kept)).unwrap_or_default();
        self.room.take(head.len() + PIECE_BYTES);
        Piece::Text(head.to_owned(), text.len())
    }

    fn scalar(&self, piece: Piece) -> Piece {
        self.room.take(PIECE_BYTES);
        piece
    }

    fn wants_item(&self, at: usize) -> bool {
        self.depth < DEPTH_MAX
            && at < ITEMS_MAX
            && self.room.hard.get() > 0
            && (at < ITEMS_SURE || self.room.wide.get() > 0)
    }

    fn wants_member(&self, at: usize) -> bool {
        self.depth < DEPTH_MAX && at < KEYS_MAX && self.room.hard.get() > 0
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Piece;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Piece, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Piece;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Piece, E> {
        Ok(self.scalar(Piece::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Piece, E> {
        Ok(self.scalar(Piece::Boolean(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Piece, E> {
        Ok(self.scalar(Piece::Number(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Piece, E> {
        Ok(self.scalar(Piece::Number(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Piece, E> {
        Ok(self.scalar(Piece::Number(serde_json::Value::from(value).to_string())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Piece, E> {
        Ok(self.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Piece, A::Error> {
        let mut items = Vec::new();
        self.room.take(PIECE_BYTES);
        while self.wants_item(items.len()) {
            match sequence.next_element_seed(self.deeper())? {
                Some(item) => items.push(item),
                None => return Ok(Piece::Array(items, 0).counted(0)),
            }
        }
        let mut rest = 0;
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            rest += 1;
        }
        Ok(Piece::Array(items, 0).counted(rest))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Piece, A::Error> {
        let mut members = Vec::new();
        self.room.take(PIECE_BYTES);
        while self.wants_member(members.len()) {
            let Some(Piece::Text(key, bytes)) = map.next_key_seed(Key(self))? else {
                return Ok(Piece::Object(members, 0).counted(0));
            };
            let key = if key.len() < bytes { key + "..." } else { key };
            members.push((key, map.next_value_seed(self.deeper())?));
        }
        let mut rest = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            rest += 1;
        }
        Ok(Piece::Object(members, 0).counted(rest))
    }
}

impl Piece {
    /// Sets how many items or members there are: those read and the rest.
    fn counted(self, rest: usize) -> Self {
        match self {
            Self::Array(items, _) => {
                let count = items.len() + rest;
                Self::Array(items, count)
            }
            Self::Object(members, _) => {
                let count = members.len() + rest;
                Self::Object(members, count)
            }
            other => other,
        }
    }
}

/// The key of a member.
struct Key<'a>(Reader<'a>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Piece;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Piece, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Piece;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Piece, E> {
        let head = key.get(..key.floor_char_boundary(KEY_BYTES)).unwrap_or_default();
        self.0.room.take(head.len());
        Ok(Piece::Text(head.to_owned(), key.len()))
    }
}
