//! Formats points in time as SQL texts: dates, times of day, date-times.
//!
//! Days are counted from 1970-01-01. Before 15 October 1582 they may be written in the Julian
//! calendar, like Java's `GregorianCalendar`, because Kafka Connect's JDBC sinks do so.

use connector_api::text::append;

use connector_api::calendar;

use crate::dialect::logical_type::{INFINITE, INFINITE_MILLIS};
use crate::sink::config::TimeRules;

const DAY_SECONDS: i64 = 86_400;

impl TimeRules {
    /// Formats a day as `yyyy-MM-dd`. Unless dates are in UTC, it is the zone's day at midnight
    /// UTC.
    pub fn date(&self, days: i64) -> String {
        if let Some(word) = infinite_day(days) {
            return word.to_owned();
        }
        let offset = if self.date_in_utc {
            0
        } else {
            self.zone.offset_at(days.saturating_mul(DAY_SECONDS))
        };
        let mut out = String::with_capacity(10);
        write_date(days + offset.div_euclid(DAY_SECONDS), self.julian, &mut out);
        out
    }

    /// Formats milliseconds of the day in UTC as `HH:mm:ss.SSS`, in the zone as of 1970-01-01.
    pub fn time(&self, millis: i64) -> String {
        let local = millis + self.zone.offset_at(millis.div_euclid(1000)) * 1000;
        let mut out = String::with_capacity(12);
        write_time(local.rem_euclid(DAY_SECONDS * 1000), 1000, &mut out);
        out
    }

    /// Formats an instant in units of `1/per_second` seconds as `yyyy-MM-dd HH:mm:ss.SSS…`, with
    /// all digits.
    pub fn timestamp(&self, instant: i64, per_second: i64) -> String {
        self.shown(instant, per_second, self.julian)
    }

    /// Like [`Self::timestamp`], in the calendar of ISO 8601, which texts use.
    pub fn wall(&self, instant: i64, per_second: i64) -> String {
        self.shown(instant, per_second, false)
    }

    fn shown(&self, instant: i64, per_second: i64, julian: bool) -> String {
        if let Some(word) = infinite_instant(instant) {
            return word.to_owned();
        }
        let seconds = instant.div_euclid(per_second);
        let local = seconds.saturating_add(self.zone.offset_at(seconds));
        let mut out = String::with_capacity(29);
        write_date(local.div_euclid(DAY_SECONDS), julian, &mut out);
        out.push(' ');
        let of_day = local.rem_euclid(DAY_SECONDS) * per_second + instant.rem_euclid(per_second);
        write_time(of_day, per_second, &mut out);
        out
    }
}

/// Returns PostgreSQL's word for the first or last day that 32 bits have: its `infinity` as a date.
fn infinite_day(days: i64) -> Option<&'static str> {
    match i32::try_from(days) {
        Ok(i32::MAX) => Some(INFINITE.0),
        Ok(i32::MIN) => Some(INFINITE.1),
        _ => None,
    }
}

/// Returns PostgreSQL's word for an instant that means its `infinity`, in any unit.
pub(crate) fn infinite_instant(instant: i64) -> Option<&'static str> {
    match instant {
        i64::MAX => Some(INFINITE.0),
        i64::MIN => Some(INFINITE.1),
        _ if instant == INFINITE_MILLIS.0 => Some(INFINITE.0),
        _ if instant == INFINITE_MILLIS.1 => Some(INFINITE.1),
        _ => None,
    }
}

/// True for the words of [`infinite_instant`].
pub(crate) fn is_infinite(text: &str) -> bool {
    let text = text.trim();
    [INFINITE.0, INFINITE.1]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

fn write_date(days: i64, julian: bool, out: &mut String) {
    let (year, month, day) = if julian && days < calendar::CUTOVER {
        calendar::julian(days)
    } else {
        calendar::gregorian(days)
    };
    if !(0..=9999).contains(&year) {
        return append(out, format_args!("{year:04}-{month:02}-{day:02}"));
    }
    push_two(year / 100, out);
    push_two(year % 100, out);
    out.push('-');
    push_two(month, out);
    out.push('-');
    push_two(day, out);
}

/// Appends a number below 100 as two digits; `format_args!` takes several times as long.
fn push_two(number: i64, out: &mut String) {
    for digit in [number / 10, number % 10] {
        out.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
    }
}

/// Appends `HH:mm:ss` and the digits of the fraction. `per_second` is a power of ten.
fn write_time(units: i64, per_second: i64, out: &mut String) {
    let (seconds, fraction) = (units / per_second, units % per_second);
    let digits = per_second.ilog10() as usize;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_two(hours, out);
    out.push(':');
    push_two(minutes, out);
    out.push(':');
    push_two(seconds, out);
    out.push('.');
    let mut buffer = itoa::Buffer::new();
    let fraction = buffer.format(fraction);
    out.extend(std::iter::repeat_n(
        '0',
        digits.saturating_sub(fraction.len()),
    ));
    out.push_str(fraction);
}

/// Parses an ISO 8601 date-time in UTC or with an offset to units of `1/per_second` seconds
/// (milliseconds, microseconds or nanoseconds); `None` if it is invalid or out of range.
pub(crate) fn parse_instant(text: &str, per_second: i64) -> Option<i64> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let at = zoned.or_else(|| {
        let local = text.parse::<jiff::civil::DateTime>().ok()?;
        local
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|z| z.timestamp())
    })?;
    i64::try_from(at.as_nanosecond() / i128::from(1_000_000_000 / per_second)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{TimeRules, parse_instant};
    use crate::zone::JdbcTimeZone;

    fn rules(zone: &str, julian: bool) -> TimeRules {
        TimeRules {
            zone: JdbcTimeZone::named(zone).unwrap(),
            julian,
            date_in_utc: false,
            fields: HashSet::new(),
            units_per_second: 1_000_000,
        }
    }

    #[test]
    fn days_are_shown_in_both_calendars() {
        let (legacy, iso) = (rules("UTC", true), rules("UTC", false));
        for (days, want_legacy, want_iso) in [
            (0, "1970-01-01", "1970-01-01"),
            (-1, "1969-12-31", "1969-12-31"),
            (11_016, "2000-02-29", "2000-02-29"),
            (2_932_896, "9999-12-31", "9999-12-31"),
            (-141_427, "1582-10-15", "1582-10-15"),
            (-141_428, "1582-10-04", "1582-10-14"),
            (-150_000, "1559-04-16", "1559-04-26"),
            (-354_285, "0999-12-27", "1000-01-01"),
            (-247_205, "1293-02-26", "1293-03-05"),
            (-171_596, "1500-02-29", "1500-03-10"),
        ] {
            assert_eq!(
                (legacy.date(days).as_str(), iso.date(days).as_str()),
                (want_legacy, want_iso)
            );
        }
    }

    #[test]
    fn instants_are_shown_in_the_zone() {
        let (tokyo, new_york) = (rules("Asia/Tokyo", true), rules("America/New_York", true));
        assert_eq!(
            tokyo.timestamp(1_700_000_000_123, 1000),
            "2023-11-15 07:13:20.123"
        );
        assert_eq!(
            new_york.timestamp(1_700_000_000_123, 1000),
            "2023-11-14 17:13:20.123"
        );
        assert_eq!(tokyo.time(3_600_000), "10:00:00.000");
        assert_eq!(new_york.time(3_600_000), "20:00:00.000");
        let in_utc = TimeRules {
            date_in_utc: true,
            ..new_york.clone()
        };
        assert_eq!(
            (new_york.date(0).as_str(), in_utc.date(0).as_str()),
            ("1969-12-31", "1970-01-01")
        );
        let utc = rules("UTC", true);
        assert_eq!(utc.timestamp(-1, 1000), "1969-12-31 23:59:59.999");
        assert_eq!(
            utc.timestamp(1_700_000_000_123_456, 1_000_000),
            "2023-11-14 22:13:20.123456"
        );
        assert_eq!(utc.time(86_399_999), "23:59:59.999");
    }

    #[test]
    fn texts_with_offsets_are_instants() {
        let micros = |text| parse_instant(text, 1_000_000);
        assert_eq!(
            micros("2023-11-14T22:13:20.123456Z"),
            Some(1_700_000_000_123_456)
        );
        assert_eq!(
            micros("2023-11-15T07:13:20+09:00"),
            Some(1_700_000_000_000_000)
        );
        assert_eq!(micros("2023-11-14 22:13:20"), Some(1_700_000_000_000_000));
        assert_eq!(micros("yesterday"), None);
    }
}
