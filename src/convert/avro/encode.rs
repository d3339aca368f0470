//! Encodes values in Avro's binary form, directly into the caller's buffer.

use std::borrow::Cow;

use connector_api::{Decimal, Error, SchemaType, Value};
use serde_json::Value as Json;

use super::derive::derive;
use super::plan::{AvroMember, AvroNode, AvroNodeKind, compile};
use super::schema::AvroType;
use crate::convert::trail::{LocatedError, WRITTEN};
use crate::convert::{java, same_scale};

type Result<T, E = LocatedError> = std::result::Result<T, E>;

/// Advice for when a text is not a symbol of the enum.
const SYMBOLS: &str = "The registered schema has no such symbol: register a schema that has it, or write the field \
     as text (enhanced.avro.schema.support=false).";

/// Appends a value.
/// Errors: with the field that caused them.
pub(super) fn write(node: &AvroNode, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    write_value(node, value, out).map_err(LocatedError::located)
}

/// Appends a value that is part of another.
fn within(name: &str, node: &AvroNode, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    write_value(node, value, out).map_err(|met| met.within(name, node.declared()))
}

/// Returns the error about a value that does not match its schema.
#[cold]
fn disagree(text: impl Into<Cow<'static, str>>) -> LocatedError {
    LocatedError::from(Error::record(text)).hint(WRITTEN)
}

#[cold]
fn no_symbol() -> LocatedError {
    LocatedError::from(Error::record("a text that is no symbol of the enum")).hint(SYMBOLS)
}

fn write_value(node: &AvroNode, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let value = match (value, &node.default) {
        (Value::Null, Some(default)) => default,
        _ => value,
    };
    if value.is_null() {
        let null = node
            .null
            .ok_or_else(|| disagree("null used for a required field without a default"))?;
        long(null, out);
        return Ok(());
    }
    if let Some(branch) = node.branch {
        long(branch, out);
    }
    write_present(node, value, out)
}

/// Appends a value that is not null, after the number of its branch.
fn write_present(node: &AvroNode, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    match (&node.kind, value) {
        (AvroNodeKind::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (AvroNodeKind::Integer(SchemaType::Int8), Value::I8(n)) => long(i64::from(*n), out),
        (AvroNodeKind::Integer(SchemaType::Int16), Value::I16(n)) => long(i64::from(*n), out),
        (AvroNodeKind::Integer(SchemaType::Int32), Value::I32(n)) => long(i64::from(*n), out),
        (AvroNodeKind::Integer(SchemaType::Int64), Value::I64(n)) => long(*n, out),
        (AvroNodeKind::F32, Value::F32(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (AvroNodeKind::F64, Value::F64(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (AvroNodeKind::F64, Value::F32(n)) => out.extend_from_slice(&f64::from(*n).to_le_bytes()),
        (AvroNodeKind::Text, Value::Text(text)) => bytes(text.as_bytes(), out),
        (AvroNodeKind::Bytes, Value::Bytes(data)) => bytes(data, out),
        (AvroNodeKind::Fixed(size), Value::Bytes(data)) if data.len() == *size => {
            out.extend_from_slice(data);
        }
        (AvroNodeKind::Fixed(size), Value::Bytes(data)) => {
            return Err(disagree(format!(
                "{} bytes, but the schema has exactly {size}",
                data.len()
            )));
        }
        (AvroNodeKind::Decimal(scale, size), Value::Decimal(decimal)) => {
            return write_decimal(*scale, *size, decimal, out);
        }
        (AvroNodeKind::Enum(_, numbers), Value::Text(text)) => {
            let number = numbers.get(&**text).ok_or_else(no_symbol)?;
            long(*number, out);
        }
        (AvroNodeKind::Array(items), Value::Array(values)) => {
            return list(values, out, |value, out| within("[]", items, value, out));
        }
        (AvroNodeKind::Map(values), Value::Map(entries)) => {
            return list(entries, out, |(key, value), out| {
                let key = key
                    .as_str()
                    .ok_or_else(|| disagree("a map's key is no text"))?;
                bytes(key.as_bytes(), out);
                within("{}", values, value, out)
            });
        }
        (AvroNodeKind::Entries(pair), Value::Map(entries)) => {
            return list(entries, out, |(key, value), out| {
                within("{}", &pair.0, key, out)?;
                within("{}", &pair.1, value, out)
            });
        }
        (AvroNodeKind::Struct(members), Value::Struct(values)) => {
            return write_struct(members, values, out);
        }
        (AvroNodeKind::Choice(branches), Value::Struct(values)) => {
            return write_choice(node, branches, values, out);
        }
        _ => {
            return Err(disagree(format!(
                "Invalid type: class {}",
                java::class_name(value)
            )));
        }
    }
    Ok(())
}

fn write_struct(members: &[AvroMember], values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    for member in members {
        match member {
            AvroMember::Of(at, name, node) => {
                let value = values.get(*at).unwrap_or(&Value::Null);
                within(name, node, value, out)?;
            }
            AvroMember::Fixed(bytes) => out.extend_from_slice(bytes),
        }
    }
    Ok(())
}

fn write_choice(
    node: &AvroNode,
    branches: &[(i64, AvroNode)],
    values: &[Value],
    out: &mut Vec<u8>,
) -> Result<()> {
    match branches
        .iter()
        .zip(values)
        .find(|(_, value)| !value.is_null())
    {
        Some(((at, branch), value)) => {
            long(*at, out);
            write_value(branch, value, out)
        }
        None => {
            long(
                node.null
                    .ok_or_else(|| disagree("a union without a value"))?,
                out,
            );
            Ok(())
        }
    }
}

fn write_decimal(
    scale: i32,
    size: Option<usize>,
    decimal: &Decimal,
    out: &mut Vec<u8>,
) -> Result<()> {
    same_scale(scale, i64::from(decimal.scale()))
        .map_err(|error| LocatedError::from(error).hint(WRITTEN))?;
    let mut number = Vec::with_capacity(16);
    decimal.write_be_bytes(&mut number);
    let Some(size) = size else {
        bytes(&number, out);
        return Ok(());
    };
    let missing = size.checked_sub(number.len());
    let missing = missing
        .ok_or_else(|| Error::record(format!("a decimal that does not fit {size} bytes")))?;
    let sign = if number.first().is_some_and(|b| b & 0x80 != 0) {
        0xff
    } else {
        0
    };
    out.extend(std::iter::repeat_n(sign, missing));
    out.extend_from_slice(&number);
    Ok(())
}

/// Appends a list in one block: the number of items, the items, a zero.
fn list<T>(
    items: &[T],
    out: &mut Vec<u8>,
    mut item: impl FnMut(&T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    if !items.is_empty() {
        long(i64::try_from(items.len()).unwrap_or(i64::MAX), out);
        for value in items {
            item(value, out)?;
        }
    }
    out.push(0);
    Ok(())
}

fn bytes(data: &[u8], out: &mut Vec<u8>) {
    long(i64::try_from(data.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(data);
}

fn lowest_byte(n: u64) -> u8 {
    n.to_le_bytes()[0]
}

/// Appends a zig-zag varint: seven bits per byte.
pub(super) fn long(n: i64, out: &mut Vec<u8>) {
    let mut n = ((n << 1) ^ (n >> 63)).cast_unsigned();
    while n >= 0x80 {
        out.push(lowest_byte(n) | 0x80);
        n >>= 7;
    }
    out.push(lowest_byte(n));
}

/// Encodes a field's default.
/// Errors: `Record` if it is not of the field's type.
pub(super) fn default(json: &Json, avro: &AvroType) -> Result<Vec<u8>, Error> {
    let schema = std::sync::Arc::new(derive(avro)?);
    let node = compile(&schema, avro, &super::AvroOptions::PLAIN)?;
    let mut out = Vec::new();
    write(
        &node,
        &super::derive::default(json, avro, &schema)?,
        &mut out,
    )?;
    Ok(out)
}
