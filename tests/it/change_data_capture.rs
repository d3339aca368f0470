//! `mode=cdc` from table to table over a worker and Kafka, while the worker is killed.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::mariadb::{run, texts};
use testkit::{MariaDb, Random, Rowferry, Settings, for_condition, unique};

use crate::lab;

const LONG: Duration = Duration::from_secs(180);

/// Writes transactions with inserts, updates and deletes, of which some are rolled back; each version of a row has a
/// number of its own.
async fn write(server: &MariaDb, database: &str, writer: u64, transactions: u64) {
    let mut random = Random::new();
    let mut connection = server.connect(database).await;
    let mut version = (writer + 1) * 1_000_000_000;
    for _ in 0..transactions {
        let mut sql = "START TRANSACTION;".to_owned();
        for _ in 0..random.below(4) + 1 {
            version += 1;
            // each writer has rows of its own, so that none waits for another
            let id = random.below(1000) * 4 + writer % 4;
            sql += &match random.below(4) {
                0 => format!("DELETE FROM t WHERE id = {id};"),
                1 => format!("UPDATE t SET n = {version} WHERE id = {id};"),
                _ => format!(
                    "REPLACE INTO t VALUES ({id}, {version}, REPEAT('x', {}));",
                    random.below(300)
                ),
            };
        }
        sql += if random.below(8) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        run(&mut connection, &sql).await;
    }
}

#[tokio::test]
async fn every_change_reaches_the_copy_once_although_the_worker_is_killed() {
    kill_often(4, 300).await;
}

#[tokio::test]
#[ignore = "minutes: 20 kills"]
async fn every_change_reaches_the_copy_once_although_the_worker_is_killed_20_times() {
    kill_often(20, 3000).await;
}

/// Four writers write `transactions` each, while the worker is killed `kills` times.
async fn kill_often(kills: u64, transactions: u64) {
    let server = MariaDb::start_durable(lab().scratch(), "cdc");
    let (from, to) = (unique("cdc"), unique("copy"));
    let mut source = server.create_database(&from).await;
    let mut target = server.create_database(&to).await;
    run(
        &mut source,
        "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT NOT NULL, v VARCHAR(300)); \
         INSERT INTO t SELECT seq, seq, 'before' FROM seq_1_to_3000",
    )
    .await;
    let settings = Settings::serve(&unique("cdc"), lab().kafka().brokers())
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500");
    let worker = Rowferry::start(lab().scratch(), settings);
    let topic = format!("{from}-t");
    let connection =
        json!({"connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD});
    let with = |other: serde_json::Value| {
        let mut config = connection.clone();
        let (config_of, other) = (config.as_object_mut().unwrap(), other);
        config_of.extend(other.as_object().unwrap().clone());
        config
    };
    let capture = with(json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": server.jdbc_url(&from),
        "mode": "cdc", "table.whitelist": "t", "topic.prefix": format!("{from}-"), "batch.max.rows": "100",
        "transaction.boundary": "poll",
    }));
    let copy = with(json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": server.jdbc_url(&to),
        "topics": topic, "insert.mode": "upsert", "pk.mode": "record_key", "pk.fields": "id", "delete.enabled": "true",
        "table.name.format": "t",
    }));
    worker
        .rest()
        .create(&format!("{from}-source"), &capture)
        .await;
    worker.rest().create(&format!("{from}-sink"), &copy).await;
    let topics = lab().kafka().topics();
    let emitted = || {
        let mut count = 0;
        topics.each(&topic, |_| count += 1);
        count
    };
    for_condition("the topic", LONG, async || topics.exists(&topic)).await;
    for part in 0..kills {
        let before = emitted();
        let killing = async {
            for_condition("records of this part", LONG, async || emitted() > before).await;
            worker.kill();
            worker.restart();
        };
        let writers =
            (0..4).map(|writer| write(&server, &from, writer + 4 * part, transactions / kills));
        tokio::join!(killing, join_all(writers));
    }
    let rows = "SELECT id, n, v FROM t ORDER BY id";
    let want = texts(&mut source, rows).await;
    for_condition("the copy is the table", LONG, async || {
        let there = "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 't' AND table_schema = DATABASE()";
        texts(&mut target, there).await[0][0].as_deref() == Some("1") && texts(&mut target, rows).await == want
    })
    .await;
    let mut versions = HashSet::new();
    lab().kafka().topics().each(&topic, |entry| {
        if entry.value.is_some() {
            let version = entry.json()["payload"]["n"].as_i64().unwrap();
            assert!(versions.insert(version), "version {version} is there twice");
        }
    });
    assert!(versions.len() >= 3000);
    worker.rest().remove(&format!("{from}-source")).await;
    worker.rest().remove(&format!("{from}-sink")).await;
}
