//! One sentence about a tool, from what its upstream says of it.

use crate::typing::clean;

/// Bytes of one sentence about a tool.
const SENTENCE_BYTES: usize = 120;
/// Bytes of a description that are looked at.
const READ_BYTES: usize = 1_000;
const MARK: &str = "...";

/// The first sentence of a description, on one line, without markup and at most 120 bytes long
/// (untrusted text).
pub fn first_sentence(description: &str) -> String {
    let end = description.floor_char_boundary(READ_BYTES);
    let mut text = String::new();
    for line in description.get(..end).unwrap_or_default().lines() {
        let heading = line.trim_start().starts_with('#');
        let line = line.trim_matches(|c: char| c.is_whitespace() || "#*->`=_|".contains(c));
        if !line.chars().any(char::is_alphabetic) {
            if text.is_empty() {
                continue;
            }
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
        if heading {
            break;
        }
    }
    let text = clean(&plain(&text));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = sentence_end(&text).and_then(|end| text.get(..end)).unwrap_or(&text);
    cut(sentence.trim_end_matches(['.', ':', ' ']))
}

/// Without code marks, emphasis, tags and the targets of links.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', ']', '`', '*']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(before);
        let skipped = match from.get(..2) {
            Some("](") => {
                if let (Some(open), Some(end)) = (plain.rfind('['), from.find(')')) {
                    plain.remove(open);
                    end + 1
                } else {
                    plain.push(']');
                    1
                }
            }
            _ if is_tag(from) => from.find('>').map_or(1, |end| end + 1),
            _ if from.starts_with('`') => 1,
            Some("**") => 2,
            _ => {
                plain.extend(from.chars().next());
                1
            }
        };
        rest = from.get(skipped..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

/// `<b>`, `</use_case>`, but not `a < b`.
fn is_tag(text: &str) -> bool {
    let name = text.strip_prefix('<').map(|t| t.strip_prefix('/').unwrap_or(t)).unwrap_or_default();
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .find('>')
            .and_then(|end| name.get(..end))
            .is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Where the first sentence ends: a full stop before a space and a capital, not after `e.g`.
fn sentence_end(text: &str) -> Option<usize> {
    text.match_indices(['.', '!', '?']).map(|(at, _)| at).find(|at| {
        let (before, after) = text.split_at_checked(*at).unwrap_or((text, ""));
        let word = before.rsplit(' ').next().unwrap_or_default();
        let Some(after) = after.get(1..).and_then(|a| a.strip_prefix(' ')) else { return false };
        !word.contains('.')
            && word.len() > 1
            && !["etc", "incl", "max", "min", "vs", "approx"].contains(&word)
            && after.starts_with(|c: char| !c.is_lowercase())
    })
}

/// Cut to its budget, between two words where there are any.
fn cut(sentence: &str) -> String {
    if sentence.len() <= SENTENCE_BYTES {
        return sentence.to_owned();
    }
    let end = sentence.floor_char_boundary(SENTENCE_BYTES - MARK.len());
    let head = sentence.get(..end).unwrap_or_default();
    let head = match head.rsplit_once(' ') {
        Some((words, _)) if words.len() > SENTENCE_BYTES / 2 => words,
        _ => head,
    };
    format!("{}{MARK}", head.trim_end_matches([',', ';', ':', '.', ' ']))
}
