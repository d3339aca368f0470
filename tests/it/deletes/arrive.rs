//! From table to table over a worker and Kafka: deleted rows are deleted in the copy, although the worker is killed
//! while it emits the tombstones.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testkit::{Rowferry, Settings, for_condition, unique};

use super::place::Place;
use crate::lab;
use crate::source_conformance::fixture::Server;

const LONG: Duration = Duration::from_secs(180);

/// Two rows of three are deleted; `kills` times the worker is killed when some of the deletions are in the topic.
async fn deleted_rows_leave_the_copy(server: Server, rows: usize, kills: usize) {
    let settings = Settings::serve(&unique("deletes"), lab().kafka().brokers())
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500");
    let worker = Rowferry::start(lab().scratch(), settings);
    let (mut from, mut to) = (Place::new(server).await, Place::new(server).await);
    from.run("CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR(20))")
        .await;
    let all: Vec<String> = (1..=rows).map(|id| format!("({id}, 'row {id}')")).collect();
    for rows in all.chunks(5000) {
        from.run(&format!("INSERT INTO t VALUES {}", rows.join(",")))
            .await;
    }
    let source = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": from.url,
        "connection.user": from.user, "connection.password": from.password, "mode": "incrementing",
        "incrementing.column.name": "id", "table.whitelist": "t", "topic.prefix": format!("{}-", from.name),
        "poll.interval.ms": "200", "batch.max.rows": "500", "delete.capture": "key_sweep",
        "delete.capture.interval.ms": "300", "transaction.boundary": "poll",
    });
    let topic = format!("{}-t", from.name);
    let sink = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": to.url,
        "connection.user": to.user, "connection.password": to.password, "topics": topic, "insert.mode": "upsert",
        "pk.mode": "record_key", "pk.fields": "id", "delete.enabled": "true",
    });
    worker
        .rest()
        .create(&format!("{}-source", from.name), &source)
        .await;
    worker
        .rest()
        .create(&format!("{}-sink", from.name), &sink)
        .await;
    let quote = if server == Server::Postgres { '"' } else { '`' };
    let copy = format!("{quote}{topic}{quote}");
    let there = match server {
        Server::Sqlite => "SELECT name FROM sqlite_schema".to_owned(),
        Server::MariaDb => {
            format!(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = '{}'",
                to.name
            )
        }
        Server::Postgres => "SELECT table_name::text FROM information_schema.tables".to_owned(),
    };
    let text = |column: &str| match server {
        Server::MariaDb => format!("CAST({column} AS CHAR)"),
        Server::Postgres | Server::Sqlite => format!("CAST({column} AS TEXT)"),
    };
    let count = format!("SELECT {} FROM {copy}", text("COUNT(*)"));
    for_condition("all rows in the copy", LONG, async || {
        to.column(&there).await.contains(&topic) && to.column(&count).await == [rows.to_string()]
    })
    .await;
    from.run("DELETE FROM t WHERE id % 3 <> 0").await;
    let (topics, deleted) = (lab().kafka().topics(), rows - rows / 3);
    let reported = || {
        let mut reported: BTreeMap<String, usize> = BTreeMap::new();
        topics.each(&topic, |entry| {
            if entry.value.is_none() {
                *reported.entry(entry.key_text().to_owned()).or_default() += 1;
            }
        });
        reported
    };
    for kill in 1..=kills {
        for_condition("some deletions", LONG, async || {
            reported().len() > deleted * (2 * kill - 1) / (2 * kills + 2)
        })
        .await;
        worker.kill();
        worker.restart();
    }
    for_condition("all deletions in the copy", LONG, async || {
        to.column(&count).await == [(rows / 3).to_string()]
    })
    .await;
    let ids = |table: &str| format!("SELECT {} FROM {table} ORDER BY id", text("id"));
    assert_eq!(to.column(&ids(&copy)).await, from.column(&ids("t")).await);
    let reported = reported();
    assert_eq!(
        (reported.len(), reported.values().sum::<usize>()),
        (deleted, deleted),
        "deletions, and records that tell them"
    );
    worker.rest().remove(&format!("{}-source", from.name)).await;
    worker.rest().remove(&format!("{}-sink", from.name)).await;
}

#[tokio::test]
async fn deleted_rows_leave_the_copy_once_though_the_worker_is_killed_on_mariadb() {
    deleted_rows_leave_the_copy(Server::MariaDb, 30_000, 2).await;
}

#[tokio::test]
async fn deleted_rows_leave_the_copy_once_though_the_worker_is_killed_on_postgresql() {
    deleted_rows_leave_the_copy(Server::Postgres, 30_000, 2).await;
}

#[tokio::test]
async fn deleted_rows_leave_the_copy_on_sqlite() {
    deleted_rows_leave_the_copy(Server::Sqlite, 3000, 0).await;
}
