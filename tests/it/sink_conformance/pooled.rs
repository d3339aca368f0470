//! PostgreSQL behind a pooler that gives each transaction another server process.

use connector_api::{ConfigReport, Datum, ErrorKind, Schema, SchemaType, SinkConnector, Value};
use connector_jdbc::sink::JdbcSink;
use testkit::pooler::{self, PoolMode};

use super::{Database, Server, field, int, optional, structure, t};
use crate::sink::records::Topic;

const MODES: [&[(&str, &str)]; 4] = [
    &[("insert.mode", "insert")],
    &[
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ],
    &[
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
    ],
    &[
        ("insert.mode", "statement"),
        (
            "statement",
            "INSERT INTO t (id, mood, name) VALUES (:id, :mood, :name)",
        ),
    ],
];

#[tokio::test]
async fn each_transaction_may_run_on_another_server_process() {
    for keys in MODES {
        let mut database = Database::new(Server::Postgres, keys).await;
        // a type that the driver has to look up
        database
            .run(
                "CREATE TYPE mood AS ENUM ('sad', 'well'); \
                 CREATE TABLE t (id INT PRIMARY KEY, mood mood, name TEXT)",
            )
            .await;
        if keys[0].1 == "update" {
            database
                .run("INSERT INTO t SELECT g, 'sad', 'old' FROM generate_series(1, 40) g")
                .await;
        }
        let port = pooler::start(database.port(), PoolMode::Transaction).await;
        let url = database.url_at(port);
        let pooled = [
            ("connection.url", url.as_str()),
            ("auto.evolve", "true"),
            ("topics", "t"),
        ];
        let mut report = ConfigReport::default();
        JdbcSink.probe(&database.config(&pooled), &mut report).await;
        assert!(report.errors.is_empty(), "{keys:?}: {:?}", report.errors);
        let topic = Topic::new("t");
        let mut task = database.open(&topic, false, &pooled).await;
        let mut fields = vec![
            int("id"),
            field("mood", Schema::of(SchemaType::String)),
            field("name", Schema::of(SchemaType::String)),
        ];
        for batch in 0..4 {
            if batch == 2 && keys[0].1 != "statement" {
                fields.push(optional("more", SchemaType::Int32));
            }
            let row = |n: i32| {
                let values = [Value::I32(n), t("well"), t("new"), Value::I32(n)];
                topic.record(Datum::NONE, structure(&fields, &values[..fields.len()]))
            };
            let records: Vec<_> = (1..=10).map(|n| row(batch * 10 + n)).collect();
            task.put(&records, &topic.next())
                .await
                .unwrap_or_else(|error| panic!("{keys:?}: {error}"));
        }
        task.close().await;
        let rows = database
            .rows("SELECT count(*), count(DISTINCT id) FROM t WHERE mood = 'well' AND name = 'new'")
            .await;
        assert_eq!(rows, ["40|40"], "{keys:?}");
    }
}

#[tokio::test]
async fn a_pooler_without_transactions_is_refused_at_once() {
    let database = Database::new(Server::Postgres, &[]).await;
    let port = pooler::start(database.port(), PoolMode::Statement).await;
    let url = database.url_at(port);
    let config = database.config(&[("connection.url", url.as_str()), ("topics", "t")]);
    let mut report = ConfigReport::default();
    JdbcSink.probe(&config, &mut report).await;
    let text = format!("{:?}", report.errors);
    assert!(text.contains("pool_mode=statement"), "{text}");
    let Err(error) = JdbcSink.open(&config, false).await else {
        panic!("it started")
    };
    assert!(
        error.kind() == ErrorKind::Config && error.message().contains("pool_mode=transaction"),
        "{error}"
    );
}

/// Its number would be that of a server process that works for other clients a moment later.
#[tokio::test]
async fn no_owner_behind_a_pooler_leaves_a_number_by_which_another_would_be_ended() {
    let mut database = Database::new(Server::Postgres, &[]).await;
    database.run("CREATE TABLE t (id INT)").await;
    let port = pooler::start(database.port(), PoolMode::Transaction).await;
    let url = database.url_at(port);
    let topic = Topic::new("t");
    let mut task = database
        .open(&topic, false, &[("connection.url", url.as_str())])
        .await;
    let numbers = "SELECT count(*), count(session_id) FROM rowferry_offsets";
    assert_eq!(database.rows(numbers).await, ["1|0"]);
    let record = topic.value(&[int("id")], [Value::I32(1)]);
    task.put(&[record], &topic.next()).await.unwrap();
    assert_eq!(database.rows(numbers).await, ["1|0"]);
    task.close().await;
    let task = database.open(&topic, false, &[]).await;
    assert_eq!(database.rows(numbers).await, ["1|1"]);
    task.close().await;
}
