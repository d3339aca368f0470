//! Decodes PostgreSQL's binary format of a column. Pure.

use connector_api::{Decimal, Error, Result, Value};

use crate::calendar::{Calendar, DAY};
use crate::dialect::decode::{altered, digits, utf8};
use crate::dialect::logical_type::{INFINITE, INFINITE_MILLIS};
use crate::dialect::read::{
    ReadColumn, TimestampDecoding, TimestampGranularity, ValueDecoding, int_value, time_value,
};

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;

/// Decodes a value that is not NULL. One that its column's type cannot hold is decoded as
/// [`ReadColumn::holds`] describes.
/// Errors: `Record` for a value that the field cannot hold; `Retry` when the column's type is not
/// the expected one because the table was altered meanwhile.
pub(crate) fn value(column: &ReadColumn, bytes: &[u8]) -> Result<Value> {
    match &column.read {
        ValueDecoding::Bool => match *bytes {
            [b] => Ok(Value::Bool(b != 0)),
            // bit(1): its length in bits, then the bit on the left.
            [0, 0, 0, 1, b] => Ok(Value::Bool(b & 0x80 != 0)),
            _ => Err(altered(column)),
        },
        ValueDecoding::Int(ty) => int_value(integer(bytes).ok_or_else(|| altered(column))?, *ty)
            .ok_or_else(|| out_of_range(column)),
        ValueDecoding::F32 => bytes
            .try_into()
            .map(|b| Value::F32(f32::from_be_bytes(b)))
            .map_err(|_| altered(column)),
        ValueDecoding::F64 => bytes
            .try_into()
            .map(|b| Value::F64(f64::from_be_bytes(b)))
            .map_err(|_| altered(column)),
        ValueDecoding::Text => utf8(column, bytes),
        ValueDecoding::Bytes if is_bits(column, bytes) => Ok(Value::Bytes(bits(bytes).into())),
        ValueDecoding::Bytes => Ok(Value::Bytes(bytes.into())),
        ValueDecoding::Decimal | ValueDecoding::Scaled(_) | ValueDecoding::DecimalInt(_) => {
            decimal(column, bytes)
        }
        ValueDecoding::DecimalF64 => digits(bytes)
            .parse()
            .map(Value::F64)
            .map_err(|_| altered(column)),
        ValueDecoding::BitInt => match bits(bytes)[..] {
            [byte] => Ok(Value::I8(i8::from_be_bytes([byte]))),
            _ => Err(altered(column)),
        },
        ValueDecoding::Date(calendar) => date(column, *calendar, bytes),
        ValueDecoding::Time(zone) => Ok(time_value(
            integer(bytes).ok_or_else(|| altered(column))?,
            zone,
        )),
        ValueDecoding::Timestamp(decoding) => Ok(timestamp(
            decoding,
            integer(bytes).ok_or_else(|| altered(column))?,
        )),
        ValueDecoding::YearDate(..) => Err(altered(column)),
    }
}

/// Decodes a date or date-time as microseconds since 1970, for comparison with bounds.
pub(crate) fn cursor_micros(bytes: &[u8]) -> Option<i64> {
    match bytes.len() {
        4 => Some((integer(bytes)? + EPOCH_DAYS) * DAY),
        _ => integer(bytes)?.checked_add(EPOCH_DAYS * DAY),
    }
}

fn date(column: &ReadColumn, calendar: Calendar, bytes: &[u8]) -> Result<Value> {
    let days = bytes
        .try_into()
        .map(i32::from_be_bytes)
        .map_err(|_| altered(column))?;
    Ok(Value::I32(match days {
        // `infinity` and `-infinity`
        i32::MAX | i32::MIN => days,
        _ => i32::try_from(calendar.same_date(i64::from(days) + EPOCH_DAYS))
            .map_err(|_| out_of_range(column))?,
    }))
}

fn timestamp(decoding: &TimestampDecoding, micros: i64) -> Value {
    if micros == i64::MAX || micros == i64::MIN {
        let millis = if micros > 0 {
            INFINITE_MILLIS.0
        } else {
            INFINITE_MILLIS.1
        };
        let text = if micros > 0 { INFINITE.0 } else { INFINITE.1 };
        return match decoding.granularity {
            TimestampGranularity::Logical => Value::I64(millis),
            TimestampGranularity::MicrosLong | TimestampGranularity::NanosLong => {
                Value::I64(micros)
            }
            _ => Value::Text(text.into()),
        };
    }
    let wall = micros.saturating_add(EPOCH_DAYS * DAY);
    let days = decoding.calendar.same_date(wall.div_euclid(DAY));
    decoding.value(days * DAY + wall.rem_euclid(DAY))
}

/// True for a bit string: its bytes are preceded by its length in bits.
fn is_bits(column: &ReadColumn, bytes: &[u8]) -> bool {
    let bits = bytes.first_chunk().map(|b| u32::from_be_bytes(*b));
    let length = bits.and_then(|n| usize::try_from(n.div_ceil(8)).ok());
    column.bits && length.is_some_and(|n| n == bytes.len() - 4)
}

/// Returns the bits as a big-endian number.
fn bits(bytes: &[u8]) -> Vec<u8> {
    let Some((length, left)) = bytes.split_first_chunk() else {
        return Vec::new();
    };
    let shift = (8 - u32::from_be_bytes(*length) % 8) % 8;
    let mut carry = 0u8;
    left.iter()
        .map(|byte| {
            let out = carry | byte >> shift;
            carry = if shift == 0 { 0 } else { byte << (8 - shift) };
            out
        })
        .collect()
}

/// Decodes a numeric as the column is read, or as text if that cannot hold it (NaN, more digits).
fn decimal(column: &ReadColumn, bytes: &[u8]) -> Result<Value> {
    let text = digits(bytes);
    let as_text = || Value::Text(text.into());
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return Ok(as_text());
    }
    let decimal = Decimal::parse(text).ok_or_else(|| altered(column))?;
    let boxed = |d| Value::Decimal(Box::new(d));
    Ok(match &column.read {
        ValueDecoding::Scaled(scale) => decimal.rescaled(*scale).map_or_else(as_text, boxed),
        ValueDecoding::DecimalInt(ty) => {
            let whole = decimal.rescaled(0).and_then(|d| d.unscaled_i128());
            let n = whole.and_then(|n| i64::try_from(n).ok());
            n.and_then(|n| int_value(n, *ty)).unwrap_or_else(as_text)
        }
        _ => boxed(decimal),
    })
}

fn integer(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}

fn out_of_range(column: &ReadColumn) -> Error {
    Error::record(format!(
        "column {} has a value that does not fit {}",
        column.name,
        column.schema.ty.name()
    ))
}

#[cfg(test)]
mod tests {
    use connector_api::{Decimal, SchemaType, Value};

    use super::{bits, cursor_micros, value};
    use crate::calendar::Calendar;
    use crate::dialect::read::{ReadColumn, ValueDecoding};

    #[test]
    fn bytes_are_decoded_into_values() {
        let infinite = i32::MAX;
        for (read, bytes, want) in [
            (ValueDecoding::Bool, &[1u8][..], Value::Bool(true)),
            (ValueDecoding::Bool, &[0, 0, 0, 1, 0x80], Value::Bool(true)),
            (
                ValueDecoding::Int(SchemaType::Int32),
                &[0xff, 0xff, 0xff, 0xfe],
                Value::I32(-2),
            ),
            (
                ValueDecoding::Scaled(3),
                b"-1.5",
                Value::Decimal(Box::new(Decimal::new(-1500, 3))),
            ),
            (
                ValueDecoding::Scaled(-2),
                b"12300",
                Value::Decimal(Box::new(Decimal::new(123, -2))),
            ),
            (
                ValueDecoding::DecimalInt(SchemaType::Int8),
                b"7",
                Value::I8(7),
            ),
            (
                ValueDecoding::DecimalInt(SchemaType::Int8),
                b"7.5",
                Value::Text("7.5".into()),
            ),
            (ValueDecoding::Decimal, b"NaN", Value::Text("NaN".into())),
            (
                ValueDecoding::BitInt,
                &[0, 0, 0, 3, 0b1010_0000],
                Value::I8(5),
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                &[0, 0, 0, 0],
                Value::I32(10_957),
            ),
            (
                ValueDecoding::Date(Calendar::Legacy),
                &infinite.to_be_bytes(),
                Value::I32(infinite),
            ),
        ] {
            assert_eq!(
                value(&ReadColumn::new("c", true, read.clone()), bytes).unwrap(),
                want,
                "{read:?}"
            );
        }
        assert_eq!(
            cursor_micros(&1i64.to_be_bytes()),
            Some(946_684_800_000_001)
        );
    }

    #[test]
    fn bit_strings_are_big_endian_numbers() {
        assert_eq!(
            bits(&[0, 0, 0, 12, 0b1010_1010, 0b1010_0000]),
            [0b0000_1010, 0b1010_1010]
        );
        assert_eq!(bits(&[0, 0, 0, 8, 0x81]), [0x81]);
    }
}
