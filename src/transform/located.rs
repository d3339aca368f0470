//! Lines that follow Kafka Connect's own text of a transform's error: the field that it is about,
//! its type, and the setting that helps. They contain no values.

use connector_api::{Error, ErrorKind, Field, Schema, SchemaType, Value};

use super::part::RecordPart;
use crate::convert::trail::{declared, holds_object, shortened};

/// Maximum number of field names that an error lists.
const MOST_FIELDS: usize = 20;

/// How to keep records without a key or value away from a transform that needs one.
const SKIP_NULLS: &str = "To apply the transform only to records that have a value, give it a predicate of the class \
     RecordIsTombstone, with negate=true.";
/// How to turn a value that is not an object into one.
const MAKE_OBJECT: &str = "The transform works on the fields of an object: check which converter reads the records \
     (key.converter, value.converter), or wrap the value in an object first, with HoistField.";

/// How to read an object that is within a text.
const OBJECT_IN_TEXT: &str = "It is a text that contains a JSON object. Either StringConverter reads it: JsonConverter (with \
     schemas.enable=false) reads objects. Or the producer encoded it twice, because it passed JSON \
     text to a JSON serializer: then it must send the object itself.";

/// Appends where an error occurred, and how to avoid it. `name` is empty if the transform works on
/// the whole key or value. `ty` is the type that was found.
#[cold]
pub(super) fn of_field(
    error: Error,
    part: RecordPart,
    name: &str,
    ty: &str,
    remedy: &str,
) -> Error {
    if error.kind() != ErrorKind::Record {
        return error;
    }
    let part = part.name();
    let place = if name.is_empty() {
        format!("It is the whole {part} of the record, of type {ty}.")
    } else {
        let name = shortened(name);
        format!("It is the field {name} of the {part}, of type {ty}.")
    };
    error.and_line(&place).and_line(remedy)
}

/// Appends the fields that exist to an error about one that does not, and the setting that names
/// it.
#[cold]
pub(super) fn missing_field(error: Error, fields: &[Field], key: &str) -> Error {
    error.and_line(&format!(
        "{key} must name one of the fields that the schema has: {}.",
        listed(fields)
    ))
}

fn listed(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "it has none".to_owned();
    }
    let mut names: Vec<&str> = fields
        .iter()
        .take(MOST_FIELDS)
        .map(|field| shortened(&field.name))
        .collect();
    if fields.len() > MOST_FIELDS {
        names.push("…");
    }
    names.join(", ")
}

/// Appends advice to an error about a key or value that is not an object.
#[cold]
pub(super) fn not_an_object(error: Error, found: &Value) -> Error {
    error.and_line(match found {
        Value::Null => SKIP_NULLS,
        Value::Text(text) if holds_object(text) => OBJECT_IN_TEXT,
        _ => MAKE_OBJECT,
    })
}

/// Returns the type of a value in one word, as its schema declares it if there is one.
pub(super) fn type_of(schema: Option<&Schema>, value: &Value) -> &'static str {
    let ty = match (schema, value) {
        (Some(schema), _) => return declared(schema),
        (None, Value::Null) => return "null",
        (None, Value::Decimal(_)) => return "Decimal",
        (None, Value::Bool(_)) => SchemaType::Boolean,
        (None, Value::I8(_)) => SchemaType::Int8,
        (None, Value::I16(_)) => SchemaType::Int16,
        (None, Value::I32(_)) => SchemaType::Int32,
        (None, Value::I64(_)) => SchemaType::Int64,
        (None, Value::F32(_)) => SchemaType::Float32,
        (None, Value::F64(_)) => SchemaType::Float64,
        (None, Value::Text(_)) => SchemaType::String,
        (None, Value::Bytes(_)) => SchemaType::Bytes,
        (None, Value::Array(_)) => SchemaType::Array,
        (None, Value::Map(_)) => SchemaType::Map,
        (None, Value::Struct(_)) => SchemaType::Struct,
    };
    ty.name()
}

#[cfg(test)]
mod tests {
    use connector_api::{Error, Value};

    use super::not_an_object;

    #[test]
    fn a_text_that_holds_an_object_is_recognized() {
        let of = |text: &str| {
            let error = not_an_object(Error::record("wrong"), &Value::Text(text.into()));
            error.message().to_owned()
        };
        assert!(of(" {\"id\": 1} ").contains("encoded it twice"));
        assert!(of("a text").contains("HoistField"));
        assert!(of("{id}").contains("HoistField"));
    }
}
