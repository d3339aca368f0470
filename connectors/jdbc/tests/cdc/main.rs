//! `mode=cdc` against a MariaDB with a binary log: what a batch brings counts with its positions or not at all, as in a
//! Kafka transaction.

#![allow(clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(
    clippy::too_many_lines,
    reason = "a test reads best from its beginning to its end"
)]

mod again;
mod handover;
mod kinds;
mod postgres;
mod topic;
mod types;

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use connector_api::{ConfigReport, ErrorKind, OffsetValue, Plugin, Record, SourceConnector};
use connector_jdbc::source::JdbcSource;
use testkit::mariadb::run;
use testkit::{Lab, Random};
use tokio::time::timeout;

use crate::topic::{Capture, SOON, Topic, server, shown, text_of};

#[tokio::test]
async fn rows_that_were_there_are_followed_by_every_change() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')";
    let capture = Capture::new(table, &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 3)
        .await;
    capture
        .run("INSERT INTO t VALUES (4,'d'); UPDATE t SET v='B' WHERE id=2; DELETE FROM t WHERE id=1; UPDATE t SET id=9 WHERE id=3")
        .await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 8)
        .await;
    let seen: Vec<_> = topic.records[3..]
        .iter()
        .map(|record| (shown(&record.key.value), text_of(record)))
        .collect();
    let row = |key: &str, row: &str| (key.to_owned(), Some(row.to_owned()));
    let gone = |key: &str| (key.to_owned(), None);
    assert_eq!(
        seen,
        [
            row("4", "4|d"),
            row("2", "2|B"),
            gone("1"),
            gone("3"),
            row("9", "9|c")
        ]
    );
    assert!(topic.records.iter().all(|record| &*record.topic == "p-t"));
    task.close().await;
    // what was committed is not read again
    capture.run("INSERT INTO t VALUES (5,'e')").await;
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 9)
        .await;
    assert_eq!(topic.records.len(), 9);
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    task.close().await;
}

/// Four writers whose transactions overlap, with updates, deletes and rollbacks, while the task is opened again and again
/// and loses what was not committed.
#[tokio::test]
async fn writers_and_sudden_ends_lose_and_double_nothing() {
    const ROWS: u64 = 3000;
    let table =
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, n BIGINT NOT NULL, v VARCHAR(200))";
    let capture = Capture::new(table, &[("batch.max.rows", "97")]).await;
    capture
        .run(&format!(
            "INSERT INTO t (n, v) SELECT seq, REPEAT('a', seq % 200) FROM seq_1_to_{ROWS}"
        ))
        .await;
    let mut random = Random::new();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            tokio::spawn(write(
                capture.database.clone(),
                writer,
                random.below(u64::MAX),
            ))
        })
        .collect();
    let mut topic = Topic::default();
    let mut ends = 0;
    while writers.iter().any(|writer| !writer.is_finished()) || ends < 15 {
        let mut task = topic.open(&capture.config).await;
        let mut pending = Vec::new();
        for _ in 0..random.below(60) + 5 {
            // a poll that is given up is as one that was not begun
            let within = Duration::from_millis(random.below(40));
            if let Ok(batch) = timeout(within, task.poll()).await {
                pending.push(batch.unwrap());
            }
        }
        let lost = usize::try_from(random.below(4)).unwrap();
        pending.truncate(pending.len().saturating_sub(lost));
        pending.into_iter().for_each(|batch| topic.commit(batch));
        task.close().await;
        ends += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let want = capture.rows("id", "id, n, v").await;
    let mut task = topic.open(&capture.config).await;
    let polling = async {
        while topic.rows() != want {
            topic.commit(task.poll().await.unwrap());
        }
    };
    let arrived = timeout(SOON, polling).await.is_ok();
    task.close().await;
    let got = topic.rows();
    let differs: Vec<_> = want
        .iter()
        .filter(|(key, row)| got.get(*key) != Some(row))
        .take(3)
        .collect();
    let surplus: Vec<_> = got
        .keys()
        .filter(|key| !want.contains_key(*key))
        .take(3)
        .collect();
    assert!(
        arrived,
        "missing {differs:?}, surplus {surplus:?} after {ends} ends"
    );
    // each version of a row is there once: `n` is a new number for each
    let mut versions = HashSet::new();
    for record in &topic.records {
        if let Some(row) = text_of(record) {
            assert!(versions.insert(row.clone()), "twice: {row}");
        }
    }
}

/// Writes transactions of a few statements; some are rolled back.
async fn write(database: String, writer: u64, seed: u64) {
    let mut connection = server().connect(&database).await;
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut version = (writer + 1) * 1_000_000_000;
    for _ in 0..250 {
        run(&mut connection, "START TRANSACTION").await;
        for _ in 0..random(4) + 1 {
            version += 1;
            // each writer has rows of its own, so that no two wait for each other for ever
            let id = random(2000) / 4 * 4 + writer;
            let sql = match random(5) {
                0 | 1 => format!(
                    "INSERT INTO t (n, v) VALUES ({version}, REPEAT('i', {}))",
                    random(200)
                ),
                2 | 3 => format!("UPDATE t SET n = {version}, v = 'updated' WHERE id = {id}"),
                _ => format!("DELETE FROM t WHERE id = {id}"),
            };
            run(&mut connection, &sql).await;
        }
        let end = if random(8) == 0 { "ROLLBACK" } else { "COMMIT" };
        run(&mut connection, end).await;
    }
}

#[tokio::test]
async fn a_large_transaction_is_cut_and_continued_inside() {
    const ROWS: usize = 50_000;
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))";
    let capture = Capture::new(table, &[("batch.max.rows", "700")]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    capture
        .run(&format!(
            "START TRANSACTION; INSERT INTO t SELECT seq, 'x' FROM seq_1_to_{ROWS}; UPDATE t SET v = 'y' WHERE id % 2 = 0; COMMIT"
        ))
        .await;
    let mut largest = 0;
    while topic.records.len() < ROWS * 3 / 2 {
        for _ in 0..7 {
            let batch = task.poll().await.unwrap();
            largest = largest.max(batch.records.len());
            let is_whole = topic.records.len() + batch.records.len() == ROWS * 3 / 2;
            // the first batch of a task only stores where it begins
            let is_start = batch.records.is_empty();
            assert!(
                batch.is_partial || is_whole || is_start,
                "a transaction is kept together"
            );
            topic.commit(batch);
        }
        // one batch is lost
        drop(task.poll().await.unwrap());
        task.close().await;
        task = topic.open(&capture.config).await;
    }
    assert!(largest <= 700, "{largest}");
    assert_eq!(topic.records.len(), ROWS * 3 / 2);
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    task.close().await;
}

#[tokio::test]
async fn a_transaction_is_kept_together_up_to_its_most_bytes() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))";
    let keys = [("batch.max.rows", "10"), ("transaction.max.bytes", "20000")];
    let capture = Capture::new(table, &keys).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    let mut may_end = Vec::new();
    for (first, rows) in [(1, 5), (101, 95), (1001, 5000)] {
        let last = first + rows - 1;
        capture
            .run(&format!(
                "INSERT INTO t SELECT seq, 'a text of the row' FROM seq_{first}_to_{last}"
            ))
            .await;
        let (mut read, mut ends) = (0, Vec::new());
        let polling = async {
            while read < rows || ends.last() != Some(&rows) {
                let batch = task.poll().await.unwrap();
                read += batch.records.len();
                if !batch.is_partial && read > 0 {
                    ends.push(read);
                }
                topic.commit(batch);
            }
        };
        timeout(SOON, polling).await.unwrap();
        ends.dedup();
        may_end.push(ends);
    }
    assert_eq!(may_end[..2], [[5], [95]]);
    assert!(
        may_end[2].len() > 2,
        "a large one is split: {:?}",
        may_end[2]
    );
    let warnings = task.progress().warnings;
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("transaction.max.bytes")),
        "{warnings:?}"
    );
    assert_eq!(topic.records.len(), 5100);
    task.close().await;
}

/// Megabytes of this process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: 5 million rows"]
async fn memory_does_not_grow_with_the_size_of_a_transaction() {
    const ROWS: usize = 5_000_000;
    let capture = Capture::new("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))", &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    task.close().await;
    capture
        .run(&format!(
            "INSERT INTO t SELECT seq, REPEAT('x', 100) FROM seq_1_to_{ROWS}"
        ))
        .await;
    let mut task = topic.open(&capture.config).await;
    let before = resident();
    let (mut read, mut most) = (0, 0);
    while read < ROWS {
        read += task.poll().await.unwrap().records.len();
        most = most.max(resident());
    }
    println!("{before} MB before, at most {most} MB");
    assert!(most < before + 60, "{before} MB before, {most} MB");
    assert_eq!(read, ROWS);
    task.close().await;
}

#[tokio::test]
async fn altered_tables_are_followed_also_while_the_task_is_not_there() {
    for metadata in ["FULL", "NO_LOG"] {
        let table =
            "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(20)); INSERT INTO t VALUES (1, 'one')";
        let capture = Capture::new(table, &[]).await;
        capture
            .run(&format!("SET GLOBAL binlog_row_metadata = {metadata}"))
            .await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() == 1)
            .await;
        capture
            .run("ALTER TABLE t ADD b INT; INSERT INTO t VALUES (2, 'two', 22)")
            .await;
        topic
            .poll(&mut *task, |topic| topic.records.len() == 2)
            .await;
        task.close().await;
        capture
            .run("INSERT INTO t VALUES (3, 'three', 33); ALTER TABLE t DROP a, ADD c DATE; INSERT INTO t VALUES (4, 44, '2024-01-01')")
            .await;
        let mut task = topic.open(&capture.config).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() == 4)
            .await;
        let rows: Vec<_> = topic
            .records
            .iter()
            .map(|record| text_of(record).unwrap())
            .collect();
        assert_eq!(
            rows,
            ["1|one", "2|two|22", "3|three|33", "4|44|19723"],
            "{metadata}"
        );
        let fields = |record: &Record| {
            let schema = record.value.schema.as_ref().unwrap();
            schema
                .fields
                .iter()
                .map(|field| field.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(fields(&topic.records[2]), ["id", "a", "b"]);
        assert_eq!(fields(&topic.records[3]), ["id", "b", "c"]);
        task.close().await;
    }
}

#[tokio::test]
async fn what_the_log_does_not_show_fails_the_task() {
    for (sql, text) in [
        (
            "SET SESSION binlog_format = STATEMENT; UPDATE t SET v = 'x'",
            "statement (UPDATE)",
        ),
        (
            "SET SESSION binlog_row_image = MINIMAL; UPDATE t SET v = 'x'",
            "binlog_row_image=FULL",
        ),
        ("TRUNCATE TABLE t", "truncate.handling=ignore"),
    ] {
        let table =
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1,'secret')";
        let capture = Capture::new(table, &[]).await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() == 1)
            .await;
        capture.run(sql).await;
        let failing = async {
            loop {
                match task.poll().await {
                    Ok(batch) => topic.commit(batch),
                    Err(error) => break error,
                }
            }
        };
        let error = timeout(SOON, failing).await.expect(sql);
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(topic.records.len(), 1, "{sql}");
        task.close().await;
    }
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1,'a')";
    let capture = Capture::new(table, &[("truncate.handling", "ignore")]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 1)
        .await;
    capture
        .run("TRUNCATE TABLE t; INSERT INTO t VALUES (2,'b')")
        .await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 2)
        .await;
    let warnings = task.progress().warnings;
    assert!(
        warnings.iter().any(|text| text.contains("truncated")),
        "{warnings:?}"
    );
    task.close().await;
}

#[tokio::test]
async fn a_position_that_the_server_does_not_have_fails_the_task() {
    let capture = Capture::new("CREATE TABLE t (id INT PRIMARY KEY)", &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.offsets.len() == 2)
        .await;
    task.close().await;
    for position in &mut topic.offsets {
        let Some(offset) = &mut position.offset else {
            continue;
        };
        for (name, value) in &mut offset.0 {
            if name == "gtids" {
                *value = OffsetValue::Text("0-1-999999999".into());
            }
        }
    }
    let mut task = topic.open(&capture.config).await;
    let failing = async {
        loop {
            if let Err(error) = task.poll().await {
                break error;
            }
        }
    };
    let error = timeout(SOON, failing).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("offsets"), "{error}");
    task.close().await;
}

#[tokio::test]
async fn tables_with_other_keys_or_none_are_captured_too() {
    let tables = "CREATE TABLE t (a INT, b VARCHAR(20), v INT, PRIMARY KEY (b, a)); \
        INSERT INTO t SELECT seq, CONCAT('k', seq % 7), seq FROM seq_1_to_25000; \
        CREATE TABLE u (v INT); INSERT INTO u SELECT seq FROM seq_1_to_300; CREATE TABLE w (id INT PRIMARY KEY)";
    let capture = Capture::new(tables, &[("table.whitelist", "t,u,w")]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 25_300)
        .await;
    capture.run("DELETE FROM t WHERE a % 2 = 0; UPDATE t SET v = -v WHERE b = 'k3'; INSERT INTO u VALUES (0); DELETE FROM u WHERE v < 10").await;
    let last = |topic: &Topic| topic.records.iter().filter(|r| &*r.topic == "p-u").count() == 301;
    topic.poll(&mut *task, last).await;
    task.close().await;
    topic.records.retain(|record| &*record.topic == "p-t");
    assert_eq!(topic.rows(), capture.rows("b, a", "a, b, v").await);
}

#[tokio::test]
async fn what_keeps_the_log_from_being_read_is_reported_with_its_remedy() {
    let capture = Capture::new("CREATE TABLE t (id INT PRIMARY KEY)", &[]).await;
    let found = |report: &ConfigReport| {
        let texts: Vec<_> = report
            .errors
            .iter()
            .map(|p| format!("{}: {}", p.key, p.message))
            .collect();
        texts.join("\n")
    };
    for (key, value, text) in [
        ("key.mode", "none", "key.mode=primary_key"),
        ("delete.capture", "key_sweep", "delete.capture=none"),
        ("connection.url", "jdbc:sqlite:/d.db", "MariaDB"),
    ] {
        let mut config = capture.config.clone();
        config.set(key, value);
        let mut report = ConfigReport::default();
        JdbcSource.check(&config, &mut report);
        assert!(found(&report).contains(text), "{}", found(&report));
    }
    let mut report = ConfigReport::default();
    JdbcSource.check(&capture.config, &mut report);
    JdbcSource.probe(&capture.config, &mut report).await;
    assert_eq!(found(&report), "");
    let warned = |report: &ConfigReport| {
        let texts: Vec<_> = report.warnings.iter().map(|p| p.message.as_str()).collect();
        texts.join("\n")
    };
    assert!(
        !warned(&report).contains("foreign key"),
        "{}",
        warned(&report)
    );
    let child = "CREATE TABLE c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES t (id) ON DELETE CASCADE); \
                 SET GLOBAL binlog_expire_logs_seconds = 600";
    capture.run(child).await;
    let mut config = capture.config.clone();
    config.set("table.whitelist", "t,c");
    let mut report = ConfigReport::default();
    JdbcSource.probe(&config, &mut report).await;
    capture
        .run("SET GLOBAL binlog_expire_logs_seconds = 0")
        .await;
    for text in [
        "ON DELETE RESTRICT",
        "SET GLOBAL binlog_expire_logs_seconds",
    ] {
        assert!(warned(&report).contains(text), "{}", warned(&report));
    }
    assert_eq!(found(&report), "");
    static PLAIN: OnceLock<Lab> = OnceLock::new();
    let plain = PLAIN.get_or_init(|| Lab::new("cdc-plain")).mariadb();
    let mut connection = plain.create_database(&capture.database).await;
    run(&mut connection, "CREATE TABLE t (id INT PRIMARY KEY)").await;
    let mut config = capture.config.clone();
    config.set("connection.url", plain.jdbc_url(&capture.database));
    let mut report = ConfigReport::default();
    JdbcSource.probe(&config, &mut report).await;
    assert!(found(&report).contains("log_bin"), "{}", found(&report));
}

#[tokio::test]
async fn a_missing_privilege_is_named_and_two_are_enough() {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO t VALUES (1,'a')";
    let capture = Capture::new(table, &[]).await;
    let database = &capture.database;
    capture
        .run(&format!(
            "CREATE USER {database}@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON {database}.* TO {database}@'%'"
        ))
        .await;
    let mut config = capture.config.clone();
    config.set("connection.user", database.as_str());
    config.set("connection.password", "pw");
    let mut topic = Topic::default();
    let mut task = topic.open(&config).await;
    let error = task.poll().await.unwrap_err();
    assert!(error.to_string().contains("REPLICATION SLAVE"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    task.close().await;
    let mut report = ConfigReport::default();
    JdbcSource.probe(&config, &mut report).await;
    let texts: Vec<_> = report.errors.iter().map(|p| p.message.as_str()).collect();
    assert!(
        texts.join("\n").contains("GRANT REPLICATION SLAVE"),
        "{texts:?}"
    );
    capture
        .run(&format!("GRANT REPLICATION SLAVE ON *.* TO {database}@'%'"))
        .await;
    let mut task = topic.open(&config).await;
    topic.poll(&mut *task, Topic::follows).await;
    capture.run("INSERT INTO t VALUES (2,'b')").await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 2)
        .await;
    task.close().await;
}

/// `cargo test --release -p connector-jdbc --test cdc -- --ignored --nocapture` with an optimised build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn how_fast_a_log_is_read() {
    const ROWS: usize = 500_000;
    let table = "CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT NOT NULL, b BIGINT, \
        c VARCHAR(60) NOT NULL, d VARCHAR(60), e DECIMAL(12,2), f DOUBLE, g DATETIME(3), h DATE, i TINYINT, j VARCHAR(40))";
    for a_transaction in [1000, 1] {
        let rows = if a_transaction == 1 { ROWS / 20 } else { ROWS };
        let capture = Capture::new(table, &[("batch.max.rows", "1000")]).await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic.poll(&mut *task, Topic::follows).await;
        task.close().await;
        let mut connection = server().connect(&capture.database).await;
        run(
            &mut connection,
            "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
        )
        .await;
        for _ in 0..rows / a_transaction {
            let insert = format!(
                "INSERT INTO t (a, b, c, d, e, f, g, h, i, j) SELECT seq, seq * 7, REPEAT('c', 50), REPEAT('d', 30), \
                 seq / 3, seq / 7, NOW(3), CURDATE(), seq % 100, 'a text of some length' FROM seq_1_to_{a_transaction}"
            );
            run(&mut connection, &insert).await;
        }
        let mut task = topic.open(&capture.config).await;
        let begun = std::time::Instant::now();
        let mut count = 0;
        while count < rows {
            count += task.poll().await.unwrap().records.len();
        }
        let micros = begun.elapsed().as_micros();
        println!(
            "{rows} rows in transactions of {a_transaction}: {} rows/s",
            rows as u128 * 1_000_000 / micros.max(1)
        );
        task.close().await;
    }
}
