//! UD: rows that are deleted.

use std::sync::Arc;

use connector_api::{Datum, ErrorKind, Schema, SchemaType, Value};

use super::{Database, Server, event, field, id_key, int, optional, structure, t, text};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

const DELETES: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_key"),
    ("delete.enabled", "true"),
];

fn row(topic: &Topic, id: i32, name: &str) -> connector_api::SinkRecord {
    topic.record(id_key(id), structure(&[text("name")], [t(name)]))
}

fn gone(topic: &Topic, id: i32) -> connector_api::SinkRecord {
    topic.record(id_key(id), Datum::NONE)
}

#[tokio::test]
async fn a_record_without_value_deletes_its_row_in_the_same_or_a_later_put() {
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        database
            .write(&topic, &[&[row(&topic, 1, "a")], &[gone(&topic, 1)]])
            .await;
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
        let twice = [
            row(&topic, 1, "a"),
            row(&topic, 1, "a"),
            gone(&topic, 1),
            gone(&topic, 1),
        ];
        database.write(&topic, &[&twice]).await;
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn a_row_that_is_deleted_and_written_again_exists() {
    for server in ALL {
        for mode in ["insert", "upsert"] {
            let keys = [
                &DELETES[1..],
                &[("insert.mode", mode), ("auto.evolve", "true")],
            ]
            .concat();
            let mut database = Database::new(*server, &keys).await;
            let topic = Topic::new("t");
            let other = topic.record(
                id_key(1),
                structure(&[optional("b", SchemaType::String)], [t("B")]),
            );
            let mut batch = vec![row(&topic, 1, "A1"), gone(&topic, 1), row(&topic, 1, "A2")];
            if mode == "upsert" {
                // another schema between two of one
                let nullable = |name: &str| {
                    topic.record(
                        id_key(1),
                        structure(&[optional("name", SchemaType::String)], [t(name)]),
                    )
                };
                batch = vec![
                    nullable("A1"),
                    nullable("A2"),
                    gone(&topic, 1),
                    other,
                    nullable("A3"),
                ];
            }
            database.write(&topic, &[&batch]).await;
            let want = if mode == "upsert" { "A3" } else { "A2" };
            assert_eq!(
                database.rows("SELECT name FROM t").await,
                [want],
                "{server:?} {mode}"
            );
        }
    }
}

#[tokio::test]
async fn several_keys_are_deleted_at_once() {
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        let batch: Vec<_> = (0..5)
            .map(|id| row(&topic, id, "x"))
            .chain((0..4).map(|id| gone(&topic, id)))
            .collect();
        database.write(&topic, &[&batch]).await;
        assert_eq!(database.rows("SELECT id FROM t").await, ["4"]);
    }
}

#[tokio::test]
async fn a_deletion_of_a_missing_row_is_no_error() {
    for server in ALL {
        let keys = [&DELETES[1..], &[("insert.mode", "insert")]].concat();
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        database
            .write(&topic, &[&[gone(&topic, 1), gone(&topic, 2)]])
            .await;
        assert!(!database.has("t").await);
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(10))")
            .await;
        database
            .write(
                &topic,
                &[&[gone(&topic, 1)], &[event(&topic, 2, "d", None, None)]],
            )
            .await;
        assert_eq!(database.rows("SELECT COUNT(*) FROM t").await, ["0"]);
    }
}

#[tokio::test]
async fn deletions_are_ignored_without_delete_enabled() {
    for server in ALL {
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("behavior.on.null.values", "ignore"),
        ];
        let mut database = Database::new(*server, &keys).await;
        let topic = Topic::new("t");
        let state = || Some(vec![Value::I32(1), t("a")]);
        let batch = [
            event(&topic, 1, "c", None, state()),
            event(&topic, 1, "d", state(), None),
            gone(&topic, 1),
        ];
        database.write(&topic, &[&batch]).await;
        assert_eq!(database.rows("SELECT id, name FROM t").await, ["1|a"]);
        // without that key a record without value fails, as it always did
        database.config.set("behavior.on.null.values", "fail");
        let error = database
            .put(&topic, &[&[gone(&topic, 1)]])
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains("non-null Struct"),
            "{error}"
        );
        // as Aiven's sink has it
        database.config.set("handle.tombstone", "true");
        database.write(&topic, &[&[gone(&topic, 1)]]).await;
        assert_eq!(database.rows("SELECT id, name FROM t").await, ["1|a"]);
    }
}

#[tokio::test]
async fn a_row_can_be_deleted_by_a_part_of_its_key() {
    let keys = [&DELETES[..], &[("pk.fields", "id2")]].concat();
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        database
            .run("CREATE TABLE t (id2 INT PRIMARY KEY, name VARCHAR(10))")
            .await;
        database
            .run("INSERT INTO t VALUES (7, 'a'), (8, 'b')")
            .await;
        let topic = Topic::new("t");
        let key = structure(&[int("id1"), int("id2")], [1, 7].map(Value::I32));
        database
            .write(&topic, &[&[topic.record(key, Datum::NONE)]])
            .await;
        assert_eq!(database.rows("SELECT id2, name FROM t").await, ["8|b"]);
    }
}

#[tokio::test]
async fn a_truncate_event_empties_the_table() {
    for server in ALL {
        for (truncates, want) in [
            ("true", vec!["2|b", "3|c"]),
            ("false", vec!["0|z", "1|a", "2|b", "3|c"]),
        ] {
            let keys = [&DELETES[..], &[("truncate.enabled", truncates)]].concat();
            let mut database = Database::new(*server, &keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(10))")
                .await;
            database.run("INSERT INTO t VALUES (0, 'z')").await;
            let topic = Topic::new("t");
            let row =
                |id, name: &str| event(&topic, id, "c", None, Some(vec![Value::I32(id), t(name)]));
            let batch = [row(1, "a"), event(&topic, 1, "t", None, None), row(2, "b")];
            database.write(&topic, &[&batch, &[row(3, "c")]]).await;
            assert_eq!(
                database.rows("SELECT id, name FROM t ORDER BY id").await,
                want,
                "{server:?} {truncates}"
            );
        }
    }
}

#[tokio::test]
async fn change_events_of_every_kind_end_as_the_rows_they_tell_of() {
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        let state = |id, name: &str| Some(vec![Value::I32(id), t(name)]);
        let batch = [
            event(&topic, 1, "r", None, state(1, "read")),
            event(&topic, 2, "c", None, state(2, "new")),
            event(&topic, 2, "u", state(2, "new"), state(2, "changed")),
            event(&topic, 1, "d", state(1, "read"), None),
            gone(&topic, 1),
        ];
        database.write(&topic, &[&batch]).await;
        assert_eq!(database.rows("SELECT id, name FROM t").await, ["2|changed"]);
    }
}

#[tokio::test]
async fn a_mark_in_the_row_deletes_it() {
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        let marked = |id, mark: &str| {
            topic.record(
                id_key(id),
                structure(&[text("name"), text("__deleted")], [t("a"), t(mark)]),
            )
        };
        database
            .write(
                &topic,
                &[&[marked(1, "false"), marked(2, "false"), marked(1, "true")]],
            )
            .await;
        assert_eq!(database.names("t").await, ["name", "id"]);
        assert_eq!(database.rows("SELECT id FROM t").await, ["2"]);
    }
}

#[tokio::test]
async fn change_events_bring_dates_and_times_of_debezium() {
    let named = |name: &str, ty| Schema {
        name: Some(format!("io.debezium.{name}").into()),
        ..Schema::of(ty)
    };
    let row = Schema::structure(
        None,
        vec![
            int("id"),
            field("day", named("time.Date", SchemaType::Int32)),
            field("at", named("time.MicroTimestamp", SchemaType::Int64)),
            field(
                "zoned",
                named("time.ZonedTimestamp", SchemaType::String).optional(true),
            ),
            field("doc", named("data.Json", SchemaType::String)),
        ],
    );
    let fields = [
        field("after", row.optional(true)),
        field("op", Schema::of(SchemaType::String)),
    ];
    let schema = Arc::new(Schema::structure(Some("s.t.Envelope"), fields.to_vec()));
    let after = [
        Value::I32(1),
        Value::I32(19_782),
        Value::I64(1_700_000_000_123_456),
        t("2023-11-14T22:13:20Z"),
        t("{}"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        let value = Value::Struct([Value::Struct(after.clone().into()), t("c")].into());
        database
            .write(
                &topic,
                &[&[topic.record(id_key(1), Datum::new(Arc::clone(&schema), value))]],
            )
            .await;
        let types: &[&str] = match server {
            Server::MariaDb => &["int(11)", "date", "datetime(6)", "datetime(6)", "longtext"],
            Server::Sqlite => &["INTEGER", "DATE", "TIMESTAMP", "TIMESTAMP", "TEXT"],
            Server::Postgres => &[
                "integer",
                "date",
                "timestamp without time zone",
                "timestamp without time zone",
                "jsonb",
            ],
        };
        let columns = database.columns("t").await;
        for (column, ty) in columns.iter().zip(types) {
            assert!(column.contains(ty), "{column} is no {ty}");
        }
        let zoned = if *server != Server::Postgres {
            "2023-11-14 22:13:20.000000"
        } else {
            "2023-11-14 22:13:20"
        };
        let want = format!("1|2024-02-29|2023-11-14 22:13:20.123456|{zoned}|{{}}");
        assert_eq!(
            database.rows("SELECT id, day, at, zoned, doc FROM t").await,
            [want]
        );
    }
}
