//! `rowferry dev`: the broker inside the process.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Settings, for_condition, rows_sql, unique};

use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// Each record is about 1.4 kB with its schema, so this is hundreds of times what the broker keeps of a partition.
#[tokio::test]
async fn a_million_rows_go_through_the_small_broker_whole() {
    const ROWS: i64 = 1_000_000;
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), Settings::dev("dev"));
    let (pipeline, mut connection) = Pipeline::new(server, "dev", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, ROWS as u64)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "1000"}),
            json!({}),
        )
        .await;
    pipeline
        .wait_arrived(&mut connection, ROWS, Duration::from_secs(400))
        .await;
    assert_eq!(pipeline.assert_same(&mut connection).await, ROWS);
    run(
        &mut connection,
        "INSERT INTO t SELECT id + 1000000, customer, name, email, amount, quantity, rate, active, born, \
        created, note FROM t WHERE id <= 10",
    )
    .await;
    pipeline
        .wait_arrived(&mut connection, ROWS + 10, Duration::from_secs(60))
        .await;
}

#[tokio::test]
async fn dev_is_ready_in_a_second_and_stops_cleanly() {
    let start = Instant::now();
    let worker = Rowferry::start(lab().scratch(), Settings::dev("dev-quick"));
    let ready = start.elapsed();
    assert!(ready < Duration::from_secs(2), "ready after {ready:?}");
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
}

/// Clients of Kafka are still being closed when the process ends; a handler of a C library that ran at
/// its exit crashed one such stop in two hundred.
#[tokio::test]
async fn a_worker_that_is_stopped_while_tasks_start_ends_with_its_exit_code() {
    for round in 0..10 {
        let name = unique("stopped");
        let worker = Rowferry::start(lab().scratch(), Settings::dev(&name));
        let file = lab().scratch().path().join(format!("{name}.db"));
        let config = json!({"connector.class": "JdbcSink", "topics": "none", "tasks.max": "8",
            "connection.url": format!("jdbc:sqlite:{}", file.display())});
        worker.rest().create("sink", &config).await;
        if round % 2 == 0 {
            worker.rest().wait_state("sink", "RUNNING", SOON).await;
        }
        assert_eq!(worker.stop(SOON), Some(0), "round {round}");
    }
}

#[tokio::test]
async fn dev_uses_a_real_kafka_if_configured() {
    let server = lab().mariadb();
    let mut settings = Settings::dev("dev-brokers");
    settings
        .args
        .extend(["--brokers".to_owned(), lab().kafka().brokers()]);
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(server, "dev_brokers", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    .await;
    pipeline
        .create(worker.rest(), server, json!({}), json!({}))
        .await;
    pipeline.wait_same(&mut connection, crate::SOON).await;
    assert_eq!(lab().kafka().topics().read(&pipeline.topic()).len(), 1);
}

#[tokio::test]
async fn offsets_of_a_sink_can_be_set_and_reset() {
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), Settings::dev("dev-offsets"));
    let (pipeline, mut connection) = Pipeline::new(server, "dev_offsets", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)",
    )
    .await;
    let rest = worker.rest();
    pipeline
        .create(rest, server, json!({}), json!({"pk.mode": "none"}))
        .await;
    pipeline.wait_arrived(&mut connection, 3, crate::SOON).await;
    let (name, topic) = (pipeline.sink_name(), pipeline.topic());
    let path = format!("/connectors/{name}");
    let offsets = format!("{path}/offsets");
    let again = json!({"offsets": [
        {"partition": {"kafka_topic": topic, "kafka_partition": 0}, "offset": {"kafka_offset": 2}}]});
    // The last record again, and then all of them.
    for (change, rows) in [("PATCH", 4), ("DELETE", 7)] {
        rest.put_empty(&format!("{path}/stop")).await.expect(204);
        for_condition("the sink is stopped", crate::SOON, async || {
            let status = rest.get(&format!("{path}/status")).await.body;
            status["connector"]["state"] == "STOPPED" && status["tasks"] == json!([])
        })
        .await;
        let body = (change == "PATCH").then(|| ("application/json", again.to_string()));
        rest.send(change, &offsets, body).await.expect(200);
        let expected = if change == "PATCH" { 2 } else { 0 };
        let stored = rest.get(&offsets).await.expect(200).body;
        assert_eq!(
            stored["offsets"][0]["offset"]["kafka_offset"], expected,
            "{stored}"
        );
        rest.put_empty(&format!("{path}/resume")).await.expect(202);
        pipeline
            .wait_arrived(&mut connection, rows, crate::SOON)
            .await;
    }
    assert_eq!(pipeline.arrived(&mut connection).await, 7);
}
