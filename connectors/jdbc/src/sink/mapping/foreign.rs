//! Recognises values that are no rows, so that an error can say what they are and what to do. Pure.

use connector_api::{Error, Schema, SchemaType, Value};

const SCHEMA_CHANGE: &str = "it is a schema change of Debezium, not a row: its topic has the same name as the source's \
     topic.prefix; remove it from topics and topics.regex, drop its records with the transform \
     Filter, or configure the source not to send them (include.schema.changes=false)";
const TRANSACTION: &str = "it is Debezium's marker for the begin or end of a transaction, not a row: remove its topic \
     (….transaction) from topics and topics.regex, or configure the source not to send them \
     (provide.transaction.metadata=false)";
const TWICE: &str = "the value is a text that contains a JSON object: the producer encoded it twice, because it \
     passed JSON text to a JSON serializer; send the object itself";

/// Describes a struct that is no row, if it is one that is known.
pub(crate) fn schema(schema: &Schema) -> Option<&'static str> {
    let name = schema
        .name
        .as_deref()
        .filter(|name| name.starts_with("io.debezium."))?;
    let has_all = |fields: &[&str]| {
        fields
            .iter()
            .all(|field| schema.field_index(field).is_some())
    };
    if name.ends_with(".SchemaChangeValue") || has_all(&["ddl", "tableChanges"]) {
        return Some(SCHEMA_CHANGE);
    }
    name.ends_with(".TransactionMetadataValue")
        .then_some(TRANSACTION)
}

/// Describes a value without a schema that is not of the expected type, if it is one that is known.
pub(crate) fn value(ty: Option<SchemaType>, value: &Value) -> Option<&'static str> {
    match value {
        Value::Text(text) if ty.is_none() => {
            let text = text.trim();
            (text.starts_with('{') && text.ends_with('}') && text.contains('"')).then_some(TWICE)
        }
        Value::Map(members) => {
            let has = |name: &str| members.iter().any(|(key, _)| key.as_str() == Some(name));
            if has("ddl") && has("databaseName") {
                Some(SCHEMA_CHANGE)
            } else {
                (has("status") && has("event_count") && has("data_collections"))
                    .then_some(TRANSACTION)
            }
        }
        _ => None,
    }
}

/// Appends to the error of a refused value what the value is, if it is one that is known.
#[cold]
pub(crate) fn explained(error: Error, refused: &Value) -> Error {
    match value(None, refused) {
        Some(is) => error.and_line(&format!("Most likely {is}.")),
        None => error,
    }
}
