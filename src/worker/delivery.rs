//! Puts a source's encoded records into Kafka, and its positions behind them: the last part of a source task, on a
//! thread of its own, since every call blocks.
//!
//! With exactly-once, records and positions are one Kafka transaction; otherwise positions are written after the
//! acknowledgements of their records. Either way a position never stands in Kafka without everything before it.

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
use super::offsets::DevOffsets;
use super::policy::{ErrorStage, Policy};
use super::seen_topics::{SeenTopics, TopicReset};
use super::stored_offsets::ConnectorOffsetsReader;
use crate::kafka::in_flight::{self, InFlightBytes};
use crate::kafka::producer::{OutgoingRecord, Producer};
use crate::waiting::{WaitPlace, WaitReason};

/// When a transaction ends; always after a whole batch of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionBoundary {
    /// After this time.
    pub after: Duration,
    /// With this many bytes.
    pub bytes: usize,
    /// When the source has nothing more for now.
    pub idle: bool,
}

impl TransactionBoundary {
    /// Whether each batch of the source is a transaction of its own.
    pub fn is_each_batch(self) -> bool {
        self.after.is_zero()
    }
}

/// How often an idle producer is looked after.
const SERVE_EVERY: Duration = Duration::from_secs(1);

/// How long records may take to become durable without transactions.
const FLUSH_WITHIN: Duration = Duration::from_secs(300);

/// How often a producer that has enough under way is asked for more room; a batch takes some milliseconds.
const LOOK_FOR_ROOM: Duration = Duration::from_micros(300);

/// What the source loop is told.
#[derive(Debug)]
pub enum DeliveryEvent {
    /// These positions are durable, with that many records before them.
    Committed(Vec<SourcePosition>, usize),
    /// The first record for this topic was written.
    Topic(Arc<str>),
}

/// Makes a topic that is not there; blocks. `false`: this worker makes none.
pub type CreateTopic = Box<dyn Fn(&str) -> Result<bool> + Send>;

/// Everything the thread needs.
pub struct DeliveryThread {
    /// The producer, ready.
    pub producer: Producer,
    /// Whether it writes transactions.
    pub transactional: bool,
    /// When they end.
    pub boundary: TransactionBoundary,
    /// Where positions are stored.
    pub offsets_topic: String,
    /// The keys of stored positions.
    pub stored: ConnectorOffsetsReader,
    /// In development the broker forgets, so that this process remembers positions.
    pub memory: Option<Arc<DevOffsets>>,
    /// What to do about records that cannot be written.
    pub policy: Policy,
    /// Makes topics.
    pub create_topic: CreateTopic,
    /// Makes used topics be told again.
    pub forgotten: TopicReset,
    /// Tells the source loop.
    pub told: UnboundedSender<DeliveryEvent>,
    /// Gives buffers back.
    pub spare: SyncSender<EncodedBatch>,
    /// The task was cut off: nothing more may become durable.
    pub cut: Arc<AtomicBool>,
    /// Whether it is to stop.
    pub stopping: StopSignal,
    /// Where it is noted what is waited for.
    pub place: Arc<WaitPlace>,
}

/// Whether a task is to stop, and since when that is known: what is under way then has a moment to become durable.
pub struct StopSignal {
    asked: Box<dyn Fn() -> bool + Send>,
    seen: Cell<Option<Instant>>,
}

/// How long a task that is to stop waits for Kafka. What is not durable by then is given up and read again by the next.
pub const STOP_WITHIN: Duration = Duration::from_secs(3);

impl StopSignal {
    /// Asks this.
    pub fn new(asked: impl Fn() -> bool + Send + 'static) -> Self {
        Self {
            asked: Box::new(asked),
            seen: Cell::new(None),
        }
    }

    /// Whether nothing is to be waited for any more.
    fn is_over(&self) -> bool {
        let seen = self
            .seen
            .get()
            .or_else(|| (self.asked)().then(Instant::now));
        self.seen.set(seen);
        seen.is_some_and(|seen| seen.elapsed() >= STOP_WITHIN)
    }
}

/// The topics written to.
struct WrittenTopics {
    told: SeenTopics,
    /// Partitions of each.
    partitions: HashMap<Arc<str>, usize>,
}

/// What is under way.
#[derive(Default)]
struct OpenTransaction {
    since: Option<Instant>,
    bytes: usize,
    records: usize,
    positions: Vec<SourcePosition>,
    /// Nothing of a batch is missing: it may be committed.
    complete: bool,
    /// Topics with records among them, and how many partitions they have together.
    topics: Vec<Arc<str>>,
    partitions: usize,
}

impl DeliveryThread {
    /// Runs until the other end of `chunks` is gone; commits what is complete. After an error, what was under way is
    /// either durable with its positions or not at all, and the producer is of no use any more.
    pub fn run(mut self, chunks: Receiver<EncodedBatch>, runtime: &Handle) -> Result<()> {
        let mut open = OpenTransaction {
            complete: true,
            ..OpenTransaction::default()
        };
        let outcome = self.work(chunks, runtime, &mut open);
        if outcome.is_err() {
            // a transaction left open would hold up every reader of the offsets topic until it times out
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
            told: SeenTopics::new(self.forgotten.clone()),
            partitions: HashMap::new(),
        };
        let mut pace = InFlightBytes::default();
        loop {
            let due = open.since.map(|since| {
                (since + self.boundary.after).saturating_duration_since(Instant::now())
            });
            let wait = due.filter(|_| open.complete).unwrap_or(SERVE_EVERY);
            self.unless_cut()?;
            self.place.enter(WaitReason::Nothing);
            let chunk = runtime.block_on(async { timeout(wait, chunks.recv()).await });
            self.place.enter(WaitReason::Kafka);
            match chunk {
                Ok(Some(chunk)) => self.take(chunk, open, &mut topics, &mut pace)?,
                Ok(None) => break,
                Err(_) if due.is_some() && open.complete => self.commit(open)?,
                Err(_) => self.producer.check()?,
            }
        }
        if open.since.is_some() && open.complete {
            self.commit(open)
        } else {
            self.give_up(open);
            Ok(())
        }
    }

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
        fail_point::reach("source.before-produce")?;
        self.unless_cut()?;
        self.write(&chunk, open, topics, pace)?;
        replace(&mut open.positions, chunk.positions.drain(..));
        open.complete = chunk.complete;
        let (last, full) = (
            chunk.last && self.boundary.idle,
            open.bytes >= self.boundary.bytes,
        );
        let late = open
            .since
            .is_some_and(|since| since.elapsed() >= self.boundary.after);
        let _full_is_fine = self.spare.try_send(chunk.reuse());
        if open.complete && open.since.is_some() && (last || full || late) {
            self.commit(open)?;
        }
        Ok(())
    }

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
            self.producer.wait_for_sinks(topic, bytes, || {
                // A sink may pause for any time: waiting for it is no stall of this task.
                self.place.moved();
                go_on()
            });
            match self.producer.send(record, go_on) {
                Ok(()) => {
                    pace.sent(bytes);
                    open.bytes += bytes;
                    open.records += 1;
                }
                Err(error) => {
                    if !self.policy.skips(&error, ErrorStage::Produce) {
                        return Err(error);
                    }
                    tracing::warn!(%error, "record skipped");
                }
            }
        }
        self.producer.check()
    }

    /// Whether Kafka may still be waited for.
    fn goes_on(&self) -> bool {
        !self.cut.load(Ordering::Relaxed) && !self.stopping.is_over()
    }

    /// Waits while as much is under way as does good.
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

    /// Before the first record for a topic.
    fn enter(&self, topic: &Arc<str>, topics: &mut WrittenTopics) -> Result<()> {
        if !topics.told.is_new(topic) {
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
            // brokers may make it when they are asked for it
            None => self.producer.partitions(topic)?,
        };
        let partitions = partitions
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(1);
        topics.partitions.insert(Arc::clone(topic), partitions);
        let _gone = self.told.send(DeliveryEvent::Topic(Arc::clone(topic)));
        Ok(())
    }

    fn commit(&mut self, open: &mut OpenTransaction) -> Result<()> {
        self.unless_cut()?;
        if !self.transactional {
            self.producer.flush(FLUSH_WITHIN, || self.goes_on())?;
        }
        let mut written = Vec::with_capacity(open.positions.len());
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
            written.push((key, value));
        }
        fail_point::reach("source.before-commit")?;
        // it may have hung until now
        self.unless_cut()?;
        if self.transactional {
            self.producer.commit(|| self.goes_on())?;
        } else {
            self.producer.flush(FLUSH_WITHIN, || self.goes_on())?;
        }
        fail_point::reach("source.after-commit")?;
        if let Some(memory) = &self.memory {
            memory.write(written);
        }
        let done = std::mem::replace(
            open,
            OpenTransaction {
                complete: true,
                ..OpenTransaction::default()
            },
        );
        let _gone = self
            .told
            .send(DeliveryEvent::Committed(done.positions, done.records));
        Ok(())
    }

    /// Errors: when nothing of the task may become durable any more.
    fn unless_cut(&self) -> Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            Err(Error::retry("the task was cut off"))
        } else {
            Ok(())
        }
    }

    fn give_up(&self, open: &OpenTransaction) {
        if self.transactional && open.since.is_some() {
            self.producer.abort();
        }
    }
}

impl OpenTransaction {
    /// A record for this topic comes next.
    fn enter(&mut self, topic: &Arc<str>, topics: &WrittenTopics) {
        if !self.topics.iter().any(|known| Arc::ptr_eq(known, topic)) {
            self.topics.push(Arc::clone(topic));
            self.partitions += topics.partitions.get(topic).copied().unwrap_or(1);
        }
    }
}

/// Later positions in the place of earlier ones of the same partition.
pub fn replace(
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

/// Whether the error is transient: a new client that starts from the stored offsets may succeed.
pub fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Fenced)
}
