//! What is wrong with a config, told with its file, line and key.

use super::tree::Place;
use std::fmt;

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What, and at which key.
    pub(crate) message: String,
    /// Where it was written.
    pub(crate) place: Option<Place>,
    /// The next step; empty if there is nothing to say.
    pub(crate) hint: String,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, hint: String::new() }
    }

    #[must_use]
    pub(crate) fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(place) = &self.place {
            write!(f, " ({place})")?;
        }
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// The known word nearest to `word`, if it is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    narrows_types::nearest(word, known, 1).into_iter().next()
}

/// A key path as TOML writes it: `servers."my server".env`.
pub(crate) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    let bare = |key: &str| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let keys = path.iter().map(AsRef::as_ref).map(|key| {
        if bare(key) || key.starts_with('[') {
            key.to_owned()
        } else {
            format!("\"{}\"", key.escape_debug())
        }
    });
    keys.collect::<Vec<_>>().join(".").replace(".[", "[")
}
