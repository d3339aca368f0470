//! Rows that are read again while the log is followed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector_api::{OffsetValue, Reread, RereadState, SourceTask, TaskRequest};
use futures_util::future::join_all;
use testkit::Random;
use tokio::time::timeout;

use crate::postgres;
use crate::topic::{Capture, CapturedDatabase, SOON, Topic, shown, text_of};

fn name(task: &dyn SourceTask) -> String {
    task.progress().tables.remove(0).table
}

/// A request to read rows of the table `t` again, from one key to another.
fn wanted(task: &dyn SourceTask, from: &[i64], to: &[i64]) -> TaskRequest {
    let key = |key: &[i64]| key.iter().copied().map(OffsetValue::Long).collect();
    TaskRequest::Reread(Reread {
        table: name(task),
        from: key(from),
        to: key(to),
    })
}

async fn ask(topic: &mut Topic, task: &mut dyn SourceTask, request: &TaskRequest) {
    let positions = task.request(request).await.unwrap();
    topic.store(positions);
}

/// True while a place is stored.
fn is_stored(topic: &Topic) -> bool {
    let mut stored = topic.offsets.iter();
    stored.any(|position| position.partition.get("reread").is_some())
}

/// Changes rows of its own until `is_over`; each version of a row has a number that is higher than those before.
async fn write(database: &dyn CapturedDatabase, writer: u64, is_over: &AtomicBool) {
    let mut random = Random::new();
    let mut version = 100_000;
    while !is_over.load(Ordering::Relaxed) {
        let mut sql = "BEGIN;".to_owned();
        for _ in 0..random.below(8) + 1 {
            version += 1;
            let id = random.below(5000) * 3 + writer + 1;
            sql += &match random.below(5) {
                0 => format!("DELETE FROM t WHERE id = {id};"),
                1 => {
                    // the row gets another key, and back
                    let other = id + 100_000;
                    format!(
                        "UPDATE t SET id = {other}, n = {version} WHERE id = {id}; \
                         UPDATE t SET id = {id} WHERE id = {other};"
                    )
                }
                2 => format!(
                    "DELETE FROM t WHERE id = {id}; INSERT INTO t VALUES ({id}, {version});"
                ),
                _ => format!("UPDATE t SET n = {version} WHERE id = {id};"),
            };
        }
        sql += if random.below(6) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        database.run(&sql).await;
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
    }
}

/// Polls a task that ends suddenly again and again, until nothing more is read again.
async fn read_again(database: &dyn CapturedDatabase, topic: &mut Topic) -> u32 {
    let (mut random, mut ends) = (Random::new(), 0);
    while is_stored(topic) {
        let mut task = topic.open(database.config()).await;
        let mut pending = Vec::new();
        for _ in 0..random.below(60) + 20 {
            // a poll that is given up is as one that was not begun
            let within = Duration::from_millis(random.below(60));
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
    ends
}

/// Ids up to 15000 are written to; 5001 to 24000 of 25000 are read again.
async fn no_record_is_older_than_one_before(database: &dyn CapturedDatabase) {
    let mut topic = Topic::default();
    let mut task = topic.open(database.config()).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 25_000)
        .await;
    let again = wanted(&*task, &[5001], &[24_000]);
    ask(&mut topic, &mut *task, &again).await;
    task.close().await;
    assert!(is_stored(&topic));
    let is_over = AtomicBool::new(false);
    let reading = async {
        let ends = timeout(SOON * 3, read_again(database, &mut topic)).await;
        is_over.store(true, Ordering::Relaxed);
        ends.expect("the rows have been read again")
    };
    let writing = join_all((0..3).map(|writer| write(database, writer, &is_over)));
    let (ends, _) = tokio::join!(reading, writing);
    assert!(ends > 2, "the task ended {ends} times");
    let want = database.rows("id", "id, n").await;
    let mut task = topic.open(database.config()).await;
    topic.poll(&mut *task, |topic| topic.rows() == want).await;
    task.close().await;
    // of each key the number of records, the last version, and whether its row is gone
    let mut known: BTreeMap<i64, (u32, i64, bool)> = BTreeMap::new();
    for record in &topic.records {
        let id = shown(&record.key.value).parse().unwrap();
        let (count, last, is_gone) = known.entry(id).or_default();
        *count += 1;
        let Some(row) = text_of(record) else {
            *is_gone = true;
            continue;
        };
        let version: i64 = row.split('|').nth(1).unwrap().parse().unwrap();
        let is_newer = version > *last || (version == *last && !*is_gone);
        assert!(is_newer, "{id}: {version} after {last}");
        (*last, *is_gone) = (version, false);
    }
    for (id, (count, ..)) in known.range(15_004..=25_000) {
        let times = if *id <= 24_000 { 2 } else { 1 };
        assert_eq!(*count, times, "{id}");
    }
}

const ROWS: &str = "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT NOT NULL)";

#[tokio::test]
async fn rows_read_again_never_follow_newer_changes_on_mariadb() {
    let capture = Capture::new(ROWS, &[("batch.max.rows", "97")]).await;
    capture
        .run("INSERT INTO t SELECT seq, seq FROM seq_1_to_25000")
        .await;
    no_record_is_older_than_one_before(&capture).await;
}

#[tokio::test]
async fn rows_read_again_never_follow_newer_changes_on_postgresql() {
    let capture = postgres::Capture::new(ROWS, &[("batch.max.rows", "97")]).await;
    capture
        .run("INSERT INTO t SELECT n, n FROM generate_series(1, 25000) n")
        .await;
    no_record_is_older_than_one_before(&capture).await;
}

/// What is read again of a table whose key has several columns, and what is refused.
async fn ranges_of_keys(database: &dyn CapturedDatabase) {
    let mut topic = Topic::default();
    let mut task = topic.open(database.config()).await;
    let early = wanted(&*task, &[2, 3], &[3]);
    // before the first read has ended
    ask(&mut topic, &mut *task, &early).await;
    let of = |task: &dyn SourceTask| task.progress().rereads.remove(0);
    assert_eq!(of(&*task).state, RereadState::Running);
    let error = task.request(&early).await.unwrap_err().to_string();
    assert!(error.contains("done already"), "{error}");
    topic
        .poll(&mut *task, |topic| topic.follows() && !is_stored(topic))
        .await;
    let seen: Vec<_> = topic.records.iter().filter_map(text_of).collect();
    assert_eq!(seen[9..], ["2|3|23", "3|1|31", "3|2|32", "3|3|33"]);
    let done = of(&*task);
    assert_eq!(
        (done.state, done.rows, done.share),
        (RereadState::Done, 4, Some(1.0))
    );
    for (from, to, part) in [
        (&[9][..], &[][..], "no row in that range"),
        (&[1, 2, 3], &[], "3 values"),
    ] {
        let refused = wanted(&*task, from, to);
        let error = task.request(&refused).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let other = TaskRequest::CancelReread("t".into());
    let error = task.request(&other).await.unwrap_err().to_string();
    assert!(error.contains("does not read table t"), "{error}");
    // what is cancelled is not emitted
    let again = wanted(&*task, &[], &[]);
    ask(&mut topic, &mut *task, &again).await;
    let cancel = TaskRequest::CancelReread(name(&*task));
    ask(&mut topic, &mut *task, &cancel).await;
    assert!(!is_stored(&topic));
    assert_eq!(of(&*task).state, RereadState::Cancelled);
    assert!(task.request(&cancel).await.is_err());
    // a table that is altered meanwhile has the columns of its time
    let again = wanted(&*task, &[1], &[1]);
    ask(&mut topic, &mut *task, &again).await;
    database
        .run("ALTER TABLE t ADD COLUMN w INT; UPDATE t SET w = 7 WHERE a = 1 AND b = 2")
        .await;
    topic
        .poll(&mut *task, |topic| {
            let seen = |row: &str| {
                topic
                    .records
                    .iter()
                    .any(|r| text_of(r).as_deref() == Some(row))
            };
            seen("1|2|12|7") && !is_stored(topic)
        })
        .await;
    assert_eq!(of(&*task).state, RereadState::Done);
    // one that lost its key is not read again to its end
    let again = wanted(&*task, &[], &[]);
    ask(&mut topic, &mut *task, &again).await;
    database.drop_key().await;
    topic.poll(&mut *task, |topic| !is_stored(topic)).await;
    let again = wanted(&*task, &[], &[]);
    let error = task.request(&again).await.unwrap_err();
    assert!(error.to_string().contains("no primary key"), "{error}");
    task.close().await;
}

const KEYS: &str = "CREATE TABLE t (a INT, b INT, v INT, PRIMARY KEY (a, b)); \
                    INSERT INTO t VALUES (1,1,11),(1,2,12),(1,3,13),(2,1,21),(2,2,22),(2,3,23),(3,1,31),(3,2,32),(3,3,33)";

#[tokio::test]
async fn ranges_of_keys_are_read_again_on_mariadb() {
    ranges_of_keys(&Capture::new(KEYS, &[]).await).await;
}

#[tokio::test]
async fn ranges_of_keys_are_read_again_on_postgresql() {
    let full = format!("{KEYS}; ALTER TABLE t REPLICA IDENTITY FULL");
    ranges_of_keys(&postgres::Capture::new(&full, &[]).await).await;
}

#[tokio::test]
async fn rows_are_read_again_though_a_transaction_is_open_on_postgresql() {
    let capture = postgres::Capture::new(ROWS, &[]).await;
    capture
        .run("INSERT INTO t SELECT n, n FROM generate_series(1, 3000) n; CREATE TABLE u (id INT)")
        .await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() == 3000)
        .await;
    let mut open = postgres::server().connect(&capture.database).await;
    postgres::run(&mut open, "BEGIN; INSERT INTO u VALUES (1)").await;
    let again = wanted(&*task, &[], &[]);
    ask(&mut topic, &mut *task, &again).await;
    // the snapshot waits for the transaction; the log does not wait for the snapshot
    for version in 1..20 {
        capture
            .run(&format!(
                "UPDATE t SET n = {version} WHERE id <= 10; DELETE FROM t WHERE id = {version} + 100"
            ))
            .await;
        topic
            .poll(&mut *task, |topic| {
                topic.records.len() == 3000 + 11 * version
            })
            .await;
    }
    assert!(is_stored(&topic));
    let before = topic.records.len();
    postgres::run(&mut open, "COMMIT").await;
    topic.poll(&mut *task, |topic| !is_stored(topic)).await;
    let again = &topic.records[before..];
    // those that were changed meanwhile have come already, those that were deleted are gone
    assert_eq!(again.len(), 3000 - 10 - 19);
    assert_eq!(topic.rows(), capture.rows("id", "id, n").await);
    task.close().await;
}
