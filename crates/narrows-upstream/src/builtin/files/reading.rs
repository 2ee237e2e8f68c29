//! Reading a file, whole or in part.

use super::super::{Outcome, Patience, with_content};
use super::{media, place};
use base64::Engine as _;
use narrows_types::Content;
use place::{Found, Places};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

/// Bytes that one call gives if it does not say.
const BYTES_DEFAULT: u64 = 1 << 20;
/// The most bytes that one call gives.
const BYTES_MAX: u64 = 8 << 20;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    path: String,
    #[serde(default)]
    from_line: Option<u64>,
    #[serde(default)]
    lines: Option<u64>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct Part {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    mime: &'static str,
    bytes: usize,
    total_bytes: u64,
    truncated: bool,
}

/// Reads.
pub(super) fn read(places: &Places, ask: &Read, patience: &Patience) -> Outcome {
    let by_lines = ask.from_line.is_some() || ask.lines.is_some();
    if by_lines && ask.offset.is_some() {
        return Err("give either lines or an offset in bytes".to_owned());
    }
    let found = places.find(&ask.path)?;
    let file = found.open(OpenOptions::new().read(true))?;
    let total_bytes = file.metadata().map_err(|e| place::failed(&found.shown, &e))?.len();
    let room = ask.bytes.unwrap_or(BYTES_DEFAULT).min(BYTES_MAX);
    let (bytes, truncated) = if by_lines {
        lines(file, ask, room, patience)
    } else {
        range(file, ask.offset.unwrap_or(0), room)
    }
    .map_err(|e| place::failed(&found.shown, &e))?;
    answer(&found, bytes, total_bytes, truncated)
}

fn range(mut file: File, offset: u64, room: u64) -> std::io::Result<(Vec<u8>, bool)> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    // One byte more tells whether the file goes on; files in /proc say that they are empty.
    file.take(room + 1).read_to_end(&mut bytes)?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let truncated = bytes.len() > room;
    bytes.truncate(room);
    Ok((bytes, truncated))
}

fn lines(
    file: File,
    ask: &Read,
    room: u64,
    patience: &Patience,
) -> std::io::Result<(Vec<u8>, bool)> {
    let skip = ask.from_line.unwrap_or(1).saturating_sub(1);
    let wanted = ask.lines.unwrap_or(u64::MAX);
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
    for _ in 0..skip {
        if !skip_line(&mut reader, patience)? {
            return Ok((Vec::new(), false));
        }
    }
    let mut bytes = Vec::new();
    let mut left = room;
    for _ in 0..wanted {
        let read = (&mut reader).take(left).read_until(b'\n', &mut bytes)?;
        left = left.saturating_sub(read as u64);
        if read == 0 {
            break;
        }
    }
    let truncated = !reader.fill_buf()?.is_empty();
    Ok((bytes, truncated))
}

/// Skips a line of any length, a buffer at a time; false at the end of the file.
fn skip_line(reader: &mut BufReader<File>, patience: &Patience) -> std::io::Result<bool> {
    let mut any = false;
    loop {
        patience.check().map_err(std::io::Error::other)?;
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(skipped);
        if end.is_some() {
            return Ok(true);
        }
    }
}

fn answer(found: &Found, bytes: Vec<u8>, total_bytes: u64, truncated: bool) -> Outcome {
    let mime = media::by_name(&found.real);
    let mut part = Part {
        path: found.shown.clone(),
        text: None,
        mime,
        bytes: bytes.len(),
        total_bytes,
        truncated,
    };
    let content = match text(bytes, truncated) {
        Ok(text) => {
            part.bytes = text.len();
            if mime == "application/octet-stream" {
                part.mime = "text/plain";
            }
            part.text = Some(text.clone());
            Content::text(text)
        }
        Err(bytes) => binary(found, mime, &bytes),
    };
    let json = serde_json::to_string(&part).map_err(|e| e.to_string())?;
    with_content(vec![content], json)
}

/// The bytes as text. A character that the cut went through is left to the next part.
fn text(bytes: Vec<u8>, truncated: bool) -> Result<String, Vec<u8>> {
    if bytes.contains(&0) {
        return Err(bytes);
    }
    String::from_utf8(bytes).or_else(|error| {
        let valid = error.utf8_error().valid_up_to();
        let cut_only = error.utf8_error().error_len().is_none();
        let mut bytes = error.into_bytes();
        if !(truncated && cut_only) {
            return Err(bytes);
        }
        bytes.truncate(valid);
        String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
    })
}

fn binary(found: &Found, mime: &'static str, bytes: &[u8]) -> Content {
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    if let Some(kind @ ("image" | "audio")) = mime.split('/').next() {
        return Content(json!({"type": kind, "data": data, "mimeType": mime}));
    }
    let uri = format!("file://{}", found.real.display());
    Content(json!({"type": "resource", "resource": {"uri": uri, "mimeType": mime, "blob": data}}))
}
