//! JSON as editors write it: with comments and trailing commas, and with the place of every value,
//! so that errors can name a line and an edit can leave the rest of the file as it is.

use super::problem::Problem;
use super::tree::{Entry, Kind, Place, Tree};
use std::sync::Arc;

/// Deeper nesting than any config has.
const DEPTH_MAX: usize = 64;

/// Reads `text`, which came from `source`.
pub(crate) fn parse(text: &str, source: &Arc<str>) -> Result<Tree, Problem> {
    let text_without_mark = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.len() - text_without_mark.len();
    let mut parser = Parser { text, at: start, line: 1, source };
    let tree = parser.value(0)?;
    parser.blank()?;
    match parser.peek() {
        None => Ok(tree),
        Some(c) => {
            Err(parser.broken(&format!("`{}` after the end of the value", c.escape_debug())))
        }
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    source: &'t Arc<str>,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.next();
        }
        found
    }

    fn place(&self) -> Place {
        Place::file(self.source, self.line)
    }

    fn broken(&self, what: &str) -> Problem {
        Problem::new(format!("not valid JSON: {what}")).at(&self.place())
    }

    fn expected(&self, what: &str) -> Problem {
        match self.peek() {
            Some('"') => self.broken(&format!("expected {what}, found a string")),
            Some(c) => self.broken(&format!("expected {what}, found `{}`", c.escape_debug())),
            None => self.broken(&format!("expected {what}, found the end of the file")),
        }
    }

    /// Skips blanks and comments.
    fn blank(&mut self) -> Result<(), Problem> {
        loop {
            while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
                self.next();
            }
            if self.rest().starts_with("//") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if self.rest().starts_with("/*") {
                let Some(end) = self.rest().find("*/") else {
                    return Err(self.broken("a comment that is never closed"));
                };
                let stop = self.at + end + 2;
                while self.at < stop && self.next().is_some() {}
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Tree, Problem> {
        self.blank()?;
        if depth > DEPTH_MAX {
            return Err(self.broken(&format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let (place, start) = (self.place(), self.at);
        let kind = match self.peek() {
            Some('{') => self.table(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Kind::Text(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.expected("a value")),
        };
        Ok(Tree { kind, place, span: (start, self.at) })
    }

    fn table(&mut self, depth: usize) -> Result<Kind, Problem> {
        self.next();
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            self.blank()?;
            if self.take('}') {
                return Ok(Kind::Table(entries));
            }
            if self.peek() != Some('"') {
                return Err(self.expected("a key in double quotes or `}`"));
            }
            let (place, start) = (self.place(), self.at);
            let key = self.string()?;
            let key_span = (start, self.at);
            if entries.iter().any(|e| e.key == key) {
                return Err(Problem::new(format!("the key `{}` stands twice", key.escape_debug()))
                    .at(&place));
            }
            self.blank()?;
            if !self.take(':') {
                return Err(self.expected("`:`"));
            }
            let value = self.value(depth + 1)?;
            entries.push(Entry { key, place, key_span, value });
            self.blank()?;
            if !self.take(',') && self.peek() != Some('}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Problem> {
        self.next();
        let mut items = Vec::new();
        loop {
            self.blank()?;
            if self.take(']') {
                return Ok(Kind::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.blank()?;
            if !self.take(',') && self.peek() != Some(']') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    /// A string; its escapes are left to `serde_json`.
    fn string(&mut self) -> Result<String, Problem> {
        let start = self.at;
        self.next();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => {
                    self.next();
                }
                Some('\n') | None => return Err(self.broken("a string that is never closed")),
                Some(_) => {}
            }
        }
        let literal = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(literal).map_err(|_reason_is_plain| {
            self.broken("a string with an unknown escape or a control character")
        })
    }

    fn word(&mut self) -> Result<Kind, Problem> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.' | '_'))
            .unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        let kind = match word {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => Kind::Null,
            _ => match serde_json::from_str(word) {
                Ok(number) => Kind::Number(number),
                Err(_not_a_number) => return Err(self.expected("a value")),
            },
        };
        self.at += end;
        Ok(kind)
    }
}
