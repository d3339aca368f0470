//! The messages between the two halves of a sink task: one channel each way. The reading half owns
//! the consumer, the writing half the connector's task.
//!
//! The channels are unbounded, and what is in them is not: at most [`BATCHES_AHEAD`] batches are not
//! done, and the reading half waits for the answer to each rebalance before it goes on.

use std::sync::mpsc::SyncSender;

use connector_api::{Result, TopicOffset, TopicPartition};

use super::batch::SinkBatch;
use crate::kafka::consumer::LatestOffsets;

/// How many batches may be on their way to the database: one that is written, and one to go on with.
pub(super) const BATCHES_AHEAD: usize = 2;

/// From the reading half, in the order in which the consumer reports it.
pub(super) enum ToWriter {
    Batch(SinkBatch),
    /// These partitions were assigned. The answer: the offsets that the sink has stored for them.
    Assigned(Vec<TopicPartition>, SyncSender<Result<Vec<TopicOffset>>>),
    /// These partitions are revoked. The answer comes once no record of them is being written, and
    /// none will be.
    Revoked(Vec<TopicPartition>, SyncSender<()>),
}

/// From the writing half. That it is gone means [`ToReader::Leave`].
pub(super) enum ToReader {
    /// Fetching pauses (true) or resumes.
    Pause(bool),
    /// A batch is done: everything before these offsets is written. Partitions that were revoked
    /// meanwhile are not among them.
    Done(LatestOffsets),
    /// The task ends: leave the group.
    Leave,
}
