//! Sink connectors: they write records to an external system.

use async_trait::async_trait;

use crate::{
    Config, ConfigReport, Error, Plugin, PreviewLimits, Result, SinkPreview, SinkRecord,
    TopicOffset, TopicPartition,
};

/// A record that was not written, and why.
#[derive(Debug)]
pub struct Rejected {
    /// Index into the batch passed to [`SinkTask::put`].
    pub index: usize,
    /// Why the record was rejected.
    pub error: Error,
}

/// The outcome of a batch: every record except those in `rejected` is written, and durable after
/// [`SinkTask::commit`].
#[derive(Debug, Default)]
pub struct PutReport {
    /// Records that were skipped. The runtime sends them to the dead-letter topic, or fails the
    /// task, before it commits.
    pub rejected: Vec<Rejected>,
}

/// A sink connector: opens tasks and manages the offsets that they store.
#[async_trait]
pub trait SinkConnector: Plugin {
    /// Opens one task. `task` is the connector's config with two keys added: `task.id` is the
    /// number of the task, and `task.cluster` names the Kafka cluster that it reads (and the
    /// consumer group, unless it is the default one). A sink that stores offsets stores them under
    /// `task.cluster`.
    /// If `tolerate` is true (`errors.tolerance=all`), the task may reject single records.
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>>;

    /// Sets offsets that the sink stores itself, or deletes them where the value is `None`. Called
    /// while no task runs; `config` contains `task.cluster`.
    /// Returns true if the response should say that the connector's own offsets were altered, false
    /// if it should say that the framework's were (KIP-875).
    async fn alter_offsets(
        &self,
        _config: &Config,
        _offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<bool> {
        Ok(false)
    }

    /// Deletes all offsets that the sink stores itself.
    /// Returns the same as [`SinkConnector::alter_offsets`].
    async fn reset_offsets(&self, _config: &Config) -> Result<bool> {
        Ok(false)
    }

    /// Runs the validation checks that need I/O, see
    /// [`SourceConnector::probe`](crate::SourceConnector::probe).
    async fn probe(&self, _config: &Config, _report: &mut ConfigReport) {}

    /// Adds to `preview` what a task would change in the target to write `records`, without
    /// changing it. Returns false if the connector cannot tell.
    /// Errors: as [`SinkConnector::open`].
    async fn preview(
        &self,
        _config: &Config,
        _records: &[SinkRecord],
        _limits: PreviewLimits,
        _preview: &mut SinkPreview,
    ) -> Result<bool> {
        Ok(false)
    }
}

/// One running task of a sink.
#[async_trait]
pub trait SinkTask: Send {
    /// Takes over `partitions`, in addition to those already assigned, and fences every earlier
    /// owner of them.
    /// Returns the positions stored in the sink: the next offset to read of each partition. The
    /// runtime seeks there; a partition that is not returned resumes from the offset of the
    /// consumer group.
    /// After an error the runtime may call again with the same partitions, of which some may have
    /// been taken over: the stored offset of each is returned then, too, because the offset of the
    /// consumer group may be older than the records in the sink.
    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>>;

    /// Releases these partitions: another task may take them over.
    async fn revoke(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    /// Writes the batch, together with the offsets if the sink stores them, in one transaction, and
    /// leaves it open for [`SinkTask::commit`] or [`SinkTask::rollback`].
    /// `next` holds the next offset of each partition in the batch, and counts records that were
    /// filtered out before as consumed. `batch` may be empty. Either all records are written except
    /// those that the report rejects, or none.
    /// Errors: after `Retry` the runtime calls again with the same batch after a back-off.
    async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport>;

    /// Makes the records of the last [`SinkTask::put`] durable. The runtime stores the rejected
    /// records before it calls this, so that a crash in between loses none of them. A sink without
    /// transactions has nothing to do here.
    /// Errors: after `Retry` the runtime puts the same batch again after a back-off. The commit is
    /// then in doubt: the batch may already be durable, and must not be written twice.
    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Rolls back what was put and not committed, because the rejected records could not be stored.
    async fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    /// Closes connections and other resources. Called exactly once, also after an error.
    async fn close(self: Box<Self>);
}
