//! Small records that expand to large data, in every format: each is refused at once, with the name
//! of the limit.

use connector_api::{Config, Converter, Datum, Field, Result, Schema, SchemaType, Value};

use super::{MAX_DEFAULTS, MAX_VALUES, ValueBudget, checked, decimal};
use crate::convert::header::SimpleHeaderConverter;
use crate::convert::json::JsonConverter;

#[test]
fn a_refusal_names_its_limit() {
    let error = |scale| decimal(&[1], scale).unwrap_err().message().to_owned();
    assert_eq!(
        error(2_000_000_000),
        "a decimal of scale 2000000000: scales from -1000 to 1000 are taken (Decimal::MAX_SCALE)"
    );
    assert!(error(i32::MIN).contains("scale -2147483648"));
    decimal(&[1], -1000).unwrap();
    assert!(
        decimal(&[1; 70_000], 0)
            .unwrap_err()
            .message()
            .contains("MAX_DIGITS")
    );
    assert!(decimal(&[], 0).is_err());
    let mut budget = ValueBudget::new();
    budget.take(MAX_VALUES).unwrap();
    assert!(budget.take(1).unwrap_err().message().contains("MAX_VALUES"));
}

#[test]
fn defaults_count_in_every_place() {
    let text = |length: usize| Value::Text("x".repeat(length).into());
    let with = |length| Schema {
        default: Some(text(length)),
        ..Schema::of(SchemaType::String)
    };
    let fields = |length| {
        vec![
            Field::new("a", with(length)),
            Field::new("b", Schema::array(with(length))),
        ]
    };
    assert_eq!(
        checked(&Schema::structure(None, fields(MAX_DEFAULTS / 2))).unwrap(),
        4
    );
    assert!(checked(&Schema::structure(None, fields(MAX_DEFAULTS / 2 + 1))).is_err());
}

fn json(record: &str, config: &[(&str, &str)]) -> Result<Datum> {
    let config = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect::<Config>();
    JsonConverter::new(&config)
        .unwrap()
        .decode("t", Some(record.as_bytes()))
}

fn envelope(schema: &str, payload: &str) -> String {
    format!(r#"{{"schema":{schema},"payload":{payload}}}"#)
}

/// Returns schema and payload of an optional Decimal with this scale.
fn scaled(scale: &str) -> [String; 2] {
    let name = "org.apache.kafka.connect.data.Decimal";
    let schema = format!(
        r#"{{"type":"bytes","optional":true,"name":"{name}","version":1,"parameters":{{"scale":"{scale}"}}}}"#
    );
    [schema, r#""AQ==""#.to_owned()]
}

#[test]
fn json_with_an_extreme_scale_is_refused_in_every_place() {
    for scale in [
        "-2000000000",
        "2000000000",
        "-2147483648",
        "2147483647",
        "1001",
        "-1001",
    ] {
        let [decimal, one] = scaled(scale);
        let structure = format!(
            r#"{{"type":"struct","fields":[{{"field":"d",{}]}}"#,
            &decimal[1..]
        );
        let array = format!(r#"{{"type":"array","items":{decimal}}}"#);
        let values = format!(r#"{{"type":"map","keys":{{"type":"string"}},"values":{decimal}}}"#);
        let keys = format!(r#"{{"type":"map","keys":{decimal},"values":{{"type":"string"}}}}"#);
        let default = format!(r#"{{"default":{one},{}"#, &decimal[1..]);
        for (schema, payload) in [
            (&decimal, one.clone()),
            (&structure, format!(r#"{{"d":{one}}}"#)),
            (&array, format!("[{one},{one}]")),
            (&values, format!(r#"{{"k":{one}}}"#)),
            (&keys, format!(r#"[[{one},"v"]]"#)),
            (&default, "null".to_owned()),
        ] {
            for strict in ["true", "false"] {
                let error = json(&envelope(schema, &payload), &[("strict", strict)]).unwrap_err();
                assert!(
                    error.message().contains("Decimal::MAX_SCALE"),
                    "{error} for {schema}"
                );
            }
        }
    }
    let [decimal, _] = scaled("2");
    for number in ["1e2000000000", "1E-2000000000", "-1e1001"] {
        let error = json(&envelope(&decimal, number), &[]).unwrap_err();
        assert!(error.message().contains("MAX_SCALE"), "{error}");
    }
    for scale in ["1000", "-1000"] {
        let [decimal, one] = scaled(scale);
        json(&envelope(&decimal, &one), &[]).unwrap();
    }
}

#[test]
fn a_header_of_a_far_out_number_stays_as_short_as_it_was() {
    for text in [
        "1e2000000000",
        "-1E-2000000000",
        "[1e2000000000,2e-2000000000]",
        "{\"a\":1e1000000000}",
    ] {
        let mut converter = SimpleHeaderConverter::new(&Config::new()).unwrap();
        let read = converter.decode("t", Some(text.as_bytes())).unwrap();
        let mut out = Vec::new();
        converter.encode("t", &read, &mut out).unwrap();
        assert!(out.len() < 100, "{} bytes", out.len());
    }
}

#[test]
fn nulls_cannot_represent_more_than_a_record_may_contain() {
    let text = "x".repeat(MAX_DEFAULTS / 2);
    let items = format!(
        r#"{{"type":"array","items":{{"type":"string","optional":true,"default":"{text}"}}}}"#
    );
    let nulls = |count: usize| format!("[{}]", vec!["null"; count].join(","));
    json(&envelope(&items, &nulls(10)), &[]).unwrap();
    let error = json(&envelope(&items, &nulls(10_000)), &[]).unwrap_err();
    assert!(error.message().contains("MAX_VALUES"), "{error}");
    let long = format!(r#"{{"type":"string","default":"{text}{text}x"}}"#);
    assert!(
        json(&envelope(&long, "null"), &[])
            .unwrap_err()
            .message()
            .contains("MAX_DEFAULTS")
    );
}

#[test]
fn many_parameters_of_a_schema_take_no_time() {
    let parameters: Vec<_> = (0..100_000).map(|n| format!(r#""p{n}":"v""#)).collect();
    let schema = format!(
        r#"{{"type":"string","parameters":{{{}}}}}"#,
        parameters.join(",")
    );
    let begun = std::time::Instant::now();
    let read = json(&envelope(&schema, r#""x""#), &[]).unwrap();
    assert_eq!(read.schema.unwrap().params.len(), 100_000);
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[cfg(feature = "avro")]
mod avro {
    use connector_api::{Datum, Result};
    use serde_json::{Value as Json, json};

    use crate::convert::avro::AvroFormat;
    use crate::convert::registered::SchemaLanguage;
    use crate::convert::registered::testing::{InMemorySchemas, converter, registered};

    fn read(schema: &Json, payload: &[u8]) -> Result<Datum> {
        crate::convert::registered::testing::read(
            AvroFormat::new,
            registered(SchemaLanguage::Avro, &schema.to_string(), &[]),
            payload,
            &[],
        )
    }

    /// Encodes a number in Avro's format.
    fn long(n: i64) -> Vec<u8> {
        let mut n = ((n << 1) ^ (n >> 63)).cast_unsigned();
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }

    #[test]
    fn far_out_scales_and_precisions_are_refused() {
        for scale in [2_000_000_000_i64, -2_000_000_000] {
            let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 2_000_000_000, "scale": scale});
            let array = json!({"type": "array", "items": decimal});
            for (schema, payload) in [(&decimal, &[2, 1][..]), (&array, &[2, 2, 1, 0])] {
                let error = read(schema, payload).unwrap_err();
                assert!(error.message().contains("Decimal::MAX_SCALE"), "{error}");
            }
        }
    }

    #[test]
    fn items_without_bytes_are_not_believed() {
        let empty =
            json!({"type": "array", "items": {"type": "record", "name": "E", "fields": []}});
        for count in [1_000_000, i64::MAX, i64::MIN + 1, -1_000_000] {
            let size = if count < 0 { vec![0] } else { Vec::new() };
            let error = read(&empty, &[long(count), size, vec![0]].concat()).unwrap_err();
            assert!(error.message().contains("MAX_EMPTY"), "{error}");
        }
        read(&empty, &[long(100), vec![0]].concat()).unwrap();
        let numbers = json!({"type": "array", "items": "int"});
        assert!(read(&numbers, &[long(i64::MAX), vec![2, 2, 2]].concat()).is_err());
    }

    #[test]
    fn a_byte_cannot_represent_much_text_repeatedly() {
        let symbol = "S".repeat(1 << 20);
        let symbols =
            json!({"type": "array", "items": {"type": "enum", "name": "E", "symbols": [symbol]}});
        let error = read(&symbols, &[long(10_000), vec![0; 10_001]].concat()).unwrap_err();
        assert!(error.message().contains("MAX_VALUES"), "{error}");
        let branches: Vec<_> = (0..5000)
            .map(|n| json!({"type": "record", "name": format!("B{n}"), "fields": []}))
            .collect();
        let wide = json!({"type": "array", "items": branches});
        let error = read(&wide, &[long(2000), vec![0; 2001]].concat()).unwrap_err();
        assert!(error.message().contains("MAX_"), "{error}");
    }

    #[test]
    fn types_that_use_each_other_do_not_go_on_without_end() {
        let named = |n: usize| {
            let inner = if n == 0 {
                json!("int")
            } else {
                json!(format!("T{}", n - 1))
            };
            json!({"type": "record", "name": format!("T{n}"), "fields": [{"name": "f", "type": inner}]})
        };
        let within = (0..20_000).map(named).collect::<Vec<_>>();
        assert!(
            read(&json!(within), &[0])
                .unwrap_err()
                .message()
                .contains("MAX_LEVELS")
        );
        // Each text adds one level, and refers to the one before.
        let of = |n: usize| {
            (
                format!("T{n}"),
                registered(SchemaLanguage::Avro, &named(n).to_string(), &[]),
            )
        };
        let mut known = InMemorySchemas((0..300).map(of).collect());
        let names: Vec<_> = (0..300).map(|n| format!("T{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        known.0.push((
            "top".to_owned(),
            registered(SchemaLanguage::Avro, "\"T299\"", &names),
        ));
        let mut converter = converter(AvroFormat::new, known, &[]);
        let error =
            connector_api::Converter::decode(&mut converter, "t", Some(&[0, 0, 0, 1, 45, 2]))
                .unwrap_err();
        assert!(error.message().contains("MAX_LEVELS"), "{error}");
        let huge = json!({"type": "fixed", "name": "F", "size": 1_u64 << 40});
        assert!(
            read(&huge, &[0])
                .unwrap_err()
                .message()
                .contains("MAX_FIXED")
        );
    }
}

#[cfg(feature = "protobuf")]
mod protobuf {
    use connector_api::{Datum, Result};

    use crate::convert::protobuf::ProtobufFormat;
    use crate::convert::registered::SchemaLanguage;
    use crate::convert::registered::testing::{self, registered};

    fn read(schema: &str, payload: &[u8]) -> Result<Datum> {
        testing::read(
            ProtobufFormat::new,
            registered(SchemaLanguage::Protobuf, schema, &[]),
            payload,
            &[],
        )
    }

    #[test]
    fn two_bytes_cannot_be_a_wide_message_very_often() {
        let fields: Vec<_> = (1..=1000).map(|n| format!("string f{n} = {n};")).collect();
        let wide = format!(
            "syntax = \"proto3\"; message A {{ repeated B b = 1; }} message B {{ {} }}",
            fields.concat()
        );
        let payload = |count: usize| [vec![0], [0x0a, 0].repeat(count)].concat();
        read(&wide, &payload(100)).unwrap();
        assert!(
            read(&wide, &payload(100_000))
                .unwrap_err()
                .message()
                .contains("MAX_VALUES")
        );
        let symbol = "S".repeat(100_000);
        let symbols = format!(
            "syntax = \"proto3\"; message A {{ repeated E e = 1; }} enum E {{ {symbol} = 0; }}"
        );
        let packed = [vec![0, 0x0a, 0xd0, 0x0f], vec![0; 2000]].concat();
        assert!(
            read(&symbols, &packed)
                .unwrap_err()
                .message()
                .contains("MAX_VALUES")
        );
    }

    #[test]
    fn a_far_out_scale_is_refused() {
        let schema = "syntax = \"proto3\"; import \"confluent/type/decimal.proto\"; import \"confluent/meta.proto\";
            message A { confluent.type.Decimal d = 1 [(confluent.field_meta) = { params: [
            { key: \"precision\", value: \"64\" }, { key: \"scale\", value: \"2000000000\" }] }]; }";
        let decimal = [0x0a, 1, 1, 0x18, 0x80, 0xa8, 0xd6, 0xb9, 0x07];
        let error = read(
            schema,
            &[&[0, 0x0a, decimal.len() as u8], &decimal[..]].concat(),
        )
        .unwrap_err();
        assert!(error.message().contains("Decimal::MAX_SCALE"), "{error}");
    }

    #[test]
    fn messages_within_messages_end() {
        let deep = format!(
            "syntax = \"proto3\"; {} {}",
            "message M { ".repeat(5000),
            "}".repeat(5000)
        );
        let _ = read(&deep, &[0]);
        let nested = "syntax = \"proto3\"; message A { A a = 1; }";
        assert!(read(nested, &[0]).is_err());
    }
}
