//! The writing half of a sink task: writes batches one after the other, and retries each until it is
//! written, rejected or given up. Answers the rebalances that the reading half reports.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use connector_api::{
    Error, ProgressReport, Rejected, Result, SinkTask, TableProgress, TopicOffset, TopicPartition,
    fail_point,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::super::dlq::DeadLetters;
use super::super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict};
use super::super::task::{TaskContext, TaskTarget};
use super::super::thread::blocking_of;
use super::super::watch::TaskWatch;
use super::batch::SinkBatch;
use super::messages::{ToReader, ToWriter};
use super::{SinkAttemptEnd, SinkFailurePlace};
use crate::kafka::consumer::{LatestOffsets, list};
use crate::metrics::{TaskMetrics, TopicAmounts};
use crate::waiting::WaitReason;

/// The class that Kafka Connect reports when a sink rejects a record, whatever the connector.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

/// How long the reading half may take to leave its group; must be shorter than the time tasks have
/// to stop.
const LEFT_WITHIN: Duration = Duration::from_secs(4);

/// The writing half of a sink task.
pub(super) struct SinkWriter {
    task: Box<dyn SinkTask>,
    watch: Arc<TaskWatch>,
    /// Set when the task is cut off: it may make nothing durable any more.
    cut: Arc<AtomicBool>,
    policy: Policy,
    letters: Option<Arc<DeadLetters>>,
    reader: ReaderHandle,
    /// Batches that are not done, oldest first.
    batches: VecDeque<PendingBatch>,
    /// Number of records of each topic written since the attempt began.
    written: Vec<(Arc<str>, u64)>,
    /// Where the task publishes its figures.
    metrics: Arc<TaskMetrics>,
}

/// A batch that is not written yet.
struct PendingBatch {
    batch: SinkBatch,
    /// Records of this batch whose dead letters are already stored.
    reported: HashSet<(TopicPartition, i64)>,
    retry: Retry,
    /// When the next try is due; `None` for at once.
    retry_at: Option<Instant>,
}

impl PendingBatch {
    fn new(batch: SinkBatch) -> Self {
        Self {
            batch,
            reported: HashSet::new(),
            retry: Retry::started(),
            retry_at: None,
        }
    }
}

/// The channel to the reading half, which learns of changes only. A reading half that is gone needs
/// no message.
struct ReaderHandle {
    sender: Sender<ToReader>,
    is_paused: bool,
    /// Until when the reading half may take to leave its group, once it was asked to.
    leave_by: Option<Instant>,
}

impl ReaderHandle {
    fn send(&self, message: ToReader) {
        let _reader_gone = self.sender.send(message);
    }

    fn pause(&mut self, paused: bool) {
        if self.is_paused != paused {
            self.is_paused = paused;
            self.send(ToReader::Pause(paused));
        }
    }

    fn leave(&mut self) {
        if self.leave_by.is_none() {
            self.leave_by = Some(Instant::now() + LEFT_WITHIN);
            self.send(ToReader::Leave);
        }
    }
}

impl SinkWriter {
    pub(super) fn new(
        running: &TaskContext,
        task: Box<dyn SinkTask>,
        policy: Policy,
        letters: Option<Arc<DeadLetters>>,
        to_reader: Sender<ToReader>,
    ) -> Self {
        let mut reader = ReaderHandle {
            sender: to_reader,
            is_paused: false,
            leave_by: None,
        };
        // Sent before the reading half starts: a paused task fetches nothing.
        reader.pause(running.wanted() != TaskTarget::Run);
        Self {
            task,
            watch: Arc::clone(&running.watch),
            cut: Arc::clone(&running.cut),
            policy,
            letters,
            reader,
            batches: VecDeque::new(),
            written: Vec::new(),
            metrics: Arc::clone(&running.metrics),
        }
    }

    pub(super) async fn close(self) {
        self.task.close().await;
    }

    /// Works until the reading half has ended. After the first error it makes the reading half
    /// leave the group, and returns that error once the half has left, or after [`LEFT_WITHIN`], as
    /// Kafka may not answer at all.
    pub(super) async fn work(
        &mut self,
        running: &mut TaskContext,
        mut from_reader: UnboundedReceiver<ToWriter>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let target = running.wanted();
            let is_leaving = target == TaskTarget::Stop || outcome.is_err();
            if is_leaving {
                self.reader.leave();
                // What is not written is read again by the next owner of its partition.
                self.batches.clear();
            } else {
                running.report_paused(target == TaskTarget::Pause).await;
                self.reader.pause(target == TaskTarget::Pause);
            }
            let may_write = target == TaskTarget::Run && !is_leaving && !self.batches.is_empty();
            let retry_at = self.batches.front().and_then(|next| next.retry_at);
            let leave_by = self.reader.leave_by;
            self.watch.front.enter(match target {
                _ if is_leaving => WaitReason::Partner,
                TaskTarget::Pause => WaitReason::Resume,
                _ if retry_at.is_some() => WaitReason::Retry,
                _ => WaitReason::Nothing,
            });
            tokio::select! {
                // The order matters.
                biased;
                // A rebalance comes first: the reading half waits for the answer, and the whole
                // group with it. A batch is only queued here.
                message = from_reader.recv() => match message {
                    Some(message) => self.take_message(running, message, is_leaving).await,
                    None => return outcome,
                },
                // A task that has to stop or pause starts neither a retry nor a batch.
                () = running.changed(), if target != TaskTarget::Stop => {}
                // The oldest batch is written or retried before the next one: offsets advance in
                // order.
                () = wait_until(retry_at), if may_write => outcome = self.put(running).await,
                // Last, so that a reading half that ends in time is seen to have ended.
                () = wait_until(leave_by), if leave_by.is_some() => return outcome,
            }
        }
    }

    /// Handles a message of the reading half.
    async fn take_message(&mut self, running: &TaskContext, message: ToWriter, is_leaving: bool) {
        match message {
            ToWriter::Batch(_) if is_leaving => {}
            ToWriter::Batch(batch) => self.batches.push_back(PendingBatch::new(batch)),
            ToWriter::Assigned(partitions, answer) => {
                self.watch.front.enter(WaitReason::Database);
                let _reader_gone = answer.send(self.assign(running, &partitions).await);
            }
            ToWriter::Revoked(partitions, answer) => {
                self.watch.front.enter(WaitReason::Database);
                self.drop_records_of(&partitions);
                // The group waits for the answer, so it comes before the sink releases the
                // partitions.
                let _reader_gone = answer.send(());
                self.revoke(&partitions).await;
            }
        }
    }

    /// Removes the records of revoked partitions from all batches: their next owner reads them.
    fn drop_records_of(&mut self, partitions: &[TopicPartition]) {
        for pending in &mut self.batches {
            let before = pending.batch.records.len();
            pending.batch.remove(partitions);
            let removed = (before - pending.batch.records.len()) as u64;
            self.metrics
                .update(|task, now| task.done_with(now, removed));
            if pending.batch.is_empty() {
                self.reader.send(ToReader::Done(LatestOffsets::new()));
            }
        }
        self.batches.retain(|pending| !pending.batch.is_empty());
    }

    async fn revoke(&mut self, partitions: &[TopicPartition]) {
        let revoked = async {
            fail_point::reach_async("sink.revoke").await?;
            self.task.revoke(partitions).await
        };
        if let Err(error) = revoked.await {
            tracing::warn!(%error, "the sink did not close partitions cleanly");
        }
    }

    /// Assigns partitions to the sink, retrying transient errors. Returns the offsets that the sink
    /// has stored for them.
    async fn assign(
        &mut self,
        running: &TaskContext,
        partitions: &[TopicPartition],
    ) -> Result<Vec<TopicOffset>> {
        let mut retry = Retry::started();
        loop {
            let assigned = async {
                fail_point::reach_async("sink.assign").await?;
                self.task.assign(partitions).await
            };
            let error = match assigned.await {
                Ok(stored) => return Ok(stored),
                Err(error) => error,
            };
            let limit = RetryLimit::Policy;
            match retry.fail(&self.policy, error.kind(), ErrorStage::Put, limit) {
                Verdict::Retry(wait) if running.wanted() != TaskTarget::Stop => {
                    running.warn(&error);
                    let _noted = self.watch.front.note(WaitReason::Retry);
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Tries to write the oldest batch. Errors end the attempt; a batch that can be retried stays
    /// the oldest.
    async fn put(&mut self, running: &TaskContext) -> Result<()> {
        let Some(mut pending) = self.batches.pop_front() else {
            return Ok(());
        };
        self.watch.front.enter(WaitReason::Database);
        match self.write(&mut pending).await {
            Ok(()) => {
                self.count(&pending.batch);
                self.reader.send(ToReader::Done(pending.batch.next));
                running.clear_retry_warning();
                running.note(self.progress());
                Ok(())
            }
            Err(SinkAttemptEnd { error, within }) => {
                let limit = RetryLimit::for_kafka(within == SinkFailurePlace::Kafka);
                let verdict =
                    pending
                        .retry
                        .fail(&self.policy, error.kind(), ErrorStage::Put, limit);
                let Verdict::Retry(wait) = verdict else {
                    return Err(error);
                };
                running.warn(&error);
                pending.retry_at = Some(Instant::now() + wait);
                self.batches.push_front(pending);
                Ok(())
            }
        }
    }

    /// Writes the batch, stores its dead letters, and only then commits: a crash in between
    /// duplicates a dead letter but loses none. Checks `cut` before each step, because the previous
    /// one may have hung until the task was given up and its successor had started.
    async fn write(&mut self, pending: &mut PendingBatch) -> Result<(), SinkAttemptEnd> {
        let next = list(&pending.batch.next);
        fail_point::reach_async("sink.before-sql").await?;
        self.unless_cut()?;
        let began = Instant::now();
        let report = self.task.put(&pending.batch.records, &next).await?;
        let records = pending.batch.records.len() as u64;
        self.metrics
            .update(|task, now| task.batch(now, records, began.elapsed()));
        self.watch.front.moved();
        fail_point::reach_async("sink.before-dead-letters").await?;
        self.unless_cut()?;
        if let Err(error) = self.reject(pending, report.rejected).await {
            if let Err(error) = self.task.rollback().await {
                tracing::warn!(%error, "a batch was not rolled back cleanly");
            }
            return Err(error);
        }
        fail_point::reach_async("sink.before-commit").await?;
        self.unless_cut()?;
        let began = Instant::now();
        let committed = self.task.commit().await;
        self.metrics.update(|task, now| {
            let (took, succeeded) = (began.elapsed(), committed.is_ok());
            task.database_commits.note(now, took, succeeded);
        });
        committed?;
        Ok(fail_point::reach_async("sink.after-commit").await?)
    }

    /// Returns an error if the task was cut off and may make nothing durable any more.
    fn unless_cut(&self) -> Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            Err(Error::retry("the task was cut off"))
        } else {
            Ok(())
        }
    }

    fn count(&mut self, batch: &SinkBatch) {
        let mut written = TopicAmounts::default();
        let records = batch.records.iter();
        records.for_each(|record| written.count(&record.at.topic, 0));
        for (topic, amount) in written.iter() {
            match self.written.iter_mut().find(|(known, _)| known == topic) {
                Some((_, rows)) => *rows += amount.records,
                None => self.written.push((Arc::clone(topic), amount.records)),
            }
        }
        self.metrics.written(&written, batch.read.records());
    }

    /// Reports the number of records of each topic processed since the attempt began.
    fn progress(&self) -> ProgressReport {
        let table = |(topic, rows): &(Arc<str>, u64)| TableProgress {
            table: topic.to_string(),
            rows: *rows,
            ..TableProgress::default()
        };
        ProgressReport {
            rereads: Vec::new(),
            tables: self.written.iter().map(table).collect(),
            warnings: Vec::new(),
        }
    }

    /// Stores the dead letters of records that the sink rejected, except those that an earlier try
    /// has stored. Errors: that of the first record that must not be skipped, or a failure to store
    /// dead letters.
    async fn reject(
        &mut self,
        pending: &mut PendingBatch,
        rejected: Vec<Rejected>,
    ) -> Result<(), SinkAttemptEnd> {
        let batch = &pending.batch;
        let mut fatal = None;
        let mut reported = Vec::new();
        for Rejected { index, error } in rejected {
            let Some(at) = batch.records.get(index).map(|record| &record.at) else {
                let count = batch.records.len();
                return Err(error
                    .context(format_args!("record {index} of a batch of {count}"))
                    .into());
            };
            let TopicOffset {
                topic,
                partition,
                offset,
            } = at;
            let key = key_of(at);
            let is_new = !pending.reported.contains(&key);
            if let (true, Some(letters), Some(raw)) = (is_new, &self.letters, batch.raw.get(index))
            {
                letters
                    .send(raw, ErrorStage::Put, SINK_TASK, &error)
                    .map_err(SinkAttemptEnd::of_kafka)?;
            }
            reported.push(key);
            let error = error.context(format_args!(
                "topic {topic}, partition {partition}, offset {offset}"
            ));
            if !self.policy.skips(&error, ErrorStage::Put) {
                self.metrics.record_error(|errors| errors.errors += 1);
                fatal.get_or_insert(error);
            } else if is_new {
                self.metrics.skipped(error.kind(), self.policy.log);
                if self.policy.log {
                    tracing::warn!(%error, "record skipped");
                }
            }
        }
        if let (false, Some(letters)) = (reported.is_empty(), self.letters.clone()) {
            blocking_of(&self.watch, WaitReason::DeadLetters, move || {
                letters.flush()
            })
            .await
            .map_err(SinkAttemptEnd::of_kafka)?;
        }
        pending.reported.extend(reported);
        fatal.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Returns what identifies a record.
fn key_of(at: &TopicOffset) -> (TopicPartition, i64) {
    let partition = TopicPartition {
        topic: Arc::clone(&at.topic),
        partition: at.partition,
    };
    (partition, at.offset)
}

/// Waits until that time, if there is one.
async fn wait_until(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}
