//! Answers of the server, taken apart.

use redis::Value;

/// The greatest number that a script counts with exactly.
const WHOLE_MAX: u64 = 9_007_199_254_740_991;

/// A number as the server may be told it.
pub(super) fn whole(number: u64) -> u64 {
    number.min(WHOLE_MAX)
}

/// The parts of one answer, one after the other; none of them may be missing.
pub(super) struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    pub(super) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Array(parts) => Some(Self(parts.into_iter())),
            _ => None,
        }
    }

    pub(super) fn next(&mut self) -> Option<Value> {
        self.0.next()
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        bytes(self.next()?)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        number(self.next()?)
    }

    /// What is left, each taken apart the same way.
    pub(super) fn each<T>(self, take: impl FnMut(Value) -> Option<T>) -> Option<Vec<T>> {
        self.0.map(take).collect()
    }
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// Whole, or as a text.
pub(super) fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        value => std::str::from_utf8(&bytes(value)?).ok()?.parse().ok(),
    }
}
