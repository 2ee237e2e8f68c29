//! A value that does not fit: its beginning and its shape.

use super::{fit_text, floor};
use narrows_types::Shaped;
use narrows_types::fault::clip;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt::Write as _;

/// Values larger than this are not parsed as a whole: their text is their preview.
const PARSED_BYTES_MAX: usize = 32 << 20;
/// The part of the budget that the shape may take, in hundredths.
const SHAPE_SHARE: usize = 35;
const DEPTH_MAX: usize = 4;
const KEYS_MAX: usize = 16;

/// Cuts a value to a budget in bytes: the value itself if it fits, else preview and shape, which
/// together keep to the budget.
pub fn shape(raw: &RawValue, budget: usize) -> Shaped {
    let text = raw.get();
    let bytes = text.len() as u64;
    let empty =
        Shaped { value: None, preview: String::new(), shape: String::new(), artifact: None, bytes };
    if text.len() <= budget {
        return Shaped { value: Some(raw.to_owned()), ..empty };
    }
    let parsed = (text.len() <= PARSED_BYTES_MAX).then(|| serde_json::from_str::<Value>(text).ok());
    let Some(Some(value)) = parsed else {
        let end = floor(text, budget);
        return Shaped { preview: text.get(..end).unwrap_or_default().to_owned(), ..empty };
    };
    let shape = clip(outline(&value, 0), budget * SHAPE_SHARE / 100);
    let room = budget.saturating_sub(shape.len());
    let preview = beginning(&value, room);
    Shaped { preview, shape, ..empty }
}

/// The shape of arguments: `{owner: string, count: number}`.
pub fn describe(raw: &RawValue) -> String {
    let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { return String::new() };
    clip(outline(&value, 0), 200)
}

/// Keys, lengths and types.
fn outline(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) if text.len() > 40 => format!("string of {} bytes", text.len()),
        Value::String(_) => "string".to_owned(),
        Value::Array(items) => match items.first() {
            None => "[]".to_owned(),
            Some(_) if depth >= DEPTH_MAX => format!("[{} items]", items.len()),
            Some(first) => format!("[{} x {}]", items.len(), outline(first, depth + 1)),
        },
        Value::Object(members) if depth >= DEPTH_MAX => format!("{{{} keys}}", members.len()),
        Value::Object(members) => {
            let mut parts: Vec<String> = members
                .iter()
                .take(KEYS_MAX)
                .map(|(k, v)| format!("{}: {}", clip(k.clone(), 60), outline(v, depth + 1)))
                .collect();
            if members.len() > KEYS_MAX {
                parts.push(format!("+{} keys", members.len() - KEYS_MAX));
            }
            format!("{{{}}}", parts.join(", "))
        }
    }
}

/// The beginning of a value for a reader, at most so many bytes.
fn beginning(value: &Value, bytes: usize) -> String {
    match value {
        Value::Array(items) => {
            let room = bytes.saturating_sub(24);
            let mut text = String::from("[");
            let mut shown = 0;
            for item in items {
                let piece = small(item, room / 2);
                if text.len() + piece.len() + 2 > room {
                    break;
                }
                if shown > 0 {
                    text.push_str(", ");
                }
                text.push_str(&piece);
                shown += 1;
            }
            if shown < items.len() {
                // Writing to a string cannot fail.
                let _infallible = write!(text, ", +{} more", items.len() - shown);
            }
            text.push(']');
            clip(text, bytes)
        }
        Value::Object(members) => {
            let room = bytes.saturating_sub(2) / members.len().clamp(1, 8);
            let mut text = String::from("{");
            for (at, (key, value)) in members.iter().enumerate() {
                let piece = format!(
                    "{}: {}",
                    clip(key.clone(), 60),
                    nested(value, room.saturating_sub(key.len() + 4))
                );
                if text.len() + piece.len() + 3 > bytes {
                    text.push_str(", ...");
                    break;
                }
                if at > 0 {
                    text.push_str(", ");
                }
                text.push_str(&piece);
            }
            text.push('}');
            clip(text, bytes)
        }
        Value::String(text) => fit_text(text, bytes),
        scalar => clip(scalar.to_string(), bytes),
    }
}

fn nested(value: &Value, room: usize) -> String {
    match value {
        Value::Array(_) | Value::Object(_) if room > 24 => beginning(value, room),
        other => small(other, room.max(8)),
    }
}

/// One item: whole if it fits, else cut.
fn small(value: &Value, room: usize) -> String {
    match value {
        Value::String(text) if text.len() + 2 > room => fit_text(text, room),
        other => {
            let text = other.to_string();
            if text.len() <= room { text } else { clip(text, room) }
        }
    }
}
