//! The reading half of a sink task, on the consumer's own thread: polls, decodes, and hands batches
//! to the writing half (`sink.rs`). Batches grow while the writing half is busy; when it waits, it
//! gets at once whatever has been read.
//!
//! Partitions are assigned and revoked here. Each rebalance is answered by the writing half before
//! the group continues.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use connector_api::locks::TakeLock;
use connector_api::{Error, Header, Result, SinkRecord, TopicOffset, TopicPartition};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::codec::{CodecError, RecordCodec};
use super::delivery::is_transient;
use super::dlq::{DeadLetters, RawRecord};
use super::offsets::{LatestOffsets, list};
use super::policy::Policy;
use super::seen_topics::{SeenTopics, TopicReset};
use super::{TaskEvent, TaskId};
use crate::kafka::consumer::{Consumer, IncomingRecord, RebalanceListener};
use crate::kafka::dev::BacklogGroup;
use crate::waiting::{WaitPlace, WaitReason, wait_for};

/// How long the writing half may take to answer a rebalance.
const ANSWER_WITHIN: Duration = Duration::from_secs(70);
/// How soon the reading half notices that the task was cut off.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A batch is full at this many bytes as read.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A batch is full at this many bytes as decoded: few bytes can decode to many values.
const BATCH_WEIGHT: usize = 64 * 1024 * 1024;
/// Estimated size of a header besides its name and value, for names and types of its own.
const HEADER_WEIGHT: usize = 300;
/// How long a full batch waits for the writing half before fetching is paused.
const HOLD: Duration = Duration::from_secs(1);

/// Records on their way to the sink.
#[derive(Debug, Default)]
pub struct SinkBatch {
    pub records: Vec<SinkRecord>,
    /// The same records as read; empty without a dead-letter topic.
    pub raw: Vec<RawRecord>,
    /// The next offset of each partition after this batch. Skipped records count as read.
    pub next: LatestOffsets,
    bytes: usize,
    weight: usize,
}

impl SinkBatch {
    /// True if the batch takes no more records; it holds at most `rows`.
    fn is_full(&self, rows: usize) -> bool {
        self.records.len() >= rows || self.bytes >= BATCH_BYTES || self.weight >= BATCH_WEIGHT
    }

    /// Removes the records and offsets of these partitions.
    pub fn forget(&mut self, gone: &[TopicPartition]) {
        let is_gone = |at: &TopicOffset| {
            gone.iter()
                .any(|g| g.partition == at.partition && g.topic == at.topic)
        };
        if !self.raw.is_empty() {
            let mut kept = self.records.iter().map(|record| !is_gone(&record.at));
            self.raw.retain(|_| kept.next().unwrap_or(false));
        }
        self.records.retain(|record| !is_gone(&record.at));
        self.next.retain(|at, _| !gone.contains(at));
    }

    /// True if the batch covers no offsets. A batch without records may still advance offsets.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

/// A rebalance that the writing half has to answer.
pub enum RebalanceRequest {
    /// These partitions were assigned. The answer lists the offsets that the sink has stored.
    Assigned(Vec<TopicPartition>, SyncSender<Result<Vec<TopicOffset>>>),
    /// These partitions were revoked. The answer lists the offsets up to which they were written.
    Revoked(Vec<TopicPartition>, SyncSender<Vec<TopicOffset>>),
}

/// State shared by both halves.
#[derive(Default)]
pub struct SinkShared {
    /// The writing half waits for records.
    pub hungry: AtomicBool,
    /// Fetching is paused.
    pub paused: AtomicBool,
    /// The reading half has to leave the group.
    pub leave: AtomicBool,
    done: Mutex<WrittenOffsets>,
    /// With the development broker: how far this group has read.
    backlog: Option<Arc<BacklogGroup>>,
}

#[derive(Default)]
struct WrittenOffsets {
    written: LatestOffsets,
    uncommitted: bool,
}

impl SinkShared {
    fn done(&self) -> MutexGuard<'_, WrittenOffsets> {
        self.done.take_lock()
    }

    /// Creates the shared state. With the development broker, `backlog` is notified of written
    /// offsets.
    pub fn new(backlog: Option<Arc<BacklogGroup>>) -> Self {
        Self {
            backlog,
            ..Self::default()
        }
    }

    /// Makes the reading half leave the group, because the task ends.
    pub fn end(&self) {
        self.leave.store(true, Ordering::Relaxed);
        if let Some(backlog) = &self.backlog {
            backlog.leave();
        }
    }

    /// Returns the backlog for the consumer, which starts at the beginning of the development
    /// broker's log.
    pub fn backlog(&self) -> Option<Arc<BacklogGroup>> {
        self.backlog.clone()
    }

    /// Notes that everything before these offsets is written.
    pub fn written(&self, next: &LatestOffsets) {
        if let Some(backlog) = &self.backlog {
            backlog.read(&list(next));
        }
        let mut done = self.done();
        for (at, offset) in next {
            done.written.insert(at.clone(), *offset);
        }
        done.uncommitted = true;
    }

    /// Returns the written offsets of revoked partitions and forgets them.
    pub fn give_up(&self, partitions: &[TopicPartition]) -> Vec<TopicOffset> {
        let mut done = self.done();
        list(
            &partitions
                .iter()
                .filter_map(|at| done.written.remove_entry(at))
                .collect(),
        )
    }

    fn uncommitted(&self) -> Option<Vec<TopicOffset>> {
        let mut done = self.done();
        std::mem::take(&mut done.uncommitted).then(|| list(&done.written))
    }
}

/// Forwards rebalances from the consumer to the writing half.
pub struct RebalanceBridge {
    /// Channel to the writing half.
    pub questions: UnboundedSender<RebalanceRequest>,
    /// Set when the task is cut off: nothing answers any more.
    cut: Arc<AtomicBool>,
    gone: Arc<Mutex<Vec<TopicPartition>>>,
}

impl RebalanceBridge {
    pub fn new(questions: UnboundedSender<RebalanceRequest>, cut: Arc<AtomicBool>) -> Self {
        Self {
            questions,
            cut,
            gone: Arc::default(),
        }
    }

    /// Returns the list of partitions revoked since it was last drained.
    pub fn gone(&self) -> Arc<Mutex<Vec<TopicPartition>>> {
        Arc::clone(&self.gone)
    }
}

impl RebalanceBridge {
    /// Waits for the writing half's answer. Returns `None` on a time-out, or as soon as the task is
    /// cut off.
    fn answer<T>(&self, answered: &Receiver<T>) -> Option<T> {
        let began = Instant::now();
        while began.elapsed() < ANSWER_WITHIN && !self.cut.load(Ordering::Relaxed) {
            match answered.recv_timeout(LOOK_EVERY) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }
}

impl RebalanceListener for RebalanceBridge {
    fn assigned(&self, partitions: &[TopicPartition]) -> Result<Vec<TopicOffset>> {
        let silent = || Error::retry("the sink did not open its partitions in time");
        if self.cut.load(Ordering::Relaxed) {
            return Err(silent());
        }
        let (answer, answered) = sync_channel(1);
        let _noted = wait_for(WaitReason::Partner);
        self.questions
            .send(RebalanceRequest::Assigned(partitions.to_vec(), answer))
            .map_err(|_| silent())?;
        self.answer(&answered).ok_or_else(silent)?
    }

    fn revoked(&self, partitions: &[TopicPartition], _lost: bool) -> Vec<TopicOffset> {
        // Noted first, so that `take` drops their records even if the writing half does not answer.
        self.gone.take_lock().extend_from_slice(partitions);
        if self.cut.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let (answer, answered) = sync_channel(1);
        let _noted = wait_for(WaitReason::Partner);
        if self
            .questions
            .send(RebalanceRequest::Revoked(partitions.to_vec(), answer))
            .is_err()
        {
            return Vec::new();
        }
        self.answer(&answered).unwrap_or_default()
    }
}

/// The state of the reading thread.
pub struct SinkReader {
    /// The consumer, already subscribed.
    pub consumer: Consumer,
    pub codec: RecordCodec,
    /// Decides what happens to records that cannot be decoded.
    pub policy: Policy,
    /// Receives records that cannot be decoded.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// True if batches keep raw records for the writing half's dead letters.
    pub keep_raw: bool,
    /// A batch is full at this many records.
    pub batch_rows: usize,
    /// How often group offsets are committed under load.
    pub commit_every: Duration,
    pub common: Arc<SinkShared>,
    /// Set when the task is cut off: the writing half may never return.
    pub cut: Arc<AtomicBool>,
    /// See [`RebalanceBridge::gone`].
    pub gone: Arc<Mutex<Vec<TopicPartition>>>,
    pub batches: Sender<SinkBatch>,
    pub events: Sender<TaskEvent>,
    /// Makes the task report the topics it uses again.
    pub forgotten: TopicReset,
    pub id: TaskId,
    /// Runtime for waits.
    pub runtime: Handle,
    /// Records what this thread waits for.
    pub place: Arc<WaitPlace>,
}

/// Mutable state of the loop.
struct ReadState {
    batch: SinkBatch,
    told: SeenTopics,
    paused: bool,
    committed: Instant,
    /// No broker answers: polls return but do not count as progress.
    unanswered: bool,
}

impl SinkReader {
    /// Reads until asked to leave, then leaves the group by dropping the consumer, while the
    /// writing half still answers rebalances.
    pub fn run(mut self) -> Result<()> {
        let told = SeenTopics::new(self.forgotten.clone());
        let (paused, unanswered) = (false, false);
        let under = ReadState {
            batch: SinkBatch::default(),
            told,
            paused,
            committed: Instant::now(),
            unanswered,
        };
        let outcome = self.read(under);
        self.place.enter(WaitReason::Kafka);
        drop(self.consumer);
        outcome
    }

    fn read(&mut self, mut under: ReadState) -> Result<()> {
        while !self.is_to_leave() {
            let paused = self.common.paused.load(Ordering::Relaxed);
            if paused != under.paused {
                self.consumer.pause(paused)?;
                under.paused = paused;
            }
            let full = under.batch.is_full(self.batch_rows);
            let hungry = self.common.hungry.load(Ordering::Relaxed);
            if full {
                self.hand_over(&mut under)?;
                continue;
            }
            let wait = match (under.batch.is_empty(), hungry) {
                (true, _) => Duration::from_millis(50),
                (false, true) => Duration::ZERO,
                (false, false) => Duration::from_millis(1),
            };
            if !under.unanswered {
                self.place.enter(WaitReason::Poll);
            }
            let nothing = !self.take(&mut under, wait)?;
            self.note(&mut under, nothing);
            if nothing && !under.batch.is_empty() && hungry {
                self.hand_over(&mut under)?;
            }
            let idle = nothing && under.batch.is_empty();
            if idle || under.committed.elapsed() >= self.commit_every {
                self.commit(&mut under);
            }
        }
        Ok(())
    }

    /// Notes the result of a poll: nothing to do, or no broker answers.
    fn note(&self, under: &mut ReadState, nothing: bool) {
        let unanswered = if nothing {
            self.consumer.unanswered()
        } else {
            None
        };
        under.unanswered = unanswered.is_some();
        match unanswered {
            Some(lasted) => self.place.enter_since(WaitReason::Kafka, lasted),
            None if nothing => self.place.moved(),
            None => {}
        }
    }

    fn is_to_leave(&self) -> bool {
        self.common.leave.load(Ordering::Relaxed) || self.cut.load(Ordering::Relaxed)
    }

    fn commit(&self, under: &mut ReadState) {
        under.committed = Instant::now();
        if let Some(offsets) = self.common.uncommitted() {
            self.consumer.commit(&offsets);
        }
    }

    /// Polls once and adds what was read to the batch. Returns true if a record was read.
    fn take(&mut self, under: &mut ReadState, wait: Duration) -> Result<bool> {
        let polled = self.consumer.poll(wait)?;
        let gone = std::mem::take(&mut *self.gone.take_lock());
        // A rebalance within the poll revoked partitions: their records must not reach the sink.
        if !gone.is_empty() {
            under.batch.forget(&gone);
        }
        let Some(incoming) = polled else {
            return Ok(false);
        };
        let topic = self.codec.topic(incoming.topic());
        if under.told.is_new(&topic) {
            let _herder_gone = self
                .events
                .blocking_send(TaskEvent::Topic(self.id.clone(), Arc::clone(&topic)));
        }
        let batch = &mut under.batch;
        match self.codec.decode(&incoming) {
            Ok(Some(record)) => {
                if self.keep_raw {
                    batch.raw.push(RawRecord::of(&incoming, Arc::clone(&topic)));
                }
                batch.weight += weight(&record);
                batch.records.push(record);
            }
            Ok(None) => {}
            Err(failed) => handle_bad_record(
                &self.policy,
                self.dead_letters.as_deref(),
                &incoming,
                Arc::clone(&topic),
                failed,
            )?,
        }
        let headers = incoming
            .headers()
            .map(|(name, bytes)| name.len() + bytes.map_or(0, <[u8]>::len))
            .sum::<usize>();
        batch.bytes += incoming.value().map_or(0, <[u8]>::len)
            + incoming.key().map_or(0, <[u8]>::len)
            + headers;
        let next = incoming.offset() + 1;
        match batch
            .next
            .iter_mut()
            .find(|(at, _)| at.partition == incoming.partition() && at.topic == topic)
        {
            Some((_, offset)) => *offset = next,
            None => {
                batch.next.insert(
                    TopicPartition {
                        topic,
                        partition: incoming.partition(),
                    },
                    next,
                );
            }
        }
        Ok(true)
    }

    /// Waits until the writing half takes the batch. Keeps polling meanwhile, with fetching paused,
    /// to stay a member of the group.
    fn hand_over(&mut self, under: &mut ReadState) -> Result<()> {
        let (mut held, batches) = (false, self.batches.clone());
        while !self.is_to_leave() && !under.batch.is_empty() {
            let patience = if held {
                Duration::from_millis(20)
            } else {
                HOLD
            };
            self.place.enter(WaitReason::Partner);
            let room = self
                .runtime
                .block_on(async { tokio::time::timeout(patience, batches.reserve()).await });
            match room {
                Ok(Ok(room)) => {
                    self.place.enter(WaitReason::DeadLetters);
                    // The writing half may commit the batch at once, so the dead letters of skipped
                    // records must be stored first.
                    if let Some(letters) = &self.dead_letters {
                        letters.flush()?;
                    }
                    let rows = under.batch.records.len();
                    room.send(std::mem::take(&mut under.batch));
                    under.batch.records.reserve(rows);
                    break;
                }
                Ok(Err(_)) => {
                    self.common.leave.store(true, Ordering::Relaxed);
                    break;
                }
                Err(_) => {
                    if !held {
                        self.consumer.pause(true)?;
                        held = true;
                    }
                    self.place.enter(WaitReason::Poll);
                    self.take(under, Duration::from_millis(80))?;
                    if under.committed.elapsed() >= self.commit_every {
                        self.commit(under);
                    }
                }
            }
        }
        if held && !under.paused {
            self.consumer.pause(false)?;
        }
        Ok(())
    }
}

/// Estimates the size of a decoded record in bytes.
fn weight(record: &SinkRecord) -> usize {
    let record = &record.record;
    let header = |header: &Header| HEADER_WEIGHT + header.key.len() + header.datum.value.weight();
    record.key.value.weight()
        + record.value.value.weight()
        + record.headers.iter().map(header).sum::<usize>()
}

/// Sends a record that could not be decoded to the dead-letter topic and the log. Errors: if the
/// record fails the task.
fn handle_bad_record(
    policy: &Policy,
    dead_letters: Option<&DeadLetters>,
    incoming: &IncomingRecord<'_>,
    topic: Arc<str>,
    (stage, class, error): CodecError,
) -> Result<()> {
    let (partition, offset) = (incoming.partition(), incoming.offset());
    // A transient error (such as an unreachable schema registry) is not the record's fault.
    if let Some(letters) = dead_letters.filter(|_| !is_transient(&error)) {
        letters.send(
            &RawRecord::of(incoming, Arc::clone(&topic)),
            stage,
            &class,
            &error,
        )?;
    }
    let error = error.context(format_args!(
        "topic {topic}, partition {partition}, offset {offset}: {} ({class})",
        stage.name()
    ));
    if !policy.skips(&error, stage) {
        // The task fails with this record: its dead letter must be stored first.
        if let Some(letters) = dead_letters {
            letters.flush()?;
        }
        return Err(error);
    }
    if policy.log {
        tracing::warn!(%error, "record skipped");
    }
    Ok(())
}
