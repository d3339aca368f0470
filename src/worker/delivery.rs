//! Writes a source's encoded records and its positions to Kafka. This is the last part of a source
//! task; it has its own thread because every call blocks.
//!
//! With exactly-once, records and positions are one Kafka transaction. Otherwise positions are
//! written after their records are acknowledged. Either way, Kafka never holds a position without
//! all the records before it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use connector_api::{Error, ErrorKind, Result, SourcePosition, fail_point};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::time::timeout;

use super::codec::EncodedBatch;
use super::policy::{ErrorStage, Policy};
use super::seen_topics::{SeenTopics, TopicReset};
use super::stored_offsets::ConnectorOffsetsReader;
use crate::kafka::in_flight::{self, InFlightBytes};
use crate::kafka::producer::{OutgoingRecord, Producer};
use crate::metrics::{TaskMetrics, TopicAmounts, as_f64};
use crate::waiting::{WaitPlace, WaitReason};

/// When to end a transaction. One only ever ends after a whole batch of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransactionBoundary {
    /// End after this time.
    pub after: Duration,
    /// End once this many bytes are written.
    pub bytes: usize,
    /// End when the source has no more records for now.
    pub idle: bool,
}

impl TransactionBoundary {
    /// True if each batch of the source is a transaction of its own.
    pub(super) fn is_each_batch(self) -> bool {
        self.after.is_zero()
    }
}

/// How often an idle producer is polled for events.
const SERVE_EVERY: Duration = Duration::from_secs(1);

/// How long a transaction is not ended because one of the source goes on; brokers abort one that
/// takes longer than `transaction.timeout.ms`.
const WHOLE_WITHIN: Duration = Duration::from_secs(5);

/// How long records may take to become durable without transactions.
const FLUSH_WITHIN: Duration = Duration::from_secs(300);

/// How often to check for room while enough bytes are in flight; a producer batch takes some
/// milliseconds.
const LOOK_FOR_ROOM: Duration = Duration::from_micros(300);

/// Reports from the delivery thread to the source loop.
#[derive(Debug)]
pub(super) enum DeliveryEvent {
    /// These positions are durable, together with this number of records before them.
    Committed(Vec<SourcePosition>, usize),
    /// The first record for this topic is about to be written.
    Topic(Arc<str>),
}

/// Creates a missing topic; blocks. Returns false if this worker does not create topics.
pub(super) type CreateTopic = Box<dyn Fn(&str) -> Result<bool> + Send>;

/// The state of the delivery thread.
pub(super) struct DeliveryThread {
    /// The producer, already initialised.
    pub producer: Producer,
    /// True if the producer writes transactions.
    pub transactional: bool,
    pub boundary: TransactionBoundary,
    /// Topic that stores the positions.
    pub offsets_topic: String,
    /// Encodes positions with the keys already in use.
    pub stored: ConnectorOffsetsReader,
    /// Decides what happens to records that cannot be written.
    pub policy: Policy,
    pub create_topic: CreateTopic,
    /// The topic of dead letters, which is none that the connector uses.
    pub letters_topic: Option<String>,
    /// Makes the task report the topics it uses again.
    pub topic_reset: TopicReset,
    /// Channel to the source loop.
    pub events: UnboundedSender<DeliveryEvent>,
    /// Returns emptied buffers to the encoder.
    pub spare: SyncSender<EncodedBatch>,
    /// Set when the task is cut off: it may make nothing durable any more.
    pub cut: Arc<AtomicBool>,
    pub stopping: StopSignal,
    /// Records what this thread waits for.
    pub place: Arc<WaitPlace>,
    /// Where the task publishes its figures.
    pub metrics: Arc<TaskMetrics>,
}

/// Detects that a task is to stop and remembers since when, so that records in flight get
/// [`STOP_WITHIN`] to become durable.
pub(super) struct StopSignal {
    asked: Box<dyn Fn() -> bool + Send>,
    seen: Cell<Option<Instant>>,
}

/// How long a stopping task waits for Kafka. What is not durable by then is given up, and the next
/// task reads it again.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(3);

impl StopSignal {
    /// Creates a signal that polls `asked`.
    pub(super) fn new(asked: impl Fn() -> bool + Send + 'static) -> Self {
        Self {
            asked: Box::new(asked),
            seen: Cell::new(None),
        }
    }

    /// True once a stop has been requested for [`STOP_WITHIN`]: stop waiting.
    fn is_over(&self) -> bool {
        let seen = self
            .seen
            .get()
            .or_else(|| (self.asked)().then(Instant::now));
        self.seen.set(seen);
        seen.is_some_and(|seen| seen.elapsed() >= STOP_WITHIN)
    }
}

/// Topics that this task has written to.
struct WrittenTopics {
    seen: SeenTopics,
    /// Number of partitions of each topic.
    partitions: HashMap<Arc<str>, usize>,
}

/// The transaction in progress, or the records since the last flush without transactions.
#[derive(Default)]
struct OpenTransaction {
    since: Option<Instant>,
    bytes: usize,
    records: usize,
    /// The same by topic.
    written: TopicAmounts,
    /// Number of records of the source that it results from.
    polled: u64,
    positions: Vec<SourcePosition>,
    /// True if it holds only whole batches, so that it may be committed.
    complete: bool,
    /// True if its last batch ends inside a transaction of the source.
    partial: bool,
    /// Topics with records in this transaction, and the sum of their partitions.
    topics: Vec<Arc<str>>,
    partitions: usize,
}

impl OpenTransaction {
    /// True if it may be committed now: it holds whole batches, and whole transactions of the source
    /// unless one takes too long.
    fn may_end(&self) -> bool {
        let waits = self.partial
            && self
                .since
                .is_some_and(|since| since.elapsed() < WHOLE_WITHIN);
        self.complete && !waits
    }
}

impl DeliveryThread {
    /// Runs until the sender of `chunks` is dropped, then commits if the last batch is complete.
    /// After an error, the transaction is either durable together with its positions or not at all,
    /// and the producer must not be used again.
    pub(super) fn run(mut self, chunks: Receiver<EncodedBatch>, runtime: &Handle) -> Result<()> {
        let mut open = OpenTransaction {
            complete: true,
            ..OpenTransaction::default()
        };
        let outcome = self.work(chunks, runtime, &mut open);
        if outcome.is_err() {
            // An open transaction would block all readers of the offsets topic until it times out.
            self.give_up(&open);
        }
        outcome
    }

    fn work(
        &mut self,
        mut chunks: Receiver<EncodedBatch>,
        runtime: &Handle,
        open: &mut OpenTransaction,
    ) -> Result<()> {
        let mut topics = WrittenTopics {
            seen: SeenTopics::new(self.topic_reset.clone()),
            partitions: HashMap::new(),
        };
        let mut pace = InFlightBytes::default();
        loop {
            let due = open.since.map(|since| {
                (since + self.boundary.after).saturating_duration_since(Instant::now())
            });
            let wait = due.filter(|_| open.may_end()).unwrap_or(SERVE_EVERY);
            self.unless_cut()?;
            self.place.enter(WaitReason::Nothing);
            let chunk = runtime.block_on(async { timeout(wait, chunks.recv()).await });
            self.place.enter(WaitReason::Kafka);
            match chunk {
                Ok(Some(chunk)) => self.take(chunk, open, &mut topics, &mut pace)?,
                Ok(None) => break,
                Err(_) if due.is_some() && open.may_end() => self.commit(open)?,
                Err(_) => self.producer.check()?,
            }
        }
        if open.since.is_some() && open.may_end() {
            self.commit(open)
        } else {
            self.give_up(open);
            Ok(())
        }
    }

    /// Writes a chunk, and ends the transaction if a boundary is reached.
    fn take(
        &mut self,
        mut chunk: EncodedBatch,
        open: &mut OpenTransaction,
        topics: &mut WrittenTopics,
        pace: &mut InFlightBytes,
    ) -> Result<()> {
        if open.since.is_none() && !(chunk.is_empty() && chunk.positions.is_empty()) {
            if self.transactional {
                self.producer.begin()?;
            }
            open.since = Some(Instant::now());
        }
        // The fail point may hang until the task is cut off: check `cut` after it.
        fail_point::reach("source.before-produce")?;
        self.unless_cut()?;
        self.write(&chunk, open, topics, pace)?;
        replace(&mut open.positions, chunk.positions.drain(..));
        open.polled += chunk.polled;
        (open.complete, open.partial) = (chunk.complete, chunk.partial);
        let (last, full) = (
            chunk.last && self.boundary.idle,
            open.bytes >= self.boundary.bytes,
        );
        let late = open
            .since
            .is_some_and(|since| since.elapsed() >= self.boundary.after);
        let _full_is_fine = self.spare.try_send(chunk.reuse());
        if open.may_end() && open.since.is_some() && (last || full || late) {
            self.commit(open)?;
        }
        Ok(())
    }

    /// Hands the records of a chunk to the producer, within the limit of bytes in flight. Errors:
    /// that of a record, unless it is skipped.
    fn write(
        &self,
        chunk: &EncodedBatch,
        open: &mut OpenTransaction,
        topics: &mut WrittenTopics,
        pace: &mut InFlightBytes,
    ) -> Result<()> {
        let go_on = || self.goes_on();
        let mut last: Option<&Arc<str>> = None;
        for (topic, record) in chunk.records() {
            if last.is_none_or(|last| !Arc::ptr_eq(last, topic)) {
                self.enter(topic, topics)?;
                open.enter(topic, topics);
                last = Some(topic);
            }
            self.wait_for_room(pace, open.partitions)?;
            let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            match self.producer.send(record, go_on) {
                Ok(()) => {
                    pace.sent(bytes);
                    open.bytes += bytes;
                    if !self.is_of_letters(topic) {
                        open.records += 1;
                        open.written.count(topic, bytes);
                    }
                }
                Err(error) => {
                    if !self.policy.skips(&error, ErrorStage::Produce) {
                        return Err(error);
                    }
                    self.metrics.skipped(error.kind(), true);
                    tracing::warn!(%error, "record skipped");
                }
            }
        }
        self.producer.check()
    }

    fn is_of_letters(&self, topic: &str) -> bool {
        self.letters_topic.as_deref() == Some(topic)
    }

    /// True while waiting for Kafka is still allowed.
    fn goes_on(&self) -> bool {
        !self.cut.load(Ordering::Relaxed) && !self.stopping.is_over()
    }

    /// Waits until fewer bytes are in flight than [`in_flight::most`] allows.
    fn wait_for_room(&self, pace: &mut InFlightBytes, partitions: usize) -> Result<()> {
        let most = in_flight::most(self.producer.batch_bytes(), partitions);
        while pace.bytes() >= most {
            let before = pace.bytes();
            pace.left(self.producer.in_flight());
            if pace.bytes() < before {
                self.place.moved();
            }
            if pace.bytes() >= most {
                if !self.goes_on() {
                    return Err(Error::retry(
                        "the task ended before its records were durable",
                    ));
                }
                std::thread::sleep(LOOK_FOR_ROOM);
                self.producer.serve();
                self.producer.check()?;
            }
        }
        Ok(())
    }

    /// Prepares for the first record of a topic: creates the topic if needed and reports it.
    fn enter(&self, topic: &Arc<str>, topics: &mut WrittenTopics) -> Result<()> {
        if !topics.seen.is_new(topic) {
            return Ok(());
        }
        if **topic == *self.offsets_topic {
            return Err(Error::config(format!(
                "a source may not write to {topic}, the topic of its own offsets; choose another topic.prefix or offsets.storage.topic"
            )));
        }
        let partitions = match self.producer.partitions(topic)? {
            Some(partitions) => Some(partitions),
            None if (self.create_topic)(topic)? => Some(self.producer.await_topic(topic)?),
            // The broker may create the topic when asked for its metadata.
            None => self.producer.partitions(topic)?,
        };
        let partitions = partitions
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(1);
        topics.partitions.insert(Arc::clone(topic), partitions);
        if self.is_of_letters(topic) {
            return Ok(());
        }
        let _gone = self.events.send(DeliveryEvent::Topic(Arc::clone(topic)));
        Ok(())
    }

    /// Writes the positions and commits them together with the records before them, then reports
    /// them as durable. Without transactions, flushes the records first.
    fn commit(&mut self, open: &mut OpenTransaction) -> Result<()> {
        // Checked here and again right before the commit: a task that was cut off has a successor,
        // which continues from the positions stored so far.
        self.unless_cut()?;
        let began = Instant::now();
        // Without transactions, records must be acknowledged before their positions are written.
        if !self.transactional {
            self.producer.flush(FLUSH_WITHIN, || self.goes_on())?;
        }
        for position in &open.positions {
            let (key, value) = self.stored.record(position);
            let (topic, timestamp_ms, headers) = (self.offsets_topic.as_str(), None, &[][..]);
            let record = OutgoingRecord {
                topic,
                partition: None,
                key: Some(&key),
                value: value.as_deref(),
                timestamp_ms,
                headers,
                number: 0,
            };
            self.producer.send(record, || self.goes_on())?;
        }
        fail_point::reach("source.before-commit")?;
        // The fail point may have hung until now.
        self.unless_cut()?;
        let committed = if self.transactional {
            self.producer.commit(|| self.goes_on())
        } else {
            self.producer.flush(FLUSH_WITHIN, || self.goes_on())
        };
        self.count(open, began.elapsed(), committed.is_ok());
        committed?;
        fail_point::reach("source.after-commit")?;
        let done = std::mem::replace(
            open,
            OpenTransaction {
                complete: true,
                ..OpenTransaction::default()
            },
        );
        let _gone = self
            .events
            .send(DeliveryEvent::Committed(done.positions, done.records));
        Ok(())
    }

    /// Publishes the figures of a transaction whose commit took this long.
    fn count(&self, open: &OpenTransaction, took: Duration, succeeded: bool) {
        if succeeded {
            self.metrics.written(&open.written, open.polled);
        }
        self.metrics.update(|task, now| {
            task.kafka_commits.note(now, took, succeeded);
            task.transaction_records
                .add(now, as_f64(open.records as u64));
        });
    }

    /// Returns an error if the task was cut off and may make nothing durable any more.
    fn unless_cut(&self) -> Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            Err(Error::retry("the task was cut off"))
        } else {
            Ok(())
        }
    }

    /// Aborts the open transaction, if any.
    fn give_up(&self, open: &OpenTransaction) {
        if self.transactional && open.since.is_some() {
            self.producer.abort();
        }
    }
}

impl OpenTransaction {
    /// Notes that the next record goes to this topic.
    fn enter(&mut self, topic: &Arc<str>, topics: &WrittenTopics) {
        if !self.topics.iter().any(|known| Arc::ptr_eq(known, topic)) {
            self.topics.push(Arc::clone(topic));
            self.partitions += topics.partitions.get(topic).copied().unwrap_or(1);
        }
    }
}

/// Replaces positions by later ones of the same source partition, and appends those of new
/// partitions.
pub(super) fn replace(
    positions: &mut Vec<SourcePosition>,
    later: impl IntoIterator<Item = SourcePosition>,
) {
    for position in later {
        match positions
            .iter_mut()
            .find(|p| p.partition == position.partition)
        {
            Some(known) => *known = position,
            None => positions.push(position),
        }
    }
}

/// True if the error is transient: a new client that starts from the stored offsets may succeed.
pub(super) fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Fenced)
}
