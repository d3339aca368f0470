//! Debezium's placeholder for values that a change event does not have.

use std::sync::Arc;

use connector_api::{Datum, ErrorKind, Field, Schema, SchemaType, SinkRecord, Value};

use super::{Database, field, int, structure, t};
use crate::sink::database::{ALL, Server};
use crate::sink::records::Topic;

const PLACEHOLDER: &str = "__debezium_unavailable_value";

fn fields() -> Vec<Field> {
    let of = |name, ty| field(name, Schema::of(ty).optional(true));
    vec![
        int("id"),
        of("big", SchemaType::String),
        of("raw", SchemaType::Bytes),
        of("n", SchemaType::Int32),
    ]
}

fn named(name: &str, fields: Vec<Field>) -> Schema {
    Schema::structure(Some(name), fields).optional(true)
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().into())
}

/// The change of a row to these values, as an event or as the row that was taken out of it.
fn change(topic: &Topic, whole: bool, values: Vec<Value>) -> SinkRecord {
    let key = structure(&[int("id")], vec![values[0].clone()]);
    let row = named("s.t.Value", fields());
    if !whole {
        return topic.record(
            key,
            Datum::new(Arc::new(row.optional(false)), Value::Struct(values.into())),
        );
    }
    let members = vec![
        field("before", row.clone()),
        field("after", row),
        field("op", Schema::of(SchemaType::String)),
    ];
    let envelope = named("s.t.Envelope", members).optional(false);
    topic.record(
        key,
        Datum::new(
            Arc::new(envelope),
            Value::Struct([Value::Null, Value::Struct(values.into()), t("u")].into()),
        ),
    )
}

#[tokio::test]
async fn a_column_whose_value_the_event_does_not_have_keeps_what_it_holds() {
    for server in ALL {
        for whole in [true, false] {
            for mode in ["upsert", "update"] {
                let keys = [("insert.mode", mode), ("pk.mode", "record_key")];
                let mut database = Database::new(*server, &keys).await;
                let raw = if server.to_string().contains("Postgre") {
                    "BYTEA"
                } else {
                    "BLOB"
                };
                database
                    .run(&format!(
                        "CREATE TABLE t (id INT PRIMARY KEY, big TEXT, raw {raw}, n INT)"
                    ))
                    .await;
                database.run("INSERT INTO t (id, big, n) VALUES (1, 'long', 1), (2, 'long', 1), (3, 'long', 1)").await;
                let topic = Topic::new("t");
                let of = |id: i32, big: &str, raw: &str, n: i32| {
                    change(
                        &topic,
                        whole,
                        vec![Value::I32(id), t(big), bytes(raw), Value::I32(n)],
                    )
                };
                let first = [
                    of(1, PLACEHOLDER, "a", 2),
                    of(2, "new", PLACEHOLDER, 2),
                    of(3, PLACEHOLDER, PLACEHOLDER, 2),
                ];
                // a later change of the same row in one batch has what an earlier one lacks
                let again = [
                    of(1, "newer", PLACEHOLDER, 3),
                    of(1, PLACEHOLDER, PLACEHOLDER, 4),
                ];
                database.put(&topic, &[&first, &again]).await.unwrap();
                let text = if raw == "BYTEA" {
                    "convert_from(raw, 'UTF8')"
                } else {
                    "CAST(raw AS CHAR)"
                };
                let seen = database
                    .rows(&format!("SELECT id, big, {text}, n FROM t ORDER BY id"))
                    .await;
                assert_eq!(
                    seen,
                    ["1|newer|a|4", "2|new|-|2", "3|long|-|2"],
                    "{server} {mode} {whole}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_placeholder_has_a_key_and_other_records_keep_the_text() {
    for server in ALL {
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("unavailable.value.placeholder", "-none-"),
        ];
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        let of = |big: &str, n: i32| {
            change(
                &topic,
                true,
                vec![Value::I32(1), t(big), Value::Null, Value::I32(n)],
            )
        };
        database
            .put(&topic, &[&[of(PLACEHOLDER, 1)], &[of("-none-", 2)]])
            .await
            .unwrap();
        assert_eq!(
            database.rows("SELECT big, n FROM t").await,
            [format!("{PLACEHOLDER}|2")],
            "{server}"
        );
        let other = of(PLACEHOLDER, 3);
        database.put(&topic, &[&[other]]).await.unwrap();
        assert_eq!(
            database.rows("SELECT big, n FROM t").await,
            [format!("{PLACEHOLDER}|3")],
            "{server}"
        );
    }
}

/// Rows that were taken out of change events before they came to the topic, with any schema or with none.
#[tokio::test]
async fn a_row_that_others_took_out_of_an_event_keeps_the_column_too() {
    for server in ALL {
        let keys = [("insert.mode", "upsert"), ("pk.mode", "record_key")];
        let mut database = Database::new(*server, &keys).await;
        let raw = if server.to_string().contains("Postgre") {
            "BYTEA"
        } else {
            "BLOB"
        };
        database
            .run(&format!(
                "CREATE TABLE t (id INT PRIMARY KEY, big TEXT, raw {raw}, n INT)"
            ))
            .await;
        database
            .run("INSERT INTO t (id, big, n) VALUES (1, 'long', 1), (2, 'long', 1)")
            .await;
        let topic = Topic::new("t");
        let key = |id: i32| structure(&[int("id")], vec![Value::I32(id)]);
        let values = vec![
            Value::I32(1),
            t(PLACEHOLDER),
            bytes(PLACEHOLDER),
            Value::I32(2),
        ];
        let with_schema = topic.record(key(1), structure(&fields(), values));
        // Bytes of a record without a schema are base64.
        let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
        let members = [
            (t("id"), Value::I64(2)),
            (t("big"), t(PLACEHOLDER)),
            (t("raw"), t(base64)),
            (t("n"), Value::I64(2)),
        ];
        let plain = Datum {
            schema: None,
            value: Value::Map(members.into()),
        };
        let without_schema = topic.record(key(2), plain);
        database
            .put(&topic, &[&[with_schema], &[without_schema]])
            .await
            .unwrap();
        assert_eq!(
            database
                .rows(
                    "SELECT id, big, CASE WHEN raw IS NULL THEN 1 ELSE 0 END, n FROM t ORDER BY id"
                )
                .await,
            ["1|long|1|2", "2|long|1|2"],
            "{server}"
        );
    }
}

/// PostgreSQL's lists of numbers: Debezium sends the placeholder's bytes as numbers.
#[tokio::test]
async fn a_list_of_numbers_that_the_event_does_not_have_is_kept() {
    let keys = [("insert.mode", "upsert"), ("pk.mode", "record_key")];
    let mut database = Database::new(Server::Postgres, &keys).await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, few INT[], many BIGINT[], n INT)")
        .await;
    database
        .run("INSERT INTO t VALUES (1, '{1,2}', '{3}', 1)")
        .await;
    let list = |of: SchemaType| {
        let mut list = Schema::of(SchemaType::Array).optional(true);
        list.values = Some(Arc::new(Schema::of(of)));
        list
    };
    let fields = [
        int("id"),
        field("few", list(SchemaType::Int32)),
        field("many", list(SchemaType::Int64)),
        int("n"),
    ];
    let few = PLACEHOLDER.bytes().map(|byte| Value::I32(byte.into()));
    let many = PLACEHOLDER.bytes().map(|byte| Value::I64(byte.into()));
    let values = vec![
        Value::I32(1),
        Value::Array(few.collect()),
        Value::Array(many.collect()),
        Value::I32(2),
    ];
    let topic = Topic::new("t");
    let key = structure(&[int("id")], vec![Value::I32(1)]);
    let record = topic.record(key, structure(&fields, values));
    database.put(&topic, &[&[record]]).await.unwrap();
    assert_eq!(
        database.rows("SELECT id, few, many, n FROM t").await,
        ["1|{1,2}|{3}|2"]
    );
}

#[tokio::test]
async fn a_statement_does_not_write_the_placeholder() {
    for server in ALL {
        let keys = [
            ("insert.mode", "statement"),
            (
                "statement",
                "UPDATE t SET big = :big, n = :n WHERE id = :id",
            ),
        ];
        let mut database = Database::new(*server, &keys).await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, big TEXT, n INT)")
            .await;
        database.run("INSERT INTO t VALUES (1, 'long', 1)").await;
        let topic = Topic::new("t");
        let values = vec![Value::I32(1), t(PLACEHOLDER), Value::Null, Value::I32(2)];
        let record = change(&topic, false, values);
        let error = database.put(&topic, &[&[record]]).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record
                && error.message().contains("parameter :big")
                && error.message().contains("unavailable.value.placeholder"),
            "{server}: {error}"
        );
        assert_eq!(
            database.rows("SELECT big, n FROM t").await,
            ["long|1"],
            "{server}"
        );
    }
}
