//! One entry put into or replaced in a YAML file, all else left as it is, comments too.
//!
//! Only the plain shape that clients write is edited: a top-level key with an indented block. The
//! caller compares the outcome with what it should be, so an unusual file is refused, never broken.

/// The text with the lines of `block` (unindented) as an entry of the top-level key `container`.
/// `first` is how the entry's first line begins, by which an older one is found.
pub(super) fn put(text: &str, container: &str, first: &str, block: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let head = format!("{container}:");
    let found = lines.iter().position(|l| {
        l.strip_prefix(&head).is_some_and(|rest| {
            let rest = rest.trim();
            rest.is_empty() || rest.starts_with('#') || matches!(rest, "{}" | "[]" | "null" | "~")
        })
    });
    let Some(at) = found else {
        lines.push(head);
        lines.extend(block.iter().map(|l| format!("  {l}")));
        return lines.join("\n") + "\n";
    };
    if let Some(line) = lines.get_mut(at)
        && !line.contains('#')
    {
        line.clone_from(&head);
    }
    let is_blank = |l: &String| l.trim().is_empty() || l.trim_start().starts_with('#');
    let depth = |l: &String| l.chars().take_while(|c| *c == ' ').count();
    let belongs =
        |l: &String, min: usize| is_blank(l) || depth(l) > min || (min == 0 && l.starts_with("- "));
    let inside = lines.iter().skip(at + 1).take_while(|l| belongs(l, 0)).count();
    let body = lines.get(at + 1..at + 1 + inside).unwrap_or_default().to_vec();
    let indent = body.iter().find(|l| !is_blank(l)).map_or(2, depth);
    let pad = " ".repeat(indent);
    let block: Vec<String> = block.iter().map(|l| format!("{pad}{l}")).collect();
    let old = body.iter().position(|l| {
        depth(l) == indent
            && l.trim_start().strip_prefix(first).is_some_and(|r| r.trim().is_empty())
    });
    let blanks = |tail: &[String]| tail.iter().rev().take_while(|l| is_blank(l)).count();
    let (from, to) = if let Some(start) = old {
        let more = body.get(start + 1..).unwrap_or_default();
        let own = more.iter().take_while(|l| is_blank(l) || depth(l) > indent).count();
        let own = own - blanks(more.get(..own).unwrap_or_default());
        (start, start + 1 + own)
    } else {
        let end = body.len() - blanks(&body);
        (end, end)
    };
    lines.splice(at + 1 + from..at + 1 + to, block);
    lines.join("\n") + "\n"
}

/// Text as YAML writes it in any place.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
