//! Random schemas and values through the converter and back, the schemas' text, and damaged bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Converter, Datum, Decimal, Field, Schema, SchemaType, Value};
use serde_json::{Value as Json, json};

use super::AvroFormat;
use crate::convert::random::Random;
use crate::convert::registered::testing::{self, InMemorySchemas, config, registered};
use crate::convert::registered::{RegistryConverter, SchemaFormat, SchemaLanguage};

fn converter_over(known: InMemorySchemas, more: &[(&str, &str)]) -> RegistryConverter<AvroFormat> {
    testing::converter(AvroFormat::new, known, more)
}

fn converter(more: &[(&str, &str)]) -> RegistryConverter<AvroFormat> {
    converter_over(InMemorySchemas::default(), more)
}

fn encoded(converter: &mut dyn Converter, datum: &Datum) -> Option<Vec<u8>> {
    testing::encoded(converter, datum).unwrap()
}

fn text_of(schema: &Schema, more: &[(&str, &str)]) -> Json {
    let text = AvroFormat::new(&config(more))
        .unwrap()
        .schema_of(schema)
        .unwrap()
        .text;
    serde_json::from_str(&text).unwrap()
}

fn reads(avro: &Json, payload: &[u8]) -> connector_api::Result<Datum> {
    testing::read(
        AvroFormat::new,
        registered(SchemaLanguage::Avro, &avro.to_string(), &[]),
        payload,
        &[],
    )
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random::seeded();
    let mut converter = converter(&[("scrub.invalid.names", "false")]);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let schema = Arc::new(random.plain_schema(3));
        for _ in 0..4 {
            let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
            let Some(bytes) = encoded(&mut converter, &datum) else {
                assert!(datum.value.is_null());
                continue;
            };
            assert_eq!(
                converter.decode("t", Some(&bytes)).unwrap(),
                datum,
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    testing::damage(&mut converter(&[]), 3);
}

#[test]
fn schemas_have_the_text_that_confluents_converter_registers() {
    let fields = vec![
        Field::new("id", Schema::of(SchemaType::Int32)),
        Field::new("small", Schema::of(SchemaType::Int16).optional(true)),
        Field::new(
            "price",
            Schema::decimal(2).param("connect.decimal.precision", "10"),
        ),
        Field::new("at", Schema::timestamp().optional(true)),
        Field::new(
            "level",
            Schema {
                default: Some(Value::I32(5)),
                ..Schema::of(SchemaType::Int32)
            },
        ),
        Field::new(
            "tags",
            Schema::map(
                Schema::of(SchemaType::String),
                Schema::of(SchemaType::Int64),
            ),
        ),
        Field::new(
            "odd",
            Schema::map(
                Schema::of(SchemaType::Int32),
                Schema::of(SchemaType::String),
            ),
        ),
        Field::new(
            "inner",
            Schema::structure(None, vec![Field::new("x", Schema::of(SchemaType::Bytes))]),
        ),
    ];
    let expected = json!({"type": "record", "name": "users", "namespace": "shop.eu", "fields": [
        {"name": "id", "type": "int"},
        {"name": "small", "type": ["null", {"type": "int", "connect.type": "int16"}], "default": null},
        {"name": "price", "type": {"type": "bytes", "scale": 2, "precision": 10, "connect.version": 1,
            "connect.parameters": {"scale": "2", "connect.decimal.precision": "10"},
            "connect.name": "org.apache.kafka.connect.data.Decimal", "logicalType": "decimal"}},
        {"name": "at", "type": ["null", {"type": "long", "connect.version": 1,
            "connect.name": "org.apache.kafka.connect.data.Timestamp", "logicalType": "timestamp-millis"}], "default": null},
        {"name": "level", "type": {"type": "int", "connect.default": 5}, "default": 5},
        {"name": "tags", "type": {"type": "map", "values": "long"}},
        {"name": "odd", "type": {"type": "array", "items": {"type": "record", "name": "MapEntry",
            "namespace": "io.confluent.connect.avro", "fields": [{"name": "key", "type": "int"}, {"name": "value", "type": "string"}],
            "connect.internal.type": "MapEntry"}}},
        {"name": "inner", "type": {"type": "record", "name": "ConnectDefault", "namespace": "io.confluent.connect.avro",
            "fields": [{"name": "x", "type": "bytes"}]}},
    ], "connect.name": "shop.eu.users"});
    let schema = Schema::structure(Some("shop.eu.users"), fields);
    assert_eq!(text_of(&schema, &[]).to_string(), expected.to_string());
    let plain = text_of(&schema, &[("connect.meta.data", "false")]).to_string();
    assert!(
        !plain.contains("connect.name") && plain.contains("timestamp-millis"),
        "{plain}"
    );
}

#[test]
fn names_that_avro_cannot_have_are_refused_or_scrubbed() {
    let schema = Schema::structure(
        Some("my-table"),
        vec![Field::new("1st col", Schema::of(SchemaType::Int32))],
    );
    let error = AvroFormat::new(&config(&[]))
        .unwrap()
        .schema_of(&schema)
        .unwrap_err();
    assert!(error.message().contains("scrub.invalid.names"), "{error}");
    let scrub = [("scrub.invalid.names", "true")];
    let text = text_of(&schema, &scrub);
    assert_eq!(
        (&text["name"], &text["fields"][0]["name"]),
        (&json!("my_table"), &json!("_1st_col"))
    );
    let datum = Datum::new(Arc::new(schema), Value::Struct([Value::I32(7)].into()));
    let mut converter = converter(&scrub);
    let bytes = encoded(&mut converter, &datum).unwrap();
    let back = converter.decode("t", Some(&bytes)).unwrap();
    assert_eq!(
        (&back.value, back.schema.unwrap().name.as_deref()),
        (&datum.value, Some("my-table"))
    );
}

#[test]
fn schemas_of_other_producers_are_read() {
    let avro = json!({"type": "record", "name": "Order", "namespace": "shop", "doc": "an order", "fields": [
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        {"name": "total", "type": {"type": "fixed", "name": "Money", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "who", "type": ["null", "string", "long"]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "doc": "when"},
        {"name": "next", "type": ["null", "State"], "default": null},
        {"name": "lines", "type": {"type": "array", "items": "long"}},
    ]});
    // PAID, two bytes, -1.00, the long 5 (third branch), 19000 days, null, one block of [1, -1]
    // with its length.
    let payload = [
        2, 0xab, 0xcd, 0xff, 0xff, 0x9c, 4, 10, 0xf0, 0xa8, 0x02, 0, 3, 4, 2, 1, 0,
    ];
    let Datum { schema, value } = reads(&avro, &payload).unwrap();
    let schema = schema.unwrap();
    assert_eq!(
        (schema.name.as_deref(), schema.doc.as_deref()),
        (Some("shop.Order"), Some("an order"))
    );
    assert_eq!(
        schema.fields[0]
            .schema
            .get_param("io.confluent.connect.avro.Enum.PAID"),
        Some("PAID")
    );
    assert_eq!(schema.fields[4].schema.doc.as_deref(), Some("when"));
    let who = Value::Struct([Value::Null, Value::I64(5)].into());
    let lines = Value::Array([Value::I64(1), Value::I64(-1)].into());
    let expected = [
        Value::Text("PAID".into()),
        Value::Bytes([0xab, 0xcd].into()),
        Value::Decimal(Box::new(Decimal::new(-100, 2))),
        who,
        Value::I32(19000),
        Value::Null,
        lines,
    ];
    assert_eq!(value, Value::Struct(expected.into()));
    assert!(reads(&avro, &payload[..16]).is_err());
    assert!(
        reads(&avro, &[&payload[..], &[0]].concat())
            .unwrap_err()
            .message()
            .contains("left over")
    );
}

#[test]
fn the_newest_schema_is_written_where_it_is_asked_for() {
    let latest = json!({"type": "record", "name": "r", "fields": [
        {"name": "added", "type": ["string", "null"], "default": "x"},
        {"name": "b", "type": ["null", "double"], "default": null}, {"name": "a", "type": "long"}]});
    let known = |text: &Json| {
        InMemorySchemas(vec![(
            "t-value".to_owned(),
            registered(SchemaLanguage::Avro, &text.to_string(), &[]),
        )])
    };
    let options = [
        ("auto.register.schemas", "false"),
        ("use.latest.version", "true"),
    ];
    let schema = Schema::structure(
        Some("r"),
        vec![
            Field::new("a", Schema::of(SchemaType::Int32)),
            Field::new("b", Schema::of(SchemaType::Float32).optional(true)),
        ],
    );
    let datum = Datum::new(
        Arc::new(schema),
        Value::Struct([Value::I32(3), Value::F32(0.5)].into()),
    );
    let bytes = encoded(&mut converter_over(known(&latest), &options), &datum).unwrap();
    let back = converter_over(known(&latest), &[])
        .decode("t", Some(&bytes))
        .unwrap();
    assert_eq!(
        back.value,
        Value::Struct([Value::Text("x".into()), Value::F64(0.5), Value::I64(3)].into())
    );
    let other = json!({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]});
    let error = converter_over(known(&other), &options)
        .encode("t", &datum, &mut Vec::new())
        .unwrap_err();
    assert!(error.message().contains("has no field b"), "{error}");
}

#[test]
fn subjects_follow_their_strategy() {
    let schema = Schema::structure(Some("shop.users"), vec![]);
    let datum = Datum::new(Arc::new(schema), Value::Struct([].into()));
    for (strategy, want) in [
        ("TopicNameStrategy", "t-value"),
        (
            "io.confluent.kafka.serializers.subject.RecordNameStrategy",
            "shop.users",
        ),
        ("TopicRecordNameStrategy", "t-shop.users"),
    ] {
        // Its id is known only if the registry has the schema under exactly this subject.
        let text = AvroFormat::new(&config(&[]))
            .unwrap()
            .schema_of(datum.schema.as_ref().unwrap())
            .unwrap();
        let known = InMemorySchemas(vec![(want.to_owned(), text)]);
        let options = [
            ("value.subject.name.strategy", strategy),
            ("auto.register.schemas", "false"),
        ];
        assert_eq!(
            encoded(&mut converter_over(known, &options), &datum).unwrap(),
            [0, 0, 0, 0, 1],
            "{strategy}"
        );
    }
    let plain = Datum::new(Arc::new(Schema::of(SchemaType::Int32)), Value::I32(1));
    let error = converter(&[("value.subject.name.strategy", "RecordNameStrategy")]).encode(
        "t",
        &plain,
        &mut Vec::new(),
    );
    assert!(error.unwrap_err().message().contains("TopicNameStrategy"));
}

#[test]
fn bytes_that_claim_too_much_are_refused_at_once() {
    let of_nothing =
        json!({"type": "array", "items": {"type": "record", "name": "r", "fields": []}});
    let mut huge = Vec::new();
    super::encode::long(i64::MAX, &mut huge);
    for avro in [
        &of_nothing,
        &json!({"type": "array", "items": "int"}),
        &json!("bytes"),
        &json!("string"),
    ] {
        assert!(reads(avro, &huge).is_err(), "{avro}");
    }
    assert!(
        reads(&json!({"type": "record", "name": "r", "fields": [{"name": "f", "type": ["null", "r"]}]}), &[0]).is_err()
    );
    let levels = |n: usize| {
        (0..n).fold(
            json!("int"),
            |inner, _| json!({"type": "array", "items": inner}),
        )
    };
    assert!(reads(&levels(60), &[0]).is_ok());
    // Each level uses the one below twice: 2^40 types in a few lines.
    let doubling = (0..40).fold(json!("int"), |inner, at| {
        let again = if at == 0 { json!("int") } else { json!(format!("r{}", at - 1)) };
        json!({"type": "record", "name": format!("r{at}"), "fields": [{"name": "a", "type": inner}, {"name": "b", "type": again}]})
    });
    assert!(
        reads(&doubling, &[0])
            .unwrap_err()
            .message()
            .contains("too large")
    );
}

#[test]
fn names_that_are_there_twice_are_refused() {
    let int = json!({"name": "a", "type": "int"});
    let error = reads(
        &json!({"type": "record", "name": "r", "fields": [int, int]}),
        &[2, 4],
    )
    .unwrap_err();
    assert!(
        error.message().contains("r has two fields with the name a"),
        "{error}"
    );
    let branch =
        |space: &str| json!({"type": "record", "name": "r", "namespace": space, "fields": []});
    let error = reads(&json!([branch("a"), branch("b")]), &[0]).unwrap_err();
    assert!(
        error.message().contains("two branches with the name r"),
        "{error}"
    );
}

#[test]
fn damaged_schemas_never_panic() {
    testing::damage_schemas(&AvroFormat::new(&config(&[])).unwrap(), 2);
}

#[test]
fn an_error_names_its_field_what_is_declared_and_what_helps_and_never_the_value() {
    let avro = json!({"type": "record", "name": "r", "fields": [
        {"name": "id", "type": "long"},
        {"name": "after", "type": ["null", {"type": "record", "name": "v", "fields": [
            {"name": "n", "type": {"type": "int", "connect.type": "int8"}},
            {"name": "tags", "type": {"type": "array", "items": {"type": "enum", "name": "e", "symbols": ["A"]}}},
            {"name": "seen", "type": {"type": "map", "values": "boolean"}}]}]}]});
    for (payload, first, field) in [
        // 4711 for a field declared as a byte.
        (
            &[2, 2, 0xce, 0x49][..],
            "a number that does not fit INT8",
            "after.n of the payload, which the schema declares INT8.",
        ),
        (
            &[2, 2, 2, 2, 8],
            "a symbol that the enum does not have",
            "after.tags[] of the payload, which the schema declares an enum.",
        ),
        (
            &[2, 2, 2, 0, 2, 2, b'k', 9],
            "a boolean that is neither 0 nor 1",
            "after.seen{} of the payload, which the schema declares BOOLEAN.",
        ),
        (
            &[2, 9],
            "a branch that the union does not have",
            "after of the payload, which the schema declares STRUCT.",
        ),
        (
            &[2, 2, 2, 2],
            "the bytes end in the middle of a value",
            "after.tags[] of the payload, which the schema declares an enum.",
        ),
    ] {
        let error = reads(&avro, payload).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(
            lines[0],
            format!("Failed to deserialize Avro data of schema 1: {first}")
        );
        assert_eq!(lines[1], format!("It is the field {field}"));
        assert!(!error.message().contains("4711"), "{error}");
    }
    let inner = Schema::structure(
        Some("v"),
        vec![Field::new("n", Schema::of(SchemaType::Int32))],
    );
    let schema = Arc::new(Schema::structure(
        Some("w"),
        vec![Field::new("list", Schema::array(inner))],
    ));
    for (n, first) in [
        (
            Value::Text("4711".into()),
            "Invalid type: class java.lang.String",
        ),
        (
            Value::Null,
            "null used for a required field without a default",
        ),
    ] {
        let list = Value::Array([Value::Struct([n].into())].into());
        let datum = Datum::new(Arc::clone(&schema), Value::Struct([list].into()));
        let error = converter(&[])
            .encode("t", &datum, &mut Vec::new())
            .unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(lines[0], format!("Failed to serialize Avro data: {first}"));
        assert_eq!(
            lines[1],
            "It is the field list[].n of the payload, which the schema declares INT32."
        );
        assert!(
            lines[2].contains("(transforms)") && !error.message().contains("4711"),
            "{error}"
        );
    }
}

#[test]
fn json_of_debeziums_schema_history_is_named_as_such() {
    let history =
        br#"{"source":{"server":"shop"},"databaseName":"db","ddl":"CREATE TABLE t (id INT)","tableChanges":[]}"#;
    let error = converter(&[]).decode("history", Some(history)).unwrap_err();
    let lines: Vec<_> = error.message().lines().collect();
    assert!(
        lines[0].contains("Unknown magic byte") && lines[1].contains("topics.regex"),
        "{error}"
    );
    assert!(!error.message().contains("CREATE TABLE"), "{error}");
    assert!(
        !converter(&[])
            .decode("t", Some(br#"{"ddl":1}"#))
            .unwrap_err()
            .message()
            .contains("topics.regex")
    );
}
