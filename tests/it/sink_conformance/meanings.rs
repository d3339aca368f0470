//! Values that a server would take for something else in the column they go to: they arrive as what they mean, or their
//! record is refused with the column and what helps. Each case is a column, a value and what the column then holds.

use std::sync::Arc;

use connector_api::{Datum, ErrorKind, Schema, SchemaType, Value};

use super::{Database, Server, decimal, field, int, structure, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

use Server::{MariaDb as M, Postgres as P, Sqlite as S};

/// Milliseconds of 2024-03-22 15:58:32.345.
pub(super) const AT: i64 = 1_711_123_112_345;

pub(super) const ISO: &str = "2024-03-22T17:58:32.345+02:00";

pub(super) fn named(name: &str, ty: SchemaType) -> Schema {
    Schema {
        name: Some(Arc::from(name)),
        ..Schema::of(ty)
    }
}

pub(super) fn debezium(name: &str, ty: SchemaType) -> Schema {
    named(&format!("io.debezium.time.{name}"), ty)
}

pub(super) fn of(ty: SchemaType) -> Schema {
    Schema::of(ty)
}

/// A value in a column of that type, and what it holds then; `None`: refused.
pub(super) type Case = (&'static str, Schema, Value, Option<&'static str>);

/// Writes each value with each mode. What is expected has to begin with what is given.
pub(super) async fn hold(server: Server, cases: Vec<Case>) {
    for (n, (ty, schema, value, want)) in cases.into_iter().enumerate() {
        for (mode, pk) in [
            ("insert", "none"),
            ("upsert", "record_value"),
            ("update", "record_value"),
        ] {
            let keys = [("insert.mode", mode), ("pk.mode", pk), ("pk.fields", "id")];
            let mut database =
                Database::new(server, if mode == "insert" { &keys[..1] } else { &keys }).await;
            database
                .run(&format!("CREATE TABLE t (id INT PRIMARY KEY, x {ty})"))
                .await;
            if mode == "update" {
                database.run("INSERT INTO t VALUES (1, NULL)").await;
            }
            let topic = Topic::new("t");
            let fields = [int("id"), field("x", schema.clone().optional(true))];
            let record = topic.value(&fields, [Value::I32(1), value.clone()]);
            let outcome = database.put(&topic, &[&[record]]).await;
            let shown = match server {
                M if ty.starts_with("BIT") => "CAST(x+0 AS CHAR)",
                M => "CAST(x AS CHAR)",
                P => "x::text",
                S => "CAST(x AS TEXT)",
            };
            let seen = database
                .rows(&format!("SELECT {shown} FROM t WHERE x IS NOT NULL"))
                .await;
            let case = format!("{server} {mode} {n}: {schema:?} {value:?} into {ty}");
            match (want, outcome) {
                (Some(want), Ok(())) => assert!(
                    seen.len() == 1 && seen[0].starts_with(want),
                    "{case}: {seen:?}"
                ),
                (None, Err(error)) => {
                    assert_eq!(
                        (error.kind(), seen.len()),
                        (ErrorKind::Record, 0),
                        "{case}: {error}"
                    );
                    let text = error.to_string();
                    assert!(
                        text.contains("offset 0") && text.contains("column x"),
                        "{case}: {text}"
                    );
                }
                (want, outcome) => panic!("{case}: wanted {want:?}, got {outcome:?}, {seen:?}"),
            }
        }
    }
}

pub(super) fn columns_of(
    server: Server,
) -> (&'static str, &'static str, &'static str, &'static str) {
    match server {
        M => ("DATE", "TIME(6)", "DATETIME(6)", "TIMESTAMP(6) NULL"),
        P => ("DATE", "TIME", "TIMESTAMP", "TIMESTAMP"),
        S => ("DATE", "TIME", "DATETIME", "TIMESTAMP"),
    }
}

#[tokio::test]
async fn a_plain_number_is_refused_by_date_and_time_columns() {
    for server in ALL {
        let (date, time, stamp, zoned) = columns_of(*server);
        let mut cases = Vec::new();
        for ty in [date, time, stamp, zoned] {
            cases.push((ty, of(SchemaType::Int64), Value::I64(AT), None));
            cases.push((ty, of(SchemaType::Int32), Value::I32(20_240_322), None));
            cases.push((ty, of(SchemaType::Float64), Value::F64(20_240_322.0), None));
            cases.push((ty, of(SchemaType::Boolean), Value::Bool(true), None));
            cases.push((ty, Schema::decimal(0), decimal("20240322"), None));
            cases.push((ty, of(SchemaType::String), t("1711123112345"), None));
            cases.push((ty, of(SchemaType::String), t("10611"), None));
            cases.push((
                ty,
                of(SchemaType::Bytes),
                Value::Bytes(b"20240322"[..].into()),
                None,
            ));
        }
        hold(*server, cases).await;
    }
}

#[tokio::test]
async fn debeziums_types_are_understood_without_debezium_types() {
    for server in ALL {
        let (date, time, stamp, zoned) = columns_of(*server);
        let (long, short) = (of(SchemaType::Int64).ty, of(SchemaType::Int32).ty);
        let moment = Some("2024-03-22 15:58:32.345");
        let mut cases = vec![
            (
                date,
                debezium("Date", short),
                Value::I32(10_611),
                Some("1999-01-20"),
            ),
            (
                stamp,
                debezium("Date", short),
                Value::I32(10_611),
                Some("1999-01-20"),
            ),
            (
                time,
                debezium("Time", short),
                Value::I32(83_000),
                Some("00:01:23"),
            ),
            (
                time,
                debezium("MicroTime", long),
                Value::I64(3_600_000_000),
                Some("01:00:00"),
            ),
            (
                time,
                debezium("NanoTime", long),
                Value::I64(3_600_000_001_000),
                Some("01:00:00.000001"),
            ),
            (
                date,
                debezium("Timestamp", long),
                Value::I64(AT),
                Some("2024-03-22"),
            ),
            (
                time,
                debezium("Timestamp", long),
                Value::I64(AT),
                Some("15:58:32.345"),
            ),
            (time, debezium("Date", short), Value::I32(10_611), None),
            (date, debezium("Time", short), Value::I32(83_000), None),
            (
                stamp,
                debezium("MicroTime", long),
                Value::I64(3_600_000_000),
                None,
            ),
            (date, debezium("Year", short), Value::I32(2024), None),
            (
                "BIGINT",
                debezium("Timestamp", long),
                Value::I64(AT),
                Some("1711123112345"),
            ),
            (
                "VARCHAR(30)",
                debezium("Timestamp", long),
                Value::I64(AT),
                Some("1711123112345"),
            ),
        ];
        for ty in [stamp, zoned] {
            cases.push((ty, debezium("Timestamp", long), Value::I64(AT), moment));
            cases.push((
                ty,
                debezium("MicroTimestamp", long),
                Value::I64(AT * 1000),
                moment,
            ));
            cases.push((
                ty,
                debezium("NanoTimestamp", long),
                Value::I64(AT * 1_000_000),
                moment,
            ));
            cases.push((ty, Schema::timestamp(), Value::I64(AT), moment));
        }
        match server {
            M => cases.extend([
                (
                    "YEAR",
                    debezium("Year", short),
                    Value::I32(2024),
                    Some("2024"),
                ),
                ("YEAR", debezium("Year", short), Value::I32(24), None),
                (
                    "TIME(6)",
                    debezium("MicroTime", long),
                    Value::I64(-90_000_000_000),
                    Some("-25:00:00.000000"),
                ),
                (
                    "TIME(6)",
                    debezium("MicroDuration", long),
                    Value::I64(90_000_000_000),
                    Some("25:00:00.000000"),
                ),
                (
                    stamp,
                    debezium("ZonedTimestamp", SchemaType::String),
                    t("2024-03-22T15:58:32.345Z"),
                    moment,
                ),
                (
                    time,
                    debezium("ZonedTime", SchemaType::String),
                    t("10:20:30Z"),
                    Some("10:20:30"),
                ),
            ]),
            P => cases.extend([
                (
                    "INTERVAL",
                    debezium("MicroDuration", long),
                    Value::I64(90_000_000_000),
                    Some("25:00:00"),
                ),
                (
                    "INTERVAL",
                    debezium("Interval", SchemaType::String),
                    t("P1Y2M3DT4H5M6S"),
                    Some("1 year 2 mons 3 days 04:05:06"),
                ),
                (
                    "DATE[]",
                    Schema::array(debezium("Date", short)),
                    Value::Array([Value::I32(10_611)].into()),
                    Some("{1999-01-20}"),
                ),
                (
                    "DATE[]",
                    Schema::array(of(short)),
                    Value::Array([Value::I32(20_240_322)].into()),
                    None,
                ),
                ("INT[]", of(SchemaType::String), t("{1,2}"), Some("{1,2}")),
                ("INTERVAL", of(SchemaType::Int64), Value::I64(90), None),
                ("INTERVAL", of(SchemaType::String), t("90"), None),
                (
                    stamp,
                    debezium("ZonedTimestamp", SchemaType::String),
                    t("2024-03-22T15:58:32.345Z"),
                    moment,
                ),
                (
                    time,
                    debezium("ZonedTime", SchemaType::String),
                    t("10:20:30Z"),
                    Some("10:20:30"),
                ),
            ]),
            S => {}
        }
        hold(*server, cases).await;
    }
}

#[tokio::test]
async fn a_text_is_a_date_or_time_only_where_it_is_unambiguous() {
    for server in ALL {
        let (date, time, stamp, _) = columns_of(*server);
        let text = || of(SchemaType::String);
        let mut cases = vec![
            (date, text(), t("2024-03-22"), Some("2024-03-22")),
            (date, text(), t("2024-03-22T15:58:32Z"), Some("2024-03-22")),
            (date, text(), t("20240322"), Some("2024-03-22")),
            (date, text(), t("240322"), None),
            (date, text(), t("22/03/24"), None),
            (date, text(), t("10:11:12"), None),
            (stamp, text(), t("10:11:12"), None),
            (
                stamp,
                text(),
                t("2024-03-22 15:58:32.345"),
                Some("2024-03-22 15:58:32.345"),
            ),
            (
                stamp,
                text(),
                t("20240322155832"),
                Some("2024-03-22 15:58:32"),
            ),
            (stamp, text(), t("today"), None),
            (time, text(), t("10:20:30"), Some("10:20:30")),
            (time, text(), t("102030"), Some("10:20:30")),
            (time, text(), t("83000"), None),
            (time, text(), t("2024-03-22"), None),
            (time, text(), t("10:20:30+02:00"), Some("08:20:30")),
            (time, text(), t("01:20:30.5-0330"), Some("04:50:30.5")),
            (time, text(), t("00:20:30+02"), Some("22:20:30")),
            (time, text(), t("10:20:30 CET"), None),
            (time, text(), t("10:20:30+99:00"), None),
        ];
        // SQLite keeps an offset, which its functions know
        if *server != S {
            for (iso, want) in [
                (ISO, Some("2024-03-22 15:58:32.345")),
                ("2024-03-22T15:58:32.345Z", Some("2024-03-22 15:58:32.345")),
                ("2024-03-22T15:58:32.345", Some("2024-03-22 15:58:32.345")),
                (
                    "2024-03-22 17:58:32.345 +0200",
                    Some("2024-03-22 15:58:32.345"),
                ),
                (
                    "2024-03-22 17:58:32.345+02",
                    Some("2024-03-22 15:58:32.345"),
                ),
                ("2024-03-22 17:58:32.345 Europe/Paris", None),
                ("1500-03-01T00:00:00Z", Some("1500-03-01 00:00:00")),
            ] {
                cases.push((stamp, text(), t(iso), want));
            }
        }
        if *server == P {
            cases.push(("TIMESTAMPTZ", text(), t(ISO), Some("2024-03-22 ")));
            cases.push((date, text(), t("0044-03-15 BC"), Some("0044-03-15 BC")));
            cases.push((date, text(), t("-infinity"), Some("-infinity")));
        }
        hold(*server, cases).await;
    }
}

pub(super) fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.into())
}

fn list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| t(text)).collect())
}

/// Debezium's bit string.
pub(super) fn named_bits(length: &str) -> Schema {
    let bits = Schema {
        name: Some("io.debezium.data.Bits".into()),
        ..of(SchemaType::Bytes)
    };
    bits.param("length", length)
}

#[tokio::test]
async fn a_number_is_no_index_of_an_enum_and_a_text_no_bits() {
    let (long, text) = (|| of(SchemaType::Int64), || of(SchemaType::String));
    hold(
        M,
        vec![
            ("ENUM('red','blue')", long(), Value::I64(1), None),
            ("ENUM('red','blue')", text(), t("1"), None),
            ("ENUM('red','blue')", text(), t(" 2"), None),
            ("ENUM('red','blue')", text(), t("blue"), Some("blue")),
            ("ENUM('2','1')", long(), Value::I64(1), Some("1")),
            ("ENUM('2','1')", text(), t("1"), Some("1")),
            (
                "ENUM('red','blue')",
                of(SchemaType::Boolean),
                Value::Bool(true),
                None,
            ),
            (
                "ENUM('red','blue')",
                of(SchemaType::Float64),
                Value::F64(1.0),
                None,
            ),
            ("ENUM('red','blue')", Schema::decimal(0), decimal("1"), None),
            ("SET('a','b')", long(), Value::I64(3), None),
            ("SET('a','b')", text(), t("3"), None),
            ("SET('a','b')", text(), t("a,b"), Some("a,b")),
            ("BIT(8)", text(), t("1"), Some("1")),
            ("BIT(8)", text(), t("00000101"), Some("5")),
            ("BIT(8)", text(), t("5"), None),
            ("BIT(8)", Schema::decimal(0), decimal("5"), None),
            ("BIT(8)", Schema::date(), Value::I32(1), None),
            ("BIT(8)", of(SchemaType::Int8), Value::I8(-1), Some("255")),
            ("BIT(4)", of(SchemaType::Int32), Value::I32(16), None),
            ("BIT(1)", text(), t("true"), Some("1")),
            (
                "BIT(1)",
                of(SchemaType::Boolean),
                Value::Bool(true),
                Some("1"),
            ),
            (
                "YEAR",
                of(SchemaType::Int32),
                Value::I32(2024),
                Some("2024"),
            ),
            ("YEAR", of(SchemaType::Int32), Value::I32(24), None),
            ("YEAR", text(), t("24"), None),
            ("YEAR", text(), t("1999"), Some("1999")),
            ("YEAR", of(SchemaType::Boolean), Value::Bool(true), None),
            ("YEAR", Schema::date(), Value::I32(10_957), Some("2000")),
            ("YEAR", Schema::date(), Value::I32(10_958), None),
        ],
    )
    .await;
    hold(
        P,
        vec![
            (
                "BIT(8)",
                of(SchemaType::Int32),
                Value::I32(101),
                Some("01100101"),
            ),
            (
                "BIT(8)",
                of(SchemaType::Int8),
                Value::I8(-1),
                Some("11111111"),
            ),
            ("BIT(4)", of(SchemaType::Int32), Value::I32(16), None),
            (
                "BIT(1)",
                of(SchemaType::Boolean),
                Value::Bool(true),
                Some("1"),
            ),
            (
                "BIT VARYING(8)",
                of(SchemaType::Int32),
                Value::I32(101),
                None,
            ),
            ("BIT(3)", text(), t("101"), Some("101")),
            (
                "BIT(12)",
                of(SchemaType::Bytes),
                bytes(&[0x05, 0xa0]),
                Some("010110100000"),
            ),
            (
                "BIT(12)",
                of(SchemaType::Bytes),
                bytes(&[0xa0]),
                Some("000010100000"),
            ),
            ("BIT(12)", of(SchemaType::Bytes), bytes(&[0x10, 0]), None),
            ("BIT(1)", of(SchemaType::Bytes), bytes(&[1]), Some("1")),
            (
                "BIT(12)",
                named_bits("12"),
                bytes(&[0xa0, 0x05]),
                Some("010110100000"),
            ),
            (
                "BIT VARYING(12)",
                of(SchemaType::Bytes),
                bytes(&[0x05, 0xa0]),
                Some("010110100000"),
            ),
            (
                "BIT VARYING",
                of(SchemaType::Bytes),
                bytes(&[0x05]),
                Some("00000101"),
            ),
            ("\"char\"", text(), t("ab"), None),
            ("\"char\"", long(), Value::I64(66), None),
            ("\"char\"", long(), Value::I64(6), Some("6")),
            ("\"char\"", Schema::date(), Value::I32(1), None),
            ("MONEY", text(), t(""), None),
            ("MONEY", text(), t("12.50"), Some("$12.50")),
            ("DATE", text(), t("J2451187"), None),
            ("DATE", text(), t("January 8, 1999"), Some("1999-01-08")),
            ("TEXT", of(SchemaType::Bytes), bytes(b"hello"), None),
            ("VARCHAR(30)", of(SchemaType::Bytes), bytes(b"hello"), None),
            ("NAME", of(SchemaType::Bytes), bytes(b"hello"), None),
            ("XML", of(SchemaType::Bytes), bytes(b"hello"), None),
            ("TEXT", Schema::array(text()), list(&["a", "b"]), None),
            (
                "VARCHAR(30)",
                Schema::array(text()),
                list(&["a", "b"]),
                None,
            ),
            (
                "TEXT[]",
                Schema::array(text()),
                list(&["a", "b"]),
                Some("{a,b}"),
            ),
            ("\"char\"", text(), t("a"), Some("a")),
            (
                "BOOLEAN",
                of(SchemaType::Int32),
                Value::I32(1),
                Some("true"),
            ),
            ("BOOLEAN", of(SchemaType::Int32), Value::I32(2), None),
            ("BOOLEAN", text(), t("yes"), Some("true")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_number_that_does_not_fit_is_refused_and_not_truncated() {
    for server in ALL {
        let text = || of(SchemaType::String);
        hold(
            *server,
            vec![
                ("INT", text(), t("12"), Some("12")),
                ("INT", text(), t(" 12.0 "), Some("12")),
                ("INT", text(), t("12abc"), None),
                ("INT", text(), t("12.5"), None),
                ("INT", text(), t(""), None),
                ("INT", of(SchemaType::Float64), Value::F64(2.0), Some("2")),
                ("INT", of(SchemaType::Float64), Value::F64(1.5), None),
                ("INT", Schema::decimal(2), decimal("3.00"), Some("3")),
                ("INT", Schema::decimal(2), decimal("1.55"), None),
                ("INT", Schema::timestamp(), Value::I64(AT), None),
                ("INT", Schema::date(), Value::I32(1), None),
                ("NUMERIC(10,2)", text(), t("12abc"), None),
                ("NUMERIC(10,2)", text(), t("12.5"), Some("12.5")),
                ("DOUBLE PRECISION", text(), t("0x10"), None),
                (
                    "BIGINT",
                    text(),
                    t("9223372036854775807"),
                    Some("9223372036854775807"),
                ),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn keys_match_only_the_row_that_they_mean() {
    for server in ALL {
        let (date, _, stamp, _) = columns_of(*server);
        let key = |schema: Schema, value: Value| structure(&[field("k", schema)], [value]);
        // the key of the row that is there, a key that is another's, and one that is none
        for (ty, there, schema, same, other) in [
            (
                "VARCHAR(20)",
                "'abc'",
                of(SchemaType::Int32),
                None,
                Some(Value::I32(0)),
            ),
            (
                "VARCHAR(20)",
                "'5'",
                of(SchemaType::Int32),
                Some(Value::I32(5)),
                None,
            ),
            (
                "INT",
                "12",
                of(SchemaType::String),
                Some(t("12")),
                Some(t("12abc")),
            ),
            (
                date,
                "'1999-01-20'",
                debezium("Date", SchemaType::Int32),
                Some(Value::I32(10_611)),
                Some(Value::I32(10_612)),
            ),
            (
                date,
                "'1999-01-20'",
                of(SchemaType::Int32),
                None,
                Some(Value::I32(19_990_120)),
            ),
            (
                stamp,
                "'1999-01-20'",
                of(SchemaType::Int64),
                None,
                Some(Value::I64(19_990_120_000_000)),
            ),
        ] {
            let keys = [
                ("insert.mode", "upsert"),
                ("pk.mode", "record_key"),
                ("delete.enabled", "true"),
            ];
            let mut database = Database::new(*server, &keys).await;
            database
                .run(&format!(
                    "CREATE TABLE t (k {ty} PRIMARY KEY); INSERT INTO t VALUES ({there})"
                ))
                .await;
            let topic = Topic::new("t");
            if let Some(other) = other {
                let record = topic.record(key(schema.clone(), other), Datum::NONE);
                let outcome = database
                    .put(&topic, &[&[record]])
                    .await
                    .map_err(|error| error.kind());
                assert!(
                    matches!(outcome, Ok(()) | Err(ErrorKind::Record)),
                    "{server} {ty}: {outcome:?}"
                );
                assert_eq!(
                    database.rows("SELECT count(*) FROM t").await,
                    ["1"],
                    "{server} {ty} {there}"
                );
            }
            if let Some(same) = same {
                database
                    .write(&topic, &[&[topic.record(key(schema, same), Datum::NONE)]])
                    .await;
                assert_eq!(
                    database.rows("SELECT count(*) FROM t").await,
                    ["0"],
                    "{server} {ty} {there}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_names_what_helps() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        database
            .run(&format!(
                "CREATE TABLE t (id INT, x {})",
                columns_of(*server).2
            ))
            .await;
        let topic = Topic::new("t");
        let fields = [int("id"), field("x", of(SchemaType::Int64))];
        let bad = || topic.value(&fields, [Value::I32(1), Value::I64(AT)]);
        let error = database
            .put(&topic, &[&[bad()]])
            .await
            .unwrap_err()
            .to_string();
        for part in [
            "record of topic t, partition 0, offset 0",
            "column x",
            "timestamp.fields.list",
            "debezium.types",
        ] {
            assert!(error.contains(part), "{server} {part}: {error}");
        }
        assert!(!error.contains("1711123112345"), "no value: {error}");
        // with the key named the same number is a date and time
        let named = [("timestamp.fields.list", "x")];
        let mut task = database.open(&topic, true, &named).await;
        let good = topic.value(&fields, [Value::I32(2), Value::I64(AT * 1000)]);
        assert!(
            task.put(&[good], &topic.next())
                .await
                .unwrap()
                .rejected
                .is_empty(),
            "{server}"
        );
        task.close().await;
        let shown = if *server == P { "x::text" } else { "x" };
        let seen = database.rows(&format!("SELECT {shown} FROM t")).await;
        assert!(
            seen.len() == 1 && seen[0].starts_with("2024-03-22 15:58:32.345"),
            "{server}: {seen:?}"
        );
        // where errors are tolerated the record alone is left out
        let mut task = database.open(&topic, true, &[]).await;
        let rest = topic.value(&[int("id")], [Value::I32(3)]);
        let report = task.put(&[bad(), rest], &topic.next()).await.unwrap();
        assert_eq!(
            (report.rejected.len(), report.rejected[0].index),
            (1, 0),
            "{server}"
        );
        task.close().await;
        assert_eq!(
            database.rows("SELECT id FROM t ORDER BY id").await,
            ["2", "3"],
            "{server}"
        );
    }
}

#[tokio::test]
async fn a_statements_parameters_are_converted_to_the_types_of_their_columns() {
    const INSERT: &str = "INSERT INTO t (id, x) VALUES (:id, :x)";
    const UPDATE: &str = "UPDATE t SET x = :x WHERE id = :id";
    const COALESCE: &str = "UPDATE t SET x = COALESCE(:x, x) WHERE id = :id";
    for server in ALL {
        let (date, time, stamp, _) = columns_of(*server);
        for (ty, sql, schema, value, want) in [
            (
                date,
                INSERT,
                of(SchemaType::Int32),
                Value::I32(20_240_322),
                None,
            ),
            (
                date,
                UPDATE,
                of(SchemaType::Int32),
                Value::I32(20_240_322),
                None,
            ),
            (
                date,
                "INSERT INTO t VALUES (:id, :x)",
                of(SchemaType::Int64),
                Value::I64(20_240_322),
                None,
            ),
            (
                date,
                INSERT,
                debezium("Date", SchemaType::Int32),
                Value::I32(10_611),
                Some("1999-01-20"),
            ),
            (
                stamp,
                UPDATE,
                debezium("Timestamp", SchemaType::Int64),
                Value::I64(AT),
                Some("2024-03-22 15:58:32.345"),
            ),
            (
                time,
                INSERT,
                debezium("Time", SchemaType::Int32),
                Value::I32(83_000),
                Some("00:01:23"),
            ),
            ("INT", UPDATE, of(SchemaType::String), t("12abc"), None),
            ("INT", UPDATE, of(SchemaType::String), t("12"), Some("12")),
            (
                date,
                COALESCE,
                of(SchemaType::Int32),
                Value::I32(20_240_322),
                None,
            ),
            (
                date,
                "INSERT INTO t (id, x) VALUES (:id, COALESCE(:x, CURRENT_DATE))",
                of(SchemaType::Int32),
                Value::I32(20_240_322),
                None,
            ),
            (
                date,
                COALESCE,
                debezium("Date", SchemaType::Int32),
                Value::I32(10_611),
                Some("1999-01-20"),
            ),
            // what a statement makes of a number is its own business
            (
                "BIGINT",
                "UPDATE t SET x = :x / 1000 WHERE id = :id",
                of(SchemaType::Int64),
                Value::I64(5000),
                Some("5"),
            ),
        ] {
            let mut database =
                Database::new(*server, &[("insert.mode", "statement"), ("statement", sql)]).await;
            database
                .run(&format!("CREATE TABLE t (id INT PRIMARY KEY, x {ty})"))
                .await;
            if sql.starts_with("UPDATE") {
                database.run("INSERT INTO t VALUES (1, NULL)").await;
            }
            let topic = Topic::new("t");
            let named = topic.value(
                &[int("id"), field("x", schema.clone())],
                [Value::I32(1), value.clone()],
            );
            let mut outcome = database.put(&topic, &[&[named]]).await;
            if want.is_none() {
                // without a schema it is the same
                let error = outcome.unwrap_err();
                assert!(
                    error.kind() == ErrorKind::Record && error.to_string().contains(":x"),
                    "{server} {ty}: {error}"
                );
                let members = vec![(t("id"), Value::I64(1)), (t("x"), value.clone())];
                let plain = Datum {
                    schema: None,
                    value: Value::Map(members.into()),
                };
                outcome = database
                    .put(&topic, &[&[topic.record(Datum::NONE, plain)]])
                    .await;
            }
            let shown = if *server == P { "x::text" } else { "x" };
            let seen = database
                .rows(&format!("SELECT {shown} FROM t WHERE x IS NOT NULL"))
                .await;
            match (want, outcome) {
                (Some(want), Ok(())) => {
                    assert!(seen[0].starts_with(want), "{server} {sql} {ty}: {seen:?}");
                }
                (None, Err(error)) => {
                    assert!(
                        error.kind() == ErrorKind::Record && seen.is_empty(),
                        "{server} {sql}: {error}"
                    );
                }
                (want, outcome) => {
                    panic!("{server} {sql} {ty}: wanted {want:?}, got {outcome:?} {seen:?}")
                }
            }
        }
    }
}
