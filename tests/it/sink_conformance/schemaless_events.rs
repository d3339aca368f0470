//! Debezium's change events as JSON without schemas, and numbers without a schema in columns of dates and times.

use connector_api::{Datum, ErrorKind, SinkRecord, Value};

use super::plain::object;
use super::{Database, Server, t};
use crate::sink::database::ALL;
use crate::sink::records::Topic;

const DELETES: [(&str, &str); 3] = [
    ("insert.mode", "upsert"),
    ("pk.mode", "record_key"),
    ("delete.enabled", "true"),
];

fn bare(value: Value) -> Datum {
    Datum {
        schema: None,
        value,
    }
}

fn row(members: &[(&str, Value)]) -> Value {
    object(members)
}

/// An event about the row of that id.
fn event(topic: &Topic, id: i64, op: &str, before: Value, after: Value) -> SinkRecord {
    let source = object(&[
        ("version", t("2.5")),
        ("connector", t("mysql")),
        ("db", t("d")),
        ("table", t("t")),
    ]);
    let members = [
        ("before", before),
        ("after", after),
        ("source", source),
        ("op", t(op)),
        ("ts_ms", Value::I64(1)),
        ("transaction", Value::Null),
    ];
    topic.record(
        bare(object(&[("id", Value::I64(id))])),
        bare(object(&members)),
    )
}

fn named(id: i64, name: &str) -> Value {
    row(&[("id", Value::I64(id)), ("name", t(name))])
}

fn gone(topic: &Topic, id: i64) -> SinkRecord {
    topic.record(bare(object(&[("id", Value::I64(id))])), Datum::NONE)
}

#[tokio::test]
async fn events_without_schemas_produce_the_rows_that_they_describe() {
    for server in ALL {
        for (deletes, want) in [
            ("true", vec!["2|changed"]),
            ("false", vec!["1|read", "2|changed"]),
        ] {
            let keys = [
                &DELETES[..2],
                &[
                    ("delete.enabled", deletes),
                    ("behavior.on.null.values", "ignore"),
                ],
            ]
            .concat();
            let mut database = Database::new(*server, &keys).await;
            let topic = Topic::new("t");
            let batch = [
                event(&topic, 1, "r", Value::Null, named(1, "read")),
                event(&topic, 2, "c", Value::Null, named(2, "new")),
                event(&topic, 2, "u", named(2, "new"), named(2, "changed")),
                event(&topic, 2, "m", Value::Null, Value::Null),
                event(&topic, 1, "d", named(1, "read"), Value::Null),
                event(&topic, 7, "d", named(7, "x"), Value::Null),
            ];
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
                .await;
            database.write(&topic, &[&batch]).await;
            if deletes == "true" {
                database.write(&topic, &[&[gone(&topic, 1)]]).await;
            }
            assert_eq!(
                database.rows("SELECT id, name FROM t ORDER BY id").await,
                want,
                "{server} {deletes}"
            );
        }
    }
}

#[tokio::test]
async fn a_truncate_event_without_a_schema_empties_the_table() {
    for server in ALL {
        for (truncates, want) in [("true", vec!["2|b"]), ("false", vec!["1|a", "2|b"])] {
            let keys = [&DELETES[..], &[("truncate.enabled", truncates)]].concat();
            let mut database = Database::new(*server, &keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20))")
                .await;
            let topic = Topic::new("t");
            let write = |id, name| event(&topic, id, "c", Value::Null, named(id, name));
            let batch = [
                write(1, "a"),
                event(&topic, 1, "t", Value::Null, Value::Null),
                write(2, "b"),
            ];
            database.write(&topic, &[&batch]).await;
            assert_eq!(
                database.rows("SELECT id, name FROM t ORDER BY id").await,
                want,
                "{server} {truncates}"
            );
        }
    }
}

#[tokio::test]
async fn a_deletion_without_a_schema_needs_no_table() {
    for server in ALL {
        let mut database = Database::new(*server, &DELETES).await;
        let topic = Topic::new("t");
        let batch = [
            event(&topic, 1, "d", named(1, "a"), Value::Null),
            gone(&topic, 1),
        ];
        database.write(&topic, &[&batch]).await;
        assert!(!database.has("t").await, "{server}");
        // no table is made of a row without types
        let error = database
            .put(
                &topic,
                &[&[event(&topic, 1, "c", Value::Null, named(1, "a"))]],
            )
            .await
            .unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && !database.has("t").await,
            "{server}: {error}"
        );
    }
}

#[tokio::test]
async fn a_record_that_only_resembles_an_event_is_a_row() {
    for server in ALL {
        let mut database = Database::new(*server, &[]).await;
        database
            .run("CREATE TABLE t (id INT, op VARCHAR(5), source VARCHAR(20))")
            .await;
        let topic = Topic::new("t");
        let plain = row(&[("id", Value::I64(1)), ("op", t("c")), ("source", t("web"))]);
        database
            .write(&topic, &[&[topic.record(Datum::NONE, bare(plain))]])
            .await;
        assert_eq!(
            database.rows("SELECT id, op, source FROM t").await,
            ["1|c|web"],
            "{server}"
        );
        let lost = event(&topic, 1, "c", Value::Null, Value::Null);
        let error = database.put(&topic, &[&[lost]]).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Record && error.message().contains("after is null"),
            "{server}: {error}"
        );
        // an event as it is
        database.config.set("envelope.unwrap", "false");
        let whole = event(&topic, 1, "c", Value::Null, named(1, "a"));
        assert!(database.put(&topic, &[&[whole]]).await.is_err(), "{server}");
        assert_eq!(
            database.rows("SELECT COUNT(*) FROM t").await,
            ["1"],
            "{server}"
        );
    }
}

#[tokio::test]
async fn a_value_that_an_event_without_a_schema_lacks_is_not_changed() {
    for server in ALL {
        for (placeholder, want) in [
            ("__debezium_unavailable_value", "1|long|2"),
            ("-none-", "1|new|3"),
        ] {
            let keys = [
                &DELETES[..],
                &[("unavailable.value.placeholder", placeholder)],
            ]
            .concat();
            let mut database = Database::new(*server, &keys).await;
            database
                .run("CREATE TABLE t (id INT PRIMARY KEY, big TEXT, n INT)")
                .await;
            database
                .run("INSERT INTO t (id, big, n) VALUES (1, 'long', 1)")
                .await;
            let topic = Topic::new("t");
            let change = |big: &str, n| {
                let after = row(&[("id", Value::I64(1)), ("big", t(big)), ("n", Value::I64(n))]);
                event(&topic, 1, "u", Value::Null, after)
            };
            let second = if placeholder == "-none-" {
                vec![change("new", 3), change("-none-", 3)]
            } else {
                vec![]
            };
            database
                .write(&topic, &[&[change(placeholder, 2)], &second])
                .await;
            assert_eq!(
                database.rows("SELECT id, big, n FROM t").await,
                [want],
                "{server}"
            );
        }
    }
}

/// Columns of a date, a time of day, a date-time of microseconds and one of milliseconds.
fn columns(server: Server) -> [&'static str; 4] {
    match server {
        Server::MariaDb => ["DATE", "TIME(6)", "DATETIME(6)", "DATETIME(3)"],
        Server::Postgres => ["DATE", "TIME", "TIMESTAMP", "TIMESTAMP(3)"],
        Server::Sqlite => ["DATE", "TIME", "DATETIME", "DATETIME(3)"],
    }
}

/// Writes a number into a column of that type; what it holds begins with what is wanted, or the record is refused.
async fn holds(
    server: Server,
    keys: &[(&str, &str)],
    is_event: bool,
    (ty, n, want): (&str, i64, Option<&str>),
) {
    let mut database = Database::new(server, keys).await;
    database
        .run(&format!("CREATE TABLE t (id INT PRIMARY KEY, at {ty})"))
        .await;
    let topic = Topic::new("t");
    let after = row(&[("id", Value::I64(1)), ("at", Value::I64(n))]);
    let record = match is_event {
        true => event(&topic, 1, "c", Value::Null, after),
        false => topic.record(Datum::NONE, bare(after)),
    };
    let outcome = database.put(&topic, &[&[record]]).await;
    let text = if server == Server::MariaDb {
        "CAST(at AS CHAR)"
    } else {
        "CAST(at AS TEXT)"
    };
    let seen = database.rows(&format!("SELECT {text} FROM t")).await;
    let case = format!("{server} {keys:?} event {is_event}: {n} into {ty}");
    match (want, outcome) {
        (Some(want), Ok(())) => assert!(seen[0].starts_with(want), "{case}: {seen:?}"),
        (None, Err(error)) => {
            let text = error.to_string();
            assert!(
                error.kind() == ErrorKind::Record && seen.is_empty(),
                "{case}: {text}"
            );
            assert!(
                text.contains("offset 0") && text.contains("column at"),
                "{case}: {text}"
            );
        }
        (want, outcome) => panic!("{case}: wanted {want:?}, got {outcome:?}, {seen:?}"),
    }
}

#[tokio::test]
async fn a_number_without_a_schema_counts_days_or_milliseconds() {
    for server in ALL {
        let [date, time, fine, coarse] = columns(*server);
        for case in [
            (date, 19_782, Some("2024-02-29")),
            (date, 20_240_229, None),
            (date, 1_711_123_112_345, None),
            (time, 83_000, Some("00:01:23")),
            (time, 3_600_000_000, None),
            (fine, 1_711_123_112_345, Some("2024-03-22 15:58:32.345")),
            (coarse, 253_402_300_799_000, Some("9999-12-31 23:59:59")),
            // seconds, microseconds, nanoseconds, digits of a date
            (fine, 1_711_123_112, None),
            (fine, 1_711_123_112_345_678, None),
            (coarse, 1_711_123_112_345_678_901, None),
            (fine, 20_240_322_155_832_000, None),
        ] {
            holds(*server, &[], false, case).await;
        }
        // the key says what it is
        let list = [("timestamp.fields.list", "at")];
        holds(
            *server,
            &list,
            false,
            (
                fine,
                1_711_123_112_345_678,
                Some("2024-03-22 15:58:32.345678"),
            ),
        )
        .await;
        holds(
            *server,
            &list,
            true,
            (date, 1_711_123_112_345_678, Some("2024-03-22")),
        )
        .await;
        let nanos = [list[0], ("timestamp.precision.mode", "nanoseconds")];
        holds(
            *server,
            &nanos,
            false,
            (
                coarse,
                1_711_123_112_345_000_000,
                Some("2024-03-22 15:58:32.345"),
            ),
        )
        .await;
    }
}

#[tokio::test]
async fn debeziums_numbers_without_a_schema_are_accepted_where_their_unit_is_clear() {
    for server in ALL {
        let [date, time, fine, coarse] = columns(*server);
        for case in [
            (date, 19_782, Some("2024-02-29")),
            (date, 20_240_229, None),
            (time, 3_600_000_001, Some("01:00:00.000001")),
            (time, 83_000, None),
            (
                fine,
                1_700_000_000_123_456,
                Some("2023-11-14 22:13:20.123456"),
            ),
            (fine, 1_700_000_000_123, Some("2023-11-14 22:13:20.123")),
            (
                fine,
                -1_700_000_000_123_456,
                Some("1916-02-18 01:46:39.876544"),
            ),
            (fine, 1_700_000_000, None),
            (fine, 1_700_000_000_123_456_789, None),
        ] {
            holds(*server, &[], true, case).await;
            // rows that a transform took out of their events
            holds(*server, &[("debezium.types", "true")], false, case).await;
        }
        if *server != Server::Sqlite {
            holds(
                *server,
                &[],
                true,
                (coarse, 1_700_000_000_123, Some("2023-11-14 22:13:20.123")),
            )
            .await;
            holds(*server, &[], true, (coarse, 1_700_000_000_123_456, None)).await;
        }
        // without a zone, whatever the zone of the database
        let zone = [("db.timezone", "Asia/Tokyo")];
        holds(
            *server,
            &zone,
            true,
            (fine, 1_700_000_000_123, Some("2023-11-14 22:13:20.123")),
        )
        .await;
    }
}

#[tokio::test]
async fn a_text_without_a_schema_stays_a_text_in_a_column_of_a_type_that_sqlite_does_not_know() {
    let mut database = Database::new(Server::Sqlite, &[]).await;
    database.run("CREATE TABLE t (id INT, x STRING)").await;
    let topic = Topic::new("t");
    let write = |text: &str| {
        topic.record(
            Datum::NONE,
            bare(row(&[("id", Value::I64(1)), ("x", t(text))])),
        )
    };
    database
        .write(&topic, &[&[write("abc"), write("12")]])
        .await;
    let error = database
        .put(&topic, &[&[write("00123")]])
        .await
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Record && error.message().contains("column x"),
        "{error}"
    );
    assert_eq!(
        database.rows("SELECT x FROM t ORDER BY x").await,
        ["12", "abc"]
    );
}
