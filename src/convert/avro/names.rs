//! Names and attributes by which Connect's data is told in Avro schemas: those of Confluent's
//! AvroData.

use serde_json::{Map, Value as Json};

/// Namespace of what has no name of its own.
pub(super) const SPACE: &str = "io.confluent.connect.avro";
/// Name of structs without a name; a number follows from the second on.
pub(super) const DEFAULT_NAME: &str = "ConnectDefault";
/// Name of the records of a map whose keys are no text.
pub(super) const MAP_ENTRY: &str = "MapEntry";
/// Name of the struct that stands for a union; also the parameter that marks it.
pub(super) const UNION: &str = "io.confluent.connect.avro.Union";
/// Parameter of a string that was an enum; those of its symbols follow it after a point.
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

/// Precision of a decimal whose schema tells none.
pub(super) const PRECISION: i64 = 64;

/// Whether a record's name only stands for having none.
pub(super) fn is_default(name: &str) -> bool {
    let number = name
        .strip_prefix(SPACE)
        .and_then(|n| n.strip_prefix('.'))
        .and_then(|n| n.strip_prefix(DEFAULT_NAME));
    number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether Avro takes it as one part of a name.
pub(super) fn is_valid(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes()
        .next()
        .is_some_and(|b| rest(b) && !b.is_ascii_digit())
        && name.bytes().all(rest)
}

/// A name that Avro takes, near to the given one.
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

/// A JSON object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Map<String, Json> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
