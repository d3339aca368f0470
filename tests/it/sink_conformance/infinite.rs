//! Values for which a server has no place of its own: PostgreSQL's infinite dates, NULL that becomes the current time, truth
//! values in a column of JSON.

use connector_api::{ErrorKind, Schema, SchemaType, Value};

use super::meanings::*;
use super::{Database, Server, field, int, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;
use Server::{MariaDb as M, Postgres as P, Sqlite as S};

/// What PostgreSQL's JDBC driver and Debezium have for `infinity`, in their own units.
const INFINITY: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY: i64 = -9_223_372_036_832_400_000;

#[tokio::test]
async fn infinite_dates_stay_infinite_or_are_refused() {
    for server in ALL {
        let (date, time, stamp, zoned) = columns_of(*server);
        let long = SchemaType::Int64;
        let on_postgres = |word| (*server == P).then_some(word);
        let mut cases = Vec::new();
        for (days, word) in [(i32::MAX, "infinity"), (i32::MIN, "-infinity")] {
            for schema in [Schema::date(), debezium("Date", SchemaType::Int32)] {
                for ty in [date, stamp] {
                    cases.push((ty, schema.clone(), Value::I32(days), on_postgres(word)));
                }
                cases.push(("VARCHAR(30)", Schema::date(), Value::I32(days), Some(word)));
            }
        }
        for (instant, word) in [(INFINITY, "infinity"), (MINUS_INFINITY, "-infinity")] {
            for schema in [
                Schema::timestamp(),
                debezium("Timestamp", long),
                debezium("MicroTimestamp", long),
            ] {
                for ty in [stamp, zoned, date] {
                    cases.push((ty, schema.clone(), Value::I64(instant), on_postgres(word)));
                }
                cases.push((time, schema, Value::I64(instant), None));
            }
            let iso = debezium("ZonedTimestamp", SchemaType::String);
            cases.push((stamp, iso, t(word), on_postgres(word)));
        }
        // more than 64 bits of microseconds, and not infinite
        let far = Value::I64(i64::MAX / 1_000 + 5);
        if *server == P {
            cases.push((
                stamp,
                debezium("Timestamp", long),
                far,
                Some("294247-01-10 04:00:54.78"),
            ));
        }
        hold(*server, cases).await;
    }
}

#[tokio::test]
async fn an_infinite_date_is_infinite_in_the_rows_of_change_events() {
    for server in ALL {
        let mut database = Database::new(*server, &[("debezium.types", "true")]).await;
        let (date, _, stamp, _) = columns_of(*server);
        database
            .run(&format!("CREATE TABLE t (id INT, d {date}, s {stamp})"))
            .await;
        let topic = Topic::new("t");
        let fields = [
            int("id"),
            field("d", debezium("Date", SchemaType::Int32)),
            field("s", debezium("MicroTimestamp", SchemaType::Int64)),
        ];
        let values = [
            Value::I32(1),
            Value::I32(i32::MAX),
            Value::I64(MINUS_INFINITY),
        ];
        let outcome = database
            .put(&topic, &[&[topic.value(&fields, values)]])
            .await;
        match (server, outcome) {
            (P, outcome) => {
                outcome.unwrap();
                assert_eq!(
                    database.rows("SELECT d::text, s::text FROM t").await,
                    ["infinity|-infinity"]
                );
            }
            (M | S, Ok(())) => panic!("{server}: {:?}", database.rows("SELECT * FROM t").await),
            (M | S, Err(error)) => assert!(
                error.kind() == ErrorKind::Record
                    && error.message().contains("column d: its date is infinity"),
                "{server}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn null_is_refused_where_the_server_would_store_the_current_time() {
    for mode in ["insert", "upsert", "update", "statement"] {
        let keys = [
            ("insert.mode", mode),
            (
                "pk.mode",
                if mode == "insert" || mode == "statement" {
                    "none"
                } else {
                    "record_value"
                },
            ),
            (
                "pk.fields",
                if mode == "insert" || mode == "statement" {
                    ""
                } else {
                    "id"
                },
            ),
            (
                "statement",
                if mode == "statement" {
                    "INSERT INTO t (id, a) VALUES (:id, :a)"
                } else {
                    ""
                },
            ),
        ];
        let keys: Vec<_> = keys
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let mut database = Database::new(M, &keys).await;
        database
            .run(
                "CREATE TABLE t (id INT PRIMARY KEY, a TIMESTAMP(3) NOT NULL, \
                 b TIMESTAMP(3) NOT NULL DEFAULT '2001-02-03 04:05:06')",
            )
            .await;
        database
            .run("INSERT INTO t (id, a) VALUES (1, '2000-01-01')")
            .await;
        let topic = Topic::new("t");
        let fields = [int("id"), field("a", Schema::timestamp().optional(true))];
        let row = |id, at| topic.value(&fields, [Value::I32(id), at]);
        let given = if mode == "update" { 1 } else { 2 };
        let error = database
            .put(&topic, &[&[row(given, Value::Null)]])
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record
                && error
                    .message()
                    .contains("a: NULL cannot be stored in type TIMESTAMP NOT NULL"),
            "{mode}: {error}"
        );
        database
            .write(&topic, &[&[row(given, Value::I64(AT))]])
            .await;
        let seen = database
            .rows("SELECT id, CAST(a AS CHAR) FROM t ORDER BY id")
            .await;
        assert_eq!(
            seen.last().unwrap(),
            &format!("{given}|2024-03-22 15:58:32.345"),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn a_column_that_takes_no_null_takes_it_once_it_is_widened() {
    let mut database = Database::new(M, &[("auto.evolve", "widen")]).await;
    database
        .run("CREATE TABLE t (id INT, a TIMESTAMP NOT NULL)")
        .await;
    let topic = Topic::new("t");
    let fields = [int("id"), field("a", Schema::timestamp().optional(true))];
    let row = topic.value(&fields, [Value::I32(1), Value::Null]);
    database.write(&topic, &[&[row]]).await;
    assert_eq!(database.rows("SELECT id, a FROM t").await, ["1|-"]);
}

#[tokio::test]
async fn a_truth_value_is_one_in_a_column_of_json() {
    for server in [M, P] {
        let json = |value: bool| (of(SchemaType::Boolean), Value::Bool(value));
        let mut cases = Vec::new();
        for ty in if server == M {
            &["JSON"][..]
        } else {
            &["JSON", "JSONB"]
        } {
            for (value, want) in [(true, "true"), (false, "false")] {
                let (schema, value) = json(value);
                cases.push((*ty, schema, value, Some(want)));
            }
            cases.push((*ty, of(SchemaType::Int64), Value::I64(1), Some("1")));
            cases.push((
                *ty,
                of(SchemaType::String),
                t("{\"a\": 1}"),
                Some("{\"a\": 1}"),
            ));
        }
        hold(server, cases).await;
    }
    // any other column of text
    hold(
        M,
        vec![(
            "LONGTEXT",
            of(SchemaType::Boolean),
            Value::Bool(true),
            Some("1"),
        )],
    )
    .await;
    let mut database = Database::new(M, &[]).await;
    database.run("CREATE TABLE t (id INT, x JSON)").await;
    let topic = Topic::new("t");
    let fields = [int("id"), field("x", of(SchemaType::String))];
    let refused = topic.value(&fields, [Value::I32(1), t("no json")]);
    let error = database.put(&topic, &[&[refused]]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Record, "{error}");
}
