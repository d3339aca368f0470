//! Random schemas and values through the converter and back, the schemas' text, and damaged bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Converter, Datum, Decimal, Field, Schema, SchemaType, Value};
use serde_json::{Value as Json, json};

use super::JsonSchemaFormat;
use crate::convert::random::Random;
use crate::convert::registered::testing::{self, InMemorySchemas, config};
use crate::convert::registered::{RegistryConverter, SchemaFormat, SchemaLanguage, SchemaText};

fn converter_over(
    known: InMemorySchemas,
    more: &[(&str, &str)],
) -> RegistryConverter<JsonSchemaFormat> {
    testing::converter(JsonSchemaFormat::new, known, more)
}

fn encoded(converter: &mut dyn Converter, datum: &Datum) -> Option<Vec<u8>> {
    testing::encoded(converter, datum).unwrap()
}

fn registered(text: &Json, references: &[&str]) -> SchemaText {
    testing::registered(SchemaLanguage::Json, &text.to_string(), references)
}

fn reads(schema: &Json, payload: &str, more: &[(&str, &str)]) -> connector_api::Result<Datum> {
    testing::read(
        JsonSchemaFormat::new,
        registered(schema, &[]),
        payload.as_bytes(),
        more,
    )
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random::seeded();
    let mut converters = ["BASE64", "NUMERIC"]
        .map(|format| converter_over(InMemorySchemas::default(), &[("decimal.format", format)]));
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let schema = Arc::new(random.plain_schema(2));
        for (converter_at, converter) in converters.iter_mut().enumerate() {
            let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
            let Some(bytes) = encoded(converter, &datum) else {
                continue;
            };
            let back = converter.decode("t", Some(&bytes)).unwrap();
            // Decimal defaults lose their scale when written as numbers.
            if converter_at == 0 {
                assert_eq!(
                    back.schema,
                    datum.schema,
                    "{}",
                    String::from_utf8_lossy(&bytes)
                );
            }
            assert!(
                same(&back.value, &datum.value),
                "{}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

/// True if equal, ignoring the scale of decimals that were written as numbers.
fn same(a: &Value, b: &Value) -> bool {
    let all =
        |a: &[Value], b: &[Value]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    match (a, b) {
        (Value::Decimal(_), Value::Decimal(_)) => true,
        (Value::Array(a), Value::Array(b)) | (Value::Struct(a), Value::Struct(b)) => all(a, b),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((ka, va), (kb, vb))| same(ka, kb) && same(va, vb))
        }
        _ => a == b,
    }
}

#[test]
fn damaged_bytes_never_panic() {
    testing::damage(&mut converter_over(InMemorySchemas::default(), &[]), 2);
}

#[test]
fn schemas_have_the_text_that_confluents_converter_registers() {
    let schema = Schema::structure(
        Some("shop.users"),
        vec![
            Field::new("id", Schema::of(SchemaType::Int32)),
            Field::new("name", Schema::of(SchemaType::String).optional(true)),
            Field::new("price", Schema::decimal(2)),
            Field::new(
                "odd",
                Schema::map(
                    Schema::of(SchemaType::Int32),
                    Schema::of(SchemaType::Boolean),
                ),
            ),
        ],
    );
    let known = JsonSchemaFormat::new(&config(&[]))
        .unwrap()
        .schema_of(&schema)
        .unwrap()
        .text;
    let expected = json!({"type": "object", "title": "shop.users", "properties": {
        "id": {"type": "integer", "connect.type": "int32", "connect.index": 0},
        "name": {"oneOf": [{"type": "null"}, {"type": "string"}], "connect.index": 1},
        "price": {"type": "string", "title": "org.apache.kafka.connect.data.Decimal", "connect.type": "bytes",
            "connect.version": 1, "connect.parameters": {"scale": "2"}, "connect.index": 2},
        "odd": {"type": "array", "items": {"type": "object", "properties": {
            "key": {"type": "integer", "connect.type": "int32"}, "value": {"type": "boolean"}}},
            "connect.type": "map", "connect.index": 3},
    }});
    assert_eq!(serde_json::from_str::<Json>(&known).unwrap(), expected);
    let price = Value::Decimal(Box::new(Decimal::new(156, 2)));
    let odd = Value::Map([(Value::I32(1), Value::Bool(true))].into());
    let datum = Datum::new(
        Arc::new(schema),
        Value::Struct([Value::I32(7), Value::Null, price, odd].into()),
    );
    let bytes = encoded(
        &mut converter_over(InMemorySchemas::default(), &[("decimal.format", "NUMERIC")]),
        &datum,
    )
    .unwrap();
    let text = "{\"id\":7,\"name\":null,\"price\":1.56,\"odd\":[{\"key\":1,\"value\":true}]}";
    assert_eq!(
        (&bytes[..5], std::str::from_utf8(&bytes[5..]).unwrap()),
        (&[0, 0, 0, 0, 1][..], text)
    );
}

#[test]
fn schemas_of_other_producers_are_read() {
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "title": "Order",
        "properties": {"b": {"type": "integer"}, "a": {"type": ["null", "number"], "description": "how much"},
            "state": {"enum": ["NEW", "PAID"]}, "who": {"$ref": "#/definitions/who"}, "tags": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["b"], "definitions": {"who": {"type": "object", "properties": {"x": {"type": "boolean"}}}}});
    let payload = r#"{"who":{"x":true},"b":5,"a":1.5,"state":"NEW","tags":{"k":"v"},"more":[1]}"#;
    let Datum {
        schema: derived,
        value,
    } = reads(&schema, payload, &[]).unwrap();
    let names: Vec<_> = derived
        .unwrap()
        .fields
        .iter()
        .map(|f| (f.name.to_string(), f.schema.ty, f.schema.optional))
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|(name, ty, optional)| (name.as_str(), *ty, *optional))
        .collect();
    let expected = [
        ("b", SchemaType::Int64, false),
        ("a", SchemaType::Float64, true),
        ("state", SchemaType::String, false),
        ("who", SchemaType::Struct, false),
        ("tags", SchemaType::Map, false),
    ];
    assert_eq!(names, expected);
    let Value::Struct(values) = value else {
        panic!("no struct")
    };
    assert_eq!(
        (&values[0], &values[3]),
        (&Value::I64(5), &Value::Struct([Value::Bool(true)].into()))
    );
    assert!(reads(&schema, r#"{"b":5}"#, &[]).is_err());
    assert!(
        reads(
            &schema,
            r#"{"b":5}"#,
            &[("use.optional.for.nonrequired", "true")]
        )
        .is_ok()
    );
    assert!(
        reads(&json!({"$ref": "#"}), "1", &[])
            .unwrap_err()
            .message()
            .contains("contains itself")
    );
    let several = json!({"oneOf": [{"type": "integer"}, {"type": "string"}]});
    assert!(
        reads(&several, "1", &[])
            .unwrap_err()
            .message()
            .contains("not supported")
    );
}

#[test]
fn references_to_other_subjects_are_followed() {
    let inner = json!({"type": "object", "properties": {"x": {"type": "string"}}});
    let outer = json!({"type": "object", "properties": {"in": {"$ref": "inner.json"}}});
    let known = InMemorySchemas(vec![
        ("inner.json".to_owned(), registered(&inner, &[])),
        ("t-value".to_owned(), registered(&outer, &["inner.json"])),
    ]);
    let bytes = [&[0, 0, 0, 0, 2], r#"{"in":{"x":"y"}}"#.as_bytes()].concat();
    let datum = converter_over(known, &[])
        .decode("t", Some(&bytes))
        .unwrap();
    assert_eq!(
        datum.value,
        Value::Struct([Value::Struct([Value::Text("y".into())].into())].into())
    );
}

#[test]
fn damaged_schemas_never_panic() {
    testing::damage_schemas(&JsonSchemaFormat::new(&config(&[])).unwrap(), 2);
}

#[test]
fn an_error_names_its_field_what_is_declared_and_what_helps() {
    let schema = json!({"type": "object", "title": "r", "properties": {
        "id": {"type": "integer", "connect.index": 0},
        "lines": {"type": "array", "connect.index": 1, "items": {"type": "object", "properties": {"n": {"type": "integer"}}}}}});
    let error = reads(&schema, r#"{"id":1,"lines":[{"n":1},{"n":"4711"}]}"#, &[]).unwrap_err();
    let lines: Vec<_> = error.message().lines().collect();
    assert!(lines[0].ends_with(
        "Invalid type for INT64, underlying representation should be numeric but was STRING"
    ));
    assert_eq!(
        lines[1],
        "It is the field lines[].n of the payload, which the schema declares INT64."
    );
    assert!(
        lines[2].contains("strict=false") && !error.message().contains("4711"),
        "{error}"
    );
    let row = Schema::structure(
        Some("v"),
        vec![Field::new("n", Schema::of(SchemaType::Int32))],
    );
    let datum = Datum::new(
        Arc::new(row),
        Value::Struct([Value::Text("4711".into())].into()),
    );
    let error = converter_over(InMemorySchemas::default(), &[])
        .encode("t", &datum, &mut Vec::new())
        .unwrap_err();
    assert!(
        error.message().contains("field n of the payload")
            && error.message().contains("(transforms)"),
        "{error}"
    );
}
