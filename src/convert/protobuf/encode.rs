//! Encodes values in Protobuf's wire format, directly into the caller's buffer.

#![expect(clippy::indexing_slicing, reason = "the byte was appended before")]

use connector_api::{Decimal, Error, Value, logical};

use super::plan::{FieldShape, IntegerEncoding, ProtobufField, ProtobufKind, ProtobufMessage};
use crate::convert::trail::{LocatedError, WRITTEN};
use crate::convert::{calendar, java, same_scale};

type Result<T, E = LocatedError> = std::result::Result<T, E>;

/// Advice for when strict mode refuses a number.
const STRICT: &str =
    "With the converter's key strict=false, such numbers are truncated to the type.";
/// Advice for when a text is not a symbol of the enum.
const SYMBOLS: &str = "The registered schema has no such symbol: register a schema that has it.";

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// Appends a message's fields. With `strict`, a null that the message cannot represent is an error.
/// Errors: with the field that caused them.
pub(super) fn write(
    message: &ProtobufMessage,
    values: &[Value],
    strict: bool,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    write_message(message, values, strict, out).map_err(LocatedError::located)
}

fn write_message(
    message: &ProtobufMessage,
    values: &[Value],
    strict: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    for field in &message.fields {
        let member = values.get(field.at).unwrap_or(&Value::Null);
        let value = match (field.branch, member) {
            (Some(branch), Value::Struct(branches)) => branches.get(branch).unwrap_or(&Value::Null),
            (Some(_), _) => &Value::Null,
            (None, member) => member,
        };
        write_field(field, value, strict, out)
            .map_err(|met| met.within(&field.name, field.declared()))?;
    }
    Ok(())
}

fn write_field(
    field: &ProtobufField,
    value: &Value,
    strict: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = match (value, &field.default) {
        (Value::Null, Some(default)) => default,
        _ => value,
    };
    match (&field.shape, value) {
        (_, Value::Null) => {
            if strict && !field.presence && field.branch.is_none() {
                return Err(Error::record(
                    "null, which the schema cannot represent: it would be read as 0 or empty; with \
                     optional.for.nullables=true single values can be null; with strict=false the \
                     value is written anyway",
                )
                .into());
            }
            Ok(())
        }
        (FieldShape::One, value) => {
            if !field.presence && is_zero(&field.kind, value) {
                return Ok(());
            }
            tag(field.number, wire(&field.kind), out);
            single(&field.kind, value, strict, out)
        }
        (FieldShape::List(_), Value::Array(items)) if items.is_empty() => Ok(()),
        (FieldShape::List(true), Value::Array(items)) => {
            tag(field.number, DELIMITED, out);
            delimited(out, |out| {
                items
                    .iter()
                    .try_for_each(|item| part("[]", &field.kind, item, strict, out))
            })
        }
        (FieldShape::List(false), Value::Array(items)) => items.iter().try_for_each(|item| {
            tag(field.number, wire(&field.kind), out);
            part("[]", &field.kind, item, strict, out)
        }),
        (FieldShape::Map(keys), Value::Map(entries)) => {
            entries.iter().try_for_each(|(key, value)| {
                tag(field.number, DELIMITED, out);
                delimited(out, |out| {
                    tag(1, wire(keys), out);
                    part("{}", keys, key, strict, out)?;
                    tag(2, wire(&field.kind), out);
                    part("{}", &field.kind, value, strict, out)
                })
            })
        }
        (_, value) => Err(mismatch(value)),
    }
}

#[cold]
fn mismatch(value: &Value) -> LocatedError {
    match value {
        Value::Null => {
            Error::record("null in a list or map, which Protobuf cannot represent").into()
        }
        value => LocatedError::from(Error::record(format!(
            "Invalid type: class {}",
            java::class_name(value)
        )))
        .hint(WRITTEN),
    }
}

/// Appends an item, or the key or value of an entry.
fn part(
    name: &str,
    kind: &ProtobufKind,
    value: &Value,
    strict: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    single(kind, value, strict, out).map_err(|met| met.within(name, kind.declared()))
}

fn is_zero(kind: &ProtobufKind, value: &Value) -> bool {
    match (kind, value) {
        (ProtobufKind::Enum(symbols), Value::Text(text)) => symbols
            .iter()
            .any(|(name, number)| name == text && *number == 0),
        (_, Value::Bool(b)) => !b,
        (_, Value::F32(n)) => n.to_bits() == 0,
        (_, Value::F64(n)) => n.to_bits() == 0,
        (_, Value::Text(text)) => text.is_empty(),
        (_, Value::Bytes(bytes)) => bytes.is_empty(),
        (ProtobufKind::Number(..), value) => value.as_i64() == Some(0),
        _ => false,
    }
}

fn wire(kind: &ProtobufKind) -> u8 {
    match kind {
        ProtobufKind::Number(IntegerEncoding::Fixed32 { .. }, _) | ProtobufKind::Float => FIXED32,
        ProtobufKind::Number(IntegerEncoding::Fixed64 { .. }, _) | ProtobufKind::Double => FIXED64,
        ProtobufKind::Number(..) | ProtobufKind::Bool | ProtobufKind::Enum(_) => VARINT,
        _ => DELIMITED,
    }
}

#[cold]
fn no_symbol() -> LocatedError {
    LocatedError::from(Error::record("a text that is no symbol of the enum")).hint(SYMBOLS)
}

/// Hours, minutes, seconds and nanoseconds.
fn time_of_day(millis: i32) -> Result<[i64; 4]> {
    if !(0..=86_400_000).contains(&millis) {
        let text = format!("{} contains a time outside of the day", logical::TIME);
        return Err(Error::record(text).into());
    }
    let millis = i64::from(millis);
    Ok([
        millis / 3_600_000,
        millis / 60_000 % 60,
        millis / 1000 % 60,
        millis % 1000 * 1_000_000,
    ])
}

/// Appends one value, without its tag.
fn single(kind: &ProtobufKind, value: &Value, strict: bool, out: &mut Vec<u8>) -> Result<()> {
    match (kind, value) {
        (
            ProtobufKind::Number(number, _),
            Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_),
        ) => {
            return write_number(*number, value.as_i64().unwrap_or_default(), strict, out);
        }
        (ProtobufKind::Float, Value::F32(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (ProtobufKind::Double, Value::F64(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (ProtobufKind::Double, Value::F32(n)) => {
            out.extend_from_slice(&f64::from(*n).to_le_bytes());
        }
        (ProtobufKind::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (ProtobufKind::Text, Value::Text(text)) => bytes(text.as_bytes(), out),
        (ProtobufKind::Bytes, Value::Bytes(data)) => bytes(data, out),
        (ProtobufKind::Enum(symbols), Value::Text(text)) => {
            let number = symbols
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, number)| *number);
            let number = number.ok_or_else(no_symbol)?;
            varint(i64::from(number).cast_unsigned(), out);
        }
        (ProtobufKind::Decimal(scale), Value::Decimal(decimal)) => {
            return write_decimal(*scale, decimal, out);
        }
        (ProtobufKind::Date, Value::I32(days)) => {
            let (year, month, day) = calendar::gregorian(i64::from(*days));
            return numbers(&[year, month, day], out);
        }
        (ProtobufKind::Time, Value::I32(millis)) => {
            return numbers(&time_of_day(*millis)?, out);
        }
        (ProtobufKind::Timestamp, Value::I64(millis)) => {
            return numbers(
                &[millis.div_euclid(1000), millis.rem_euclid(1000) * 1_000_000],
                out,
            );
        }
        (ProtobufKind::Wrapper(kind), value) => {
            return delimited(out, |out| {
                if is_zero(kind, value) {
                    return Ok(());
                }
                tag(1, wire(kind), out);
                single(kind, value, strict, out)
            });
        }
        (ProtobufKind::Message(message), Value::Struct(values)) => {
            return delimited(out, |out| write_message(message, values, strict, out));
        }
        _ => return Err(mismatch(value)),
    }
    Ok(())
}

fn write_number(number: IntegerEncoding, n: i64, strict: bool, out: &mut Vec<u8>) -> Result<()> {
    let refused = |text| LocatedError::from(Error::record(text)).hint(STRICT);
    let fits = |fits: bool| {
        if fits || !strict {
            Ok(())
        } else {
            Err(refused("a number that does not fit the schema's type"))
        }
    };
    match number {
        IntegerEncoding::Plain => varint(n.cast_unsigned(), out),
        IntegerEncoding::Unsigned
        | IntegerEncoding::Fixed64 { signed: false }
        | IntegerEncoding::Fixed32 { signed: false }
            if strict && n < 0 =>
        {
            return Err(refused(
                "a negative number, which the schema cannot represent",
            ));
        }
        IntegerEncoding::Unsigned => varint(n.cast_unsigned(), out),
        IntegerEncoding::ZigZag => varint(((n << 1) ^ (n >> 63)).cast_unsigned(), out),
        IntegerEncoding::Fixed64 { .. } => out.extend_from_slice(&n.to_le_bytes()),
        IntegerEncoding::Fixed32 { signed } => {
            fits(if signed {
                i32::try_from(n).is_ok()
            } else {
                u32::try_from(n).is_ok()
            })?;
            out.extend_from_slice(&n.to_le_bytes()[..4]);
        }
    }
    Ok(())
}

/// Appends a `confluent.type.Decimal`: unscaled number, precision and scale.
fn write_decimal(scale: i32, decimal: &Decimal, out: &mut Vec<u8>) -> Result<()> {
    same_scale(scale, i64::from(decimal.scale()))
        .map_err(|error| LocatedError::from(error).hint(WRITTEN))?;
    let mut number = Vec::with_capacity(16);
    decimal.write_be_bytes(&mut number);
    let unscaled = decimal
        .unscaled_i128()
        .map_or_else(|| decimal.unscaled().to_string(), |n| n.to_string());
    let digits = unscaled.trim_start_matches('-').len();
    delimited(out, |out| {
        tag(1, DELIMITED, out);
        bytes(&number, out);
        tag(2, VARINT, out);
        varint(digits as u64, out);
        if scale != 0 {
            tag(3, VARINT, out);
            varint(i64::from(scale).cast_unsigned(), out);
        }
        Ok(())
    })
}

/// Appends a message of integers in fields numbered from 1.
fn numbers(list: &[i64], out: &mut Vec<u8>) -> Result<()> {
    delimited(out, |out| {
        for (number, n) in (1..).zip(list).filter(|(_, n)| **n != 0) {
            tag(number, VARINT, out);
            varint(n.cast_unsigned(), out);
        }
        Ok(())
    })
}

/// Appends the output of `inner`, preceded by its length.
fn delimited(out: &mut Vec<u8>, inner: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    // The length usually takes one byte; if it takes more, the content is moved.
    let at = out.len();
    out.push(0);
    inner(out)?;
    let length = out.len() - at - 1;
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out[at] = short,
        _ => {
            let mut head = Vec::new();
            varint(length as u64, &mut head);
            out.splice(at..=at, head).for_each(drop);
        }
    }
    Ok(())
}

fn bytes(data: &[u8], out: &mut Vec<u8>) {
    varint(data.len() as u64, out);
    out.extend_from_slice(data);
}

fn tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(wire), out);
}

fn lowest_byte(n: u64) -> u8 {
    n.to_le_bytes()[0]
}

/// Appends a varint: seven bits per byte.
pub(super) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(lowest_byte(n) | 0x80);
        n >>= 7;
    }
    out.push(lowest_byte(n));
}
