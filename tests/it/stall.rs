//! Brokers that are frozen for a while and come back: every connector goes on within seconds, nothing is lost and nothing
//! comes twice. A broker that was away for longer than its session counts as fenced for a moment after it is back, and
//! says so in its answers: that there are no brokers.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{Kafka, Rowferry, Settings, for_condition, unique};

use crate::lab;
use crate::pipeline::Pipeline;

/// How long after the broker is back a row may take. Kafka Connect takes 4 s.
const BACK_WITHIN: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(120);

/// Brokers are frozen for so many seconds each, one time after the other.
async fn stalls(brokers: usize, frozen: usize, seconds: &[u64]) {
    const SINKS: usize = 3;
    let name = unique("stall");
    let cluster = match brokers {
        1 => vec![Kafka::start(lab().scratch(), &name)],
        _ => Kafka::start_cluster(lab().scratch(), &name, brokers),
    };
    let servers: Vec<_> = cluster.iter().map(Kafka::brokers).collect();
    let server = lab().mariadb();
    let worker = Rowferry::start(lab().scratch(), Settings::serve(&name, servers.join(",")));
    let (pipeline, mut connection) = Pipeline::new(server, "stalled", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
    )
    .await;
    // without a key, so that a row delivered twice is two rows
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(worker.rest(), server, json!({}), insert.clone())
        .await;
    let more: Vec<_> = (1..SINKS)
        .map(|n| format!("{}-{n}", pipeline.topic()))
        .collect();
    for table in &more {
        let mut config = pipeline.sink(server, insert.clone());
        config["table.name.format"] = json!(table);
        worker
            .rest()
            .create(&format!("{table}-sink"), &config)
            .await;
    }
    let tables: Vec<_> = std::iter::once(pipeline.topic()).chain(more).collect();
    let mut rows = 0;
    let mut took = Vec::new();
    for seconds in std::iter::once(&0).chain(seconds) {
        cluster.iter().take(frozen).for_each(Kafka::freeze);
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        cluster.iter().take(frozen).for_each(Kafka::thaw);
        let began = Instant::now();
        run(
            &mut connection,
            &format!("INSERT INTO t (at) VALUES ('after {seconds} s')"),
        )
        .await;
        rows += 1;
        let within = if *seconds == 0 { LONG } else { BACK_WITHIN };
        for table in &tables {
            let sql = format!("SELECT COUNT(*) FROM `{}`.`{table}`", pipeline.copy);
            let what = format!("{table} to have {rows} rows after a stall of {seconds} s");
            for_condition(&what, within, async || {
                count(&mut connection, &sql).await >= rows
            })
            .await;
        }
        took.push(format!(
            "{seconds} s: {:.1} s",
            began.elapsed().as_secs_f32()
        ));
    }
    println!(
        "{brokers} brokers, {frozen} of them still; first row of the last sink after {}",
        took.join(", ")
    );
    for table in &tables {
        let sql = format!("SELECT COUNT(*) FROM `{}`.`{table}`", pipeline.copy);
        assert_eq!(count(&mut connection, &sql).await, rows, "{table}");
    }
    assert_eq!(
        cluster[0].topics().read(&pipeline.topic()).len() as i64,
        rows
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_continue_after_the_broker_was_frozen() {
    stalls(1, 1, &[5, 12, 20]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_continue_after_all_of_three_brokers_were_frozen() {
    stalls(3, 3, &[5, 12, 20]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_continue_after_one_of_three_brokers_was_frozen() {
    stalls(3, 1, &[5, 12, 20]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn connectors_continue_after_the_broker_was_frozen_for_minutes() {
    stalls(1, 1, &[60, 300]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes"]
async fn connectors_continue_after_three_brokers_were_frozen_for_minutes() {
    stalls(3, 3, &[60, 300]).await;
}
