//! The worker: the table through its source, the topic through its sink.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::rows;
use testkit::{Lab, MariaDb, MariaTable, Rowferry, Settings, Usage, assert_same};

use crate::report::Report;
use crate::{Options, PATIENCE};

/// The topic of the table's records, and the name of the tables they land in.
pub const TOPIC: &str = "bench_t";

/// A worker with nothing to do.
pub fn start(lab: &Lab, options: &Options) -> Rowferry {
    let settings = Settings::serve("bench-worker", lab.kafka().brokers());
    let keys = options.worker_keys.iter();
    Rowferry::start(
        lab.scratch(),
        keys.fold(settings, |settings, (key, value)| settings.with(key, value)),
    )
}

/// Resident memory once it has come to rest.
pub fn idle_memory(worker: &Rowferry) -> u64 {
    std::thread::sleep(Duration::from_secs(3));
    Usage::of(worker.pid()).resident
}

/// Runs a connector until `is_done`, and notes time, CPU and memory.
async fn measure(
    worker: &Rowferry,
    (name, config): (&str, &Value),
    report: &mut Report,
    mut is_done: impl AsyncFnMut() -> bool,
) {
    Usage::reset_peak(worker.pid());
    let before = Usage::of(worker.pid());
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
    report.worker(
        name,
        elapsed,
        after.cpu.saturating_sub(before.cpu),
        after.peak,
    );
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
pub async fn warm_up(lab: &Lab, worker: &Rowferry, options: &Options) {
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

/// The whole table into its topic, whose committed end says when all is there.
pub async fn source(lab: &Lab, worker: &Rowferry, options: &Options, report: &mut Report) {
    let topics = lab.kafka().topics();
    let (end, wanted) = (topics.committed_end(TOPIC), last_id(options));
    // The end counts the markers of transactions as well, so the stored offset has the last word.
    let is_done = async || end() >= wanted && stored_offset(worker, "source").await == wanted;
    measure(
        worker,
        ("source", &copying(lab, "bench_", options)),
        report,
        is_done,
    )
    .await;
    worker.rest().remove("source").await;
    let mut records = 0;
    topics.each(TOPIC, |_| records += 1);
    assert_eq!(records, options.rows, "records in the topic");
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

/// The whole topic into a table; the server's own count of inserted rows says when all are there.
pub async fn sink(
    lab: &Lab,
    worker: &Rowferry,
    insert_mode: &str,
    options: &Options,
    report: &mut Report,
) {
    let (name, copy) = (format!("sink-{insert_mode}"), format!("copy_{insert_mode}"));
    let mut connection = lab.mariadb().create_database(&copy).await;
    let mut config = json!({
        "connector.class": "JdbcSink", "connection.url": lab.mariadb().jdbc_url(&copy), "connection.user": MariaDb::USER,
        "connection.password": MariaDb::PASSWORD, "topics": TOPIC, "insert.mode": insert_mode, "auto.create": "true",
        "tasks.max": "1",
    });
    if insert_mode == "upsert" {
        config["pk.mode"] = json!("record_key");
    }
    let before = inserted(&mut connection).await;
    let config = with(config, &options.sink_keys);
    measure(worker, (&name, &config), report, async || {
        inserted(&mut connection).await - before >= options.rows
    })
    .await;
    let table = MariaTable {
        database: &copy,
        table: TOPIC,
    };
    let settled = testkit::for_condition("all rows are committed", PATIENCE, async || {
        let sql = format!("SELECT COUNT(*) FROM `{copy}`.`{TOPIC}`");
        testkit::mariadb::count(&mut connection, &sql).await >= last_id(options)
    });
    settled.await;
    worker.rest().remove(&name).await;
    assert_same(
        &mut connection,
        &MariaTable {
            database: "bench",
            table: "t",
        },
        &table,
    )
    .await;
}

async fn inserted(connection: &mut MySqlConnection) -> u64 {
    let status = rows(connection, "SHOW GLOBAL STATUS LIKE 'Handler_write'").await;
    status[0].get::<String, _>(1).parse().expect("a number")
}

fn with(mut config: Value, more: &[(String, String)]) -> Value {
    for (key, value) in more {
        config[key] = json!(value);
    }
    config
}
