//! The name that somebody may have meant.

/// Characters of names that are compared.
const CHARS_MAX: usize = 64;

/// The name that differs least from `name`, if it differs little.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(CHARS_MAX).collect();
    names
        .map(|other| (distance(&wanted, other), other))
        .min()
        .filter(|(distance, _)| *distance <= (wanted.len() / 3).max(1))
        .map(|(_, other)| other.to_owned())
}

/// Insertions, deletions and exchanges of characters between two names.
fn distance(one: &[char], two: &str) -> usize {
    let mut row: Vec<usize> = (0..=one.len()).collect();
    for (above, b) in two.to_lowercase().chars().take(CHARS_MAX).enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, a) in row.iter_mut().skip(1).zip(one) {
            let exchanged = diagonal + usize::from(*a != b);
            diagonal = *cell;
            left = exchanged.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_what_was_meant() {
        let names = ["github", "files", "time"];
        assert_eq!(nearest("gihtub", names.into_iter()).as_deref(), Some("github"));
        assert_eq!(nearest("Files", names.into_iter()).as_deref(), Some("files"));
        assert_eq!(nearest("weather", names.into_iter()), None);
        assert_eq!(nearest("", names.into_iter()), None);
    }
}
