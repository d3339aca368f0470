//! Values that go to columns of types that one database has: bytes, SQLite's unknown types, UUIDs, addresses, instants.

use super::meanings::*;
use super::{Database, Server, decimal, field, int, t};
use crate::sink::records::Topic;
use Server::{MariaDb as M, Postgres as P, Sqlite as S};
use connector_api::{ErrorKind, Schema, SchemaType, Value};

#[tokio::test]
async fn a_text_is_refused_by_a_column_of_bytes() {
    let (text, form) = (|| of(SchemaType::String), "\\101");
    for server in [M, S] {
        hold(server, vec![("BLOB", text(), t(form), Some(form))]).await;
    }
    let bytes = Value::Bytes(form.as_bytes().into());
    let cases = vec![
        ("BYTEA", text(), t(form), None),
        ("BYTEA", text(), t("abc"), None),
        ("BYTEA", of(SchemaType::Int64), Value::I64(5), None),
        ("BYTEA", of(SchemaType::Boolean), Value::Bool(true), None),
        ("BYTEA", Schema::date(), Value::I32(1), None),
        (
            "BYTEA[]",
            Schema::array(text()),
            Value::Array([t(form)].into()),
            None,
        ),
        (
            "BYTEA",
            of(SchemaType::Bytes),
            bytes.clone(),
            Some("\\x5c313031"),
        ),
        (
            "BYTEA[]",
            Schema::array(of(SchemaType::Bytes)),
            Value::Array([bytes].into()),
            Some("{\"\\\\x5c313031\"}"),
        ),
    ];
    hold(P, cases).await;
}

#[tokio::test]
async fn a_text_stays_a_text_in_a_column_of_a_type_that_sqlite_does_not_know() {
    let text = || of(SchemaType::String);
    let mut cases = vec![
        ("", text(), t("00123"), Some("00123")),
        ("TEXT", text(), t("1.50"), Some("1.50")),
    ];
    for ty in ["STRING", "MONEY", "UUID"] {
        for given in ["00123", "1.50", "1e5", " 7", "+7", "1.0"] {
            cases.push((ty, text(), t(given), None));
        }
        for given in [
            "abc",
            "123",
            "-1.5",
            "",
            "12-34",
            "9223372036854775807",
            "0.001",
        ] {
            cases.push((ty, text(), t(given), Some(given)));
        }
        cases.push((ty, of(SchemaType::Int64), Value::I64(7), Some("7")));
        cases.push((ty, of(SchemaType::Float64), Value::F64(1.5), Some("1.5")));
        cases.push((ty, Schema::date(), Value::I32(10_611), Some("1999-01-20")));
    }
    hold(S, cases).await;
}

#[tokio::test]
async fn a_number_is_no_uuid_and_no_address() {
    let uuid = "6b29fc40-ca47-1067-b31d-00dd010662da";
    for server in [M, P] {
        let types: &[&'static str] = match server {
            M => &["UUID", "INET4", "INET6"],
            _ => &["UUID", "INET", "CIDR", "MACADDR"],
        };
        let mut cases = vec![
            ("UUID", of(SchemaType::String), t(uuid), Some(uuid)),
            (
                "UUID",
                of(SchemaType::String),
                t("{6B29FC40CA471067B31D00DD010662DA}"),
                Some(uuid),
            ),
            ("UUID", of(SchemaType::String), t("6b29fc40"), None),
            ("UUID", of(SchemaType::String), t("not a uuid"), None),
        ];
        for ty in types.iter().copied() {
            cases.push((ty, of(SchemaType::Int32), Value::I32(5), None));
            cases.push((ty, of(SchemaType::Int64), Value::I64(AT), None));
            cases.push((ty, of(SchemaType::Float64), Value::F64(1.5), None));
            cases.push((ty, of(SchemaType::Boolean), Value::Bool(true), None));
            cases.push((ty, Schema::decimal(2), decimal("12.34"), None));
            cases.push((ty, debezium("Date", SchemaType::Int32), Value::I32(1), None));
        }
        hold(server, cases).await;
    }
}

#[tokio::test]
async fn a_column_of_instants_keeps_them_in_every_time_zone_of_the_database() {
    for server in [M, P] {
        let (instants, walls) = match server {
            M => ("TIMESTAMP(3) NULL", "DATETIME(3)"),
            _ => ("TIMESTAMPTZ(3)", "TIMESTAMP(3)"),
        };
        for (mode, key) in [
            ("upsert", "record_value"),
            ("insert", "none"),
            ("statement", "none"),
        ] {
            let mut keys = vec![
                ("insert.mode", mode),
                ("pk.mode", key),
                ("db.timezone", "Europe/Berlin"),
                ("timestamp.fields.list", "micros"),
            ];
            match mode {
                "upsert" => keys.push(("pk.fields", "id")),
                "statement" => keys.push((
                    "statement",
                    "INSERT INTO t VALUES (:id, :a, :b, :c, :zoned, :micros)",
                )),
                _ => {}
            }
            let mut database = Database::new(server, &keys).await;
            database
                .run(&format!(
                    "CREATE TABLE t (id INT PRIMARY KEY, a {instants}, b {walls}, c TIME(3), zoned {instants}, \
                     micros {instants})"
                ))
                .await;
            let topic = Topic::new("t");
            let fields = [
                int("id"),
                field("a", Schema::timestamp()),
                field("b", Schema::timestamp()),
                field("c", debezium("ZonedTime", SchemaType::String)),
                field("zoned", debezium("ZonedTimestamp", SchemaType::String)),
                field("micros", of(SchemaType::Int64)),
            ];
            let values = [
                Value::I32(1),
                Value::I64(AT),
                Value::I64(AT),
                t("10:20:30.5+09:00"),
                t(ISO),
                Value::I64(AT * 1000),
            ];
            database
                .write(&topic, &[&[topic.value(&fields, values)]])
                .await;
            let shown = match server {
                M => "SET time_zone = '+00:00'",
                _ => "SET TimeZone = 'UTC'",
            };
            database.run(shown).await;
            let instant = match server {
                M => "2024-03-22 15:58:32.345",
                _ => "2024-03-22 15:58:32.345+00",
            };
            assert_eq!(
                database.select("a, b, c, zoned, micros", "FROM t").await,
                [
                    format!("{instant}|2024-03-22 16:58:32.345|02:20:30.500|{instant}|{instant}")
                        .replace(
                            "02:20:30.500",
                            if server == M {
                                "02:20:30.500"
                            } else {
                                "02:20:30.5"
                            }
                        )
                ],
                "{server} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn an_error_of_a_value_that_postgresql_refuses_names_the_column() {
    for (ty, schema, value) in [
        ("JSONB", SchemaType::String, t("{")),
        ("SMALLINT", SchemaType::Int32, Value::I32(70_000)),
        ("NUMERIC(4,2)", SchemaType::Int32, Value::I32(70_000)),
        ("VARCHAR(3)", SchemaType::String, t("four")),
        ("CHAR(3)", SchemaType::String, t("four")),
        ("INET", SchemaType::String, t("nowhere")),
        ("INT[]", SchemaType::String, t("{1,a}")),
        ("own.state", SchemaType::String, t("gone")),
    ] {
        for (mode, pk) in [
            ("insert", "none"),
            ("upsert", "record_value"),
            ("update", "record_value"),
        ] {
            let keys = [("insert.mode", mode), ("pk.mode", pk), ("pk.fields", "id")];
            let mut database =
                Database::new(P, if mode == "insert" { &keys[..1] } else { &keys }).await;
            database.run("CREATE SCHEMA own").await;
            database
                .run("CREATE TYPE own.state AS ENUM ('there')")
                .await;
            database
                .run(&format!(
                    "CREATE TABLE t (id INT PRIMARY KEY, a TEXT, x {ty}, z VARCHAR(5))"
                ))
                .await;
            if mode == "update" {
                database.run("INSERT INTO t (id) VALUES (1), (2)").await;
            }
            let topic = Topic::new("t");
            let fields = [
                int("id"),
                field("a", of(SchemaType::String)),
                field("x", of(schema)),
                field("z", of(SchemaType::String)),
            ];
            let row = |id: i32| {
                topic.value(
                    &fields,
                    [Value::I32(id), t("long enough"), value.clone(), t("short")],
                )
            };
            let error = database
                .put(&topic, &[&[row(1), row(2)]])
                .await
                .expect_err(ty);
            assert_eq!(error.kind(), ErrorKind::Record, "{error}");
            let text = error.to_string();
            assert!(
                text.contains("offset 0") && text.contains("column x"),
                "{ty} {mode}: {text}"
            );
        }
    }
}
