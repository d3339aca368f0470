//! Where reading begins, and which offset goes with which record.

use connector_api::OffsetValue;

use super::fixture::{DATABASES, Fixture};

const TIMESTAMP: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "modified")];

#[tokio::test]
async fn the_initial_timestamp_is_given_or_1970_or_now() {
    for server in DATABASES {
        for (initial, want) in [
            (None, vec!["1", "2"]),
            (Some("100"), vec!["2"]),
            (Some("-1"), vec!["3"]),
        ] {
            let mut fixture = Fixture::new(server, &TIMESTAMP).await;
            if let Some(initial) = initial {
                fixture.set(&[("timestamp.initial", initial)]);
            }
            fixture
                .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp} NOT NULL)")
                .await;
            fixture
                .sql("INSERT INTO test VALUES (1, '1970-01-01 00:00:00.050')")
                .await;
            fixture
                .sql("INSERT INTO test VALUES (2, '1970-01-01 00:00:00.150')")
                .await;
            let mut task = fixture.open().await;
            if initial == Some("-1") {
                fixture.nothing_more(&mut *task).await;
                // stamped by another clock, which is a second ahead
                fixture.sql("INSERT INTO test VALUES (3, {soon})").await;
            }
            assert_eq!(
                fixture.column(&mut *task, "id", want.len()).await,
                want,
                "{initial:?}"
            );
            task.close().await;
        }
    }
}

#[tokio::test]
async fn offsets_of_the_older_protocol_are_read() {
    for server in DATABASES {
        let keys = [("mode", "incrementing"), ("incrementing.column.name", "id")];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture.sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY); INSERT INTO test VALUES (1),(2),(3)").await;
        fixture
            .stored
            .set(&[("table", "test")], &[("incrementing", 1)]);
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["2", "3"]);
        assert_eq!(
            fixture.stored.last(),
            format!("protocol=1 table={} | incrementing=3", fixture.full("test"))
        );
        task.close().await;
    }
}

#[tokio::test]
async fn offsets_of_the_current_protocol_take_precedence_over_older_ones() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "modified"),
            ("incrementing.column.name", "id"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL, modified {stamp} NOT NULL)")
            .await;
        for (id, millis) in [(2, 9), (3, 10), (4, 11), (5, 12), (1, 13)] {
            fixture
                .sql(&format!(
                    "INSERT INTO test VALUES ({id}, '1970-01-01 00:00:00.{millis:03}')"
                ))
                .await;
        }
        fixture.stored.set(
            &[("table", "test")],
            &[("timestamp", 12), ("incrementing", 5)],
        );
        let full = fixture.full("test");
        // without nanoseconds the milliseconds count
        fixture.stored.set(
            &[("protocol", "1"), ("table", &full)],
            &[("timestamp", 10), ("incrementing", 3)],
        );
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 3).await, ["4", "5", "1"]);
        task.close().await;
    }
}

#[tokio::test]
async fn a_timestamp_is_stored_once_its_last_row_was_emitted() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.set(&[("batch.max.rows", "1")]);
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp} NOT NULL)")
            .await;
        for (id, millis) in [(1, 10), (2, 10), (3, 20), (4, 20)] {
            fixture
                .sql(&format!(
                    "INSERT INTO test VALUES ({id}, '1970-01-01 00:00:00.{millis:03}')"
                ))
                .await;
        }
        let mut task = fixture.open().await;
        let mut stamps = Vec::new();
        while stamps.len() < 4 {
            let batch = task.poll().await.unwrap();
            let offset = batch
                .positions
                .last()
                .and_then(|position| position.offset.clone());
            if !batch.records.is_empty() {
                let stamp = offset.and_then(|offset| offset.get("timestamp").cloned());
                stamps.push(match stamp {
                    Some(OffsetValue::Long(n)) => n,
                    other => panic!("{other:?}"),
                });
            }
        }
        assert_eq!(stamps, [0, 10, 10, 20], "{server:?}");
        task.close().await;
    }
}

#[tokio::test]
async fn after_a_lost_connection_rows_after_the_stored_offset_are_read_again() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.set(&[("batch.max.rows", "1")]);
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp} NOT NULL)")
            .await;
        for (id, millis) in [(1, 10), (2, 10), (3, 20), (4, 20)] {
            fixture
                .sql(&format!(
                    "INSERT INTO test VALUES ({id}, '1970-01-01 00:00:00.{millis:03}')"
                ))
                .await;
        }
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["1", "2"]);
        // what came after is lost with the task; the next one goes on where the stored offset says
        task.close().await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["3", "4"]);
        fixture.nothing_more(&mut *task).await;
        task.close().await;
    }
}
