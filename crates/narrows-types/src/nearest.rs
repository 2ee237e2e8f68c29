//! The name that somebody may have meant: the one measure behind every "did you mean".

/// Characters of a name that are compared.
const CHARS_MAX: usize = 64;

/// The candidates nearest to what was written, best first, at most `count`; those too far away are
/// left out. Case and separators do not count; two letters that changed places are one slip.
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    count: usize,
) -> Vec<&'a str> {
    let key = fold(written);
    let mut scored: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| Some((far(&key, &fold(candidate))?, candidate)))
        .collect();
    scored.sort_unstable();
    scored.truncate(count);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How far two folded names are apart, if they are near enough to be meant for each other.
fn far(key: &str, other: &str) -> Option<usize> {
    let edits = strsim::osa_distance(key, other);
    let allowed = key.len().max(other.len()) * 2 / 5;
    if edits <= allowed && !key.is_empty() && edits < other.len() {
        return Some(edits);
    }
    let part = |long: &str, short: &str| short.len() >= 3 && long.contains(short);
    let start = key.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let alike = start >= 4 && start * 3 >= key.len().min(other.len()) * 2;
    (part(key, other) || part(other, key) || alike).then_some(allowed + 1)
}

/// Lower case, without separators, bounded.
fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .take(CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let tools = ["list_issues", "create_issue", "get_me", "read"];
        assert_eq!(nearest("list_isues", tools, 1), ["list_issues"]);
        assert_eq!(nearest("listIssues", tools, 1), ["list_issues"]);
        assert_eq!(nearest("raed", tools, 1), ["read"]);
        assert_eq!(nearest("queries", ["query", "limit"], 1), ["query"]);
        assert!(nearest("completely_different_thing", tools, 1).is_empty());
        assert!(nearest("", tools, 1).is_empty());
        assert!(nearest("weather", ["github", "files", "time"], 1).is_empty());
    }
}
