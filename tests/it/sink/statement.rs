//! `insert.mode=statement`: each record runs SQL of the user's own.

use std::sync::Arc;

use connector_api::{
    ConfigReport, Datum, Decimal, ErrorKind, Header, Plugin, Schema, SchemaType, SinkConnector,
    SinkRecord, Value,
};
use connector_jdbc::sink::JdbcSink;
use testkit::for_condition;

use super::database::{self, Database, Server};
use super::records::{self, Topic, int, optional, text};
use crate::SOON;

const STOCK: &str = "CREATE TABLE stock (product_id INT PRIMARY KEY, qty INT NOT NULL, CHECK (qty >= 0)); \
                     INSERT INTO stock VALUES (1, 100), (2, 100)";
const TAKE: &str = "UPDATE stock SET qty = qty - :qty WHERE product_id = :product_id";

fn order(topic: &Topic, product: i32, qty: i32) -> SinkRecord {
    topic.value(
        &[int("product_id"), int("qty")],
        [Value::I32(product), Value::I32(qty)],
    )
}

#[tokio::test]
async fn statements_run_once_for_each_record_in_order() {
    for mut database in database::servers().await {
        database.run(STOCK).await;
        database
            .run("CREATE TABLE journal (product_id INT, qty INT, left_over INT, topic VARCHAR(20), at BIGINT)")
            .await;
        let journal = "INSERT INTO journal SELECT product_id, :qty, qty, :topic, :offset FROM stock WHERE product_id = :product_id";
        let keys = [
            ("insert.mode", "statement"),
            ("statement", &format!("{TAKE};\n-- and\n{journal};")),
        ];
        let topic = Topic::new("orders");
        let mut task = database.open(&topic, false, &keys).await;
        let batch = [
            order(&topic, 1, 10),
            order(&topic, 2, 1),
            order(&topic, 1, 20),
            order(&topic, 9, 1),
        ];
        task.put(&batch, &topic.next()).await.unwrap();
        let kind = database.server;
        assert_eq!(
            database
                .select("product_id, qty", "FROM stock ORDER BY product_id")
                .await,
            ["1|70", "2|99"],
            "{kind}"
        );
        let seen = database
            .select(
                "product_id, qty, left_over, topic, at",
                "FROM journal ORDER BY at",
            )
            .await;
        assert_eq!(
            seen,
            ["1|10|90|orders|0", "2|1|99|orders|1", "1|20|70|orders|2"],
            "{kind}"
        );
        let stored = database
            .select("topic, next_offset", "FROM rowferry_offsets")
            .await;
        assert_eq!(stored, ["orders|4"], "{kind}");
        task.close().await;
    }
}

#[tokio::test]
async fn every_part_of_a_record_can_be_named_and_is_bound() {
    for mut database in database::servers().await {
        database
            .run(
                "CREATE TABLE t (id BIGINT, name VARCHAR(60), amount DECIMAL(40,2), day DATE, at TIMESTAMP NULL, h VARCHAR(60), n INT, \
                 part INT, f DOUBLE PRECISION, flag SMALLINT)",
            )
            .await;
        let flag = if database.server == Server::Postgres {
            ":{value.odd name}::boolean::int"
        } else {
            ":{value.odd name}"
        };
        let sql = format!(
            "INSERT INTO t VALUES (:key.id, :value.name, 0.1 + :amount, :day, :timestamp, :header.trace, :inner.n, :partition, :f, {flag})"
        );
        let topic = Topic::new("t");
        let mut task = database
            .open(
                &topic,
                false,
                &[("insert.mode", "statement"), ("statement", &sql)],
            )
            .await;
        let inner = Schema::structure(None, vec![int("n")]).optional(true);
        let fields = vec![
            text("name"),
            connector_api::Field::new("amount", Schema::decimal(1)),
            connector_api::Field::new("day", Schema::date()),
            connector_api::Field::new("inner", inner),
            connector_api::Field::new("f", Schema::of(SchemaType::Float32)),
            connector_api::Field::new("odd name", Schema::of(SchemaType::Boolean)),
        ];
        let key = Datum::new(
            Schema::structure(None, vec![int("id")]).into(),
            Value::Struct([Value::I32(7)].into()),
        );
        let row = |inner| {
            let name = Value::Text("'); DROP TABLE t; -- :id ? $1".into());
            // a double has no room for these digits
            let amount = Value::Decimal(Box::new(
                Decimal::parse("12345678901234567890123456789.1").unwrap(),
            ));
            let values = [
                name,
                amount,
                Value::I32(1),
                inner,
                Value::F32(0.1),
                Value::Bool(true),
            ];
            let value = Datum::new(
                Schema::structure(None, fields.clone()).into(),
                Value::Struct(values.into()),
            );
            let mut record = topic.record(key.clone(), value);
            let header = |text: &str| {
                Datum::new(
                    Arc::new(Schema::of(SchemaType::String)),
                    Value::Text(text.into()),
                )
            };
            let headers = ["first", "last"].map(|text| Header {
                key: "trace".into(),
                datum: header(text),
            });
            record.record.headers.extend(headers);
            record.record.timestamp_ms = Some(1_700_000_000_000);
            record
        };
        let batch = [row(Value::Struct([Value::I32(5)].into())), row(Value::Null)];
        task.put(&batch, &topic.next()).await.unwrap();
        let seen = database
            .select(
                "id, name, amount, day, at, h, n, part, f, flag",
                "FROM t ORDER BY n DESC",
            )
            .await;
        let row = |n| {
            format!(
                "7|'); DROP TABLE t; -- :id ? $1|12345678901234567890123456789.20|1970-01-02|2023-11-14 22:13:20|last|{n}0|0.1|1"
            )
        };
        let mut want = [row("5|"), row("")];
        if database.server == Server::Postgres {
            want.reverse(); // NULLs first
        }
        assert_eq!(seen, want, "{}", database.server);
        task.close().await;
    }
}

#[tokio::test]
async fn values_without_schema_are_looked_up_by_name() {
    for mut database in database::servers().await {
        database.run(STOCK).await;
        let topic = Topic::new("orders");
        let mut task = database
            .open(
                &topic,
                true,
                &[("insert.mode", "statement"), ("statement", TAKE)],
            )
            .await;
        let member = |name: &str, value| (Value::Text(name.into()), value);
        let record = |members: Vec<(Value, Value)>| {
            topic.record(
                Datum::NONE,
                Datum {
                    schema: None,
                    value: Value::Map(members.into()),
                },
            )
        };
        let batch = [
            record(vec![
                member("qty", Value::I64(1)),
                member("product_id", Value::I64(1)),
            ]),
            record(vec![
                member("product_id", Value::Text("2".into())),
                member("qty", Value::I64(2)),
            ]),
            record(vec![
                member("product", Value::I64(1)),
                member("qty", Value::I64(1)),
            ]),
            order(&topic, 2, 3),
        ];
        let report = task.put(&batch, &topic.next()).await.unwrap();
        let rejected: Vec<_> = report
            .rejected
            .iter()
            .map(|r| (r.index, r.error.to_string()))
            .collect();
        let want = "the statement needs :product_id, which the record does not have: the value has the fields product, qty; the key is null";
        assert!(
            rejected.len() == 1 && rejected[0].0 == 2 && rejected[0].1.contains(want),
            "{rejected:?}"
        );
        let seen = database
            .select("product_id, qty", "FROM stock ORDER BY product_id")
            .await;
        assert_eq!(seen, ["1|99", "2|95"], "{}", database.server);
        task.close().await;
    }
}

#[tokio::test]
async fn a_record_that_fails_is_named_or_left_out() {
    for mut database in database::servers().await {
        database.run(STOCK).await;
        let topic = Topic::new("orders");
        let keys = [("insert.mode", "statement"), ("statement", TAKE)];
        let mut task = database.open(&topic, false, &keys).await;
        let batch = [
            order(&topic, 1, 10),
            order(&topic, 2, 101),
            order(&topic, 1, 1),
            topic.keyed("k", &[], None),
        ];
        let error = task.put(&batch[..3], &topic.next()).await.unwrap_err();
        let reported = error.to_string();
        for part in [
            "topic orders, partition 0, offset 1",
            "statement 'UPDATE stock SET qty",
            "refused",
        ] {
            assert!(
                error.kind() == ErrorKind::Record && reported.contains(part),
                "{}: {reported}",
                database.server
            );
        }
        assert_eq!(
            database
                .select("qty", "FROM stock WHERE product_id = 1")
                .await,
            ["100"],
            "nothing is half done"
        );
        task.close().await;
        let mut tolerant = database.open(&topic, true, &keys).await;
        let report = tolerant.put(&batch, &topic.next()).await.unwrap();
        let rejected: Vec<_> = report.rejected.iter().map(|r| r.index).collect();
        assert_eq!(rejected, [1, 3], "{}", database.server);
        let text = report.rejected[1].error.to_string();
        assert!(text.contains("delete.statement"), "{text}");
        assert_eq!(
            database
                .select("product_id, qty", "FROM stock ORDER BY product_id")
                .await,
            ["1|89", "2|100"]
        );
        tolerant.close().await;
    }
}

#[tokio::test]
async fn tombstones_run_the_delete_statement() {
    for mut database in database::servers().await {
        database.run("CREATE TABLE cards (member VARCHAR(9), n INT); CREATE TABLE likes (member VARCHAR(9))").await;
        database
            .run("INSERT INTO likes VALUES ('a'), ('a'), ('b')")
            .await;
        let keys = [
            ("insert.mode", "statement"),
            ("statement", "INSERT INTO cards VALUES (:key, :n)"),
            (
                "delete.statement",
                "DELETE FROM cards WHERE member = :key; DELETE FROM likes WHERE member = :key",
            ),
        ];
        let topic = Topic::new("members");
        let mut task = database.open(&topic, false, &keys).await;
        let fields = [optional("n", SchemaType::Int32)];
        let batch = [
            topic.keyed("a", &fields, Some(vec![Value::I32(1)])),
            topic.keyed("b", &fields, Some(vec![Value::Null])),
            topic.keyed("a", &fields, None),
        ];
        task.put(&batch, &topic.next()).await.unwrap();
        assert_eq!(
            database.select("member, n", "FROM cards").await,
            ["b"],
            "{}",
            database.server
        );
        assert_eq!(
            database.select("member", "FROM likes").await,
            ["b"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_statement_that_the_server_refuses_is_reported_at_validation() {
    for mut database in database::servers().await {
        database.run(STOCK).await;
        for (key, sql, want) in [
            ("statement", TAKE, None),
            ("statement", "UPDATE stock SET qty = ", Some("syntax")),
            (
                "statement",
                "UPDATE stock SET quantity = :qty",
                Some("quantity"),
            ),
            ("statement", "UPDATE nothing SET a = :a", Some("nothing")),
            (
                "statement",
                "UPDATE stock SET qty = :qty; COMMIT",
                Some("not with 'COMMIT'"),
            ),
            (
                "statement",
                "",
                Some("insert.mode statement needs a statement"),
            ),
            (
                "delete.statement",
                "DELETE FROM stock WHERE product_id = 'x",
                Some("is not closed"),
            ),
        ] {
            let mut config = database.config(&[
                ("insert.mode", "statement"),
                ("statement", TAKE),
                ("topics", "t"),
            ]);
            config.set(key, sql);
            let mut report = ConfigReport::default();
            JdbcSink.check(&config, &mut report);
            if report.errors.is_empty() {
                JdbcSink.probe(&config, &mut report).await;
            }
            let reported: Vec<_> = report
                .errors
                .iter()
                .map(|problem| (problem.key.as_str(), problem.message.as_str()))
                .collect();
            match (want, reported.as_slice()) {
                (None, []) => {}
                (Some(want), [(on, text)]) => {
                    assert!(
                        *on == key && text.contains(want),
                        "{}: {sql}: {reported:?}",
                        database.server
                    );
                }
                _ => panic!("{}: {sql}: {reported:?}", database.server),
            }
        }
    }
}

/// A batch that fails half-way would stay half written.
#[tokio::test]
async fn statements_that_write_tables_without_rollback_are_refused_unless_rows_may_be_duplicated() {
    let mut database = Database::new(Server::MariaDb, &[]).await;
    let journal = "CREATE TABLE journal (product_id INT, qty INT) ENGINE=InnoDB";
    let join = "UPDATE journal j JOIN stock s USING (product_id) SET s.qty = j.qty - :qty WHERE product_id = :product_id";
    let bare = "UPDATE journal j JOIN other s USING (product_id) SET own = :qty WHERE product_id = :product_id";
    let delete = "DELETE FROM stock WHERE product_id = :key";
    let read =
        "INSERT INTO journal SELECT product_id, :qty FROM stock WHERE product_id = :product_id";
    for engine in ["MyISAM", "Aria", "MEMORY"] {
        database
            .run(&format!(
                "DROP TABLE IF EXISTS stock, journal, other; {STOCK}; {journal}"
            ))
            .await;
        database
            .run("CREATE TABLE other (product_id INT, own INT); INSERT INTO other VALUES (1, 1)")
            .await;
        database
            .run(&format!(
                "ALTER TABLE stock ENGINE={engine}; ALTER TABLE other ENGINE={engine}"
            ))
            .await;
        for (sql, delete, table) in [
            (TAKE, "", Some("stock")),
            (join, "", Some("stock")),
            (bare, "", Some("other")),
            (read, delete, Some("stock")),
            (read, "", None),
            ("SELECT 1", "", None),
        ] {
            let topic = Topic::new("stock");
            let keys = |guarantee| {
                let mut keys = vec![
                    ("insert.mode", "statement"),
                    ("statement", sql),
                    ("topics", "stock"),
                ];
                keys.extend([
                    ("delivery.guarantee", guarantee),
                    ("delete.statement", delete),
                ]);
                keys.retain(|(_, value)| !value.is_empty());
                database.config(&keys)
            };
            let mend = |text: &str| {
                let table = table.expect("a table to refuse");
                let mend = format!(
                    "ALTER TABLE `{}`.`{table}` ENGINE=InnoDB, or set delivery.guarantee",
                    database.name
                );
                assert!(
                    text.contains(engine) && text.contains(&mend),
                    "{engine}, {sql}: {text}"
                );
            };
            let (mut strict, mut loose) = (ConfigReport::default(), ConfigReport::default());
            JdbcSink.probe(&keys("exactly_once"), &mut strict).await;
            JdbcSink.probe(&keys("at_least_once"), &mut loose).await;
            let refused = usize::from(table.is_some());
            assert_eq!(
                (strict.errors.len(), loose.errors.len()),
                (refused, 0),
                "{engine}, {sql}: {:?}",
                strict.errors
            );
            for problem in strict.errors.iter().chain(&loose.warnings) {
                assert_eq!(problem.key, "delivery.guarantee");
                mend(&problem.message);
            }
            assert_eq!(loose.warnings.len(), refused, "{engine}, {sql}");
            match JdbcSink.open(&keys("exactly_once"), false).await {
                Ok(task) => {
                    assert_eq!(table, None, "{engine}, {sql}");
                    task.close().await;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
                    mend(error.message());
                }
            }
            let mut task = records::open(&keys("at_least_once"), false).await;
            task.put(&[order(&topic, 1, 10)], &topic.next())
                .await
                .unwrap();
            task.close().await;
        }
        database.run("ALTER TABLE stock ENGINE=InnoDB").await;
        let topic = Topic::new("orders");
        let task = database
            .open(
                &topic,
                false,
                &[("insert.mode", "statement"), ("statement", TAKE)],
            )
            .await;
        task.close().await;
    }
}

#[tokio::test]
async fn a_table_changed_by_others_is_noticed() {
    for mut database in database::servers().await {
        database.run(STOCK).await;
        let topic = Topic::new("orders");
        let mut task = database
            .open(
                &topic,
                false,
                &[("insert.mode", "statement"), ("statement", TAKE)],
            )
            .await;
        task.put(&[order(&topic, 1, 1)], &topic.next())
            .await
            .unwrap();
        database.run("DROP TABLE stock; CREATE TABLE stock (product_id VARCHAR(9) PRIMARY KEY, qty DECIMAL(9,1)); INSERT INTO stock VALUES ('1', 5)").await;
        let batch = [order(&topic, 1, 1)];
        for_condition("the record to be written", SOON, async || {
            match task.put(&batch, &topic.next()).await {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(
                        error.kind(),
                        ErrorKind::Retry,
                        "{}: {error}",
                        database.server
                    );
                    false
                }
            }
        })
        .await;
        assert_eq!(
            database.select("qty", "FROM stock").await,
            ["4.0"],
            "{}",
            database.server
        );
        task.close().await;
    }
}

/// The table of a statement that did not run may be gone.
#[tokio::test]
async fn only_the_tables_of_statements_that_ran_are_checked() {
    for mut database in database::servers().await {
        database
            .run("CREATE TABLE members (id VARCHAR(9), n INT); CREATE TABLE likes (id VARCHAR(9))")
            .await;
        let keys = [
            ("insert.mode", "statement"),
            (
                "statement",
                "INSERT INTO members (id, n) VALUES (:key, :n); UPDATE members SET n = n + :n WHERE id = :key",
            ),
            ("delete.statement", "DELETE FROM likes WHERE id = :key"),
        ];
        let topic = Topic::new("members");
        let mut task = database.open(&topic, false, &keys).await;
        let fields = [optional("n", SchemaType::Int32)];
        let batch = [
            topic.keyed("a", &fields, Some(vec![Value::I32(1)])),
            topic.keyed("a", &fields, None),
        ];
        task.put(&batch, &topic.next()).await.unwrap();
        database.run("DROP TABLE likes").await;
        let batch = [topic.keyed("b", &fields, Some(vec![Value::I32(2)]))];
        let put = task.put(&batch, &topic.next()).await;
        put.unwrap_or_else(|error| panic!("{}: {error}", database.server));
        assert_eq!(
            database.select("id, n", "FROM members ORDER BY id").await,
            ["a|2", "b|4"],
            "{}",
            database.server
        );
        task.close().await;
    }
}
