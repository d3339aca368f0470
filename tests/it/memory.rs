//! Memory does not grow with the table: a worker of its own reads one, and its peak is looked at.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Settings, Usage, for_condition, rows_sql, unique};

use crate::lab;
use crate::pipeline::Pipeline;

/// Most resident memory of the worker, in bytes.
const LIMIT: u64 = 150_000_000;

/// Reads a table of that many rows of about 200 bytes into a topic.
async fn is_read_within_the_limit(rows: u64) {
    const PART: u64 = 500_000;
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let worker = Rowferry::start(
        lab().scratch(),
        Settings::serve(&unique("memory"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "memory", "t").await;
    run(&mut connection, &rows_sql::create("t")).await;
    for first in (1..=rows).step_by(PART as usize) {
        run(
            &mut connection,
            &rows_sql::fill("t", first, rows.min(first + PART - 1)),
        )
        .await;
    }
    let began = Instant::now();
    let name = pipeline.source_name();
    worker
        .rest()
        .create(&name, &pipeline.source(server, json!({})))
        .await;
    let path = format!("/v1/connectors/{name}/progress");
    let mut last = 0;
    for_condition(
        "all rows read and committed",
        Duration::from_secs(120 + rows / 2000),
        async || {
            let table = worker.rest().get(&path).await.body["tasks"][0]["tables"][0].clone();
            last = table["rows"].as_u64().unwrap_or(last);
            last == rows && table["rows_left"] == 0 && {
                let offsets = worker
                    .rest()
                    .get(&format!("/connectors/{name}/offsets"))
                    .await
                    .body;
                offsets["offsets"][0]["offset"]["incrementing"].as_u64() == Some(rows)
            }
        },
    )
    .await;
    let (time, usage) = (began.elapsed(), Usage::of(worker.pid()));
    println!(
        "{rows} rows in {:.1} s, {:.1} s of processor, peak of resident memory {} MB",
        time.as_secs_f64(),
        usage.cpu.as_secs_f64(),
        usage.peak / 1_000_000
    );
    assert!(
        usage.peak <= LIMIT,
        "{} bytes of resident memory at the peak",
        usage.peak
    );
    assert!(topics.committed_end(&pipeline.topic())() >= i64::try_from(rows).unwrap());
    worker.rest().remove(&name).await;
    run(
        &mut connection,
        &format!("DROP DATABASE `{}`", pipeline.name),
    )
    .await;
}

#[tokio::test]
async fn a_table_of_half_a_million_rows_is_read_within_150_mb() {
    is_read_within_the_limit(500_000).await;
}

#[tokio::test]
#[ignore = "takes minutes and 10 GB of disk; run it alone"]
async fn a_table_of_ten_million_rows_is_read_within_150_mb() {
    is_read_within_the_limit(10_000_000).await;
}
