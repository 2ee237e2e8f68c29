//! Programs as models write them into a chat.

use std::borrow::Cow;

/// The program without the Markdown fence that models like to put around it. Lines keep their
/// numbers.
pub(crate) fn unfenced(code: &str) -> Cow<'_, str> {
    let inside = || {
        let fenced = code.trim().strip_prefix("```")?.strip_suffix("```")?;
        let (language, inside) = fenced.split_once('\n')?;
        language.trim().chars().all(|char| char.is_ascii_alphanumeric()).then_some(inside)
    };
    let Some(inside) = inside() else { return Cow::Borrowed(code) };
    let lead = code.len() - code.trim_start().len();
    let before = code.get(..lead).unwrap_or_default().matches('\n').count() + 1;
    Cow::Owned("\n".repeat(before) + inside)
}
