//! Orders of a year, the same ones each time.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

const REGIONS: [&str; 6] = ["north", "south", "east", "west", "islands", "online"];
const PRODUCTS: [&str; 5] = ["lamp", "chair", "desk", "shelf", "rug"];
const ORDERS_PER_MONTH: u64 = 200;

/// Writes twelve files and gives their names.
pub(super) fn write(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for month in 1..=12 {
        let name = format!("orders-2026-{month:02}.csv");
        fs::write(folder.join(&name), orders(month))?;
        names.push(name);
    }
    Ok(names)
}

fn orders(month: u64) -> String {
    let mut text = "date,region,product,pieces,price\n".to_owned();
    let mut state = month.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for order in 0..ORDERS_PER_MONTH {
        let region = pick(&REGIONS, &mut state);
        let product = pick(&PRODUCTS, &mut state);
        let (pieces, cents) = (next(&mut state) % 9 + 1, next(&mut state) % 20_000 + 500);
        let day = order * 28 / ORDERS_PER_MONTH + 1;
        let (whole, part) = (cents / 100, cents % 100);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "2026-{month:02}-{day:02},{region},{product},{pieces},{whole}.{part:02}"
        );
    }
    text
}

fn pick<'a>(from: &[&'a str], state: &mut u64) -> &'a str {
    let n = usize::try_from(next(state)).unwrap_or_default();
    from.get(n % from.len()).copied().unwrap_or_default()
}

/// Numbers that look random: the linear congruential generator of Knuth's MMIX.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_orders_are_always_the_same() {
        let text = super::orders(3);
        assert_eq!(text, super::orders(3));
        assert_eq!(text.lines().count(), 201);
        assert!(
            text.lines().skip(1).all(|l| l.split(',').count() == 5 && l.starts_with("2026-03-"))
        );
    }
}
