//! JSON to Python's values and back.

use jiter::JsonValue;
use monty_types::{MontyDate, MontyDateTime, MontyObject, MontyTime, MontyTimeDelta};
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// The deepest value that leaves the interpreter.
const DEPTH_MAX: usize = 200;

/// Why a value cannot leave the interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its JSON is longer than allowed.
    TooLong,
    /// It is not a JSON value; why, for the program's author.
    NotJson(String),
}

/// What becomes of a value that JSON has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strange {
    /// Its `repr` as text: for a value that goes to a reader.
    Describe,
    /// An error: for what goes to a tool.
    Refuse,
}

/// JSON text to a value of Python's. Integers of any size stay integers.
pub(super) fn from_json(json: &str) -> Result<MontyObject, String> {
    let value = JsonValue::parse(json.as_bytes(), false).map_err(|error| error.to_string())?;
    Ok(object(&value))
}

fn object(value: &JsonValue) -> MontyObject {
    match value {
        JsonValue::Null => MontyObject::None,
        JsonValue::Bool(value) => MontyObject::Bool(*value),
        JsonValue::Int(value) => MontyObject::Int(*value),
        JsonValue::BigInt(value) => MontyObject::BigInt(value.clone()),
        JsonValue::Float(value) => MontyObject::Float(*value),
        JsonValue::Str(text) => MontyObject::String(text.as_ref().to_owned()),
        JsonValue::Array(items) => MontyObject::List(items.iter().map(object).collect()),
        JsonValue::Object(fields) => MontyObject::dict(
            fields
                .iter()
                .map(|(key, value)| (MontyObject::String(key.as_ref().to_owned()), object(value)))
                .collect::<Vec<_>>(),
        ),
    }
}

/// A value of Python's to JSON text of at most `bytes_max` bytes.
pub(super) fn to_json(
    value: &MontyObject,
    strange: Strange,
    bytes_max: u64,
) -> Result<Box<RawValue>, Unfit> {
    let mut writer = Writer::new(strange, bytes_max);
    writer.value(value, 0)?;
    writer.finish()
}

/// Keyword arguments to a JSON object of at most `bytes_max` bytes.
pub(super) fn arguments_to_json(
    arguments: &[(MontyObject, MontyObject)],
    bytes_max: u64,
) -> Result<Box<RawValue>, Unfit> {
    let mut writer = Writer::new(Strange::Refuse, bytes_max);
    writer.fields(arguments.iter(), 0)?;
    writer.finish()
}

struct Writer {
    out: String,
    strange: Strange,
    bytes_max: usize,
}

impl Writer {
    fn new(strange: Strange, bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self { out: String::new(), strange, bytes_max }
    }

    fn finish(self) -> Result<Box<RawValue>, Unfit> {
        if self.out.len() > self.bytes_max {
            return Err(Unfit::TooLong);
        }
        RawValue::from_string(self.out).map_err(|error| Unfit::NotJson(error.to_string()))
    }

    fn value(&mut self, value: &MontyObject, depth: usize) -> Result<(), Unfit> {
        if self.out.len() > self.bytes_max {
            return Err(Unfit::TooLong);
        }
        if depth > DEPTH_MAX {
            let why = format!("the value is nested deeper than {DEPTH_MAX} levels");
            return Err(Unfit::NotJson(why));
        }
        match value {
            MontyObject::None => self.out.push_str("null"),
            MontyObject::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            MontyObject::Int(value) => self.display(value),
            MontyObject::BigInt(value) => self.display(value),
            // JSON has no NaN and no infinity.
            MontyObject::Float(value) if !value.is_finite() => self.out.push_str("null"),
            MontyObject::Float(value) => self.number(*value),
            MontyObject::String(text) => self.text(text)?,
            MontyObject::Path(path) => self.text(path)?,
            MontyObject::List(items)
            | MontyObject::Tuple(items)
            | MontyObject::Set(items)
            | MontyObject::FrozenSet(items) => self.items(items, depth)?,
            MontyObject::NamedTuple { field_names, values, .. } => {
                self.named(field_names, values, depth)?;
            }
            MontyObject::Dict(pairs) => self.fields(pairs.iter(), depth)?,
            MontyObject::Date(date) => self.text(&date_text(date))?,
            MontyObject::DateTime(time) => self.text(&datetime_text(time))?,
            MontyObject::Time(time) => self.text(&time_text(time))?,
            MontyObject::TimeDelta(delta) => self.number(seconds(delta)),
            MontyObject::ClassInstance(instance) => {
                self.fields(instance.attrs.iter(), depth)?;
            }
            MontyObject::Cycle(..) => {
                return Err(Unfit::NotJson("the value contains itself".to_owned()));
            }
            MontyObject::Repr(text) if is_future(text) => {
                let why = "the value holds a call that was not awaited; write await before it, or \
                           await asyncio.gather(...)";
                return Err(Unfit::NotJson(why.to_owned()));
            }
            other => self.strange(other)?,
        }
        Ok(())
    }

    fn strange(&mut self, value: &MontyObject) -> Result<(), Unfit> {
        if self.strange == Strange::Refuse {
            return Err(Unfit::NotJson(format!("a {} is no JSON value", value.type_name())));
        }
        match value {
            MontyObject::Repr(text) => self.text(text),
            other => self.text(&other.py_repr()),
        }
    }

    fn items(&mut self, items: &[MontyObject], depth: usize) -> Result<(), Unfit> {
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.value(item, depth + 1)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn named(
        &mut self,
        names: &[String],
        values: &[MontyObject],
        depth: usize,
    ) -> Result<(), Unfit> {
        self.out.push('{');
        for (index, (name, value)) in names.iter().zip(values).enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.text(name)?;
            self.out.push(':');
            self.value(value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn fields<'a>(
        &mut self,
        fields: impl Iterator<Item = &'a (MontyObject, MontyObject)>,
        depth: usize,
    ) -> Result<(), Unfit> {
        self.out.push('{');
        for (index, (key, value)) in fields.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            match key {
                MontyObject::String(text) => self.text(text)?,
                MontyObject::None => self.text("null")?,
                MontyObject::Bool(true) => self.text("true")?,
                MontyObject::Bool(false) => self.text("false")?,
                other => self.text(&other.to_string())?,
            }
            self.out.push(':');
            self.value(value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _: Result<(), _> = write!(self.out, "{value}");
    }

    fn number(&mut self, value: f64) {
        match serde_json::to_string(&value) {
            Ok(text) => self.out.push_str(&text),
            Err(_) => self.out.push_str("null"),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Unfit> {
        if text.len() > self.bytes_max {
            return Err(Unfit::TooLong);
        }
        let quoted =
            serde_json::to_string(text).map_err(|error| Unfit::NotJson(error.to_string()))?;
        self.out.push_str(&quoted);
        Ok(())
    }
}

/// The `repr` of a future or a coroutine.
fn is_future(repr: &str) -> bool {
    repr.starts_with("<coroutine ") || repr.starts_with("<gather")
}

fn date_text(date: &MontyDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn datetime_text(time: &MontyDateTime) -> String {
    let date = MontyDate { year: time.year, month: time.month, day: time.day };
    let mut text = date_text(&date);
    clock(&mut text, 'T', [time.hour, time.minute, time.second], time.microsecond);
    offset(&mut text, time.offset_seconds);
    text
}

fn time_text(time: &MontyTime) -> String {
    let mut text = String::new();
    clock(&mut text, ' ', [time.hour, time.minute, time.second], time.microsecond);
    offset(&mut text, time.offset_seconds);
    text.trim_start().to_owned()
}

fn clock(text: &mut String, before: char, [hour, minute, second]: [u8; 3], microsecond: u32) {
    let _: Result<(), _> = write!(text, "{before}{hour:02}:{minute:02}:{second:02}");
    if microsecond > 0 {
        let _: Result<(), _> = write!(text, ".{microsecond:06}");
    }
}

fn offset(text: &mut String, seconds: Option<i32>) {
    if let Some(seconds) = seconds {
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        let _: Result<(), _> = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
}

/// A duration as JSON: its seconds.
fn seconds(delta: &MontyTimeDelta) -> f64 {
    f64::from(delta.days) * 86_400.0
        + f64::from(delta.seconds)
        + f64::from(delta.microseconds) / 1e6
}
