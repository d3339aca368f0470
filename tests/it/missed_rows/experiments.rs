//! Writers, a naive reader, and ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector_api::{SourceTask, Value};
use testkit::{Random, unique};
use tokio::time::Instant;

use super::writers::{ROWS, Server, Sql, Writing, write};
use crate::source::{Stored, open};

/// Rows of all experiments together when nothing else is asked for.
const USUAL: u64 = 30_000;
/// How often more is written until the naive reader misses something.
const ROUNDS: u64 = 8;
/// How long ours may take to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many rows, at the scale asked for.
fn scaled(usual: u64) -> u64 {
    let all: u64 = std::env::var("ROWFERRY_MISSED_ROWS")
        .map_or(USUAL, |n| n.parse().expect("a number of rows"));
    usual.saturating_mul(all) / USUAL
}

/// What a reader was given: values by id, as often as they came.
type Given = Vec<(i64, i64)>;

struct Experiment {
    server: Server,
    database: String,
    writing: Writing,
    /// What the naive reader asks, after the greatest it has seen.
    naive: &'static str,
    first: &'static str,
}

impl Experiment {
    async fn new(server: Server, writing: Writing, create: &str) -> Self {
        let database = unique("missed");
        let mut sql = Sql::create_database(server, &database).await;
        sql.run(create).await;
        let (naive, first) = match (writing, server) {
            (Writing::Updates | Writing::Stamped, Server::MariaDb) => (
                "SELECT CAST(id AS SIGNED), CAST(v AS SIGNED), CAST(ts AS CHAR) FROM t WHERE ts > '{}' AND ts < NOW(6) \
                 ORDER BY ts, id",
                "1970-01-02",
            ),
            (Writing::Updates | Writing::Stamped, Server::Postgres) => (
                "SELECT id::int8, v::int8, ts::text FROM t WHERE ts > '{}' AND ts < clock_timestamp() ORDER BY ts, id",
                "1970-01-02",
            ),
            (_, Server::MariaDb) => (
                "SELECT id, CAST(n AS SIGNED), CAST(id AS CHAR) FROM t WHERE id > {} ORDER BY id",
                "0",
            ),
            (_, Server::Postgres) => (
                "SELECT id, n::int8, id::text FROM t WHERE id > {} ORDER BY t.id",
                "0",
            ),
        };
        Self {
            server,
            database,
            writing,
            naive,
            first,
        }
    }

    fn ids(server: Server, writing: Writing) -> impl Future<Output = Self> {
        Self::new(
            server,
            writing,
            match server {
                Server::MariaDb => {
                    "CREATE TABLE t (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, n INT)"
                }
                Server::Postgres => "CREATE TABLE t (id BIGSERIAL PRIMARY KEY, n INT)",
            },
        )
    }

    async fn stamps(server: Server, writing: Writing) -> Self {
        let made = match server {
            Server::MariaDb => {
                "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, ts TIMESTAMP(6) NOT NULL, KEY (ts))"
            }
            Server::Postgres => {
                "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL, ts TIMESTAMPTZ NOT NULL)"
            }
        };
        let made = Self::new(server, writing, made).await;
        let rows: Vec<_> = (1..=ROWS)
            .map(|id| format!("({id}, 0, CURRENT_TIMESTAMP(6))"))
            .collect();
        made.sql()
            .await
            .run(&format!("INSERT INTO t VALUES {}", rows.join(",")))
            .await;
        made
    }

    async fn sql(&self) -> Sql {
        Sql::connect(self.server, &self.database).await
    }

    async fn source(&self, keys: &[(&str, &str)]) -> Box<dyn SourceTask> {
        let config = self.server.config(&self.database, keys);
        open(&config, &Stored::default()).await
    }

    /// The naive reader, until it is stopped; then one more look.
    async fn read_naively(&self, stop: Arc<AtomicBool>) -> Given {
        let (mut sql, mut after, mut given) = (self.sql().await, self.first.to_owned(), Vec::new());
        loop {
            let last = stop.load(Ordering::Relaxed);
            let rows = sql.rows(&self.naive.replace("{}", &after)).await;
            if let Some((_, _, greatest)) = rows.last() {
                after.clone_from(greatest);
            }
            given.extend(rows.into_iter().map(|(id, value, _)| (id, value)));
            if last {
                return given;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes, with readers beside, until the naive one misses something; compares. Prints what was found.
    async fn run(self, writers: u64, rows: u64, keys: &[(&str, &str)], must_miss: bool) {
        let rows = scaled(rows);
        let mut random = Random::new();
        let mut ours = Reader::start(self.source(keys).await);
        let (mut missed, mut naive) = (0, Vec::new());
        for _ in 0..ROUNDS {
            let stop = Arc::new(AtomicBool::new(false));
            let writing = async {
                let each = rows.div_ceil(writers);
                let tasks: Vec<_> = (0..writers)
                    .map(|n| {
                        let (server, database, how) =
                            (self.server, self.database.clone(), self.writing);
                        tokio::spawn(write(
                            server,
                            database,
                            how,
                            n,
                            writers,
                            each,
                            random.bits(),
                        ))
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                stop.store(true, Ordering::Relaxed);
            };
            let ((), given) = tokio::join!(writing, self.read_naively(Arc::clone(&stop)));
            naive = given;
            missed = missing(&self.table().await, &naive).len();
            if missed > 0 || !must_miss {
                break;
            }
        }
        let table = self.table().await;
        let given = ours.until(&table).await;
        let (lost, doubled) = (missing(&table, &given), doubles(&given));
        println!(
            "missed rows: {:?} {:?}: {} rows; naive reader missed {missed} of them; ours missed {}, doubled {}",
            self.server,
            self.writing,
            if self.writing.has_stamps() {
                naive.len()
            } else {
                table.len()
            },
            lost.len(),
            doubled
        );
        assert!(lost.is_empty(), "ours missed {lost:?}");
        assert_eq!(doubled, 0);
        assert!(
            missed > 0 || !must_miss,
            "the naive reader missed nothing: the experiment shows nothing"
        );
    }

    /// The values that are in the table, by id.
    async fn table(&self) -> BTreeMap<i64, i64> {
        let value = if self.writing.has_stamps() { "v" } else { "n" };
        let sql = match self.server {
            Server::MariaDb => {
                format!("SELECT CAST(id AS SIGNED), CAST({value} AS SIGNED), '' FROM t")
            }
            Server::Postgres => format!("SELECT id::int8, {value}::int8, '' FROM t"),
        };
        self.sql()
            .await
            .rows(&sql)
            .await
            .into_iter()
            .map(|(id, value, _)| (id, value))
            .collect()
    }
}

/// The ids whose last value was never given.
fn missing(table: &BTreeMap<i64, i64>, given: &Given) -> Vec<i64> {
    let given: BTreeSet<_> = given.iter().copied().collect();
    table
        .iter()
        .filter(|(id, value)| !given.contains(&(**id, **value)))
        .map(|(id, _)| *id)
        .collect()
}

/// How many values were given more than once.
fn doubles(given: &Given) -> usize {
    given.len() - given.iter().collect::<BTreeSet<_>>().len()
}

/// Our source, polled in the background.
struct Reader {
    rows: tokio::sync::mpsc::UnboundedReceiver<(i64, i64)>,
    given: Given,
}

impl Reader {
    fn start(mut task: Box<dyn SourceTask>) -> Self {
        let (sender, rows) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while !sender.is_closed() {
                let batch = task.poll().await.unwrap();
                for record in &batch.records {
                    let Value::Struct(row) = &record.value.value else {
                        panic!("no struct")
                    };
                    let _over = sender.send((row[0].as_i64().unwrap(), row[1].as_i64().unwrap()));
                }
                tokio::time::sleep(
                    batch
                        .idle_for
                        .unwrap_or_default()
                        .min(Duration::from_millis(20)),
                )
                .await;
            }
            task.close().await;
        });
        Self {
            rows,
            given: Vec::new(),
        }
    }

    /// Waits until all that is in the table has come, and then for a while whether more does.
    async fn until(&mut self, table: &BTreeMap<i64, i64>) -> Given {
        let mut wanted: BTreeSet<(i64, i64)> =
            table.iter().map(|(id, value)| (*id, *value)).collect();
        let mut end = Instant::now() + PATIENCE;
        let mut quiet = false;
        loop {
            if wanted.is_empty() && !quiet {
                (quiet, end) = (true, Instant::now() + Duration::from_secs(1));
            }
            match tokio::time::timeout_at(end, self.rows.recv()).await {
                Ok(Some(row)) => {
                    wanted.remove(&row);
                    self.given.push(row);
                }
                Ok(None) => panic!("our source has stopped"),
                Err(_) => return std::mem::take(&mut self.given),
            }
        }
    }
}

const IDS: &[(&str, &str)] = &[("mode", "incrementing"), ("batch.max.rows", "200")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_of_overlapping_transactions_is_missed_on_mariadb() {
    Experiment::ids(Server::MariaDb, Writing::Transactions)
        .await
        .run(8, 3_000, IDS, true)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_of_single_inserts_is_missed_on_mariadb() {
    Experiment::ids(Server::MariaDb, Writing::Autocommit)
        .await
        .run(8, 12_000, IDS, false)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_of_overlapping_transactions_is_missed_on_postgresql() {
    Experiment::ids(Server::Postgres, Writing::Transactions)
        .await
        .run(8, 3_000, IDS, true)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_id_of_single_inserts_is_missed_on_postgresql() {
    Experiment::ids(Server::Postgres, Writing::Autocommit)
        .await
        .run(8, 8_000, IDS, false)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timestamp_of_updates_is_missed_on_mariadb() {
    let keys = [
        ("mode", "timestamp+incrementing"),
        ("timestamp.column.name", "ts"),
        ("incrementing.column.name", "id"),
        ("timestamp.granularity", "micros_long"),
    ];
    Experiment::stamps(Server::MariaDb, Writing::Updates)
        .await
        .run(8, 2_000, &keys, true)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timestamp_of_updates_is_missed_on_postgresql() {
    let keys = [
        ("mode", "timestamp"),
        ("timestamp.column.name", "ts"),
        ("timestamp.granularity", "micros_long"),
    ];
    Experiment::stamps(Server::Postgres, Writing::Updates)
        .await
        .run(8, 2_000, &keys, true)
        .await;
}

/// Where no transaction is open, rows are read up to the clock itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timestamp_of_single_inserts_is_missed_on_mariadb_and_postgresql() {
    for server in [Server::MariaDb, Server::Postgres] {
        let keys = [
            ("mode", "timestamp"),
            ("timestamp.column.name", "ts"),
            ("timestamp.granularity", "micros_long"),
        ];
        Experiment::stamps(server, Writing::Stamped)
            .await
            .run(4, 2_000, &keys, false)
            .await;
    }
}
