//! What the program's clock shows as Python's dates and times, always in UTC.

use monty_types::{MontyDate, MontyDateTime, MontyTimeZone};

use crate::time;

const DAY_SECONDS: i64 = 86_400;

/// The program's clock.
#[derive(Debug)]
pub(super) struct Clock(time::Clock);

impl Clock {
    /// A clock that shows `unix_ms` now.
    pub(super) fn new(unix_ms: u64) -> Self {
        Self(time::Clock::new(unix_ms))
    }

    /// The host tells its time.
    pub(super) fn told(&mut self, at_us: u64) {
        self.0.told(at_us);
    }

    fn micros(&mut self) -> i64 {
        i64::try_from(self.0.look_unix_us()).unwrap_or(i64::MAX)
    }

    /// The date.
    pub(super) fn today(&mut self) -> MontyDate {
        date(self.micros().div_euclid(1_000_000).div_euclid(DAY_SECONDS))
    }

    /// Date and time in a time zone; without one in UTC, naive.
    pub(super) fn now(&mut self, zone: Option<MontyTimeZone>) -> MontyDateTime {
        let shift = zone.as_ref().map_or(0, |zone| i64::from(zone.offset_seconds));
        let micros = self.micros().saturating_add(shift.saturating_mul(1_000_000));
        let seconds = micros.div_euclid(1_000_000);
        let day = date(seconds.div_euclid(DAY_SECONDS));
        let clock = seconds.rem_euclid(DAY_SECONDS);
        MontyDateTime {
            year: day.year,
            month: day.month,
            day: day.day,
            hour: byte(clock / 3_600),
            minute: byte(clock / 60 % 60),
            second: byte(clock % 60),
            microsecond: u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0),
            offset_seconds: zone.as_ref().map(|zone| zone.offset_seconds),
            timezone_name: zone.and_then(|zone| zone.name),
        }
    }
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from
/// March here, so that the leap day is the last day of a year, and in eras of 400 years.
fn date(day: i64) -> MontyDate {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    MontyDate {
        // Python's years end at 9999.
        year: i32::try_from(year.min(9_999)).unwrap_or(9_999),
        month: byte(month),
        day: byte(of_year - (153 * from_march + 2) / 5 + 1),
    }
}

fn byte(value: i64) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (ms, year, month, day) in [
            (0, 1970, 1, 1),
            (951_782_400_000, 2000, 2, 29),
            (951_868_800_000, 2000, 3, 1),
            (1_767_225_599_000, 2025, 12, 31),
            (4_107_542_400_000, 2100, 3, 1),
        ] {
            let today = Clock::new(ms).today();
            assert_eq!((today.year, today.month, today.day), (year, month, day), "{ms}");
        }
    }

    #[test]
    fn time_zones_shift() {
        let zone = MontyTimeZone { offset_seconds: -3_600, name: None };
        let now = Clock::new(1_800_000).now(Some(zone));
        assert_eq!((now.year, now.day, now.hour, now.minute), (1969, 31, 23, 30));
        assert_eq!(now.offset_seconds, Some(-3_600));
    }
}
