//! Patterns of paths: `*` and `?` within a name, `**` over folders. Time is bounded by the product
//! of the lengths, whatever the pattern.

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 512;

/// A pattern.
#[derive(Debug)]
pub(super) struct Glob {
    segments: Vec<Vec<char>>,
    /// Without a slash it is about the name alone.
    name_only: bool,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX || pattern.is_empty() {
            return Err(format!("a pattern has 1 to {PATTERN_BYTES_MAX} bytes"));
        }
        let trimmed = pattern.trim_start_matches("./").trim_matches('/');
        let segments = trimmed.split('/').map(|s| s.chars().collect()).collect();
        Ok(Self { segments, name_only: !trimmed.contains('/') })
    }

    /// Whether a path, relative to where the search starts, matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        let names: Vec<Vec<char>> = path.split('/').map(|s| s.chars().collect()).collect();
        if self.name_only {
            let (Some(pattern), Some(name)) = (self.segments.first(), names.last()) else {
                return false;
            };
            return alike(pattern, name, &'*', |p, c| *p == '?' || p == c);
        }
        let star_star = vec!['*', '*'];
        alike(&self.segments, &names, &star_star, |pattern, name| {
            alike(pattern, name, &'*', |p, c| *p == '?' || p == c)
        })
    }
}

/// Wildcard matching: `star` in the pattern stands for any run of items. Going back to the last
/// star alone is enough, since an earlier one could only have taken what the last can.
fn alike<T: PartialEq>(
    pattern: &[T],
    items: &[T],
    star: &T,
    same: impl Fn(&T, &T) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = items.get(i) {
        match pattern.get(p) {
            Some(token) if token == star => {
                back = Some((p, i));
                p += 1;
            }
            Some(token) if same(token, item) => {
                p += 1;
                i += 1;
            }
            _ => {
                let Some((star_at, taken)) = back else { return false };
                back = Some((star_at, taken + 1));
                p = star_at + 1;
                i = taken + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|token| token == star))
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, path, expected) in [
            ("*.rs", "src/main.rs", true),
            ("*.rs", "src/main.rsx", false),
            ("main.?s", "a/b/main.rs", true),
            ("src/*.rs", "src/main.rs", true),
            ("src/*.rs", "src/a/main.rs", false),
            ("src/**/*.rs", "src/a/b/main.rs", true),
            ("src/**/*.rs", "src/main.rs", true),
            ("**/test/**", "a/test/b/c", true),
            ("**/test/**", "a/tests/b/c", false),
            ("./src/*", "src/x", true),
            ("*", "x", true),
            ("a*b*c", "aXbYbZc", true),
            ("\u{e4}*", "\u{e4}pfel", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
        assert!(Glob::new("").is_err());
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let glob = Glob::new(&"*a".repeat(250)).unwrap();
        assert!(!glob.matches(&"aaab".repeat(1_000)));
    }
}
