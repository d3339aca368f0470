//! Tables that somebody else has made: with types of a schema of their own, and with columns that the database computes.

use connector_api::{Schema, Type, Value};

use super::{Database, Server, field, int, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

const MODES: [&[(&str, &str)]; 3] = [
    &[("insert.mode", "insert"), ("pk.mode", "none")],
    &[("insert.mode", "upsert"), ("pk.mode", "record_value"), ("pk.fields", "id")],
    &[("insert.mode", "update"), ("pk.mode", "record_value"), ("pk.fields", "id")],
];

#[tokio::test]
async fn types_of_a_schema_outside_the_search_path_are_written() {
    for keys in MODES {
        let mut database = Database::new(Server::Postgres, keys).await;
        for sql in [
            r#"CREATE SCHEMA "My Types""#,
            r#"CREATE TYPE "My Types"."Mood" AS ENUM ('sad', 'well')"#,
            r#"CREATE TYPE "My Types".pair AS (a int, b text)"#,
            r#"CREATE DOMAIN "My Types".kind AS "My Types"."Mood""#,
            r#"CREATE TYPE "My Types".span AS RANGE (subtype = float8)"#,
            r#"CREATE TABLE t (id INT PRIMARY KEY, mood "My Types"."Mood", kind "My Types".kind, pair "My Types".pair,
               span "My Types".span)"#,
        ] {
            database.run(sql).await;
        }
        if keys[0].1 == "update" {
            database.run("INSERT INTO t (id) VALUES (1), (2)").await;
        }
        let topic = Topic::new("t");
        let fields: Vec<_> = ["mood", "kind", "pair", "span"].map(|name| field(name, Schema::of(Type::String))).into();
        let fields = [vec![int("id")], fields].concat();
        let row = |id: i32| topic.value(&fields, [Value::I32(id), t("well"), t("sad"), t("(7,x)"), t("[1,2)")]);
        // several records, so that statements of many rows are used too
        database.put(&topic, &[&[row(1), row(2)]]).await.unwrap();
        let seen = database.rows("SELECT mood || ' ' || kind || ' ' || pair::text || ' ' || span::text FROM t").await;
        assert_eq!(seen, ["well sad (7,x) [1,2)"; 2], "{keys:?}");
    }
}

#[tokio::test]
async fn columns_that_the_database_computes_are_left_to_it() {
    for server in ALL {
        for keys in MODES {
            let mut database = Database::new(*server, keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, a INT, twice INT GENERATED ALWAYS AS (a * 2) STORED)")
                .await;
            if keys[0].1 == "update" {
                database.run("INSERT INTO t (id) VALUES (1), (2)").await;
            }
            let topic = Topic::new("t");
            let fields = [int("id"), int("a"), int("twice")];
            let row = |id, a| topic.value(&fields, [Value::I32(id), Value::I32(a), Value::I32(99)]);
            database.put(&topic, &[&[row(1, 4), row(2, 5)]]).await.unwrap();
            assert_eq!(database.rows("SELECT twice FROM t ORDER BY id").await, ["8", "10"], "{server} {keys:?}");
        }
    }
}

#[tokio::test]
async fn bits_of_debezium_make_a_column_of_bits() {
    let mut database = Database::new(Server::MariaDb, MODES[1]).await;
    let topic = Topic::new("t");
    let bits = |length: &str| {
        let named = Schema { name: Some("io.debezium.data.Bits".into()), ..Schema::of(Type::Bytes) };
        named.param("length", length)
    };
    let fields = [int("id"), field("b9", bits("9")), field("b64", bits("64"))];
    let low_first = |n: u64, bytes: usize| Value::Bytes(n.to_le_bytes()[..bytes].into());
    let record = topic.value(&fields, [Value::I32(1), low_first(341, 2), low_first((1 << 63) + 5, 8)]);
    database.put(&topic, &[&[record]]).await.unwrap();
    assert_eq!(database.rows("SELECT CONCAT(b9+0, ' ', b64+0) FROM t").await, ["341 9223372036854775813"]);
}
