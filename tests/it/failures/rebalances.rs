//! Rebalances while the database is slow: nobody waits for a member longer than the group's protocol asks, and no member
//! loses its partitions again and again because it opens them slowly.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::relay::{Relay, Trouble};
use testkit::{MariaDb, Rowferry, Settings, for_condition, rows_sql, unique};

use crate::crash::{LONG, assert_runs, quick_rejoin};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

/// Kafka takes a consumer for dead that does not poll for `max.poll.interval.ms`; its batch takes longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_while_batches_are_slow_doubles_and_loses_nothing() {
    const STEP: u64 = 1_000;
    const ROWS: i64 = 5 * STEP as i64;
    let server = lab().mariadb();
    let relay = Relay::start(server.port(), 10).await;
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("slow"), lab().kafka().brokers()).with("rowferry.log.level", "debug"),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "slow", "t").await;
    let topics = lab().kafka().topics();
    topics.create(&pipeline.topic(), 4).await;
    run(&mut connection, &rows_sql::create("t")).await;
    run(&mut connection, &rows_sql::fill("t", 1, STEP)).await;
    let url = format!(
        "jdbc:mariadb://127.0.0.1:{}/{}",
        relay.port(),
        pipeline.copy
    );
    let sink = |tasks: u32| {
        pipeline.sink(
            server,
            json!({
                "connection.url": url, "insert.mode": "insert", "pk.mode": "none", "tasks.max": tasks.to_string(),
                "consumer.override.max.poll.interval.ms": "4000", "consumer.override.max.poll.records": "200",
            }),
        )
    };
    worker
        .rest()
        .create(&pipeline.source_name(), &pipeline.source(server, json!({})))
        .await;
    worker.rest().create(&pipeline.sink_name(), &sink(1)).await;
    pipeline.wait_arrived(&mut connection, 200, LONG).await;
    let path = format!("/connectors/{}/config", pipeline.sink_name());
    for (step, tasks) in (1..).zip([4, 2, 3, 1]) {
        // A batch that is under way when the number of tasks changes, and the next ones, take several seconds.
        relay.set(Trouble::Delay(Duration::from_millis(200)));
        let first = step * STEP + 1;
        run(
            &mut connection,
            &rows_sql::fill("t", first, first + STEP - 1),
        )
        .await;
        pipeline
            .wait_arrived(&mut connection, first as i64, LONG)
            .await;
        relay.set(Trouble::None);
        worker.rest().put(&path, &sink(tasks)).await.expect(200);
        relay.set(Trouble::Delay(Duration::from_millis(200)));
        let arrived = pipeline.arrived(&mut connection).await;
        let more = (arrived + 1).min(ROWS);
        pipeline.wait_arrived(&mut connection, more, LONG).await;
    }
    relay.set(Trouble::None);
    pipeline.wait_arrived(&mut connection, ROWS, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, ROWS);
    assert_runs(&worker, &pipeline).await;
}

/// The reading half finds a record that it cannot read while the writing half is stuck in a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_leaves_its_group_in_time_although_its_batch_is_still_being_written() {
    let server = lab().mariadb();
    let name = unique("leaves");
    let mut connection = server.create_database(&name).await;
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&name, lab().kafka().brokers()),
    );
    let topics = lab().kafka().topics();
    topics.create(&name, 1).await;
    let config = json!({
        "connector.class": "io.confluent.connect.jdbc.JdbcSinkConnector", "topics": name, "table.name.format": "t",
        "connection.url": server.jdbc_url(&name), "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD,
        "auto.create": "true",
    });
    worker.fail_at("sink.before-sql", "return(hang)");
    worker.rest().create(&name, &config).await;
    let record = json!({
        "schema": {"type": "struct", "fields": [{"field": "id", "type": "int32"}]}, "payload": {"id": 1},
    });
    topics.produce(&name, &[(None, Some(&record.to_string()))]);
    for_condition("a batch under way", SOON, async || {
        worker.reached("sink.before-sql") > 0
    })
    .await;
    let group = format!("connect-{name}");
    assert_eq!(topics.members(&group), 1);
    topics.produce(&name, &[(None, Some("no JSON"))]);
    for_condition("the member to leave", Duration::from_secs(15), async || {
        topics.members(&group) == 0
    })
    .await;
    worker.go_on_at("sink.before-sql");
    worker.rest().wait_state(&name, "FAILED", SOON).await;
    assert_eq!(count(&mut connection, "SELECT COUNT(*) FROM t").await, 1);
}
