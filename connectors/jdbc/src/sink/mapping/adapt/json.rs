//! Writes values as JSON text, for columns that hold JSON. Dates and times are ISO 8601, decimals
//! are numbers with all their digits, bytes are base64.

use connector_api::text::append;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Error, Result, Schema, Value};

use crate::dialect::logical_type::LogicalType;
use crate::sink::config::TimeRules;
use crate::zone::JdbcTimeZone;

/// Most bytes of a value's JSON. It may be longer than the record, because keys that are no text
/// are written as JSON within JSON.
const MAX_JSON: usize = 64 << 20;

/// Writes a value as JSON. `schema` gives the meaning of numbers and the names of a struct's
/// members.
/// Errors: `Record` if the text would be longer than [`MAX_JSON`].
pub(crate) fn text(value: &Value, schema: Option<&Schema>) -> Result<String> {
    let mut out = String::new();
    write(value, schema, &mut out)?;
    Ok(out)
}

fn write(value: &Value, schema: Option<&Schema>, out: &mut String) -> Result<()> {
    if out.len() > MAX_JSON {
        return Err(Error::record(format!(
            "a nested value is longer than {MAX_JSON} bytes as JSON (MAX_JSON)"
        )));
    }
    let inner = || schema.and_then(|schema| schema.values.as_deref());
    if let (Some(schema), Some(number)) = (schema, value.as_i64())
        && let Some(text) = point_in_time(schema, number)
    {
        quoted(&text, out);
        return Ok(());
    }
    match value {
        Value::Array(items) => list(['[', ']'], items.iter(), out, |item, out| {
            write(item, inner(), out)
        }),
        Value::Map(entries) => list(['{', '}'], entries.iter(), out, |(key, value), out| {
            write_key(key, schema.and_then(|schema| schema.keys.as_deref()), out)?;
            write(value, inner(), out)
        }),
        Value::Struct(members) => {
            let members = members.iter().enumerate();
            list(['{', '}'], members, out, |(at, member), out| {
                let field = schema.and_then(|schema| schema.fields.get(at));
                quoted(field.map_or("", |field| &field.name), out);
                out.push(':');
                write(member, field.map(|field| &*field.schema), out)
            })
        }
        scalar => {
            write_scalar(scalar, out);
            Ok(())
        }
    }
}

/// Writes the key of a map, with its colon. Keys that are no text are written as JSON within JSON.
fn write_key(key: &Value, schema: Option<&Schema>, out: &mut String) -> Result<()> {
    match key {
        Value::Text(text) => quoted(text, out),
        other => quoted(&text(other, schema)?, out),
    }
    out.push(':');
    Ok(())
}

/// Writes a value that has no parts.
fn write_scalar(value: &Value, out: &mut String) {
    match value {
        Value::Bool(flag) => append(out, format_args!("{flag}")),
        Value::I8(n) => append(out, format_args!("{n}")),
        Value::I16(n) => append(out, format_args!("{n}")),
        Value::I32(n) => append(out, format_args!("{n}")),
        Value::I64(n) => append(out, format_args!("{n}")),
        Value::F32(n) if n.is_finite() => append(out, format_args!("{n:?}")),
        Value::F64(n) if n.is_finite() => append(out, format_args!("{n:?}")),
        Value::F32(n) => append(out, format_args!("\"{n}\"")),
        Value::F64(n) => append(out, format_args!("\"{n}\"")),
        Value::Decimal(n) => append(out, format_args!("{n}")),
        Value::Text(text) => quoted(text, out),
        Value::Bytes(bytes) => append(out, format_args!("\"{}\"", STANDARD.encode(bytes))),
        Value::Null | Value::Array(_) | Value::Map(_) | Value::Struct(_) => out.push_str("null"),
    }
}

fn list<T>(
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String) -> Result<()>,
) -> Result<()> {
    out.push(open);
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.push(',');
        }
        write(item, out)?;
    }
    out.push(close);
    Ok(())
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn point_in_time(schema: &Schema, number: i64) -> Option<String> {
    let utc = TimeRules {
        zone: JdbcTimeZone::default(),
        date_in_utc: true,
        julian: false,
        fields: std::collections::HashSet::new(),
        units_per_second: 1000,
    };
    match LogicalType::of(schema) {
        LogicalType::Date => Some(utc.date(number)),
        LogicalType::Time => Some(utc.time(number)),
        LogicalType::Timestamp => Some(format!(
            "{}Z",
            utc.timestamp(number, 1000).replace(' ', "T")
        )),
        LogicalType::Decimal(_) | LogicalType::None => None,
    }
}
