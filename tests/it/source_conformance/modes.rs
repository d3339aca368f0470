//! Bulk, incrementing, timestamp, both together, and queries.

use std::time::Duration;

use super::fixture::{DATABASES, Fixture, described, member, shown};

const TIMESTAMP: [(&str, &str); 2] = [("mode", "timestamp"), ("timestamp.column.name", "modified")];
const BOTH: [(&str, &str); 3] = [
    ("mode", "timestamp+incrementing"),
    ("timestamp.column.name", "modified"),
    ("incrementing.column.name", "id"),
];
const STAMPED: &str = "CREATE TABLE test (id INT NOT NULL, modified {stamp} NOT NULL)";
const TWO_STAMPS: &str =
    "CREATE TABLE test (id INT NOT NULL, modified {stamp}, created {stamp} NOT NULL)";

/// `(id, milliseconds)` as rows of `test`.
fn stamped(rows: &[(i64, u32)]) -> String {
    let row = |(id, millis): &(i64, u32)| format!("({id},'1970-01-01 00:00:00.{millis:03}')");
    format!(
        "INSERT INTO test (id, modified) VALUES {}",
        rows.iter().map(row).collect::<Vec<_>>().join(",")
    )
}

/// `(modified, created, id)` as rows of `test`.
fn twice_stamped(rows: &[(Option<u32>, u32, i64)]) -> String {
    let time = |millis: u32| format!("'1970-01-01 00:00:00.{millis:03}'");
    let row = |(modified, created, id): &(Option<u32>, u32, i64)| {
        format!(
            "({id},{},{})",
            modified.map_or("NULL".to_owned(), time),
            time(*created)
        )
    };
    format!(
        "INSERT INTO test (id, modified, created) VALUES {}",
        rows.iter().map(row).collect::<Vec<_>>().join(",")
    )
}

#[tokio::test]
async fn bulk_mode_reads_all_rows_at_each_poll() {
    for server in DATABASES {
        let mut fixture =
            Fixture::new(server, &[("mode", "bulk"), ("poll.interval.ms", "100")]).await;
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY); INSERT INTO test VALUES (1)")
            .await;
        let mut task = fixture.open().await;
        let first = fixture.read(&mut *task, 1).await;
        assert_eq!(
            (&*first[0].topic, shown(member(&first[0], "id"))),
            ("test-test", "1".into())
        );
        assert_eq!(fixture.stored.last(), "table=test | null");
        fixture.sql("INSERT INTO test VALUES (2)").await;
        // a pass that was under way may still have begun before
        let mut seen = Vec::new();
        while !seen.ends_with(&["1".to_owned(), "2".to_owned()]) {
            seen.extend(fixture.next_ids(&mut *task).await);
        }
        fixture.sql("DELETE FROM test WHERE id = 1").await;
        while !seen.ends_with(&["2".to_owned(), "2".to_owned()]) {
            seen.extend(fixture.next_ids(&mut *task).await);
        }
        task.close().await;
    }
}

#[tokio::test]
async fn incrementing_mode_reads_each_row_once() {
    for server in DATABASES {
        let mut fixture = Fixture::new(
            server,
            &[("mode", "incrementing"), ("incrementing.column.name", "id")],
        )
        .await;
        fixture
            .sql("CREATE TABLE test (id INT NOT NULL); INSERT INTO test VALUES (1)")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        fixture.sql("INSERT INTO test VALUES (2),(3)").await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["2", "3"]);
        fixture.nothing_more(&mut *task).await;
        assert_eq!(
            fixture.stored.last(),
            format!("protocol=1 table={} | incrementing=3", fixture.full("test"))
        );
        task.close().await;
    }
}

#[tokio::test]
async fn timestamp_mode_reads_rows_with_later_timestamps() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.sql(STAMPED).await;
        fixture.sql(&stamped(&[(1, 10)])).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        fixture.nothing_more(&mut *task).await;
        // a stamp that was read before counts as done, as with the peers
        fixture.sql(&stamped(&[(2, 10), (3, 11), (4, 12)])).await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["3", "4"]);
        fixture.nothing_more(&mut *task).await;
        task.close().await;
    }
}

#[tokio::test]
async fn the_first_timestamp_that_is_not_null_counts() {
    for server in DATABASES {
        let keys = [
            ("mode", "timestamp"),
            ("timestamp.column.name", "modified, created"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture.sql(TWO_STAMPS).await;
        fixture.sql(&twice_stamped(&[(None, 10, 1)])).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        fixture
            .sql(&twice_stamped(&[
                (Some(13), 10, 2),
                (None, 11, 3),
                (None, 12, 4),
            ]))
            .await;
        assert_eq!(fixture.column(&mut *task, "id", 3).await, ["3", "4", "2"]);
        task.close().await;
    }
}

#[tokio::test]
async fn rows_are_delayed_by_timestamp_delay_interval_ms() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.set(&[
            ("timestamp.delay.interval.ms", "4000"),
            ("batch.max.rows", "2"),
        ]);
        fixture.sql(STAMPED).await;
        fixture.sql(&stamped(&[(1, 10), (2, 11)])).await;
        fixture.sql("INSERT INTO test VALUES (3, {now})").await;
        fixture.sql("INSERT INTO test VALUES (4, {now})").await;
        let begun = std::time::Instant::now();
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["1", "2"]);
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["3", "4"]);
        assert!(
            begun.elapsed() > Duration::from_secs(3),
            "after {:?}",
            begun.elapsed()
        );
        task.close().await;
    }
}

#[tokio::test]
async fn timestamp_initial_skips_older_rows() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.set(&[("timestamp.initial", "100")]);
        fixture.sql(STAMPED).await;
        fixture.sql(&stamped(&[(1, 10), (2, 100), (3, 110)])).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["3"]);
        fixture.sql(&stamped(&[(4, 120)])).await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["4"]);
        task.close().await;
    }
}

#[tokio::test]
async fn rows_of_equal_timestamps_are_ordered_by_the_id() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &BOTH).await;
        fixture.sql(STAMPED).await;
        fixture.sql(&stamped(&[(1, 10)])).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        fixture.sql(&stamped(&[(3, 10), (1, 11)])).await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["3", "1"]);
        let offset = "timestamp_nanos=11000000 incrementing=1 timestamp=11";
        assert_eq!(
            fixture.stored.last(),
            format!("protocol=1 table={} | {offset}", fixture.full("test"))
        );
        task.close().await;
    }
}

#[tokio::test]
async fn several_timestamp_columns_and_an_id_column_are_combined() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &BOTH).await;
        fixture.set(&[("timestamp.column.name", "modified,created")]);
        fixture.sql(TWO_STAMPS).await;
        fixture.sql(&twice_stamped(&[(None, 10, 1)])).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 1).await, ["1"]);
        fixture
            .sql(&twice_stamped(&[(None, 10, 3), (Some(11), 10, 1)]))
            .await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["3", "1"]);
        task.close().await;
    }
}

#[tokio::test]
async fn timestamps_are_wall_times_of_the_databases_time_zone() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &TIMESTAMP).await;
        fixture.set(&[("db.timezone", "America/Los_Angeles")]);
        fixture.sql(STAMPED).await;
        fixture
            .sql("INSERT INTO test VALUES (1, '1969-12-31 16:00:00.010')")
            .await;
        let mut task = fixture.open().await;
        let read = fixture.read(&mut *task, 1).await;
        assert_eq!(described(&read[0], "modified"), "int64 Timestamp 10");
        task.close().await;
    }
}

const JOIN: &str =
    "SELECT test.id, test.modified, users.name FROM test JOIN users ON test.user_id = users.id";

async fn joined(keys: &[(&str, &str)], server: super::fixture::Server) -> Fixture {
    let mut fixture = Fixture::new(server, &[&[("query", JOIN)], keys].concat()).await;
    fixture
        .sql(
            "CREATE TABLE users (id INT NOT NULL PRIMARY KEY, name VARCHAR(10));
             CREATE TABLE test (id INT NOT NULL PRIMARY KEY, modified {stamp} NOT NULL, user_id INT NOT NULL);
             INSERT INTO users VALUES (1, 'Alice'), (2, 'Bob');
             INSERT INTO test VALUES (1, '1970-01-01 00:00:00.010', 1)",
        )
        .await;
    fixture
}

#[tokio::test]
async fn a_query_in_bulk_mode_is_run_at_each_poll() {
    for server in DATABASES {
        let mut fixture =
            joined(&[("mode", "bulk"), ("poll.interval.ms", "3600000")], server).await;
        let mut task = fixture.open().await;
        let read = fixture.read(&mut *task, 1).await;
        assert_eq!(
            (&*read[0].topic, shown(member(&read[0], "name"))),
            ("test-", "Alice".into())
        );
        assert_eq!(fixture.stored.last(), "query=query | null");
        task.close().await;
    }
}

#[tokio::test]
async fn a_query_in_timestamp_mode_reads_new_rows() {
    for server in DATABASES {
        let mut fixture = joined(&TIMESTAMP, server).await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "name", 1).await, ["Alice"]);
        fixture
            .sql("INSERT INTO test VALUES (2, '1970-01-01 00:00:00.010', 2)")
            .await;
        fixture
            .sql("INSERT INTO test VALUES (3, '1970-01-01 00:00:00.011', 1)")
            .await;
        fixture
            .sql("INSERT INTO test VALUES (4, '1970-01-01 00:00:00.012', 2)")
            .await;
        let mut seen = Vec::new();
        while seen.last().is_none_or(|id| id != "4") {
            seen.extend(fixture.next_ids(&mut *task).await);
        }
        assert_eq!(seen, ["3", "4"]);
        assert_eq!(
            fixture.stored.last(),
            "query=query | timestamp_nanos=12000000 timestamp=12"
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_suffix_ends_every_statement() {
    for server in DATABASES {
        let mut fixture = Fixture::new(server, &BOTH).await;
        fixture.set(&[("query.suffix", "LIMIT 2 /* SUFFIX */")]);
        fixture.sql(STAMPED).await;
        fixture
            .sql(&stamped(&[(1, 10), (2, 10), (3, 11), (4, 11), (5, 12)]))
            .await;
        let mut task = fixture.open().await;
        assert_eq!(
            fixture.column(&mut *task, "id", 5).await,
            ["1", "2", "3", "4", "5"]
        );
        task.close().await;
    }
}

#[tokio::test]
async fn a_suffix_may_filter_the_rows_of_a_query() {
    for server in DATABASES {
        let keys = [
            ("query", "SELECT id, name FROM test"),
            ("mode", "bulk"),
            ("query.suffix", "WHERE id <= 2"),
            ("poll.interval.ms", "3600000"),
        ];
        let mut fixture = Fixture::new(server, &keys).await;
        fixture
            .sql("CREATE TABLE test (id INT, name VARCHAR(5)); INSERT INTO test VALUES (1,'a'),(2,'b'),(3,'c')")
            .await;
        let mut task = fixture.open().await;
        assert_eq!(fixture.column(&mut *task, "id", 2).await, ["1", "2"]);
        fixture.nothing_more(&mut *task).await;
        task.close().await;
    }
}

#[tokio::test]
async fn a_schedule_says_when_to_read() {
    let keys = [
        ("mode", "bulk"),
        ("poll.schedule", "* * * * * *"),
        ("poll.interval.ms", "3600000"),
    ];
    let mut fixture = Fixture::new(DATABASES[0], &keys).await;
    fixture
        .sql("CREATE TABLE test (id INT NOT NULL PRIMARY KEY); INSERT INTO test VALUES (1)")
        .await;
    let mut task = fixture.open().await;
    fixture.read(&mut *task, 1).await;
    let begun = std::time::Instant::now();
    fixture.read(&mut *task, 2).await;
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(900),
        "two readings in {took:?}"
    );
    fixture.set(&[("poll.schedule", "at dawn")]);
    let error = fixture.try_open().await.err().expect("no cron expression");
    assert!(error.message().contains("poll.schedule"), "{error}");
    task.close().await;
}
