//! Batches of a sink: records are decoded and collected until a batch is full or handed over.

use std::sync::Arc;

use connector_api::{Header, Result, SinkRecord, TopicOffset, TopicPartition};
use tokio::sync::mpsc::Sender;

use super::super::codec::{CodecError, RecordCodec};
use super::super::delivery::is_transient;
use super::super::dlq::{DeadLetters, RawRecord};
use super::super::policy::Policy;
use super::super::seen_topics::SeenTopics;
use super::super::{TaskEvent, TaskId};
use crate::kafka::consumer::{IncomingRecord, LatestOffsets};
use crate::metrics::{TaskMetrics, TopicAmounts};

/// A batch is full at this many bytes as read.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A batch is full at this many bytes as decoded: few bytes can decode to many values.
const BATCH_WEIGHT: usize = 64 * 1024 * 1024;
/// Estimated size of a header besides its name and value, for names and types of its own.
const HEADER_WEIGHT: usize = 300;

/// Records on their way to the sink.
#[derive(Debug, Default)]
pub(super) struct SinkBatch {
    pub records: Vec<SinkRecord>,
    /// The same records as read; empty without a dead-letter topic.
    pub raw: Vec<RawRecord>,
    /// The next offset of each partition after this batch. Skipped records count as read.
    pub next: LatestOffsets,
    /// What was read for it, by topic, with the records that were skipped.
    pub read: TopicAmounts,
    bytes: usize,
    weight: usize,
}

impl SinkBatch {
    /// True if the batch takes no more records; it holds at most `rows`.
    fn is_full(&self, rows: usize) -> bool {
        self.records.len() >= rows || self.bytes >= BATCH_BYTES || self.weight >= BATCH_WEIGHT
    }

    /// Removes the records and offsets of revoked partitions.
    pub(super) fn remove(&mut self, revoked: &[TopicPartition]) {
        let is_revoked = |at: &TopicOffset| {
            revoked
                .iter()
                .any(|r| r.partition == at.partition && r.topic == at.topic)
        };
        if !self.raw.is_empty() {
            let mut kept = self.records.iter().map(|record| !is_revoked(&record.at));
            self.raw.retain(|_| kept.next().unwrap_or(false));
        }
        self.records.retain(|record| !is_revoked(&record.at));
        self.next.retain(|at, _| !revoked.contains(at));
    }

    /// True if the batch covers no offsets. A batch without records may still advance offsets.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Notes that everything of a partition before this offset is in this batch or in an earlier
    /// one.
    fn advance(&mut self, topic: Arc<str>, partition: i32, next: i64) {
        let known = self
            .next
            .iter_mut()
            .find(|(at, _)| at.partition == partition && at.topic == topic);
        match known {
            Some((_, offset)) => *offset = next,
            None => {
                self.next.insert(TopicPartition { topic, partition }, next);
            }
        }
    }
}

/// Decodes records into the next batch.
pub(super) struct BatchBuilder {
    pub codec: RecordCodec,
    /// Decides what happens to records that cannot be decoded.
    pub policy: Policy,
    /// Receives records that cannot be decoded.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// A batch is full at this many records.
    pub batch_rows: usize,
    /// Receives the topics that are read.
    pub events: Sender<TaskEvent>,
    pub seen_topics: SeenTopics,
    pub id: TaskId,
    /// Where the task publishes its figures.
    pub metrics: Arc<TaskMetrics>,
    pub batch: SinkBatch,
}

impl BatchBuilder {
    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full(self.batch_rows)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Decodes a record and adds it to the batch. Errors: if the record fails the task.
    pub(super) fn add(&mut self, incoming: &IncomingRecord<'_>) -> Result<()> {
        let topic = self.codec.topic(incoming.topic());
        if self.seen_topics.is_new(&topic) {
            let _herder_gone = self
                .events
                .blocking_send(TaskEvent::Topic(self.id.clone(), Arc::clone(&topic)));
        }
        match self.codec.decode(incoming) {
            Ok(Some(record)) => {
                // The dead letters of records that the sink rejects hold what was read.
                if self.dead_letters.is_some() {
                    let raw = RawRecord::of(incoming, Arc::clone(&topic));
                    self.batch.raw.push(raw);
                }
                self.batch.weight += weight(&record);
                self.batch.records.push(record);
            }
            Ok(None) => {}
            Err(failed) => self.handle_bad_record(incoming, Arc::clone(&topic), failed)?,
        }
        let bytes = size(incoming);
        self.batch.bytes += bytes;
        self.batch.read.count(&topic, bytes);
        self.batch
            .advance(topic, incoming.partition(), incoming.offset() + 1);
        Ok(())
    }

    /// Publishes up to where the batch has read, while it is not handed over yet.
    pub(super) fn publish_read(&self) {
        if !self.is_empty() {
            self.metrics
                .update(|task, _| task.lag.read(&self.batch.next));
        }
    }

    /// Takes the batch out. The dead letters of records that could not be decoded are stored first:
    /// the writing half may commit the batch at once, and with it their offsets.
    pub(super) fn take(&mut self) -> Result<SinkBatch> {
        if let Some(letters) = &self.dead_letters {
            letters.flush()?;
        }
        let rows = self.batch.records.len();
        let batch = std::mem::take(&mut self.batch);
        self.metrics.read(&batch.read);
        self.metrics.update(|task, _| task.lag.read(&batch.next));
        self.batch.records.reserve(rows);
        Ok(batch)
    }

    /// Sends a record that could not be decoded to the dead-letter topic and the log. Errors: if
    /// the record fails the task.
    fn handle_bad_record(
        &self,
        incoming: &IncomingRecord<'_>,
        topic: Arc<str>,
        (stage, class, error): CodecError,
    ) -> Result<()> {
        let (partition, offset) = (incoming.partition(), incoming.offset());
        // A transient error (such as an unreachable schema registry) is not the record's fault.
        let letters = self.dead_letters.as_deref();
        if let Some(letters) = letters.filter(|_| !is_transient(&error)) {
            let raw = RawRecord::of(incoming, Arc::clone(&topic));
            letters.send(&raw, stage, &class, &error)?;
        }
        let error = error.context(format_args!(
            "topic {topic}, partition {partition}, offset {offset}: {} ({class})",
            stage.name()
        ));
        if !self.policy.skips(&error, stage) {
            self.metrics.record_error(|errors| errors.errors += 1);
            // The task fails with this record: its dead letter must be stored first.
            if let Some(letters) = letters {
                letters.flush()?;
            }
            return Err(error);
        }
        self.metrics.skipped(error.kind(), self.policy.log);
        if self.policy.log {
            tracing::warn!(%error, "record skipped");
        }
        Ok(())
    }
}

/// Returns the bytes of key, value and headers as read.
fn size(incoming: &IncomingRecord<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = incoming
        .headers()
        .map(|(name, bytes)| name.len() + length(bytes))
        .sum::<usize>();
    length(incoming.key()) + length(incoming.value()) + headers
}

/// Estimates the size of a decoded record in bytes.
fn weight(record: &SinkRecord) -> usize {
    let record = &record.record;
    let header = |header: &Header| HEADER_WEIGHT + header.key.len() + header.datum.value.weight();
    record.key.value.weight()
        + record.value.value.weight()
        + record.headers.iter().map(header).sum::<usize>()
}
