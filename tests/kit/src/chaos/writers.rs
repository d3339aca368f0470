//! Writers of the source's tables: transactions over several tables that overlap, of which some are held open and some
//! rolled back. Row numbers and pauses follow from the seed; who meets whom is a matter of time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor};
use tokio::task::JoinSet;

use super::Plan;
use super::field::Field;
use crate::Random;

/// Keys of the key-value table are below this.
const KEYS: u64 = 5000;

const DELETE: &str = "DELETE FROM kv WHERE id = ";

/// How long a statement may take before its writer makes a new connection.
const PATIENCE: Duration = Duration::from_secs(45);

/// What the writers have done.
#[derive(Default)]
pub(crate) struct Counts {
    /// Rows inserted, updated or deleted, and committed.
    rows: AtomicU64,
    /// Transactions that were committed.
    pub committed: AtomicU64,
    /// Transactions that were rolled back on purpose.
    pub rolled_back: AtomicU64,
    /// Transactions held open for a while.
    pub held_open: AtomicU64,
    /// Transactions that failed: deadlocks, lost connections.
    pub failed: AtomicU64,
    /// Commits whose outcome the writer does not know.
    pub unknown: AtomicU64,
    /// How many rows may be written by now.
    allowed: AtomicU64,
    /// How often each key of the key-value table was deleted, at most: a commit may have failed unnoticed.
    deleted: Mutex<HashMap<i64, u32>>,
}

impl Counts {
    /// How often each key of the key-value table was deleted, at most.
    pub(super) fn deleted(&self) -> MutexGuard<'_, HashMap<i64, u32>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writers of a run.
pub(crate) struct Load {
    counts: Arc<Counts>,
    writers: Mutex<JoinSet<()>>,
    rows: u64,
}

impl Load {
    /// Starts the writers, which wait until they are allowed to.
    pub(super) fn start(field: &Arc<Field>, plan: &Plan, random: &mut Random) -> Self {
        let counts = Arc::new(Counts::default());
        let mut writers = JoinSet::new();
        for number in 1..=plan.writers {
            let writer = Writer {
                field: Arc::clone(field),
                counts: Arc::clone(&counts),
                random: random.fork(),
                number,
                changes: 0,
            };
            writers.spawn(writer.write(plan.rows));
        }
        Self {
            counts,
            writers: Mutex::new(writers),
            rows: plan.rows,
        }
    }

    /// Lets them write until so many rows are written in all.
    pub(super) fn allow(&self, rows: u64) {
        self.counts
            .allowed
            .fetch_max(rows.min(self.rows), Ordering::Relaxed);
    }

    /// Rows written so far.
    pub(super) fn written(&self) -> u64 {
        self.counts.rows.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits until they have written everything.
    pub(super) async fn finish(&self) {
        self.allow(self.rows);
        let mut writers = std::mem::take(&mut *self.writers.lock().expect("lock of the writers"));
        while let Some(ended) = writers.join_next().await {
            ended.expect("a writer that does not panic");
        }
    }
}

struct Writer {
    field: Arc<Field>,
    counts: Arc<Counts>,
    random: Random,
    number: u64,
    changes: u64,
}

impl Writer {
    async fn write(mut self, rows: u64) {
        let mut connection: Option<MySqlConnection> = None;
        while self.counts.rows.load(Ordering::Relaxed) < rows {
            if self.counts.rows.load(Ordering::Relaxed)
                >= self.counts.allowed.load(Ordering::Relaxed)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let Some(open) = connection.as_mut() else {
                connection = self.connect().await;
                continue;
            };
            if self.transaction(open).await.is_none() {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                connection = None;
            }
        }
    }

    async fn connect(&self) -> Option<MySqlConnection> {
        let Some(mut connection) = self.field.connect_source().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return None;
        };
        let settings = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET innodb_lock_wait_timeout = 5";
        send(&mut connection, settings).await.map(|_| connection)
    }

    /// One transaction. None: it failed, and its connection is not to be used any more.
    async fn transaction(&mut self, connection: &mut MySqlConnection) -> Option<()> {
        send(connection, "BEGIN").await?;
        let statements = 1 + self.random.below(8);
        let held_open = match self.random.below(100) {
            0..3 => 200 + self.random.below(2800),
            3..15 => self.random.below(60),
            _ => 0,
        };
        let held_at = self.random.below(statements);
        let (mut changed, mut deleted) = (0, Vec::new());
        for n in 0..statements {
            let statement = self.statement();
            // One row that is replaced counts twice for the server.
            let most = if statement.contains("ON DUPLICATE KEY") {
                1
            } else {
                u64::MAX
            };
            let rows = send(connection, &statement).await?.min(most);
            changed += rows;
            if let Some(key) = statement.strip_prefix(DELETE) {
                deleted.extend((rows > 0).then(|| key.parse::<i64>().expect("a key")));
            }
            if n == held_at && held_open > 0 {
                tokio::time::sleep(Duration::from_millis(held_open)).await;
            }
        }
        if held_open >= 200 {
            self.counts.held_open.fetch_add(1, Ordering::Relaxed);
        }
        if self.random.below(10) == 0 {
            send(connection, "ROLLBACK").await?;
            self.counts.rolled_back.fetch_add(1, Ordering::Relaxed);
            return Some(());
        }
        for key in deleted {
            *self.counts.deleted().entry(key).or_default() += 1;
        }
        if send(connection, "COMMIT").await.is_none() {
            self.counts.unknown.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.counts.committed.fetch_add(1, Ordering::Relaxed);
        self.counts.rows.fetch_add(changed, Ordering::Relaxed);
        Some(())
    }

    /// A number that no other change of any row has.
    fn version(&mut self) -> u64 {
        self.changes += 1;
        self.number << 40 | self.changes
    }

    fn statement(&mut self) -> String {
        match self.random.below(100) {
            0..35 => self.insert_ledger(),
            35..80 => self.change_key_value(),
            _ => self.change_types(),
        }
    }

    fn insert_ledger(&mut self) -> String {
        let table = self.random.below(2);
        let rows: Vec<String> = (0..1 + self.random.below(12))
            .map(|_| {
                let (version, note) = (self.version(), quoted(&self.random.text(40)));
                let payload = 1 + self.random.below(60);
                let bytes: String = (0..payload)
                    .map(|_| format!("{:02x}", self.random.below(256)))
                    .collect();
                format!("({}, {version}, x'{bytes}', {note})", self.number)
            })
            .collect();
        format!(
            "INSERT INTO ledger_{table} (writer, version, payload, note) VALUES {}",
            rows.join(", ")
        )
    }

    /// Keys are deleted and come back.
    fn change_key_value(&mut self) -> String {
        let version = self.version();
        let key = 1 + self.random.below(KEYS);
        let text = if self.random.below(10) == 0 {
            "NULL".to_owned()
        } else {
            quoted(&self.random.text(80))
        };
        match self.random.below(100) {
            0..10 => format!("{DELETE}{key}"),
            10..55 => {
                let more = key + self.random.below(6);
                format!(
                    "UPDATE kv SET n = n + 1, version = {version}, v = {text} WHERE id BETWEEN {key} AND {more}"
                )
            }
            _ => format!(
                "INSERT INTO kv (id, n, version, v) VALUES ({key}, 1, {version}, {text}) \
                 ON DUPLICATE KEY UPDATE n = n + 1, version = {version}, v = {text}"
            ),
        }
    }

    fn change_types(&mut self) -> String {
        let version = self.version();
        let mut maybe = |value: String| {
            if self.random.below(6) == 0 {
                "NULL".to_owned()
            } else {
                value
            }
        };
        let mut numbers = Random::from_seed(version ^ 0x5eed);
        let a = maybe(numbers.pick(&["0", "4294967295", "1", "77"]).to_string());
        let d = maybe(format!(
            "{}.{:06}",
            numbers.below(1 << 40) as i64 - (1 << 39),
            numbers.below(1_000_000)
        ));
        let f = maybe(format!("{} / 4", numbers.below(1 << 40) as i64 - (1 << 39)));
        let s = maybe(quoted(&numbers.text(100)));
        let b = maybe(format!("x'{:016x}{:016x}'", numbers.bits(), numbers.bits()));
        let born = maybe(format!(
            "DATE '1600-01-01' + INTERVAL {} DAY",
            numbers.below(200_000)
        ));
        let at = maybe(format!(
            "TIMESTAMP '1970-01-01 00:00:00' + INTERVAL {} * 1000 MICROSECOND",
            numbers.below(1 << 41)
        ));
        let values = [
            ("a", a),
            ("d", d),
            ("f", f),
            ("s", s),
            ("b", b),
            ("born", born),
            ("`at`", at),
        ];
        if self.random.below(3) == 0 {
            let set: Vec<String> = values
                .iter()
                .map(|(column, value)| format!("{column} = {value}"))
                .collect();
            let id = 1 + self.random.below(1 + self.changes);
            return format!(
                "UPDATE types SET version = {version}, {} WHERE id = {id}",
                set.join(", ")
            );
        }
        let (columns, values): (Vec<&str>, Vec<String>) = values.into_iter().unzip();
        format!(
            "INSERT INTO types (version, {}) VALUES ({version}, {})",
            columns.join(", "),
            values.join(", ")
        )
    }
}

/// The number of rows that statements have changed; none when they failed, or were not answered in time.
async fn send(connection: &mut MySqlConnection, sql: &str) -> Option<u64> {
    let sent = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    tokio::time::timeout(PATIENCE, sent)
        .await
        .ok()?
        .ok()
        .map(|done| done.rows_affected())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
