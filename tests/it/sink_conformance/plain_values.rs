//! Values without a schema in columns whose type is none of JSON's: bits, and spans of time; and the field that an error
//! of the server is about.

use connector_api::{Datum, ErrorKind, SchemaType, SinkRecord, Value};

use super::plain::object;
use super::{Database, Server, field, int, t};
use crate::sink::database::{ALL, SERVERS};
use crate::sink::records::Topic;

use Server::{MariaDb as M, Postgres as P, Sqlite as S};

fn plain(topic: &Topic, id: i64, value: Value) -> SinkRecord {
    let row = object(&[("id", Value::I64(id)), ("x", value)]);
    topic.record(
        Datum::NONE,
        Datum {
            schema: None,
            value: row,
        },
    )
}

/// What a table with a column of that type has of a value, or the error.
async fn stored(
    server: Server,
    keys: &[(&str, &str)],
    ty: &str,
    value: Value,
) -> Result<String, String> {
    let mut database = Database::new(server, keys).await;
    database
        .run(&format!("CREATE TABLE t (id INT, x {ty})"))
        .await;
    let topic = Topic::new("t");
    let done = database.put(&topic, &[&[plain(&topic, 1, value)]]).await;
    if let Err(error) = done {
        assert_eq!(error.kind(), ErrorKind::Record, "{server} {ty}: {error}");
        return Err(error.to_string());
    }
    let shown = match server {
        M if ty.starts_with("BIT") => "CAST(x+0 AS CHAR)",
        M => "CAST(x AS CHAR)",
        P => "x::text",
        S => "CAST(x AS TEXT)",
    };
    let rows = database.rows(&format!("SELECT {shown} FROM t")).await;
    assert_eq!(rows.len(), 1);
    Ok(rows[0].clone())
}

#[tokio::test]
async fn numbers_digits_and_base64_become_bits_on_both_servers() {
    // 5 as JsonConverter writes the bytes of 12 bits, and as Debezium does
    let (bytes, reversed) = (t("AAU="), t("BQA="));
    let debezium = &[("debezium.types", "true")][..];
    for server in SERVERS {
        for (keys, ty, value, number, digits) in [
            (&[][..], "BIT(12)", Value::I64(5), "5", "000000000101"),
            (&[], "BIT(12)", t("000000000101"), "5", "000000000101"),
            (&[], "BIT(12)", bytes.clone(), "5", "000000000101"),
            (debezium, "BIT(12)", reversed.clone(), "5", "000000000101"),
            (&[], "BIT(8)", Value::I64(200), "200", "11001000"),
            (&[], "BIT(8)", t("00000101"), "5", "00000101"),
            (&[], "BIT(8)", t("yA=="), "200", "11001000"),
            (&[], "BIT(8)", t("1"), "1", "00000001"),
            (&[], "BIT(1)", Value::Bool(true), "1", "1"),
            (&[], "BIT(1)", t("true"), "1", "1"),
            (&[], "BIT(1)", Value::I64(0), "0", "0"),
            (&[], "BIT(1)", t("AQ=="), "1", "1"),
        ] {
            let want = if *server == M { number } else { digits };
            let found = stored(*server, keys, ty, value.clone()).await;
            assert_eq!(found.as_deref(), Ok(want), "{server} {ty} {value:?}");
        }
        for value in [
            t("five"),
            Value::I64(4096),
            Value::I64(-1),
            Value::F64(0.5),
            t("EAAA"),
        ] {
            let refused = stored(*server, &[], "BIT(12)", value.clone())
                .await
                .unwrap_err();
            assert!(
                refused.contains('x') && refused.contains("bit"),
                "{server} {value:?}: {refused}"
            );
        }
    }
    for (value, want) in [(t("101"), "101"), (t("BQ=="), "00000101")] {
        assert_eq!(
            stored(P, &[], "BIT VARYING(12)", value).await.as_deref(),
            Ok(want)
        );
    }
}

#[tokio::test]
async fn a_duration_becomes_a_time_unless_its_length_is_not_known() {
    for server in ALL {
        for (text, want) in [
            ("PT12H30M5S", "12:30:05"),
            ("P0Y0M0DT12H30M5.5S", "12:30:05.5"),
        ] {
            let ty = if *server == M { "TIME(6)" } else { "TIME" };
            let found = stored(*server, &[], ty, t(text)).await.unwrap();
            assert_eq!(
                found.trim_end_matches('0').trim_end_matches('.'),
                want,
                "{server} {text}"
            );
        }
        let refused = stored(*server, &[], "TIME", t("P1Y2M")).await.unwrap_err();
        for part in ["column x", "ISO 8601 duration", "interval.handling.mode"] {
            assert!(refused.contains(part), "{server}: {part}: {refused}");
        }
    }
    assert_eq!(
        stored(M, &[], "TIME", t("P1DT12H")).await.as_deref(),
        Ok("36:00:00")
    );
    assert_eq!(
        stored(P, &[], "INTERVAL", t("P1Y2M")).await.as_deref(),
        Ok("1 year 2 mons")
    );
}

/// MariaDB names the column, and nothing else.
#[tokio::test]
async fn a_value_that_is_too_long_or_too_large_is_named_with_its_field_and_both_types() {
    for (ty, schema, value) in [
        ("varchar(3)", SchemaType::String, t("s3cret")),
        (
            "varbinary(3)",
            SchemaType::Bytes,
            Value::Bytes((*b"s3cret").into()),
        ),
        ("tinyint(4)", SchemaType::Int64, Value::I64(70_707)),
        ("decimal(3,1)", SchemaType::Int64, Value::I64(70_707)),
        (
            "bit(3)",
            SchemaType::Bytes,
            Value::Bytes((*b"s3cret").into()),
        ),
    ] {
        for has_schema in [true, false] {
            let mut database = Database::new(M, &[]).await;
            database
                .run(&format!("CREATE TABLE t (id INT, x {ty})"))
                .await;
            let topic = Topic::new("t");
            let record = match (has_schema, &value) {
                (true, value) => topic.value(
                    &[int("id"), field("x", connector_api::Schema::of(schema))],
                    [Value::I32(1), value.clone()],
                ),
                // JSON has no bytes but base64
                (false, Value::Bytes(_)) => plain(&topic, 1, t("czNjcmV0")),
                (false, value) => plain(&topic, 1, value.clone()),
            };
            let error = database.put(&topic, &[&[record]]).await.unwrap_err();
            let text = error.to_string();
            // a number without a schema is bound as the text of its digits
            let found = match (has_schema, schema) {
                (false, SchemaType::Int64) if ty.starts_with("decimal") => "STRING",
                (_, schema) => schema.name(),
            };
            let line = format!("The field x is {found}, and the column's type is {ty}. ");
            for part in [&*line, "field.exclude.list", "errors.tolerance=all"] {
                assert!(text.contains(part), "{ty} {has_schema}: {part}: {text}");
            }
            assert!(
                !text.contains("s3cret") && !text.contains("70707"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn an_object_within_a_text_is_recognized_as_encoded_twice() {
    for server in ALL {
        let twice = || t("{\"id\": 1}");
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "id"),
        ];
        let mut database = Database::new(*server, &keys).await;
        database
            .run("CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER)")
            .await;
        let topic = Topic::new("t");
        let bare = |value: Value| Datum {
            schema: None,
            value,
        };
        for (key, value) in [
            (bare(twice()), object(&[("x", Value::I64(1))])),
            (bare(Value::I64(1)), object(&[("x", twice())])),
            (bare(Value::I64(1)), twice()),
        ] {
            let record = topic.record(key, bare(value.clone()));
            let error = database.put(&topic, &[&[record]]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record, "{server}: {error}");
            assert!(
                error.to_string().contains("encoded it twice"),
                "{server} {value:?}: {error}"
            );
        }
    }
}
