//! Tables that another session has locked: the wait is bounded, and the status says what is waited for.

use std::time::Duration;

use serde_json::json;
use testkit::mariadb::run;
use testkit::{MariaDb, for_condition};

use super::{poll_until, poll_until_warned};
use crate::pipeline::Pipeline;
use crate::source::{Stored, config, open};
use crate::source_conformance::fixture::{Fixture, SERVERS, Server};
use crate::{SOON, lab};

#[tokio::test]
async fn a_session_waits_for_locks_no_longer_than_half_a_minute() {
    for server in SERVERS {
        let (query, want) = match server {
            Server::MariaDb => (
                "SELECT 1 AS id, CAST(@@lock_wait_timeout AS CHAR) AS n",
                "30",
            ),
            _ => (
                "SELECT 1 AS id, current_setting('lock_timeout') AS n",
                "30s",
            ),
        };
        let keys = [
            ("mode", "bulk"),
            ("query", query),
            ("poll.interval.ms", "60000"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        let mut task = fixture.open().await;
        let seen = fixture.column(&mut *task, "n", 1).await;
        assert!(seen[0].contains(want), "{server:?}: {seen:?}");
        task.close().await;
    }
}

/// With a shorter wait, which a URL can ask for.
#[tokio::test]
async fn a_table_locked_by_lock_tables_is_named_and_read_when_it_is_free() {
    let (task, mut sql, database) = super::two_tables(&[]).await;
    task.close().await;
    let url = lab().mariadb().jdbc_url(&database);
    let sign = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{sign}sessionVariables=lock_wait_timeout=1");
    let keys = [
        ("table.whitelist", "a,b"),
        ("mode", "incrementing"),
        ("table.poll.interval.ms", "500"),
    ];
    let config = config(&url, MariaDb::USER, MariaDb::PASSWORD, &keys);
    let mut task = open(&config, &Stored::default()).await;
    poll_until(&mut *task, "p-a 1").await;
    run(&mut sql, "LOCK TABLES a WRITE").await;
    let table = format!("{database}.a");
    poll_until_warned(
        &mut *task,
        &[
            &table,
            "trying again",
            "Lock wait timeout",
            "SHOW PROCESSLIST",
        ],
    )
    .await;
    run(&mut sql, "INSERT INTO a (n) VALUES (2); UNLOCK TABLES").await;
    poll_until(&mut *task, "p-a 2").await;
    task.close().await;
}

/// Nothing bounds the wait here, so the task is stalled, and its warning says for what.
#[tokio::test]
async fn the_warning_about_a_stalled_task_names_the_lock() {
    let (server, rest) = (lab().mariadb(), lab().worker().rest());
    let (one, mut sql) = Pipeline::new(server, "locked", "t").await;
    run(
        &mut sql,
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, at TEXT); INSERT INTO t (at) VALUES ('x')",
    )
    .await;
    let url = server.jdbc_url(&one.name);
    let sign = if url.contains('?') { '&' } else { '?' };
    let source = json!({
        "connection.url": format!("{url}{sign}sessionVariables=lock_wait_timeout=1000"),
        "task.progress.timeout.ms": "20000",
    });
    one.create(rest, server, source, json!({})).await;
    one.wait_arrived(&mut sql, 1, Duration::from_secs(90)).await;
    run(&mut sql, "LOCK TABLES t WRITE").await;
    let name = one.source_name();
    for_condition("the warning", SOON, async || {
        let status = rest.get(&format!("/connectors/{name}/status")).await;
        status.text.contains("stalled: since")
            && status.text.contains("Waiting for table metadata lock")
    })
    .await;
    run(&mut sql, "UNLOCK TABLES").await;
    run(&mut sql, "INSERT INTO t (at) VALUES ('y')").await;
    one.wait_arrived(&mut sql, 2, Duration::from_secs(90)).await;
    one.remove(rest).await;
}
