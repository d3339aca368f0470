//! When two keys are the same row's, and their bytes, by which a batch is grouped. Pure.

use connector_api::{Schema, Type};

use super::group::Identity;
use crate::dialect::writing::Logical;
use crate::driver::Param;

/// When two values of a key column are the same to the database. Numbers with fractions and points in time may be
/// rounded by the column, so nothing is known of them.
pub fn identity(schema: &Schema, text_is_exact: bool) -> Identity {
    match (Logical::of(schema), schema.ty) {
        (Logical::Date, _) => Identity::Exact,
        (Logical::None, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::Boolean) => Identity::Exact,
        (Logical::None, Type::String) if !text_is_exact => Identity::Text,
        (Logical::None, Type::String | Type::Bytes) => Identity::Exact,
        _ => Identity::Unknown,
    }
}

/// Appends a key column's parameter so that unequal values have unequal bytes. Where numbers are `ordered`, their bytes
/// sort as they do; otherwise everything but text is ASCII.
pub fn key_bytes(param: &Param<'_>, ordered: bool, out: &mut Vec<u8>) {
    match param {
        Param::Null => out.push(1),
        Param::Bool(flag) => return key_bytes(&Param::I64(i64::from(*flag)), ordered, out),
        Param::I64(n) if ordered => out.extend_from_slice(&(*n as u64 ^ (1 << 63)).to_be_bytes()),
        Param::I64(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        Param::U64(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
        Param::F32(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Param::F64(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Param::Text(text) => escaped(text.as_bytes(), out),
        Param::Bytes(bytes) => escaped(bytes, out),
    }
    out.extend_from_slice(&[0, 0]);
}

/// Two zeros end a value, so one inside is followed by a one.
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
    use super::{Param, key_bytes};

    #[test]
    fn key_bytes_are_unique_and_numbers_sort() {
        let bytes = |params: &[Param<'_>], ordered| {
            let mut out = Vec::new();
            params.iter().for_each(|p| key_bytes(p, ordered, &mut out));
            out
        };
        let text = |t: &'static str| Param::Text(t.into());
        assert_ne!(bytes(&[text("a\0"), text("b")], false), bytes(&[text("a"), text("\0b")], false));
        assert_ne!(bytes(&[text("")], false), bytes(&[Param::Null], false));
        let sorted = [i64::MIN, -1, 0, 1, i64::MAX].map(|n| bytes(&[Param::I64(n)], true));
        assert!(sorted.is_sorted());
    }
}
