//! Writes values as text, as Kafka Connect's `Values.convertToString` does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Schema, Value, logical};

use crate::convert::{calendar, java};

/// Appends the text of a whole header value; text is written as it is. `strict` is the converter's
/// setting.
pub(crate) fn write(schema: Option<&Schema>, value: &Value, strict: bool, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        other => write_inner(schema, other, strict, out),
    }
}

/// Appends a nested value, in which text is quoted.
fn write_inner(schema: Option<&Schema>, value: &Value, strict: bool, out: &mut Vec<u8>) {
    let values = schema.and_then(|schema| schema.values.as_deref());
    let name = schema.and_then(|schema| schema.name.as_deref());
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::I8(n) => integer(*n, out),
        Value::I16(n) => integer(*n, out),
        Value::I32(n) if name == Some(logical::DATE) => {
            temporal(
                i64::from(*n) * calendar::DAY_MS,
                strict.then_some(HeaderTextForm::Date),
                out,
            );
        }
        Value::I32(n) if name == Some(logical::TIME) => temporal(i64::from(*n), None, out),
        Value::I32(n) => integer(*n, out),
        Value::I64(n) if name == Some(logical::TIMESTAMP) => {
            temporal(*n, strict.then_some(HeaderTextForm::Timestamp), out);
        }
        Value::I64(n) => integer(*n, out),
        Value::F32(n) => java::write_f32(*n, out),
        Value::F64(n) => java::write_f64(*n, out),
        Value::Decimal(n) => java::write_decimal(n, out),
        Value::Text(text) => quoted(text, out),
        Value::Bytes(bytes) => quoted(&STANDARD.encode(bytes), out),
        Value::Array(items) => {
            list((b'[', b']'), items, out, |item, out| {
                write_inner(values, item, strict, out);
            });
        }
        Value::Map(entries) => list((b'{', b'}'), entries, out, |(key, value), out| {
            write_inner(
                schema.and_then(|schema| schema.keys.as_deref()),
                key,
                strict,
                out,
            );
            out.push(b':');
            write_inner(values, value, strict, out);
        }),
        Value::Struct(members) => {
            let fields = schema.map_or(&[][..], |schema| &schema.fields);
            let members: Vec<_> = fields.iter().zip(members).collect();
            list((b'{', b'}'), &members, out, |(field, value), out| {
                quoted(&field.name, out);
                out.push(b':');
                let value = if value.is_null() {
                    field.schema.default.as_ref().unwrap_or(value)
                } else {
                    value
                };
                write_inner(Some(&field.schema), value, strict, out);
            });
        }
    }
}

fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn list<T>(
    (open, close): (u8, u8),
    items: &[T],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&T, &mut Vec<u8>),
) {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HeaderTextForm {
    Date,
    Time,
    Timestamp,
}

/// Appends an ISO 8601 time. Kafka derives the form from the number alone and writes every time
/// before 1970-01-02 as a time of day. With `meant`, such a time is written in the form of its
/// type.
fn temporal(millis: i64, meant: Option<HeaderTextForm>, out: &mut Vec<u8>) {
    let form = match meant {
        Some(form) if millis < calendar::DAY_MS => form,
        _ if millis < calendar::DAY_MS => HeaderTextForm::Time,
        _ if millis % calendar::DAY_MS == 0 => HeaderTextForm::Date,
        _ => HeaderTextForm::Timestamp,
    };
    let moment = calendar::CivilTime::from_millis(millis);
    let year = if moment.year > 0 {
        moment.year
    } else {
        1 - moment.year
    };
    if form != HeaderTextForm::Time {
        out.extend_from_slice(
            format!("{year:04}-{:02}-{:02}", moment.month, moment.day).as_bytes(),
        );
    }
    if form == HeaderTextForm::Timestamp {
        out.push(b'T');
    }
    if form != HeaderTextForm::Date {
        let (hour, minute, second, milli) = (
            moment.hour(),
            moment.minute(),
            moment.second(),
            moment.milli(),
        );
        out.extend_from_slice(format!("{hour:02}:{minute:02}:{second:02}.{milli:03}Z").as_bytes());
    }
}
