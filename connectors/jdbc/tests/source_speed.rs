//! How fast the source reads, beside sqlx reading the same rows and dropping them.
//!
//! `JDBC_SPEED_URL=mysql://user:password@host:port/database cargo test --release -p connector-jdbc --test source_speed
//! -- --ignored --nocapture`; makes the table `speed` of a million rows if it is not there.

#![allow(
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on panics"
)]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]
#![allow(clippy::cast_precision_loss, reason = "rates are printed rounded")]

use std::fs;
use std::time::Instant;

use connector_api::{
    Config, Result, SourceConnector, SourceOffset, SourcePartition, SourcePosition, StoredOffsets,
    async_trait,
};
use connector_jdbc::source::JdbcSource;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

const ROWS: u64 = 1_000_000;

struct Nowhere;

#[async_trait]
impl StoredOffsets for Nowhere {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        Ok(vec![None; partitions.len()])
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(Vec::new())
    }
}

/// Processor time of this process in seconds: fields 14 and 15 of `/proc/self/stat`, in hundredths.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn print(what: &str, rows: u64, started: Instant, cpu: f64) -> f64 {
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    let micros = (cpu_seconds() - cpu) * 1e6 / rows as f64;
    println!("{what}: {rate:.0} rows/s, {micros:.2} µs of processor a row");
    rate
}

async fn fill(url: &str) {
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let create = "CREATE TABLE IF NOT EXISTS speed (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT NOT NULL, \
         b BIGINT, c VARCHAR(60) NOT NULL, d VARCHAR(60), e DECIMAL(12,2), f DOUBLE, g DATETIME(3), h DATE, i TINYINT, \
         j VARCHAR(40))";
    connection.execute(create).await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM speed")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if count.unsigned_abs() < ROWS {
        let fill = format!(
            "INSERT INTO speed (a,b,c,d,e,f,g,h,i,j) SELECT seq, seq*7919, CONCAT('customer number ', seq), \
             REPEAT('x', seq % 60), seq/100, seq/7, '2024-01-01' + INTERVAL seq SECOND, '2024-01-01', seq % 100, \
             MD5(seq) FROM seq_1_to_{ROWS}"
        );
        connection.execute(AssertSqlSafe(fill)).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn raw(url: &str) -> f64 {
    let options: sqlx::mysql::MySqlConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut rows = sqlx::query("SELECT * FROM speed ORDER BY id").fetch(&mut connection);
    let (mut count, mut columns) = (0, 0);
    while let Some(row) = rows.try_next().await.unwrap() {
        count += 1;
        columns = row.len();
    }
    assert_eq!((count, columns), (ROWS, 11));
    print("sqlx alone", count, started, cpu)
}

async fn source(url: &str, batch: &str, gaps: &str) -> f64 {
    let config = Config::from([
        ("connection.url", url),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("table.whitelist", "speed"),
        ("topic.prefix", "t-"),
        ("batch.max.rows", batch),
        ("gap.tracking", gaps),
    ]);
    let plan = JdbcSource.plan(&config, 1).await.unwrap();
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut task = JdbcSource.open(&plan.tasks[0], &Nowhere).await.unwrap();
    let mut count = 0;
    while count < ROWS {
        count += task.poll().await.unwrap().records.len() as u64;
    }
    let rate = print(
        &format!("source, batch.max.rows={batch}, gap.tracking={gaps}"),
        count,
        started,
        cpu,
    );
    task.close().await;
    rate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; needs a database in JDBC_SPEED_URL"]
async fn the_source_keeps_up_with_the_driver() {
    let url = std::env::var("JDBC_SPEED_URL").expect("JDBC_SPEED_URL names a MariaDB database");
    fill(&url).await;
    raw(&url).await;
    let limit = raw(&url).await;
    let fast = source(&url, "1000", "off").await;
    let safe = source(&url, "1000", "auto").await;
    source(&url, "100", "auto").await;
    println!(
        "ratios: {:.2} without, {:.2} with gap tracking",
        fast / limit,
        safe / limit
    );
    assert!(
        safe > 0.15 * limit,
        "the source reads at a fraction of the speed of its driver"
    );
}
