//! Encodes payloads: writes values as JSON text directly into the caller's buffer. Errors carry
//! Connect's texts.

#![expect(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::{Decimal, Error, Value};

use super::JsonOptions;
use super::plan::{JsonNode, JsonNodeKind, StructMember};
use crate::convert::trail::{LocatedError, WRITTEN};
use crate::convert::{java, same_scale};

type Result<T, E = LocatedError> = std::result::Result<T, E>;

/// Largest value of a Time: Connect accepts the end of the day itself, too.
pub(super) const MILLIS_PER_DAY: i32 = 86_400_000;

/// Appends the JSON text of a value with a schema.
/// Errors: with the field that caused them.
pub(super) fn write(
    node: &JsonNode,
    value: &Value,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    write_value(node, value, options, out).map_err(LocatedError::located)
}

/// Appends the JSON text of a value without a schema.
/// Errors: with the field that caused them.
pub(super) fn write_plain(
    value: &Value,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    write_schemaless(value, options, out).map_err(LocatedError::located)
}

fn write_value(
    node: &JsonNode,
    value: &Value,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    match (&node.kind, value) {
        (_, Value::Null) => return write_null(node, options, out),
        (JsonNodeKind::Bool, Value::Bool(b)) => write_bool(*b, out),
        (JsonNodeKind::I8, Value::I8(n)) => write_integer(*n, out),
        (JsonNodeKind::I16, Value::I16(n)) => write_integer(*n, out),
        (JsonNodeKind::I32 | JsonNodeKind::Date, Value::I32(n)) => write_integer(*n, out),
        (JsonNodeKind::I64 | JsonNodeKind::Timestamp, Value::I64(n)) => write_integer(*n, out),
        (JsonNodeKind::F32, Value::F32(n)) => {
            quote_unless(n.is_finite(), out, |out| java::write_f32(*n, out));
        }
        (JsonNodeKind::F64, Value::F64(n)) => {
            quote_unless(n.is_finite(), out, |out| java::write_f64(*n, out));
        }
        (JsonNodeKind::Text, Value::Text(text)) => write_text(text, out),
        (JsonNodeKind::Bytes, Value::Bytes(bytes)) => write_base64(bytes, out),
        (JsonNodeKind::Decimal(scale), Value::Decimal(decimal)) => {
            return write_decimal(*scale, decimal, options, out);
        }
        (JsonNodeKind::Time, Value::I32(n)) => return write_time(*n, out),
        (JsonNodeKind::Array(items), Value::Array(values)) => {
            return write_array(items.as_deref(), values, options, out);
        }
        (JsonNodeKind::Object(pair), Value::Map(entries)) => {
            return write_object(pair, entries, options, out);
        }
        (JsonNodeKind::Pairs(pair), Value::Map(entries)) => {
            return write_pairs(pair, entries, options, out);
        }
        (JsonNodeKind::Struct(members), Value::Struct(values)) => {
            if node.schema.default.is_some() || members.list.len() != values.len() {
                return Err(disagree("Mismatching schema."));
            }
            return write_struct(&members.list, values, options, out);
        }
        _ => return Err(mismatch(node, value)),
    }
    Ok(())
}

fn write_null(node: &JsonNode, options: &JsonOptions, out: &mut Vec<u8>) -> Result<()> {
    match &node.schema.default {
        Some(default) if options.replace_null && !default.is_null() => {
            return write_value(node, default, options, out);
        }
        _ if node.schema.optional => out.extend_from_slice(b"null"),
        _ => {
            return Err(disagree(
                "Conversion error: null value for field that is required and has no default value",
            ));
        }
    }
    Ok(())
}

/// Returns the error about a value that does not match its schema.
#[cold]
fn disagree(text: impl Into<Cow<'static, str>>) -> LocatedError {
    LocatedError::from(Error::record(text)).hint(WRITTEN)
}

#[cold]
fn mismatch(node: &JsonNode, value: &Value) -> LocatedError {
    let class = java::class_name(value);
    disagree(match node.kind {
        JsonNodeKind::Decimal(_) => {
            format!("Invalid type for Decimal, expected BigDecimal but was class {class}")
        }
        JsonNodeKind::Date => format!("Invalid type for Date, expected Date but was class {class}"),
        JsonNodeKind::Time => format!("Invalid type for Time, expected Date but was class {class}"),
        JsonNodeKind::Timestamp => {
            format!("Invalid type for Timestamp, expected Date but was class {class}")
        }
        JsonNodeKind::Bytes => format!("Invalid type for bytes type: class {class}"),
        _ => format!("Invalid type for {}: class {class}", node.schema.ty.name()),
    })
}

fn write_struct(
    members: &[StructMember],
    values: &[Value],
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut mark = b'{';
    for (member, value) in members.iter().zip(values) {
        out.push(mark);
        mark = b',';
        out.extend_from_slice(&member.text);
        write_value(&member.node, value, options, out)
            .map_err(|met| met.within(&member.name, member.node.declared()))?;
    }
    if members.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// Writes `open`, the items separated by commas, and `close`.
fn write_list<T>(
    (open, close): (u8, u8),
    items: &[T],
    out: &mut Vec<u8>,
    mut write_item: impl FnMut(&T, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_item(item, out)?;
    }
    out.push(close);
    Ok(())
}

fn write_array(
    items: Option<&JsonNode>,
    values: &[Value],
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    write_list((b'[', b']'), values, out, |value, out| match items {
        Some(node) => {
            write_value(node, value, options, out).map_err(|met| met.within("[]", node.declared()))
        }
        None => write_schemaless(value, options, out).map_err(|met| met.within_plain("[]")),
    })
}

fn write_object(
    (keys, values): &(JsonNode, JsonNode),
    entries: &[(Value, Value)],
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    write_list((b'{', b'}'), entries, out, |(key, value), out| {
        if key.is_null() && keys.schema.optional {
            out.extend_from_slice(b"\"null\"");
        } else {
            write_side(keys, key, options, out)?;
        }
        out.push(b':');
        write_side(values, value, options, out)
    })
}

/// Writes the key or the value of a map's entry.
fn write_side(
    node: &JsonNode,
    value: &Value,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    write_value(node, value, options, out).map_err(|met| met.within("{}", node.declared()))
}

fn write_pairs(
    (keys, values): &(JsonNode, JsonNode),
    entries: &[(Value, Value)],
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    let (open, middle, close): (&[u8], &[u8], u8) = if options.entries {
        (b"{\"key\":", b",\"value\":", b'}')
    } else {
        (b"[", b",", b']')
    };
    write_list((b'[', b']'), entries, out, |(key, value), out| {
        out.extend_from_slice(open);
        write_side(keys, key, options, out)?;
        out.extend_from_slice(middle);
        write_side(values, value, options, out)?;
        out.push(close);
        Ok(())
    })
}

fn write_schemaless(value: &Value, options: &JsonOptions, out: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => write_bool(*b, out),
        Value::I8(n) => write_integer(*n, out),
        Value::I16(n) => write_integer(*n, out),
        Value::I32(n) => write_integer(*n, out),
        Value::I64(n) => write_integer(*n, out),
        Value::F32(n) => quote_unless(n.is_finite(), out, |out| java::write_f32(*n, out)),
        Value::F64(n) => quote_unless(n.is_finite(), out, |out| java::write_f64(*n, out)),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_base64(bytes, out),
        Value::Array(items) => return write_array(None, items, options, out),
        Value::Map(entries) => return write_schemaless_map(entries, options, out),
        Value::Struct(_) => return Err(disagree("Mismatching schema.")),
        Value::Decimal(_) => {
            let class = java::class_name(value);
            return Err(Error::record(format!(
                "Java class class {class} does not have corresponding schema type."
            ))
            .into());
        }
    }
    Ok(())
}

fn write_schemaless_map(
    entries: &[(Value, Value)],
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    if entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) {
        return write_list((b'{', b'}'), entries, out, |(key, value), out| {
            write_schemaless(key, options, out)?;
            out.push(b':');
            write_schemaless(value, options, out)
                .map_err(|met| met.within_plain(key.as_str().unwrap_or_default()))
        });
    }
    write_list((b'[', b']'), entries, out, |(key, value), out| {
        out.push(b'[');
        for (item, end) in [(key, b','), (value, b']')] {
            write_schemaless(item, options, out).map_err(|met| met.within_plain("{}"))?;
            out.push(end);
        }
        Ok(())
    })
}

fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn quote_unless(plain: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if plain {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_time(millis: i32, out: &mut Vec<u8>) -> Result<()> {
    if !(0..=MILLIS_PER_DAY).contains(&millis) {
        return Err(Error::record(
            "Kafka Connect Time type should not have any date fields set to non-zero values.",
        )
        .into());
    }
    write_integer(millis, out);
    Ok(())
}

fn write_decimal(
    scale: Option<i32>,
    value: &Decimal,
    options: &JsonOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    if options.numeric {
        java::write_decimal(value, out);
        return Ok(());
    }
    let scale =
        scale.ok_or_else(|| Error::record("Invalid Decimal schema: scale parameter not found."))?;
    same_scale(scale, i64::from(value.scale()))
        .map_err(|error| LocatedError::from(error).hint(WRITTEN))?;
    let mut bytes = Vec::with_capacity(16);
    value.write_be_bytes(&mut bytes);
    write_base64(&bytes, out);
    Ok(())
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // Cannot fail: the slice has exactly the length of the encoded text.
    let written = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

/// Appends text as a JSON string, escaped as Jackson does for Connect: control characters as
/// upper-case hexadecimal or in their short forms, characters above U+FFFF as surrogate pairs,
/// everything else unchanged.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut done = 0;
    let mut at = 0;
    loop {
        at += unescaped_length(&bytes[at..]);
        if at == bytes.len() {
            break;
        }
        out.extend_from_slice(&bytes[done..at]);
        at += write_escape(text, at, out);
        done = at;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Returns the length of the prefix that needs no escaping.
#[inline]
fn unescaped_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let four_byte_lead = word & (word << 1) & (word << 2) & (word << 3) & HIGH;
        let hit = control
            | has_zero(word ^ (ONES * 0x22))
            | has_zero(word ^ (ONES * 0x5c))
            | four_byte_lead;
        if hit != 0 {
            return at + hit.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|b| matches!(b, 0..0x20 | b'"' | b'\\' | 0xf0..))
        .unwrap_or(rest.len())
}

/// Writes the character at `at` escaped; returns its length in UTF-8.
fn write_escape(text: &str, at: usize, out: &mut Vec<u8>) -> usize {
    let Some(c) = text[at..].chars().next() else {
        return 1;
    };
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u");
                out.extend(
                    (0..4)
                        .rev()
                        .map(|nibble| HEX[usize::from((*unit >> (nibble * 4)) & 0xf)]),
                );
            }
            return c.len_utf8();
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

#[cfg(test)]
mod tests {
    use super::write_text;

    #[test]
    fn text_is_escaped_at_any_place() {
        let filler = "0123456789äöü€東\u{7f}\u{2028}/".repeat(2);
        for (c, want) in [
            ("\"", "\\\""),
            ("\\", "\\\\"),
            ("\n", "\\n"),
            ("\u{8}", "\\b"),
            ("\u{1f}", "\\u001F"),
            ("\0", "\\u0000"),
            ("😀", "\\uD83D\\uDE00"),
        ] {
            for at in (0..=filler.len()).filter(|at| filler.is_char_boundary(*at)) {
                let (before, after) = filler.split_at(at);
                let mut out = Vec::new();
                write_text(&format!("{before}{c}{after}"), &mut out);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    format!("\"{before}{want}{after}\"")
                );
            }
        }
    }
}
