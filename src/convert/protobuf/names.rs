//! Names by which Confluent's ProtobufData expresses Connect's metadata in Protobuf schemas.

#![expect(clippy::indexing_slicing, reason = "the text is not empty there")]

use connector_api::logical;
use prost_reflect::{FieldDescriptor, MapKey, Value as OptionValue};

/// Name of unnamed structs; a number follows.
pub(super) const DEFAULT_NAME: &str = "ConnectDefault";
/// Parameter with the number of a field.
pub(super) const TAG: &str = "io.confluent.connect.protobuf.Tag";
/// Parameter of a string that was an enum: the enum's name. The parameters of its symbols append a
/// dot and the symbol, and hold their numbers.
pub(super) const ENUM: &str = "io.confluent.connect.protobuf.Enum";
/// Prefix of the name of a struct that represents a oneof.
pub(super) const UNION: &str = "io.confluent.connect.protobuf.Union.";
/// Parameter in a field's options: its type in Connect.
pub(super) const CONNECT_TYPE: &str = "connect.type";

pub(super) const DECIMAL: &str = "confluent.type.Decimal";
pub(super) const DATE: &str = "google.type.Date";
pub(super) const TIME: &str = "google.type.TimeOfDay";
pub(super) const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// True if a message only wraps a number, text or bytes, so that it can be absent.
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

/// Returns a parameter in `(confluent.field_meta)` of a field.
pub(super) fn parameter(field: &FieldDescriptor, name: &str) -> Option<String> {
    let params = parameters(field)?;
    let value = params.as_map()?.get(&MapKey::String(name.to_owned()))?;
    value.as_str().map(str::to_owned)
}

/// Returns the parameters in `(confluent.field_meta)` that describe a field's column in its source,
/// ordered by name.
pub(super) fn column_parameters(field: &FieldDescriptor) -> Vec<(String, String)> {
    let params = parameters(field);
    let entries = params.as_ref().and_then(OptionValue::as_map).into_iter();
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?)))
        .filter(|(name, _)| is_of_column(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    found.sort_unstable();
    found
}

/// True for a parameter that describes a field's column in its source.
pub(super) fn is_of_column(parameter: &str) -> bool {
    logical::COLUMN_PARAMETERS
        .iter()
        .any(|prefix| parameter.starts_with(prefix))
}

fn parameters(field: &FieldDescriptor) -> Option<OptionValue> {
    let extension = field
        .parent_message()
        .parent_pool()
        .get_extension_by_name("confluent.field_meta")?;
    let options = field.options();
    let meta = options.get_extension(&extension);
    Some(meta.as_message()?.get_field_by_name("params")?.into_owned())
}

/// Returns a text as a literal of a `.proto` file.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                out.push_str(&format!("\\{:03o}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Returns a valid Protobuf name that resembles the given one.
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

/// True if Protobuf accepts the text as one part of a name.
pub(super) fn is_valid(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes()
        .next()
        .is_some_and(|b| rest(b) && !b.is_ascii_digit())
        && name.bytes().all(rest)
}
