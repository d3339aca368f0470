//! Values to Avro's binary form, straight into the caller's buffer.

use std::borrow::Cow;

use connector_api::{Decimal, Error, Type, Value};
use serde_json::Value as Json;

use super::derive::derive;
use super::plan::{Kind, Member, Node, compile};
use super::schema::Avro;
use crate::convert::trail::{Met, WRITTEN};
use crate::convert::{java, same_scale};

type Result<T, E = Met> = std::result::Result<T, E>;

/// What helps where a text is none of an enum's symbols.
const SYMBOLS: &str = "The registered schema has no such symbol: register one that has it, or write the field as text \
     (enhanced.avro.schema.support=false).";

/// Appends a value. Errors: with the field that they are about.
pub(super) fn write(node: &Node, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    write_value(node, value, out).map_err(Met::located)
}

/// Appends a value that is a part of another.
fn within(name: &str, node: &Node, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    write_value(node, value, out).map_err(|met| met.within(name, node.declared()))
}

/// The error of a value that is not what its schema says.
#[cold]
fn disagree(text: impl Into<Cow<'static, str>>) -> Met {
    Met::from(Error::record(text)).hint(WRITTEN)
}

fn write_value(node: &Node, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let value = match (value, &node.default) {
        (Value::Null, Some(default)) => default,
        _ => value,
    };
    if value.is_null() {
        let null = node.null.ok_or_else(|| disagree("null used for a required field without a default"))?;
        long(null, out);
        return Ok(());
    }
    if let Some(branch) = node.branch {
        long(branch, out);
    }
    match (&node.kind, value) {
        (Kind::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (Kind::Integer(Type::Int8), Value::I8(n)) => long(i64::from(*n), out),
        (Kind::Integer(Type::Int16), Value::I16(n)) => long(i64::from(*n), out),
        (Kind::Integer(Type::Int32), Value::I32(n)) => long(i64::from(*n), out),
        (Kind::Integer(Type::Int64), Value::I64(n)) => long(*n, out),
        (Kind::F32, Value::F32(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (Kind::F64, Value::F64(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (Kind::F64, Value::F32(n)) => out.extend_from_slice(&f64::from(*n).to_le_bytes()),
        (Kind::Text, Value::Text(text)) => bytes(text.as_bytes(), out),
        (Kind::Bytes, Value::Bytes(data)) => bytes(data, out),
        (Kind::Fixed(size), Value::Bytes(data)) if data.len() == *size => out.extend_from_slice(data),
        (Kind::Fixed(size), Value::Bytes(data)) => {
            return Err(disagree(format!("{} bytes where the schema has exactly {size}", data.len())));
        }
        (Kind::Decimal(scale, size), Value::Decimal(decimal)) => return write_decimal(*scale, *size, decimal, out),
        (Kind::Enum(_, numbers), Value::Text(text)) => {
            let none = || Met::from(Error::record("a text that is no symbol of the enum")).hint(SYMBOLS);
            let number = numbers.get(&**text).ok_or_else(none)?;
            long(*number, out);
        }
        (Kind::Array(items), Value::Array(values)) => {
            return list(values, out, |value, out| within("[]", items, value, out));
        }
        (Kind::Map(values), Value::Map(entries)) => {
            return list(entries, out, |(key, value), out| {
                let key = key.as_str().ok_or_else(|| disagree("a map's key is no text"))?;
                bytes(key.as_bytes(), out);
                within("{}", values, value, out)
            });
        }
        (Kind::Entries(pair), Value::Map(entries)) => {
            return list(entries, out, |(key, value), out| {
                within("{}", &pair.0, key, out)?;
                within("{}", &pair.1, value, out)
            });
        }
        (Kind::Struct(members), Value::Struct(values)) => return write_struct(members, values, out),
        (Kind::Choice(branches), Value::Struct(values)) => return write_choice(node, branches, values, out),
        _ => return Err(disagree(format!("Invalid type: class {}", java::class_name(value)))),
    }
    Ok(())
}

fn write_struct(members: &[Member], values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    for member in members {
        match member {
            Member::Of(at, name, node) => {
                let value = values.get(*at).unwrap_or(&Value::Null);
                within(name, node, value, out)?;
            }
            Member::Fixed(bytes) => out.extend_from_slice(bytes),
        }
    }
    Ok(())
}

fn write_choice(node: &Node, branches: &[(i64, Node)], values: &[Value], out: &mut Vec<u8>) -> Result<()> {
    match branches.iter().zip(values).find(|(_, value)| !value.is_null()) {
        Some(((at, branch), value)) => {
            long(*at, out);
            write_value(branch, value, out)
        }
        None => {
            long(node.null.ok_or_else(|| disagree("a union without a value"))?, out);
            Ok(())
        }
    }
}

fn write_decimal(scale: i32, size: Option<usize>, decimal: &Decimal, out: &mut Vec<u8>) -> Result<()> {
    same_scale(scale, i64::from(decimal.scale())).map_err(|error| Met::from(error).hint(WRITTEN))?;
    let mut number = Vec::with_capacity(16);
    decimal.write_be_bytes(&mut number);
    let Some(size) = size else {
        bytes(&number, out);
        return Ok(());
    };
    let missing = size.checked_sub(number.len());
    let missing = missing.ok_or_else(|| Error::record(format!("a decimal that does not fit {size} bytes")))?;
    let sign = if number.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    out.extend(std::iter::repeat_n(sign, missing));
    out.extend_from_slice(&number);
    Ok(())
}

/// A list in one block: the number of items, the items, a zero.
fn list<T>(items: &[T], out: &mut Vec<u8>, mut item: impl FnMut(&T, &mut Vec<u8>) -> Result<()>) -> Result<()> {
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

/// Zig-zag, seven bits a byte.
pub(super) fn long(n: i64, out: &mut Vec<u8>) {
    let mut n = ((n << 1) ^ (n >> 63)).cast_unsigned();
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The bytes of a field's default. Errors: `Record` where it is none of its type.
pub(super) fn default(json: &Json, avro: &Avro) -> Result<Vec<u8>, Error> {
    let schema = std::sync::Arc::new(derive(avro)?);
    let node = compile(&schema, avro, &super::Options::PLAIN)?;
    let mut out = Vec::new();
    write(&node, &super::derive::default(json, avro, &schema)?, &mut out)?;
    Ok(out)
}
