//! Names and attributes by which Confluent's AvroData expresses Connect's metadata in Avro schemas.

#![expect(clippy::indexing_slicing, reason = "the text is not empty there")]

use serde_json::{Map, Value as Json};

/// Namespace of types without a name.
pub(super) const SPACE: &str = "io.confluent.connect.avro";
/// Name of unnamed structs; a number is appended from the second one on.
pub(super) const DEFAULT_NAME: &str = "ConnectDefault";
/// Record name for the entries of a map whose keys are not text.
pub(super) const MAP_ENTRY: &str = "MapEntry";
/// Name of the struct that represents a union; also the parameter that marks it.
pub(super) const UNION: &str = "io.confluent.connect.avro.Union";
/// Parameter of a string that was an enum; the parameters of its symbols append a dot and the
/// symbol.
pub(super) const ENUM: &str = "io.confluent.connect.avro.Enum";
/// Parameter of bytes that were a fixed.
pub(super) const FIXED_SIZE: &str = "connect.fixed.size";

pub(super) const CONNECT_NAME: &str = "connect.name";
pub(super) const CONNECT_VERSION: &str = "connect.version";
pub(super) const CONNECT_DOC: &str = "connect.doc";
pub(super) const CONNECT_PARAMETERS: &str = "connect.parameters";
pub(super) const CONNECT_DEFAULT: &str = "connect.default";
pub(super) const CONNECT_TYPE: &str = "connect.type";
pub(super) const INTERNAL_TYPE: &str = "connect.internal.type";

/// Precision of a decimal whose schema does not declare one.
pub(super) const PRECISION: i64 = 64;

/// True if a record's name is only a placeholder for a missing one.
pub(super) fn is_default(name: &str) -> bool {
    let number = name
        .strip_prefix(SPACE)
        .and_then(|n| n.strip_prefix('.'))
        .and_then(|n| n.strip_prefix(DEFAULT_NAME));
    number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// True if Avro accepts the text as one part of a name.
pub(super) fn is_valid(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes()
        .next()
        .is_some_and(|b| rest(b) && !b.is_ascii_digit())
        && name.bytes().all(rest)
}

/// Returns a valid Avro name that resembles the given one.
pub(super) fn scrubbed(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if out.is_empty() || out.as_bytes()[0].is_ascii_digit() {
        out.insert(0, '_');
    }
    out
}
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Map<String, Json> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
