//! SQLite has no type for points in time: what a column holds is seen from its values, also from those that come later.

use super::compared::probed;
use super::fixture::{Fixture, Server};
use crate::source_tables::poll_until_warned;

const STAMP: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "c")];
const QUERY: (&str, &str) = ("query", "SELECT id, c FROM test");

#[tokio::test]
async fn values_that_come_later_are_checked_like_those_of_the_start() {
    for (keys, declared) in [
        (STAMP.to_vec(), "REAL NOT NULL"),
        ([&STAMP[..], &[QUERY]].concat(), "REAL"),
        (STAMP.to_vec(), "NOT NULL"),
    ] {
        for (value, is_time) in [("1704103200.5", false), ("julianday('2024-01-01')", true)] {
            let mut fixture = Fixture::new(Server::Sqlite, &keys).await;
            fixture
                .sql(&format!("CREATE TABLE test (id INT, c {declared})"))
                .await;
            assert_eq!(probed(&fixture).await, (vec![], vec![]), "{declared}");
            let mut task = fixture.open().await;
            fixture.nothing_more(&mut *task).await;
            fixture
                .sql(&format!("INSERT INTO test VALUES (1, {value})"))
                .await;
            if is_time {
                assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
                fixture.nothing_more(&mut *task).await;
            } else {
                let error = fixture.error(&mut *task).await;
                assert!(error.contains("the values of c are not dates"), "{error}");
            }
            task.close().await;
        }
    }
}

#[tokio::test]
async fn integers_that_count_seconds_are_read_and_warned_of() {
    for query in [&[][..], &[QUERY]] {
        for (declared, value, warns) in [
            ("INTEGER", "1704103200", true),
            ("DATETIME", "1704103200", true),
            ("", "1704103200", true),
            ("INTEGER", "1704103200000", false),
        ] {
            let mut fixture = Fixture::new(Server::Sqlite, &[&STAMP[..], query].concat()).await;
            fixture
                .sql(&format!("CREATE TABLE test (id INT, c {declared} NOT NULL); INSERT INTO test VALUES (1, {value})"))
                .await;
            let (errors, warnings) = probed(&fixture).await;
            let about = format!("{declared} {value}: {errors:?} {warnings:?}");
            assert_eq!(
                (errors.len(), warnings.len()),
                (0, usize::from(warns)),
                "{about}"
            );
            let mut task = fixture.open().await;
            assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"], "{about}");
            if warns {
                assert!(
                    warnings[0].contains(
                        "timestamp.column.name: column c: its integers seem to count seconds"
                    ),
                    "{about}"
                );
                poll_until_warned(&mut *task, &["seem to count seconds", "c * 1000 AS c"]).await;
            }
            task.close().await;
        }
    }
}
