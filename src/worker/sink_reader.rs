//! The reading half of a sink task, on the consumer's own thread: polls, decodes, and hands batches to the half that
//! writes (`sink.rs`). While that one is busy, batches grow; when it waits, it gets at once what there is.
//!
//! Partitions come and go here; the writing half is asked and answered before the group goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// How long the writing half may take to answer when partitions come or go.
const ANSWER_WITHIN: Duration = Duration::from_secs(70);
/// How soon the reading half sees that nobody will answer any more.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes as read after which a batch is full.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Bytes as decoded after which a batch is full: a few bytes can stand for many values.
const BATCH_WEIGHT: usize = 64 * 1024 * 1024;
/// What a header takes besides its name and value: names and types of its own.
const HEADER_WEIGHT: usize = 300;
/// A batch that nobody takes is held this long before fetching is paused.
const HOLD: Duration = Duration::from_secs(1);

/// Records on their way to the sink.
#[derive(Debug, Default)]
pub struct SinkBatch {
    /// The records, decoded.
    pub records: Vec<SinkRecord>,
    /// The same records as they were read, where there is a dead-letter topic.
    pub raw: Vec<RawRecord>,
    /// The next offset of each partition after this batch; records skipped count as read.
    pub next: LatestOffsets,
    bytes: usize,
    weight: usize,
}

impl SinkBatch {
    /// Whether it takes no more records, at most `rows` of them.
    fn is_full(&self, rows: usize) -> bool {
        self.records.len() >= rows || self.bytes >= BATCH_BYTES || self.weight >= BATCH_WEIGHT
    }

    /// Takes everything of these partitions out.
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

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

/// What the writing half is asked.
pub enum RebalanceRequest {
    /// These partitions are ours: where does the sink say they go on?
    Assigned(Vec<TopicPartition>, SyncSender<Result<Vec<TopicOffset>>>),
    /// These are ours no longer: up to where have they been written?
    Revoked(Vec<TopicPartition>, SyncSender<Vec<TopicOffset>>),
}

/// What both halves look at.
#[derive(Default)]
pub struct SinkShared {
    /// The writing half waits for records.
    pub hungry: AtomicBool,
    /// Fetching is to rest.
    pub paused: AtomicBool,
    /// The group is to be left.
    pub leave: AtomicBool,
    done: Mutex<WrittenOffsets>,
    /// With the development broker: who has read how far.
    backlog: Option<Arc<BacklogGroup>>,
}

#[derive(Default)]
struct WrittenOffsets {
    written: LatestOffsets,
    uncommitted: bool,
}

impl SinkShared {
    fn done(&self) -> MutexGuard<'_, WrittenOffsets> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With the development broker, `backlog` is notified of what was written.
    pub fn new(backlog: Option<Arc<BacklogGroup>>) -> Self {
        Self {
            backlog,
            ..Self::default()
        }
    }

    /// Makes the reading half leave the group: the task ends.
    pub fn end(&self) {
        self.leave.store(true, Ordering::Relaxed);
        if let Some(backlog) = &self.backlog {
            backlog.leave();
        }
    }

    /// For the consumer, which starts where the development broker's log does.
    pub fn backlog(&self) -> Option<Arc<BacklogGroup>> {
        self.backlog.clone()
    }

    /// Everything before these offsets is written.
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

    /// What was written of these partitions, which are given up.
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

/// Carries rebalances from the consumer to the writing half.
pub struct RebalanceBridge {
    /// Whom to ask.
    pub questions: UnboundedSender<RebalanceRequest>,
    /// The task was cut off: nobody answers any more.
    cut: Arc<AtomicBool>,
    gone: Arc<Mutex<Vec<TopicPartition>>>,
}

impl RebalanceBridge {
    /// A new one.
    pub fn new(questions: UnboundedSender<RebalanceRequest>, cut: Arc<AtomicBool>) -> Self {
        Self {
            questions,
            cut,
            gone: Arc::default(),
        }
    }

    /// Partitions that were given up since this was last looked at.
    pub fn gone(&self) -> Arc<Mutex<Vec<TopicPartition>>> {
        Arc::clone(&self.gone)
    }
}

impl RebalanceBridge {
    /// The answer of the writing half, if it comes in time. Once the task is cut off, there is no waiting.
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
        let silent = || Error::retry("the sink did not take its partitions over in time");
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
        self.gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(partitions);
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

/// Everything the thread needs.
pub struct SinkReader {
    /// The consumer, subscribed.
    pub consumer: Consumer,
    /// Decodes.
    pub codec: RecordCodec,
    /// What to do about records that cannot be decoded.
    pub policy: Policy,
    /// Where those go.
    pub dead_letters: Option<Arc<DeadLetters>>,
    /// Whether raw records are kept for the writing half.
    pub keep_raw: bool,
    /// Records after which a batch is full.
    pub batch_rows: usize,
    /// How often group offsets are committed under load.
    pub commit_every: Duration,
    /// What both halves look at.
    pub common: Arc<SinkShared>,
    /// The task was cut off: the writing half may never come back.
    pub cut: Arc<AtomicBool>,
    /// See [`RebalanceBridge::gone`].
    pub gone: Arc<Mutex<Vec<TopicPartition>>>,
    /// To the writing half.
    pub batches: Sender<SinkBatch>,
    /// To the herder.
    pub events: Sender<TaskEvent>,
    /// Makes used topics be reported again.
    pub forgotten: TopicReset,
    /// The task.
    pub id: TaskId,
    /// For waits.
    pub runtime: Handle,
    /// Where it is noted what is waited for.
    pub place: Arc<WaitPlace>,
}

/// What changes while it runs.
struct ReadState {
    batch: SinkBatch,
    told: SeenTopics,
    paused: bool,
    committed: Instant,
    /// No broker answers: polls come back, and are no movement.
    unanswered: bool,
}

impl SinkReader {
    /// Reads until told to leave; then leaves the group, by dropping the consumer while the writing half still answers.
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

    /// Notes what a poll that came back says: there is nothing to do, or no broker answers.
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

    /// Polls once and takes what comes into the batch. Returns whether something came.
    fn take(&mut self, under: &mut ReadState, wait: Duration) -> Result<bool> {
        let polled = self.consumer.poll(wait)?;
        let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
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

    /// Waits until the writing half takes the batch. Membership is kept up meanwhile.
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
                    // The writing half may commit the batch at once: the dead letters of skipped records come first.
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

/// Roughly how many bytes a decoded record takes.
fn weight(record: &SinkRecord) -> usize {
    let record = &record.record;
    let header = |header: &Header| HEADER_WEIGHT + header.key.len() + header.datum.value.weight();
    record.key.value.weight()
        + record.value.value.weight()
        + record.headers.iter().map(header).sum::<usize>()
}

/// Sends a record that could not be decoded to the dead letters and the log. Errors: when it fails the task.
fn handle_bad_record(
    policy: &Policy,
    dead_letters: Option<&DeadLetters>,
    incoming: &IncomingRecord<'_>,
    topic: Arc<str>,
    (stage, class, error): CodecError,
) -> Result<()> {
    let (partition, offset) = (incoming.partition(), incoming.offset());
    // A transient error (a schema registry out of reach) is not the record's fault.
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
        // The task ends with this record: its dead letter must be stored before.
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
