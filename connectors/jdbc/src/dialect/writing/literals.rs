//! Values as SQL literals. Pure.

#![expect(clippy::indexing_slicing, reason = "half a byte is one of 16 digits")]

use std::fmt::Write as _;

use connector_api::Value;

/// Appends a schema's default as a number's digits. `None` if it is not a number.
pub(in crate::dialect) fn numeric_literal(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::I8(_) | Value::I16(_) | Value::I32(_) | Value::I64(_) => {
            write!(out, "{}", value.as_i64()?)
        }
        Value::F32(n) if n.is_finite() => write!(out, "{n:?}"),
        Value::F64(n) if n.is_finite() => write!(out, "{n:?}"),
        Value::Decimal(n) => write!(out, "{n}"),
        _ => return None,
    }
    .ok()
}

/// Appends bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}
