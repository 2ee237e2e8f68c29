//! The program's text: positions in it, and the text that Monty runs instead of it.
//!
//! A few call sites are renamed before the run (see [`Site`]), so that what the host needs to know
//! of a call site travels with the call. Positions in the renamed text are mapped back: a program
//! never sees a place that is not its own.

use narrows_types::Position;
use ruff_text_size::{TextRange, TextSize};

/// The letter that starts the name of a renamed call site. It is a letter of Python's, so that the
/// name is an identifier, and no tool's identifier begins with it.
pub(super) const MARK: char = '\u{1c1}';

/// Finds lines and columns of byte offsets.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    ascii: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(index, _)| index + 1)).collect();
        Self { text, starts, ascii: text.is_ascii() }
    }

    /// The place of a byte offset.
    pub(super) fn at(&self, offset: TextSize) -> Position {
        let offset = offset.to_usize();
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let column = if self.ascii {
            offset.saturating_sub(start)
        } else {
            self.text.get(start..offset).map_or(0, |before| before.chars().count())
        };
        Position { line: small(line + 1), column: small(column + 1) }
    }

    /// The text in a range.
    pub(super) fn text(&self, range: TextRange) -> &'a str {
        self.text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or("")
    }
}

/// What the host has to know of a call site that was renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The name as the program wrote it.
    pub(crate) name: String,
    /// The call gives its result at once; else it gives a future.
    pub(crate) wait: bool,
}

/// One piece of text that is replaced.
#[derive(Debug)]
pub(super) struct Edit {
    /// What is replaced, within one line.
    pub(super) range: TextRange,
    /// By what.
    pub(super) text: String,
}

/// The text that Monty runs, and the way back to the program's own places.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The text.
    pub(crate) text: String,
    /// Lines that were put in front.
    lines_before: u32,
    moves: Vec<Move>,
}

/// Where a replaced piece was, and is.
#[derive(Debug)]
struct Move {
    line: u32,
    old: u32,
    old_end: u32,
    new: u32,
    new_end: u32,
}

impl Rewritten {
    /// Applies edits, which must not overlap, after the lines `before` (empty for none).
    pub(super) fn new(lines: &Lines, before: &str, mut edits: Vec<Edit>) -> Self {
        // An insertion comes before what is replaced at the same place.
        edits.sort_by_key(|edit| (edit.range.start(), edit.range.end()));
        let mut text = String::with_capacity(lines.text.len() + before.len() + 1);
        if !before.is_empty() {
            text.push_str(before);
            text.push('\n');
        }
        let mut moves: Vec<Move> = Vec::with_capacity(edits.len());
        let mut done = 0;
        for edit in edits {
            let (start, end) = (edit.range.start().to_usize(), edit.range.end().to_usize());
            let Some(unchanged) = lines.text.get(done..start) else { continue };
            text.push_str(unchanged);
            text.push_str(&edit.text);
            done = end;
            let at = lines.at(edit.range.start());
            let old_end = lines.at(edit.range.end()).column;
            let shift = match moves.last() {
                Some(last) if last.line == at.line => {
                    i64::from(last.new_end) - i64::from(last.old_end)
                }
                _ => 0,
            };
            let new = u32::try_from(i64::from(at.column) + shift).unwrap_or(at.column);
            let new_end = new.saturating_add(small(edit.text.chars().count()));
            moves.push(Move { line: at.line, old: at.column, old_end, new, new_end });
        }
        text.push_str(lines.text.get(done..).unwrap_or(""));
        Self { text, lines_before: small(before.lines().count()), moves }
    }

    /// The program's own place of a line and a column, both from 1, of the rewritten text.
    pub(crate) fn back(&self, line: u32, column: u32) -> Option<Position> {
        let line = line.checked_sub(self.lines_before).filter(|line| *line > 0)?;
        let first = self.moves.partition_point(|m| m.line < line);
        let here = self.moves.iter().skip(first).take_while(|m| m.line == line && m.new <= column);
        let column = match here.last() {
            None => column,
            Some(m) if column < m.new_end => m.old,
            Some(m) => column - m.new_end + m.old_end,
        };
        Some(Position { line, column })
    }
}

/// Counts of what a program of at most some hundred kilobytes holds fit.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: u32, end: u32, text: &str) -> Edit {
        Edit { range: TextRange::new(start.into(), end.into()), text: text.to_owned() }
    }

    #[test]
    fn places_survive_the_edits() {
        let lines = Lines::new("a = x.long_name() + y.z()\nb");
        let out =
            Rewritten::new(&lines, "import json", vec![edit(22, 23, "ZZZ"), edit(6, 15, "L")]);
        assert_eq!(out.text, "import json\na = x.L() + y.ZZZ()\nb");
        assert_eq!(out.back(1, 1), None);
        assert_eq!(out.back(2, 7), Some(Position { line: 1, column: 7 }));
        assert_eq!(out.back(2, 13), Some(Position { line: 1, column: 21 }));
        assert_eq!(out.back(2, 16), Some(Position { line: 1, column: 23 }));
        assert_eq!(out.back(2, 18), Some(Position { line: 1, column: 24 }));
        assert_eq!(out.back(3, 1), Some(Position { line: 2, column: 1 }));
    }

    #[test]
    fn columns_count_characters() {
        let lines = Lines::new("\u{e9}\u{e9} = 1");
        assert_eq!(lines.at(TextSize::new(5)), Position { line: 1, column: 4 });
    }
}
