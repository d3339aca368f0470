//! Random schemas and values through the converter and back, and random bytes into it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connector_api::{Config, Converter, Datum, EncodedPresence, Field, Schema, SchemaType, Value};

use super::JsonConverter;
use crate::convert::random::{Random, mutated};

fn encoded(converter: &mut JsonConverter, datum: &Datum) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(
        converter.encode("t", datum, &mut out).unwrap(),
        EncodedPresence::Present
    );
    out
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random::seeded();
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let schema = Arc::new(random.schema(3));
        for _ in 0..4 {
            let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
            let bytes = encoded(&mut converter, &datum);
            let text = String::from_utf8_lossy(&bytes);
            let tree: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(tree.as_object().unwrap().len(), 2, "{text}");
            assert_eq!(
                converter.decode("t", Some(&bytes)).unwrap(),
                datum,
                "{text}"
            );
        }
    }
}

#[test]
fn members_may_come_in_any_order_and_layout() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let expected = converter.decode(
        "t",
        Some(br#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"a"},{"type":"string","optional":true,"field":"b"}],"optional":false},"payload":{"a":1,"b":"x"}}"#),
    );
    let expected = expected.unwrap();
    for text in [
        r#"{"payload":{"b":"x","a":1},"schema":{"fields":[{"field":"a","type":"int32"},{"field":"b","optional":true,"type":"string"}],"type":"struct"}}"#,
        "{ \"schema\" : { \"type\" : \"struct\" , \"fields\" : [ { \"type\" : \"int32\" , \"field\" : \"a\" } , \
         {\"type\":\"string\",\"optional\":true,\"field\":\"b\"} ] } ,\n\t\"payload\" : { \"a\" : 1 , \"b\" : \"x\" } }\r\n",
        r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"string","optional":true,"field":"b"}]},"payload":{"a":7,"\u0061":1,"extra":[{"a":[]}],"b":"\u0078"}}"#,
    ] {
        for _ in 0..2 {
            assert_eq!(
                converter.decode("t", Some(text.as_bytes())).unwrap(),
                expected,
                "{text}"
            );
        }
    }
}

#[test]
fn strict_refuses_what_kafka_alters() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let mut read = |ty: &str, payload: &str| {
        let text = format!("{{\"schema\":{{\"type\":\"{ty}\"}},\"payload\":{payload}}}");
        converter
            .decode("t", Some(text.as_bytes()))
            .map(|datum| datum.value)
    };
    for (ty, payload) in [
        ("int8", "300"),
        ("int32", "1.9"),
        ("int64", "9223372036854775808"),
        ("int64", "\"5\""),
        ("float", "3.5e38"),
        ("double", "1e400"),
        ("double", "\"5\""),
        ("boolean", "1"),
        ("string", "5"),
        ("bytes", "[1]"),
        ("string", "\"\\ud800\""),
    ] {
        assert!(read(ty, payload).is_err(), "{ty} {payload}");
    }
    assert_eq!(read("int8", "1e2").unwrap(), Value::I8(100));
    // A second document is ignored, both the first time and when the schema is cached.
    assert_eq!(read("int32", "5} {").unwrap(), Value::I32(5));
    assert_eq!(read("int32", "6} {\"x\":1").unwrap(), Value::I32(6));
    assert_eq!(
        read("float", "\"-Infinity\"").unwrap(),
        Value::F32(f32::NEG_INFINITY)
    );
    let Value::F64(zero) = read("double", "-0.0").unwrap() else {
        panic!("no double")
    };
    assert!(zero.is_sign_negative());
    let mut plain = JsonConverter::new(&Config::from([("schemas.enable", "false")])).unwrap();
    assert!(
        plain
            .decode("t", Some(b"123456789012345678901234567890"))
            .is_err()
    );
}

/// Truncates, duplicates and changes parts of valid records: nothing may panic in either mode, nor
/// take long.
#[test]
fn no_input_panics() {
    let mut random = Random::seeded();
    let mut converters: Vec<JsonConverter> =
        [("true", "true"), ("true", "false"), ("false", "false")]
            .iter()
            .map(|(strict, schemas)| {
                JsonConverter::new(&Config::from([
                    ("strict", *strict),
                    ("schemas.enable", *schemas),
                ]))
                .unwrap()
            })
            .collect();
    let until = Instant::now() + Duration::from_secs(2);
    let mut tried = 0u64;
    while Instant::now() < until {
        let schema = Arc::new(random.schema(3));
        let datum = Datum::new(Arc::clone(&schema), random.value(&schema));
        let valid = encoded(&mut converters[0], &datum);
        for _ in 0..20 {
            let bytes = mutated(&mut random, &valid);
            for converter in &mut converters {
                if let Ok(datum) = converter.decode("t", Some(&bytes)) {
                    let _ = converter.encode("t", &datum, &mut Vec::new());
                }
            }
            tried += 1;
        }
    }
    println!("{tried} inputs");
}

/// Deep nesting of every kind ends in an error, not in a stack overflow (threads have 2 MB).
#[test]
fn deep_nesting_is_an_error() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let deep = |open: &str, close: &str, inner: &str| {
        format!("{}{inner}{}", open.repeat(50_000), close.repeat(50_000))
    };
    for text in [
        deep("[", "]", ""),
        format!(
            "{{\"schema\":null,\"payload\":{}}}",
            deep("{\"a\":", "}", "1")
        ),
        format!(
            "{{\"schema\":{},\"payload\":1}}",
            deep("{\"type\":\"array\",\"items\":", "}", "{\"type\":\"int8\"}")
        ),
    ] {
        assert!(converter.decode("t", Some(text.as_bytes())).is_err());
    }
    let levels = |n: usize| {
        let schema = format!(
            "{}{{\"type\":\"int8\"}}{}",
            "{\"type\":\"array\",\"items\":".repeat(n),
            "}".repeat(n)
        );
        format!(
            "{{\"schema\":{schema},\"payload\":{}1{}}}",
            "[".repeat(n),
            "]".repeat(n)
        )
    };
    assert!(converter.decode("t", Some(levels(150).as_bytes())).is_ok());
    assert!(converter.decode("t", Some(levels(300).as_bytes())).is_err());
    let nested = format!(
        "{{\"schema\":null,\"payload\":{}1{}}}",
        "[".repeat(990),
        "]".repeat(990)
    );
    assert!(converter.decode("t", Some(nested.as_bytes())).is_ok());
}

#[test]
fn a_small_text_cannot_name_a_wide_schema_without_end() {
    let fields: Vec<String> = (0..2000)
        .map(|at| format!("{{\"type\":\"int8\",\"optional\":true,\"field\":\"f{at}\"}}"))
        .collect();
    let schema = format!(
        "{{\"type\":\"array\",\"items\":{{\"type\":\"struct\",\"fields\":[{}]}}}}",
        fields.join(",")
    );
    let text = format!(
        "{{\"schema\":{schema},\"payload\":[{}{{}}]}}",
        "{},".repeat(100_000)
    );
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let error = converter.decode("t", Some(text.as_bytes())).unwrap_err();
    assert!(error.message().contains("MAX_VALUES"), "{error}");
}

#[test]
fn an_error_names_its_field_and_never_the_value() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let row = r#"{"type":"struct","field":"after","optional":true,"fields":[{"type":"string","field":"name"},{"type":"int32","field":"n","optional":true},
        {"type":"array","field":"tags","optional":true,"items":{"type":"int8"}},{"type":"map","field":"m","optional":true,"keys":{"type":"string"},"values":{"type":"boolean"}},
        {"type":"bytes","field":"b","optional":true}]}"#;
    let schema = format!(r#"{{"type":"struct","fields":[{row}]}}"#);
    for (payload, first, field) in [
        (
            r#"{"after":{"name":4711}}"#,
            "Invalid type for STRING, underlying representation should be text but was NUMBER",
            "after.name of the payload, which the schema declares STRING",
        ),
        (
            r#"{"after":{"n":1}}"#,
            "Invalid null value for required STRING field",
            "after.name ",
        ),
        (
            r#"{"after":{"n":4711471147114711,"name":"x"}}"#,
            "Invalid value for INT32: the number does not fit this type",
            "after.n ",
        ),
        (
            r#"{"after":{"name":"x","tags":[1,"4711"]}}"#,
            "Invalid type for INT8, underlying representation should be numeric but was STRING",
            "after.tags[] of the payload, which the schema declares INT8",
        ),
        (
            r#"{"after":{"name":"x","m":{"4711":"x"}}}"#,
            "Invalid type for BOOLEAN, underlying representation should be boolean but was STRING",
            "after.m{} ",
        ),
        (
            r#"{"after":{"name":"x","b":"4711!"}}"#,
            "Invalid bytes field",
            "after.b of the payload, which the schema declares BYTES",
        ),
        (
            r#"{"after":"{\"name\":\"4711\"}"}"#,
            "Structs should be encoded as JSON objects, but found STRING",
            "after of the payload, which the schema declares STRUCT",
        ),
    ] {
        let text = format!(r#"{{"schema":{schema},"payload":{payload}}}"#);
        // The second time from the cache that the first has filled.
        for _ in 0..2 {
            let error = converter.decode("t", Some(text.as_bytes())).unwrap_err();
            let lines: Vec<_> = error.message().lines().collect();
            assert_eq!(lines[0], first, "{payload}");
            assert!(
                lines[1].contains(&format!("the field {field}")),
                "{payload}: {error}"
            );
            assert!(!error.message().contains("4711"), "{payload}: {error}");
            assert_eq!(
                error.message().contains("encoded it twice"),
                payload.contains(r#"":"{"#),
                "{payload}: {error}"
            );
        }
    }
    let twice = converter
        .decode("t", Some(br#""{\"schema\":{},\"payload\":{}}""#))
        .unwrap_err();
    assert!(
        twice
            .message()
            .contains("may not contain additional fields")
            && twice.message().contains("encoded it twice")
    );
    let plain = converter.decode("t", Some(b"\"x\"")).unwrap_err();
    assert_eq!(plain.message().lines().count(), 1);
}

#[test]
fn an_error_of_json_without_a_schema_names_its_field_and_what_helps() {
    let mut converter = JsonConverter::new(&Config::from([("schemas.enable", "false")])).unwrap();
    let huge = "99999999999999999999";
    for (text, first, field) in [
        (
            format!(r#"{{"after":{{"n":[1,{huge}]}}}}"#),
            "Invalid value for INT64: the number does not fit this type",
            "after.n[] of the payload.",
        ),
        (
            format!(r#"[{{"a":{huge}}}]"#),
            "Invalid value for INT64: the number does not fit this type",
            "[].a of the payload.",
        ),
        (
            r#"{"f":1e999}"#.to_owned(),
            "Invalid value for FLOAT64: the number does not fit this type",
            "f of the payload.",
        ),
    ] {
        let error = converter.decode("t", Some(text.as_bytes())).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(
            lines[..2],
            [first, &format!("It is the field {field}")],
            "{text}"
        );
        assert!(
            lines[2].contains("strict=false") && !error.message().contains(huge),
            "{error}"
        );
    }
    let error = converter.decode("t", Some(huge.as_bytes())).unwrap_err();
    assert!(
        error
            .message()
            .lines()
            .nth(1)
            .unwrap()
            .contains("strict=false"),
        "{error}"
    );
    let decimal = Value::Decimal(Box::new(connector_api::Decimal::new(1, 2)));
    let map = Value::Map([(Value::Text("price".into()), Value::Array([decimal].into()))].into());
    let error = converter
        .encode(
            "t",
            &Datum {
                schema: None,
                value: map,
            },
            &mut Vec::new(),
        )
        .unwrap_err();
    let lines: Vec<_> = error.message().lines().collect();
    assert_eq!(
        lines[0],
        "Java class class java.math.BigDecimal does not have corresponding schema type."
    );
    assert_eq!(lines[1], "It is the field price[] of the payload.");
}

#[test]
fn what_cannot_be_written_names_its_field() {
    let row = Schema::structure(
        None,
        vec![
            Field::new("n", Schema::of(SchemaType::Int32)),
            Field::new("d", Schema::decimal(2)),
        ],
    );
    let list = Schema::structure(None, vec![Field::new("rows", Schema::array(row))]);
    let schema = Arc::new(list);
    let two = || Value::Decimal(Box::new(connector_api::Decimal::new(1, 2)));
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    for (n, d, first, field) in [
        (
            Value::Text("4711".into()),
            two(),
            "Invalid type for INT32: class java.lang.String",
            "rows[].n of the payload, which the schema declares INT32.",
        ),
        (
            Value::Null,
            two(),
            "Conversion error: null value for field that is required and has no default value",
            "rows[].n of the payload, which the schema declares INT32.",
        ),
        (
            Value::I32(1),
            Value::I64(4711),
            "Invalid type for Decimal, expected BigDecimal but was class java.lang.Long",
            "rows[].d of the payload, which the schema declares Decimal.",
        ),
    ] {
        let value = Value::Struct([Value::Array([Value::Struct([n, d].into())].into())].into());
        let datum = Datum::new(Arc::clone(&schema), value);
        let error = converter.encode("t", &datum, &mut Vec::new()).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert_eq!(lines[..2], [first, &format!("It is the field {field}")]);
        assert!(
            lines[2].contains("(transforms)") && !error.message().contains("4711"),
            "{error}"
        );
    }
}

#[test]
fn a_record_of_debeziums_schema_changes_that_cannot_be_read_is_named_as_such() {
    // A record of the schema history, and one of the topic of schema changes whose payload does
    // not match the schema in its envelope.
    let history = r#"{"source":{"server":"shop"},"position":{"file":"b.1"},"databaseName":"db","ddl":"CREATE TABLE t (id INT)","tableChanges":[]}"#;
    let change = r#"{"schema":{"type":"struct","name":"io.debezium.connector.mysql.SchemaChangeValue","fields":[{"type":"string","field":"databaseName"},
        {"type":"string","field":"ddl"}]},"payload":{"databaseName":7,"ddl":"x"}}"#;
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    for (text, first) in [
        (history, "JsonConverter with schemas.enable requires"),
        (
            change,
            "Invalid type for STRING, underlying representation should be text but was NUMBER",
        ),
    ] {
        let error = converter.decode("shop", Some(text.as_bytes())).unwrap_err();
        let (head, last) = (
            error.message().lines().next().unwrap(),
            error.message().lines().last().unwrap(),
        );
        assert!(head.starts_with(first), "{error}");
        for part in [
            "changes of tables",
            "topics.regex",
            "(?!NAME$)",
            "include.schema.changes=false",
        ] {
            assert!(last.contains(part), "{error}");
        }
        assert!(!error.message().contains("CREATE TABLE"), "{error}");
    }
    let row = converter
        .decode("t", Some(br#"{"id":1,"databaseName":"x"}"#))
        .unwrap_err();
    assert_eq!(row.message().lines().count(), 1, "{row}");
}

#[test]
fn an_envelope_within_a_text_is_named_as_encoded_twice() {
    let mut converter = JsonConverter::new(&Config::new()).unwrap();
    let inner = r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"n"}]},"payload":{"n":4711}}"#;
    let text = serde_json::Value::String(inner.to_owned()).to_string();
    let spaced = serde_json::Value::String(format!(" {inner}\n")).to_string();
    for text in [text.as_str(), &spaced, &format!("\n{text}")] {
        let error = converter.decode("t", Some(text.as_bytes())).unwrap_err();
        let lines: Vec<_> = error.message().lines().collect();
        assert!(
            lines[0].starts_with("JsonConverter with schemas.enable requires") && lines.len() == 2,
            "{error}"
        );
        assert!(
            lines[1].contains("encoded it twice") && !error.message().contains("4711"),
            "{error}"
        );
    }
    // The field that should be a struct contains the JSON text of one.
    let within = r#"{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int32","field":"n"}]}]},"payload":{"after":"{\"n\":4711}"}}"#;
    let error = converter.decode("t", Some(within.as_bytes())).unwrap_err();
    assert!(
        error.message().contains("the field after") && error.message().contains("encoded it twice"),
        "{error}"
    );
    for plain in ["\"{}\"", "\"{x\"", "7", "null"] {
        let error = converter.decode("t", Some(plain.as_bytes())).unwrap_err();
        assert!(!error.message().contains("twice"), "{plain}: {error}");
    }
}
