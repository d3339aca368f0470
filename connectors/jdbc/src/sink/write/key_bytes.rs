//! Compares keys as the database does, and encodes them as the bytes by which a batch is grouped.
//! Pure.

use connector_api::{Schema, SchemaType};

use super::group::KeyIdentity;
use crate::dialect::logical_type::LogicalType;
use crate::dialect::writing::TextEquality;
use crate::driver::SqlParam;

/// Returns when the database treats two values of a key column as equal. The column may round
/// fractions and points in time, so nothing is known of those.
pub(crate) fn identity(schema: &Schema, text: TextEquality) -> KeyIdentity {
    match (LogicalType::of(schema), schema.ty) {
        (LogicalType::Date, _) => KeyIdentity::Exact,
        (
            LogicalType::None,
            SchemaType::Int8
            | SchemaType::Int16
            | SchemaType::Int32
            | SchemaType::Int64
            | SchemaType::Boolean,
        ) => KeyIdentity::Exact,
        (LogicalType::None, SchemaType::String) => match text {
            TextEquality::Exact => KeyIdentity::Exact,
            TextEquality::Folded => KeyIdentity::Text,
            TextEquality::Unknown => KeyIdentity::Unknown,
        },
        (LogicalType::None, SchemaType::Bytes) => KeyIdentity::Exact,
        _ => KeyIdentity::Unknown,
    }
}

/// Appends a key column's parameter so that unequal values have unequal bytes. If numbers are
/// `ordered`, their bytes sort as the numbers do; otherwise everything but text is ASCII.
pub(crate) fn key_bytes(param: &SqlParam<'_>, ordered: bool, out: &mut Vec<u8>) {
    match param {
        SqlParam::Null => out.push(1),
        SqlParam::Bool(flag) => return key_bytes(&SqlParam::I64(i64::from(*flag)), ordered, out),
        SqlParam::I64(n) if ordered => {
            out.extend_from_slice(&(n.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        }
        SqlParam::I64(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        SqlParam::U64(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        SqlParam::F32(n) => out.extend_from_slice(n.to_string().as_bytes()),
        SqlParam::F64(n) => out.extend_from_slice(n.to_string().as_bytes()),
        SqlParam::Text(text) => escaped(text.as_bytes(), out),
        SqlParam::Bytes(bytes) => escaped(bytes, out),
    }
    out.extend_from_slice(&[0, 0]);
}

/// Escapes zero bytes: two zeros end a value, so a zero within one is followed by a one.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.split_inclusive(|b| *b == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SqlParam, key_bytes};

    #[test]
    fn key_bytes_are_unique_and_numbers_sort() {
        let bytes = |params: &[SqlParam<'_>], ordered| {
            let mut out = Vec::new();
            params.iter().for_each(|p| key_bytes(p, ordered, &mut out));
            out
        };
        let text = |t: &'static str| SqlParam::Text(t.into());
        assert_ne!(
            bytes(&[text("a\0"), text("b")], false),
            bytes(&[text("a"), text("\0b")], false)
        );
        assert_ne!(bytes(&[text("")], false), bytes(&[SqlParam::Null], false));
        let sorted = [i64::MIN, -1, 0, 1, i64::MAX].map(|n| bytes(&[SqlParam::I64(n)], true));
        assert!(sorted.is_sorted());
    }
}
