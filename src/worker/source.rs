//! A source task. One thread polls and encodes records, a second one writes them to Kafka, so that
//! the database, the encoder and the broker all work at the same time. A bounded channel between
//! the threads holds a few chunks. Polling and encoding share a thread because records share
//! schemas and topics: updating their reference counts from two threads costs more than a third
//! thread gains.
//!
//! After a Kafka failure nothing in memory is trusted: the task is reopened at the stored
//! positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use connector_api::{
    Config, Error, ErrorKind, Result, SourceBatch, SourceConnector, SourceTask, fail_point,
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::codec::RecordCodec;
use super::delivery::{
    CreateTopic, DeliveryEvent, DeliveryThread, STOP_WITHIN, StopSignal, TransactionBoundary,
    is_transient,
};
use super::encode::BatchEncoder;
use super::policy::{ErrorStage, Policy, Retry, RetryLimit, Verdict, number};
use super::stored_offsets::ConnectorOffsetsReader;
use super::task::{TaskContext, TaskTarget};
use super::thread::{TaskThread, blocking_of};
use super::topics::TopicRules;
use super::{StartTask, TaskEvent, WorkerOptions, WorkerShared, client_settings, offsets};
use crate::kafka::admin::KafkaAdmin;
use crate::kafka::producer::Producer;
use crate::waiting::{self, WaitReason};

/// Maximum number of chunks queued for the writer.
const CHUNKS_AHEAD: usize = 2;
/// How long a new producer waits for brokers.
const INIT_WITHIN: Duration = Duration::from_secs(30);
/// Default boundary: under backlog, a transaction ends after this time or this many bytes.
const BOUNDARY: TransactionBoundary = TransactionBoundary {
    after: Duration::from_secs(1),
    bytes: 256 * 1024 * 1024,
    idle: true,
};

/// Runs the task until it is asked to stop. After a transient error it starts a new attempt.
pub async fn run(running: &mut TaskContext, source: &dyn SourceConnector) -> Result<()> {
    let policy = Policy::read(&running.start.connector_config)?;
    let mut retry = Retry::default();
    while running.may_work().await {
        let began = Instant::now();
        let Err(SourceAttemptEnd { error, kafka }) = attempt(running, source, policy).await else {
            return Ok(());
        };
        if running.wanted() == TaskTarget::Stop && is_transient(&error) {
            // The next task with this id reads again what is not durable yet.
            tracing::debug!(connector = %running.id().connector, task = running.id().task, %error,
                "an error occurred while the task stopped");
            return Ok(());
        }
        if !running.has_run() || !is_transient(&error) {
            return Err(error);
        }
        retry.reset_if_lasted(began);
        let limit = RetryLimit::for_kafka(kafka);
        match retry.fail(&policy, ErrorKind::Retry, ErrorStage::Produce, limit) {
            Verdict::Retry(wait) => {
                running.warn(&error);
                running.sleep(wait).await;
            }
            Verdict::Skip | Verdict::Fail => return Err(error),
        }
    }
    Ok(())
}

/// Why an attempt ended, and whether Kafka was the cause.
struct SourceAttemptEnd {
    error: Error,
    kafka: bool,
}

impl From<Error> for SourceAttemptEnd {
    fn from(error: Error) -> Self {
        Self {
            error,
            kafka: false,
        }
    }
}

/// Runs one attempt: opens the producer and the connector, works until the task is asked to stop,
/// closes both.
async fn attempt(
    running: &mut TaskContext,
    source: &dyn SourceConnector,
    policy: Policy,
) -> Result<(), SourceAttemptEnd> {
    let of_kafka = |error| SourceAttemptEnd { error, kafka: true };
    let (told, mut news) = mpsc::unbounded_channel();
    let (spare, spares) = sync_channel(4);
    let (shared, start) = (Arc::clone(&running.shared), running.start.clone());
    let (cut, given_up) = (Arc::clone(&running.cut), Arc::new(AtomicBool::new(false)));
    let (not_wanted, watch) = (Arc::clone(&given_up), Arc::clone(&running.watch));
    let (stopping, place) = (
        StopSignal::new(running.is_to_stop()),
        Arc::clone(&watch.back),
    );
    let mut opening = Box::pin(blocking_of(&watch, WaitReason::Kafka, move || {
        let (producer, stored, transactional) = open(&shared, &start, &not_wanted)?;
        let config = &start.connector_config;
        Ok(DeliveryThread {
            producer,
            transactional,
            boundary: boundary(config, shared.options.flush_interval)?,
            offsets_topic: client_settings::offsets_topic(&shared.options, config),
            stored,
            memory: shared
                .options
                .dev_broker
                .is_some()
                .then(|| Arc::clone(&shared.memory)),
            policy,
            create_topic: create_topic(&shared, config)?,
            forgotten: shared.forgotten.clone(),
            told,
            spare,
            cut,
            stopping,
            place,
        })
    }));
    let Some(delivery) = running
        .unless_stopped(&mut opening)
        .await
        .transpose()
        .map_err(of_kafka)?
    else {
        // `open` may be about to take over the transactional id. It must not do so after a
        // successor has, or it would fence that successor.
        given_up.store(true, Ordering::Relaxed);
        // Wait, but not for ever: Kafka may not answer at all. A successor that is fenced
        // nevertheless starts one more attempt.
        if tokio::time::timeout(STOP_WITHIN, opening).await.is_err() {
            tracing::debug!(connector = %running.id().connector, task = running.id().task,
                "stopped while it was opened");
        }
        return Ok(());
    };
    let options = &running.shared.options;
    let codec = RecordCodec::open(
        &running.shared.registry,
        &options.config,
        &running.start.connector_config,
    )?;
    let (stored, alone) = (delivery.stored.clone(), delivery.boundary.is_each_batch());
    let (config, id) = (running.start.task_config.clone(), running.id().clone());
    watch.front.enter(WaitReason::Source);
    let opening = async {
        fail_point::reach_async("source.open").await?;
        source.open(&config, &stored).await
    };
    let Some(mut task) = running.unless_stopped(opening).await.transpose()? else {
        return Ok(());
    };

    let (chunks, encoded) = mpsc::channel(CHUNKS_AHEAD);
    let runtime = running.shared.runtime.clone();
    let name = format!("out-{}", id.connector);
    let writer = TaskThread::spawn(&watch, &watch.back, &name, move || {
        delivery.run(encoded, &runtime)
    })?;
    running.report_paused(false).await;
    let mut encoder = BatchEncoder::new(
        codec,
        policy,
        alone,
        chunks,
        spares,
        Arc::clone(&watch.front),
    );
    let polled = poll(running, &mut *task, policy, &mut encoder, &mut news).await;
    // Dropping the encoder closes the channel, which ends the writer: it commits what is complete.
    encoder.send_rest().await;
    drop(encoder);
    watch.front.enter(WaitReason::Partner);
    let delivered = writer.join().await;
    // The source learns of its last commits before it is closed.
    news.close();
    while let Some(delivered) = news.recv().await {
        handle_delivery(running, &mut *task, delivered, true).await;
    }
    watch.front.enter(WaitReason::Source);
    close(task).await;
    delivered
        .map_err(of_kafka)
        .and(polled.map_err(SourceAttemptEnd::from))
}

/// Initialises the producer first and reads the stored positions only then: fencing settles every
/// transaction of the predecessor, so the positions cannot change afterwards.
fn open(
    shared: &WorkerShared,
    start: &StartTask,
    given_up: &AtomicBool,
) -> Result<(Producer, ConnectorOffsetsReader, bool)> {
    let (options, config) = (&shared.options, &start.connector_config);
    let transactional = transactional(options, config)?;
    let settings = client_settings::producer(options, &start.id, config, transactional)?;
    let producer = Producer::open(&settings, shared.dev_backlog())?;
    if transactional {
        producer.init(INIT_WITHIN, || !given_up.load(Ordering::Relaxed))?;
        waiting::moved();
    }
    let wanted = || match given_up.load(Ordering::Relaxed) {
        true => Err(Error::retry("the task was stopped while it was opened")),
        false => Ok(()),
    };
    wanted()?;
    let topic = client_settings::offsets_topic(options, config);
    if producer.partitions(&topic)?.is_none() {
        offsets::ensure_topic(shared, config)?;
        waiting::moved();
    }
    wanted()?;
    let stored = offsets::stored(shared, &start.id.connector, config)?;
    let stored = stored
        .ok_or_else(|| Error::retry(format!("topic {topic} is not yet known to all brokers")))?;
    Ok((producer, stored, transactional))
}

/// Returns true if records and offsets are written in transactions. Errors: `Config` if the
/// connector requires transactions and the worker has them switched off.
pub(super) fn transactional(options: &WorkerOptions, config: &Config) -> Result<bool> {
    if config
        .get("exactly.once.support")
        .is_some_and(|v| v.trim().eq_ignore_ascii_case("required"))
        && !options.exactly_once_source
    {
        return Err(Error::config(
            "exactly.once.support is required, but exactly-once delivery is disabled on this \
             worker (exactly.once.source.support)",
        ));
    }
    Ok(options.exactly_once_source && options.dev_broker.is_none())
}

/// Reads when transactions end: by time or bytes, or as `transaction.boundary` says (KIP-618).
/// Errors: `Config`.
pub(super) fn boundary(config: &Config, flush_interval: Duration) -> Result<TransactionBoundary> {
    match config
        .get("transaction.boundary")
        .map(|v| v.trim().to_ascii_lowercase())
        .as_deref()
    {
        None => Ok(BOUNDARY),
        Some("poll") => Ok(TransactionBoundary {
            after: Duration::ZERO,
            bytes: 0,
            idle: true,
        }),
        Some("interval") => {
            let interval = number(config, "transaction.boundary.interval.ms")?;
            let after = interval.map_or(flush_interval, |ms| {
                Duration::from_millis(ms.max(1).unsigned_abs())
            });
            Ok(TransactionBoundary {
                after,
                bytes: usize::MAX,
                idle: false,
            })
        }
        Some(_) => Err(Error::config(
            "transaction.boundary must be poll or interval; the connectors of this worker do not \
             define their own transactions",
        )),
    }
}

/// Returns the function that creates a topic before its first record is written. Errors: `Config`.
fn create_topic(shared: &Arc<WorkerShared>, config: &Config) -> Result<CreateTopic> {
    let rules = TopicRules::read(config)?;
    if !client_settings::may_create_topics(&shared.options) {
        return Ok(Box::new(|_| Ok(false)));
    }
    let settings = client_settings::admin(&shared.options, Some(config))?;
    let shared = Arc::clone(shared);
    Ok(Box::new(move |topic| {
        let dev = shared.options.dev_broker.clone();
        KafkaAdmin::open(&settings, dev, shared.runtime.clone())?
            .create(&rules.topic_spec(topic))?;
        tracing::info!(topic, "topic created");
        Ok(true)
    }))
}

/// Polls and encodes until the task is asked to stop or the writer has ended.
async fn poll(
    running: &mut TaskContext,
    task: &mut dyn SourceTask,
    policy: Policy,
    encoder: &mut BatchEncoder,
    news: &mut UnboundedReceiver<DeliveryEvent>,
) -> Result<()> {
    let mut retry = Retry::default();
    let mut handed_over = false;
    loop {
        while let Ok(delivered) = news.try_recv() {
            handle_delivery(running, task, delivered, !retry.is_failing()).await;
        }
        // Before the task pauses or stops, hand over the whole batches encoded so far.
        if running.wanted() != TaskTarget::Run
            && running.unless_stopped(encoder.send_rest()).await != Some(true)
        {
            return Ok(());
        }
        if !running.may_work().await {
            return Ok(());
        }
        running.report_paused(false).await;
        running.watch.front.enter(WaitReason::Source);
        // The order matters. A new target comes first, then durable commits, so that the source
        // learns of its commits under load too. The poll comes before sending the rest of a chunk:
        // the rest is sent only when the poll is not ready at once.
        let polled = tokio::select! {
            biased;
            () = running.changed() => continue,
            // Dropping the poll is safe: it may wait long for rows, and the next poll resumes it.
            Some(delivered) = news.recv() => {
                handle_delivery(running, task, delivered, !retry.is_failing()).await;
                continue;
            }
            polled = poll_task(task) => polled,
            // No more records are ready: what is encoded must not wait for them.
            sent = encoder.send_rest(), if encoder.has_unsent() => {
                if sent {
                    continue;
                }
                return Ok(());
            }
        };
        running.watch.front.moved();
        let idle = match polled {
            Ok(batch) => {
                if retry.reset() {
                    running.clear_retry_warning();
                }
                let idle = batch.idle_for;
                handed_over |= !batch.records.is_empty();
                if idle.is_some() && !handed_over {
                    // The stored position is up to date: nothing is left of what could not be
                    // delivered before.
                    running.clear_retry_warning();
                }
                // Never hand over part of a batch: without transactions, the part already sent
                // would be sent again.
                if !encoder.take(batch).await? {
                    return Ok(());
                }
                idle
            }
            Err(error) => {
                let limit = RetryLimit::Policy;
                match retry.fail(&policy, error.kind(), ErrorStage::Poll, limit) {
                    Verdict::Retry(wait) => {
                        running.warn(&error);
                        // What is encoded must not wait for the retry.
                        if running.unless_stopped(encoder.send_rest()).await != Some(true) {
                            return Ok(());
                        }
                        Some(wait)
                    }
                    Verdict::Skip | Verdict::Fail => return Err(error),
                }
            }
        };
        if !retry.is_failing() {
            running.note(task.progress());
        }
        if let Some(idle) = idle
            && !wait(running, task, news, idle, !retry.is_failing()).await
        {
            return Ok(());
        }
    }
}

async fn poll_task(task: &mut dyn SourceTask) -> Result<SourceBatch> {
    fail_point::reach_async("source.poll").await?;
    task.poll().await
}

async fn close(task: Box<dyn SourceTask>) {
    let _only_waits = fail_point::reach_async("source.close").await;
    task.close().await;
}

/// Waits until it is time to poll again. Returns false if the writer has ended.
async fn wait(
    running: &mut TaskContext,
    task: &mut dyn SourceTask,
    news: &mut UnboundedReceiver<DeliveryEvent>,
    time: Duration,
    polls: bool,
) -> bool {
    let until = tokio::time::Instant::now() + time;
    let _noted = running.watch.front.note(if polls {
        WaitReason::Nothing
    } else {
        WaitReason::Retry
    });
    loop {
        tokio::select! {
            biased;
            () = running.changed() => return true,
            delivered = news.recv() => match delivered {
                Some(delivered) => handle_delivery(running, task, delivered, polls).await,
                None => return false,
            },
            () = tokio::time::sleep_until(until) => return true,
        }
    }
}

/// Reports a new topic to the herder, or a durable commit to the source. `polls`: the last poll
/// succeeded, so a durable commit clears the retry warning.
async fn handle_delivery(
    running: &TaskContext,
    task: &mut dyn SourceTask,
    delivered: DeliveryEvent,
    polls: bool,
) {
    match delivered {
        DeliveryEvent::Topic(topic) => {
            running
                .send_event(TaskEvent::Topic(running.id().clone(), topic))
                .await;
        }
        DeliveryEvent::Committed(positions, records) => {
            tracing::debug!(connector = %running.id().connector, task = running.id().task, records, "committed");
            if polls {
                running.clear_retry_warning();
            }
            let _noted = running.watch.front.note(WaitReason::Source);
            let told = async {
                fail_point::reach_async("source.committed").await?;
                task.committed(&positions).await
            };
            if let Err(error) = told.await {
                tracing::warn!(%error,
                    "the source did not process the notification about committed positions");
            }
        }
    }
}
