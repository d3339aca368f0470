//! Sink connectors: records are applied to some system.

use async_trait::async_trait;

use crate::{Config, ConfigReport, Error, Plugin, Result, SinkRecord, TopicOffset, TopicPartition};

/// A record that was not written, and why.
#[derive(Debug)]
pub struct Rejected {
    /// Index into the batch given to [`SinkTask::put`].
    pub index: usize,
    /// Why.
    pub error: Error,
}

/// What became of a batch: everything but `rejected` is written, and durable after [`SinkTask::commit`].
#[derive(Debug, Default)]
pub struct PutReport {
    /// Records that were left out; the runtime sends them to the dead-letter topic, or fails the task, before it
    /// commits.
    pub rejected: Vec<Rejected>,
}

/// A sink connector.
#[async_trait]
pub trait SinkConnector: Plugin {
    /// Opens one task. `task` is the connector's config with the task's own keys added: `task.id`, its number, and
    /// `task.cluster`, the name of the Kafka cluster (and consumer group, where it is not the usual one) that it reads,
    /// under which a sink that keeps offsets keeps them.
    /// `tolerate` tells whether records may be rejected one by one (`errors.tolerance=all`).
    async fn open(&self, task: &Config, tolerate: bool) -> Result<Box<dyn SinkTask>>;

    /// Sets (or with `None` forgets) offsets that the sink itself keeps, while no task runs. `config` holds
    /// `task.cluster`.
    /// Returns whether the answer to the request says that the connector's own offsets were altered (KIP-875); without,
    /// it says that the framework's were.
    async fn alter_offsets(
        &self,
        _config: &Config,
        _offsets: &[(TopicPartition, Option<i64>)],
    ) -> Result<bool> {
        Ok(false)
    }

    /// Forgets all offsets that the sink itself keeps. Returns what [`SinkConnector::alter_offsets`] does.
    async fn reset_offsets(&self, _config: &Config) -> Result<bool> {
        Ok(false)
    }

    /// Checks that need I/O, see [`SourceConnector::probe`](crate::SourceConnector::probe).
    async fn probe(&self, _config: &Config, _report: &mut ConfigReport) {}
}

/// One running task of a sink.
#[async_trait]
pub trait SinkTask: Send {
    /// Takes over these partitions (those already held stay) and fences every earlier owner of them.
    /// Returns the positions stored in the sink, if any: the next offset to read of each partition. The runtime seeks
    /// there; partitions that are not returned go on from the consumer group's offset.
    async fn assign(&mut self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>>;

    /// Gives these partitions up.
    async fn revoke(&mut self, _partitions: &[TopicPartition]) -> Result<()> {
        Ok(())
    }

    /// Writes the batch and, where the sink keeps offsets, the offsets in the same transaction, which it leaves open for
    /// [`SinkTask::commit`] or [`SinkTask::rollback`]. `next` holds the next offset of each partition in the batch
    /// (records that were filtered out before count as consumed); the batch may be empty. All or nothing but for what
    /// the report rejects.
    /// Errors: after `Retry` the runtime calls again with the same batch after a back-off.
    async fn put(&mut self, batch: &[SinkRecord], next: &[TopicOffset]) -> Result<PutReport>;

    /// Makes durable what was put. The runtime has stored the rejected records before it calls this, so that none of them
    /// is lost with the process in between. A sink without transactions has nothing to do here.
    /// Errors: after `Retry` the runtime puts the same batch again after a back-off; it may then turn out to be durable.
    async fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Takes back what was put and not committed: the rejected records could not be stored.
    async fn rollback(&mut self) -> Result<()> {
        Ok(())
    }

    /// Gives back connections. Called once, also after an error.
    async fn close(self: Box<Self>);
}
