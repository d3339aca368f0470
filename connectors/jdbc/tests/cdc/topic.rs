//! A captured table, and the topic of its records.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use connector_api::{
    Config, OffsetValue, Record, Result, SourceBatch, SourceConnector, SourceOffset,
    SourcePartition, SourcePosition, SourceTask, StoredOffsets, Value, async_trait,
};
use connector_jdbc::source::JdbcSource;
use testkit::mariadb::{run, texts};
use testkit::{Lab, MariaDb, unique};
use tokio::time::timeout;

/// How long something that comes soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) fn server() -> &'static MariaDb {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| Lab::durable("cdc")).mariadb()
}

/// A topic and the offsets stored with it.
#[derive(Default)]
pub(crate) struct Topic {
    pub(crate) records: Vec<Record>,
    pub(crate) offsets: Vec<SourcePosition>,
}

#[async_trait]
impl StoredOffsets for Topic {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let find = |p: &SourcePartition| {
            let found = self.offsets.iter().find(|q| q.partition.same_as(p))?;
            found.offset.clone()
        };
        Ok(partitions.iter().map(find).collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(self.offsets.clone())
    }
}

impl Topic {
    pub(crate) fn commit(&mut self, batch: SourceBatch) {
        self.store(batch.positions);
        self.records.extend(batch.records);
    }

    pub(crate) fn store(&mut self, positions: Vec<SourcePosition>) {
        for position in positions {
            self.offsets
                .retain(|p| !p.partition.same_as(&position.partition));
            if position.offset.is_some() {
                self.offsets.push(position);
            }
        }
    }

    pub(crate) async fn open(&self, config: &Config) -> Box<dyn SourceTask> {
        let plan = JdbcSource.plan(config, 4).await.unwrap();
        assert_eq!(plan.tasks.len(), 1, "one task reads a log");
        JdbcSource.open(&plan.tasks[0], self).await.unwrap()
    }

    /// Polls until what is committed satisfies `enough`.
    pub(crate) async fn poll(&mut self, task: &mut dyn SourceTask, enough: impl Fn(&Self) -> bool) {
        let polling = async {
            while !enough(self) {
                let batch = task.poll().await.unwrap();
                self.commit(batch);
            }
        };
        if timeout(SOON, polling).await.is_err() {
            panic!("not enough records: {:?}", self.last());
        }
    }

    /// True if all rows that were there before are emitted.
    pub(crate) fn follows(&self) -> bool {
        let done = OffsetValue::Text("done".into());
        let state = |position: &SourcePosition| position.offset.as_ref()?.get("snapshot").cloned();
        self.offsets
            .iter()
            .filter_map(state)
            .all(|state| state == done)
            && self.offsets.len() > 1
    }

    /// The last record of each key, as texts; `None`: a tombstone.
    pub(crate) fn last(&self) -> BTreeMap<String, Option<String>> {
        let of = |record: &Record| (shown(&record.key.value), text_of(record));
        self.records.iter().map(of).collect()
    }

    /// The rows that the topic says there are.
    pub(crate) fn rows(&self) -> BTreeMap<String, String> {
        let live = |(key, row): (String, Option<String>)| Some((key, row?));
        self.last().into_iter().filter_map(live).collect()
    }
}

pub(crate) fn text_of(record: &Record) -> Option<String> {
    (!record.value.value.is_null()).then(|| shown(&record.value.value))
}

/// A struct as a text, its members separated by `|`.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Struct(members) => {
            let members: Vec<_> = members.iter().map(shown).collect();
            members.join("|")
        }
        Value::Text(text) => text.to_string(),
        Value::Null => "NULL".into(),
        Value::Decimal(decimal) => decimal.to_string(),
        other => other
            .as_i64()
            .map_or_else(|| format!("{other:?}"), |n| n.to_string()),
    }
}

/// A database with a table `t` that is captured, whatever the server.
#[async_trait]
pub(crate) trait CapturedDatabase: Sync {
    fn config(&self) -> &Config;

    async fn run(&self, sql: &str);

    /// The table's rows by key, as the server shows them.
    async fn rows(&self, key: &str, row: &str) -> BTreeMap<String, String>;

    /// Takes the primary key from the table.
    async fn drop_key(&self);
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
        Self::run(self, "ALTER TABLE t DROP PRIMARY KEY").await;
    }
}

/// A database with a table `t`, and a connector that captures it.
pub(crate) struct Capture {
    pub(crate) database: String,
    pub(crate) config: Config,
}

impl Capture {
    pub(crate) async fn new(table: &str, keys: &[(&str, &str)]) -> Self {
        let database = unique("cdc");
        let mut connection = server().create_database(&database).await;
        run(&mut connection, table).await;
        let url = server()
            .jdbc_url(&database)
            .replace("jdbc:mysql", "jdbc:mariadb");
        let own = [
            ("name", database.as_str()),
            ("connection.url", url.as_str()),
            ("connection.user", MariaDb::USER),
            ("connection.password", MariaDb::PASSWORD),
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

    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = server().connect(&self.database).await;
        run(&mut connection, sql).await;
    }

    /// The table's rows by key, as the server shows them.
    pub(crate) async fn rows(&self, key: &str, row: &str) -> BTreeMap<String, String> {
        let mut connection = server().connect(&self.database).await;
        let sql = format!("SELECT CONCAT_WS('|', {key}), CONCAT_WS('|', {row}) FROM t");
        let rows = texts(&mut connection, &sql).await.into_iter();
        rows.map(|row| {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            (row.next().unwrap(), row.next().unwrap())
        })
        .collect()
    }
}

impl Topic {
    pub(crate) async fn open_any(&self, config: &Config) -> Box<dyn SourceTask> {
        let plan = JdbcSource.plan(config, 1).await.unwrap();
        JdbcSource.open(&plan.tasks[0], self).await.unwrap()
    }
}
