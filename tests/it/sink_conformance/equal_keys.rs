//! Keys that a database takes for equal although their texts differ: each write goes to the row of the one before.

use connector_api::{Datum, Schema, SchemaType, Value};

use super::{Database, Server, field, structure};
use crate::sink::database::ALL;
use crate::sink::records::{Topic, int, text};

/// A column's type and two forms of one key.
type EqualForms = (&'static str, &'static str, &'static str);

fn forms(server: Server) -> Vec<EqualForms> {
    match server {
        Server::Postgres => vec![
            ("ext.citext", "Ann", "ANN"),
            ("TEXT COLLATE ext.ignoring", "Ann", "ANN"),
            ("VARCHAR(9) COLLATE ext.ignoring", "Ann", "ANN"),
            ("CHAR(9)", "Ann", "Ann  "),
            ("INET", "10.0.0.1", "10.0.0.1/32"),
            ("JSONB", "{\"a\": 1, \"b\": 2}", "{\"b\":2,\"a\":1}"),
            (
                "UUID",
                "{6B29FC40-CA47-1067-B31D-00DD010662DA}",
                "6b29fc40ca471067b31d00dd010662da",
            ),
        ],
        Server::MariaDb => vec![
            ("VARCHAR(9)", "Ann", "ANN "),
            ("CHAR(9)", "Ann", "Ann  "),
            ("CHAR(9) COLLATE utf8mb4_nopad_bin", "Ann", "Ann  "),
            ("INET6", "0:0:0:0:0:0:0:1", "::1"),
            (
                "UUID",
                "6B29FC40-CA47-1067-B31D-00DD010662DA",
                "6b29fc40ca471067b31d00dd010662da",
            ),
        ],
        Server::Sqlite => vec![
            ("TEXT COLLATE NOCASE", "Ann", "ANN"),
            (
                "TIMESTAMP",
                "2024-01-01 10:00:00",
                "2024-01-01 10:00:00.000",
            ),
            (
                "DATETIME",
                "2024-01-01 10:00:00.120",
                "2024-01-01 10:00:00.120000",
            ),
            ("TIME", "10:00:00", "10:00:00.000000"),
        ],
    }
}

async fn prepare(database: &mut Database, server: Server, ty: &str, key: &str) {
    if server == Server::Postgres {
        database.run("CREATE SCHEMA ext").await;
        database.run("CREATE EXTENSION citext SCHEMA ext").await;
        database
            .run(
                "CREATE COLLATION ext.ignoring (provider = icu, locale = 'und-u-ks-level2', \
                 deterministic = false)",
            )
            .await;
    }
    database
        .run(&format!("CREATE TABLE t (k {ty} {key}, v INT)"))
        .await;
}

#[tokio::test]
async fn writes_and_deletions_of_equal_keys_keep_their_order() {
    for server in ALL {
        for (ty, one, other) in forms(*server) {
            for (mode, key) in [
                ("upsert", "PRIMARY KEY"),
                ("upsert", ""),
                ("update", "PRIMARY KEY"),
            ] {
                let case = format!("{server} {mode} {ty} {key}");
                let keys = [
                    ("insert.mode", mode),
                    ("pk.mode", "record_key"),
                    ("pk.fields", "k"),
                    ("delete.enabled", "true"),
                ];
                let mut database = Database::new(*server, &keys).await;
                prepare(&mut database, *server, ty, key).await;
                if mode == "update" {
                    database
                        .run(&format!("INSERT INTO t VALUES ('{one}', 0)"))
                        .await;
                }
                let topic = Topic::new("t");
                let key_of = |key: &str| structure(&[text("k")], [Value::Text(key.into())]);
                let write = |key: &str, v: i32| {
                    topic.record(key_of(key), structure(&[int("v")], [Value::I32(v)]))
                };
                let batch = [write(one, 1), write(other, 2)];
                database.put(&topic, &[&batch]).await.expect(&case);
                assert_eq!(database.rows("SELECT v FROM t").await, ["2"], "{case}");
                let batch = [write(other, 3), write(one, 4)];
                database.put(&topic, &[&batch]).await.expect(&case);
                assert_eq!(database.rows("SELECT v FROM t").await, ["4"], "{case}");
                let gone = topic.record(key_of(other), Datum::NONE);
                database.put(&topic, &[&[gone]]).await.expect(&case);
                assert_eq!(database.rows("SELECT v FROM t").await.len(), 0, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_binary_key_finds_its_row_with_and_without_the_zeros_that_the_server_adds() {
    for (mode, key) in [("upsert", "PRIMARY KEY"), ("upsert", ""), ("update", "")] {
        let keys = [
            ("insert.mode", mode),
            ("pk.mode", "record_key"),
            ("pk.fields", "k"),
            ("delete.enabled", "true"),
        ];
        let mut database = Database::new(Server::MariaDb, &keys).await;
        let table =
            format!("CREATE TABLE t (k BINARY(4) {key}, v INT); INSERT INTO t VALUES ('ab', 0)");
        database.run(&table).await;
        let topic = Topic::new("t");
        let schema = Schema::of(SchemaType::Bytes);
        let key_of =
            |key: &[u8]| structure(&[field("k", schema.clone())], [Value::Bytes(key.into())]);
        let write =
            |key: &[u8], v: i32| topic.record(key_of(key), structure(&[int("v")], [Value::I32(v)]));
        for (batch, want) in [
            ([write(b"ab", 1), write(b"ab\0\0", 2)], "2"),
            ([write(b"ab\0\0", 3), write(b"ab\0", 4)], "4"),
        ] {
            database.put(&topic, &[&batch]).await.unwrap();
            assert_eq!(
                database.rows("SELECT v FROM t").await,
                [want],
                "{mode} {key}"
            );
        }
        let gone = topic.record(key_of(b"ab"), Datum::NONE);
        database.put(&topic, &[&[gone]]).await.unwrap();
        assert_eq!(
            database.rows("SELECT v FROM t").await.len(),
            0,
            "{mode} {key}"
        );
    }
}
