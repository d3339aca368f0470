//! Encodes batches of records into chunks of bytes for the delivery thread. Batches that follow at
//! once share a chunk, because each hand-over costs as much as many records.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use connector_api::{Record, Result, SourceBatch};
use tokio::sync::mpsc::Sender;

use super::codec::{EncodedBatch, RecordCodec};
use super::delivery::replace;
use super::dlq::LetterFailure;
use super::policy::Policy;
use super::source_letters::SourceLetters;
use crate::metrics::{TaskMetrics, TopicAmounts};
use crate::waiting::{WaitPlace, WaitReason};

/// Target size of a chunk in bytes: large enough to be worth a hand-over, small enough for the
/// processor's cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// Encodes the batches that a source returns.
pub(super) struct BatchEncoder {
    codec: RecordCodec,
    policy: Policy,
    /// Where skipped records go, if the connector has a dead-letter topic.
    letters: Option<SourceLetters>,
    /// True if each batch is a transaction of its own.
    alone: bool,
    chunks: Sender<EncodedBatch>,
    /// Written chunks whose buffers can be reused.
    spares: Receiver<EncodedBatch>,
    chunk: EncodedBatch,
    /// The writer has received only part of the current batch.
    half: bool,
    /// The writer does not know yet that the source has no more records for now.
    more: bool,
    /// The last batch ended inside a transaction of the source.
    inside: bool,
    /// Records what this thread waits for.
    place: Arc<WaitPlace>,
    /// Where the task publishes its figures.
    metrics: Arc<TaskMetrics>,
}

impl BatchEncoder {
    /// Creates an encoder that sends to `chunks` and reuses buffers from `spares`. `alone`: no two
    /// batches share a chunk.
    pub(super) fn new(
        codec: RecordCodec,
        (policy, letters): (Policy, Option<SourceLetters>),
        alone: bool,
        chunks: Sender<EncodedBatch>,
        spares: Receiver<EncodedBatch>,
        (place, metrics): (Arc<WaitPlace>, Arc<TaskMetrics>),
    ) -> Self {
        let chunk = spares.try_recv().unwrap_or_default();
        Self {
            codec,
            policy,
            letters,
            alone,
            chunks,
            spares,
            chunk,
            half: false,
            more: false,
            inside: false,
            place,
            metrics,
        }
    }

    /// Encodes a batch. Sends full chunks, and the rest too if the source has no more records for
    /// now. Returns false if the receiver is gone. Must not be cancelled: the writer would have
    /// half a batch. Errors: that of a record, unless it is skipped.
    pub(super) async fn take(&mut self, batch: SourceBatch) -> Result<bool> {
        let SourceBatch {
            records,
            positions,
            idle_for,
            is_partial,
        } = batch;
        let _noted = self.place.note(WaitReason::Converter);
        (self.chunk.complete, self.chunk.last) = (false, false);
        let mut polled = TopicAmounts::default();
        records
            .iter()
            .for_each(|record| polled.count(&record.topic, 0));
        self.metrics.read(&polled);
        for record in records {
            self.chunk.polled += 1;
            self.encode(record)?;
            if self.chunk.len() >= CHUNK_BYTES && !self.send().await {
                return Ok(false);
            }
        }
        replace(&mut self.chunk.positions, positions);
        self.chunk.complete = true;
        // what ends a transaction of several batches is sent at once: this one may end, too
        let ends = self.inside && !is_partial;
        (self.chunk.partial, self.inside) = (is_partial, is_partial);
        self.chunk.last = idle_for.is_some();
        let due = match self.chunk.last {
            true => self.has_unsent() || self.more,
            false => ends || self.chunk.len() >= CHUNK_BYTES || (self.alone && self.has_unsent()),
        };
        Ok(!due || self.send().await)
    }

    /// True if something has not been sent to the writer yet. Call it between batches.
    pub(super) fn has_unsent(&self) -> bool {
        self.half || !(self.chunk.is_empty() && self.chunk.positions.is_empty())
    }

    /// Sends the rest of whole batches; call it before waiting for anything. Returns false if the
    /// receiver is gone. Cancel safe.
    pub(super) async fn send_rest(&mut self) -> bool {
        !(self.chunk.complete && self.has_unsent()) || self.send().await
    }

    /// Sends the current chunk. Returns false if the receiver is gone. Cancel safe.
    async fn send(&mut self) -> bool {
        let noted = self.place.note(WaitReason::Partner);
        // Reserve before taking the chunk: nothing is lost if this future is dropped while it
        // waits.
        let Ok(room) = self.chunks.reserve().await else {
            return false;
        };
        drop(noted);
        (self.half, self.more) = (!self.chunk.complete, !self.chunk.last);
        room.send(std::mem::replace(
            &mut self.chunk,
            self.spares.try_recv().unwrap_or_default(),
        ));
        self.chunk.partial = self.inside;
        true
    }

    fn encode(&mut self, record: Record) -> Result<()> {
        let topic = Arc::clone(&record.topic);
        // A record is copied only if it may become a letter.
        let kept = (self.letters.is_some() && self.policy.tolerate).then(|| record.clone());
        let Err((stage, class, error)) = self.codec.encode(record, &mut self.chunk) else {
            return Ok(());
        };
        let error = error.context(format_args!("topic {topic}, {} ({class})", stage.name()));
        if !self.policy.skips(&error, stage) {
            self.metrics.record_error(|errors| errors.errors += 1);
            return Err(error);
        }
        self.metrics.skipped(error.kind(), true);
        if let (Some(letters), Some(record)) = (&mut self.letters, kept) {
            let failure = LetterFailure {
                stage,
                class: &class,
                error: &error,
            };
            letters.add(&record, failure, &mut self.chunk);
            self.metrics.dead_letter(true);
        }
        tracing::warn!(%error, "record skipped");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use connector_api::{
        Config, Datum, Record, SourceBatch, SourcePartition, SourcePosition, Value,
    };
    use tokio::sync::mpsc::{Receiver, channel};

    use super::{BatchEncoder, CHUNK_BYTES};
    use crate::registry::Registry;
    use crate::worker::codec::{EncodedBatch, RecordCodec};
    use crate::worker::policy::Policy;

    fn batch(records: &[usize], position: bool, last: bool) -> SourceBatch {
        let record = |length: &usize| Record {
            topic: "t".into(),
            partition: None,
            key: Datum::NONE,
            value: Datum {
                schema: None,
                value: Value::Text("x".repeat(*length).into()),
            },
            timestamp_ms: None,
            headers: Vec::new(),
        };
        let partition = SourcePartition::default();
        let position = position.then_some(SourcePosition {
            partition,
            offset: None,
        });
        SourceBatch {
            records: records.iter().map(record).collect(),
            positions: position.into_iter().collect(),
            idle_for: last.then_some(std::time::Duration::ZERO),
            is_partial: false,
        }
    }

    /// Returns for each chunk: number of records, number of positions, `complete` and `last`.
    fn seen(chunks: &mut Receiver<EncodedBatch>) -> Vec<(usize, usize, bool, bool)> {
        let chunks = std::iter::from_fn(|| chunks.try_recv().ok());
        chunks
            .map(|c| (c.records().count(), c.positions.len(), c.complete, c.last))
            .collect()
    }

    fn encoder(alone: bool) -> (BatchEncoder, Receiver<EncodedBatch>) {
        let codec =
            RecordCodec::open(&Registry::built_in(), &Config::new(), &Config::new()).unwrap();
        let ((chunks, sent), (_spare, spares)) = (channel(10), sync_channel(1));
        (
            BatchEncoder::new(
                codec,
                (Policy::read(&Config::new()).unwrap(), None),
                alone,
                chunks,
                spares,
                Default::default(),
            ),
            sent,
        )
    }

    #[tokio::test]
    async fn batches_that_are_transactions_of_their_own_share_nothing() {
        let (mut encoder, mut sent) = encoder(true);
        for _ in 0..2 {
            assert!(
                encoder.take(batch(&[1, 1], true, false)).await.unwrap() && !encoder.has_unsent()
            );
        }
        assert!(encoder.take(batch(&[], false, false)).await.unwrap());
        assert_eq!(seen(&mut sent), [(2, 1, true, false); 2]);
    }

    #[tokio::test]
    async fn the_writer_is_notified_of_every_batch_and_of_its_end() {
        let (mut encoder, mut sent) = encoder(false);
        assert!(encoder.take(batch(&[], false, true)).await.unwrap() && !encoder.has_unsent());
        assert_eq!(seen(&mut sent), []);
        // Small batches share a chunk, which is sent when no more records follow at once.
        assert!(encoder.take(batch(&[1, 1], true, false)).await.unwrap());
        assert!(encoder.take(batch(&[1], true, false)).await.unwrap() && encoder.has_unsent());
        assert_eq!(seen(&mut sent), []);
        assert!(encoder.send_rest().await && !encoder.has_unsent());
        assert_eq!(seen(&mut sent), [(3, 1, true, false)]);
        assert!(encoder.take(batch(&[], false, true)).await.unwrap());
        assert_eq!(seen(&mut sent), [(0, 0, true, true)]);
        // A batch without positions that ends with a full chunk: the writer must not wait for the
        // rest of it.
        assert!(
            encoder
                .take(batch(&[1, CHUNK_BYTES], false, false))
                .await
                .unwrap()
                && encoder.has_unsent()
        );
        assert!(encoder.send_rest().await && !encoder.has_unsent());
        assert_eq!(seen(&mut sent), [(2, 0, false, false), (0, 0, true, false)]);
        assert!(
            encoder
                .take(batch(&[CHUNK_BYTES, 1], true, true))
                .await
                .unwrap()
                && !encoder.has_unsent()
        );
        assert_eq!(seen(&mut sent), [(1, 0, false, false), (1, 1, true, true)]);
        // The receiver is gone.
        drop(sent);
        assert!(!encoder.take(batch(&[1], true, true)).await.unwrap());
    }
}
