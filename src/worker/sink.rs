//! A sink task. The reading half (`sink_reader.rs`) hands over batches; this half writes them one
//! after the other and retries each until it is written, rejected or given up.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use connector_api::{
    Config, Error, ErrorKind, ProgressReport, Rejected, Result, SinkConnector, SinkTask,
    TableProgress, TopicOffset, TopicPartition, fail_point,
};
use tokio::sync::mpsc::{self, Receiver, UnboundedReceiver};
use tokio::time::sleep_until;

use super::codec::RecordCodec;
use super::delivery::is_transient;
use super::dlq::DeadLetters;
use super::offsets::list;
use super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict, number};
use super::sink_reader::{RebalanceBridge, RebalanceRequest, SinkBatch, SinkReader, SinkShared};
use super::task::{TaskContext, TaskTarget};
use super::thread::{TaskThread, blocking_of};
use super::watch::TaskWatch;
use super::{StartTask, WorkerShared, client_settings};
use crate::kafka::consumer::{Consumer, Subscription};
use crate::kafka::dev::BacklogGroup;
use crate::waiting::WaitReason;

/// Default maximum number of records per batch (`consumer.override.max.poll.records`).
const BATCH_ROWS: usize = 4000;

/// The class that Kafka Connect reports when a sink rejects a record, whatever the connector.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

/// Runs the task until it is asked to stop. After a transient error it starts a new attempt.
pub async fn run(running: &mut TaskContext, sink: &dyn SinkConnector) -> Result<()> {
    let policy = Policy::read(&running.start.connector_config)?;
    let mut retry = Retry::default();
    while running.wanted() != TaskTarget::Stop {
        let began = Instant::now();
        let Err(SinkAttemptEnd { error, within }) = attempt(running, sink, policy).await else {
            return Ok(());
        };
        let again = error.kind() == ErrorKind::Fenced
            || within != SinkFailurePlace::Sink && is_transient(&error);
        if running.wanted() == TaskTarget::Stop && again {
            // The next task with this id reads again what is not written yet.
            tracing::debug!(connector = %running.id().connector, task = running.id().task, %error,
                "an error occurred while the task stopped");
            return Ok(());
        }
        if !again || !running.has_run() {
            return Err(error);
        }
        retry.reset_if_lasted(began);
        // Another task took the partitions over; if they still belong to this one, the group
        // assigns them again. Or something that reading needs, such as a schema registry, is
        // unreachable.
        let limit = RetryLimit::for_kafka(within == SinkFailurePlace::Kafka);
        match retry.fail(&policy, ErrorKind::Retry, ErrorStage::Put, limit) {
            Verdict::Retry(wait) => {
                running.warn(&error);
                running.sleep(wait).await;
            }
            Verdict::Skip | Verdict::Fail => return Err(error),
        }
    }
    Ok(())
}

/// How long the reading half may take to leave its group; must be shorter than the time tasks have
/// to stop.
const LEFT_WITHIN: Duration = Duration::from_secs(4);

/// Reads which topics a sink connector subscribes to. Errors: `Config`.
pub fn subscription(config: &Config) -> Result<Subscription> {
    let given = |key| {
        config
            .get(key)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    match (given("topics"), given("topics.regex")) {
        (Some(topics), None) => Ok(Subscription::Topics(
            topics
                .split(',')
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect(),
        )),
        (None, Some(pattern)) => Ok(Subscription::Pattern(pattern.to_owned())),
        _ => Err(Error::config(
            "Must configure one of topics or topics.regex",
        )),
    }
}

/// Why an attempt ended.
struct SinkAttemptEnd {
    error: Error,
    within: SinkFailurePlace,
}

/// Where the error of an attempt occurred.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SinkFailurePlace {
    /// While reaching Kafka or storing dead letters.
    Kafka,
    Reading,
    Sink,
}

impl From<Error> for SinkAttemptEnd {
    fn from(error: Error) -> Self {
        Self {
            error,
            within: SinkFailurePlace::Sink,
        }
    }
}

/// Runs one attempt: opens the sink and the consumer, works until the task is asked to stop, closes
/// both.
async fn attempt(
    running: &mut TaskContext,
    sink: &dyn SinkConnector,
    policy: Policy,
) -> Result<(), SinkAttemptEnd> {
    let what = subscription(&running.start.connector_config)?;
    let (shared, start, watch) = (
        Arc::clone(&running.shared),
        running.start.clone(),
        Arc::clone(&running.watch),
    );
    let redactor = running.redactor();
    let opening = async {
        let of_kafka = |error| SinkAttemptEnd {
            error,
            within: SinkFailurePlace::Kafka,
        };
        watch.front.enter(WaitReason::Kafka);
        let config = shared
            .sink_config(&start.task_config, &start.id.connector)
            .await
            .map_err(of_kafka)?;
        let open = move || DeadLetters::open(&shared, &start.id, &start.connector_config, redactor);
        let letters = blocking_of(&watch, WaitReason::DeadLetters, open)
            .await
            .map_err(of_kafka)?
            .map(Arc::new);
        watch.front.enter(WaitReason::Database);
        fail_point::reach_async("sink.open").await?;
        Ok::<_, SinkAttemptEnd>((letters, sink.open(&config, policy.tolerate).await?))
    };
    let Some((letters, task)) = running.unless_stopped(opening).await.transpose()? else {
        return Ok(());
    };

    let group = client_settings::group(&running.id().connector, &running.start.connector_config);
    let backlog = running.shared.dev_backlog();
    let member = backlog.map(|backlog| Arc::new(BacklogGroup::join(backlog, &group, &what)));
    let common = Arc::new(SinkShared::new(member));
    // Makes the reading half leave its group however this function ends.
    let _leaves_when_dropped = LeaveGuard(Arc::clone(&common));
    common
        .paused
        .store(running.wanted() == TaskTarget::Pause, Ordering::Relaxed);
    let (batches, incoming) = mpsc::channel(1);
    let (asking, questions) = mpsc::unbounded_channel();
    let asker = Arc::new(RebalanceBridge::new(asking, Arc::clone(&running.cut)));
    let mut put = SinkWriter {
        task,
        watch: Arc::clone(&watch),
        cut: Arc::clone(&running.cut),
        policy,
        letters: letters.clone(),
        common: Arc::clone(&common),
        pending: None,
        waiting: VecDeque::new(),
        written: Vec::new(),
    };
    let intake = open(running, &what, policy, letters, common, batches, asker);
    let started = match intake {
        Ok(intake) => {
            let name = format!("in-{}", running.id().connector);
            TaskThread::spawn(&watch, &watch.back, &name, move || intake.run())
        }
        Err(error) => Err(error),
    };
    let outcome = match started {
        Ok(reader) => {
            running
                .report_paused(running.wanted() == TaskTarget::Pause)
                .await;
            let written = put.work(running, incoming, questions).await;
            // A reading half that does not end in time is left behind; nothing answers its
            // requests.
            let read = tokio::time::timeout(Duration::from_millis(100), reader.join())
                .await
                .unwrap_or(Ok(()));
            written
                .map_err(SinkAttemptEnd::from)
                .and(read.map_err(|error| SinkAttemptEnd {
                    error,
                    within: SinkFailurePlace::Reading,
                }))
        }
        Err(error) => Err(error.into()),
    };
    watch.front.enter(WaitReason::Database);
    let _only_waits = fail_point::reach_async("sink.close").await;
    put.task.close().await;
    outcome
}

/// Makes the reading half leave the group when dropped, so also when the future of the writing half
/// is dropped: a member that keeps polling without a writer would keep its partitions.
struct LeaveGuard(Arc<SinkShared>);

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Opens the consumer and the codec of the reading half.
fn open(
    running: &TaskContext,
    what: &Subscription,
    policy: Policy,
    dead_letters: Option<Arc<DeadLetters>>,
    common: Arc<SinkShared>,
    batches: mpsc::Sender<SinkBatch>,
    asker: Arc<RebalanceBridge>,
) -> Result<SinkReader> {
    let (shared, start): (&WorkerShared, &StartTask) = (&running.shared, &running.start);
    let (options, config) = (&shared.options, &start.connector_config);
    let settings = client_settings::consumer(options, &start.id, config)?;
    let gone = asker.gone();
    let rows = number(config, "consumer.override.max.poll.records")?;
    Ok(SinkReader {
        consumer: Consumer::open(&settings, what, asker, common.backlog())?,
        codec: RecordCodec::open(&shared.registry, &options.config, config)?,
        policy,
        keep_raw: dead_letters.is_some(),
        dead_letters,
        batch_rows: rows
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
            .unwrap_or(BATCH_ROWS),
        commit_every: options.flush_interval,
        common,
        gone,
        cut: Arc::clone(&running.cut),
        batches,
        events: running.events(),
        forgotten: shared.forgotten.clone(),
        id: start.id.clone(),
        runtime: shared.runtime.clone(),
        place: Arc::clone(&running.watch.back),
    })
}

/// A batch that is not written yet.
struct PendingBatch {
    batch: SinkBatch,
    /// Records of this batch whose dead letters are already stored.
    reported: HashSet<(TopicPartition, i64)>,
    retry: Retry,
    again: tokio::time::Instant,
}

impl PendingBatch {
    fn new(batch: SinkBatch) -> Self {
        Self {
            batch,
            reported: HashSet::new(),
            retry: Retry::started(),
            again: tokio::time::Instant::now(),
        }
    }
}

/// The writing half of a sink task.
struct SinkWriter {
    task: Box<dyn SinkTask>,
    watch: Arc<TaskWatch>,
    /// Set when the task is cut off: it may make nothing durable any more.
    cut: Arc<AtomicBool>,
    policy: Policy,
    letters: Option<Arc<DeadLetters>>,
    common: Arc<SinkShared>,
    pending: Option<PendingBatch>,
    /// Batches drained from the channel during a revocation.
    waiting: VecDeque<SinkBatch>,
    written: Vec<(Arc<str>, u64)>,
}

impl SinkWriter {
    /// Works until the reading half has ended. After the first error it makes the reading half
    /// leave the group, and returns that error once the half has left, or after [`LEFT_WITHIN`], as
    /// Kafka may not answer at all.
    async fn work(
        &mut self,
        running: &mut TaskContext,
        mut batches: Receiver<SinkBatch>,
        mut questions: UnboundedReceiver<RebalanceRequest>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        let mut left_by: Option<tokio::time::Instant> = None;
        loop {
            let wanted = running.wanted();
            let leaving = wanted == TaskTarget::Stop || outcome.is_err();
            let working = wanted == TaskTarget::Run && !leaving;
            if self.pending.is_none() {
                self.pending = self.waiting.pop_front().map(PendingBatch::new);
            }
            if leaving {
                self.common.leave.store(true, Ordering::Relaxed);
                left_by.get_or_insert_with(|| tokio::time::Instant::now() + LEFT_WITHIN);
            } else {
                running.report_paused(!working).await;
            }
            self.common.paused.store(!working, Ordering::Relaxed);
            self.common
                .hungry
                .store(working && self.pending.is_none(), Ordering::Relaxed);
            let due = self
                .pending
                .as_ref()
                .map_or_else(tokio::time::Instant::now, |pending| pending.again);
            self.watch.front.enter(match wanted {
                _ if leaving => WaitReason::Partner,
                TaskTarget::Pause => WaitReason::Resume,
                _ if self.pending.is_some() => WaitReason::Retry,
                _ => WaitReason::Nothing,
            });
            // The order matters. A rebalance comes first: the consumer's thread blocks inside its
            // poll until it is answered, and so does the whole group. A new target comes next, so
            // that a task that has to stop or pause starts neither a retry nor a batch. A pending
            // batch is retried before the next one is taken, because offsets must advance in order.
            // The deadline comes last, so that a reading half that ends in time is seen to have
            // ended.
            tokio::select! {
                biased;
                Some(question) = questions.recv() => self.answer(running, question, &mut batches).await,
                () = running.changed(), if wanted != TaskTarget::Stop => {}
                () = sleep_until(due), if working && self.pending.is_some() => outcome = self.put(running).await,
                batch = batches.recv(), if leaving || self.pending.is_none() => match batch {
                    Some(_) if leaving => {}
                    Some(batch) => {
                        self.common.hungry.store(false, Ordering::Relaxed);
                        self.pending = Some(PendingBatch::new(batch));
                        if working {
                            outcome = self.put(running).await;
                        }
                    }
                    None => return outcome,
                },
                () = sleep_until(left_by.unwrap_or(due)), if left_by.is_some() => return outcome,
            }
        }
    }

    /// Answers a rebalance; the consumer waits for it within its poll.
    async fn answer(
        &mut self,
        running: &TaskContext,
        question: RebalanceRequest,
        batches: &mut Receiver<SinkBatch>,
    ) {
        self.watch.front.enter(WaitReason::Database);
        match question {
            RebalanceRequest::Assigned(partitions, answer) => {
                let _asker_gone = answer.send(self.assign(running, &partitions).await);
            }
            RebalanceRequest::Revoked(partitions, answer) => {
                // A batch may be queued behind the pending one: the reading half hands over a full
                // batch even if the writing half is busy.
                self.waiting
                    .extend(std::iter::from_fn(|| batches.try_recv().ok()));
                // Records of revoked partitions must not be written any more: the next owner reads
                // them.
                let pending = self.pending.iter_mut().map(|pending| &mut pending.batch);
                pending
                    .chain(&mut self.waiting)
                    .for_each(|batch| batch.forget(&partitions));
                self.pending.take_if(|pending| pending.batch.is_empty());
                self.waiting.retain(|batch| !batch.is_empty());
                // The consumer waits for the answer within its poll, so answer before the sink
                // releases the partitions.
                let _asker_gone = answer.send(self.common.give_up(&partitions));
                let revoked = async {
                    fail_point::reach_async("sink.revoke").await?;
                    self.task.revoke(&partitions).await
                };
                if let Err(error) = revoked.await {
                    tracing::warn!(%error, "the sink did not close partitions cleanly");
                }
            }
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

    /// Tries to write the pending batch. Errors end the attempt; a batch that can be retried stays
    /// pending.
    async fn put(&mut self, running: &TaskContext) -> Result<()> {
        let Some(mut pending) = self.pending.take() else {
            return Ok(());
        };
        let next = list(&pending.batch.next);
        self.watch.front.enter(WaitReason::Database);
        match self.write(&mut pending, &next).await {
            Ok(()) => {
                self.common.written(&pending.batch.next);
                self.count(&pending.batch);
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
                pending.again = tokio::time::Instant::now() + wait;
                self.pending = Some(pending);
                Ok(())
            }
        }
    }

    /// Writes the batch, stores its dead letters, and only then commits: a crash in between
    /// duplicates a dead letter but loses none. Checks `cut` before each step, because the previous
    /// one may have hung until the task was given up and its successor had started.
    async fn write(
        &mut self,
        pending: &mut PendingBatch,
        next: &[TopicOffset],
    ) -> Result<(), SinkAttemptEnd> {
        fail_point::reach_async("sink.before-sql").await?;
        self.unless_cut()?;
        let report = self.task.put(&pending.batch.records, next).await?;
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
        self.task.commit().await?;
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
        for record in &batch.records {
            match self
                .written
                .iter_mut()
                .find(|(topic, _)| *topic == record.at.topic)
            {
                Some((_, rows)) => *rows += 1,
                None => self.written.push((Arc::clone(&record.at.topic), 1)),
            }
        }
    }

    /// Reports the number of records of each topic processed since the attempt began.
    fn progress(&self) -> ProgressReport {
        let table = |(topic, rows): &(Arc<str>, u64)| TableProgress {
            table: topic.to_string(),
            rows: *rows,
            ..TableProgress::default()
        };
        ProgressReport {
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
        let of_kafka = |error| SinkAttemptEnd {
            error,
            within: SinkFailurePlace::Kafka,
        };
        let (batch, mut fatal, mut told) = (&pending.batch, None, Vec::new());
        for Rejected { index, error } in rejected {
            let Some(TopicOffset {
                topic,
                partition,
                offset,
            }) = batch.records.get(index).map(|record| &record.at)
            else {
                return Err(error
                    .context(format_args!(
                        "record {index} of a batch of {}",
                        batch.records.len()
                    ))
                    .into());
            };
            let place = (
                TopicPartition {
                    topic: Arc::clone(topic),
                    partition: *partition,
                },
                *offset,
            );
            let is_new = !pending.reported.contains(&place);
            if let (true, Some(letters), Some(raw)) = (is_new, &self.letters, batch.raw.get(index))
            {
                letters
                    .send(raw, ErrorStage::Put, SINK_TASK, &error)
                    .map_err(of_kafka)?;
            }
            told.push(place);
            let error = error.context(format_args!(
                "topic {topic}, partition {partition}, offset {offset}"
            ));
            if !self.policy.skips(&error, ErrorStage::Put) {
                fatal.get_or_insert(error);
            } else if self.policy.log && is_new {
                tracing::warn!(%error, "record skipped");
            }
        }
        if let (false, Some(letters)) = (told.is_empty(), self.letters.clone()) {
            blocking_of(&self.watch, WaitReason::DeadLetters, move || {
                letters.flush()
            })
            .await
            .map_err(of_kafka)?;
        }
        pending.reported.extend(told);
        fatal.map_or(Ok(()), |error| Err(error.into()))
    }
}
