//! JSON objects as text: their members looked at, and some replaced, without reading the rest.
//!
//! The text must have been read as JSON before (a `RawValue`, a part of one): what is inside a
//! member is skipped over, not checked. A text that is no JSON gives an error or nonsense that was
//! part of it, never a panic.

use memchr::memchr2;
use std::borrow::Cow;
use std::fmt;

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key, without quotes and escapes.
    pub key: Cow<'a, str>,
    /// Its value, as it was written.
    pub value: &'a str,
    start: usize,
    end: usize,
}

/// The text is no object, or no array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a JSON object or array")
    }
}

impl std::error::Error for Broken {}

/// One change of an object. A key that stands there twice is changed as one.
#[derive(Debug, Clone, Copy)]
pub enum Edit<'a> {
    /// The member has this value (JSON), whether it was there or not.
    Set(&'a str, &'a str),
    /// The member has this value (JSON) if it was not there.
    Default(&'a str, &'a str),
    /// There is no such member.
    Remove(&'a str),
}

impl<'a> Edit<'a> {
    fn key(&self) -> &'a str {
        match self {
            Self::Set(key, _) | Self::Default(key, _) | Self::Remove(key) => key,
        }
    }
}

/// The members of an object, in their order.
pub fn members(object: &str) -> Members<'_> {
    Members(Items::new(object, b'{', b'}'))
}

/// The elements of an array, in their order.
pub fn elements(array: &str) -> Elements<'_> {
    Elements(Items::new(array, b'[', b']'))
}

/// A member of an object. Of two with one key the last counts, as for most readers.
pub fn get<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let found = members(object).map_while(Result::ok).filter(|member| member.key == key);
    found.last().map(|member| member.value)
}

/// A member of an object that is a text.
pub fn get_text<'a>(object: &'a str, key: &str) -> Option<Cow<'a, str>> {
    get(object, key).and_then(text)
}

/// The text that a JSON string stands for; none if it is no string.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if memchr2(b'\\', b'"', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(value).ok().map(Cow::Owned)
}

/// A text as a JSON string.
pub fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    push_quoted(&mut json, text);
    json
}

/// Adds a text as a JSON string.
pub fn push_quoted(json: &mut String, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        // Writing a text to memory does not fail.
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// Adds a member to the text of an object that is being written and not yet closed.
pub fn push_member(json: &mut String, key: &str, value: &str) {
    if !json.ends_with('{') {
        json.push(',');
    }
    push_quoted(json, key);
    json.push(':');
    json.push_str(value);
}

/// The object with the changes. Members that are not changed keep every byte, and their order;
/// what is new stands at the end.
pub fn edit<'a>(object: &'a str, edits: &[Edit<'_>]) -> Result<Cow<'a, str>, Broken> {
    let mut editing = Editing { source: object, written: None, run: None, first: true };
    let mut seen: u64 = 0;
    for member in members(object) {
        let member = member?;
        let found = edits.iter().take(64).position(|edit| edit.key() == member.key);
        match found.and_then(|at| edits.get(at).map(|edit| (at, edit))) {
            None => editing.keep(&member),
            Some((at, edit)) => {
                let again = seen & (1 << at) != 0;
                seen |= 1 << at;
                match edit {
                    Edit::Default(..) => editing.keep(&member),
                    Edit::Set(key, value) if !again => {
                        if member.value == *value {
                            editing.keep(&member);
                        } else {
                            editing.put(key, value);
                        }
                    }
                    Edit::Set(..) | Edit::Remove(_) => editing.drop_one(),
                }
            }
        }
    }
    for (at, edit) in edits.iter().take(64).enumerate() {
        if let (Edit::Set(key, value) | Edit::Default(key, value), 0) = (edit, seen & (1 << at)) {
            editing.put(key, value);
        }
    }
    Ok(editing.done())
}

/// The object while it is changed. As long as nothing is, nothing is copied.
struct Editing<'a> {
    source: &'a str,
    written: Option<String>,
    /// Members side by side that stay, not yet written.
    run: Option<(usize, usize)>,
    /// No member is written yet.
    first: bool,
}

impl<'a> Editing<'a> {
    fn keep(&mut self, member: &Member<'_>) {
        let start = self.run.map_or(member.start, |(start, _)| start);
        self.run = Some((start, member.end));
    }

    fn drop_one(&mut self) {
        self.flush();
    }

    fn put(&mut self, key: &str, value: &str) {
        self.flush();
        self.comma();
        let text = self.text();
        push_quoted(text, key);
        text.push(':');
        text.push_str(value);
    }

    fn text(&mut self) -> &mut String {
        let room = self.source.len() + 128;
        self.written.get_or_insert_with(|| {
            let mut text = String::with_capacity(room);
            text.push('{');
            text
        })
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.text().push(',');
        }
    }

    fn flush(&mut self) {
        let run = self.run.take().and_then(|(start, end)| self.source.get(start..end));
        self.text();
        if let Some(run) = run {
            self.comma();
            self.text().push_str(run);
        }
    }

    fn done(mut self) -> Cow<'a, str> {
        if self.written.is_none() {
            return Cow::Borrowed(self.source);
        }
        self.flush();
        let mut text = self.written.unwrap_or_default();
        text.push('}');
        Cow::Owned(text)
    }
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.step(|items| {
            let start = items.at;
            let key_end = items.string()?;
            let key = items.source.get(start..key_end)?;
            // A key with a broken escape is no key that anybody asks for.
            let key = text(key).unwrap_or(Cow::Borrowed(key));
            items.at = key_end;
            items.blanks();
            items.take(b':')?;
            items.blanks();
            let value = items.value()?;
            Some(Member { key, value, start, end: items.at })
        })
    }
}

/// See [`elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a>(Items<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a str, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.step(Items::value)
    }
}

/// Goes through what stands between two brackets, separated by commas.
#[derive(Debug, Clone)]
struct Items<'a> {
    source: &'a str,
    at: usize,
    open: u8,
    close: u8,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Within,
    Done,
}

impl<'a> Items<'a> {
    fn new(source: &'a str, open: u8, close: u8) -> Self {
        Self { source, at: 0, open, close, state: State::Before }
    }

    /// The next item, which `read` reads from where it starts to behind its end.
    fn step<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Result<T, Broken>> {
        match self.advance() {
            Some(true) => {
                let item = read(self);
                if item.is_none() {
                    self.state = State::Done;
                }
                Some(item.ok_or(Broken))
            }
            Some(false) => None,
            None => {
                self.state = State::Done;
                Some(Err(Broken))
            }
        }
    }

    /// Goes to where the next item starts; false at the end, none where neither is.
    fn advance(&mut self) -> Option<bool> {
        if self.state == State::Done {
            return Some(false);
        }
        self.blanks();
        let opens = self.state == State::Before;
        if opens {
            self.take(self.open)?;
            self.blanks();
            self.state = State::Within;
        }
        match self.peek()? {
            byte if byte == self.close => {
                self.at += 1;
                self.blanks();
                self.state = State::Done;
                (self.at == self.source.len()).then_some(false)
            }
            _ if opens => Some(true),
            b',' => {
                self.at += 1;
                self.blanks();
                Some(true)
            }
            _ => None,
        }
    }

    fn bytes(&self) -> &'a [u8] {
        self.source.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Where the string ends that starts here.
    fn string(&self) -> Option<usize> {
        (self.peek()? == b'"').then_some(())?;
        string_end(self.bytes(), self.at + 1)
    }

    /// The value that starts here, and goes behind it.
    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at = match self.peek()? {
            b'"' => self.string()?,
            b'{' | b'[' => nest_end(self.bytes(), start)?,
            _ => {
                let rest = self.bytes().get(start..)?;
                let length = rest.iter().position(|b| {
                    matches!(b, b',' | b'}' | b']' | b'"' | b'{' | b'[' | b':')
                        || b.is_ascii_whitespace()
                });
                let length = length.unwrap_or(rest.len());
                (length > 0).then_some(start + length)?
            }
        };
        self.source.get(start..self.at)
    }
}

/// Behind the closing quote of the string whose inside starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if *bytes.get(at)? == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Behind the bracket that closes the one at `at`. Both kinds count as one: the text was read as
/// JSON before.
fn nest_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
