//! The JDBC source alone against MariaDB and PostgreSQL: its task is polled here, and no row may be missing.

use std::collections::BTreeSet;
use std::time::Duration;

use connector_api::{
    Config, OffsetValue, Result, SourceBatch, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, Value, async_trait,
};
use connector_jdbc::source::JdbcSource;
use sqlx::{AssertSqlSafe, Connection, Executor};
use testkit::mariadb::run as mariadb;
use testkit::unique;

use crate::lab;

/// Stored offsets: the last position of the batches seen.
#[derive(Default)]
pub struct Stored(pub Vec<(SourcePartition, Option<SourceOffset>)>);

#[async_trait]
impl StoredOffsets for Stored {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let find = |p: &SourcePartition| {
            self.0
                .iter()
                .rev()
                .find(|(q, _)| q.same_as(p))
                .and_then(|(_, o)| o.clone())
        };
        Ok(partitions.iter().map(find).collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        let is_last =
            |n: usize, p: &SourcePartition| !self.0[n + 1..].iter().any(|(q, _)| q.same_as(p));
        let held = self
            .0
            .iter()
            .enumerate()
            .filter(|(n, (p, offset))| offset.is_some() && is_last(*n, p));
        Ok(held
            .map(|(_, (p, offset))| SourcePosition {
                partition: p.clone(),
                offset: offset.clone(),
            })
            .collect())
    }
}

impl Stored {
    pub fn note(&mut self, batch: &SourceBatch) {
        self.0.extend(
            batch
                .positions
                .iter()
                .map(|p| (p.partition.clone(), p.offset.clone())),
        );
    }
}

pub fn config(url: &str, user: &str, password: &str, keys: &[(&str, &str)]) -> Config {
    let own = [
        ("connection.url", url),
        ("connection.user", user),
        ("connection.password", password),
        ("table.whitelist", "t"),
        ("topic.prefix", "p-"),
        ("poll.interval.ms", "20"),
    ];
    own.iter()
        .chain(keys)
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

pub async fn open(config: &Config, stored: &Stored) -> Box<dyn SourceTask> {
    let plan = JdbcSource.plan(config, 1).await.unwrap();
    JdbcSource.open(&plan.tasks[0], stored).await.unwrap()
}

/// The first column of the rows.
fn ids(batch: &SourceBatch) -> Vec<i64> {
    let id = |value: &Value| match value {
        Value::Struct(row) => row[0].as_i64().unwrap(),
        other => panic!("no struct: {other:?}"),
    };
    batch.records.iter().map(|r| id(&r.value.value)).collect()
}

/// Polls until `enough` says so or the time is over; the ids in the order they came.
pub async fn poll(
    task: &mut dyn SourceTask,
    stored: &mut Stored,
    within: Duration,
    enough: impl Fn(&[i64]) -> bool,
) -> Vec<i64> {
    let mut seen = Vec::new();
    let end = tokio::time::Instant::now() + within;
    while !enough(&seen) {
        match tokio::time::timeout_at(end, task.poll()).await {
            Ok(batch) => {
                let batch = batch.unwrap();
                stored.note(&batch);
                seen.extend(ids(&batch));
                tokio::time::sleep(
                    batch
                        .idle_for
                        .unwrap_or_default()
                        .min(Duration::from_millis(50)),
                )
                .await;
            }
            Err(_) => break,
        }
        if tokio::time::Instant::now() > end {
            break;
        }
    }
    seen
}

pub const QUIET: Duration = Duration::from_millis(700);
pub const PLENTY: Duration = Duration::from_secs(20);

/// Rows 2 to 4 are committed while row 1 is still open; then it is committed, or rolled back.
async fn overtaking<C>(
    config: &Config,
    slow: &mut C,
    fast: &mut C,
    first: &str,
    rest: &str,
    commit: bool,
) where
    C: Connection,
    for<'c> &'c mut C: Executor<'c>,
{
    let mut stored = Stored::default();
    let mut task = open(config, &stored).await;
    run(slow, "BEGIN").await;
    run(slow, first).await;
    run(fast, rest).await;
    let early = poll(&mut *task, &mut stored, QUIET, |_| false).await;
    assert_eq!(
        early, [0i64; 0],
        "rows were handed out past one that is not committed"
    );
    run(slow, if commit { "COMMIT" } else { "ROLLBACK" }).await;
    let want: Vec<i64> = if commit {
        vec![1, 2, 3, 4]
    } else {
        vec![2, 3, 4]
    };
    let seen = poll(&mut *task, &mut stored, PLENTY, |seen| {
        seen.len() >= want.len()
    })
    .await;
    assert_eq!(seen, want);
    task.close().await;
}

pub async fn run<C>(connection: &mut C, sql: &str)
where
    C: Connection,
    for<'c> &'c mut C: Executor<'c>,
{
    let text = AssertSqlSafe(sql.to_owned());
    if let Err(error) = connection.execute(sqlx::raw_sql(text)).await {
        panic!("{sql}: {error}");
    }
}

const SLOW_ID: &str = "INSERT INTO t (name) VALUES ('slow')";
const FAST_IDS: &str = "INSERT INTO t (name) VALUES ('a'), ('b'), ('c')";

#[tokio::test]
async fn an_id_of_an_open_transaction_is_waited_for_on_mariadb() {
    for commit in [true, false] {
        let database = unique("source");
        let mut slow = lab().mariadb().create_database(&database).await;
        let mut fast = lab().mariadb().connect(&database).await;
        run(
            &mut fast,
            "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10))",
        )
        .await;
        let url = lab().mariadb().jdbc_url(&database);
        let config = config(
            &url,
            testkit::MariaDb::USER,
            testkit::MariaDb::PASSWORD,
            &[("mode", "incrementing")],
        );
        overtaking(&config, &mut slow, &mut fast, SLOW_ID, FAST_IDS, commit).await;
    }
}

#[tokio::test]
async fn an_id_of_an_open_transaction_is_waited_for_on_postgresql() {
    for commit in [true, false] {
        let database = unique("source");
        let mut slow = lab().postgres().create_database(&database).await;
        let mut fast = lab().postgres().connect(&database).await;
        run(
            &mut fast,
            "CREATE TABLE t (id SERIAL PRIMARY KEY, name VARCHAR(10))",
        )
        .await;
        let url = lab().postgres().jdbc_url(&database);
        let config = config(
            &url,
            testkit::Postgres::USER,
            testkit::Postgres::PASSWORD,
            &[("mode", "incrementing")],
        );
        overtaking(&config, &mut slow, &mut fast, SLOW_ID, FAST_IDS, commit).await;
    }
}

/// Stamped now by the server: the slow transaction's row is the older one, and it is committed last.
#[tokio::test]
async fn a_stamp_of_an_open_transaction_is_waited_for() {
    let keys = [("mode", "timestamp"), ("timestamp.column.name", "ts")];
    let (first, rest) = (
        "INSERT INTO t (id) VALUES (1)",
        "INSERT INTO t (id, ts) VALUES (2, CURRENT_TIMESTAMP + INTERVAL '1' SECOND), \
         (3, CURRENT_TIMESTAMP + INTERVAL '1' SECOND), (4, CURRENT_TIMESTAMP + INTERVAL '1' SECOND)",
    );
    let database = unique("source");
    let mut slow = lab().mariadb().create_database(&database).await;
    let mut fast = lab().mariadb().connect(&database).await;
    run(
        &mut fast,
        "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )
    .await;
    let url = lab().mariadb().jdbc_url(&database);
    let on_mariadb = config(
        &url,
        testkit::MariaDb::USER,
        testkit::MariaDb::PASSWORD,
        &keys,
    );
    overtaking(&on_mariadb, &mut slow, &mut fast, first, rest, true).await;

    let mut slow = lab().postgres().create_database(&database).await;
    let mut fast = lab().postgres().connect(&database).await;
    run(
        &mut fast,
        "CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )
    .await;
    let url = lab().postgres().jdbc_url(&database);
    let on_postgres = config(
        &url,
        testkit::Postgres::USER,
        testkit::Postgres::PASSWORD,
        &keys,
    );
    overtaking(&on_postgres, &mut slow, &mut fast, first, rest, true).await;
}

/// Four writers whose transactions overlap, some rolled back; read while they write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_writers_lose_no_row() {
    let database = unique("source");
    let mut setup = lab().mariadb().create_database(&database).await;
    run(
        &mut setup,
        "CREATE TABLE t (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10))",
    )
    .await;
    let url = lab().mariadb().jdbc_url(&database);
    let keys = [("mode", "incrementing"), ("batch.max.rows", "50")];
    let config = config(
        &url,
        testkit::MariaDb::USER,
        testkit::MariaDb::PASSWORD,
        &keys,
    );
    let mut stored = Stored::default();
    let mut task = open(&config, &stored).await;
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let database = database.clone();
            tokio::spawn(async move {
                let mut connection = lab().mariadb().connect(&database).await;
                for round in 0..100u64 {
                    mariadb(&mut connection, "BEGIN").await;
                    for _ in 0..1 + (round + writer) % 5 {
                        mariadb(&mut connection, "INSERT INTO t (name) VALUES ('x')").await;
                        tokio::time::sleep(Duration::from_millis((round * 7 + writer * 3) % 5))
                            .await;
                    }
                    mariadb(
                        &mut connection,
                        if (round + writer) % 9 == 0 {
                            "ROLLBACK"
                        } else {
                            "COMMIT"
                        },
                    )
                    .await;
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        seen.extend(
            poll(&mut *task, &mut stored, Duration::from_millis(200), |_| {
                false
            })
            .await,
        );
    }
    let committed: Vec<(i32,)> = sqlx::query_as("SELECT id FROM t ORDER BY id")
        .fetch_all(&mut setup)
        .await
        .unwrap();
    let committed: BTreeSet<i64> = committed.into_iter().map(|(id,)| i64::from(id)).collect();
    let left = committed.len() - seen.len();
    seen.extend(poll(&mut *task, &mut stored, PLENTY, |new| new.len() >= left).await);
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), committed);
    assert_eq!(seen.len(), committed.len(), "a row came twice");
    task.close().await;
}

/// Equal stamps across batches, and a restart in the middle of them.
#[tokio::test]
async fn equal_stamps_are_read_once_across_a_restart() {
    let database = unique("source");
    let mut sql = lab().mariadb().create_database(&database).await;
    run(
        &mut sql,
        "CREATE TABLE t (id INT PRIMARY KEY, ts DATETIME(6) NOT NULL)",
    )
    .await;
    run(
        &mut sql,
        "INSERT INTO t SELECT seq, '2024-01-01 00:00:00.000001' FROM seq_1_to_1000",
    )
    .await;
    let url = lab().mariadb().jdbc_url(&database);
    let keys = [
        ("mode", "timestamp"),
        ("timestamp.column.name", "ts"),
        ("batch.max.rows", "7"),
    ];
    let config = config(
        &url,
        testkit::MariaDb::USER,
        testkit::MariaDb::PASSWORD,
        &keys,
    );
    let mut stored = Stored::default();
    let mut task = open(&config, &stored).await;
    let mut seen = poll(&mut *task, &mut stored, PLENTY, |seen| seen.len() >= 500).await;
    task.close().await;
    let mut task = open(&config, &stored).await;
    seen.extend(
        poll(&mut *task, &mut stored, PLENTY, |new| {
            new.len() + 500 >= 1000
        })
        .await,
    );
    assert_eq!(seen, (1..=1000).collect::<Vec<i64>>());
    let rest = poll(&mut *task, &mut stored, QUIET, |_| false).await;
    assert_eq!(rest, [0i64; 0]);
    let last = stored.0.last().unwrap().1.clone().unwrap();
    assert_eq!(
        last.get("timestamp"),
        Some(&OffsetValue::Long(1_704_067_200_000))
    );
    assert_eq!(
        (last.get("timestamp_nanos"), last.0.len()),
        (Some(&OffsetValue::Long(1000)), 2)
    );
    task.close().await;
}

/// What the server says of the transactions that the task reads in.
#[tokio::test]
async fn rows_are_read_at_the_isolation_level_that_is_asked_for() {
    let database = unique("isolation");
    let (mariadb, postgres) = (lab().mariadb(), lab().postgres());
    mariadb.create_database(&database).await;
    postgres.create_database(&database).await;
    let level = |name: &str, blank: &str| {
        format!(
            "SELECT CASE LOWER({name}) WHEN 'serializable' THEN 1 WHEN 'repeatable{blank}read' THEN 2 \
             WHEN 'read{blank}committed' THEN 3 ELSE 4 END AS id"
        )
    };
    for (url, user, password, query) in [
        (
            mariadb.jdbc_url(&database),
            testkit::MariaDb::USER,
            testkit::MariaDb::PASSWORD,
            level("@@tx_isolation", "-"),
        ),
        (
            postgres.jdbc_url(&database),
            testkit::Postgres::USER,
            testkit::Postgres::PASSWORD,
            level("current_setting('transaction_isolation')", " "),
        ),
    ] {
        for (mode, seen) in [
            ("serializable", 1),
            ("repeatable_read", 2),
            ("read_committed", 3),
        ] {
            let mut config = config(
                &url,
                user,
                password,
                &[
                    ("mode", "bulk"),
                    ("query", &query),
                    ("transaction.isolation.mode", mode),
                ],
            );
            config.remove("table.whitelist");
            let mut stored = Stored::default();
            let mut task = open(&config, &stored).await;
            let rows = poll(&mut *task, &mut stored, PLENTY, |ids| !ids.is_empty()).await;
            assert_eq!(rows.first(), Some(&seen), "{mode} at {url}");
            task.close().await;
        }
    }
}
