//! Connections that are cut after some bytes, that carry everything late, and answers that never come.

use serde_json::json;
use testkit::mariadb::run;
use testkit::relay::{Relay, Trouble};
use testkit::{Rowferry, for_condition, rows_sql, unique};

use super::Writing;
use crate::crash::{LONG, assert_once_in_topic, assert_runs, quick_rejoin};
use crate::lab;
use crate::pipeline::Pipeline;

/// No connection to the source lives long enough for a whole page of rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_connections_are_cut_in_mid_result_again_and_again_gets_on() {
    const ROWS: i64 = 20_000;
    let server = lab().mariadb();
    let relay = Relay::start(server.port(), 15).await;
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("cut"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "cut", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, ROWS as u64)).await;
    relay.set(Trouble::Cut {
        least: 1 << 10,
        most: 1 << 18,
    });
    let url = format!(
        "jdbc:mariadb://127.0.0.1:{}/{}",
        relay.port(),
        pipeline.name
    );
    let source = json!({"connection.url": url, "batch.max.rows": "1000"});
    // A connector is validated over a connection of its own, which may be cut, too.
    let config = pipeline.source(server, source);
    let path = format!("/connectors/{}/config", pipeline.source_name());
    for_condition("the source to be created", LONG, async || {
        worker.rest().put(&path, &config).await.status < 300
    })
    .await;
    let sink = pipeline.sink(server, json!({"insert.mode": "insert", "pk.mode": "none"}));
    worker.rest().create(&pipeline.sink_name(), &sink).await;
    pipeline.wait_arrived(&mut connection, ROWS, LONG).await;
    assert!(
        relay.connections() > 30,
        "{} connections were enough",
        relay.connections()
    );
    assert_eq!(pipeline.assert_same(&mut connection).await, ROWS);
    assert_once_in_topic(&lab().kafka().topics(), &pipeline.topic(), ROWS);
    assert_runs(&worker, &pipeline).await;
}

/// Keys of a table are read to see which have vanished, page by page.
#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_emitted_although_connections_are_cut_repeatedly_within_results() {
    let server = lab().mariadb();
    let relay = Relay::start(server.port(), 16).await;
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("cut-keys"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "cut_keys", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (n INT PRIMARY KEY AUTO_INCREMENT, id CHAR(40) UNIQUE)",
    )
    .await;
    run(
        &mut connection,
        "ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE (n), DROP INDEX id, ADD PRIMARY KEY (id)",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t (id) SELECT SHA1(seq) FROM seq_1_to_6000",
    )
    .await;
    let url = format!(
        "jdbc:mariadb://127.0.0.1:{}/{}",
        relay.port(),
        pipeline.name
    );
    let source = json!({
        "connection.url": url, "incrementing.column.name": "n", "delete.capture": "key_sweep",
        "delete.capture.interval.ms": "500",
    });
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "delete.enabled": "true"});
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_arrived(&mut connection, 6000, LONG).await;
    relay.set(Trouble::Cut {
        least: 1 << 14,
        most: 1 << 16,
    });
    run(&mut connection, "DELETE FROM t WHERE n % 3 = 0").await;
    for_condition("all deletions", LONG, async || {
        pipeline.arrived(&mut connection).await == 4000
    })
    .await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 4000);
    assert!(
        relay.connections() > 10,
        "{} connections were enough",
        relay.connections()
    );
    assert_runs(&worker, &pipeline).await;
}

/// The database has committed, and its answer does not come: the connection ends, or stays open without a word.
async fn a_commit_without_an_answer(silent: bool) {
    let server = lab().mariadb();
    let relay = Relay::start(server.port(), 17).await;
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("unanswered"), lab().kafka().brokers()),
    );
    let (pipeline, connection) = Pipeline::new(server, "unanswered", "t").await;
    let mut own = server.connect(&pipeline.name).await;
    let writing = Writing::start(connection).await;
    let url = format!(
        "jdbc:mariadb://127.0.0.1:{}/{}",
        relay.port(),
        pipeline.copy
    );
    let sink = json!({"connection.url": url, "insert.mode": "insert", "pk.mode": "none", "task.progress.timeout.ms": "15000"});
    pipeline
        .create(
            worker.rest(),
            server,
            json!({"batch.max.rows": "100"}),
            sink,
        )
        .await;
    pipeline.wait_arrived(&mut own, 200, LONG).await;
    for nth in 1..=if silent { 1 } else { 5 } {
        let before = relay.answers_lost();
        relay.lose_answer("COMMIT", nth, silent);
        for_condition("an answer to be lost", LONG, async || {
            relay.answers_lost() > before
        })
        .await;
        let arrived = pipeline.arrived(&mut own).await;
        pipeline.wait_arrived(&mut own, arrived + 200, LONG).await;
    }
    let rows = writing.rows().await;
    pipeline.wait_arrived(&mut own, rows, LONG).await;
    assert_eq!(pipeline.assert_same(&mut own).await, rows);
    assert_runs(&worker, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_cut_off_is_looked_up_and_not_repeated() {
    a_commit_without_an_answer(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_never_answered_is_given_up_looked_up_and_not_repeated() {
    a_commit_without_an_answer(true).await;
}
