//! Days and wall-clock times as numbers. Pure.
//!
//! A *wall time* is microseconds since 1970-01-01 00:00:00 on a clock's face, regardless of its
//! zone; an *instant* is microseconds since 1970-01-01 00:00:00 UTC.

use connector_api::calendar;
use connector_api::text::append;

/// Microseconds per second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds per day.
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// The calendar of old dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Julian before 1582-10-15, Gregorian from then on, like `java.util.GregorianCalendar`.
    Legacy,
    /// Gregorian for all time (ISO 8601).
    Proleptic,
}

impl Calendar {
    /// Returns the days since 1970-01-01. The date need not exist: days beyond the end of a month
    /// count on into the next.
    pub fn days(self, year: i32, month: u32, day: u32) -> i64 {
        if self == Self::Legacy && (year, month, day) < (1582, 10, 15) {
            calendar::julian_day(i64::from(year), i64::from(month), i64::from(day))
        } else {
            gregorian_days(year, month, day)
        }
    }

    /// Returns the days of the date that has that number of days in the Gregorian calendar.
    pub fn same_date(self, days: i64) -> i64 {
        match self {
            Self::Proleptic => days,
            Self::Legacy => {
                let (year, month, day) = civil(days);
                i32::try_from(year).map_or(days, |year| self.days(year, month, day))
            }
        }
    }
}

/// Returns the days since 1970-01-01 in the Gregorian calendar.
pub(crate) fn gregorian_days(year: i32, month: u32, day: u32) -> i64 {
    calendar::gregorian_day(i64::from(year), i64::from(month), i64::from(day))
}

/// Returns year, month and day of a number of days since 1970-01-01, Gregorian.
pub(crate) fn civil(days: i64) -> (i64, u32, u32) {
    let (year, month, day) = calendar::gregorian(days);
    let small = |n: i64| u32::try_from(n).unwrap_or(1);
    (year, small(month), small(day))
}

/// Formats `2024-01-02{separator}03:04:05.678901`, with that many fractional digits (0, 6 or 9).
pub(crate) fn wall_text(wall: i64, separator: char, digits: u8) -> String {
    let (year, month, day) = civil(wall.div_euclid(DAY));
    let (seconds, micros) = (wall.rem_euclid(DAY) / SECOND, wall.rem_euclid(SECOND));
    let mut out = String::with_capacity(29);
    append(
        &mut out,
        format_args!("{year:04}-{month:02}-{day:02}{separator}"),
    );
    append(
        &mut out,
        format_args!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    );
    if digits > 0 {
        append(&mut out, format_args!(".{micros:06}"));
    }
    if digits > 6 {
        out.push_str("000");
    }
    out
}

/// Formats a span of time as SQL does: `-838:59:59`, with six more digits if there is a fraction.
pub(crate) fn span_text(micros: i64) -> String {
    let (sign, span) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, micros) = (span / SECOND.unsigned_abs(), span % SECOND.unsigned_abs());
    let mut out = format!(
        "{sign}{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if micros != 0 {
        append(&mut out, format_args!(".{micros:06}"));
    }
    out
}

/// Parses `2024-01-02`, optionally with `03:04:05` and a fraction, as servers write it. Gregorian.
pub(crate) fn parse_wall(text: &str) -> Option<i64> {
    let (date, time) = text
        .trim()
        .split_once([' ', 'T'])
        .unwrap_or((text.trim(), "00:00:00"));
    let mut parts = date.splitn(3, '-');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let days = gregorian_days(i32::try_from(number()?).ok()?, number()?, number()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.splitn(3, ':');
    let mut number = || parts.next().map_or(Some(0), |p| p.parse::<i64>().ok());
    let seconds = (number()? * 60 + number()?) * 60 + number()?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some(days * DAY + seconds * SECOND + digits.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::{Calendar, civil, parse_wall, wall_text};

    #[test]
    fn old_dates_differ_between_the_calendars() {
        for (date, legacy, proleptic) in [
            ((1970, 1, 1), 0, 0),
            ((9999, 12, 31), 2_932_896, 2_932_896),
            ((1582, 10, 15), -141_427, -141_427),
            ((1582, 10, 4), -141_428, -141_438),
            ((1000, 1, 1), -354_280, -354_285),
            ((1, 1, 1), -719_164, -719_162),
            ((0, 1, 1), -719_530, -719_528),
        ] {
            let (y, m, d) = date;
            assert_eq!(Calendar::Legacy.days(y, m, d), legacy, "{date:?}");
            assert_eq!(Calendar::Proleptic.days(y, m, d), proleptic, "{date:?}");
            assert_eq!(civil(proleptic), (i64::from(y), m, d));
        }
    }

    #[test]
    fn wall_times_come_back_from_their_text() {
        for text in [
            "2024-02-29 12:34:56.789012",
            "1969-12-31 23:59:59.999999",
            "0001-01-01 00:00:00.000000",
        ] {
            assert_eq!(wall_text(parse_wall(text).unwrap(), ' ', 6), text);
        }
        assert_eq!(wall_text(1, 'T', 9), "1970-01-01T00:00:00.000001000");
        assert_eq!(parse_wall("2024-01-01"), parse_wall("2024-01-01T00:00"));
        assert_eq!(parse_wall("soon"), None);
    }
}
