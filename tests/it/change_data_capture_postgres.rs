//! `mode=cdc` of PostgreSQL over a worker and Kafka, while the worker is killed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use testkit::postgres::texts;
use testkit::{Postgres, Random, Rowferry, Settings, for_condition, unique};

use crate::lab;

const LONG: Duration = Duration::from_secs(180);

async fn run(connection: &mut PgConnection, sql: &str) {
    let sent = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    sent.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Writes transactions with inserts, updates and deletes, of which some are rolled back; each version of a row has a
/// number of its own.
async fn write(server: &Postgres, database: &str, writer: u64, transactions: u64) {
    let mut random = Random::new();
    let mut connection = server.connect(database).await;
    let mut version = (writer + 1) * 1_000_000_000;
    for _ in 0..transactions {
        let mut sql = "BEGIN;".to_owned();
        for _ in 0..random.below(4) + 1 {
            version += 1;
            // each writer has rows of its own, so that none waits for another
            let id = random.below(1000) * 4 + writer % 4;
            let long = random.below(300);
            sql += &match random.below(4) {
                0 => format!("DELETE FROM t WHERE id = {id};"),
                1 => format!("UPDATE t SET n = {version} WHERE id = {id};"),
                _ => format!(
                    "INSERT INTO t VALUES ({id}, {version}, repeat('x', {long})) \
                     ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v;"
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
async fn every_change_reaches_the_topic_once_although_the_worker_is_killed() {
    const KILLS: u64 = 4;
    const TRANSACTIONS: u64 = 300;
    let server = lab().postgres();
    let from = unique("cdc").replace('-', "_");
    let mut source = server.create_database(&from).await;
    run(
        &mut source,
        "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT NOT NULL, v VARCHAR(300)); \
         INSERT INTO t SELECT n, n, 'before' FROM generate_series(1, 3000) n",
    )
    .await;
    let settings = Settings::serve(&unique("cdc"), lab().kafka().brokers())
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500");
    let worker = Rowferry::start(lab().scratch(), settings);
    let topic = format!("{from}-t");
    let name = format!("{from}-source");
    let capture = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector", "connection.url": server.jdbc_url(&from),
        "connection.user": Postgres::USER, "connection.password": Postgres::PASSWORD, "mode": "cdc",
        "table.whitelist": "t", "topic.prefix": format!("{from}-"), "batch.max.rows": "100",
        "transaction.boundary": "poll", "slot.name": from,
    });
    worker.rest().create(&name, &capture).await;
    let topics = lab().kafka().topics();
    let emitted = || {
        let mut count = 0;
        topics.each(&topic, |_| count += 1);
        count
    };
    for_condition("the topic", LONG, async || topics.exists(&topic)).await;
    for part in 0..KILLS {
        let before = emitted();
        let killing = async {
            for_condition("records of this part", LONG, async || emitted() > before).await;
            worker.kill();
            worker.restart();
        };
        let writers =
            (0..4).map(|writer| write(server, &from, writer + 4 * part, TRANSACTIONS / KILLS));
        tokio::join!(killing, join_all(writers));
    }
    let rows = texts(&mut source, "SELECT id::text, n::text FROM t").await;
    let want: BTreeMap<i64, i64> = rows
        .iter()
        .map(|row| {
            let number = |n: usize| row[n].as_deref().unwrap().parse().unwrap();
            (number(0), number(1))
        })
        .collect();
    for_condition("the topic has the table's rows", LONG, async || {
        let mut got = BTreeMap::new();
        topics.each(&topic, |entry| {
            let key: serde_json::Value =
                serde_json::from_slice(entry.key.as_deref().unwrap()).unwrap();
            let key = key["payload"]["id"].as_i64().unwrap();
            if entry.value.is_some() {
                got.insert(key, entry.json()["payload"]["n"].as_i64().unwrap());
            } else {
                got.remove(&key);
            }
        });
        got == want
    })
    .await;
    let mut versions = HashSet::new();
    topics.each(&topic, |entry| {
        if entry.value.is_some() {
            let version = entry.json()["payload"]["n"].as_i64().unwrap();
            assert!(versions.insert(version), "version {version} is there twice");
        }
    });
    assert!(versions.len() >= 3000);
    worker.rest().remove(&name).await;
    // the slot stays until somebody drops it
    let sql = format!("SELECT active::text FROM pg_replication_slots WHERE slot_name = '{from}'");
    for_condition("a slot that nobody reads", LONG, async || {
        texts(&mut source, &sql).await == [[Some("false".to_owned())]]
    })
    .await;
    run(
        &mut source,
        &format!("SELECT pg_drop_replication_slot('{from}')"),
    )
    .await;
}
