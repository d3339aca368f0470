//! Databases that close idle connections, roll back over locks, take privileges away, and hold huge rows.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::{count, run};
use testkit::{MariaDb, Rowferry, Usage, for_condition, unique};

use crate::crash::{LONG, assert_runs, quick_rejoin};
use crate::pipeline::Pipeline;
use crate::{SOON, lab};

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_the_database_closes_are_opened_again_silently() {
    let options = ["--wait-timeout=1", "--interactive-timeout=1"];
    let server = MariaDb::start_with_options(lab().scratch(), "mariadb-idle", &options);
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("idle"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(&server, "idle", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT)",
    )
    .await;
    pipeline
        .create(
            worker.rest(),
            &server,
            json!({"poll.interval.ms": "2500"}),
            json!({}),
        )
        .await;
    for row in 1..=5 {
        let mut own = server.connect(&pipeline.name).await;
        run(&mut own, "INSERT INTO t VALUES ()").await;
        for_condition("a row after a pause", SOON, async || {
            let mut own = server.connect(&pipeline.name).await;
            pipeline.arrived(&mut own).await == row
        })
        .await;
        for name in [pipeline.source_name(), pipeline.sink_name()] {
            let status = worker
                .rest()
                .get(&format!("/connectors/{name}/status"))
                .await
                .body;
            let task = &status["tasks"][0];
            assert!(
                task["state"] == "RUNNING" && task["warning"].is_null(),
                "{status}"
            );
        }
    }
    pipeline
        .assert_same(&mut server.connect(&pipeline.name).await)
        .await;
}

/// Tasks of the sink and a session of somebody else lock the same rows in opposite orders.
#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_and_lock_waits_are_retried() {
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("deadlocks"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "deadlocks", "t").await;
    topics.create(&pipeline.topic(), 4).await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL, at DATETIME(6) NOT NULL)",
    )
    .await;
    run(
        &mut connection,
        "INSERT INTO t SELECT seq, 0, NOW(6) FROM seq_1_to_200",
    )
    .await;
    let source = json!({"mode": "timestamp+incrementing", "timestamp.column.name": "at"});
    let sink = json!({"insert.mode": "upsert", "pk.mode": "record_key", "tasks.max": "4"});
    pipeline.create(worker.rest(), server, source, sink).await;
    pipeline.wait_arrived(&mut connection, 200, LONG).await;
    let table = format!("`{}`.`{}`", pipeline.copy, pipeline.topic());
    let mut rival = server.connect(&pipeline.copy).await;
    let end = std::time::Instant::now() + Duration::from_secs(12);
    let mut rounds = 0;
    while std::time::Instant::now() < end {
        run(&mut connection, "UPDATE t SET n = n + 1, at = NOW(6)").await;
        run(&mut rival, "SET innodb_lock_wait_timeout = 2").await;
        // from the last row to the first, with a pause in the middle; the rival may be the one that is rolled back
        for sql in [
            "BEGIN".to_owned(),
            format!(
                "SELECT COUNT(*) FROM (SELECT id FROM {table} WHERE id > 100 ORDER BY id DESC FOR UPDATE) a"
            ),
            format!("SELECT SLEEP(0.{}) ", 1 + rounds % 8),
            format!(
                "SELECT COUNT(*) FROM (SELECT id FROM {table} WHERE id <= 100 ORDER BY id DESC FOR UPDATE) a"
            ),
            "ROLLBACK".to_owned(),
        ] {
            let _may_be_the_victim = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                .execute(&mut rival)
                .await;
        }
        rounds += 1;
        let status = worker
            .rest()
            .get(&format!("/connectors/{}/status", pipeline.sink_name()))
            .await
            .body;
        let tasks = status["tasks"].as_array().unwrap();
        assert!(
            tasks.iter().all(|task| task["state"] != "FAILED"),
            "{status}"
        );
    }
    assert!(rounds > 4, "{rounds} rounds");
    pipeline.wait_same(&mut connection, LONG).await;
    assert_runs(&worker, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_privilege_fails_the_task_with_its_name_and_a_restart_after_a_grant_succeeds() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (pipeline, mut connection) = Pipeline::new(server, "revoked", "t").await;
    let user = unique("revoked_user");
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO t VALUES (1)",
    )
    .await;
    run(
        &mut connection,
        &format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'"),
    )
    .await;
    run(
        &mut connection,
        &format!("GRANT ALL ON `{}`.* TO '{user}'@'127.0.0.1'", pipeline.copy),
    )
    .await;
    run(
        &mut connection,
        &format!(
            "GRANT SELECT ON `{}`.* TO '{user}'@'127.0.0.1'",
            pipeline.name
        ),
    )
    .await;
    // MariaDB looks at the privileges of a database when a session begins
    let new_sessions = format!("KILL USER '{user}'@'127.0.0.1'");
    let account = json!({"connection.user": user, "connection.password": "pw"});
    pipeline
        .create(rest, server, account.clone(), account)
        .await;
    pipeline.wait_arrived(&mut connection, 1, SOON).await;

    // the sink's, which the next row needs
    run(
        &mut connection,
        &format!(
            "REVOKE INSERT ON `{}`.* FROM '{user}'@'127.0.0.1'",
            pipeline.copy
        ),
    )
    .await;
    run(&mut connection, &new_sessions).await;
    run(&mut connection, "INSERT INTO t VALUES (2)").await;
    let status = rest.wait_state(&pipeline.sink_name(), "FAILED", SOON).await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert!(
        trace.contains("INSERT") && trace.contains(&pipeline.topic()),
        "{trace}"
    );
    run(
        &mut connection,
        &format!(
            "GRANT INSERT ON `{}`.* TO '{user}'@'127.0.0.1'",
            pipeline.copy
        ),
    )
    .await;
    let restart = |name: String| async move {
        rest.post(
            &format!("/connectors/{name}/restart?includeTasks=true&onlyFailed=true"),
            &json!({}),
        )
        .await
        .expect(202);
    };
    restart(pipeline.sink_name()).await;
    pipeline.wait_arrived(&mut connection, 2, SOON).await;

    // the source's
    run(
        &mut connection,
        &format!(
            "REVOKE SELECT ON `{}`.* FROM '{user}'@'127.0.0.1'",
            pipeline.name
        ),
    )
    .await;
    run(&mut connection, &new_sessions).await;
    let status = rest
        .wait_state(&pipeline.source_name(), "FAILED", SOON)
        .await;
    let trace = status["tasks"][0]["trace"].as_str().unwrap();
    assert!(
        trace.contains("denied") && trace.contains(&pipeline.name),
        "{trace}"
    );
    run(
        &mut connection,
        &format!(
            "GRANT SELECT ON `{}`.* TO '{user}'@'127.0.0.1'",
            pipeline.name
        ),
    )
    .await;
    run(&mut connection, "INSERT INTO t VALUES (3)").await;
    restart(pipeline.source_name()).await;
    pipeline.wait_arrived(&mut connection, 3, SOON).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, 3);
    pipeline.remove(rest).await;
}

/// Rows of 4 MiB: what is in memory at once is a matter of bytes, not of rows.
#[tokio::test(flavor = "multi_thread")]
async fn huge_rows_go_through_within_limited_memory() {
    const ROWS: i64 = 80;
    const MEMORY: u64 = 320 << 20;
    let (server, topics) = (lab().mariadb(), lab().kafka().topics());
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("huge"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "huge", "t").await;
    topics
        .create_with(&pipeline.topic(), 1, &[("max.message.bytes", "8000000")])
        .await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, body LONGTEXT)",
    )
    .await;
    run(
        &mut connection,
        &format!("INSERT INTO t (body) SELECT REPEAT(SHA1(seq), 104857) FROM seq_1_to_{ROWS}"),
    )
    .await;
    let source = json!({"producer.override.max.request.size": "8000000", "column.types": "carry"});
    pipeline
        .create(worker.rest(), server, source, json!({}))
        .await;
    pipeline.wait_arrived(&mut connection, ROWS, LONG).await;
    let copy = format!("`{}`.`{}`", pipeline.copy, pipeline.topic());
    let differing =
        format!("SELECT COUNT(*) FROM t JOIN {copy} c USING (id) WHERE t.body <> c.body");
    assert_eq!(count(&mut connection, &differing).await, 0);
    assert_eq!(pipeline.arrived(&mut connection).await, ROWS);
    let peak = Usage::of(worker.pid()).peak;
    assert!(
        peak < MEMORY,
        "{} MiB resident for {} MiB of rows",
        peak >> 20,
        ROWS * 4
    );
    pipeline.remove(worker.rest()).await;
}

/// Equal stamps on both sides of every page, and a worker that dies among them.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_of_one_stamp_are_read_once_though_the_worker_is_killed() {
    const ROWS: i64 = 5_000;
    let server = lab().mariadb();
    let worker = Rowferry::start(
        lab().scratch(),
        quick_rejoin(&unique("stamps"), lab().kafka().brokers()),
    );
    let (pipeline, mut connection) = Pipeline::new(server, "stamps", "t").await;
    run(
        &mut connection,
        "CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(6) NOT NULL, note VARCHAR(100))",
    )
    .await;
    run(
        &mut connection,
        &format!(
            "INSERT INTO t SELECT seq, '2024-05-05 05:05:05.050505', SHA1(seq) FROM seq_1_to_{ROWS}"
        ),
    )
    .await;
    let source = json!({
        "mode": "timestamp+incrementing", "timestamp.column.name": "at", "batch.max.rows": "100",
        "transaction.boundary": "poll",
    });
    let sink = json!({"insert.mode": "insert", "pk.mode": "none", "consumer.override.max.poll.records": "100"});
    pipeline.create(worker.rest(), server, source, sink).await;
    for kill in 1..=3 {
        pipeline
            .wait_arrived(&mut connection, kill * 700, LONG)
            .await;
        worker.kill();
        worker.restart();
    }
    pipeline.wait_arrived(&mut connection, ROWS, LONG).await;
    assert_eq!(pipeline.assert_same(&mut connection).await, ROWS);
    crate::crash::assert_once_in_topic(&lab().kafka().topics(), &pipeline.topic(), ROWS);
}
