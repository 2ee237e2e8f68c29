//! Progress as MCP wants it: a number that only ever grows.

use serde::Serialize;

/// The least that a number grows by where the program reports no growth.
const STEP: f64 = 1e-6;

/// Turns events into the parameters of `notifications/progress`.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    scale: Scale,
}

/// What the first event decided.
#[derive(Debug, Default, Clone, Copy)]
enum Scale {
    #[default]
    Unknown,
    /// Parts of a whole, the last value.
    Fraction(f64),
    /// No whole is known: events are counted.
    Count(u32),
}

/// What a client sees, but for its token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reading {
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Meter {
    pub(crate) fn read(&mut self, fraction: Option<f64>, message: String) -> Reading {
        let fraction = fraction.filter(|f| f.is_finite());
        self.scale = match (self.scale, fraction) {
            (Scale::Unknown, Some(f)) => Scale::Fraction(f.max(0.0)),
            (Scale::Unknown, None) => Scale::Count(1),
            (Scale::Fraction(last), Some(f)) if f > last => Scale::Fraction(f),
            (Scale::Fraction(last), _) => Scale::Fraction(last + STEP),
            (Scale::Count(n), _) => Scale::Count(n.saturating_add(1)),
        };
        match self.scale {
            Scale::Fraction(progress) => Reading { progress, total: Some(1.0), message },
            Scale::Count(n) => Reading { progress: f64::from(n), total: None, message },
            Scale::Unknown => Reading { progress: 0.0, total: None, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(fractions: &[Option<f64>]) -> Vec<(f64, bool)> {
        let mut meter = Meter::default();
        fractions
            .iter()
            .map(|f| meter.read(*f, String::new()))
            .map(|r| (r.progress, r.total.is_some()))
            .collect()
    }

    #[test]
    fn it_only_ever_grows() {
        let cases: [&[Option<f64>]; 4] = [
            &[Some(0.1), Some(0.5), Some(0.2), None, Some(0.9), Some(0.9)],
            &[None, Some(0.5), None, Some(0.1)],
            &[Some(-3.0), Some(0.0), Some(f64::NAN), Some(1.0), Some(1.0)],
            &[Some(f64::INFINITY), None],
        ];
        for case in cases {
            let numbers = numbers(case);
            for pair in numbers.windows(2) {
                assert!(pair[0].0 < pair[1].0, "{case:?}: {numbers:?}");
                assert_eq!(pair[0].1, pair[1].1, "one scale to the end");
            }
        }
    }

    #[test]
    fn a_fraction_is_passed_on_as_it_is() {
        assert_eq!(numbers(&[Some(0.25), Some(0.75)]), [(0.25, true), (0.75, true)]);
    }
}
