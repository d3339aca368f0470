//! Random schemas and values through the converter and back, the schemas' text, and damaged bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Converter, Datum, Decimal, Field, Schema, SchemaType, Value};

use super::ProtobufFormat;
use crate::convert::random::Random;
use crate::convert::registered::testing::{self, InMemorySchemas, config};
use crate::convert::registered::{RegistryConverter, SchemaFormat, SchemaLanguage, SchemaText};

fn converter_over(
    known: InMemorySchemas,
    more: &[(&str, &str)],
) -> RegistryConverter<ProtobufFormat> {
    testing::converter(ProtobufFormat::new, known, more)
}

fn registered(text: &str, imports: &[&str]) -> SchemaText {
    testing::registered(SchemaLanguage::Protobuf, text, imports)
}

fn reads(text: &str, payload: &[u8], more: &[(&str, &str)]) -> connector_api::Result<Datum> {
    testing::read(ProtobufFormat::new, registered(text, &[]), payload, more)
}

fn round_trip(schema: Schema, value: Value, more: &[(&str, &str)]) -> connector_api::Result<Datum> {
    let mut converter = converter_over(InMemorySchemas::default(), more);
    let mut bytes = Vec::new();
    converter.encode("t", &Datum::new(Arc::new(schema), value), &mut bytes)?;
    converter.decode("t", Some(&bytes))
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random::seeded();
    let format = ProtobufFormat::new(&config(&[])).unwrap();
    let mut converter = converter_over(InMemorySchemas::default(), &[]);
    let until = Instant::now() + Duration::from_secs(2);
    let mut compared = 0;
    while Instant::now() < until || compared == 0 {
        let schema = Arc::new(random.plain_schema(1));
        // Some types, such as lists of lists, have no counterpart.
        if format.schema_of(&schema).is_err() {
            continue;
        }
        for _ in 0..8 {
            let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
            let mut bytes = Vec::new();
            if let Err(error) = converter.encode("t", &datum, &mut bytes) {
                assert!(
                    error.message().contains("null") || error.message().contains("fit"),
                    "{error}"
                );
                continue;
            }
            let back = converter.decode("t", Some(&bytes)).unwrap();
            assert!(
                same(&back.value, &datum.value),
                "{:?} instead of {datum:?}",
                back.value
            );
            compared += 1;
        }
    }
    println!("{compared} compared");
}

/// True if equal, ignoring the width of a map's keys, which Protobuf cannot express.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) | (Value::Struct(a), Value::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let key =
                |a: &Value, b: &Value| a == b || a.as_i64().is_some_and(|n| Some(n) == b.as_i64());
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((ka, va), (kb, vb))| key(ka, kb) && same(va, vb))
        }
        _ => a == b,
    }
}

#[test]
fn damaged_bytes_never_panic() {
    testing::damage(&mut converter_over(InMemorySchemas::default(), &[]), 1);
}

#[test]
fn schemas_have_the_text_that_confluents_converter_registers() {
    let inner = Schema::structure(None, vec![Field::new("x", Schema::of(SchemaType::Bytes))]);
    let schema = Schema::structure(
        Some("shop.users"),
        vec![
            Field::new("id", Schema::of(SchemaType::Int32)),
            Field::new("small", Schema::of(SchemaType::Int16).optional(true)),
            Field::new("price", Schema::decimal(2)),
            Field::new("at", Schema::timestamp()),
            Field::new(
                "tags",
                Schema::map(
                    Schema::of(SchemaType::String),
                    Schema::of(SchemaType::Int64),
                ),
            ),
            Field::new("inner", Schema::array(inner)),
        ],
    );
    let text = ProtobufFormat::new(&config(&[]))
        .unwrap()
        .schema_of(&schema)
        .unwrap()
        .text;
    let expected = "syntax = \"proto3\";\npackage shop;\n\nimport \"confluent/meta.proto\";\nimport \"confluent/type/decimal.proto\";\n\
import \"google/protobuf/timestamp.proto\";\n\nmessage users {\n  int32 id = 1;\n  optional int32 small = 2 \
[(confluent.field_meta) = {params: [{key: \"connect.type\", value: \"int16\"}]}];\n  .confluent.type.Decimal price = 3 \
[(confluent.field_meta) = {params: [{key: \"scale\", value: \"2\"}]}];\n  .google.protobuf.Timestamp at = 4;\n  \
map<string, int64> tags = 5;\n  repeated ConnectDefault1 inner = 6;\n\n  message ConnectDefault1 {\n    bytes x = 1;\n  }\n}\n";
    assert_eq!(text, expected);
    let price = Value::Decimal(Box::new(Decimal::new(-156, 2)));
    let item = Value::Struct([Value::Bytes([1].into())].into());
    let tags = Value::Map([(Value::Text("a".into()), Value::I64(0))].into());
    let values = [
        Value::I32(0),
        Value::I16(-5),
        price,
        Value::I64(-1),
        tags,
        Value::Array([item].into()),
    ];
    let back = round_trip(schema, Value::Struct(values.clone().into()), &[]).unwrap();
    assert_eq!(back.value, Value::Struct(values.into()));
    let schema = back.schema.unwrap();
    assert_eq!(
        (schema.name.as_deref(), schema.fields[1].schema.ty),
        (Some("users"), SchemaType::Int16)
    );
    assert_eq!(
        schema.fields[2]
            .schema
            .get_param("io.confluent.connect.protobuf.Tag"),
        Some("3")
    );
}

#[test]
fn the_column_type_that_a_field_carries_arrives_with_it() {
    let carried = [
        ("__debezium.source.column.type", "ENUM"),
        ("rowferry.source.column.items", "'a\"b\\','\u{1}c\u{301}'"),
        ("rowferry.source.database", "mysql"),
    ];
    let with = |schema: Schema| {
        carried
            .iter()
            .fold(schema, |schema, (name, value)| schema.param(name, value))
            .param("other", "x")
    };
    let fields = vec![
        Field::new("e", with(Schema::of(SchemaType::String))),
        Field::new("at", with(Schema::timestamp()).optional(true)),
        Field::new("price", with(Schema::decimal(2)).optional(true)),
    ];
    let values = Value::Struct(
        [
            Value::Text("a".into()),
            Value::I64(1),
            Value::Decimal(Box::new(Decimal::new(-156, 2))),
        ]
        .into(),
    );
    let back = round_trip(Schema::structure(Some("r"), fields), values, &[]).unwrap();
    for field in &back.schema.unwrap().fields {
        for (name, value) in carried {
            assert_eq!(field.schema.get_param(name), Some(value), "{}", field.name);
        }
        assert_eq!(field.schema.get_param("other"), None);
    }
}

#[test]
fn a_null_that_protobuf_cannot_hold_is_refused_unless_it_is_asked_for() {
    let schema = || {
        Schema::structure(
            Some("r"),
            vec![Field::new(
                "f",
                Schema::of(SchemaType::Int32).optional(true),
            )],
        )
    };
    let null = || Value::Struct([Value::Null].into());
    assert_eq!(round_trip(schema(), null(), &[]).unwrap().value, null());
    let without = ("optional.for.nullables", "false");
    assert!(
        round_trip(schema(), null(), &[without])
            .unwrap_err()
            .message()
            .contains("optional.for.nullables")
    );
    let lenient = round_trip(schema(), null(), &[without, ("strict", "false")]).unwrap();
    assert_eq!(lenient.value, Value::Struct([Value::I32(0)].into()));
    let list = Schema::structure(
        None,
        vec![Field::new(
            "f",
            Schema::array(Schema::of(SchemaType::Int32)).optional(true),
        )],
    );
    assert!(round_trip(list, null(), &[]).is_err());
    let error = round_trip(Schema::of(SchemaType::Int32), Value::I32(1), &[]).unwrap_err();
    assert!(error.message().contains("only structs"), "{error}");
}

const ORDER: &str = "syntax = \"proto3\"; import \"google/protobuf/wrappers.proto\";
    message Other { string a = 1; message Order {
      enum State { NEW = 0; PAID = 5; }
      State state = 1; repeated sint32 numbers = 2; oneof who { string name = 3; fixed64 number = 4; }
      google.protobuf.StringValue note = 5; map<bool, State> seen = 6; uint64 big = 7; optional string maybe = 8;
    } }";

#[test]
fn schemas_of_other_producers_are_read() {
    // The message at [0, 0]; PAID, packed [1, -1], number 7, note "x" in a wrapper, {true: PAID},
    // an unknown field.
    let payload = [
        &[4, 0, 0][..],
        &[8, 5],
        &[0x12, 2, 2, 1],
        &[0x21, 7, 0, 0, 0, 0, 0, 0, 0],
        &[0x2a, 3, 0x0a, 1, b'x'],
        &[0x32, 4, 8, 1, 16, 5],
        &[0xa2, 6, 1, b'?'],
    ]
    .concat();
    let Datum { schema, value } = reads(ORDER, &payload, &[]).unwrap();
    let schema = schema.unwrap();
    assert_eq!(schema.name.as_deref(), Some("Order"));
    assert_eq!(
        schema.fields[0]
            .schema
            .get_param("io.confluent.connect.protobuf.Enum.PAID"),
        Some("5")
    );
    let paid = || Value::Text("PAID".into());
    let expected = [
        paid(),
        Value::Array([Value::I32(1), Value::I32(-1)].into()),
        Value::Struct([Value::Null, Value::I64(7)].into()),
        Value::Text("x".into()),
        Value::Map([(Value::Bool(true), paid())].into()),
        Value::I64(0),
        Value::Null,
    ];
    assert_eq!(&*schema.fields[2].name, "who_0");
    assert_eq!(value, Value::Struct(expected.into()));
    let flat = reads(
        ORDER,
        &payload,
        &[("flatten.unions", "true"), ("int.for.enums", "true")],
    )
    .unwrap();
    let Value::Struct(flat) = flat.value else {
        panic!("no struct")
    };
    assert_eq!(
        (flat.len(), &flat[0], &flat[3]),
        (8, &Value::I32(5), &Value::I64(7))
    );
    let huge = [&[4, 0, 0, 0x38][..], &[0xff; 9], &[1]].concat();
    assert!(
        reads(ORDER, &huge, &[])
            .unwrap_err()
            .message()
            .contains("fit INT64")
    );
    assert!(reads(ORDER, &huge, &[("strict", "false")]).is_ok());
    for bad in [
        &[][..],
        &[2, 9],
        &[4, 0, 0, 8],
        &[4, 0, 0, 0x12, 200],
        &[4, 0, 0, 0x0a, 0],
        &[4, 0, 0, 4],
    ] {
        assert!(reads(ORDER, bad, &[]).is_err(), "{bad:?}");
    }
    let itself = "syntax = \"proto3\"; message R { R r = 1; }";
    assert!(
        reads(itself, &[0], &[])
            .unwrap_err()
            .message()
            .contains("contains itself")
    );
}

#[test]
fn a_union_is_written_as_the_oneof_it_was() {
    let payload = [4, 0, 0, 0x21, 7, 0, 0, 0, 0, 0, 0, 0];
    let Datum { schema, value } = reads(ORDER, &payload, &[]).unwrap();
    let back = round_trip((*schema.unwrap()).clone(), value.clone(), &[]).unwrap();
    assert_eq!(back.value, value);
    assert_eq!(&*back.schema.unwrap().fields[2].name, "who_0");
}

#[test]
fn imports_are_read_from_their_subjects() {
    let inner = "syntax = \"proto3\"; package p; message In { string x = 1; }";
    let outer = "syntax = \"proto3\"; import \"in.proto\"; message Out { p.In in = 1; }";
    let known = InMemorySchemas(vec![
        ("in.proto".to_owned(), registered(inner, &[])),
        ("t-value".to_owned(), registered(outer, &["in.proto"])),
    ]);
    let datum = converter_over(known, &[])
        .decode("t", Some(&[0, 0, 0, 0, 2, 0, 10, 3, 10, 1, b'y']))
        .unwrap();
    assert_eq!(
        datum.value,
        Value::Struct([Value::Struct([Value::Text("y".into())].into())].into())
    );
}

#[test]
fn damaged_schemas_never_panic() {
    testing::damage_schemas(&ProtobufFormat::new(&config(&[])).unwrap(), 1);
}

#[test]
fn an_error_names_its_field_what_is_declared_and_what_helps_and_never_the_value() {
    let text = "syntax = \"proto3\"; message R { int64 id = 1; V after = 2; } message V { string name = 1; repeated E list = 2;
        map<string, bool> seen = 3; repeated W inner = 5; } message W { string name = 1; } enum E { A = 0; }";
    for (after, first, field) in [
        (
            &[8, 7][..],
            "the wire type is not that of the schema: found VARINT",
            "after.name of the payload, which the schema declares STRING.",
        ),
        (
            &[10, 9, b'x'],
            "the bytes end in the middle of a value",
            "after.name of the payload, which the schema declares STRING.",
        ),
        (
            &[10, 1, 0xff],
            "a text is not UTF-8",
            "after.name of the payload, which the schema declares STRING.",
        ),
        (
            &[0x12, 1, 9],
            "a number that is no symbol of the enum",
            "after.list[] of the payload, which the schema declares an enum.",
        ),
        (
            &[0x1a, 3, 0x12, 1, b'x'],
            "the wire type is not that of the schema: found LEN",
            "after.seen{} of the payload, which the schema declares BOOLEAN.",
        ),
        (
            &[0x2a, 2, 8, 7],
            "the wire type is not that of the schema: found VARINT",
            "after.inner[].name of the payload, which the schema declares STRING.",
        ),
    ] {
        let payload = [&[0, 8, 1, 0x12, after.len() as u8][..], after].concat();
        let error = reads(text, &payload, &[]).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(
            lines[0],
            format!("Failed to deserialize Protobuf data of schema 1: {first}")
        );
        assert_eq!(lines[1], format!("It is the field {field}"));
    }
    let big = "syntax = \"proto3\"; message R { uint64 big = 1; }";
    let error = reads(big, &[&[0, 8][..], &[0xff; 9], &[1]].concat(), &[]).unwrap_err();
    assert!(
        error.message().contains("field big ") && error.message().contains("strict=false"),
        "{error}"
    );
    let inner = Schema::structure(
        Some("v"),
        vec![Field::new("n", Schema::of(SchemaType::Int32))],
    );
    let schema = Schema::structure(Some("w"), vec![Field::new("list", Schema::array(inner))]);
    let value = |n| Value::Struct([Value::Array([Value::Struct([n].into())].into())].into());
    for (n, first, helps) in [
        (
            Value::Text("4711".into()),
            "Invalid type: class java.lang.String",
            "(transforms)",
        ),
        (
            Value::Null,
            "null, which the schema cannot represent",
            "optional.for.nullables",
        ),
    ] {
        let error = round_trip(schema.clone(), value(n), &[]).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert!(
            lines[0].starts_with(&format!("Failed to serialize Protobuf data: {first}")),
            "{error}"
        );
        assert_eq!(
            lines[1],
            "It is the field list[].n of the payload, which the schema declares INT32."
        );
        assert!(
            error.message().contains(helps) && !error.message().contains("4711"),
            "{error}"
        );
    }
}
