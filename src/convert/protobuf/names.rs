//! Names by which Connect's data is told in Protobuf schemas: those of Confluent's ProtobufData.

use prost_reflect::{FieldDescriptor, Value as Option_};

/// Name of structs without a name; a number follows.
pub(super) const DEFAULT_NAME: &str = "ConnectDefault";
/// Parameter with the number of a field.
pub(super) const TAG: &str = "io.confluent.connect.protobuf.Tag";
/// Parameter of a text that was an enum: its name. Those of its symbols follow it after a point:
/// their numbers.
pub(super) const ENUM: &str = "io.confluent.connect.protobuf.Enum";
/// Beginning of the name of a struct that stands for a oneof.
pub(super) const UNION: &str = "io.confluent.connect.protobuf.Union.";
/// Parameter of a field's own options: its type in Connect.
pub(super) const CONNECT_TYPE: &str = "connect.type";

pub(super) const DECIMAL: &str = "confluent.type.Decimal";
pub(super) const DATE: &str = "google.type.Date";
pub(super) const TIME: &str = "google.type.TimeOfDay";
pub(super) const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// Whether a message only wraps a number, text or bytes, so that it can be missing.
pub(super) fn is_wrapper(message: &str) -> bool {
    let wrapped = message
        .strip_prefix("google.protobuf.")
        .and_then(|name| name.strip_suffix("Value"));
    let wrapped = wrapped.unwrap_or_default();
    matches!(
        wrapped,
        "Double" | "Float" | "Int64" | "UInt64" | "Int32" | "UInt32" | "Bool" | "String" | "Bytes"
    )
}

/// A parameter in `(confluent.field_meta)` of a field.
pub(super) fn parameter(field: &FieldDescriptor, name: &str) -> Option<String> {
    let extension = field
        .parent_message()
        .parent_pool()
        .get_extension_by_name("confluent.field_meta")?;
    let options = field.options();
    let meta = options.get_extension(&extension);
    let params = meta.as_message()?.get_field_by_name("params")?.into_owned();
    let value = params
        .as_map()?
        .get(&prost_reflect::MapKey::String(name.to_owned()))?;
    match value {
        Option_::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// A name that Protobuf takes, near to the given one.
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
        out.insert(0, 'x');
    }
    out
}

/// Whether Protobuf takes it as one part of a name.
pub(super) fn is_valid(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes()
        .next()
        .is_some_and(|b| rest(b) && !b.is_ascii_digit())
        && name.bytes().all(rest)
}
