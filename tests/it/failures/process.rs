//! Workers that end in good order, that are frozen, that are two by mistake, and that die in the middle of a transaction.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{Rowferry, Settings, for_condition, rows_sql, unique};

use super::Writing;
use crate::crash::{LONG, assert_once_in_topic, assert_runs, quick_rejoin};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// An orderly end has committed what it has written, also where that is not one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn orderly_restarts_under_load_end_with_0_and_double_nothing_also_at_least_once() {
    const RESTARTS: i64 = 6;
    let server = lab().mariadb();
    let settings = quick_rejoin(&unique("rolling"), lab().kafka().brokers());
    let worker = Rowferry::start(
        lab().scratch(),
        settings.with("exactly.once.source.support", "disabled"),
    );
    let (pipeline, connection) = Pipeline::new(server, "rolling", "t").await;
    let mut own = server.connect(&pipeline.name).await;
    let writing = Writing::start(connection).await;
    let sink =
        json!({"insert.mode": "insert", "pk.mode": "none", "delivery.guarantee": "at_least_once"});
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink,
        )
        .await;
    for _ in 0..RESTARTS {
        let arrived = pipeline.arrived(&mut own).await;
        pipeline.wait_arrived(&mut own, arrived + 100, LONG).await;
        assert_eq!(worker.stop(Duration::from_secs(30)), Some(0));
        worker.restart();
    }
    let rows = writing.rows().await;
    pipeline.wait_arrived(&mut own, rows, LONG).await;
    assert_eq!(pipeline.assert_same(&mut own).await, rows);
    assert_once_in_topic(&lab().kafka().topics(), &pipeline.topic(), rows);
    assert_runs(&worker, &pipeline).await;
}

/// Two workers of one name, each with a store of its own: they can detect each other only through Kafka and the database.
/// The first is frozen when the second begins, or does not; then both write, until the second is gone.
async fn two_workers(freeze: bool) {
    let (server, name) = (lab().mariadb(), unique("twins"));
    let first = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&name, lab().kafka().brokers()),
    );
    let twin = Settings {
        name: format!("{name}-twin"),
        ..quick_rejoin(&name, lab().kafka().brokers())
    };
    let second = Rowferry::start(lab().scratch(), twin);
    let (pipeline, connection) = Pipeline::new(server, "twins", "t").await;
    let mut own = server.connect(&pipeline.name).await;
    let writing = Writing::start(connection).await;
    let sink = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(
            first.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink.clone(),
        )
        .await;
    pipeline.wait_arrived(&mut own, 500, LONG).await;
    if freeze {
        first.freeze();
    }
    pipeline
        .create(
            second.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink,
        )
        .await;
    let arrived = pipeline.arrived(&mut own).await;
    pipeline.wait_arrived(&mut own, arrived + 1000, LONG).await;
    if freeze {
        first.thaw();
    }
    tokio::time::sleep(Duration::from_secs(5)).await; // as long as both are at it
    second.kill();
    let rows = writing.rows().await;
    pipeline.wait_arrived(&mut own, rows, LONG).await;
    assert_eq!(pipeline.assert_same(&mut own).await, rows);
    assert_once_in_topic(&lab().kafka().topics(), &pipeline.topic(), rows);
    assert_runs(&first, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_run_the_same_connectors_by_mistake_double_nothing() {
    two_workers(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_whose_source_and_sink_were_taken_over_doubles_nothing_when_it_wakes() {
    two_workers(true).await;
}

/// The worker dies between the last record and the commit, and is not started again for a while.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_a_dead_worker_holds_up_readers_for_a_limited_time() {
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let settings = quick_rejoin(&unique("mid-transaction"), lab().kafka().brokers());
    let worker = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = Pipeline::new(server, "pinned", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, 10)).await;
    pipeline
        .create(worker.rest(), server, json!({}), json!({}))
        .await;
    pipeline.wait_arrived(&mut connection, 10, SOON).await;
    // The sink goes to a worker that lives.
    worker.rest().remove(&pipeline.sink_name()).await;
    let sink = pipeline.sink(server, json!({}));
    lab()
        .worker()
        .rest()
        .create(&pipeline.sink_name(), &sink)
        .await;
    worker.fail_at("source.before-commit", "return(abort)");
    run(&mut connection, &rows_sql::fill("t", 11, 20)).await;
    for_condition("the end of the worker", SOON, async || !worker.is_running()).await;
    let began = Instant::now();
    let other = topics
        .read(&pipeline.topic())
        .into_iter()
        .find(|entry| entry.json()["payload"]["id"] == 10)
        .unwrap();
    let value = other.text().replace("\"id\":10,", "\"id\":1000,");
    topics.produce(&pipeline.topic(), &[(None, Some(&value))]);
    let late = format!(
        "SELECT COUNT(*) FROM `{}`.`{}` WHERE id = 1000",
        pipeline.copy,
        pipeline.topic()
    );
    for_condition("a record behind the open transaction", LONG, async || {
        count(&mut connection, &late).await == 1
    })
    .await;
    let (waited, limit) = (began.elapsed(), Duration::from_secs(75));
    assert!(waited < limit, "readers were held up for {waited:?}");
    assert_eq!(
        pipeline.arrived(&mut connection).await,
        11,
        "nothing of the open transaction was seen"
    );
    worker.go_on_at("source.before-commit");
    worker.restart();
    pipeline.wait_arrived(&mut connection, 21, SOON).await;
    assert_once_in_topic(&topics, &pipeline.topic(), 21);
    lab().worker().rest().remove(&pipeline.sink_name()).await;
}
