//! A table in a database of its own on any of the servers, and a source over it whose topic is kept here: what a batch
//! brings counts with its positions or not at all, as in a Kafka transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::{
    Config, Record, Result, SourceBatch, SourceConnector, SourceOffset, SourcePartition,
    SourcePosition, SourceTask, StoredOffsets, Value, async_trait,
};
use connector_jdbc::source::JdbcSource;
use testkit::{mariadb, postgres, sqlite, unique};

use crate::source::{config, run};
use crate::source_conformance::fixture::{Connection, Server};

/// A database.
pub struct Place {
    pub name: String,
    pub url: String,
    pub user: &'static str,
    pub password: &'static str,
    connection: Connection,
}

impl Place {
    pub async fn new(server: Server) -> Self {
        let name = unique("deletes");
        let (mut connection, mut url, user, password) = Connection::create(server, &name).await;
        if let Connection::Sqlite(connection) = &mut connection {
            run(connection, "PRAGMA journal_mode = WAL").await;
            url += "?journal_mode=wal";
        }
        Self {
            name,
            url,
            user,
            password,
            connection,
        }
    }

    pub async fn run(&mut self, sql: &str) {
        match &mut self.connection {
            Connection::MariaDb(connection) => run(connection, sql).await,
            Connection::Postgres(connection) => run(connection, sql).await,
            Connection::Sqlite(connection) => run(connection, sql).await,
        }
    }

    /// The one column of a query, as texts.
    pub async fn column(&mut self, sql: &str) -> Vec<String> {
        let first = |rows: Vec<Vec<Option<String>>>| {
            rows.into_iter()
                .map(|row| row.into_iter().next().flatten().unwrap_or_default())
                .collect()
        };
        match &mut self.connection {
            Connection::MariaDb(connection) => first(mariadb::texts(connection, sql).await),
            Connection::Postgres(connection) => first(postgres::texts(connection, sql).await),
            Connection::Sqlite(connection) => sqlite::texts(connection, sql).await,
        }
    }

    /// A source over the table `t` that looks for deleted rows as often as it can.
    pub fn source(&self, keys: &[(&str, &str)]) -> Config {
        let own = [
            ("delete.capture", "key_sweep"),
            ("delete.capture.interval.ms", "20"),
            ("mode", "incrementing"),
        ];
        config(
            &self.url,
            self.user,
            self.password,
            &[&own[..], keys].concat(),
        )
    }
}

/// A topic and the offsets stored with it.
#[derive(Default)]
pub struct Topic {
    pub records: Vec<Record>,
    offsets: Vec<SourcePosition>,
}

#[async_trait]
impl StoredOffsets for Topic {
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>> {
        let find = |p: &SourcePartition| {
            self.offsets
                .iter()
                .find(|q| q.partition.same_as(p))?
                .offset
                .clone()
        };
        Ok(partitions.iter().map(find).collect())
    }

    async fn all(&self) -> Result<Vec<SourcePosition>> {
        Ok(self.offsets.clone())
    }
}

impl Topic {
    /// A batch is committed.
    pub fn commit(&mut self, batch: SourceBatch) {
        for position in batch.positions {
            self.offsets.retain(|p| p.partition != position.partition);
            if position.offset.is_some() {
                self.offsets.push(position);
            }
        }
        self.records.extend(batch.records);
    }

    pub async fn open(&self, config: &Config) -> Box<dyn SourceTask> {
        let plan = JdbcSource.plan(config, 1).await.unwrap();
        JdbcSource.open(&plan.tasks[0], self).await.unwrap()
    }

    /// Polls until what is committed satisfies `enough`.
    pub async fn poll(
        &mut self,
        task: &mut dyn SourceTask,
        within: Duration,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        let end = tokio::time::Instant::now() + within;
        while !enough(self) {
            let Ok(batch) = tokio::time::timeout_at(end, task.poll()).await else {
                return enough(self);
            };
            let batch = batch.unwrap();
            let idle = batch
                .idle_for
                .unwrap_or_default()
                .min(Duration::from_millis(20));
            self.commit(batch);
            tokio::time::sleep(idle).await;
            if tokio::time::Instant::now() > end {
                return enough(self);
            }
        }
        true
    }

    /// The keys whose last record has a value, as texts. Panics if a deletion is emitted twice.
    pub fn live(&self) -> Vec<String> {
        let mut live: BTreeMap<String, bool> = BTreeMap::new();
        for record in &self.records {
            let deleted = record.value.value.is_null();
            let before = live.insert(key_of(record), !deleted);
            assert!(
                !(deleted && before == Some(false)),
                "the deletion of {} was emitted twice",
                key_of(record)
            );
        }
        live.into_iter()
            .filter(|(_, live)| *live)
            .map(|(key, _)| key)
            .collect()
    }

    /// The keys of the records without a value, in their order.
    pub fn tombstones(&self) -> Vec<String> {
        self.records
            .iter()
            .filter(|record| record.value.value.is_null())
            .map(key_of)
            .collect()
    }
}

/// A record's key as a text, its members separated by `|`.
pub fn key_of(record: &Record) -> String {
    let Value::Struct(values) = &record.key.value else {
        panic!("no struct as key: {record:?}")
    };
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        Value::Decimal(decimal) => decimal.to_string(),
        value => value
            .as_i64()
            .map_or_else(|| format!("{value:?}"), |n| n.to_string()),
    };
    values.iter().map(text).collect::<Vec<_>>().join("|")
}
