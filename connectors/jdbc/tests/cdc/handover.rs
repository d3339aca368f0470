//! A connector whose mode becomes `cdc`.

use std::collections::HashSet;

use connector_api::SourcePosition;
use testkit::mariadb::run;

use crate::topic::{Capture, Topic, server, text_of};

/// Polls in `mode=incrementing` until the topic has so many records.
async fn poll_by_id(topic: &mut Topic, capture: &Capture, records: usize) {
    let mut config = capture.config.clone();
    config.set("mode", "incrementing");
    let mut task = topic.open_any(&config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= records)
        .await;
    task.close().await;
}

#[tokio::test]
async fn rows_above_a_missing_id_are_not_sent_again_when_a_polled_table_is_captured() {
    let tables = [
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))",
        "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))",
        // the incrementing column is not the key, or there is none
        "CREATE TABLE t (k VARCHAR(40) PRIMARY KEY DEFAULT UUID(), id INT AUTO_INCREMENT UNIQUE, v VARCHAR(20))",
        "CREATE TABLE t (id INT AUTO_INCREMENT UNIQUE, v VARCHAR(20))",
    ];
    for table in tables {
        let capture = Capture::new(table, &[("incrementing.column.name", "id")]).await;
        capture
            .run("INSERT INTO t (id, v) VALUES (1,'a'),(2,'b'),(5,'c'),(6,'d'),(7,'e'); CREATE TABLE u (id INT)")
            .await;
        // a transaction that may have taken the missing ids
        let mut open = server().connect(&capture.database).await;
        run(&mut open, "START TRANSACTION; INSERT INTO u VALUES (1)").await;
        let mut topic = Topic::default();
        poll_by_id(&mut topic, &capture, 5).await;
        let is_missing = |position: &SourcePosition| position.offset.as_ref()?.get("gaps").cloned();
        assert!(
            topic
                .offsets
                .iter()
                .any(|position| is_missing(position).is_some())
        );
        let mut task = topic.open(&capture.config).await;
        let committing = async {
            run(
                &mut open,
                "INSERT INTO t (id, v) VALUES (3,'late'),(4,'later'); COMMIT",
            )
            .await;
            capture.run("UPDATE t SET v = 'C' WHERE v = 'c'; DELETE FROM t WHERE v = 'd'; INSERT INTO t (v) VALUES ('f')").await;
        };
        let shows = |topic: &Topic, row: &str| {
            let rows = topic.records.iter().filter_map(text_of);
            rows.filter(|text| text.split('|').any(|v| v == row))
                .count()
        };
        committing.await;
        let all = |topic: &Topic| {
            ["late", "later", "C", "f"]
                .iter()
                .all(|row| shows(topic, row) > 0)
        };
        topic
            .poll(&mut *task, |topic| all(topic) && topic.follows())
            .await;
        for row in ["a", "b", "c", "d", "e", "late", "later", "C", "f"] {
            assert_eq!(shows(&topic, row), 1, "{row} of {table}");
        }
        if table.contains("PRIMARY KEY") {
            assert_eq!(
                topic
                    .records
                    .iter()
                    .filter(|record| text_of(record).is_none())
                    .count(),
                1,
                "{table}"
            );
        }
        task.close().await;
    }
}

#[tokio::test]
async fn a_connector_goes_from_incrementing_to_cdc_in_place() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20)); INSERT INTO t (v) VALUES ('a'),('b'),('c')";
    let capture = Capture::new(table, &[]).await;
    let mut polling = capture.config.clone();
    polling.set("mode", "incrementing");
    let mut topic = Topic::default();
    let mut task = topic.open_any(&polling).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 3)
        .await;
    task.close().await;
    capture.run("INSERT INTO t (v) VALUES ('d')").await;
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 4)
        .await;
    capture
        .run("UPDATE t SET v = 'B' WHERE id = 2; DELETE FROM t WHERE id = 1")
        .await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 6)
        .await;
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    let schemas: HashSet<_> = topic
        .records
        .iter()
        .filter_map(|r| r.value.schema.as_ref())
        .map(|s| format!("{s:?}"))
        .collect();
    assert_eq!(schemas.len(), 1);
    task.close().await;
}
