//! XA transactions and system-versioned tables.

use connector_api::{ErrorKind, SourceConnector};
use connector_jdbc::source::JdbcSource;
use tokio::time::timeout;

use crate::topic::{Capture, SOON, Topic, shown, text_of};

#[tokio::test]
async fn a_prepared_transaction_counts_once_it_is_committed() {
    let tables = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE other (id INT PRIMARY KEY); \
                  INSERT INTO t VALUES (1,'a')";
    let capture = Capture::new(tables, &[("batch.max.rows", "70")]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    // names are of the whole server
    let name = |n: &str| format!("'{}','{n}',7", capture.database);
    let prepare = |n: &str, sql: &str| {
        let xid = name(n);
        format!("XA START {xid}; {sql}; XA END {xid}; XA PREPARE {xid}")
    };
    capture
        .run(&prepare(
            "kept",
            "INSERT INTO t SELECT seq, 'kept' FROM seq_10_to_509; DELETE FROM t WHERE id = 1",
        ))
        .await;
    capture
        .run(&prepare("gone", "INSERT INTO t VALUES (2,'gone')"))
        .await;
    capture
        .run(&prepare("other", "INSERT INTO other VALUES (1)"))
        .await;
    let xid = name("one");
    capture.run(&format!("XA START {xid}; INSERT INTO t VALUES (3,'one'); XA END {xid}; XA COMMIT {xid} ONE PHASE")).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 2)
        .await;
    assert_eq!(topic.last().get("3"), Some(&Some("3|one".into())));
    assert_eq!(topic.records.len(), 2);
    capture.run("INSERT INTO t VALUES (4,'d')").await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 3)
        .await;
    // while the task is not there
    task.close().await;
    let end = |verb: &str, n: &str| format!("XA {verb} {}", name(n));
    capture
        .run(&format!(
            "{}; {}; INSERT INTO t VALUES (5,'e'); {}",
            end("ROLLBACK", "gone"),
            end("COMMIT", "other"),
            end("COMMIT", "kept")
        ))
        .await;
    while topic.records.len() < 505 {
        let mut task = topic.open(&capture.config).await;
        let before = topic.records.len();
        topic
            .poll(&mut *task, |topic| {
                topic.records.len() >= (before + 100).min(505)
            })
            .await;
        // a batch is lost
        drop(task.poll().await.unwrap());
        task.close().await;
    }
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    let mut task = topic.open(&capture.config).await;
    // the name is used again, at once
    capture
        .run(&format!(
            "{}; {}",
            prepare("gone", "UPDATE t SET v = 'again' WHERE id = 4"),
            end("COMMIT", "gone")
        ))
        .await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 506)
        .await;
    assert_eq!(topic.records.len(), 506);
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    task.close().await;
}

#[tokio::test]
async fn a_transaction_that_was_prepared_before_the_connector_began_is_not_missed() {
    let capture = Capture::new(
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1,'a')",
        &[],
    )
    .await;
    let xid = format!("'{}'", capture.database);
    capture
        .run(&format!(
            "XA START {xid}; INSERT INTO t VALUES (2,'b'); XA END {xid}; XA PREPARE {xid}"
        ))
        .await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    assert_eq!(topic.records.len(), 1);
    let warnings = task.progress().warnings;
    assert!(
        warnings.iter().any(|text| text.contains("XA RECOVER")),
        "{warnings:?}"
    );
    capture.run(&format!("XA COMMIT {xid}")).await;
    let failing = async {
        loop {
            match task.poll().await {
                Ok(batch) => topic.commit(batch),
                Err(error) => break error,
            }
        }
    };
    let error = timeout(SOON, failing).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("prepared before"), "{error}");
    assert_eq!(topic.records.len(), 1);
    task.close().await;
}

#[tokio::test]
async fn a_system_versioned_table_is_captured_as_it_is_now() {
    let tables = [
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)) WITH SYSTEM VERSIONING",
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20), von TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE, \
         bis TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (von, bis)) WITH SYSTEM VERSIONING",
    ];
    for (table, metadata) in tables
        .iter()
        .flat_map(|table| [(table, "FULL"), (table, "NO_LOG")])
    {
        let capture = Capture::new(table, &[]).await;
        capture
            .run(&format!("SET GLOBAL binlog_row_metadata = {metadata}"))
            .await;
        capture
            .run("INSERT INTO t (id, v) VALUES (1,'a'),(2,'b'),(3,'c'); DELETE FROM t WHERE id = 3")
            .await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic.poll(&mut *task, Topic::follows).await;
        assert_eq!(topic.records.len(), 2, "{table}");
        capture
            .run("INSERT INTO t (id, v) VALUES (4,'d'); UPDATE t SET v = 'B' WHERE id = 2; DELETE FROM t WHERE id = 1; \
                  UPDATE t SET id = 5 WHERE id = 4; DELETE HISTORY FROM t")
            .await;
        capture.run("SET SESSION system_versioning_alter_history = KEEP; ALTER TABLE t ADD w INT DEFAULT 7").await;
        capture.run("INSERT INTO t (id, v) VALUES (6,'end')").await;
        topic
            .poll(&mut *task, |topic| topic.last().contains_key("6"))
            .await;
        let seen: Vec<_> = topic.records[2..7]
            .iter()
            .map(|record| {
                text_of(record).unwrap_or_else(|| format!("-{}", shown(&record.key.value)))
            })
            .collect();
        assert_eq!(
            seen,
            ["4|d", "2|B", "-1", "-4", "5|d"],
            "{table} with {metadata}"
        );
        assert_eq!(topic.records.len(), 8, "{table}");
        task.close().await;
    }
}

#[tokio::test]
async fn a_table_that_is_versioned_by_transactions_is_refused() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, von BIGINT UNSIGNED GENERATED ALWAYS AS ROW START INVISIBLE, \
         bis BIGINT UNSIGNED GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (von, bis)) WITH SYSTEM VERSIONING";
    let capture = Capture::new(table, &[]).await;
    let plan = JdbcSource.plan(&capture.config, 1).await.unwrap();
    let error = JdbcSource
        .open(&plan.tasks[0], &Topic::default())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("TIMESTAMP(6)"), "{error}");
}
