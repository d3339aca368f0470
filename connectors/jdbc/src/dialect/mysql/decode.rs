//! Decodes the binary protocol's bytes of a column. Pure.

use connector_api::{Decimal, Error, Result, SchemaType, Value};

use super::wire_format::{WireDateTime, WireTime};
use crate::calendar::{DAY, SECOND, gregorian_days};
use crate::dialect::decode::{altered, digits, utf8};
use crate::dialect::read::{ReadColumn, TimestampDecoding, ValueDecoding, int_value, time_value};

/// Encoding of a result column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFormat {
    Int,
    UnsignedInt,
    F32,
    F64,
    /// Length-prefixed, the prefix removed: text, bytes, decimals, bits.
    Bytes,
    Date,
    DateTime,
    Time,
}

/// Decodes a value that is not NULL. One that its column's type cannot hold is decoded as
/// [`ReadColumn::holds`] describes.
/// Errors: `Record` for a value that the field cannot hold; `Retry` when the column's type is not
/// the expected one because the table was altered meanwhile.
pub(crate) fn value(column: &ReadColumn, wire: WireFormat, bytes: &[u8]) -> Result<Value> {
    match (&column.read, wire) {
        (ValueDecoding::Int(ty), _) => integer(column, *ty, wire, bytes),
        (ValueDecoding::Decimal | ValueDecoding::DecimalInt(_) | ValueDecoding::DecimalF64, _) => {
            decimal_value(column, wire, bytes)
        }
        (ValueDecoding::F32 | ValueDecoding::F64, _) => float(column, wire, bytes),
        (ValueDecoding::Text, WireFormat::Bytes) => utf8(column, bytes),
        (ValueDecoding::Text, WireFormat::UnsignedInt) => {
            Ok(Value::Text(unsigned(bytes).to_string().into()))
        }
        (ValueDecoding::Bytes, WireFormat::Bytes) => Ok(Value::Bytes(bytes.into())),
        (ValueDecoding::BitInt, WireFormat::Bytes) => Ok(bit(bytes)),
        (ValueDecoding::Bool, WireFormat::Bytes) => {
            Ok(Value::Bool(bytes.iter().any(|byte| *byte != 0)))
        }
        (ValueDecoding::Bool, WireFormat::Int | WireFormat::UnsignedInt) => {
            Ok(Value::Bool(unsigned(bytes) != 0))
        }
        (
            ValueDecoding::Date(_)
            | ValueDecoding::Timestamp(_)
            | ValueDecoding::Time(_)
            | ValueDecoding::YearDate(..),
            _,
        ) => temporal(column, wire, bytes),
        _ => Err(altered(column)),
    }
}

fn integer(column: &ReadColumn, ty: SchemaType, wire: WireFormat, bytes: &[u8]) -> Result<Value> {
    let n = match wire {
        WireFormat::Int => Some(signed(bytes)),
        WireFormat::UnsignedInt => i64::try_from(unsigned(bytes)).ok(),
        _ => return Err(altered(column)),
    };
    n.and_then(|n| int_value(n, ty))
        .ok_or_else(|| out_of_range(column))
}

fn decimal_value(column: &ReadColumn, wire: WireFormat, bytes: &[u8]) -> Result<Value> {
    match (&column.read, wire) {
        (ValueDecoding::Decimal, WireFormat::UnsignedInt) => Ok(Value::Decimal(Box::new(
            Decimal::new(unsigned(bytes).into(), 0),
        ))),
        (ValueDecoding::Decimal, WireFormat::Bytes) => {
            decimal(column, bytes).map(|d| Value::Decimal(Box::new(d)))
        }
        (ValueDecoding::DecimalInt(ty), WireFormat::Bytes) => {
            let n = decimal(column, bytes)?
                .unscaled_i128()
                .and_then(|n| i64::try_from(n).ok());
            n.and_then(|n| int_value(n, *ty))
                .ok_or_else(|| out_of_range(column))
        }
        (ValueDecoding::DecimalF64, WireFormat::Bytes) => digits(bytes)
            .parse()
            .map(Value::F64)
            .map_err(|_| altered(column)),
        _ => Err(altered(column)),
    }
}

fn float(column: &ReadColumn, wire: WireFormat, bytes: &[u8]) -> Result<Value> {
    let value = match (&column.read, wire) {
        (ValueDecoding::F32, WireFormat::F32) => {
            bytes.try_into().map(|b| Value::F32(f32::from_le_bytes(b)))
        }
        (ValueDecoding::F64, WireFormat::F64) => {
            bytes.try_into().map(|b| Value::F64(f64::from_le_bytes(b)))
        }
        (ValueDecoding::F64, WireFormat::F32) => bytes
            .try_into()
            .map(|b| Value::F64(f64::from(f32::from_le_bytes(b)))),
        _ => return Err(altered(column)),
    };
    value.map_err(|_| altered(column))
}

fn temporal(column: &ReadColumn, wire: WireFormat, bytes: &[u8]) -> Result<Value> {
    match (&column.read, wire) {
        (ValueDecoding::Date(calendar), WireFormat::Date | WireFormat::DateTime) => {
            let at = WireDateTime::read(bytes).ok_or_else(|| altered(column))?;
            Ok(
                without_date(&at, WireDateTime::date_text).unwrap_or_else(|| {
                    Value::I32(narrow(calendar.days(
                        i32::from(at.year),
                        u32::from(at.month),
                        u32::from(at.day),
                    )))
                }),
            )
        }
        (ValueDecoding::Timestamp(decoding), WireFormat::Date | WireFormat::DateTime) => {
            let at = WireDateTime::read(bytes).ok_or_else(|| altered(column))?;
            Ok(without_date(&at, WireDateTime::text)
                .unwrap_or_else(|| decoding.value(wall(&at, decoding))))
        }
        (ValueDecoding::Time(zone), WireFormat::Time) => {
            let time = WireTime::read(bytes).ok_or_else(|| altered(column))?;
            Ok(time_value(time.0, zone))
        }
        (
            ValueDecoding::YearDate(calendar, zero_is_2000),
            WireFormat::Int | WireFormat::UnsignedInt,
        ) => {
            let year = match unsigned(bytes) {
                0 if *zero_is_2000 => 2000,
                year => i32::try_from(year).map_err(|_| altered(column))?,
            };
            Ok(Value::I32(narrow(calendar.days(year, 1, 1))))
        }
        _ => Err(altered(column)),
    }
}

/// Decodes a date-time as microseconds on the server's calendar, for comparison with bounds: a wall
/// time, or the UTC instant as which a TIMESTAMP is sent. `None` for a date with zeros.
pub(crate) fn cursor_micros(bytes: &[u8]) -> Option<i64> {
    let at = WireDateTime::read(bytes).filter(|at| at.month > 0 && at.day > 0)?;
    Some(
        gregorian_days(i32::from(at.year), u32::from(at.month), u32::from(at.day)) * DAY
            + clock(&at),
    )
}

fn wall(at: &WireDateTime, decoding: &TimestampDecoding) -> i64 {
    decoding
        .calendar
        .days(i32::from(at.year), u32::from(at.month), u32::from(at.day))
        * DAY
        + clock(at)
}

fn clock(at: &WireDateTime) -> i64 {
    let seconds = (i64::from(at.hour) * 60 + i64::from(at.minute)) * 60 + i64::from(at.second);
    seconds * SECOND + i64::from(at.micros)
}

/// Returns the substitute for a date that is in no calendar: NULL for 0000-00-00, as both JDBC
/// drivers can be configured to return it, and the text if only parts are zero.
fn without_date(at: &WireDateTime, text: fn(&WireDateTime) -> String) -> Option<Value> {
    match (at.year, at.month, at.day) {
        (0, 0, 0) => Some(Value::Null),
        (_, 0, _) | (_, _, 0) => Some(Value::Text(text(at).into())),
        _ => None,
    }
}

/// Returns the low byte, or all bytes if the others are not zero.
fn bit(bytes: &[u8]) -> Value {
    let (last, before) = bytes.split_last().unwrap_or((&0, &[]));
    if before.iter().any(|b| *b != 0) {
        return Value::Bytes(bytes.into());
    }
    Value::I8(i8::from_be_bytes([*last]))
}

fn decimal(column: &ReadColumn, bytes: &[u8]) -> Result<Decimal> {
    Decimal::parse(digits(bytes)).ok_or_else(|| altered(column))
}

fn signed(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(i8::from_le_bytes([a])),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// Days of years up to 9999 fit into 32 bits.
fn narrow(days: i64) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn out_of_range(column: &ReadColumn) -> Error {
    let hint = match column.read {
        ValueDecoding::Int(SchemaType::Int64) => {
            " (a BIGINT UNSIGNED above 9223372036854775807: set bigint.unsigned.handling.mode to precise or string)"
        }
        _ => "",
    };
    Error::record(format!(
        "column {} holds a value beyond {}{hint}",
        column.name,
        column.schema.ty.name()
    ))
}

#[cfg(test)]
mod tests {
    use connector_api::{Decimal, ErrorKind, SchemaType, Value};

    use super::{WireFormat, cursor_micros, value};
    use crate::calendar::Calendar;
    use crate::dialect::read::{
        ReadColumn, TimestampDecoding, TimestampGranularity, ValueDecoding,
    };
    use crate::zone::JdbcTimeZone;

    fn read(read: ValueDecoding, wire: WireFormat, bytes: &[u8]) -> Value {
        value(&ReadColumn::new("c", true, read), wire, bytes).unwrap()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn bytes_are_decoded_into_values() {
        let timestamp = TimestampDecoding {
            granularity: TimestampGranularity::Logical,
            calendar: Calendar::Legacy,
            zone: JdbcTimeZone::default(),
            is_instant: false,
        };
        let date = [4, 0xe8, 7, 2, 29];
        for (plan, wire, bytes, want) in [
            (
                ValueDecoding::Int(SchemaType::Int8),
                WireFormat::Int,
                &[0x80][..],
                Value::I8(-128),
            ),
            (
                ValueDecoding::Int(SchemaType::Int64),
                WireFormat::UnsignedInt,
                &[0xff; 4],
                Value::I64(4_294_967_295),
            ),
            (
                ValueDecoding::Int(SchemaType::Int32),
                WireFormat::Int,
                &[0xff; 4],
                Value::I32(-1),
            ),
            (
                ValueDecoding::Text,
                WireFormat::Bytes,
                "ä".as_bytes(),
                Value::Text("ä".into()),
            ),
            (
                ValueDecoding::Decimal,
                WireFormat::Bytes,
                b"-1.50",
                Value::Decimal(Box::new(Decimal::new(-150, 2))),
            ),
            (
                ValueDecoding::DecimalInt(SchemaType::Int16),
                WireFormat::Bytes,
                b"9999",
                Value::I16(9999),
            ),
            (
                ValueDecoding::DecimalF64,
                WireFormat::Bytes,
                b"-0.01",
                Value::F64(-0.01),
            ),
            (
                ValueDecoding::Decimal,
                WireFormat::UnsignedInt,
                &[0xff; 8],
                Value::Decimal(Box::new(Decimal::new(u64::MAX.into(), 0))),
            ),
            (
                ValueDecoding::Text,
                WireFormat::UnsignedInt,
                &[0xff; 8],
                Value::Text("18446744073709551615".into()),
            ),
            (
                ValueDecoding::BitInt,
                WireFormat::Bytes,
                &[0, 0xff],
                Value::I8(-1),
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                WireFormat::Date,
                &date,
                Value::I32(19_782),
            ),
            (
                ValueDecoding::Timestamp(Box::new(timestamp)),
                WireFormat::DateTime,
                &date,
                Value::I64(1_709_164_800_000),
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                WireFormat::Date,
                &[0],
                Value::Null,
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                WireFormat::Date,
                &[4, 0xe8, 7, 2, 0],
                Value::Text("2024-02-00".into()),
            ),
            (
                ValueDecoding::YearDate(Calendar::Legacy, false),
                WireFormat::UnsignedInt,
                &[0, 0],
                Value::I32(-719_530),
            ),
            (
                ValueDecoding::YearDate(Calendar::Legacy, true),
                WireFormat::UnsignedInt,
                &[0, 0],
                Value::I32(10_957),
            ),
            (
                ValueDecoding::Time(JdbcTimeZone::default()),
                WireFormat::Time,
                &[8, 0, 0, 0, 0, 0, 0, 0, 1],
                Value::I32(1000),
            ),
            (
                ValueDecoding::Time(JdbcTimeZone::default()),
                WireFormat::Time,
                &[8, 0, 1, 0, 0, 0, 0, 0, 0],
                Value::I32(86_400_000),
            ),
            (
                ValueDecoding::Time(JdbcTimeZone::default()),
                WireFormat::Time,
                &[8, 1, 0, 0, 0, 0, 0, 0, 1],
                Value::Text("-00:00:01".into()),
            ),
            (
                ValueDecoding::BitInt,
                WireFormat::Bytes,
                &[1, 0],
                Value::Bytes([1, 0].into()),
            ),
        ] {
            assert_eq!(read(plan, wire, bytes), want, "{bytes:?}");
        }
        assert_eq!(cursor_micros(&date), Some(1_709_164_800_000_000));
        assert_eq!(cursor_micros(&[0]), None);
    }

    #[test]
    fn values_that_do_not_fit_are_errors_of_their_record() {
        for (plan, optional, wire, bytes, kind) in [
            (
                ValueDecoding::Int(SchemaType::Int64),
                true,
                WireFormat::UnsignedInt,
                &[0xff; 8][..],
                ErrorKind::Record,
            ),
            (
                ValueDecoding::Text,
                true,
                WireFormat::Bytes,
                &[0xff],
                ErrorKind::Record,
            ),
            (
                ValueDecoding::Text,
                true,
                WireFormat::Int,
                &[1],
                ErrorKind::Retry,
            ),
        ] {
            assert_eq!(
                value(&ReadColumn::new("c", optional, plan), wire, bytes)
                    .unwrap_err()
                    .kind(),
                kind
            );
        }
    }
}
