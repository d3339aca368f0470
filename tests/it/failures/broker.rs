//! A broker that is away, and topics that are deleted while they are used.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{Kafka, Rowferry, Usage, for_condition, rows_sql, unique};

use super::Writing;
use crate::crash::{LONG, assert_once_in_topic, assert_runs, quick_rejoin};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// Most resident memory of a worker that reads a table whose rows it cannot hand on.
const MEMORY: u64 = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_fails_no_task_and_fills_no_memory() {
    const ROWS: i64 = 150_000;
    let (server, broker) = (lab().mariadb(), Kafka::start(lab().scratch(), "kafka-away"));
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("broker-away", broker.brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "away", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, ROWS as u64)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({}),
            json!({"insert.mode": "insert", "pk.mode": "none"}),
        )
        .await;
    for death in 1..=2 {
        pipeline
            .wait_arrived(&mut connection, death * 5_000, LONG)
            .await;
        broker.kill();
        let end = std::time::Instant::now() + Duration::from_secs(8);
        while std::time::Instant::now() < end {
            for name in [pipeline.source_name(), pipeline.sink_name()] {
                let status = worker
                    .rest()
                    .get(&format!("/connectors/{name}/status"))
                    .await
                    .expect(200)
                    .body;
                assert_eq!(status["tasks"][0]["state"], "RUNNING", "{status}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        tokio::task::block_in_place(|| broker.restart());
    }
    pipeline.wait_arrived(&mut connection, ROWS, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, ROWS);
    assert_once_in_topic(&broker.topics(), &pipeline.topic(), ROWS);
    assert_runs(&worker, &pipeline).await;
    let peak = Usage::of(worker.pid()).peak;
    assert!(peak < MEMORY, "{} MiB resident", peak >> 20);
}

/// Closing consumers and producers waits for a broker that does not come: within limits.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_ends_in_good_order_while_its_broker_is_away_and_loses_nothing() {
    let (server, broker) = (lab().mariadb(), Kafka::start(lab().scratch(), "kafka-gone"));
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("broker-gone", broker.brokers()),
    );
    let (pipeline, connection) = Pipeline::new(server, "gone", "t").await;
    let mut own = server.connect(&pipeline.name).await;
    let writing = Writing::start(connection).await;
    let sink = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink,
        )
        .await;
    for _ in 0..3 {
        let arrived = pipeline.arrived(&mut own).await;
        pipeline.wait_arrived(&mut own, arrived + 100, LONG).await;
        broker.kill();
        assert_eq!(
            tokio::task::block_in_place(|| worker.stop(Duration::from_secs(35))),
            Some(0)
        );
        tokio::task::block_in_place(|| broker.restart());
        worker.restart();
    }
    let rows = writing.rows().await;
    pipeline.wait_arrived(&mut own, rows, LONG).await;
    assert_eq!(pipeline.assert_same(&mut own).await, rows);
    assert_once_in_topic(&broker.topics(), &pipeline.topic(), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_topic_is_deleted_and_made_again_says_so_and_skips_nothing() {
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let (topic, name) = (unique("remade"), unique("remade-sink"));
    let mut connection = server.create_database(&name.replace('-', "_")).await;
    run(&mut connection, "CREATE TABLE t (id INT)").await;
    topics.create(&topic, 1).await;
    let produce = |ids: std::ops::Range<i32>| {
        let records: Vec<String> = ids.map(|id| json!({"id": id}).to_string()).collect();
        topics.produce(
            &topic,
            &records
                .iter()
                .map(|record| (None, Some(record.as_str())))
                .collect::<Vec<_>>(),
        );
    };
    produce(0..50);
    let config = json!({
        "connector.class": "JdbcSinkConnector", "connection.url": server.jdbc_url(&name.replace('-', "_")),
        "connection.user": testkit::MariaDb::USER, "connection.password": testkit::MariaDb::PASSWORD, "topics": topic,
        "table.name.format": "t", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    });
    let rest = lab().worker().rest();
    rest.create(&name, &config).await;
    let rows = "SELECT COUNT(*) FROM t";
    for_condition("the first rows", SOON, async || {
        count(&mut connection, rows).await == 50
    })
    .await;
    topics.delete(&topic).await;
    for_condition("the topic's end", SOON, async || {
        topics.committed_end(&topic)() == 0
    })
    .await;
    topics.create(&topic, 1).await;
    produce(100..110);
    let status = rest.wait_state(&name, "FAILED", LONG).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert!(
        trace.contains(&topic) && trace.contains("offset"),
        "{trace}"
    );
    assert_eq!(
        count(&mut connection, rows).await,
        50,
        "nothing was read from the start in silence"
    );
    rest.remove(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_topic_is_deleted_makes_it_again_or_fails_with_its_name() {
    let (server, topics, rest) = (
        lab().mariadb(),
        lab().kafka().topics(),
        lab().worker().rest(),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "deleted", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1), (2)",
    )
    .await;
    rest.create(&pipeline.source_name(), &pipeline.source(server, json!({})))
        .await;
    topics.wait_for(&pipeline.topic(), 2, SOON).await;
    topics.delete(&pipeline.topic()).await;
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    let path = format!("/connectors/{}/status", pipeline.source_name());
    for_condition(
        "the row in a topic made again, or a word about it",
        LONG,
        async || {
            let task = rest.get(&path).await.body["tasks"][0].take();
            let failed = task["trace"]
                .as_str()
                .is_some_and(|trace| trace.contains(&pipeline.topic()));
            failed
                || (topics.exists(&pipeline.topic()) && topics.read(&pipeline.topic()).len() == 1)
        },
    )
    .await;
    rest.remove(&pipeline.source_name()).await;
}

#[tokio::test]
async fn a_topic_that_the_broker_refuses_to_create_names_the_keys_and_the_setting() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    for (key, value, said) in [
        (
            "topic.creation.default.cleanup.policy",
            "sometimes",
            "The broker refuses its setting cleanup.policy.",
        ),
        (
            "topic.creation.default.replication.factor",
            "9",
            "replication factor: 9",
        ),
    ] {
        let (pipeline, mut connection) = Pipeline::new(server, "refused-topic", "t").await;
        run(
            &mut connection,
            "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1)",
        )
        .await;
        let mut keys = json!({
            "topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
            "topic.creation.default.retention.ms": "1000",
        });
        keys[key] = json!(value);
        let source = pipeline.source(server, keys);
        rest.create(&pipeline.source_name(), &source)
            .await
            .expect(201);
        let status = rest
            .wait_state(&pipeline.source_name(), "FAILED", SOON)
            .await;
        let trace = status["tasks"][0]["trace"].as_str().unwrap_or_default();
        for part in [
            said,
            key.rsplit_once("default").unwrap().0,
            &pipeline.topic(),
        ] {
            assert!(trace.contains(part), "no {part:?} in {trace}");
        }
        assert!(!trace.contains("setting retention.ms"), "{trace}");
        rest.remove(&pipeline.source_name()).await;
    }
}
