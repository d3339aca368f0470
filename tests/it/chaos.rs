//! Random faults while rows are written, then a comparison of every row: a short form of `scripts/chaos`, on the servers
//! that all tests share.

use std::time::Duration;

use testkit::chaos::{Field, Plan, Servers, run};

use crate::lab;

/// The seed is the same in every run unless `ROWFERRY_SEED` says otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_kills_among_other_faults_lose_double_and_change_nothing() {
    let seed = std::env::var("ROWFERRY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20);
    let mariadb = lab().mariadb();
    let servers = Servers {
        source: mariadb,
        mariadb,
        postgres: lab().postgres(),
        kafka: lab().kafka(),
        own: false,
    };
    let field = Field::on_shared(lab().scratch(), servers, seed).await;
    let (longest, pause) = (Duration::from_secs(4), Duration::from_millis(2500));
    let plan = Plan {
        cut: true,
        writers: 4,
        longest,
        pause,
        ..Plan::new(20, 30_000, seed)
    };
    let report = run(field, &plan, |line| println!("{line}")).await;
    println!("{}", report.text());
    assert!(report.is_clean(), "ROWFERRY_SEED={seed}\n{}", report.text());
    assert_eq!(report.made("worker kill -9"), 20);
}
