//! Patterns of the config that name tools and clients.

/// Whether a name fits a pattern, in which `*` stands for any characters.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_name_things() {
        for (pattern, name, expected) in [
            ("get_*", "get_issue", true),
            ("get_*", "forget_issue", false),
            ("*", "anything", true),
            ("*", "", true),
            ("list", "list", true),
            ("list", "lists", false),
            ("*_issue*", "get_issues", true),
            ("a*c", "abc", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
