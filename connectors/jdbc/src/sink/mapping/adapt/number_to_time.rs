//! Finds the unit of a number without a schema in a date or time column. Pure.
//!
//! JsonConverter writes Connect's Date, Time and Timestamp as days and milliseconds, so other
//! producers' numbers are read as those. Debezium counts milliseconds or microseconds, depending on
//! the digits of the source's column, which the record does not show. The two are distinguished by
//! magnitude: a usual date in one unit is far from any usual date in the other. Numbers that fit
//! both are rejected.

use std::ops::RangeInclusive;
use std::sync::Arc;

use connector_api::{Schema, SchemaType, Value};

use super::debezium::{self, DebeziumType, MICROS, MILLIS};
use crate::catalog::ColumnMeta;
use crate::dialect::logical_type::{DATE, DATE_TIME, TIME};
use crate::dialect::read::ValueDecoding;
use crate::sink::config::TimeRules;

/// Days of the years 1 to 9999.
const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;
/// Milliseconds of the years 1 to 9999.
const MOMENTS: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
/// Seconds of the years 1973 to 2106; as milliseconds they are all in the first weeks of 1970.
const SECONDS: RangeInclusive<i64> = 100_000_000..=4_294_967_295;
/// Milliseconds of the same years, and of as many before 1970; as microseconds they are all within
/// weeks of 1970.
const CLEAR_MILLIS: RangeInclusive<u64> = 100_000_000_000..=4_294_967_295_999;
const DAY_MILLIS: i64 = 86_400_000;
/// Microseconds of 838:59:59, MariaDB's longest TIME.
const LONGEST: u64 = 3_020_399_000_000;
/// Most digits of a fractional second that Debezium counts in milliseconds.
const MILLI_DIGITS: u32 = 3;
/// Digits assumed for a column that does not declare any.
const USUAL_DIGITS: u32 = 6;

const NO_DAYS: &str = "a JSON number in a date column counts the days since 1970-01-01, and this number is outside \
     the years 1 to 9999; timestamp.fields.list names fields that count microseconds (nanoseconds \
     with timestamp.precision.mode); the transform TimestampConverter converts other units \
     (unix.precision)";
const NO_TIME: &str = "a JSON number in a time column counts milliseconds, and this number is longer than a day; \
     send it as text (HH:MM:SS), or with a schema";
const NO_MOMENT: &str = "a JSON number in a date-time column counts milliseconds since 1970-01-01, and this number has \
     another unit: as milliseconds it would be in the first weeks of 1970 or outside the years 1 \
     to 9999; timestamp.fields.list names fields that count microseconds (nanoseconds with \
     timestamp.precision.mode); the transform TimestampConverter converts other units to \
     milliseconds (unix.precision); debezium.types=true accepts Debezium's numbers";
const UNCLEAR: &str = "Debezium counts milliseconds or microseconds, depending on the digits of the source's column, \
     and without a schema the number does not show which; timestamp.fields.list names fields that \
     count microseconds; the source's time.precision.mode=isostring writes texts; with schemas \
     (value.converter.schemas.enable=true on both sides) the unit is known";

/// Converts a number to the value of a date or time column, with its schema. `debezium`: the record
/// is Debezium's.
/// Errors: why it is rejected, with the key that helps.
pub(super) fn number_to_time(
    (column, read): (&ColumnMeta, &ValueDecoding),
    n: i64,
    debezium: bool,
    time: &TimeRules,
) -> Result<(Schema, Value), &'static str> {
    let by_debezium = |meaning, name: &str, why| {
        let schema = Schema {
            name: Some(Arc::from(name)),
            ..Schema::of(SchemaType::String)
        };
        debezium::text(meaning, &Value::I64(n), time)
            .map(|text| (schema, text))
            .ok_or(why)
    };
    let is_fine = column.fraction.unwrap_or(USUAL_DIGITS) > MILLI_DIGITS;
    match read {
        ValueDecoding::Date(_) if !DAYS.contains(&n) => Err(NO_DAYS),
        ValueDecoding::Date(_) if debezium => by_debezium(DebeziumType::Day, DATE, NO_DAYS),
        ValueDecoding::Date(_) => i32::try_from(n)
            .map(|days| (Schema::date(), Value::I32(days)))
            .map_err(|_| NO_DAYS),
        ValueDecoding::Time(_) if debezium => by_debezium(
            DebeziumType::OfDay(of_day(n).ok_or(UNCLEAR)?),
            TIME,
            UNCLEAR,
        ),
        ValueDecoding::Time(_) if !(0..DAY_MILLIS).contains(&n) => Err(NO_TIME),
        ValueDecoding::Time(_) => i32::try_from(n)
            .map(|millis| (Schema::time(), Value::I32(millis)))
            .map_err(|_| NO_TIME),
        _ if debezium => by_debezium(
            DebeziumType::Local(moment(n, is_fine).ok_or(UNCLEAR)?),
            DATE_TIME,
            UNCLEAR,
        ),
        _ if MOMENTS.contains(&n) && !SECONDS.contains(&n) => {
            Ok((Schema::timestamp(), Value::I64(n)))
        }
        _ => Err(NO_MOMENT),
    }
}

/// Returns the units per second of Debezium's time of day: microseconds, or `None` if the number
/// does not show the unit.
fn of_day(n: i64) -> Option<i64> {
    let clear = n == 0 || (DAY_MILLIS.unsigned_abs()..=LONGEST).contains(&n.unsigned_abs());
    clear.then_some(MICROS)
}

/// Returns the units per second of Debezium's date and time. `is_fine`: the column keeps more
/// digits than milliseconds have.
fn moment(n: i64, is_fine: bool) -> Option<i64> {
    match n {
        0 => Some(MILLIS),
        n if !is_fine => MOMENTS.contains(&n).then_some(MILLIS),
        n if CLEAR_MILLIS.contains(&n.unsigned_abs()) => Some(MILLIS),
        n if MOMENTS.contains(&n) => None,
        n => MOMENTS
            .contains(&n.div_euclid(MICROS / MILLIS))
            .then_some(MICROS),
    }
}

#[cfg(test)]
mod tests {
    use super::{MICROS, MILLIS, moment, of_day};

    #[test]
    fn units_are_distinguished_where_possible() {
        for (n, fine, want) in [
            (1_700_000_000_123, false, Some(MILLIS)),
            (1_700_000_000_123, true, Some(MILLIS)),
            (-1_700_000_000_123, true, Some(MILLIS)),
            (1_700_000_000_123_456, true, Some(MICROS)),
            (-1_700_000_000_123_456, true, Some(MICROS)),
            // a column of milliseconds holds no microseconds
            (1_700_000_000_123_456, false, None),
            // 9999-12-31, or 1978
            (253_402_300_799_000, false, Some(MILLIS)),
            (253_402_300_799_000, true, None),
            (253_402_300_799_000_000, true, Some(MICROS)),
            (1_700_000_000_123_456_789, true, None),
            (1_000, true, None),
            (1_000, false, Some(MILLIS)),
            (0, true, Some(MILLIS)),
        ] {
            assert_eq!(moment(n, fine), want, "{n} {fine}");
        }
        for (n, want) in [
            (0, Some(MICROS)),
            (3_600_000_000, Some(MICROS)),
            (3_600_000, None),
            (1, None),
        ] {
            assert_eq!(of_day(n), want, "{n}");
        }
    }
}
