//! Figures of one worker with many tables or many connectors, printed by `scripts/bench scale`.
//! `ROWFERRY_TABLES` is the number of tables (1,000), `ROWFERRY_CONNECTORS` that of connectors (1,000).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::mysql::MySqlConnection;
use testkit::mariadb::run;
use testkit::{MariaDb, Rowferry, Usage, unique};

use crate::lab;

const LONG: Duration = Duration::from_secs(300);
/// How long an idle worker is watched.
const IDLE: Duration = Duration::from_secs(15);
/// Time after which sources are in their rhythm, and connections are open.
const SETTLING: Duration = Duration::from_secs(10);

/// A number that the environment may set.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Prints what the worker uses while it is idle.
async fn print_idle(worker: &Rowferry, what: &str) {
    tokio::time::sleep(SETTLING).await;
    let before = Usage::of(worker.pid());
    tokio::time::sleep(IDLE).await;
    let now = Usage::of(worker.pid());
    let threads = std::fs::read_dir(format!("/proc/{}/task", worker.pid()));
    println!(
        "{what}, idle: {} MB (at most {}), {} threads, {:.1} % of a core",
        now.resident >> 20,
        now.peak >> 20,
        threads.map(Iterator::count).unwrap_or_default(),
        (now.cpu - before.cpu).as_secs_f64() * 100.0 / IDLE.as_secs_f64()
    );
}

/// A source of all tables of a database.
fn source(database: &str) -> Value {
    json!({
        "connector.class": "JdbcSource", "connection.url": lab().mariadb().jdbc_url(database),
        "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD,
        "mode": "incrementing", "incrementing.column.name": "id", "topic.prefix": format!("{database}-"),
        "tasks.max": "1", "poll.interval.ms": "1000",
    })
}

/// Inserts a row and returns how long it takes until its record is committed.
async fn arrival(connection: &mut MySqlConnection, database: &str, table: &str) -> Duration {
    let topics = lab().kafka().topics();
    let topic = format!("{database}-{table}");
    let began = Instant::now();
    let known = topics.exists(&topic).then(|| topics.read(&topic).len());
    run(connection, &format!("INSERT INTO {table} (v) VALUES ('x')")).await;
    topics
        .wait_for(&topic, known.unwrap_or_default() + 1, LONG)
        .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/bench scale"]
async fn what_one_source_of_many_tables_takes() {
    let count = number("ROWFERRY_TABLES", 1_000);
    let database = unique("scale_tables");
    let mut connection = lab().mariadb().create_database(&database).await;
    for table in 0..count {
        let sql =
            format!("CREATE TABLE t{table} (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))");
        run(&mut connection, &sql).await;
    }
    let worker = lab().own_worker("scale-tables");
    let last = format!("t{}", count - 1);
    run(
        &mut connection,
        &format!("INSERT INTO {last} (v) VALUES ('x')"),
    )
    .await;
    let began = Instant::now();
    worker.rest().create(&database, &source(&database)).await;
    println!(
        "{count} tables: answered in {} ms",
        began.elapsed().as_millis()
    );
    let topics = lab().kafka().topics();
    topics
        .wait_for(&format!("{database}-{last}"), 1, LONG)
        .await;
    println!(
        "{count} tables: a row of the last one read {} ms after the POST",
        began.elapsed().as_millis()
    );
    for table in ["t0", last.as_str()] {
        let took = arrival(&mut connection, &database, table).await;
        println!(
            "{count} tables: a new row of {table} read after {} ms",
            took.as_millis()
        );
    }
    print_idle(&worker, &format!("{count} tables")).await;
    worker.rest().remove(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/bench scale"]
async fn what_one_worker_uses_with_many_connectors() {
    let count = number("ROWFERRY_CONNECTORS", 1_000);
    let database = unique("scale_many");
    let mut connection = lab().mariadb().create_database(&database).await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let worker = lab().own_worker("scale-many");
    print_idle(&worker, "no connector").await;
    let mut times = Vec::new();
    let began = Instant::now();
    for at in 0..count {
        let mut config = source(&database);
        if at % 2 == 0 {
            config["topic.prefix"] = json!(format!("{database}-{at}-"));
            config["poll.interval.ms"] = json!("5000");
        } else {
            config = json!({
                "connector.class": "JdbcSink", "connection.url": lab().mariadb().jdbc_url(&database),
                "connection.user": MariaDb::USER, "connection.password": MariaDb::PASSWORD,
                "topics": database, "tasks.max": "1",
            });
        }
        let asked = Instant::now();
        worker
            .rest()
            .create(&format!("{database}-{at}"), &config)
            .await;
        times.push(asked.elapsed());
    }
    let took = began.elapsed();
    times.sort_unstable();
    println!(
        "{count} connectors created in {} s; answers: median {} ms, 99 % within {} ms",
        took.as_secs(),
        times[times.len() / 2].as_millis(),
        times[times.len() * 99 / 100].as_millis()
    );
    worker
        .rest()
        .wait_state(&format!("{database}-{}", count - 1), "RUNNING", LONG)
        .await;
    print_idle(&worker, &format!("{count} connectors")).await;
}
