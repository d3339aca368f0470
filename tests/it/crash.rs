//! Sudden deaths: of the worker, of the database, of the broker. Nothing is lost and nothing comes twice.
//!
//! The sinks insert without a key, so a row delivered twice shows as two rows.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Kafka, MariaDb, Random, Rowferry, Settings, Topics, for_condition, rows_sql};

use crate::lab;
use crate::pipeline::Pipeline;

const LONG: Duration = Duration::from_secs(180);

#[tokio::test]
async fn ten_kills_of_the_worker_lose_and_double_nothing() {
    const KILLS: u64 = 10;
    const ROWS_A_KILL: u64 = 15_000;
    let mut random = Random::new();
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), quick_rejoin("killed", lab().kafka().brokers()));
    let (pipeline, mut connection) = Pipeline::new(server, "kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    let sink = json!({"insert.mode": "insert", "pk.mode": "none", "batch.size": "500"});
    pipeline.create(worker.rest(), server, json!({"batch.max.rows": "500"}), sink).await;

    let mut arrived_before = 0;
    for kill in 0..KILLS {
        run(&mut connection, &rows_sql::fill("t", kill * ROWS_A_KILL + 1, (kill + 1) * ROWS_A_KILL)).await;
        // Rows are on their way in both directions once the first of them have arrived.
        let wanted = arrived_before + 1 + random.below(ROWS_A_KILL / 3) as i64;
        pipeline.wait_arrived(&mut connection, wanted, LONG).await;
        worker.kill();
        arrived_before = pipeline.arrived(&mut connection).await;
        worker.restart();
    }
    let rows = (KILLS * ROWS_A_KILL) as i64;
    pipeline.wait_arrived(&mut connection, rows, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, rows);
    assert_once_in_topic(&lab().kafka().topics(), &pipeline.topic(), rows);
}

#[tokio::test]
async fn a_frozen_worker_goes_on_where_it_stood() {
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), quick_rejoin("frozen", lab().kafka().brokers()));
    let (pipeline, mut connection) = Pipeline::new(server, "freeze", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 40_000)).await;
    pipeline.create(worker.rest(), server, json!({"batch.max.rows": "500"}), json!({"batch.size": "500"})).await;
    pipeline.wait_arrived(&mut connection, 1_000, LONG).await;
    worker.freeze();
    tokio::time::sleep(Duration::from_secs(8)).await; // longer than the consumer's session
    worker.thaw();
    pipeline.wait_arrived(&mut connection, 40_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 40_000);
}

#[tokio::test]
async fn deaths_of_the_database_are_ridden_out() {
    let server = MariaDb::start(lab().scratch(), "mariadb-killed");
    let worker = Rowferry::start(lab().scratch(), quick_rejoin("database-killed", lab().kafka().brokers()));
    let (pipeline, mut connection) = Pipeline::new(&server, "db_kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 60_000)).await;
    pipeline.create(worker.rest(), &server, json!({"batch.max.rows": "500"}), json!({"batch.size": "500"})).await;
    for death in 1..=2 {
        pipeline.wait_arrived(&mut connection, death * 5_000, LONG).await;
        server.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.restart();
        connection = server.connect(&pipeline.name).await;
    }
    pipeline.wait_arrived(&mut connection, 60_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 60_000);
    assert_runs(&worker, &pipeline).await;
}

#[tokio::test]
async fn deaths_of_the_broker_are_ridden_out() {
    let server = lab().mariadb();
    let broker = Kafka::start(lab().scratch(), "kafka-killed");
    let worker = Rowferry::start(lab().scratch(), quick_rejoin("broker-killed", broker.brokers()));
    let (pipeline, mut connection) = Pipeline::new(server, "broker_kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 60_000)).await;
    pipeline.create(worker.rest(), server, json!({"batch.max.rows": "500"}), json!({"batch.size": "500"})).await;
    for death in 1..=2 {
        pipeline.wait_arrived(&mut connection, death * 5_000, LONG).await;
        broker.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.restart();
    }
    run(&mut connection, &rows_sql::fill("t", 60_001, 61_000)).await;
    pipeline.wait_arrived(&mut connection, 61_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 61_000);
    assert_once_in_topic(&broker.topics(), &pipeline.topic(), 61_000);
    assert_runs(&worker, &pipeline).await;
}

#[tokio::test]
async fn a_clean_stop_in_the_middle_is_quick_and_loses_nothing() {
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), quick_rejoin("stopped", lab().kafka().brokers()));
    let (pipeline, mut connection) = Pipeline::new(server, "stop", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 40_000)).await;
    pipeline.create(worker.rest(), server, json!({"batch.max.rows": "500"}), json!({"batch.size": "500"})).await;
    pipeline.wait_arrived(&mut connection, 2_000, LONG).await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
    worker.restart();
    pipeline.wait_arrived(&mut connection, 40_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 40_000);
}

/// A worker whose consumers are declared dead soon after a kill.
fn quick_rejoin(name: &str, brokers: String) -> Settings {
    Settings::serve(name, brokers)
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500")
}

/// Each row is in the topic once, as a reader of committed records sees it.
fn assert_once_in_topic(topics: &Topics, topic: &str, rows: i64) {
    let (mut records, mut keys) = (0, HashSet::new());
    topics.each(topic, |entry| {
        records += 1;
        keys.insert(entry.key);
    });
    assert_eq!((records, keys.len() as i64), (rows, rows), "records and distinct keys of {topic}");
}

/// Both connectors run, without a human's help.
async fn assert_runs(worker: &Rowferry, pipeline: &Pipeline) {
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        worker.rest().wait_state(&name, "RUNNING", LONG).await;
    }
    for_condition("health", LONG, async || worker.rest().get("/health").await.status == 200).await;
}
