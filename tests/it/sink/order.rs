//! Order and batching: what a batch does is what its records would do one after the other.

use std::collections::BTreeMap;

use connector_api::{ErrorKind, SchemaType, SinkRecord, Value};
use testkit::Random;

use super::database::{self, Server};
use super::records::{self, Topic, int, optional, text};

#[tokio::test]
async fn two_tasks_on_the_same_keys_in_opposite_order_finish_with_the_right_rows() {
    const KEYS: i32 = 1000;
    const ROUNDS: i32 = 50;
    for mut database in database::all().await {
        let keys = [
            ("pk.mode", "record_value"),
            ("pk.fields", "id"),
            ("insert.mode", "upsert"),
        ];
        let tasks = [false, true].map(|backwards| {
            let config = database.config(&keys);
            tokio::spawn(async move {
                let topic = Topic::part("t", i32::from(backwards));
                let mut task = records::open(&config, false).await;
                task.assign(&topic.partitions()).await.unwrap();
                let fields = [int("id"), int("n")];
                for round in 1..=ROUNDS {
                    let row = |n: i32| {
                        let id = if backwards { KEYS - 1 - n } else { n };
                        topic.value(&fields, [Value::I32(id), Value::I32(round)])
                    };
                    let batch: Vec<_> = (0..KEYS).map(row).collect();
                    while let Err(error) = task.put(&batch, &topic.next()).await {
                        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                    }
                }
                task.close().await;
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let seen = database.select("COUNT(*), MIN(n), MAX(n)", "FROM t").await;
        assert_eq!(
            seen,
            [format!("{KEYS}|{ROUNDS}|{ROUNDS}")],
            "{}",
            database.server
        );
    }
}

/// A row: what `a` and `b` are.
type Row = (Option<i32>, Option<i32>);

/// Random writes and deletes in each mode, with keys that differ in letter case alone, in batches of any size.
#[tokio::test]
async fn batches_have_the_outcome_of_row_by_row() {
    let mut random = Random::new();
    for mut database in database::all().await {
        for mode in ["upsert", "update"] {
            database
                .run("CREATE TABLE t (k VARCHAR(9) NOT NULL PRIMARY KEY, a INT, b INT)")
                .await;
            // MariaDB's usual collation takes a and A for one
            let exact = database.server != Server::MariaDb;
            let fold = |key: &str| {
                if exact {
                    key.to_owned()
                } else {
                    key.to_lowercase()
                }
            };
            let mut want: BTreeMap<String, Row> = BTreeMap::new();
            for key in ["a", "b", "é"] {
                database
                    .run(&format!("INSERT INTO t VALUES ('{key}', 0, 0)"))
                    .await;
                want.insert(key.to_owned(), (Some(0), Some(0)));
            }
            let keys = [
                ("insert.mode", mode),
                ("pk.mode", "record_key"),
                ("pk.fields", "k"),
                ("delete.enabled", "true"),
            ];
            let topic = Topic::new("t");
            let keys = [&keys[..], &[("name", mode)]].concat();
            let mut task = database.open(&topic, false, &keys).await;
            let (both, one) = (
                [
                    optional("a", SchemaType::Int32),
                    optional("b", SchemaType::Int32),
                ],
                [optional("b", SchemaType::Int32)],
            );
            for _ in 0..25 {
                let size = random.below(40) as i32;
                let mut record = |n: i32| {
                    let key = random
                        .pick(&["a", "A", "b", "B", "c", "d", "é", "f"][..])
                        .to_owned();
                    let row = want.get_mut(&fold(key));
                    let absent = row.is_none();
                    match random.below(4) {
                        0 => {
                            want.remove(&fold(key));
                            topic.keyed(key, &both, None)
                        }
                        1 => {
                            if let Some(row) = row {
                                row.1 = Some(n);
                            } else if mode == "upsert" {
                                want.insert(fold(key), (None, Some(n)));
                            }
                            topic.keyed(key, &one, Some(vec![Value::I32(n)]))
                        }
                        _ => {
                            if !absent || mode == "upsert" {
                                want.insert(fold(key), (Some(n), None));
                            }
                            topic.keyed(key, &both, Some(vec![Value::I32(n), Value::Null]))
                        }
                    }
                };
                let batch: Vec<SinkRecord> = (0..size).map(|n| record(n + 1)).collect();
                task.put(&batch, &topic.next()).await.unwrap();
                let mut seen = database
                    .select("k, COALESCE(a, -1), COALESCE(b, -1)", "FROM t")
                    .await;
                let mut expected: Vec<_> = want
                    .iter()
                    .map(|(key, (a, b))| format!("{key}|{}|{}", a.unwrap_or(-1), b.unwrap_or(-1)))
                    .collect();
                // which spelling of a key stays is the collation's affair
                seen.iter_mut().for_each(|row| *row = fold(row));
                seen.sort();
                expected.sort();
                assert_eq!(seen, expected, "{} {mode}", database.server);
            }
            task.close().await;
            database.run("DROP TABLE t").await;
        }
    }
}

#[tokio::test]
async fn many_rows_are_updated_by_one_statement_as_exactly_as_by_many() {
    for mut database in database::servers().await {
        database
            .run("CREATE TABLE t (k VARCHAR(3) NOT NULL, n BIGINT NOT NULL, s VARCHAR(5), d DECIMAL(10,2), at TIMESTAMP NULL, PRIMARY KEY (k, n))")
            .await;
        let values: Vec<_> = (0..300)
            .map(|n| format!("('k', {n}, 'old', 0, NULL)"))
            .collect();
        database
            .run(&format!("INSERT INTO t VALUES {}", values.join(",")))
            .await;
        let keys = [
            ("insert.mode", "update"),
            ("pk.mode", "record_value"),
            ("pk.fields", "k,n"),
        ];
        let topic = Topic::new("t");
        let mut task = database.open(&topic, true, &keys).await;
        let fields = [
            text("k"),
            connector_api::Field::new("n", connector_api::Schema::of(SchemaType::Int64)),
            optional("s", SchemaType::String),
            connector_api::Field::new("d", connector_api::Schema::decimal(2).optional(true)),
            connector_api::Field::new("at", connector_api::Schema::timestamp().optional(true)),
        ];
        let row = |key: &str, n: i64, s: &str| {
            let decimal = Value::Decimal(Box::new(connector_api::Decimal::new(i128::from(n), 2)));
            topic.value(
                &fields,
                [
                    Value::Text(key.into()),
                    Value::I64(n),
                    Value::Text(s.into()),
                    decimal,
                    Value::I64((n + 1) * 1000),
                ],
            )
        };
        let mut batch: Vec<_> = (0..300).map(|n| row("k", n, "new")).collect();
        // keys of no row, one of which would be a row's if it were cut to the column's length
        batch.extend([
            row("none", 1, "x"),
            row("k", 5_000_000_000, "x"),
            row("kk", 7, "x"),
        ]);
        let report = task.put(&batch, &topic.next()).await.unwrap();
        assert!(
            report.rejected.is_empty(),
            "{}: {:?}",
            database.server,
            report.rejected
        );
        let sums = "COUNT(*), SUM(d), MIN(s), MAX(s), COUNT(at)";
        assert_eq!(
            database.select(sums, "FROM t").await,
            ["300|448.50|new|new|300"],
            "{}",
            database.server
        );
        let bad = [
            row("k", 1, "ok"),
            row("k", 2, "much too long"),
            row("k", 3, "ok"),
        ];
        let report = task.put(&bad, &topic.next()).await.unwrap();
        assert_eq!(
            report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(),
            [1],
            "{}",
            database.server
        );
        assert_eq!(
            database.select("COUNT(*)", "FROM t WHERE s = 'ok'").await,
            ["2"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_key_that_is_a_plain_column_is_upserted_and_deleted_by() {
    for mut database in database::all().await {
        let number = if database.server == Server::Postgres {
            "SERIAL"
        } else {
            "INT AUTO_INCREMENT"
        };
        database
            .run(&format!("CREATE TABLE cards (id {number} PRIMARY KEY, member_id INT NOT NULL, name VARCHAR(9))"))
            .await;
        database
            .run("INSERT INTO cards (member_id, name) VALUES (7, 'a'), (7, 'b'), (8, 'c')")
            .await;
        let keys = [
            ("insert.mode", "upsert"),
            ("pk.mode", "record_key"),
            ("pk.fields", "member_id"),
            ("delete.enabled", "true"),
            ("table.name.format", "cards"),
        ];
        let topic = Topic::new("members");
        let mut task = database.open(&topic, false, &keys).await;
        let fields = [text("name")];
        let record = |key: i32, name: Option<&str>| {
            let mut record =
                topic.keyed("", &fields, name.map(|name| vec![Value::Text(name.into())]));
            let schema = connector_api::Schema::of(SchemaType::Int32);
            record.record.key = connector_api::Datum::new(schema.into(), Value::I32(key));
            record
        };
        let batch = [
            record(7, Some("both")),
            record(9, Some("new")),
            record(8, None),
            record(9, Some("newer")),
        ];
        task.put(&batch, &topic.next()).await.unwrap();
        let all = "FROM cards ORDER BY member_id, id";
        assert_eq!(
            database.select("member_id, name", all).await,
            ["7|both", "7|both", "9|newer"],
            "{}",
            database.server
        );
        // the rows that a delete takes away do not come back with the row after it
        task.put(&[record(7, None), record(7, Some("again"))], &topic.next())
            .await
            .unwrap();
        assert_eq!(
            database.select("member_id, name", all).await,
            ["7|again", "9|newer"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

#[tokio::test]
async fn tables_are_written_in_the_order_their_records_came() {
    for mut database in database::all().await {
        database
            .run("CREATE TABLE z_parent (id INT PRIMARY KEY)")
            .await;
        database.run("CREATE TABLE a_child (id INT PRIMARY KEY, parent INT NOT NULL, FOREIGN KEY (parent) REFERENCES z_parent (id))").await;
        let (parents, children) = (Topic::new("z_parent"), Topic::new("a_child"));
        let mut task = database.open(&parents, false, &[]).await;
        task.assign(&children.partitions()).await.unwrap();
        let mut batch = Vec::new();
        for n in 0..100 {
            batch.push(parents.value(&[int("id")], [Value::I32(n)]));
            batch.push(children.value(&[int("id"), int("parent")], [Value::I32(n), Value::I32(n)]));
        }
        let next = [parents.next(), children.next()].concat();
        task.put(&batch, &next).await.unwrap();
        assert_eq!(
            database.select("COUNT(*)", "FROM a_child").await,
            ["100"],
            "{}",
            database.server
        );
        task.close().await;
    }
}
