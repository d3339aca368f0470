//! SQLite's STRICT tables: a column ANY keeps each value as it is, and the others take their type only.

use connector_api::{ErrorKind, SchemaType, Value};

use super::{Database, Server, int, optional, t};
use crate::sink::records::Topic;

#[tokio::test]
async fn a_column_any_of_a_strict_table_keeps_every_value() {
    for mode in ["insert", "upsert", "update"] {
        let keys = [
            ("insert.mode", mode),
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
        ];
        let keys = if mode == "insert" {
            &keys[..1]
        } else {
            &keys[..]
        };
        let mut database = Database::new(Server::Sqlite, keys).await;
        database
            .run("CREATE TABLE t (id INTEGER PRIMARY KEY, x ANY) STRICT")
            .await;
        if mode == "update" {
            database
                .run("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)")
                .await;
        }
        let topic = Topic::new("t");
        let values = [
            (SchemaType::Int64, Value::I64(7)),
            (SchemaType::String, t("007")),
            (SchemaType::String, t("1.50")),
            (SchemaType::Float64, Value::F64(0.5)),
            (SchemaType::Bytes, Value::Bytes([0, 1].into())),
            (SchemaType::String, t("x")),
        ];
        for (n, (ty, value)) in values.into_iter().enumerate() {
            let id = i32::try_from(n).unwrap() + 1;
            let fields = [int("id"), optional("x", ty)];
            let record = topic.value(&fields, [Value::I32(id), value]);
            database.write(&topic, &[&[record]]).await;
        }
        assert_eq!(
            database
                .rows("SELECT id, typeof(x), quote(x) FROM t ORDER BY id")
                .await,
            [
                "1|integer|7",
                "2|text|'007'",
                "3|text|'1.50'",
                "4|real|0.5",
                "5|blob|X'0001'",
                "6|text|'x'",
            ],
            "{mode}"
        );
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_of_its_record_in_a_strict_table() {
    let mut database = Database::new(Server::Sqlite, &[]).await;
    database
        .run("CREATE TABLE t (id INTEGER PRIMARY KEY, x INT, y REAL, z BLOB) STRICT")
        .await;
    let topic = Topic::new("t");
    for (name, ty, value) in [
        ("x", SchemaType::String, t("a")),
        ("y", SchemaType::String, t("a")),
        ("z", SchemaType::String, t("a")),
    ] {
        let fields = [int("id"), optional(name, ty)];
        let record = topic.value(&fields, [Value::I32(1), value]);
        let error = database.put(&topic, &[&[record]]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Record, "{name}: {error}");
        assert!(error.message().contains(name), "{name}: {error}");
    }
}
