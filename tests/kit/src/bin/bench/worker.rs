//! The worker: the table through its source, the topic through its sink.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Lab, MariaDb, Rowferry, Settings, Usage};

use crate::report::{Measured, Report};
use crate::target::Target;
use crate::{Options, PATIENCE};

/// The topic of the table's records, and the name of the tables they land in.
pub(crate) const TOPIC: &str = "bench_t";

/// A worker with nothing to do.
pub(crate) fn start(lab: &Lab, options: &Options) -> Rowferry {
    let settings = Settings::serve("bench-worker", lab.kafka().brokers());
    let keys = options.worker_keys.iter();
    Rowferry::start(
        lab.scratch(),
        keys.fold(settings, |settings, (key, value)| settings.with(key, value)),
    )
}

/// Resident memory once it has come to rest.
pub(crate) fn idle_memory(worker: &Rowferry) -> u64 {
    std::thread::sleep(Duration::from_secs(3));
    Usage::of(worker.pid()).resident
}

/// Runs a connector until `is_done`, and notes time, CPU and memory. `database`: CPU time of its database's server.
async fn measure(
    worker: &Rowferry,
    (name, config): (&str, &Value),
    database: impl Fn() -> Duration,
    mut is_done: impl AsyncFnMut() -> bool,
) -> Measured {
    Usage::reset_peak(worker.pid());
    let (before, database_before) = (Usage::of(worker.pid()), database());
    let start = Instant::now();
    worker.rest().create(name, config).await;
    while !is_done().await {
        assert!(
            start.elapsed() < PATIENCE,
            "{name} did not end: {}",
            status(worker, name).await
        );
        assert!(
            !status(worker, name).await.contains("stays failed"),
            "{name} failed: {}",
            status(worker, name).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let elapsed = start.elapsed();
    let after = Usage::of(worker.pid());
    Measured {
        elapsed,
        worker: after.cpu.saturating_sub(before.cpu),
        database: database() - database_before,
        peak: after.peak,
    }
}

async fn status(worker: &Rowferry, name: &str) -> String {
    worker
        .rest()
        .get(&format!("/connectors/{name}/status"))
        .await
        .text
}

/// A connector that copies the whole table into the topic of that prefix.
fn copying(lab: &Lab, prefix: &str, options: &Options) -> Value {
    let config = json!({
        "connector.class": "JdbcSource", "connection.url": lab.mariadb().jdbc_url("bench"),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD, "table.whitelist": "t",
        "mode": "incrementing", "incrementing.column.name": "id", "topic.prefix": prefix, "tasks.max": "1",
    });
    with(config, &options.source_keys)
}

/// Copies the table once without measuring: a broker that has just been started is busy compiling itself for its first
/// million records, which the limits, measured later, would not pay for.
pub(crate) async fn warm_up(lab: &Lab, worker: &Rowferry, options: &Options) {
    worker
        .rest()
        .create("warm-up", &copying(lab, "warm_", options))
        .await;
    let (what, wanted) = ("the table is copied once", last_id(options));
    testkit::for_condition(what, PATIENCE, async || {
        stored_offset(worker, "warm-up").await == wanted
    })
    .await;
    worker.rest().remove("warm-up").await;
}

/// The whole table into its topic, whose committed end says when all is there. Returns the offset behind the last
/// record.
pub(crate) async fn source(
    lab: &Lab,
    worker: &Rowferry,
    options: &Options,
    report: &mut Report,
) -> i64 {
    let topics = lab.kafka().topics();
    let (end, wanted) = (topics.committed_end(TOPIC), last_id(options));
    // The end counts the markers of transactions as well, so the stored offset has the last word.
    let is_done = async || end() >= wanted && stored_offset(worker, "source").await == wanted;
    let config = copying(lab, "bench_", options);
    let server = lab.mariadb();
    let measured = measure(worker, ("source", &config), || server.cpu(), is_done).await;
    report.worker("source", &measured);
    worker.rest().remove("source").await;
    let (mut records, mut next, mut bytes) = (0, 0, 0);
    topics.each(TOPIC, |entry| {
        records += 1;
        bytes += entry.value.map_or(0, |value| value.len());
        next = next.max(entry.offset + 1);
    });
    assert_eq!(records, options.rows, "records in the topic");
    report.bytes(bytes as f64);
    next
}

fn last_id(options: &Options) -> i64 {
    i64::try_from(options.rows).expect("a row count")
}

/// The last id whose record and offset are committed.
async fn stored_offset(worker: &Rowferry, name: &str) -> i64 {
    let offsets = worker
        .rest()
        .get(&format!("/connectors/{name}/offsets"))
        .await
        .body;
    offsets["offsets"][0]["offset"]["incrementing"]
        .as_i64()
        .unwrap_or(0)
}

/// The whole topic into a table of that database; the offset that the sink stores with the rows says when all are there.
pub(crate) async fn sink(
    (lab, worker): (&Lab, &Rowferry),
    target: &mut Target<'_>,
    (name, insert_mode): (&str, &str),
    options: &Options,
    last: i64,
) -> Measured {
    let mut config = json!({
        "connector.class": "JdbcSink", "topics": TOPIC, "insert.mode": insert_mode, "auto.create": "true",
        "tasks.max": "1",
    });
    for (key, value) in target.connection_keys().as_object().expect("keys") {
        config[key] = value.clone();
    }
    if insert_mode != "insert" {
        config["pk.mode"] = json!("record_key");
    }
    let config = with(config, &options.sink_keys);
    let cpu = target.cpu();
    let is_done = async || target.next_offset(name).await >= last;
    let measured = measure(worker, (name, &config), cpu, is_done).await;
    worker.rest().remove(name).await;
    target.verify(lab.mariadb(), options.shape).await;
    measured
}

fn with(mut config: Value, more: &[(String, String)]) -> Value {
    for (key, value) in more {
        config[key] = json!(value);
    }
    config
}
