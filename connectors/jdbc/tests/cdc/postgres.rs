//! `mode=cdc` against a PostgreSQL, by a replication slot.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;
use std::time::Duration;

use connector_api::{
    Config, ConfigReport, ErrorKind, Plugin, SourceConnector, SourceTask, async_trait,
};
use connector_jdbc::source::JdbcSource;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use testkit::postgres::texts;
use testkit::{Lab, Postgres, Random, unique};
use tokio::time::timeout;

use crate::topic::{CapturedDatabase, SOON, Topic, shown, text_of};

pub(crate) fn server() -> &'static Postgres {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::durable("cdc-postgres")).postgres()
}

/// A database with a table `t`, and a connector that captures it.
pub(crate) struct Capture {
    pub(crate) database: String,
    pub(crate) config: Config,
}

#[async_trait]
impl CapturedDatabase for Capture {
    fn config(&self) -> &Config {
        &self.config
    }

    async fn run(&self, sql: &str) {
        Self::run(self, sql).await;
    }

    async fn rows(&self, key: &str, row: &str) -> BTreeMap<String, String> {
        Self::rows(self, key, row).await
    }

    async fn drop_key(&self) {
        Self::run(self, "ALTER TABLE t DROP CONSTRAINT t_pkey").await;
    }
}

impl Capture {
    pub(crate) async fn new(table: &str, keys: &[(&str, &str)]) -> Self {
        let database = unique("cdc").replace('-', "_");
        let mut connection = server().create_database(&database).await;
        run(&mut connection, table).await;
        let url = server().jdbc_url(&database);
        let own = [
            ("name", database.as_str()),
            ("connection.url", url.as_str()),
            ("connection.user", Postgres::USER),
            ("connection.password", Postgres::PASSWORD),
            ("connection.attempts", "1"),
            ("table.whitelist", "t"),
            ("topic.prefix", "p-"),
            ("mode", "cdc"),
        ];
        let config = own
            .iter()
            .chain(keys)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Self { database, config }
    }

    fn slot(&self) -> String {
        format!("rowferry_{}", &self.database[..self.database.len().min(30)])
    }

    pub(crate) async fn run(&self, sql: &str) {
        run(&mut server().connect(&self.database).await, sql).await;
    }

    async fn texts(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        texts(&mut server().connect(&self.database).await, sql).await
    }

    /// The table's rows by key, as the server shows them.
    pub(crate) async fn rows(&self, key: &str, row: &str) -> BTreeMap<String, String> {
        let sql = format!("SELECT concat_ws('|', {key}), concat_ws('|', {row}) FROM t");
        let rows = self.texts(&sql).await.into_iter();
        rows.map(|row| {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            (row.next().unwrap(), row.next().unwrap())
        })
        .collect()
    }
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Key and row of each record from a number on.
fn seen(topic: &Topic, from: usize) -> Vec<(String, Option<String>)> {
    topic.records[from..]
        .iter()
        .map(|record| (shown(&record.key.value), text_of(record)))
        .collect()
}

fn row(key: &str, row: &str) -> (String, Option<String>) {
    (key.to_owned(), Some(row.to_owned()))
}

fn gone(key: &str) -> (String, Option<String>) {
    (key.to_owned(), None)
}

/// The error that ends a task.
async fn failure(task: &mut dyn SourceTask) -> connector_api::Error {
    let polling = async {
        loop {
            if let Err(error) = task.poll().await {
                return error;
            }
        }
    };
    timeout(SOON, polling).await.unwrap()
}

#[tokio::test]
async fn rows_that_were_there_are_followed_by_every_change() {
    let table =
        "CREATE TABLE t (id INT PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'),(2,'b'),(3,'c')";
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
    let want = [
        row("4", "4|d"),
        row("2", "2|B"),
        gone("1"),
        gone("3"),
        row("9", "9|c"),
    ];
    assert_eq!(seen(&topic, 3), want);
    assert!(topic.records.iter().all(|record| &*record.topic == "p-t"));
    task.close().await;
    // what was committed is not read again
    capture
        .run("INSERT INTO t VALUES (5,'e'); ALTER TABLE t ADD COLUMN n INT NOT NULL DEFAULT 7; UPDATE t SET v='E' WHERE id=5")
        .await;
    let mut task = topic.open(&capture.config).await;
    topic
        .poll(&mut *task, |topic| topic.records.len() >= 10)
        .await;
    // each row has the columns of its time
    assert_eq!(seen(&topic, 8), [row("5", "5|e"), row("5", "5|E|7")]);
    task.close().await;
}

#[tokio::test]
async fn the_server_may_remove_the_log_once_its_changes_are_committed() {
    let capture = Capture::new("CREATE TABLE t (id INT PRIMARY KEY)", &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    let sql = format!(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'",
        capture.slot()
    );
    let before = capture.texts(&sql).await;
    capture.run("INSERT INTO t VALUES (1)").await;
    let mut positions = Vec::new();
    let polling = async {
        while positions.is_empty() {
            let batch = task.poll().await.unwrap();
            if !batch.records.is_empty() {
                positions.clone_from(&batch.positions);
            }
        }
    };
    timeout(SOON, polling).await.unwrap();
    assert_eq!(capture.texts(&sql).await, before);
    task.committed(&positions).await.unwrap();
    let moved = async {
        while capture.texts(&sql).await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(SOON, moved).await.unwrap();
    task.close().await;
}

#[tokio::test]
async fn large_values_that_did_not_change_are_there() {
    for identity in ["DEFAULT", "FULL"] {
        let table = format!(
            "CREATE TABLE t (id INT PRIMARY KEY, n INT, v TEXT); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; \
             ALTER TABLE t REPLICA IDENTITY {identity}; INSERT INTO t VALUES (1, 0, repeat('x', 5000))"
        );
        let capture = Capture::new(&table, &[]).await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic.poll(&mut *task, Topic::follows).await;
        capture
            .run("UPDATE t SET n = 1; UPDATE t SET id = 2; DELETE FROM t; INSERT INTO t VALUES (3, 3, 'y')")
            .await;
        topic
            .poll(&mut *task, |topic| topic.last().contains_key("3"))
            .await;
        assert_eq!(topic.rows(), capture.rows("id", "id, n, v").await);
        task.close().await;
    }
    let table = "CREATE TABLE t (id INT PRIMARY KEY, n INT, v TEXT); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; \
         INSERT INTO t VALUES (1, 0, repeat('x', 5000))";
    let capture = Capture::new(table, &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    capture.run("UPDATE t SET n = 1").await;
    let long = "x".repeat(5000);
    topic
        .poll(&mut *task, |topic| topic.records.len() == 2)
        .await;
    assert_eq!(seen(&topic, 1), [row("1", &format!("1|1|{long}"))]);
    assert!(task.progress().warnings[0].contains("REPLICA IDENTITY FULL"));
    task.close().await;
}

#[tokio::test]
async fn a_truncated_table_and_a_lost_slot_end_the_task() {
    let capture = Capture::new("CREATE TABLE t (id INT PRIMARY KEY)", &[]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    capture.run("INSERT INTO t VALUES (1); TRUNCATE t").await;
    let error = failure(&mut *task).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("truncate.handling=ignore"));
    task.close().await;
    let slot = capture.slot();
    let drop_slot = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active"
    );
    let dropping = async {
        let there = format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}'");
        while !capture.texts(&there).await.is_empty() {
            capture.run(&drop_slot).await;
        }
    };
    timeout(SOON, dropping).await.unwrap();
    let plan = JdbcSource.plan(&capture.config, 1).await.unwrap();
    let lost = async || JdbcSource.open(&plan.tasks[0], &topic).await.err().unwrap();
    let error = lost().await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("does not exist any more"));
    // one that begins later has a gap
    let again = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    capture.run(&again).await;
    let error = lost().await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("was made again"));
    capture.run(&drop_slot).await;
}

#[tokio::test]
async fn validation_names_the_statement_that_corrects_what_is_wrong() {
    let capture = Capture::new("CREATE TABLE t (id INT)", &[]).await;
    let role = unique("role");
    capture
        .run(&format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD 'x'; GRANT SELECT ON t TO \"{role}\""
        ))
        .await;
    let mut config = capture.config.clone();
    config.set("connection.user", &role);
    let mut report = ConfigReport::default();
    JdbcSource.check(&config, &mut report);
    JdbcSource.probe(&config, &mut report).await;
    let texts: Vec<_> = report.errors.iter().map(|error| &error.message).collect();
    let said = |part: &str| texts.iter().any(|text| text.contains(part));
    assert!(
        said("ALTER TABLE") && said("REPLICA IDENTITY FULL"),
        "{texts:?}"
    );
    assert!(
        said(&format!("ALTER ROLE \"{role}\" REPLICATION")),
        "{texts:?}"
    );
    // nothing is published: the server would refuse updates and deletes
    let plan = JdbcSource.plan(&capture.config, 1).await.unwrap();
    let opened = JdbcSource.open(&plan.tasks[0], &Topic::default()).await;
    assert_eq!(opened.err().unwrap().kind(), ErrorKind::Config);
    let published = capture
        .texts("SELECT pubname::text FROM pg_publication")
        .await;
    assert!(published.is_empty());
}

/// Four writers whose transactions overlap, with updates, deletes and rollbacks, while the task is opened again and again
/// and loses what was not committed.
#[tokio::test]
async fn writers_and_sudden_ends_lose_and_double_nothing() {
    const ROWS: u64 = 3000;
    let table = "CREATE TABLE t (id SERIAL PRIMARY KEY, n BIGINT NOT NULL, v VARCHAR(200))";
    let capture = Capture::new(table, &[("batch.max.rows", "97")]).await;
    capture
        .run(&format!(
            "INSERT INTO t (n, v) SELECT n, repeat('a', n % 200) FROM generate_series(1, {ROWS}) n"
        ))
        .await;
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write(capture.database.clone(), writer)))
        .collect();
    let mut random = Random::new();
    let mut topic = Topic::default();
    let mut ends = 0;
    while writers.iter().any(|writer| !writer.is_finished()) || ends < 15 {
        let plan = JdbcSource.plan(&capture.config, 4).await.unwrap();
        let mut task = JdbcSource.open(&plan.tasks[0], &topic).await.unwrap();
        let mut pending = Vec::new();
        for _ in 0..random.below(60) + 5 {
            // a poll that is given up is as one that was not begun
            let within = Duration::from_millis(random.below(40));
            match timeout(within, task.poll()).await {
                Ok(Ok(batch)) => pending.push(batch),
                // the server has not noticed yet that the last one has gone
                Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
                Err(_) => {}
            }
        }
        let lost = usize::try_from(random.below(4)).unwrap();
        pending.truncate(pending.len().saturating_sub(lost));
        for batch in pending {
            let positions = batch.positions.clone();
            topic.commit(batch);
            task.committed(&positions).await.unwrap();
        }
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
            if let Ok(batch) = task.poll().await {
                topic.commit(batch);
            }
        }
    };
    let arrived = timeout(SOON, polling).await.is_ok();
    task.close().await;
    let got = topic.rows();
    let differs: Vec<_> = (want.iter())
        .filter(|(key, row)| got.get(*key) != Some(row))
        .take(3)
        .collect();
    let surplus: Vec<_> = (got.keys())
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
async fn write(database: String, writer: u64) {
    let mut connection = server().connect(&database).await;
    let mut random = Random::new();
    let mut version = (writer + 1) * 1_000_000_000;
    for _ in 0..250 {
        run(&mut connection, "BEGIN").await;
        for _ in 0..random.below(4) + 1 {
            version += 1;
            // each writer has rows of its own, so that no two wait for each other for ever
            let id = random.below(2000) / 4 * 4 + writer;
            let sql = match random.below(5) {
                0 | 1 => format!(
                    "INSERT INTO t (n, v) VALUES ({version}, repeat('i', {}))",
                    random.below(200)
                ),
                2 | 3 => format!("UPDATE t SET n = {version}, v = 'updated' WHERE id = {id}"),
                _ => format!("DELETE FROM t WHERE id = {id}"),
            };
            run(&mut connection, &sql).await;
        }
        let end = if random.below(8) == 0 {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        run(&mut connection, end).await;
    }
}

#[tokio::test]
async fn a_large_transaction_is_cut_and_continued_inside() {
    const ROWS: usize = 20_000;
    let table = "CREATE TABLE t (id INT PRIMARY KEY, v TEXT)";
    let capture = Capture::new(table, &[("batch.max.rows", "700")]).await;
    let mut topic = Topic::default();
    let mut task = topic.open(&capture.config).await;
    topic.poll(&mut *task, Topic::follows).await;
    capture
        .run(&format!(
            "BEGIN; INSERT INTO t SELECT n, 'x' FROM generate_series(1, {ROWS}) n; UPDATE t SET v = 'y' WHERE id % 2 = 0; COMMIT"
        ))
        .await;
    let mut largest = 0;
    while topic.records.len() < ROWS * 3 / 2 {
        for _ in 0..9 {
            if let Ok(batch) = task.poll().await {
                largest = largest.max(batch.records.len());
                topic.commit(batch);
            }
        }
        // what follows is lost
        drop(task.poll().await);
        task.close().await;
        task = topic.open(&capture.config).await;
    }
    assert_eq!(topic.records.len(), ROWS * 3 / 2);
    assert_eq!(topic.rows(), capture.rows("id", "id, v").await);
    assert!(largest <= 700);
    task.close().await;
}

/// Columns of every type, and values at their edges.
const TYPES: &str = "CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN positive AS INT CHECK (VALUE > 0); \
    CREATE TABLE t (id INT PRIMARY KEY, b BOOL, i2 INT2, i8 INT8, o OID, f4 FLOAT4, f8 FLOAT8, mo MONEY, n NUMERIC, \
    n2 NUMERIC(10,2), n0 NUMERIC(5), te TEXT, vc VARCHAR(20), ch CHAR(5), na NAME, uu UUID, js JSON, jb JSONB, xm XML, \
    by BYTEA, b1 BIT(1), b5 BIT(5), b12 BIT(12), vb VARBIT(10), d DATE, ti TIME, tz TIMETZ, ts TIMESTAMP, tt TIMESTAMPTZ, \
    iv INTERVAL, ip INET, ci CIDR, ma MACADDR, ai INT[], at TEXT[], r INT4RANGE, p POINT, e mood, po positive, tv TSVECTOR)";

const VALUES: &[&str] = &[
    "true, -32768, 9223372036854775807, 4294967295, 0.1, 1e300, -1234.5, 12345678901234567890.123456789, -99999999.99, \
     12345, 'ü', 'v', 'ab', 'n', '123e4567-e89b-12d3-a456-426655440000', '{\"a\":  1}', '{\"b\": [1, null]}', '<a>x</a>', \
     '\\x00ff', B'1', B'10101', B'101010101010', B'0110', '2024-02-29', '23:59:59.999999', '01:00:00.5+02:30', \
     '2024-02-29 23:59:59.123456', '2024-03-31 02:30:00.5+02', '1 mon 2 days 03:04:05.6', '192.0.2.1', '10.0.0.0/8', \
     '08:00:2b:01:02:03', '{1,NULL,3}', '{\"a b\",\"c\\\"d\"}', '[1,5)', '(1.5,-2)', 'it''s ok', 5, 'a b'",
    "false, 0, -1, 0, 'NaN', '-Infinity', 0, 'NaN', 0, 0, '', '', '', '', '00000000-0000-0000-0000-000000000000', 'null', \
     '[]', '', '', B'0', B'00000', B'000000000001', '', '0001-01-01 BC', '00:00:00', '00:00:00+00', '0044-03-15 12:00:00 BC', \
     'infinity', '0', '::1', '::/0', '00:00:00:00:00:00', '{}', '{}', 'empty', '(0,0)', 'sad', 1, ''",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "NULL, 1, 1, 1, 3.4028235e38, 5e-324, 92233720368547758.07, -0.000, 1.10, -1, 'a\\b', E'\\n', '  x', 'pg', NULL, '1', \
     '\"x\"', NULL, '\\x', NULL, B'11111', NULL, B'1', 'infinity', '24:00:00', '24:00:00-15:59', '1582-10-10 00:00:00', \
     '4713-01-01 00:00:00+00 BC', '-1 year', '1.2.3.4/24', '::1/128', NULL, '{{1,2},{3,4}}', NULL, NULL, NULL, NULL, NULL, NULL",
];

#[tokio::test]
async fn captured_rows_are_the_records_that_polling_makes_of_them() {
    for keys in [
        &[][..],
        &[
            ("timestamp.granularity", "micros_long"),
            ("numeric.mapping", "best_fit"),
        ][..],
        &[("db.timezone", "Europe/Berlin")][..],
    ] {
        let capture = Capture::new(TYPES, keys).await;
        let insert = async |from: usize| {
            for (n, values) in VALUES.iter().enumerate() {
                let id = from + n;
                capture
                    .run(&format!(
                        "SET timezone = 'UTC'; INSERT INTO t VALUES ({id}, {values})"
                    ))
                    .await;
            }
        };
        insert(0).await;
        let mut topic = Topic::default();
        let mut task = topic.open(&capture.config).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() >= VALUES.len())
            .await;
        insert(VALUES.len()).await;
        topic
            .poll(&mut *task, |topic| topic.records.len() >= 2 * VALUES.len())
            .await;
        task.close().await;
        let mut config = capture.config.clone();
        config.set("mode", "bulk");
        let mut polling = Topic::default().open_any(&config).await;
        let mut polled = Vec::new();
        while polled.len() < 2 * VALUES.len() {
            polled.extend(polling.poll().await.unwrap().records);
        }
        polling.close().await;
        for (captured, polled) in topic.records.iter().zip(&polled) {
            // NaN is not equal to itself
            assert_eq!(format!("{captured:?}"), format!("{polled:?}"));
        }
        assert_eq!(topic.records.len(), polled.len());
    }
}
