//! Source connectors: rows of some system become records.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Config, ConfigReport, Plugin, Record, Result};

/// A scalar in a source partition or offset (Connect allows primitives only).
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "they are JSON's own kinds")]
pub enum OffsetValue {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
}

/// What is read (a table): a small map, the second member of the key in Connect's offsets topic.
///
/// Equal partitions have equal maps; the order of keys is the order they are written in, so keep it byte-stable.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SourcePartition(pub Vec<(String, OffsetValue)>);

/// How far it has been read: the value in Connect's offsets topic. Members in the order they are written.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SourceOffset(pub Vec<(String, OffsetValue)>);

impl SourcePartition {
    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&OffsetValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The same members whatever their order.
    pub fn same_as(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }

    /// A text that two partitions share when they have the same members, whatever their order: for lookups.
    pub fn meaning(&self) -> String {
        format!(
            "{:?}",
            self.0
                .iter()
                .map(|(name, value)| (name, value))
                .collect::<BTreeMap<_, _>>()
        )
    }
}

impl SourceOffset {
    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&OffsetValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// A source partition and how far it has been read. `None` writes a tombstone (bulk mode).
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePosition {
    /// What was read.
    pub partition: SourcePartition,
    /// How far.
    pub offset: Option<SourceOffset>,
}

/// The stored offsets, as a task sees them when it opens.
#[async_trait]
pub trait StoredOffsets: Send + Sync {
    /// The stored offset of each partition, in the order asked. Errors: `Retry` when the store is out of reach.
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>>;

    /// All of the connector's that hold an offset, whichever task stored them. Errors: as above.
    async fn all(&self) -> Result<Vec<SourcePosition>>;
}

/// The tasks of a connector.
#[derive(Clone, Debug, Default)]
pub struct TaskPlan {
    /// One config per task; stored and shown as they are.
    pub tasks: Vec<Config>,
    /// When to ask again (new and dropped tables); `None`: never.
    pub again_after: Option<Duration>,
}

/// What one call of [`SourceTask::poll`] gave.
#[derive(Debug, Default)]
pub struct SourceBatch {
    /// Records in order; may be empty.
    pub records: Vec<Record>,
    /// The offsets that hold once every record of this batch (and of those before it) is durable. They are stored
    /// even when the records were filtered out. At most one per source partition.
    pub positions: Vec<SourcePosition>,
    /// There is nothing more for now: do not poll again before this time has passed (or the task is closed).
    pub idle_for: Option<Duration>,
}

/// How far one table (of a sink: one topic) has come since its task was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableProgress {
    /// Its name.
    pub table: String,
    /// Rows handed out.
    pub rows: u64,
    /// Rows that it has in all, as estimated.
    pub rows_estimated: Option<u64>,
    /// Rows still to be read, as estimated; 0 once everything there is has been read.
    pub rows_left: Option<u64>,
    /// How long they will take at the pace so far.
    pub time_left: Option<Duration>,
}

/// How far a task has come, for progress displays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressReport {
    /// Its tables.
    pub tables: Vec<TableProgress>,
    /// Things a person should know (a column carried as text, a privilege that is missing).
    pub warnings: Vec<String>,
}

/// A source connector.
#[async_trait]
pub trait SourceConnector: Plugin {
    /// Splits the work into at most `max_tasks` tasks. May look at the database.
    /// Errors: `Config`, `Denied`, `Retry` when the database is out of reach.
    async fn plan(&self, config: &Config, max_tasks: usize) -> Result<TaskPlan>;

    /// The same, where the tasks depend on how far the reading has come. `stored` is read only when it is asked for.
    async fn plan_on(
        &self,
        config: &Config,
        max_tasks: usize,
        _stored: &dyn StoredOffsets,
    ) -> Result<TaskPlan> {
        self.plan(config, max_tasks).await
    }

    /// Opens one task. `task` is one of the configs of [`SourceConnector::plan`]; `stored` tells where to go on.
    async fn open(&self, task: &Config, stored: &dyn StoredOffsets) -> Result<Box<dyn SourceTask>>;

    /// Checks positions that somebody sets by hand while nothing runs; none where all are forgotten. Partitions that are
    /// none of this connector's are no error. Returns whether the answer to the request says that the connector's own
    /// offsets were altered (KIP-875); without, it says that the framework's were.
    /// Errors: `Config` for an offset that a task could not go on from.
    fn check_positions(&self, _config: &Config, _positions: &[SourcePosition]) -> Result<bool> {
        Ok(false)
    }

    /// Checks that need I/O (the connection, privileges), for validation. Adds to `report`; must end within seconds.
    async fn probe(&self, _config: &Config, _report: &mut ConfigReport) {}
}

/// One running task of a source.
#[async_trait]
pub trait SourceTask: Send {
    /// The next batch.
    /// Cancel safety: when the future is dropped, the next call gives the same rows again: none is lost.
    /// Errors: after `Retry` the task is polled again after a back-off and goes on after the last batch it returned.
    async fn poll(&mut self) -> Result<SourceBatch>;

    /// Positions that are now durable.
    async fn committed(&mut self, _positions: &[SourcePosition]) -> Result<()> {
        Ok(())
    }

    /// How far it has come.
    fn progress(&self) -> ProgressReport {
        ProgressReport::default()
    }

    /// Gives back connections. Called once, also after an error.
    async fn close(self: Box<Self>);
}
