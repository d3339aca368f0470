//! The contract that the runtime relies on, checked by `connector_api::suite` over an SQLite file.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connector_api::suite::{SinkFixture, SourceFixture, check_sink, check_source};
use connector_api::{
    Config, Datum, Field, Record, Schema, SchemaType, SinkConnector, SourceConnector,
    TopicPartition, Value, async_trait, fail_point,
};
use connector_jdbc::sink::JdbcSink;
use connector_jdbc::source::JdbcSource;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

/// A database of its own.
struct Database {
    file: PathBuf,
    topics: usize,
}

impl Database {
    fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("rowferry-{name}-{}.db", std::process::id()));
        let database = Self { file, topics: 0 };
        database.remove();
        database
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            drop(std::fs::remove_file(format!(
                "{}{suffix}",
                self.file.display()
            )));
        }
    }

    fn url(&self) -> String {
        format!("jdbc:sqlite:{}", self.file.display())
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .create_if_missing(true);
        SqliteConnection::connect_with(&options.busy_timeout(Duration::from_secs(20)))
            .await
            .unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.remove();
    }
}

#[async_trait]
impl SourceFixture for Database {
    fn source(&self) -> &dyn SourceConnector {
        &JdbcSource
    }

    fn config(&self) -> Config {
        Config::from([
            ("connection.url", &*self.url()),
            ("mode", "incrementing"),
            ("incrementing.column.name", "id"),
            ("table.whitelist", "t"),
            ("topic.prefix", "p-"),
            ("poll.interval.ms", "1"),
            ("batch.max.rows", "7"),
        ])
    }

    async fn write(&mut self, rows: Range<u64>) {
        let mut sql = self.connect().await;
        let values: Vec<_> = rows.map(|row| format!("({}, 'row')", row + 1)).collect();
        sql.execute(AssertSqlSafe(format!(
            "INSERT INTO t VALUES {}",
            values.join(", ")
        )))
        .await
        .unwrap();
        sql.close().await.unwrap();
    }

    fn row(&self, record: &Record) -> u64 {
        match &record.value.value {
            Value::Struct(row) => row[0].as_i64().unwrap().unsigned_abs() - 1,
            other => panic!("no row: {other:?}"),
        }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[async_trait]
impl SinkFixture for Database {
    fn sink(&self) -> &dyn SinkConnector {
        &JdbcSink
    }

    fn config(&self) -> Config {
        Config::from([
            ("connection.url", &*self.url()),
            ("name", "c"),
            ("task.id", "0"),
            ("task.cluster", "k"),
            ("topics", "topic-1"),
            ("insert.mode", "insert"),
            ("pk.mode", "none"),
            ("auto.create", "true"),
        ])
    }

    fn topic(&mut self) -> TopicPartition {
        self.topics += 1;
        TopicPartition {
            topic: format!("topic-{}", self.topics).into(),
            partition: 3,
        }
    }

    fn record(&self, at: &TopicPartition, number: i64) -> Record {
        let field = Field {
            name: "number".into(),
            schema: Arc::new(Schema::of(SchemaType::Int64)),
        };
        let schema = Schema {
            fields: [field].into(),
            ..Schema::of(SchemaType::Struct)
        };
        Record {
            topic: at.topic.clone(),
            partition: Some(at.partition),
            key: Datum::NONE,
            value: Datum::new(Arc::new(schema), Value::Struct([Value::I64(number)].into())),
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }

    async fn written(&mut self, at: &TopicPartition) -> Vec<i64> {
        let mut sql = self.connect().await;
        let there = format!(
            "SELECT COUNT(*) FROM sqlite_master WHERE name = '{}'",
            at.topic
        );
        let there: i64 = sql.fetch_one(AssertSqlSafe(there)).await.unwrap().get(0);
        let mut numbers = Vec::new();
        if there > 0 {
            let all = format!("SELECT number FROM \"{}\" ORDER BY number", at.topic);
            numbers.extend(
                sql.fetch_all(AssertSqlSafe(all))
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| row.get::<i64, _>(0)),
            );
        }
        sql.close().await.unwrap();
        numbers
    }

    fn lose_the_answer_to_the_next_commit(&mut self) {
        fail_point::configure("database.after-commit", "1*return(the answer is lost)").unwrap();
    }
}

/// One after the other: fail points are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn the_connectors_keep_the_contract() {
    let mut database = Database::new("source-contract");
    let mut sql = database.connect().await;
    sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        .await
        .unwrap();
    sql.close().await.unwrap();
    check_source(&mut database).await;
    check_sink(&mut Database::new("sink-contract")).await;
}
