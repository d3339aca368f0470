//! Debezium's placeholder for values that a change event does not have.

use std::sync::Arc;

use connector_api::{Datum, Field, Schema, SchemaType, SinkRecord, Value};

use super::{Database, field, int, structure, t};
use crate::sink::database::ALL;
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
        // no change event: a text like any other
        let plain = topic.record(
            structure(&[int("id")], vec![Value::I32(2)]),
            structure(
                &fields(),
                vec![Value::I32(2), t("-none-"), Value::Null, Value::I32(1)],
            ),
        );
        database.put(&topic, &[&[plain]]).await.unwrap();
        assert_eq!(
            database.rows("SELECT big FROM t WHERE id = 2").await,
            ["-none-"],
            "{server}"
        );
    }
}
