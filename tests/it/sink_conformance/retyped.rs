//! Columns that somebody gives another type while the sink runs, and values that a database without checks would store as
//! something else.

use connector_api::{Schema, SchemaType, Value};

use super::meanings::{bytes, hold, named_bits, of};
use super::{Database, Server, decimal, field, int, t};
use crate::sink::records::Topic;

use Server::{Postgres as P, Sqlite as S};

const MODES: [&[(&str, &str)]; 2] = [
    &[("insert.mode", "insert"), ("pk.mode", "none")],
    &[
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ],
];

/// Another type for column `a` of `t (id INT PRIMARY KEY, a …)`: the type before and after it, a value of the task's record
/// before and one after it, and what the second leaves; `None`: it is refused.
type Retyped = (Server, [&'static str; 2], [Value; 2], Option<&'static str>);

fn retyped() -> Vec<Retyped> {
    use Server::{MariaDb, Postgres, Sqlite};
    let n = Value::I64;
    vec![
        (
            MariaDb,
            ["BIGINT", "DATETIME"],
            [n(1), n(1_711_123_112_345)],
            None,
        ),
        (MariaDb, ["BIGINT", "DATE"], [n(1), n(20_240_229)], None),
        (MariaDb, ["BIGINT", "YEAR"], [n(2000), n(24)], None),
        (MariaDb, ["BIGINT", "ENUM('1','b')"], [n(1), n(2)], None),
        (MariaDb, ["BIGINT", "VARCHAR(9)"], [n(1), n(2)], Some("2")),
        (
            MariaDb,
            ["VARCHAR(9)", "BIT(8)"],
            [t("1"), t("00000001")],
            Some("1"),
        ),
        (
            MariaDb,
            ["VARCHAR(9)", "DATE"],
            [t("2024-01-01"), t("24/3/1")],
            None,
        ),
        (
            MariaDb,
            ["DOUBLE", "INT"],
            [Value::F64(1.0), Value::F64(1.5)],
            None,
        ),
        (Postgres, ["BIGINT", "TEXT"], [n(1), n(2)], Some("2")),
        (
            Postgres,
            ["DOUBLE PRECISION", "INT"],
            [Value::F64(1.0), Value::F64(1.5)],
            None,
        ),
        (Sqlite, ["TEXT", "INTEGER"], [t("1"), t("x")], None),
        (Sqlite, ["TEXT", "INTEGER"], [t("1"), t("7")], Some("7")),
        (Sqlite, ["INTEGER", "TEXT"], [n(1), n(7)], Some("7")),
    ]
}

#[tokio::test]
async fn a_column_that_somebody_gives_another_type_takes_the_next_value_for_what_it_is() {
    let by_statement = [
        ("insert.mode", "statement"),
        (
            "statement",
            "INSERT INTO t (id, a) VALUES (:value.id, :value.a)",
        ),
        ("pk.mode", "none"),
    ];
    for (server, [before, after], [first, second], want) in retyped() {
        for keys in [MODES[0], MODES[1], &by_statement[..]] {
            let mut database = Database::new(server, keys).await;
            let create = |ty: &str| format!("CREATE TABLE t (id INT PRIMARY KEY, a {ty})");
            database.run(&create(before)).await;
            let topic = Topic::new("t");
            let mut task = database.open(&topic, true, &[]).await;
            let ty = match first {
                Value::I64(_) => SchemaType::Int64,
                Value::F64(_) => SchemaType::Float64,
                _ => SchemaType::String,
            };
            let fields = [int("id"), field("a", Schema::of(ty))];
            let row = |id, a: &Value| topic.value(&fields, [Value::I32(id), a.clone()]);
            task.put(&[row(1, &first)], &topic.next()).await.unwrap();
            match server {
                Server::MariaDb => {
                    let sql = format!("DELETE FROM t; ALTER TABLE t MODIFY a {after}");
                    database.run(&sql).await;
                }
                Server::Postgres => {
                    let sql = format!("DELETE FROM t; ALTER TABLE t ALTER a TYPE {after}");
                    database.run(&sql).await;
                }
                Server::Sqlite => {
                    database
                        .run(&format!("DROP TABLE t; {}", create(after)))
                        .await;
                }
            }
            let case = format!("{server} {keys:?}: {before} -> {after}");
            let report = task
                .put(&[row(2, &second), row(3, &second)], &topic.next())
                .await
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let refused = report.rejected.len();
            assert_eq!(
                refused,
                if want.is_none() { 2 } else { 0 },
                "{case}: {report:?}"
            );
            let shown = if after == "BIT(8)" { "a + 0" } else { "a" };
            let seen = database
                .rows(&format!("SELECT {shown} FROM t ORDER BY id"))
                .await;
            let all: Vec<&str> = want.into_iter().flat_map(|want| [want; 2]).collect();
            assert_eq!(seen, all, "{case}");
            task.close().await;
        }
    }
}

#[tokio::test]
async fn a_statement_writes_bits_in_the_length_of_their_column() {
    let keys = [
        ("insert.mode", "statement"),
        (
            "statement",
            "INSERT INTO t (id, x) VALUES (:value.id, :value.x)",
        ),
        ("pk.mode", "none"),
    ];
    for (schema, value, want) in [
        (of(SchemaType::Int32), Value::I32(5), "000000000101"),
        (of(SchemaType::Bytes), bytes(&[0x0a, 0xbc]), "101010111100"),
        (named_bits("12"), bytes(&[0xbc, 0x0a]), "101010111100"),
        (of(SchemaType::String), t("101010111100"), "101010111100"),
    ] {
        let mut database = Database::new(P, &keys).await;
        database.run("CREATE TABLE t (id INT, x BIT(12))").await;
        let topic = Topic::new("t");
        let fields = [int("id"), field("x", schema.clone())];
        let record = topic.value(&fields, [Value::I32(1), value]);
        database
            .put(&topic, &[&[record]])
            .await
            .unwrap_or_else(|error| panic!("{schema:?}: {error}"));
        assert_eq!(database.rows("SELECT x::text FROM t").await, [want]);
    }
}

#[tokio::test]
async fn sqlite_refuses_what_it_would_store_as_something_else() {
    let text = || of(SchemaType::String);
    let cases = vec![
        ("INTEGER", text(), t("12345678901234567890"), None),
        (
            "INTEGER",
            Schema::decimal(0),
            decimal("12345678901234567890"),
            None,
        ),
        (
            "INTEGER",
            text(),
            t("9223372036854775807"),
            Some("9223372036854775807"),
        ),
        ("DATE", text(), t("true"), None),
        ("DATE", text(), t("hello"), None),
        ("DATE", text(), t("9007199254740993.0"), None),
        ("DATE", text(), t("2024.5"), None),
        ("DATE", text(), t("2024-02-29"), Some("2024-02-29")),
        ("TIMESTAMP", text(), t("infinity"), None),
    ];
    hold(S, cases).await;
}
