//! Places in a program's text: byte offsets to lines and columns.

use narrows_types::Position;

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Reads the text once. A line ends as the language says: LF, CR, CRLF, U+2028, U+2029.
    pub(super) fn new(text: &'a str) -> Self {
        let mut starts = vec![0];
        let mut rest = text.char_indices().peekable();
        while let Some((at, char)) = rest.next() {
            let ends = match char {
                '\r' => rest.peek().is_none_or(|(_, next)| *next != '\n'),
                '\n' | '\u{2028}' | '\u{2029}' => true,
                _ => false,
            };
            if ends {
                starts.push(at + char.len_utf8());
            }
        }
        Self { text, starts }
    }

    /// The position of a byte offset.
    pub(super) fn at(&self, offset: u32) -> Position {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Position { line: count(line), column: count(before.chars().count()) }
    }

    /// The position of a line and a column in UTF-16 units, both from 0.
    pub(super) fn at_utf16(&self, line: u32, column: u32) -> Position {
        let text = self.line(line);
        let mut units = 0;
        let before = text.chars().take_while(|char| {
            let inside = units < column;
            units += u32::from(char.len_utf16() == 2) + 1;
            inside
        });
        let column = count(before.count());
        Position { line: line.saturating_add(1), column }
    }

    /// How many UTF-16 units stand before a byte column (from 0) of a line (from 0).
    pub(super) fn utf16(&self, line: u32, column: u32) -> u32 {
        let limit = usize::try_from(column).unwrap_or(usize::MAX);
        let before = self.line(line).char_indices().take_while(|(at, _)| *at < limit);
        let units: usize = before.map(|(_, char)| char.len_utf16()).sum();
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    fn line(&self, line: u32) -> &'a str {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let start = self.starts.get(line).copied().unwrap_or(self.text.len());
        let end = line.checked_add(1).and_then(|next| self.starts.get(next)).copied();
        self.text.get(start..end.unwrap_or(self.text.len())).unwrap_or_default()
    }
}

/// From 0 to 1.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let lines = Lines::new("a\nä😀b\r\nc\rd\u{2028}e");
        let at = |offset| {
            let position = lines.at(offset);
            (position.line, position.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(2), (2, 1));
        assert_eq!(at(4), (2, 2));
        assert_eq!(at(8), (2, 3));
        assert_eq!(at(11), (3, 1));
        assert_eq!(at(13), (4, 1));
        assert_eq!(at(17), (5, 1));
        assert_eq!(at(9_999), (5, 1));
        assert_eq!(lines.at_utf16(1, 3), Position { line: 2, column: 3 });
        assert_eq!(lines.utf16(1, 6), 3);
        assert_eq!(lines.at_utf16(99, 3), Position { line: 100, column: 1 });
    }
}
