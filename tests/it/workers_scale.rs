//! Figures of several workers, printed by `scripts/bench workers`: how fast they move rows, what they use with
//! many connectors, and how fast they answer. `ROWFERRY_CONNECTORS` is the number of connectors (500).

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, Usage, for_condition, rows_sql, unique};

use crate::lab;
use crate::pipeline::Pipeline;
use crate::workers::{Group, create, idle_sink, seen_by};

const LONG: Duration = Duration::from_secs(600);
/// Rows that each of two pairs of connectors moves.
const ROWS: i64 = 100_000;
/// How long idle workers are watched.
const IDLE: Duration = Duration::from_secs(10);
const REQUESTS: usize = 2_000;
const CLIENTS: usize = 4;

/// Waits until that many tasks are shown by the workers, evenly spread.
async fn spread(asked: &Rowferry, workers: usize, tasks: u64) {
    for_condition("tasks to be spread", LONG, async || {
        let seen = seen_by(asked).await;
        let counts: Vec<u64> = seen.iter().map(|worker| worker.2).collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        counts.len() == workers
            && counts.iter().sum::<u64>() == tasks
            && most
                .zip(least)
                .is_some_and(|(most, least)| most - least <= 1)
    })
    .await;
}

/// Rows a second of two pairs of connectors on that many workers.
async fn rows_per_second(count: usize) -> f64 {
    let mut group = Group::on_mariadb("scale_rows").await;
    let workers: Vec<Rowferry> = (0..count).map(|_| group.worker()).collect();
    let server = lab().mariadb();
    let mut moving = Vec::new();
    for _ in 0..2 {
        let (pipeline, mut connection) = Pipeline::new(server, "scale_rows", "t").await;
        run(&mut connection, &rows_sql::create("t")).await;
        let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
        pipeline
            .create(workers[0].rest(), server, json!({}), insert)
            .await;
        moving.push((pipeline, connection));
    }
    spread(&workers[0], count, 4).await;
    // The first rows move while the last are still being written.
    let began = Instant::now();
    for (_, connection) in &mut moving {
        run(connection, &rows_sql::fill("t", 1, ROWS.unsigned_abs())).await;
    }
    for (pipeline, connection) in &mut moving {
        pipeline.wait_arrived(connection, ROWS, LONG).await;
    }
    2.0 * ROWS as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/bench workers"]
async fn rows_a_second_of_one_worker_and_of_two() {
    for workers in [1, 2, 1, 2] {
        let rate = rows_per_second(workers).await;
        println!("workers {workers}: {rate:.0} rows/s through two sources and two sinks");
    }
}

/// Answers a second of all workers together, and the 99th percentile of their times.
async fn answers(workers: &[Rowferry], names: &[String]) -> (f64, Duration) {
    let began = Instant::now();
    let client = async |client: usize| {
        let mut times = Vec::new();
        for request in 0..REQUESTS / CLIENTS {
            let worker = &workers[(client + request) % workers.len()];
            let name = &names[(client * 31 + request) % names.len()];
            let asked = Instant::now();
            let path = format!("/connectors/{name}/status");
            worker.rest().get(&path).await.expect(200);
            times.push(asked.elapsed());
        }
        times
    };
    let all = tokio::join!(client(0), client(1), client(2), client(3));
    let took = began.elapsed();
    let mut times = [all.0, all.1, all.2, all.3].concat();
    times.sort_unstable();
    let late = times[times.len() * 99 / 100];
    (times.len() as f64 / took.as_secs_f64(), late)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: scripts/bench workers"]
async fn what_three_workers_use_with_many_connectors() {
    let count = std::env::var("ROWFERRY_CONNECTORS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(500_u64);
    let mut group = Group::on_mariadb("scale").await;
    let workers: Vec<Rowferry> = (0..3).map(|_| group.worker()).collect();
    let topic = unique("scale");
    let began = Instant::now();
    let mut names = Vec::new();
    for at in 0..count {
        let name = format!("{topic}-{at}");
        let worker = &workers[names.len() % workers.len()];
        create(worker, &name, &idle_sink(&topic, 1)).await;
        names.push(name);
    }
    println!(
        "{count} connectors created in {} s",
        began.elapsed().as_secs()
    );
    spread(&workers[0], 3, count).await;
    println!("all tasks spread after {} s", began.elapsed().as_secs());
    let before: Vec<Usage> = workers.iter().map(|w| Usage::of(w.pid())).collect();
    tokio::time::sleep(IDLE).await;
    for (worker, before) in workers.iter().zip(before) {
        let now = Usage::of(worker.pid());
        let threads = std::fs::read_dir(format!("/proc/{}/task", worker.pid()));
        println!(
            "idle worker: {} MB, {} threads, {:.1} % of a core",
            now.resident >> 20,
            threads.map(Iterator::count).unwrap_or_default(),
            (now.cpu - before.cpu).as_secs_f64() * 100.0 / IDLE.as_secs_f64()
        );
    }
    let (rate, late) = answers(&workers, &names).await;
    println!(
        "{rate:.0} answers/s from {CLIENTS} clients, 99 % within {} ms",
        late.as_millis()
    );
}
