//! Converts SQLite's stored values to the type that their column declares. Pure.

use connector_api::{Decimal, Error, Result, SchemaType, Value};

use crate::calendar::{Calendar, DAY, SECOND, civil, gregorian_days};
use crate::dialect::read::{ReadColumn, ValueDecoding, int_value, time_value};

/// Milliseconds from Julian day 0 to 1970-01-01 00:00, which is 2,440,587.5 days later.
const EPOCH_JULIAN_MILLIS: i64 = 210_866_760_000_000;
/// Integers up to this one are exact as floats.
const EXACT_IN_F64: u64 = 1 << 53;
const DAY_MILLIS: i64 = DAY / 1000;

/// A value in its storage class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StorageValue<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PointInTime {
    /// Microseconds of a wall time, Gregorian.
    Wall(i64),
    /// Microseconds of an instant.
    Instant(i64),
}

/// Returns the double that SQLite itself would store for an integer in a column of type REAL.
#[expect(
    clippy::cast_precision_loss,
    reason = "the caller has checked the range, or its setting asks for doubles"
)]
fn nearest_double(n: i64) -> f64 {
    n as f64
}

/// Converts a value. Errors: `Record` if it does not have the type that its column declares.
pub(crate) fn value(column: &ReadColumn, stored: StorageValue<'_>) -> Result<Value> {
    if stored == StorageValue::Null {
        return if column.schema.optional {
            Ok(Value::Null)
        } else {
            Err(refused(column, stored))
        };
    }
    let read = match (&column.read, stored) {
        (ValueDecoding::Int(ty), StorageValue::Integer(n)) => int_value(n, *ty),
        (ValueDecoding::Bool, StorageValue::Integer(n @ (0 | 1))) => Some(Value::Bool(n == 1)),
        (ValueDecoding::Bool, StorageValue::Text(text)) => truth(text).map(Value::Bool),
        (ValueDecoding::F64, StorageValue::Real(n)) => Some(Value::F64(n)),
        (ValueDecoding::F64, StorageValue::Integer(n)) if n.unsigned_abs() <= EXACT_IN_F64 => {
            Some(Value::F64(nearest_double(n)))
        }
        (ValueDecoding::Text, StorageValue::Text(text)) => std::str::from_utf8(text)
            .ok()
            .map(|text| Value::Text(text.into())),
        (ValueDecoding::Text, StorageValue::Integer(n)) => {
            Some(Value::Text(itoa::Buffer::new().format(n).into()))
        }
        (ValueDecoding::Text, StorageValue::Real(n)) => Some(Value::Text(format!("{n:?}").into())),
        (ValueDecoding::Bytes, StorageValue::Blob(bytes) | StorageValue::Text(bytes)) => {
            Some(Value::Bytes(bytes.into()))
        }
        (ValueDecoding::Scaled(scale), stored) => decimal(stored)
            .and_then(|d| d.rescaled(*scale))
            .map(|d| Value::Decimal(Box::new(d))),
        (ValueDecoding::DecimalInt(ty), stored) => whole(stored).and_then(|n| int_value(n, *ty)),
        (ValueDecoding::DecimalF64, StorageValue::Real(n)) => Some(Value::F64(n)),
        (ValueDecoding::DecimalF64, StorageValue::Integer(n)) => {
            Some(Value::F64(nearest_double(n)))
        }
        (ValueDecoding::Date(calendar), stored) => date(*calendar, stored),
        (ValueDecoding::Time(zone), stored) => {
            time_of_day(stored).map(|micros| time_value(micros, zone))
        }
        (ValueDecoding::Timestamp(decoding), stored) => at(stored).map(|at| match at {
            PointInTime::Instant(micros) => decoding.of_instant(micros),
            PointInTime::Wall(wall) => {
                let days = decoding.calendar.same_date(wall.div_euclid(DAY));
                decoding.value(days * DAY + wall.rem_euclid(DAY))
            }
        }),
        _ => None,
    };
    read.ok_or_else(|| refused(column, stored))
}

/// Returns a point in time as microseconds, for comparison with bounds; consistent with the text of
/// [`super::read_types::comparable_timestamp`].
pub(crate) fn cursor_micros(stored: StorageValue<'_>) -> Option<i64> {
    // For a text with UTC offset, SQL keeps milliseconds only; for others it keeps all digits up to
    // microseconds.
    match (at(stored)?, stored) {
        (PointInTime::Instant(micros), StorageValue::Text(text))
            if !text.ends_with(b"Z") && !text.ends_with(b"z") =>
        {
            Some((micros + 500).div_euclid(1000) * 1000)
        }
        (PointInTime::Instant(micros) | PointInTime::Wall(micros), _) => Some(micros),
    }
}

fn truth(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"t" => Some(true),
        b"false" | b"f" => Some(false),
        _ => None,
    }
}

/// Returns a number's digits. Of a float, 15 are significant: the rest is rounding noise.
fn decimal(stored: StorageValue<'_>) -> Option<Decimal> {
    match stored {
        StorageValue::Integer(n) => Some(Decimal::new(i128::from(n), 0)),
        StorageValue::Real(n) if n.is_finite() => {
            Decimal::parse(&format!("{n:.14e}")).map(|d| d.stripped())
        }
        StorageValue::Text(text) => Decimal::parse(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

fn whole(stored: StorageValue<'_>) -> Option<i64> {
    match stored {
        StorageValue::Integer(n) => Some(n),
        stored => decimal(stored)?
            .rescaled(0)?
            .unscaled_i128()
            .and_then(|n| i64::try_from(n).ok()),
    }
}

fn date(calendar: Calendar, stored: StorageValue<'_>) -> Option<Value> {
    let (PointInTime::Wall(micros) | PointInTime::Instant(micros)) = at(stored)?;
    if micros.rem_euclid(DAY) != 0 {
        return None;
    }
    i32::try_from(calendar.same_date(micros.div_euclid(DAY)))
        .ok()
        .map(Value::I32)
}

/// Parses text in one of the forms of SQLite's date functions, milliseconds since 1970, or a Julian
/// day.
fn at(stored: StorageValue<'_>) -> Option<PointInTime> {
    match stored {
        StorageValue::Text(text) => parse(std::str::from_utf8(text).ok()?.trim_end()),
        StorageValue::Integer(millis) => millis.checked_mul(1000).map(PointInTime::Instant),
        // SQLite counts in milliseconds, from Julian day 0 up to the year 9999.
        StorageValue::Real(days) if (0.0..5_373_484.5).contains(&days) => {
            let millis = julian_millis(days) - EPOCH_JULIAN_MILLIS;
            Some(PointInTime::Instant(millis * 1000))
        }
        _ => None,
    }
}

/// Returns the milliseconds since Julian day 0 of a day up to the year 9999, rounded.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float has no other conversion, and 5,373,484.5 days have 4.7e14 milliseconds"
)]
fn julian_millis(days: f64) -> i64 {
    (days * 86_400_000.0 + 0.5) as i64
}

/// Parses `YYYY-MM-DD`, optionally followed by a blank or `T` and `HH:MM`, `HH:MM:SS` or
/// `HH:MM:SS.f…`, and by `Z` or `+HH:MM`.
fn parse(text: &str) -> Option<PointInTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = match date.as_bytes() {
        [y @ .., b'-', m1, m2, b'-', d1, d2] => {
            let (year, month, day) = (digits(y)?, digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
            let days = gregorian_days(i32::try_from(year).ok()?, month, day);
            // A day that its month does not have is converted back to a different one.
            (civil(days) == (i64::from(year), month, day)).then_some(days)?
        }
        _ => return None,
    };
    if rest.is_empty() {
        return Some(PointInTime::Wall(days * DAY));
    }
    let rest = rest.strip_prefix([' ', 'T'])?;
    let (clock, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest[..at].trim_end(), Some(offset_minutes(&rest[at..])?)),
        None => (rest, None),
    };
    let wall = days * DAY + clock_micros(clock)?;
    Some(offset.map_or(PointInTime::Wall(wall), |minutes| {
        PointInTime::Instant(wall - minutes * 60 * SECOND)
    }))
}

fn offset_minutes(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits_of) = text.split_at_checked(1)?;
    match digits_of.as_bytes() {
        [h1, h2, b':', m1, m2] => {
            let minutes = i64::from(digits(&[*h1, *h2])? * 60 + digits(&[*m1, *m2])?);
            Some(if sign == "-" { -minutes } else { minutes })
        }
        _ => None,
    }
}

/// Returns the microseconds of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f…`; further fractional digits are
/// truncated.
fn clock_micros(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let mut two = || {
        parts
            .next()
            .filter(|p| p.len() == 2)
            .and_then(|p| digits(p.as_bytes()))
    };
    let (hours, minutes) = (two()?, two()?);
    let seconds = if clock.len() > 5 { two()? } else { 0 };
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    if text.ends_with('.')
        || (!fraction.is_empty() && clock.len() != 8)
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds = i64::from((hours * 60 + minutes) * 60 + seconds);
    Some(seconds * SECOND + micros.parse::<i64>().ok()?)
}

/// Returns the microseconds of a time of day: text, or milliseconds.
fn time_of_day(stored: StorageValue<'_>) -> Option<i64> {
    match stored {
        StorageValue::Text(text) => clock_micros(std::str::from_utf8(text).ok()?.trim_end()),
        StorageValue::Integer(millis) if (0..=DAY_MILLIS).contains(&millis) => Some(millis * 1000),
        _ => None,
    }
}

fn digits(bytes: &[u8]) -> Option<u32> {
    let all = !bytes.is_empty() && bytes.len() <= 4 && bytes.iter().all(u8::is_ascii_digit);
    all.then(|| bytes.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
}

fn refused(column: &ReadColumn, stored: StorageValue<'_>) -> Error {
    let class = match stored {
        StorageValue::Null => "NULL",
        StorageValue::Integer(_) => "an INTEGER",
        StorageValue::Real(_) => "a REAL",
        StorageValue::Text(_) => "a TEXT",
        StorageValue::Blob(_) => "a BLOB",
    };
    let wanted = match &column.read {
        ValueDecoding::Int(SchemaType::Int64) => "a whole number".to_owned(),
        ValueDecoding::Int(ty) | ValueDecoding::DecimalInt(ty) => {
            format!("a number of {}", ty.name())
        }
        ValueDecoding::Bool => "0 or 1".to_owned(),
        ValueDecoding::F64 | ValueDecoding::DecimalF64 => {
            "a number that a float represents exactly".to_owned()
        }
        ValueDecoding::Scaled(scale) => format!("a number with {scale} decimal find_tables"),
        ValueDecoding::Text => "text in UTF-8".to_owned(),
        ValueDecoding::Date(_) => {
            "a date (YYYY-MM-DD, or milliseconds since 1970 at midnight)".to_owned()
        }
        ValueDecoding::Time(_) => "a time of day (HH:MM:SS, or milliseconds)".to_owned(),
        ValueDecoding::Timestamp(_) => {
            "a date-time (YYYY-MM-DD HH:MM:SS, milliseconds since 1970, or a Julian day)".to_owned()
        }
        _ => "bytes".to_owned(),
    };
    Error::record(format!(
        "column {} has {class}, but its declared type requires {wanted}; correct the row, or read \
         the column with a query that has CAST({} AS TEXT)",
        column.name, column.name
    ))
}

#[cfg(test)]
mod tests;
