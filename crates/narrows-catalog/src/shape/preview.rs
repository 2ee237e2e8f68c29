//! A value that does not fit: its beginning, for a reader, and its shape.

use super::outline::outline;
use super::piece::{Piece, read};
use super::{fit_text, floor};
use narrows_types::Shaped;
use narrows_types::fault::clip;
use serde_json::Value;
use serde_json::value::RawValue;

/// The part of the budget that the shape may take, in hundredths.
const SHAPE_SHARE: usize = 35;
/// Bytes of the shape of arguments.
const ARGUMENTS_BYTES: usize = 200;
/// A part that gets less room than this says nothing.
const ROOM_MIN: usize = 16;
/// Bytes that `, +123456 more` takes at most.
const MORE_BYTES: usize = 20;

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
    match read(text, budget) {
        Some(Piece::Text(..)) => {
            let shape = clip(format!("string({})", text.len()), budget * SHAPE_SHARE / 100);
            let plain: String = serde_json::from_str(text).unwrap_or_default();
            let preview = fit_text(&plain, budget.saturating_sub(shape.len()));
            Shaped { preview, shape, ..empty }
        }
        Some(piece) => {
            let shape = clip(outline(&piece), budget * SHAPE_SHARE / 100);
            let preview = beginning(&piece, budget.saturating_sub(shape.len()));
            Shaped { preview, shape, ..empty }
        }
        None => {
            let end = floor(text, budget);
            Shaped { preview: text.get(..end).unwrap_or_default().to_owned(), ..empty }
        }
    }
}

/// The shape of arguments: `{owner: string, count: number}`.
pub fn describe(raw: &RawValue) -> String {
    read(raw.get(), ARGUMENTS_BYTES).map_or(String::new(), |p| clip(outline(&p), ARGUMENTS_BYTES))
}

/// A key as TypeScript writes it: bare where it can be.
pub(super) fn name(key: &str) -> String {
    let bare = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if bare { key.to_owned() } else { Value::from(key).to_string() }
}

/// The beginning of a value for a reader, at most so many bytes.
fn beginning(piece: &Piece, room: usize) -> String {
    let text = match piece {
        Piece::Null => "null".to_owned(),
        Piece::Boolean(value) => value.to_string(),
        Piece::Number(digits) => digits.clone(),
        Piece::Text(head, bytes) => return quoted(head, *bytes, room),
        Piece::Array(items, count) => array(items, *count, room),
        Piece::Object(members, count) => object(members, *count, room),
    };
    clip(text, room)
}

/// Bytes that a piece takes when nothing of it is left out; none where something already is.
fn whole(piece: &Piece) -> Option<usize> {
    match piece {
        Piece::Null => Some(4),
        Piece::Boolean(_) => Some(5),
        Piece::Number(digits) => Some(digits.len()),
        Piece::Text(head, bytes) => {
            (head.len() == *bytes).then(|| Value::from(head.as_str()).to_string().len())
        }
        Piece::Array(items, count) if items.len() == *count => {
            items.iter().try_fold(2, |sum, item| Some(sum + whole(item)? + 2))
        }
        Piece::Object(members, count) if members.len() == *count => members
            .iter()
            .try_fold(2, |sum, (key, value)| Some(sum + name(key).len() + whole(value)? + 4)),
        _ => None,
    }
}

/// A text in quotes, cut to the room; a cut one ends in `..."`.
fn quoted(head: &str, bytes: usize, room: usize) -> String {
    if head.len() == bytes {
        let text = Value::from(head).to_string();
        if text.len() <= room {
            return text;
        }
    }
    // Escapes make it longer: try less until it fits.
    let mut end = room.saturating_sub(5).min(head.len());
    loop {
        end = floor(head, end);
        let text = Value::from(head.get(..end).unwrap_or_default()).to_string();
        if text.len() + 3 <= room {
            return format!("{}...\"", text.strip_suffix('"').unwrap_or(&text));
        }
        if end == 0 {
            return clip("...".to_owned(), room);
        }
        end = end.saturating_sub(1 + (text.len() + 3 - room) / 6);
    }
}

fn array(items: &[Piece], count: usize, room: usize) -> String {
    let mut text = String::from("[");
    let mut shown = 0;
    for item in items {
        let left = room.saturating_sub(text.len() + MORE_BYTES + 2);
        let fits = whole(item).is_some_and(|bytes| bytes <= left);
        if !fits && left / 2 < ROOM_MIN {
            break;
        }
        let item = beginning(item, if fits { left } else { left / 2 });
        if shown > 0 {
            text.push_str(", ");
        }
        text.push_str(&item);
        shown += 1;
    }
    more(&mut text, count - shown, shown > 0);
    text.push(']');
    text
}

fn object(members: &[(String, Piece)], count: usize, room: usize) -> String {
    let mut text = String::from("{");
    let mut shown = 0;
    let mut left = room.saturating_sub(MORE_BYTES + 3);
    let mut rooms = rooms(members, left);
    for (key, value) in members {
        let key = name(key);
        let overhead = key.len() + if shown > 0 { 4 } else { 2 };
        let room = rooms.next().unwrap_or(0).min(left.saturating_sub(overhead));
        if whole(value).is_none_or(|bytes| bytes > room) && room < ROOM_MIN {
            break;
        }
        let value = beginning(value, room);
        if shown > 0 {
            text.push_str(", ");
        }
        text.push_str(&key);
        text.push_str(": ");
        text.push_str(&value);
        left = left.saturating_sub(overhead + value.len());
        shown += 1;
    }
    more(&mut text, count - shown, shown > 0);
    text.push('}');
    text
}

/// How much each member may take, so that small ones are whole and large ones share the rest.
fn rooms(members: &[(String, Piece)], room: usize) -> impl Iterator<Item = usize> {
    let keys: usize = members.iter().map(|(key, _)| name(key).len() + 4).sum();
    let wants: Vec<usize> =
        members.iter().map(|(_, value)| whole(value).unwrap_or(usize::MAX)).collect();
    let mut ordered = wants.clone();
    ordered.sort_unstable();
    let mut left = room.saturating_sub(keys);
    let mut sharers = ordered.len();
    for want in ordered {
        if want > left / sharers.max(1) {
            break;
        }
        left -= want;
        sharers -= 1;
    }
    let share = (left / sharers.max(1)).max(ROOM_MIN);
    wants.into_iter().map(move |want| if want <= share { want } else { share })
}

fn more(text: &mut String, left_out: usize, after: bool) {
    if left_out > 0 {
        text.push_str(if after { ", +" } else { "+" });
        text.push_str(&left_out.to_string());
        text.push_str(" more");
    }
}
