//! Plain JSON and nested values.

use connector_api::{Datum, ErrorKind, Schema, SchemaType, SinkRecord, Value};

use super::{Database, Server, field, int, optional, t, text};
use crate::sink::database::{ALL, SERVERS};
use crate::sink::records::{Topic, array};

/// A JSON object without a schema.
pub(super) fn object(members: &[(&str, Value)]) -> Value {
    Value::Map(
        members
            .iter()
            .map(|(name, value)| (t(name), value.clone()))
            .collect(),
    )
}

fn plain(topic: &Topic, key: Value, members: &[(&str, Value)]) -> SinkRecord {
    topic.record(
        Datum {
            schema: None,
            value: key,
        },
        Datum {
            schema: None,
            value: object(members),
        },
    )
}

#[tokio::test]
async fn plain_json_goes_into_the_columns_of_its_names() {
    for server in SERVERS {
        let mut database = Database::new(*server, &[]).await;
        let stamp = if *server == Server::MariaDb {
            "DATETIME(3)"
        } else {
            "TIMESTAMP(3)"
        };
        database
            .run(&format!(
                "CREATE TABLE t (id BIGINT, name VARCHAR(20), price DECIMAL(10,2), at {stamp}, day DATE, ok BOOLEAN)"
            ))
            .await;
        let topic = Topic::new("t");
        let batch = [
            plain(
                &topic,
                Value::Null,
                &[
                    ("ok", Value::Bool(true)),
                    ("ID", Value::I64(1)),
                    ("name", t("a")),
                ],
            ),
            plain(
                &topic,
                Value::Null,
                &[
                    ("id", t("2")),
                    ("price", Value::F64(9.5)),
                    ("at", t("2024-02-29T12:00:00Z")),
                ],
            ),
            plain(
                &topic,
                Value::Null,
                &[
                    ("id", Value::I64(3)),
                    ("day", t("2024-02-29")),
                    ("name", Value::Null),
                ],
            ),
            plain(
                &topic,
                Value::Null,
                &[
                    ("id", Value::I64(4)),
                    ("name", Value::I64(5)),
                    ("price", t("0.10")),
                ],
            ),
        ];
        database.write(&topic, &[&batch]).await;
        let select = "SELECT id, name, price, at, day, ok FROM t ORDER BY id";
        let (noon, yes) = if *server == Server::MariaDb {
            ("2024-02-29 12:00:00.000", "1")
        } else {
            ("2024-02-29 12:00:00", "t")
        };
        let want = [
            format!("1|a|-|-|-|{yes}"),
            format!("2|-|9.50|{noon}|-|-"),
            "3|-|-|-|2024-02-29|-".to_owned(),
            "4|5|0.10|-|-|-".to_owned(),
        ];
        assert_eq!(database.rows(select).await, want);
    }
}

#[tokio::test]
async fn plain_json_without_a_place_is_refused_with_what_to_do() {
    for server in SERVERS {
        let mut database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let error = database
            .put(
                &topic,
                &[&[plain(&topic, Value::Null, &[("id", Value::I64(1))])]],
            )
            .await
            .unwrap_err();
        assert!(
            error
                .message()
                .contains("with a HashMap value and null value schema"),
            "{error}"
        );
        assert!(!database.has("t").await);
        database.run("CREATE TABLE t (id INT)").await;
        for (members, want) in [
            (
                [("id", t("x"))],
                "column id: a JSON string does not fit type int",
            ),
            ([("more", Value::I64(1))], "is missing fields"),
        ] {
            let error = database
                .put(&topic, &[&[plain(&topic, Value::Null, &members)]])
                .await
                .unwrap_err();
            assert!(
                error.kind() == ErrorKind::Record && error.message().contains(want),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn plain_json_is_upserted_and_deleted_by_plain_keys() {
    let keys = [
        ("insert.mode", "upsert"),
        ("pk.mode", "record_key"),
        ("delete.enabled", "true"),
        ("auto.evolve", "true"),
    ];
    for server in ALL {
        let mut database = Database::new(*server, &keys).await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
            .await;
        let topic = Topic::new("t");
        let key = |id| object(&[("id", Value::I64(id))]);
        let batch = [
            plain(&topic, key(1), &[("name", t("a"))]),
            plain(&topic, key(2), &[("name", t("b")), ("age", Value::I64(7))]),
            plain(&topic, key(1), &[("name", t("c"))]),
        ];
        let gone = topic.record(
            Datum {
                schema: None,
                value: key(2),
            },
            Datum::NONE,
        );
        database.write(&topic, &[&batch]).await;
        assert_eq!(
            database
                .rows("SELECT id, name, age FROM t ORDER BY id")
                .await,
            ["1|c|-", "2|b|7"]
        );
        database.write(&topic, &[&[gone]]).await;
        assert_eq!(
            database.rows("SELECT id, name, age FROM t").await,
            ["1|c|-"]
        );
    }
}

/// A record with a struct, a list and a map.
fn nested(topic: &Topic) -> SinkRecord {
    let address = Schema::structure(None, vec![text("city"), optional("zip", SchemaType::Int32)])
        .optional(true);
    let labels = Schema::map(
        Schema::of(SchemaType::String),
        Schema::of(SchemaType::Int32),
    );
    let fields = [
        int("id"),
        field("addr", address),
        array("list", SchemaType::Int32),
        field("labels", labels),
    ];
    let values = [
        Value::I32(1),
        Value::Struct([t("Wien"), Value::Null].into()),
        Value::Array([Value::I32(1), Value::I32(2)].into()),
        Value::Map([(t("a"), Value::I32(1))].into()),
    ];
    topic.value(&fields, values)
}

#[tokio::test]
async fn nested_values_are_refused_written_as_json_or_flattened() {
    for server in SERVERS {
        let maria = *server == Server::MariaDb;
        let database = Database::new(*server, &[]).await;
        let topic = Topic::new("t");
        let error = database
            .put(&topic, &[&[nested(&topic)]])
            .await
            .unwrap_err();
        assert!(
            error
                .message()
                .contains("(STRUCT) type doesn't have a mapping"),
            "{error}"
        );
        let (json, flat) = if maria {
            (
                [
                    "id int(11) NOT NULL",
                    "addr longtext NULL",
                    "list longtext NULL",
                    "labels longtext NOT NULL",
                ],
                "addr_city text NULL",
            )
        } else {
            (
                [
                    "id integer NOT NULL",
                    "addr jsonb NULL",
                    "list integer[] NULL",
                    "labels jsonb NOT NULL",
                ],
                "addr_city text NULL",
            )
        };
        for (mode, select, want) in [
            (
                "json",
                "SELECT id, addr, list, labels FROM t",
                if maria {
                    "1|{\"city\":\"Wien\",\"zip\":null}|[1,2]|{\"a\":1}"
                } else {
                    "1|{\"zip\": null, \"city\": \"Wien\"}|{1,2}|{\"a\": 1}"
                },
            ),
            (
                "flatten",
                "SELECT id, addr_city, addr_zip, labels FROM t",
                if maria {
                    "1|Wien|-|{\"a\":1}"
                } else {
                    "1|Wien|-|{\"a\": 1}"
                },
            ),
        ] {
            let mut database = Database::new(*server, &[("nested.mode", mode)]).await;
            database.write(&topic, &[&[nested(&topic)]]).await;
            assert_eq!(database.rows(select).await, [want], "{server:?}");
            let columns = database.columns("t").await;
            if mode == "json" {
                assert_eq!(columns, json);
            } else {
                assert_eq!(columns[1], flat);
            }
        }
    }
}

#[tokio::test]
async fn nested_plain_json_is_flattened_or_written_as_json() {
    for server in ALL {
        for (mode, table, select, want) in [
            (
                "flatten",
                "id INT, addr_city VARCHAR(20)",
                "SELECT id, addr_city FROM t",
                "1|Wien",
            ),
            (
                "json",
                "id INT, addr TEXT",
                "SELECT id, addr FROM t",
                "1|{\"city\":\"Wien\"}",
            ),
        ] {
            let mut database = Database::new(*server, &[("nested.mode", mode)]).await;
            database.run(&format!("CREATE TABLE t ({table})")).await;
            let topic = Topic::new("t");
            let inner = object(&[("city", t("Wien"))]);
            database
                .write(
                    &topic,
                    &[&[plain(
                        &topic,
                        Value::Null,
                        &[("id", Value::I64(1)), ("addr", inner)],
                    )]],
                )
                .await;
            assert_eq!(database.rows(select).await, [want]);
        }
    }
}
