//! Workers that are frozen, starved or have a wrong clock while others go on: what they still write when they
//! wake is refused, and no row is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::mariadb::run;
use testkit::{Rowferry, ShiftedClock, for_condition};

use crate::lab;
use crate::pipeline::Pipeline;
use crate::workers::{
    Group, create, id_of, idle_sink, on_different_workers, owners, run_rowferry, seen_by, status,
    tasks_on,
};

const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(90);

/// Where a worker is frozen: within or right after a transaction.
const SOURCE_POINTS: [&str; 3] = [
    "source.before-commit",
    "producer.commit",
    "source.after-commit",
];
const SINK_POINTS: [&str; 4] = [
    "sink.before-sql",
    "sink.before-commit",
    "database.before-commit",
    "database.after-commit",
];

/// Freezes the worker of a task at a fail point in the middle of its transaction, at least that long and until the
/// other worker has written the rows.
async fn a_frozen_worker_writes_nothing(
    name: &str,
    point: &str,
    of_source: bool,
    at_least: Duration,
) {
    let mut group = Group::on_mariadb(name).await;
    let (a, b) = (group.worker(), group.worker());
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)",
    )
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('a')").await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline.create(a.rest(), server, json!({}), insert).await;
    pipeline.wait_arrived(&mut connection, 1, LONG).await;
    on_different_workers(&b, &pipeline).await;
    let connector = if of_source {
        pipeline.source_name()
    } else {
        pipeline.sink_name()
    };
    let owner = tasks_on(&b, &connector, "any worker", |_| true).await;
    let zombie = if owner[0] == id_of(&a) { &a } else { &b };
    zombie.fail_at(point, "return(hang)");
    run(&mut connection, "INSERT INTO t (at) VALUES ('b'), ('c')").await;
    for_condition("the transaction to be open", SOON, async || {
        zombie.reached(point) > 0
    })
    .await;
    let began = Instant::now();
    zombie.freeze();
    run(&mut connection, "INSERT INTO t (at) VALUES ('d')").await;
    pipeline.wait_arrived(&mut connection, 4, LONG).await;
    println!(
        "{point}: taken over after {} ms",
        began.elapsed().as_millis()
    );
    tokio::time::sleep(at_least.saturating_sub(began.elapsed())).await;
    zombie.thaw();
    zombie.go_on_at(point);
    // It comes back as a worker that has lost everything, and takes its share again.
    for_condition("the frozen worker to be back", LONG, async || {
        let log = zombie.log();
        let got = log.matches("this worker has got slots").count();
        got >= 2 && owners(&status(zombie, &connector).await).is_some()
    })
    .await;
    run(&mut connection, "INSERT INTO t (at) VALUES ('e')").await;
    pipeline.wait_arrived(&mut connection, 5, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_in_a_sinks_transaction_writes_nothing_when_it_wakes() {
    let short = Duration::ZERO;
    a_frozen_worker_writes_nothing("zombie_sink", SINK_POINTS[1], false, short).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_in_a_sources_transaction_writes_nothing_when_it_wakes() {
    let short = Duration::ZERO;
    a_frozen_worker_writes_nothing("zombie_source", SOURCE_POINTS[0], true, short).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: scripts/chaos workers"]
async fn workers_frozen_for_40_seconds_anywhere_in_a_transaction_write_nothing_when_they_wake() {
    let long = Duration::from_secs(40);
    for point in SOURCE_POINTS {
        a_frozen_worker_writes_nothing("zombie_source", point, true, long).await;
    }
    for point in SINK_POINTS {
        a_frozen_worker_writes_nothing("zombie_sink", point, false, long).await;
    }
}

/// Rows through a source and a sink, each once.
async fn rows_flow(pipeline: &Pipeline, connection: &mut sqlx::MySqlConnection, all: &mut i64) {
    for _ in 0..10 {
        run(connection, "INSERT INTO t (at) VALUES ('a')").await;
        *all += 1;
    }
    pipeline.wait_arrived(connection, *all, LONG).await;
    assert_eq!(pipeline.assert_same(connection).await, *all);
}

async fn pipeline_on(worker: &Rowferry, name: &str) -> (Pipeline, sqlx::MySqlConnection) {
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, name, "t").await;
    let table = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)";
    run(&mut connection, table).await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(worker.rest(), server, json!({}), insert)
        .await;
    (pipeline, connection)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute: scripts/chaos workers"]
async fn clocks_that_are_hours_apart_and_jump_make_no_difference() {
    let mut group = Group::on_mariadb("clocks").await;
    let (a, b) = (group.worker(), group.worker());
    for_condition("the first worker to be drained", LONG, async || {
        run_rowferry(&a, &["drain", "worker", &id_of(&a)]).2 == Some(0)
    })
    .await;
    // A drained worker owns nothing: who takes it for one that ended long ago forgets it.
    let clock = ShiftedClock::new(lab().scratch(), 7200);
    let [preload, shift] = clock.env();
    let settings = group
        .settings()
        .with_env(preload.0, &preload.1)
        .with_env(shift.0, &shift.1);
    let c = Rowferry::start(lab().scratch(), settings);
    let (pipeline, mut connection) = pipeline_on(&b, "clocks").await;
    let mut rows = 0;
    for shift in [7200, -7200, 0] {
        clock.set(shift);
        rows_flow(&pipeline, &mut connection, &mut rows).await;
        on_different_workers(&c, &pipeline).await;
        let seen = async |asked: &Rowferry| {
            let body = asked.rest().get("/v1/workers").await.expect(200).body;
            let own = body["workers"].as_array().cloned().unwrap_or_default();
            let own = own.iter().find(|one| one["id"] == id_of(&c)).cloned();
            own.and_then(|one| one["seen_ms"].as_i64()).unwrap_or(0)
        };
        // It has looked for workers to forget before it shows itself again.
        let before = seen(&b).await;
        for_condition("the worker to be seen again", SOON, async || {
            seen(&b).await > before
        })
        .await;
        for asked in [&a, &b, &c] {
            let mut states: Vec<(String, String)> = seen_by(asked)
                .await
                .into_iter()
                .map(|(id, state, _)| (id, state))
                .collect();
            let mut expected = vec![
                (id_of(&a), "drained".to_owned()),
                (id_of(&b), "ready".to_owned()),
                (id_of(&c), "ready".to_owned()),
            ];
            states.sort();
            expected.sort();
            assert_eq!(states, expected, "shifted by {shift} s");
        }
    }
    for worker in [&a, &b, &c] {
        assert!(
            !worker.log().contains("another process"),
            "{}",
            worker.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_gets_a_tenth_of_a_processor_loses_and_doubles_no_row() {
    let mut group = Group::on_mariadb("starved").await;
    let (a, b) = (group.worker(), group.worker());
    let (pipeline, mut connection) = pipeline_on(&a, "starved").await;
    on_different_workers(&a, &pipeline).await;
    let mut rows = 0;
    rows_flow(&pipeline, &mut connection, &mut rows).await;
    let (done, b) = (Arc::new(AtomicBool::new(false)), Arc::new(b));
    let (ended, starved) = (Arc::clone(&done), Arc::clone(&b));
    let starving = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            starved.freeze();
            std::thread::sleep(Duration::from_millis(90));
            starved.thaw();
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    for _ in 0..5 {
        rows_flow(&pipeline, &mut connection, &mut rows).await;
    }
    done.store(true, Ordering::Relaxed);
    starving.join().expect("the thread that starves a worker");
    rows_flow(&pipeline, &mut connection, &mut rows).await;
    on_different_workers(&b, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: scripts/chaos workers"]
async fn twenty_kills_of_one_of_two_workers_lose_and_double_no_row() {
    let mut random = testkit::Random::new();
    let mut group = Group::on_postgres("twenty_kills").await;
    let workers = [group.worker(), group.worker()];
    let (pipeline, mut connection) = pipeline_on(&workers[0], "twenty_kills").await;
    let mut rows = 0;
    for _ in 0..20 {
        rows_flow(&pipeline, &mut connection, &mut rows).await;
        let victim = &workers[usize::from(random.below(2) == 0)];
        run(&mut connection, "INSERT INTO t (at) VALUES ('a')").await;
        rows += 1;
        let began = Instant::now();
        victim.kill();
        rows_flow(&pipeline, &mut connection, &mut rows).await;
        println!("taken over after {} ms", began.elapsed().as_millis());
        victim.restart();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "20 workers: scripts/chaos workers"]
async fn twenty_workers_have_three_or_four_slots_each_and_every_task_has_an_owner() {
    let mut group = Group::on_mariadb("twenty").await;
    let workers: Vec<Rowferry> = (0..20).map(|_| group.worker()).collect();
    let name = testkit::unique("twenty");
    create(&workers[0], &name, &idle_sink(&name, 40)).await;
    for_condition("fair shares", 2 * LONG, async || {
        let body = workers[0].rest().get("/v1/workers").await.body;
        let all = body["workers"].as_array().cloned().unwrap_or_default();
        all.len() == 20
            && all
                .iter()
                .all(|one| matches!(one["slots"].as_u64(), Some(3 | 4)))
            && all.iter().all(|one| one["tasks"].as_u64() > Some(0))
    })
    .await;
    tasks_on(&workers[19], &name, "any worker", |owners| {
        owners.len() == 40
    })
    .await;
}
