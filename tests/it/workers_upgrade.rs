//! Workers of two versions side by side: a rolling upgrade, and back, under load. `ROWFERRY_OLD_BIN` is the path of
//! the older program.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use sqlx::MySqlConnection;
use testkit::mariadb::run;
use testkit::{Rowferry, for_condition};

use crate::lab;
use crate::pipeline::Pipeline;
use crate::workers::{Group, on_different_workers, stop_worker};

const LONG: Duration = Duration::from_secs(120);

async fn more(connection: &mut MySqlConnection, rows: &mut i64) {
    for _ in 0..50 {
        run(connection, "INSERT INTO t (at) VALUES ('a')").await;
        *rows += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an older program: ROWFERRY_OLD_BIN=PATH scripts/test --test it workers_upgrade -- --ignored"]
async fn workers_are_upgraded_and_downgraded_one_by_one_without_a_row_lost_or_doubled() {
    let old = std::env::var_os("ROWFERRY_OLD_BIN").map(PathBuf::from);
    let old = old.expect("ROWFERRY_OLD_BIN is the path of an older program");
    let mut group = Group::on_mariadb("upgrade").await;
    let mut start = |program: Option<&PathBuf>| {
        let settings = group.settings().of_program(program.cloned());
        Rowferry::start(lab().scratch(), settings)
    };
    let mut workers = vec![start(Some(&old)), start(Some(&old))];
    let server = lab().mariadb();
    let (pipeline, mut connection) = Pipeline::new(server, "upgrade", "t").await;
    let table = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT)";
    run(&mut connection, table).await;
    let insert = json!({"insert.mode": "insert", "pk.mode": "none"});
    pipeline
        .create(workers[0].rest(), server, json!({}), insert)
        .await;
    let mut rows = 0;
    // Old ones are replaced by new ones, and these by old ones again.
    for program in [None, None, Some(&old), Some(&old)] {
        more(&mut connection, &mut rows).await;
        stop_worker(&workers.remove(0));
        more(&mut connection, &mut rows).await;
        let next = start(program);
        for_condition("the new worker to be ready", LONG, async || {
            next.rest().get("/readyz").await.status == 200
        })
        .await;
        workers.push(next);
        pipeline.wait_arrived(&mut connection, rows, LONG).await;
        assert_eq!(pipeline.assert_same(&mut connection).await, rows);
        for worker in &workers {
            on_different_workers(worker, &pipeline).await;
        }
    }
}
