//! The reading half of a sink task, on the consumer's own thread: polls, decodes, and hands batches
//! to the writing half (`writer.rs`). Batches grow while the writing half is busy; when it waits, it
//! gets at once whatever has been read.
//!
//! The consumer reports each rebalance here, and the group waits for the answer, which only the
//! writing half can give.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use connector_api::{Error, Result};
use tokio::sync::mpsc::UnboundedSender;

use super::super::created_topics::TopicWatch;
use super::batch::BatchBuilder;
use super::messages::{BATCHES_AHEAD, ToReader, ToWriter};
use crate::kafka::consumer::{Consumer, ConsumerEvent, Rebalance};
use crate::waiting::{WaitPlace, WaitReason};

/// How long the writing half may take to answer a rebalance; while the group is left, the end of
/// [`Consumer::leave`] if that comes first.
const ANSWER_WITHIN: Duration = Duration::from_secs(70);
/// How often the reading half polls while it waits for an answer, and how soon it notices that the
/// task was cut off.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a full batch waits for the writing half before fetching is paused.
const HOLD: Duration = Duration::from_secs(1);

/// How often the offsets of a batch that waits are published.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// The state of the reading thread.
pub(super) struct SinkReader {
    /// The consumer, already subscribed. Dropped first, so that the writing half goes on until the
    /// group is left.
    pub consumer: Consumer,
    pub batch: BatchBuilder,
    pub to_writer: UnboundedSender<ToWriter>,
    pub from_writer: Receiver<ToReader>,
    /// Set when the task is cut off: the writing half may never answer again.
    pub cut: Arc<AtomicBool>,
    /// How often group offsets are committed under load.
    pub commit_every: Duration,
    /// Topics that this worker's sources create.
    pub new_topics: TopicWatch,
    /// Records what this thread waits for.
    pub place: Arc<WaitPlace>,
    pub state: ReadState,
}

/// Mutable state of the loop.
pub(super) struct ReadState {
    /// The writing half has asked for a pause.
    pause_wanted: bool,
    /// Fetching is paused.
    is_paused: bool,
    /// The writing half has asked to leave, or is gone.
    leave: bool,
    /// Number of batches that were handed over and are not done.
    under_way: usize,
    committed: Instant,
    published: Instant,
    /// No broker answers: polls return but do not count as progress.
    unanswered: bool,
    /// An error that a poll returned while an answer was awaited: the next poll returns it.
    failed: Option<Error>,
}

impl Default for ReadState {
    fn default() -> Self {
        Self {
            pause_wanted: false,
            is_paused: false,
            leave: false,
            under_way: 0,
            committed: Instant::now(),
            published: Instant::now(),
            unanswered: false,
            failed: None,
        }
    }
}

impl SinkReader {
    /// Reads until asked to leave, then leaves the group while the writing half still answers
    /// rebalances.
    pub(super) fn run(mut self) -> Result<()> {
        let outcome = self.read();
        self.leave();
        outcome
    }

    fn read(&mut self) -> Result<()> {
        loop {
            self.take_messages();
            if self.is_to_leave() {
                return Ok(());
            }
            self.pause(self.state.pause_wanted)?;
            if self.batch.is_full() {
                self.await_room()?;
                self.hand_over()?;
                continue;
            }
            if !self.state.unanswered {
                self.place.enter(WaitReason::Poll);
            }
            let writer_waits = self.writer_waits();
            let wait = match (self.batch.is_empty(), self.state.under_way) {
                (true, 0) => Duration::from_millis(50),
                // Offsets that are written are waited for: by readers of the lag, and by the sources
                // of the development broker.
                (true, _) => Duration::from_millis(5),
                (false, _) if writer_waits => Duration::ZERO,
                (false, _) => Duration::from_millis(1),
            };
            let is_idle = !self.poll(wait)?;
            self.note_poll(is_idle);
            if is_idle {
                self.look_up_new_topics();
            }
            if is_idle && writer_waits {
                self.hand_over()?;
            }
            self.commit_if_due(is_idle && self.batch.is_empty());
            // Not with each record: reading the clock takes longer than many of them.
            if is_idle || self.batch.batch.records.len().is_multiple_of(512) {
                self.publish_if_due();
            }
        }
    }

    /// Looks up the subscribed topics if this worker has just created one of them.
    fn look_up_new_topics(&mut self) {
        if self.new_topics.is_due(Instant::now()) {
            self.place.enter(WaitReason::Kafka);
            self.consumer.refresh_metadata();
        }
    }

    /// True if the writing half has nothing to do, so that a batch need not grow.
    fn writer_waits(&self) -> bool {
        self.state.under_way == 0 && !self.state.pause_wanted
    }

    /// Polls once. Adds a record to the batch, or answers a rebalance. Returns true if a record was
    /// read.
    fn poll(&mut self, wait: Duration) -> Result<bool> {
        if let Some(error) = self.state.failed.take() {
            return Err(error);
        }
        let rebalance = match self.consumer.poll(wait)? {
            None => return Ok(false),
            Some(ConsumerEvent::Record(record)) => return self.batch.add(&record).map(|()| true),
            Some(ConsumerEvent::Rebalance(rebalance)) => rebalance,
        };
        self.answer(rebalance).map(|()| false)
    }

    /// Has the writing half decide on a rebalance, and answers it. Errors: the partitions could not
    /// be taken over or given up.
    fn answer(&mut self, rebalance: Rebalance) -> Result<()> {
        match rebalance {
            Rebalance::Assigned(partitions, reply) => {
                let silent = || Error::retry("the sink did not open its partitions in time");
                let stored = self
                    .ask(|answer| ToWriter::Assigned(partitions, answer))
                    .unwrap_or_else(|| Err(silent()));
                self.new_topics.stop();
                self.consumer.assign(reply, stored)
            }
            Rebalance::Revoked(partitions, reply) => {
                // First, so that their records do not reach the sink even if the writing half does
                // not answer: it is then still writing, and the next owner fences what it writes.
                self.batch.batch.remove(&partitions);
                let given_up = partitions.clone();
                let _in_time: Option<()> = self.ask(|answer| ToWriter::Revoked(given_up, answer));
                self.batch.batch.remove(&partitions);
                if self.is_cut() {
                    // A task that was cut off commits nothing any more.
                    drop(reply);
                    return Ok(());
                }
                // What was written of them until now is committed before they are given up.
                self.take_messages();
                self.consumer.revoke(reply)
            }
        }
    }

    /// Sends the writing half a question and waits for the answer. Returns `None` on a time-out, or
    /// as soon as the task is cut off.
    fn ask<T>(&mut self, question: impl FnOnce(SyncSender<T>) -> ToWriter) -> Option<T> {
        let place = Arc::clone(&self.place);
        let _noted = place.note(WaitReason::Partner);
        let (answer, answered) = sync_channel(1);
        let until = Instant::now() + ANSWER_WITHIN;
        let until = self.consumer.leaves_by().map_or(until, |by| by.min(until));
        if self.is_cut() || self.to_writer.send(question(answer)).is_err() {
            return None;
        }
        while !self.is_cut() {
            let left = until.saturating_duration_since(Instant::now());
            match answered.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    tracing::debug!("the writing half did not answer a rebalance in time");
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => self.stay_member(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// Polls while an answer is awaited: a member that does not poll for `max.poll.interval.ms` is
    /// taken for dead, so that a sink which opens its partitions slowly would lose them again and
    /// again. Fetching is paused, until the next call of `pause`.
    fn stay_member(&mut self) {
        let polled = self
            .pause(true)
            .and_then(|()| match self.consumer.stay_member()? {
                // Read before the pause. It is kept: nothing reads it again.
                Some(record) => self.batch.add(&record),
                None => Ok(()),
            });
        if let Err(error) = polled {
            self.state.failed.get_or_insert(error);
        }
    }

    /// Takes in what the writing half has sent.
    fn take_messages(&mut self) {
        loop {
            match self.from_writer.try_recv() {
                Ok(message) => self.take_message(message),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.state.leave = true;
                    return;
                }
            }
        }
    }

    fn take_message(&mut self, message: ToReader) {
        match message {
            ToReader::Pause(paused) => self.state.pause_wanted = paused,
            ToReader::Done(next) => {
                self.state.under_way = self.state.under_way.saturating_sub(1);
                self.consumer.written(&next);
            }
            ToReader::Leave => self.state.leave = true,
        }
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    fn is_to_leave(&self) -> bool {
        self.state.leave || self.is_cut()
    }

    /// Waits until the writing half has room for the batch. Keeps polling meanwhile, with fetching
    /// paused, to stay a member of the group.
    fn await_room(&mut self) -> Result<()> {
        self.batch.publish_read();
        let mut patience = HOLD;
        while self.state.under_way >= BATCHES_AHEAD && !self.is_to_leave() && !self.batch.is_empty()
        {
            self.place.enter(WaitReason::Partner);
            match self.from_writer.recv_timeout(patience) {
                Ok(message) => self.take_message(message),
                Err(RecvTimeoutError::Disconnected) => self.state.leave = true,
                Err(RecvTimeoutError::Timeout) => {
                    patience = Duration::from_millis(20);
                    self.pause(true)?;
                    self.place.enter(WaitReason::Poll);
                    self.poll(Duration::from_millis(80))?;
                    self.commit_if_due(false);
                }
            }
        }
        self.pause(self.state.pause_wanted)
    }

    /// Hands the batch over, unless there is none. The writing half must have room for it.
    fn hand_over(&mut self) -> Result<()> {
        if self.batch.is_empty() || self.is_to_leave() {
            return Ok(());
        }
        self.place.enter(WaitReason::DeadLetters);
        let batch = self.batch.take()?;
        self.state.under_way += 1;
        if self.to_writer.send(ToWriter::Batch(batch)).is_err() {
            self.state.leave = true;
        }
        Ok(())
    }

    fn pause(&mut self, paused: bool) -> Result<()> {
        if self.state.is_paused != paused {
            self.consumer.pause(paused)?;
            self.state.is_paused = paused;
        }
        Ok(())
    }

    /// Notes the result of a poll: nothing to do, or no broker answers.
    fn note_poll(&mut self, is_idle: bool) {
        let unanswered = if is_idle {
            self.consumer.unanswered()
        } else {
            None
        };
        self.state.unanswered = unanswered.is_some();
        match unanswered {
            Some(lasted) => self.place.enter_since(WaitReason::Kafka, lasted),
            None if is_idle => self.place.moved(),
            None => {}
        }
    }

    /// Commits group offsets if there is time for it, or if the last commit is long ago.
    fn commit_if_due(&mut self, is_idle: bool) {
        if is_idle || self.state.committed.elapsed() >= self.commit_every {
            self.state.committed = Instant::now();
            self.consumer.commit();
        }
    }

    /// Publishes what a batch holds that waits for the writing half: its records are behind, although
    /// the consumer has handed them on.
    fn publish_if_due(&mut self) {
        if self.state.published.elapsed() >= PUBLISH_EVERY {
            self.state.published = Instant::now();
            self.batch.publish_read();
        }
    }

    /// Gives all partitions up and leaves the group.
    fn leave(&mut self) {
        self.place.enter(WaitReason::Kafka);
        while let Some(rebalance) = self.consumer.leave() {
            if let Err(error) = self.answer(rebalance) {
                tracing::debug!(%error, "leaving the group");
            }
        }
    }
}
