//! `delete.marker.column`: rows that are marked as deleted.

use connector_api::{ErrorKind, SourceConnector};
use connector_jdbc::source::JdbcSource;

use super::place::{Place, Topic};
use crate::source::PLENTY;
use crate::source_conformance::fixture::{DATABASES, Server};

const OFF: (&str, &str) = ("delete.capture", "none");

#[tokio::test]
async fn a_marked_row_is_a_tombstone_whatever_type_the_mark_has() {
    for server in DATABASES {
        for (ty, live, deleted) in [
            ("BOOLEAN", ["FALSE", "NULL"], ["TRUE", "TRUE"]),
            ("SMALLINT", ["0", "NULL"], ["1", "-2"]),
            ("DECIMAL(5,2)", ["0.00", "NULL"], ["0.01", "-1"]),
            (
                "TIMESTAMP NULL",
                ["NULL", "NULL"],
                ["'2024-01-01 00:00:00'", "'1999-12-31 23:59:59'"],
            ),
            ("DATE", ["NULL", "NULL"], ["'2024-01-01'", "'1970-01-01'"]),
        ] {
            let mut place = Place::new(server).await;
            place
                .run(&format!(
                    "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, gone {ty})"
                ))
                .await;
            for (id, mark) in live.iter().chain(&deleted).enumerate() {
                place
                    .run(&format!("INSERT INTO t VALUES ({}, {mark})", id + 1))
                    .await;
            }
            let keys = [
                OFF,
                ("incrementing.column.name", "id"),
                ("delete.marker.column", "gone"),
            ];
            let mut topic = Topic::default();
            let mut task = topic.open(&place.source(&keys)).await;
            assert!(
                topic
                    .poll(&mut *task, PLENTY, |topic| topic.records.len() == 4)
                    .await
            );
            assert_eq!(
                (topic.tombstones().join(","), topic.live().join(",")),
                ("3,4".into(), "1,2".into()),
                "{server:?} {ty}"
            );
            task.close().await;
        }
    }
}

/// As applications delete softly: a time of deletion, and a time of the last change.
#[tokio::test]
async fn a_row_that_is_marked_later_is_deleted_and_emitted_again_when_the_mark_is_removed() {
    let mut place = Place::new(Server::MariaDb).await;
    place
        .run("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, changed DATETIME(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6), gone DATETIME)")
        .await;
    place.run("INSERT INTO t (id) VALUES (1), (2)").await;
    let keys = [
        OFF,
        ("mode", "timestamp"),
        ("timestamp.column.name", "changed"),
        ("delete.marker.column", "gone"),
    ];
    let mut topic = Topic::default();
    let mut task = topic.open(&place.source(&keys)).await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 2)
            .await
    );
    place.run("UPDATE t SET gone = NOW() WHERE id = 2").await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 3)
            .await
    );
    assert_eq!(
        (topic.tombstones().join(","), topic.live().join(",")),
        ("2".into(), "1".into())
    );
    place.run("UPDATE t SET gone = NULL WHERE id = 2").await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 4)
            .await
    );
    assert_eq!(topic.live(), ["1", "2"]);
    task.close().await;
}

#[tokio::test]
async fn a_marker_that_is_not_there_or_cannot_tell_is_refused() {
    for (column, want) in [
        ("other", "has no column other (delete.marker.column)"),
        ("name", "is a text"),
    ] {
        let mut place = Place::new(Server::Sqlite).await;
        place
            .run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, name TEXT)")
            .await;
        let config = place.source(&[OFF, ("delete.marker.column", column)]);
        let (plan, topic) = (JdbcSource.plan(&config, 1).await.unwrap(), Topic::default());
        let opened = JdbcSource.open(&plan.tasks[0], &topic);
        let Err(error) = opened.await else {
            panic!("{column} was accepted")
        };
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(want), "{error}");
    }
}
