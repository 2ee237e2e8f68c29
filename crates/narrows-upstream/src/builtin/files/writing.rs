//! Writing a file.

use super::super::{Outcome, structured};
use super::place::{self, Places};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write as _;

/// The most bytes that one call writes.
const BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Write {
    path: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    base64: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    make_folders: bool,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Create,
    Overwrite,
    Append,
}

#[derive(Serialize)]
struct Written {
    path: String,
    bytes: usize,
    total_bytes: u64,
}

/// Writes.
pub(super) fn write(places: &Places, ask: &Write) -> Outcome {
    let decoded;
    let bytes: &[u8] = match (&ask.text, &ask.base64) {
        (Some(text), None) => text.as_bytes(),
        (None, Some(text)) => {
            decoded = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|e| format!("`base64` is not base64: {e}"))?;
            &decoded
        }
        _ => return Err("give either `text` or `base64`".to_owned()),
    };
    if bytes.len() > BYTES_MAX {
        return Err(format!("{} bytes at once; the limit is {BYTES_MAX}", bytes.len()));
    }
    let found = places.prepare(&ask.path, ask.make_folders)?;
    let mut options = OpenOptions::new();
    match ask.mode {
        Mode::Create => options.write(true).create_new(true),
        Mode::Overwrite => options.write(true).create(true).truncate(false),
        Mode::Append => options.append(true).create(true),
    };
    // Emptied only after `open` made sure of what it is.
    let mut file = found.open(&mut options)?;
    let written = || -> std::io::Result<u64> {
        if ask.mode == Mode::Overwrite {
            file.set_len(0)?;
        }
        file.write_all(bytes)?;
        Ok(file.metadata()?.len())
    }();
    let total_bytes = written.map_err(|e| place::failed(&found.shown, &e))?;
    structured(&Written { path: found.shown, bytes: bytes.len(), total_bytes })
}
