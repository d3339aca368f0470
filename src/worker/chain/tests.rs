//! What errors of transforms say.

use std::sync::Arc;

use connector_api::{Config, Datum, Field, Record, Schema, SchemaType, Value};

use super::TransformChain;
use crate::registry::Registry;

fn record(value: Datum) -> Record {
    Record {
        topic: "t".into(),
        partition: None,
        key: Datum::NONE,
        value,
        timestamp_ms: None,
        headers: Vec::new(),
    }
}

/// A value with a field of each type that transforms refuse.
fn row() -> Datum {
    let fields = vec![
        Field::new("text", Schema::of(SchemaType::String)),
        Field::new("bytes", Schema::of(SchemaType::Bytes)),
        Field::new("yes", Schema::of(SchemaType::Boolean)),
        Field::new("n", Schema::of(SchemaType::Int32)),
    ];
    let members = [
        Value::Text("secret-value".into()),
        Value::Bytes([1].into()),
        Value::Bool(true),
        Value::I32(5),
    ];
    Datum::new(
        Arc::new(Schema::structure(None, fields)),
        Value::Struct(members.into()),
    )
}

/// Returns the error of the transform `class` with these settings.
fn error_of(class: &str, settings: &[(&str, &str)], value: Datum) -> String {
    let mut config = Config::from([("transforms", "ts"), ("transforms.ts.type", class)]);
    for (name, text) in settings {
        config.set(format!("transforms.ts.{name}"), *text);
    }
    let mut chain = TransformChain::open(&Registry::built_in(), &config).unwrap();
    let (_, error) = chain.apply(record(value), None).unwrap_err();
    error.message().to_owned()
}

/// A transform's class, its settings, a value that it refuses, and parts of the lines after
/// Connect's text.
type RefusedRecord = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Datum,
    &'static [&'static str],
);

const TRANSFORMS: &str = "org.apache.kafka.connect.transforms.";

#[test]
fn errors_name_the_field_its_type_and_the_keys_that_help() {
    let plain = || Datum {
        schema: None,
        value: Value::Map([(Value::Text("when".into()), Value::Bool(true))].into()),
    };
    let tests: [RefusedRecord; 16] = [
        (
            "Cast$Value",
            &[("spec", "text:int8")],
            row(),
            &[
                "the field text of the value, of type STRING",
                "spec casts it to INT8",
            ],
        ),
        (
            "Cast$Value",
            &[("spec", "bytes:int8")],
            row(),
            &["the field bytes of the value, of type BYTES", "spec"],
        ),
        (
            "TimestampConverter$Value",
            &[("field", "yes"), ("target.type", "Date")],
            row(),
            &[
                "the field yes of the value, of type BOOLEAN",
                "field",
                "format",
                "unix.precision",
            ],
        ),
        (
            "TimestampConverter$Value",
            &[
                ("field", "text"),
                ("target.type", "Date"),
                ("format", "yyyy"),
            ],
            row(),
            &["the field text of the value, of type STRING", "format"],
        ),
        (
            "TimestampConverter$Value",
            &[("field", "when"), ("target.type", "Date")],
            plain(),
            &["the field when of the value, of type BOOLEAN"],
        ),
        (
            "MaskField$Value",
            &[("fields", "n,bytes")],
            row(),
            &[
                "the field bytes of the value, of type BYTES",
                "fields",
                "ReplaceField",
            ],
        ),
        (
            "MaskField$Value",
            &[("fields", "n"), ("replacement", "x")],
            row(),
            &["the field n of the value, of type INT32", "replacement"],
        ),
        (
            "MaskField$Value",
            &[("fields", "when"), ("replacement", "x")],
            plain(),
            &[
                "the field when of the value, of type BOOLEAN",
                "replacement",
            ],
        ),
        (
            "ExtractField$Value",
            &[("field", "Text")],
            row(),
            &["field must name one of the fields that the schema has: text, bytes, yes, n."],
        ),
        (
            "ExtractField$Value",
            &[("field", "n.x"), ("field.syntax.version", "V2")],
            row(),
            &[
                "The path n.x asks for the field x of a INT32",
                "field.syntax.version",
            ],
        ),
        (
            "ValueToKey",
            &[("fields", "id")],
            row(),
            &["fields must name one of the fields that the schema has: text, bytes"],
        ),
        (
            "HeaderFrom$Value",
            &[("fields", "id"), ("headers", "h"), ("operation", "copy")],
            row(),
            &["fields must name one of the fields that the schema has: text, bytes"],
        ),
        (
            "ValueToKey",
            &[("fields", "id")],
            Datum::NONE,
            &["RecordIsTombstone", "negate=true"],
        ),
        (
            "ReplaceField$Value",
            &[("renames", "n:text")],
            row(),
            &["would give the name text to two fields"],
        ),
        (
            "InsertField$Value",
            &[("offset.field", "o")],
            row(),
            &["remove offset.field"],
        ),
        (
            "TimestampRouter",
            &[],
            row(),
            &["topic.format", "MessageTimestampRouter"],
        ),
    ];
    for (class, settings, value, wanted) in tests {
        let error = error_of(&format!("{TRANSFORMS}{class}"), settings, value);
        let (first, advice) = error.split_once('\n').unwrap();
        assert!(!first.is_empty());
        for text in wanted {
            assert!(advice.contains(text), "{class}: no {text:?} in {error}");
        }
        let last = advice.lines().next_back().unwrap();
        assert_eq!(
            last, "The transform is ts; its settings begin with transforms.ts.",
            "{error}"
        );
        assert!(!error.contains("secret-value"), "{error}");
    }
}
