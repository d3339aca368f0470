//! Sudden deaths: of the worker, of the database, of the broker. Nothing is lost and nothing comes twice.
//!
//! The sinks insert without a key, so a row delivered twice shows as two rows.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{
    Kafka, MariaDb, Random, Rowferry, Settings, Topics, for_condition, rows_sql, unique,
};

use crate::examples::{config as example_config, example};
use crate::lab;
use crate::pipeline::Pipeline;

pub(crate) const LONG: Duration = Duration::from_secs(180);

#[tokio::test]
async fn ten_kills_of_the_worker_lose_and_double_nothing() {
    const KILLS: u64 = 10;
    const ROWS_A_KILL: u64 = 15_000;
    let mut random = Random::new();
    let server = lab().mariadb();
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("killed", lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    let sink = json!({"insert.mode": "insert", "pk.mode": "none", "batch.size": "500"});
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "500"}),
            sink,
        )
        .await;

    let mut arrived_before = 0;
    for kill in 0..KILLS {
        run(
            &mut connection,
            &rows_sql::fill("t", kill * ROWS_A_KILL + 1, (kill + 1) * ROWS_A_KILL),
        )
        .await;
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

/// Each order of the example takes its quantity out of the stock: nothing but exactly once gives the right numbers.
#[tokio::test]
async fn ten_kills_of_the_worker_leave_the_stock_of_the_example_exact() {
    const ORDERS: usize = 30_000;
    let mut random = Random::new();
    let (server, topics, name) = (lab().mariadb(), lab().kafka().topics(), unique("stock"));
    let mut connection = server.connect("mysql").await;
    run(
        &mut connection,
        &example("stock/schema.sql").replace("warehouse", &name),
    )
    .await;
    let stock = format!("SELECT CAST(qty AS SIGNED) FROM {name}.stock WHERE product_id = ");
    let mut left = [0; 3];
    for (n, left) in left.iter_mut().enumerate() {
        *left = count(&mut connection, &format!("{stock}{}", n + 1)).await;
    }
    let sum = format!("SELECT CAST(SUM(qty) AS SIGNED) FROM {name}.stock");
    let full = count(&mut connection, &sum).await;
    let orders: Vec<String> = (0..ORDERS)
        .map(|n| {
            let qty = random.below(9) as i64 + 1;
            left[n % 3] -= qty;
            json!({"product_id": n % 3 + 1, "qty": qty}).to_string()
        })
        .collect();
    let sold = full - left.iter().sum::<i64>();
    topics.create(&name, 1).await;
    topics.produce(
        &name,
        &orders
            .iter()
            .map(|order| (None, Some(order.as_str())))
            .collect::<Vec<_>>(),
    );
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("stock", lab().kafka().brokers()),
    );
    let mut config = example_config(server, "stock/stock-sink.json")["config"].take();
    config["connection.url"] = json!(server.jdbc_url(&name));
    config["topics"] = json!(name);
    config["consumer.override.max.poll.records"] = json!("500");
    worker.rest().create(&name, &config).await;
    for kill in 1..=10 {
        let wanted = full - kill * sold / 12 - random.below(2000) as i64;
        for_condition("orders to be done", LONG, async || {
            count(&mut connection, &sum).await <= wanted
        })
        .await;
        worker.kill();
        worker.restart();
    }
    for_condition("all orders", LONG, async || {
        count(&mut connection, &sum).await <= full - sold
    })
    .await;
    for (n, left) in left.iter().enumerate() {
        assert_eq!(
            count(&mut connection, &format!("{stock}{}", n + 1)).await,
            *left,
            "product {}",
            n + 1
        );
    }
}

/// MariaDB holds back every commit, and the worker dies while it waits for its own.
#[tokio::test]
async fn a_dead_letter_is_stored_before_the_offset_passes_its_record() {
    let (server, topics) = (
        MariaDb::start(lab().scratch(), "mariadb-blocked"),
        lab().kafka().topics(),
    );
    let (topic, dead) = (unique("letters"), unique("dead"));
    let mut connection = server.create_database("letters").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(5))",
    )
    .await;
    topics.create(&topic, 1).await;
    let record = |id: i32, name: &str| json!({"id": id, "name": name}).to_string();
    let produce = |records: &[String]| {
        topics.produce(
            &topic,
            &records
                .iter()
                .map(|record| (None, Some(record.as_str())))
                .collect::<Vec<_>>(),
        );
    };
    produce(&[record(1, "fits")]);
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("letters", lab().kafka().brokers()),
    );
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "connection.url": server.jdbc_url("letters"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "topics": topic, "table.name.format": "t",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
        "errors.tolerance": "all", "errors.deadletterqueue.topic.name": dead,
        "errors.deadletterqueue.topic.replication.factor": "1",
    });
    worker.rest().create(&topic, &config).await;
    let rows = "SELECT COUNT(*) FROM t";
    for_condition("the first row", LONG, async || {
        count(&mut connection, rows).await == 1
    })
    .await;
    let mut blocker = server.connect("letters").await;
    run(
        &mut blocker,
        "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT",
    )
    .await;
    produce(&[record(2, "much too long"), record(3, "fits")]);
    topics.wait_for(&dead, 1, LONG).await;
    worker.kill();
    run(&mut blocker, "BACKUP STAGE END").await;
    worker.restart();
    for_condition("the row behind the letter", LONG, async || {
        count(&mut connection, rows).await == 2
    })
    .await;
    let letters = topics.read(&dead);
    assert!((1..=2).contains(&letters.len()), "{letters:?}");
    assert!(
        letters
            .iter()
            .all(|letter| letter.text().contains("much too long")),
        "{letters:?}"
    );
}

/// Another worker takes over the partitions of a frozen one; that one then resumes, and both go on.
#[tokio::test]
async fn a_frozen_worker_whose_partitions_were_taken_over_writes_nothing_more() {
    let server = lab().mariadb();
    let settings = |name: &str| quick_rejoin(name, lab().kafka().brokers());
    let first = Rowferry::start(lab().scratch(), settings("taken-over"));
    let second = Rowferry::start(lab().scratch(), settings("taking-over"));
    let (pipeline, mut connection) = Pipeline::new(server, "takeover", "t").await;
    let fill = rows_sql::fill("t", 1, 60_000);
    run(
        &mut connection,
        &format!("{};{fill}", rows_sql::create("t")),
    )
    .await;
    let sink = json!({"insert.mode": "insert", "pk.mode": "none", "consumer.override.max.poll.records": "200"});
    let sink = pipeline.sink(server, sink);
    first
        .rest()
        .create(&pipeline.source_name(), &pipeline.source(server, json!({})))
        .await;
    let (topics, topic) = (lab().kafka().topics(), pipeline.topic());
    let end = topics.committed_end(&topic);
    for_condition("all rows in the topic", LONG, async || end() >= 60_000).await;
    first.rest().create(&pipeline.sink_name(), &sink).await;
    pipeline.wait_arrived(&mut connection, 2_000, LONG).await;
    first.freeze();
    second.rest().create(&pipeline.sink_name(), &sink).await;
    let arrived = pipeline.arrived(&mut connection).await;
    pipeline
        .wait_arrived(&mut connection, arrived + 2_000, LONG)
        .await;
    first.thaw();
    pipeline.wait_arrived(&mut connection, 60_000, LONG).await;
    run(&mut connection, &rows_sql::fill("t", 60_001, 61_000)).await;
    pipeline.wait_arrived(&mut connection, 61_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 61_000);
    for worker in [&first, &second] {
        worker
            .rest()
            .wait_state(&pipeline.sink_name(), "RUNNING", LONG)
            .await;
    }
}

#[tokio::test]
async fn a_frozen_worker_continues_where_it_was() {
    let server = lab().mariadb();
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("frozen", lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "freeze", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 40_000)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "500"}),
            json!({"batch.size": "500"}),
        )
        .await;
    pipeline.wait_arrived(&mut connection, 1_000, LONG).await;
    worker.freeze();
    tokio::time::sleep(Duration::from_secs(8)).await; // longer than the consumer's session
    worker.thaw();
    pipeline.wait_arrived(&mut connection, 40_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 40_000);
}

#[tokio::test]
async fn tasks_survive_crashes_of_the_database() {
    let server = MariaDb::start(lab().scratch(), "mariadb-killed");
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("database-killed", lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(&server, "db_kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 60_000)).await;
    pipeline
        .create(
            worker.rest(),
            &server,
            json!({"batch.max.rows": "500"}),
            json!({"batch.size": "500"}),
        )
        .await;
    for death in 1..=2 {
        pipeline
            .wait_arrived(&mut connection, death * 5_000, LONG)
            .await;
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
async fn tasks_survive_crashes_of_the_broker() {
    let server = lab().mariadb();
    let broker = Kafka::start(lab().scratch(), "kafka-killed");
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("broker-killed", broker.brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "broker_kill", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 60_000)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "500"}),
            json!({"batch.size": "500"}),
        )
        .await;
    for death in 1..=2 {
        pipeline
            .wait_arrived(&mut connection, death * 5_000, LONG)
            .await;
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
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin("stopped", lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "stop", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 40_000)).await;
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "500"}),
            json!({"batch.size": "500"}),
        )
        .await;
    pipeline.wait_arrived(&mut connection, 2_000, LONG).await;
    assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
    worker.restart();
    pipeline.wait_arrived(&mut connection, 40_000, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 40_000);
}

/// A worker whose consumers are declared dead soon after a kill.
pub(crate) fn quick_rejoin(name: &str, brokers: String) -> Settings {
    Settings::serve(name, brokers)
        .with("consumer.session.timeout.ms", "3000")
        .with("consumer.heartbeat.interval.ms", "500")
}

/// Each row is in the topic once, as a reader of committed records sees it.
pub(crate) fn assert_once_in_topic(topics: &Topics, topic: &str, rows: i64) {
    let (mut records, mut keys) = (0, HashSet::new());
    topics.each(topic, |entry| {
        records += 1;
        keys.insert(entry.key);
    });
    assert_eq!(
        (records, keys.len() as i64),
        (rows, rows),
        "records and distinct keys of {topic}"
    );
}

/// Both connectors run, without a human's help.
pub(crate) async fn assert_runs(worker: &Rowferry, pipeline: &Pipeline) {
    for name in [pipeline.source_name(), pipeline.sink_name()] {
        worker.rest().wait_state(&name, "RUNNING", LONG).await;
    }
    for_condition("health", LONG, async || {
        worker.rest().get("/health").await.status == 200
    })
    .await;
}
