//! Deleted rows of tables that are polled: each produces one tombstone, and existing rows produce none.

mod arrive;
mod marker;
pub mod place;

use std::time::Duration;

use connector_api::{ConfigReport, ErrorKind, Plugin, SourceBatch, SourceConnector};
use connector_jdbc::source::JdbcSource;
use testkit::Random;

use self::place::{Place, Topic};
use crate::source::PLENTY;
use crate::source_conformance::fixture::{DATABASES, Server};

const QUIET: Duration = Duration::from_millis(500);

/// A table whose key is of that kind, and its key as one text. The column `n` is what the mode goes by.
struct KeyKind {
    columns: &'static str,
    /// The key's values in the row of that `n`.
    key: fn(usize) -> String,
    shown: &'static str,
}

/// Rows from `first` to `last`: `n` goes in steps of two, so that ids have holes.
fn fill(kind: &KeyKind, first: usize, last: usize) -> String {
    let rows: Vec<String> = (first..=last)
        .map(|n| format!("({}, {})", n * 2, (kind.key)(n * 2)))
        .collect();
    rows.chunks(2000)
        .map(|rows| format!("INSERT INTO t VALUES {};", rows.join(",")))
        .collect()
}

const NUMBER: KeyKind = KeyKind {
    columns: "n BIGINT NOT NULL UNIQUE, id BIGINT NOT NULL PRIMARY KEY",
    key: |n| n.to_string(),
    shown: "'' || id",
};
const TEXT: KeyKind = KeyKind {
    columns: "n BIGINT NOT NULL UNIQUE, id VARCHAR(40) NOT NULL PRIMARY KEY",
    key: |n| format!("'Key {}-{n}'", n * 7919 % 100_003),
    shown: "'' || id",
};
/// A key that one server shows without the blanks at its end, and the other with them.
const STRIPPED: KeyKind = KeyKind {
    columns: "n BIGINT NOT NULL UNIQUE, id CHAR(30) NOT NULL PRIMARY KEY",
    key: TEXT.key,
    shown: "'' || id",
};
const PADDED: KeyKind = KeyKind {
    shown: "rpad(id::text, 30)",
    ..STRIPPED
};
const TWO: KeyKind = KeyKind {
    columns: "n BIGINT NOT NULL UNIQUE, a INT NOT NULL, b VARCHAR(20) NOT NULL, PRIMARY KEY (a, b)",
    key: |n| format!("{}, 'x{n}'", n % 97),
    shown: "'' || a || '|' || b",
};

/// A random life of a table: rows come, go, change their key and come back, while the source is opened again and again
/// and loses what was not committed; in the end the topic says what the table says.
async fn live(server: Server, kind: &KeyKind, rows: usize, rounds: usize) {
    let mut random = Random::new();
    let mut place = Place::new(server).await;
    if server == Server::MariaDb {
        place.run("SET SESSION sql_mode = 'PIPES_AS_CONCAT'").await;
    }
    place
        .run(&format!("CREATE TABLE t ({})", kind.columns))
        .await;
    place.run(&fill(kind, 1, rows)).await;
    let keys = [
        ("incrementing.column.name", "n"),
        ("batch.max.rows", "700"),
        ("gap.tracking", "off"),
    ];
    let config = place.source(&keys);
    let mut topic = Topic::default();
    let mut next = rows + 1;
    for _ in 0..rounds {
        let mut task = topic.open(&config).await;
        let mut pending: Vec<SourceBatch> = Vec::new();
        for _ in 0..random.below(40) + 5 {
            if random.below(4) == 0 {
                let part = random.below(50);
                let sql = match random.below(5) {
                    0 => format!("DELETE FROM t WHERE n % 53 = {part}"),
                    1 => format!(
                        "DELETE FROM t WHERE n BETWEEN {0} AND {0} + 300",
                        random.below(next as u64 * 2)
                    ),
                    // the same keys with a greater n, as rows that are deleted and inserted again
                    2 => format!(
                        "UPDATE t SET n = n + {} WHERE n % 101 = {part}",
                        next * 2 + 1000
                    ),
                    3 => "DELETE FROM t WHERE n % 2 = 0 AND n < 1000".to_owned(),
                    _ => {
                        next += 50;
                        fill(kind, next - 50, next - 1)
                    }
                };
                next += if sql.starts_with("UPDATE") {
                    next + 1000
                } else {
                    0
                };
                place.run(&sql).await;
            }
            if let Ok(batch) =
                tokio::time::timeout(Duration::from_millis(random.below(30)), task.poll()).await
            {
                pending.push(batch.unwrap());
            }
        }
        let lost = random.below(4) as usize;
        pending.truncate(pending.len().saturating_sub(lost));
        pending.into_iter().for_each(|batch| topic.commit(batch));
        task.close().await;
        topic.live();
    }
    let mut task = topic.open(&config).await;
    let mut want = place.column(&format!("SELECT {} FROM t", kind.shown)).await;
    want.sort_unstable();
    let same = topic
        .poll(&mut *task, PLENTY * 3, |topic| topic.live() == want)
        .await;
    assert!(
        same,
        "{server:?}: {} live keys in the topic, {} in the table",
        topic.live().len(),
        want.len()
    );
    assert!(!topic.tombstones().is_empty());
    topic.poll(&mut *task, QUIET, |_| false).await;
    assert_eq!(topic.live(), want);
    task.close().await;
}

#[tokio::test]
async fn a_key_of_fixed_length_is_one_key_with_and_without_its_blanks() {
    live(Server::MariaDb, &STRIPPED, 2_000, 3).await;
    live(Server::Postgres, &PADDED, 2_000, 3).await;
}

#[tokio::test]
async fn random_changes_of_a_table_are_emitted_on_mariadb() {
    for kind in [&NUMBER, &TEXT, &TWO] {
        live(Server::MariaDb, kind, 9_000, 8).await;
    }
}

#[tokio::test]
async fn random_changes_of_a_table_are_emitted_on_postgresql() {
    for kind in [&NUMBER, &TEXT, &TWO] {
        live(Server::Postgres, kind, 9_000, 8).await;
    }
}

#[tokio::test]
async fn random_changes_of_a_table_are_emitted_on_sqlite() {
    for kind in [&NUMBER, &TEXT, &TWO] {
        live(Server::Sqlite, kind, 9_000, 8).await;
    }
}

#[tokio::test]
async fn rows_deleted_while_nothing_runs_are_emitted() {
    for server in DATABASES {
        let mut place = Place::new(server).await;
        place
            .run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY)")
            .await;
        place.run("INSERT INTO t VALUES (1), (2), (3), (4)").await;
        let config = place.source(&[("incrementing.column.name", "id")]);
        let mut topic = Topic::default();
        let mut task = topic.open(&config).await;
        assert!(
            topic
                .poll(&mut *task, PLENTY, |topic| topic.records.len() == 4)
                .await
        );
        // right after the records, perhaps before the first look at the keys
        task.close().await;
        place.run("DELETE FROM t WHERE id IN (2, 4)").await;
        let mut task = topic.open(&config).await;
        assert!(
            topic
                .poll(&mut *task, PLENTY, |topic| topic.records.len() == 6)
                .await,
            "{server:?}"
        );
        assert_eq!(topic.tombstones(), ["2", "4"]);
        // a row that comes back is read where the mode sees it, and its next deletion is emitted again
        place.run("INSERT INTO t VALUES (9)").await;
        assert!(
            topic
                .poll(&mut *task, PLENTY, |topic| topic.records.len() == 7)
                .await,
            "{server:?}"
        );
        place.run("DELETE FROM t").await;
        assert!(
            topic
                .poll(&mut *task, PLENTY, |topic| topic.live().is_empty())
                .await,
            "{server:?}"
        );
        topic.poll(&mut *task, QUIET, |_| false).await;
        let mut reported = topic.tombstones();
        reported.sort_unstable();
        assert_eq!(reported, ["1", "2", "3", "4", "9"], "{server:?}");
        task.close().await;
    }
}

/// A case-insensitive key: the row is there, in another spelling.
#[tokio::test]
async fn a_key_that_changes_only_its_letter_case_is_not_emitted_as_deleted() {
    let mut place = Place::new(Server::MariaDb).await;
    place.run("CREATE TABLE t (n BIGINT NOT NULL UNIQUE, id VARCHAR(9) PRIMARY KEY) COLLATE utf8mb4_general_ci").await;
    place
        .run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        .await;
    let config = place.source(&[("incrementing.column.name", "n")]);
    let mut topic = Topic::default();
    let mut task = topic.open(&config).await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 3)
            .await
    );
    topic.poll(&mut *task, QUIET, |_| false).await;
    place
        .run("UPDATE t SET id = 'A', n = 4 WHERE n = 1; DELETE FROM t WHERE id = 'c'")
        .await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 5)
            .await
    );
    topic.poll(&mut *task, QUIET, |_| false).await;
    assert_eq!(topic.tombstones(), ["c"]);
    task.close().await;
}

/// A dropped table produces no tombstones; a table that is emptied produces one for each row.
#[tokio::test]
async fn a_dropped_table_emits_no_deletion_and_an_emptied_one_emits_all() {
    let mut place = Place::new(Server::MariaDb).await;
    place.run("CREATE TABLE t (id INT NOT NULL PRIMARY KEY); CREATE TABLE u (id INT NOT NULL PRIMARY KEY)").await;
    place
        .run("INSERT INTO t VALUES (1), (2); INSERT INTO u VALUES (7), (8)")
        .await;
    let keys = [
        ("table.whitelist", "t,u"),
        ("incrementing.column.name", "id"),
        ("table.poll.interval.ms", "200"),
    ];
    let mut topic = Topic::default();
    let mut task = topic.open(&place.source(&keys)).await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 4)
            .await
    );
    topic.poll(&mut *task, QUIET, |_| false).await;
    place.run("DROP TABLE t; TRUNCATE TABLE u").await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.records.len() == 6)
            .await
    );
    topic.poll(&mut *task, QUIET, |_| false).await;
    assert_eq!(topic.tombstones(), ["7", "8"]);
    // once it is back, what it lacks is gone
    place
        .run("CREATE TABLE t (id INT NOT NULL PRIMARY KEY); INSERT INTO t VALUES (2), (3)")
        .await;
    assert!(
        topic
            .poll(&mut *task, PLENTY, |topic| topic.live() == ["2", "3"])
            .await,
        "{:?}",
        task.progress()
    );
    topic.poll(&mut *task, QUIET, |_| false).await;
    assert_eq!(topic.tombstones(), ["7", "8", "1"]);
    task.close().await;
}

#[tokio::test]
async fn a_table_with_too_many_keys_to_know_fails_with_what_to_do() {
    let mut place = Place::new(Server::Sqlite).await;
    place
        .run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY)")
        .await;
    place.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i * 2 FROM n").await;
    let config = place.source(&[("delete.capture.max.bytes", "1000")]);
    let mut topic = Topic::default();
    let mut task = topic.open(&config).await;
    let error = loop {
        match task.poll().await {
            Ok(batch) => topic.commit(batch),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error
            .message()
            .contains("delete.capture.max.bytes (1000): raise it"),
        "{error}"
    );
    task.close().await;
}

#[tokio::test]
async fn validation_refuses_a_table_without_a_key() {
    let mut place = Place::new(Server::MariaDb).await;
    place
        .run("CREATE TABLE t (id INT NOT NULL UNIQUE, gone TEXT)")
        .await;
    let config = place.source(&[
        ("incrementing.column.name", "id"),
        ("delete.marker.column", "gone"),
    ]);
    let mut report = ConfigReport::default();
    JdbcSource.check(&config, &mut report);
    JdbcSource.probe(&config, &mut report).await;
    let found: Vec<_> = report
        .errors
        .iter()
        .map(|p| (p.key.as_str(), p.message.as_str()))
        .collect();
    assert_eq!(
        found.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        ["delete.capture", "delete.marker.column"]
    );
    assert!(
        found
            .iter()
            .all(|(_, text)| text.contains(".t has no primary key")),
        "{found:?}"
    );
}
