//! What a program throws and nobody catches.

use narrows_types::fault::clip;
use narrows_types::frame::End;
use narrows_types::{Limit, Position, ProgramError};

use super::strip::PROGRAM;
use super::uses::Places;

/// Frames of a stack trace that are reported.
const FRAMES_MAX: usize = 16;

/// Bytes of an error's name.
const NAME_BYTES_MAX: usize = 64;

/// Bytes of an error's message.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// An error as the program sees it.
#[derive(Debug)]
pub(crate) struct Thrown {
    name: String,
    message: String,
    stack: String,
}

impl Thrown {
    /// From what the prelude says of it.
    pub(crate) fn new(name: String, message: String, stack: String) -> Self {
        Self { name, message, stack }
    }

    /// The end of a program, whose text is `code`, that threw this.
    pub(super) fn end(self, places: &Places<'_>, code: &str) -> End {
        if let Some(limit) = self.limit() {
            return End::Limit(limit);
        }
        let at = self.places(places);
        let own = self.frames().next().is_some_and(|frame| frame.program == places.program);
        let named = at.first().filter(|_| own).and_then(|at| word(code, *at));
        let message = match (self.message.as_str(), named) {
            // The interpreter does not say what; the place does, if it is in this text.
            ("not a function", Some(word)) => format!("{word} is not a function"),
            _ => self.message,
        };
        let name = clip(self.name, NAME_BYTES_MAX);
        End::Threw(ProgramError { name, message: clip(message, MESSAGE_BYTES_MAX), at })
    }

    /// The limit whose error this is.
    pub(super) fn limit(&self) -> Option<Limit> {
        match (self.name.as_str(), self.message.as_str()) {
            ("InternalError", "out of memory") => Some(Limit::MemoryBytes),
            ("RangeError", "Maximum call stack size exceeded") => Some(Limit::Stack),
            _ => None,
        }
    }

    /// It in one line. A tool's error says by itself what it is.
    pub(super) fn summary(&self) -> String {
        match self.name.as_str() {
            "ToolError" | "Error" => self.message.clone(),
            name => format!("{name}: {}", self.message),
        }
    }

    /// Its message, for a finding.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Where it arose in the program's own text, innermost first.
    pub(super) fn places(&self, places: &Places<'_>) -> Vec<Position> {
        let own = self.frames().filter(|frame| frame.program == places.program);
        let own = own.map(|frame| (frame.line, frame.column));
        places.backs(&own.take(FRAMES_MAX).collect::<Vec<_>>())
    }

    fn frames(&self) -> impl Iterator<Item = Frame> {
        self.stack.lines().filter_map(Frame::read)
    }
}

/// A line of a stack trace that is in a program: in the last one of its worker, or, if that is kept,
/// in an earlier one.
struct Frame {
    program: u32,
    line: u32,
    column: u32,
}

impl Frame {
    fn read(text: &str) -> Option<Self> {
        let (_, place) = text.rsplit_once(PROGRAM)?;
        let (number, place) = place.trim_end_matches(')').split_once(':')?;
        // The first one has no number.
        let program = if number.is_empty() { 1 } else { number.parse().ok().filter(|n| *n > 1)? };
        let mut numbers = place.split(':');
        let line = numbers.next()?.parse().ok()?;
        Some(Self { program, line, column: numbers.next()?.parse().ok()? })
    }
}

/// The name that stands at a place.
fn word(code: &str, at: Position) -> Option<String> {
    let index = |from_one: u32| usize::try_from(from_one.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = code.lines().nth(index(at.line))?.chars().skip(index(at.column));
    let named = |char: &char| char.is_alphanumeric() || matches!(char, '_' | '$');
    let word: String = rest.take_while(named).take(NAME_BYTES_MAX).collect();
    (!word.is_empty()).then_some(word)
}
