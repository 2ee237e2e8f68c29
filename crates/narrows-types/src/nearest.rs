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
    let key = Folded::new(written);
    let mut scored: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| Some((far(&key, &Folded::new(candidate))?, candidate)))
        .collect();
    scored.sort_unstable();
    scored.truncate(count);
    scored.into_iter().map(|(_, candidate)| candidate).collect()
}

/// How far two names are apart, if they are near enough to be meant for each other.
fn far(key: &Folded, other: &Folded) -> Option<usize> {
    let (key_text, other_text) = (key.text.as_str(), other.text.as_str());
    let allowed = key_text.len().max(other_text.len()) * 2 / 5;
    let most = allowed.min(other_text.len().saturating_sub(1));
    // The distance costs the product of the lengths; most names are plainly too far away.
    if !key_text.is_empty() && key.apart(other) <= most {
        let edits = strsim::osa_distance(key_text, other_text);
        if edits <= most {
            return Some(edits);
        }
    }
    let part = |long: &str, short: &str| short.len() >= 3 && long.contains(short);
    let start = key_text.chars().zip(other_text.chars()).take_while(|(a, b)| a == b).count();
    let alike = start >= 4 && start * 3 >= key_text.len().min(other_text.len()) * 2;
    (part(key_text, other_text) || part(other_text, key_text) || alike).then_some(allowed + 1)
}

/// A name in lower case, without separators, bounded.
struct Folded {
    text: String,
    chars: usize,
    /// A bit for each character that it has; some share one.
    letters: u64,
}

impl Folded {
    fn new(name: &str) -> Self {
        let mut folded = Self { text: String::new(), chars: 0, letters: 0 };
        let chars = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
        for c in chars.take(CHARS_MAX) {
            folded.text.push(c);
            folded.chars += 1;
            folded.letters |= 1 << (u32::from(c) % u64::BITS);
        }
        folded
    }

    /// Slips that there are at least: each changes the length by one at most, and brings in or
    /// takes away one character.
    fn apart(&self, other: &Self) -> usize {
        let only = |a: u64, b: u64| (a & !b).count_ones() as usize;
        let letters = only(self.letters, other.letters).max(only(other.letters, self.letters));
        letters.max(self.chars.abs_diff(other.chars))
    }
}

#[cfg(test)]
mod tests {
    use super::{Folded, nearest};
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn what_is_left_out_early_is_never_near(a in "[a-dé_Z0]{0,12}", b in "[a-dé_Z0]{0,12}") {
            let (a, b) = (Folded::new(&a), Folded::new(&b));
            prop_assert!(a.apart(&b) <= strsim::osa_distance(&a.text, &b.text));
        }
    }

    #[test]
    fn names_that_share_nothing_are_left_out_early() {
        assert_eq!(Folded::new("list_issues").apart(&Folded::new("zzz")), 7);
        assert_eq!(Folded::new("listIssues").apart(&Folded::new("list_issues")), 0);
    }
}
