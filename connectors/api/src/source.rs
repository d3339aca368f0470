//! Source connectors: they turn the rows of an external system into records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::{
    Config, ConfigReport, Error, Plugin, PreviewLimits, Record, RereadProgress, Result,
    SourcePreview, TaskRequest,
};

/// A scalar in a source partition or source offset (Kafka Connect allows primitives only).
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "they are JSON's own kinds")]
pub enum OffsetValue {
    Null,
    Bool(bool),
    Long(i64),
    Double(f64),
    Text(String),
}

/// Identifies what is read, such as a table. It is the second member of the key in Connect's
/// offsets topic.
///
/// Members are written in the order given, so a connector must keep the order stable: keys are
/// compared byte by byte in the compacted topic.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SourcePartition(pub Vec<(String, OffsetValue)>);

/// How far a source partition has been read: the value in Connect's offsets topic. Members are
/// written in the order given.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SourceOffset(pub Vec<(String, OffsetValue)>);

impl SourcePartition {
    /// Returns the member named `name`.
    pub fn get(&self, name: &str) -> Option<&OffsetValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// True if both have the same members, in any order.
    pub fn same_as(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }

    /// Returns a text that is equal for partitions with the same members in any order, for use as a
    /// lookup key.
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
    /// Returns the member named `name`.
    pub fn get(&self, name: &str) -> Option<&OffsetValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// A source partition together with how far it has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePosition {
    /// The source partition, such as a table.
    pub partition: SourcePartition,
    /// How far it has been read. `None` stores a tombstone, which deletes the stored offset (bulk
    /// mode).
    pub offset: Option<SourceOffset>,
}

/// The stored offsets, as a task sees them when it opens.
#[async_trait]
pub trait StoredOffsets: Send + Sync {
    /// Returns the stored offset of each partition, in the order of `partitions`.
    /// Errors: `Retry` when the offset store cannot be reached.
    async fn read(&self, partitions: &[SourcePartition]) -> Result<Vec<Option<SourceOffset>>>;

    /// Returns every stored position of this connector, whichever task stored it.
    /// Errors: `Retry` when the offset store cannot be reached.
    async fn all(&self) -> Result<Vec<SourcePosition>>;
}

/// The tasks that a connector's work is split into.
#[derive(Clone, Debug, Default)]
pub struct TaskPlan {
    /// One config per task; the runtime stores and shows them unchanged.
    pub tasks: Vec<Config>,
    /// When to plan again, to notice new and dropped tables; `None` means never.
    pub again_after: Option<Duration>,
}

/// The result of one call of [`SourceTask::poll`].
#[derive(Debug, Default)]
pub struct SourceBatch {
    /// Records in order; may be empty.
    pub records: Vec<Record>,
    /// Positions that are valid once every record of this batch and of all earlier batches is
    /// durable. They are stored even if every record was filtered out. At most one per source
    /// partition.
    pub positions: Vec<SourcePosition>,
    /// If set, no more data is available now: the runtime polls again after this time, unless the
    /// task is closed first.
    pub idle_for: Option<Duration>,
    /// True if the batch ends inside a transaction of the source, whose remaining records come with
    /// the next batches: the runtime does not end its own transaction here, if it can wait.
    pub is_partial: bool,
}

/// The progress of one table (for a sink: one topic) since its task was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableProgress {
    /// Name of the table or topic.
    pub table: String,
    /// Number of rows emitted.
    pub rows: u64,
    /// Estimated total number of rows in the table.
    pub rows_estimated: Option<u64>,
    /// Estimated number of rows left to read; 0 once everything available has been read.
    pub rows_left: Option<u64>,
    /// Estimated time to read the remaining rows at the current rate.
    pub time_left: Option<Duration>,
    /// When the last read that reached the end of the table began: everything that had been committed
    /// by then has been read. `None` until the end has been reached once.
    pub complete_at: Option<Instant>,
    /// Number of places where rows may still appear because of open transactions: ranges of ids that
    /// are missing below the position, and the end, while rows there are held back. `None` if the
    /// position needs none.
    pub gaps: Option<u64>,
}

/// The progress of a task, for display.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgressReport {
    /// One entry per table.
    pub tables: Vec<TableProgress>,
    /// Warnings for the user, such as a column carried as text or a missing privilege.
    pub warnings: Vec<String>,
    /// What is being read again, and what has been since the task was opened.
    pub rereads: Vec<RereadProgress>,
}

/// A source connector: plans tasks and opens them.
#[async_trait]
pub trait SourceConnector: Plugin {
    /// Splits the work into at most `max_tasks` tasks. May query the database.
    /// Errors: `Config`, `Denied`, or `Retry` when the database cannot be reached.
    async fn plan(&self, config: &Config, max_tasks: usize) -> Result<TaskPlan>;

    /// Like [`SourceConnector::plan`], for connectors whose tasks depend on how far reading has
    /// progressed. The offset store is read only when a method of `stored` is called.
    async fn plan_on(
        &self,
        config: &Config,
        max_tasks: usize,
        _stored: &dyn StoredOffsets,
    ) -> Result<TaskPlan> {
        self.plan(config, max_tasks).await
    }

    /// Opens one task. `task` is one of the configs that [`SourceConnector::plan`] returned; the
    /// task resumes from the offsets in `stored`.
    async fn open(&self, task: &Config, stored: &dyn StoredOffsets) -> Result<Box<dyn SourceTask>>;

    /// Checks positions that a user sets through the REST API while no task runs; `positions` is
    /// empty when all of them are reset. Partitions that do not belong to this connector are not an
    /// error.
    /// Returns true if the response should say that the connector's own offsets were altered, false
    /// if it should say that the framework's were (KIP-875).
    /// Errors: `Config` for an offset from which a task could not resume.
    fn check_positions(&self, _config: &Config, _positions: &[SourcePosition]) -> Result<bool> {
        Ok(false)
    }

    /// Runs the validation checks that need I/O (connection, privileges) and adds the results to
    /// `report`. Must return within seconds.
    async fn probe(&self, _config: &Config, _report: &mut ConfigReport) {}

    /// Adds what a task would read to `preview`, and reads the first records, without any effect on
    /// the source. Returns false if the connector cannot tell.
    /// Errors: as [`SourceConnector::plan`].
    async fn preview(
        &self,
        _config: &Config,
        _stored: &dyn StoredOffsets,
        _limits: PreviewLimits,
        _preview: &mut SourcePreview,
    ) -> Result<bool> {
        Ok(false)
    }
}

/// One running task of a source.
#[async_trait]
pub trait SourceTask: Send {
    /// Returns the next batch.
    /// Cancel safety: if the future is dropped, the next call returns the same rows again; none is
    /// lost.
    /// Errors: after `Retry` the runtime polls again after a back-off, and the task resumes after
    /// the last batch that it returned.
    async fn poll(&mut self) -> Result<SourceBatch>;

    /// Notifies the task that these positions are durable.
    async fn committed(&mut self, _positions: &[SourcePosition]) -> Result<()> {
        Ok(())
    }

    /// Begins or ends what a user asks for, and returns the positions to store before that counts
    /// as accepted: a task that is opened later continues from them. Called between two polls.
    /// Cancel safety: if the future is dropped, nothing has changed.
    /// Errors: `Config` if the request makes no sense for this task; `Retry`.
    async fn request(&mut self, _request: &TaskRequest) -> Result<Vec<SourcePosition>> {
        Err(Error::config(
            "connectors of this class cannot read rows again: stop the connector and change its \
             offsets instead",
        ))
    }

    /// Returns the progress since the task was opened.
    fn progress(&self) -> ProgressReport {
        ProgressReport::default()
    }

    /// Closes connections and other resources. Called exactly once, also after an error.
    async fn close(self: Box<Self>);
}
